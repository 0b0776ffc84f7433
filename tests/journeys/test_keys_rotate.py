"""Keys of members and of the hub give way to others while an analysis is under way; nobody notices, and old keys end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from cohelix.federation.signing import load_identity
from cohelix.testing.analyses import AnalysisFederation, join_hub, make_folders
from validation.processes import done

_ENDS = ("released", "held", "refused", "aborted", "failed")
MEMBERS = {"AT": 60, "BE": 60, "CZ": 60}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Iterator[AnalysisFederation]:
    """Servers that all keep what they know in PostgreSQL, each in a database of its own."""
    folder = tmp_path_factory.mktemp("keys")
    federation = make_folders(folder, MEMBERS, variants=150)
    server = sa.make_url(postgres)
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in ("hub", *MEMBERS):
            database = f"keys_{name.lower()}"
            connection.exec_driver_sql(f"CREATE DATABASE {database}")
            settings = folder / name / ("hub.toml" if name == "hub" else "node.toml")
            url = server.set(database=database).render_as_string(hide_password=False)
            settings.write_text(f'database = "{url}"\n{settings.read_text()}')
    engine.dispose()
    with federation.processes:
        with ThreadPoolExecutor(len(federation.ports)) as starting:
            list(starting.map(federation.serve, federation.ports))
        for name in MEMBERS:
            join_hub(federation, name, dials_out=name == "CZ")
        _wait(lambda: _states(federation) == dict.fromkeys(MEMBERS, "answered"))
        yield federation


def _wait(holds: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.2)


def _states(made: AnalysisFederation) -> dict[str, str]:
    nodes = httpx.get(f"{made.url}/api/v1/datasets", trust_env=False).json()["nodes"]
    return {one["node"]: one["status"] for one in nodes}


def _begin(made: AnalysisFederation, **changes: object) -> str:
    answer = httpx.post(f"{made.url}/api/v1/analyses", json=made.plan(**changes), trust_env=False)
    assert answer.status_code in (200, 201, 202), answer.text
    return str(answer.json()["id"])


def _run(made: AnalysisFederation, run: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{made.url}/api/v1/analyses/{run}", trust_env=False).json()
    return found


def _ended(made: AnalysisFederation, run: str) -> str:
    _wait(lambda: _run(made, run)["state"] in _ENDS)
    return str(_run(made, run)["state"])


def test_keys_rotate_during_a_run(made: AnalysisFederation) -> None:
    before = {name: load_identity(made.folder / name).public for name in (*MEMBERS, "hub")}
    run = _begin(made)
    _wait(lambda: _run(made, run)["state"] not in ("proposed", "open"))
    made.kill("BE")  # the run waits for it, half done
    # A member that aggregates, one that dials out, and the hub itself.
    for name in ("AT", "CZ"):
        told = json.loads(done("keys", "rotate", made.folder / name, "--json").out)
        assert (told["told"], told["untold"]) == (["AT", "CZ"], ["BE"])
        assert told["old"] == before[name] != told["new"] == load_identity(made.folder / name).public
    announced = json.loads(done("keys", "rotate", made.folder / "hub", "--json").out)
    assert announced["untold"] == ["AT", "BE", "CZ"]
    time.sleep(3)
    assert load_identity(made.folder / "hub").public == before["hub"]  # as long as one does not know
    assert _run(made, run)["state"] not in _ENDS
    made.serve("BE")
    _wait(lambda: load_identity(made.folder / "hub").public == announced["new"])
    assert _ended(made, run) == "held", _run(made, run)
    _wait(lambda: _states(made) == dict.fromkeys(MEMBERS, "answered"))
    # And a run that begins afterwards, with keys that no operator ever typed.
    assert _ended(made, _begin(made, covariates=["sex"])) == "held"
    members = {one["id"]: one["key"] for one in httpx.get(f"{made.url}/api/v1/members", trust_env=False).json()["members"]}
    assert members["AT"] == load_identity(made.folder / "AT").public and members["BE"] == before["BE"]


def test_keys_are_listed(made: AnalysisFederation) -> None:
    listed = json.loads(done("keys", "list", made.folder / "AT", "--json").out)
    assert listed["owner"] == "AT"
    assert [one["state"] for one in listed["keys"]] == ["signs", "former, holds"]
    assert listed["keys"][1]["kept"] is True
    assert "signs" in done("keys", "list", made.folder / "hub").out


def test_the_audit_logs_know_of_it_and_verify_with_both_keys(made: AnalysisFederation, tmp_path: Path) -> None:
    for name in ("AT", "hub"):
        assert done("audit", "verify", made.folder / name, "--key", load_identity(made.folder / name).public).status == 0
        done("audit", "export", made.folder / name, "--out", tmp_path / name)
        said = "".join(path.read_text() for path in (tmp_path / name).iterdir())
        assert "key:rotated" in said and load_identity(made.folder / "AT").public in said


def test_a_hub_that_is_away_changes_nothing(made: AnalysisFederation) -> None:
    from validation.processes import said

    key = load_identity(made.folder / "BE").public
    made.kill("hub")
    try:
        ended = said("keys", "rotate", made.folder / "BE")
        assert ended.status == 5 and load_identity(made.folder / "BE").public == key
        assert "announced" in done("keys", "list", made.folder / "BE").out
    finally:
        made.serve("hub")
    assert said("keys", "rotate", made.folder / "BE").status == 0  # gone on with: the same next key
    assert load_identity(made.folder / "BE").public != key
    _wait(lambda: _states(made) == dict.fromkeys(MEMBERS, "answered"))
