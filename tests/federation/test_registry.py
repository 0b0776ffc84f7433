"""Members join once, with a token of this hub, and stay bound to their keys; several processes may write at once."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from cohelix.core.errors import BadUsage, CohelixError, Conflict, Damaged, NotFound, NotPermitted
from cohelix.federation.registry import JoinToken, Registry, read_token
from cohelix.wire.federation import JoinRequest

HUB = {"hub_url": "http://127.0.0.1:1", "hub_key": "K" * 43}


def request(of: JoinToken, **changes: object) -> JoinRequest:
    given = {
        "token": of.secret,
        "node": of.member,
        "name": "Finland",
        "country": "FI",
        "url": f"http://{of.member.lower()}.example",
        "key": of.member[0] * 43,
        "datasets": (f"{of.member}:a", "XX:stolen"),
    }
    return JoinRequest(**{**given, **changes})


def test_an_invited_member_joins_once(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    token = registry.invite("FI", **HUB)
    assert [member.state for member in registry.members()] == ["invited"]
    assert token.secret not in (tmp_path / "members.json").read_text()
    assert read_token(f"  {token}\n") == token
    member = registry.join(request(token))
    assert (member.state, member.datasets) == ("active", ("FI:a",))
    assert Registry(tmp_path).member("FI") == member
    with pytest.raises(Conflict, match="used already"):
        registry.join(request(token))


def test_wrong_tokens_are_refused_in_words(tmp_path: Path, clock: object) -> None:
    registry = Registry(tmp_path, clock=clock)
    old, token, gb = registry.invite("FI", **HUB), registry.invite("FI", **HUB), registry.invite("GB", **HUB)
    registry.join(request(gb))
    refused = [
        (request(old), NotPermitted, "no such invitation"),
        (request(token, token="x" * 32), NotPermitted, "no such invitation"),
        (request(token, node="GB"), NotPermitted, "for member FI"),
        (request(token, key="G" * 43), Conflict, "member GB"),
        (request(token, url="http://gb.example"), Conflict, "member GB"),
    ]
    for asked, kind, words in refused:
        with pytest.raises(kind, match=words):
            registry.join(asked)
    with pytest.raises(BadUsage, match="two letters"):
        registry.join(request(token, country="F1"))
    clock.off = timedelta(days=8)
    with pytest.raises(NotPermitted, match="expired"):
        registry.join(request(token))
    assert registry.member("FI").state == "invited"


def test_an_id_stays_bound_to_its_key(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.join(request(registry.invite("FI", **HUB)))
    again = registry.invite("FI", **HUB)
    with pytest.raises(NotPermitted, match="another key"):
        registry.join(request(again, key="Z" * 43))
    assert registry.join(request(again, url="http://moved.example")).url == "http://moved.example"


def test_states(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    token = registry.invite("FI", **HUB)
    with pytest.raises(Conflict, match="not joined"):
        registry.set_state("FI", "active")
    with pytest.raises(NotFound):
        registry.set_state("GB", "suspended")
    registry.join(request(token))
    for state in ("observer", "suspended", "active"):
        assert registry.set_state("FI", state).state == state
    registry.set_state("FI", "suspended")
    registry.join(request(registry.invite("FI", **HUB)))
    assert registry.member("FI").state == "suspended"  # a new address does not lift a suspension


@pytest.mark.parametrize(
    "text", ["", "cohelix-join-", "cohelix-join-W10", "cohelix-join-!!", "abc", "cohelix-join-WzEsMiwzLDRd"]
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(BadUsage, match="not a token"):
        read_token(text)


@pytest.mark.parametrize("name", ["", "../x", "F I", "a:b", "é", "x" * 65])
def test_what_is_no_member_id_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadUsage):
        Registry(tmp_path).invite(name, **HUB)


def test_two_processes_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from cohelix.federation.registry import Registry\n"
        "for n in range(15): Registry(Path(sys.argv[1])).invite(f'{sys.argv[2]}{n}', hub_url='u', hub_key='k')"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name]) for name in "AB"]
    serving = Registry(tmp_path)
    for _ in range(15):
        serving.invite("C", **HUB)
    assert [one.wait(timeout=60) for one in running] == [0, 0]
    assert {member.id for member in serving.members()} == {"C", *(f"{name}{n}" for name in "AB" for n in range(15))}


def test_seen_and_declared_are_told_at_once_and_kept_by_flush(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.join(request(registry.invite("FI", **HUB)))
    registry.seen("FI")
    registry.declare("FI", ("FI:a", "FI:b"))
    told = registry.member("FI")
    assert told.last_seen and told.datasets == ("FI:a", "FI:b")
    registry.flush()
    assert Registry(tmp_path).member("FI") == told


def test_a_damaged_list_is_said_so(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.invite("FI", **HUB)
    document = json.loads((tmp_path / "members.json").read_text())
    for broken in ("{", json.dumps({**document, "format": 9}), json.dumps({**document, "members": [1]})):
        (tmp_path / "members.json").write_text(broken)
        with pytest.raises(CohelixError) as caught:
            Registry(tmp_path).members()
        assert isinstance(caught.value, Damaged)
