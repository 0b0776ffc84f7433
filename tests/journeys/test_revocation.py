"""A node's authority grants and revokes while hub and node serve: the signed list, and what another node learns of it."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from cohelix.access.grants import Grants
from cohelix.access.keys import KeyRing
from cohelix.access.revocation import read_payload
from cohelix.access.trust import Trusted, TrustList
from cohelix.core.clock import SystemClock
from cohelix.db import open_database
from cohelix.federation.revocations import RevocationWatch
from cohelix.testing.commands import run_command
from cohelix.wire.federation import PinnedHub
from validation.processes import Served


def cohelix(*words: object) -> dict:
    """The JSON document of a command that succeeds."""
    done = run_command(*map(str, words), "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout or "{}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """A hub and a node FI with an authority, both serving."""
    hub, node, ports = tmp_path / "hub", tmp_path / "fi", (free_port(), free_port())
    hub_url, node_url = (f"http://127.0.0.1:{port}" for port in ports)
    cohelix("hub", "init", hub, "--url", hub_url)
    cohelix("node", "init", node, "--id", "FI", "--name", "FI", "--country", "FI")
    with Served("hub", hub, ports[0]) as hub_server, Served("node", node, ports[1]):
        cohelix("node", "join", node, cohelix("hub", "invite", hub, "--member", "FI")["token"], "--url", node_url)
        made = cohelix("dac", "init", node, "--authority", "FI-DAC", "--name", "A committee")
        yield SimpleNamespace(node=node, hub_url=hub_url, hub_server=hub_server, authority=made, other=tmp_path / "gb")


def wait_until(holds, seconds: float) -> float:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds
        time.sleep(0.3)
    return time.monotonic() - began


def test_a_revocation_reaches_another_node_within_a_minute(federation: SimpleNamespace) -> None:
    url, issuer = federation.hub_url, federation.authority["issuer"]

    def listed() -> dict:
        answer = httpx.get(f"{url}/api/v1/revocations")
        return answer.json() if answer.status_code == 200 else {"signatures": []}

    wait_until(lambda: len(listed()["signatures"]) == 1, 40)
    assert httpx.get(f"{issuer}/jwks.json").json()["keys"][0]["kid"] == federation.authority["key"]
    # Another node, which trusts the authority by the address of its keys.
    federation.other.mkdir()
    trust = TrustList.of([Trusted(issuer=issuer, role="authority", jwks=f"{issuer}/jwks.json", datasets=("GB:*",))])
    ring, grants = KeyRing(trust), Grants(open_database(federation.other / "node.sqlite"))
    pinned = PinnedHub(hub_url=url, hub_key="", node_url="", joined_at="")
    watch = RevocationWatch(
        federation.other, lambda: grants, lambda named: (ring.make_ready(named), ring.keys())[1], lambda: pinned
    )
    assert asyncio.run(watch.fetch())
    assert watch.known().known(issuer, SystemClock().now())
    granted = cohelix(
        *("dac", "grant", federation.node, "--dataset", "FI:x", "--to", "somebody"), "--until", f"{_year() + 1}-01-01"
    )
    assert granted["visa"].startswith("FI-DAC:")
    cohelix("dac", "revoke", federation.node, "--visa", granted["visa"])
    assert [one["state"] for one in cohelix("dac", "list", federation.node)["items"]] == ["revoked"]

    def learnt() -> bool:
        assert asyncio.run(watch.fetch())
        return granted["visa"] in watch.known().revoked[issuer]

    seconds = wait_until(learnt, 35)  # a node fetches every 25 s at the latest
    assert seconds < 35
    # Nobody else's hand is needed: the authority's new key signs, and the other node believes it.
    done = cohelix("keys", "rotate", federation.node, "--authority", "FI-DAC")
    kids = {key["kid"] for key in done["keys"]}
    assert kids == {done["old"], done["new"]}
    payload = read_payload(listed()["payload"])
    assert payload.hub == url and granted["visa"] in payload.revoked
    federation.hub_server.stop()
    assert asyncio.run(watch.fetch()) is False
    assert watch.known().known(issuer, SystemClock().now())  # for what is left of the minute


def _year() -> int:
    return SystemClock().now().year
