"""A node answers its pinned hub's signed questions, once each, signs all it says, and tells a stranger nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from cohelix import node
from cohelix.core.errors import Conflict, NotAuthentic, NotPermitted, Unreachable
from cohelix.federation.joining import join, read_pinned, write_pinned
from cohelix.federation.registry import Registry
from cohelix.federation.signing import Identity, check_answer, load_identity, sign_request, signature_of
from cohelix.node.app import create_app
from cohelix.testing.federation import running_app, simulated_federation
from cohelix.wire.federation import AskDatasets, AskFrequency, JoinRequest, NodeDatasets, PinnedHub
from cohelix.wire.frequency import NodeFrequency

ASK = AskFrequency(variant="22-100-A-G", assembly="GRCh37").model_dump_json().encode()


class Door:
    """A node's server, and questions to it that are signed as a test wants."""

    def __init__(self, folder: Path, url: str, hub: Identity, client: httpx.Client) -> None:
        self.folder, self.url, self.hub, self.client = folder, url, hub, client
        self.key = load_identity(folder).public

    def pin(self, hub: Identity) -> None:
        write_pinned(
            self.folder, PinnedHub(hub_url="http://hub.example", hub_key=hub.public, node_url=self.url, joined_at="2026-01-01")
        )

    def send(self, question: str, body: bytes, headers: dict[str, str], query: str = "") -> httpx.Response:
        return self.client.post(f"{self.url}/federation/v1/{question}{query}", content=body, headers=headers)

    def ask(
        self, question: str, body: bytes, by: Identity | None = None, **how: object
    ) -> tuple[httpx.Response, dict[str, str]]:
        signed = sign_request(by or self.hub, method="POST", url=f"{self.url}/federation/v1/{question}", body=body, **how)
        return self.send(question, body, signed), signed


@pytest.fixture
def door(tmp_path: Path, make_identity: Callable[[str], Identity]) -> Iterator[Door]:
    folder = tmp_path / "FI"
    node.init_node(folder, node="FI", name="Finland", country="FI")
    with running_app(create_app(folder)) as running, httpx.Client(trust_env=False) as client:
        yield Door(folder, running.url, make_identity("hub"), client)


def test_before_joining_nobody_is_answered(door: Door) -> None:
    answer, _ = door.ask("datasets", AskDatasets().model_dump_json().encode())
    assert answer.status_code == 403
    assert "signature" not in answer.headers


def test_the_pinned_hub_is_answered_without_a_restart_and_with_a_signature(door: Door) -> None:
    door.pin(door.hub)
    for question, body, kind in (
        ("frequency", ASK, NodeFrequency),
        ("datasets", AskDatasets().model_dump_json().encode(), NodeDatasets),
    ):
        answer, signed = door.ask(question, body)
        assert answer.status_code == 200, answer.text
        check_answer(dict(answer.headers), status=200, body=answer.content, to=signature_of(signed), keys=[door.key])
        assert kind.model_validate_json(answer.content).node == "FI"


def test_a_refusal_to_the_hub_is_signed_too(door: Door) -> None:
    door.pin(door.hub)
    for body in (
        b"{}",
        b"not json",
        AskFrequency(variant="nonsense", assembly="GRCh37").model_dump_json().encode(),
        AskFrequency(variant="22-1-A-G", assembly="GRCh99").model_dump_json().encode(),
        json.dumps({"protocol": 3, "variant": "22-1-A-G", "assembly": "GRCh37"}).encode(),
    ):
        answer, signed = door.ask("frequency", body)
        assert answer.status_code == 400, body
        check_answer(dict(answer.headers), status=400, body=answer.content, to=signature_of(signed), keys=[door.key])


def test_strangers_replays_and_changes_are_refused(door: Door, make_identity: Callable[[str], Identity], clock: object) -> None:
    door.pin(door.hub)
    good, signed = door.ask("frequency", ASK)
    assert good.status_code == 200
    other = AskFrequency(variant="22-101-A-G", assembly="GRCh37").model_dump_json().encode()
    clock.off = timedelta(seconds=90)
    elsewhere = sign_request(door.hub, method="POST", url="http://gb.example/federation/v1/frequency", body=ASK)
    refused = {
        "a replay": door.send("frequency", ASK, signed),
        "another body": door.send("frequency", other, signed),
        "another question": door.send("datasets", ASK, signed),
        "with a query": door.send("frequency", ASK, signed, "?x=1"),
        "no signature": door.send("frequency", ASK, {"content-type": "application/json"}),
        "another key": door.ask("frequency", ASK, make_identity("other"))[0],
        "the node's own key": door.ask("frequency", ASK, load_identity(door.folder))[0],
        "for another node": door.send("frequency", ASK, elsewhere),
        "a clock that is off": door.ask("frequency", ASK, clock=clock)[0],
    }
    for what, answer in refused.items():
        assert answer.status_code == 401, what
        assert "signature" not in answer.headers, what
        assert answer.headers["content-type"] == "application/problem+json"
    door.pin(make_identity("another hub"))
    assert door.ask("frequency", ASK)[0].status_code == 401


def test_joining_end_to_end(tmp_path: Path) -> None:
    with simulated_federation(tmp_path, {"XX": "closed"}) as federation:
        folder, gb = tmp_path / "FI", tmp_path / "GB"
        node.init_node(folder, node="FI", name="Finland", country="FI")
        node.init_node(gb, node="GB", name="Britain", country="GB")
        registry, hub = Registry(federation.folder), load_identity(federation.folder)

        def request(token: object, place: Path = folder, **changes: object) -> JoinRequest:
            settings = node.read_settings(place)
            given = {
                "token": token.secret,
                "node": settings.id,
                "name": settings.name,
                "country": settings.country,
                "url": "http://127.0.0.1:9/",
                "key": load_identity(place).public,
            }
            return JoinRequest(**{**given, **changes})

        def invite(name: str) -> object:
            return registry.invite(name, hub_url=federation.hub.url, hub_key=hub.public)

        token, identity = invite("FI"), load_identity(folder)
        with pytest.raises(NotPermitted, match="for member FI"):
            join(load_identity(gb), token, request(token, gb))
        with pytest.raises(NotPermitted, match="signature"):  # a key that it cannot prove
            join(identity, token, request(token, key=load_identity(gb).public))
        with pytest.raises(NotAuthentic):  # a hub whose key is not the token's
            join(
                load_identity(gb), invite("GB")._replace(hub_key="K" * 43), request(invite("GB"), gb, url="http://127.0.0.1:8")
            )
        with pytest.raises(Unreachable):
            join(identity, token._replace(hub_url="http://127.0.0.1:9"), request(token))
        assert registry.member("FI").state == "invited"
        pinned = join(identity, token, request(token))
        assert (pinned.hub_key, pinned.node_url) == (hub.public, "http://127.0.0.1:9")
        write_pinned(folder, pinned)
        assert read_pinned(folder) == pinned
        with pytest.raises(Conflict, match="used already"):
            join(identity, token, request(token))
        assert registry.member("FI").state == "active"
