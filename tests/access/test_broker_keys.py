"""Keys of the embedded issuer give way to others: what they signed holds until it ends, and not longer."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cohelix.access.broker_keys import ROTATE_SECONDS, SIGNED_SECONDS_MAX, BrokerKeys


class Hand:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


def test_an_old_key_is_published_until_what_it_signed_has_ended(tmp_path: Path) -> None:
    clock = Hand()
    keys = BrokerKeys(tmp_path / "keys", clock)
    old = keys.current().kid
    token = keys.sign({"sub": "x"}, "at+jwt")
    clock.at += timedelta(seconds=ROTATE_SECONDS)
    new = keys.current().kid
    assert new != old and {one["kid"] for one in keys.published()["keys"]} == {old, new}
    clock.at += timedelta(seconds=SIGNED_SECONDS_MAX)
    assert keys.read(token, "at+jwt") == {"sub": "x"}
    assert BrokerKeys(tmp_path / "keys", clock).read(token, "at+jwt") == {"sub": "x"}, "another process reads it too"
    clock.at += timedelta(seconds=121)
    assert [one["kid"] for one in keys.published()["keys"]] == [new] and keys.read(token, "at+jwt") is None


def test_keys_are_for_their_keeper_only_and_of_one_kind_of_token(tmp_path: Path) -> None:
    keys = BrokerKeys(tmp_path / "keys")
    (path,) = (tmp_path / "keys").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert all("d" not in one for one in keys.published()["keys"])
    token = keys.sign({"sub": "x"}, "JWT")
    assert keys.read(token, "at+jwt") is None, "an id token is no access token"
    assert BrokerKeys(tmp_path / "others").read(token, "JWT") is None
    assert keys.read("x.y.z", "JWT") is None and keys.read("", "JWT") is None
