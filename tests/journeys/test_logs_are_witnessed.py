"""Servers of a federation, one of which dials out, witness each other's logs; whoever asks can check it from outside."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cohelix.audit.checkpoint import cosigned_at, read_note
from cohelix.audit.witnessed import Witnessed
from cohelix.cli.audit_log import hub_log, node_log
from cohelix.federation.signing import load_identity
from cohelix.testing.analyses import AnalysisFederation, analysis_federation
from validation.processes import done

MEMBERS = {"AT": 60, "BE": 60, "CZ": 60}
ALL = {"hub", *(f"node/{name}" for name in MEMBERS)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnalysisFederation]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COHELIX_HUB_WITNESS_SECONDS", "0.5")
        folder = tmp_path_factory.mktemp("witnessed")
        with analysis_federation(folder, MEMBERS, variants=50, dialling_out=("CZ",)) as federation:
            yield federation


def test_all_hold_each_others_checkpoints_and_sign_them(made: AnalysisFederation) -> None:
    deadline = time.monotonic() + 60
    said: dict[str, object] = {}
    while len(said.get("witnesses", ())) < len(MEMBERS):  # type: ignore[arg-type]
        assert time.monotonic() < deadline, said
        time.sleep(0.3)
        said = httpx.get(f"{made.url}/audit/v1/checkpoint", trust_env=False).json()
    checkpoint = read_note(str(said["note"]))
    for line, name in zip(checkpoint.signatures[1:], said["witnesses"], strict=True):  # type: ignore[call-overload]
        key = load_identity(made.folder / str(name).removeprefix("node/")).public
        assert abs(cosigned_at(checkpoint, line, str(name), key).timestamp() - time.time()) < 120
    for name in ("hub", *MEMBERS):
        log = hub_log(made.folder / name) if name == "hub" else node_log(made.folder / name)
        held = Witnessed(log.store()).all()
        assert set(held) == ALL - {log.origin}
        assert all(one.alarm is None for one in held.values())


def test_a_member_verifies_another_by_what_it_holds(made: AnalysisFederation, tmp_path: Path) -> None:
    done("audit", "checkpoint", made.folder / "BE", "--of", "node/AT", "--out", tmp_path / "held.txt")
    assert "continues the checkpoint" in done("audit", "verify", made.folder / "AT", "--checkpoint", tmp_path / "held.txt").out
