"""A member that dials out answers as one that is dialled: the transports' suite, and what may happen to a poll."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from cohelix import node, web
from cohelix.cli.hub import join as join_command
from cohelix.core.errors import BadUsage
from cohelix.federation import HttpTransport, Transport, create_identity
from cohelix.federation.dial_out import DialOut
from cohelix.federation.door import Door, Reply
from cohelix.federation.joining import write_pinned
from cohelix.federation.polling import PollingTransport, Roads, Task, pack_brought, unpack_tasks
from cohelix.federation.registry import Registry
from cohelix.federation.routes import BROUGHT_BYTES_MAX, polling_router
from cohelix.federation.signing import Identity, check_request, load_identity, sign_answer, sign_request
from cohelix.federation.transport import ANSWER_BYTES_MAX, PATH, RUN_BYTES_MAX
from cohelix.testing.federation import address_of, free_listener, simulated_federation
from cohelix.testing.transport_suite import Node, TransportSuite, echo
from cohelix.wire.federation import JoinRequest, Member, PinnedHub, PollTasks
from cohelix.wire.packed import MEDIA_TYPE, pack

ABSENT_SECONDS = 0.6


class Place:
    """A hub's endpoints for polls on loopback, and one member that may dial out to them."""

    def __init__(self, folder: Path, clock: object = None) -> None:
        for name in ("hub", "FI", "stranger"):
            (folder / name).mkdir()
        self.folder = folder
        self.hub, self.node, self.stranger = (create_identity(folder / name) for name in ("hub", "FI", "stranger"))
        self.url = ""
        self.registry = Registry(folder / "hub")
        token = self.registry.invite("FI", hub_url="http://hub.example", hub_key=self.hub.public)
        request = JoinRequest(
            token=token.secret, node="FI", name="FI", country="FI", url="", key=self.node.public, dials_out=True
        )
        self.member = self.registry.join(request)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[PollingTransport]:
        """The hub's app on the test's own loop, where `ask` is called, too; the node has joined it."""
        listener = free_listener()
        self.url = address_of(listener)
        pinned = PinnedHub(
            hub_url=self.url, hub_key=self.hub.public, node_url="dial-out://FI", dials_out=True, joined_at="2026-01-01"
        )
        write_pinned(self.folder / "FI", pinned)
        transport = PollingTransport(self.hub, poll_seconds=2.0, absent_seconds=ABSENT_SECONDS)
        app = FastAPI()
        web.install(app, service="hub", large_bodies={f"{PATH}/tasks/": BROUGHT_BYTES_MAX})
        app.include_router(polling_router(self.registry, transport, self.hub, self.folder / "hub", hub_url=self.url))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none", lifespan="off"))
        task = asyncio.create_task(server._serve([listener]))
        async with asyncio.timeout(10):
            while True:
                if server.started:
                    break
                await asyncio.sleep(0.005)
        try:
            yield transport
        finally:
            await transport.close()
            server.should_exit = server.force_exit = True
            await task

    def post(self, path: str, body: bytes, by: Identity, kind: str = "application/json", **how: Any) -> httpx.Response:
        """One signed request to the hub, as a node sends it."""
        url = f"{self.url}{PATH}/{path}"
        headers = sign_request(by, method="POST", url=url, body=body, content_type=kind, **how)
        with httpx.Client(trust_env=False, timeout=20) as client:
            return client.post(url, content=body, headers=headers)

    def poll(self, poller: str = "poller-1", received: tuple[str, ...] = (), room: int = 8) -> list[Task]:
        message = PollTasks(poller=poller, received=received, room=room).model_dump_json().encode()
        answer = self.post("tasks", message, self.node)
        assert answer.status_code == 200, answer.text
        return unpack_tasks(answer.content)

    def bring(self, task: Task, content: bytes, *, by: Identity | None = None, status: int = 200) -> httpx.Response:
        signed = check_request(
            task.headers,
            method="POST",
            url=f"dial-out://FI{PATH}/{task.question}",
            body=task.body,
            keys=[self.hub.public],
        )
        headers = sign_answer(by or self.node, status=status, body=content, to=signed.signature)
        return self.post(f"tasks/{task.id}", pack_brought(status, headers, content), self.node, MEDIA_TYPE)


class EchoDoor(Door):
    """A door behind which a function answers, with any status."""

    def __init__(self, folder: Path, answers: Node) -> None:
        super().__init__(folder)
        self._node = answers

    async def reply(self, question: str, headers: Any, read: Callable[[], Awaitable[bytes]]) -> Reply:
        body, hub = await read(), self.pinned()
        assert hub is not None
        signed = check_request(headers, method="POST", url=f"{hub.node_url}{PATH}/{question}", body=body, keys=[hub.hub_key])
        status, content = self._node(question, body)
        return Reply(status, sign_answer(self.identity, status=status, body=content, to=signed.signature), content)


class TestPollingTransport(TransportSuite):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.place = Place(tmp_path)

    def road(self, node: Node) -> AbstractAsyncContextManager[tuple[Transport, Member]]:
        @asynccontextmanager
        async def laid() -> AsyncIterator[tuple[Transport, Member]]:
            folder = self.place.folder / "FI"
            async with self.place.serving() as transport, DialOut(folder, EchoDoor(folder, node)).running():
                yield Roads(HttpTransport(self.place.hub, private_addresses=True), transport), self.place.member

        return laid()

    def stranger(self, member: Member) -> Member:
        return member.model_copy(update={"key": self.place.stranger.public})

    def gone(self, member: Member) -> Member:
        return member.model_copy(update={"id": "GB"})


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_strangers_and_replays_get_no_questions(place: Place, clock: Any) -> None:
    async def go() -> None:
        async with place.serving() as transport:
            asking = asyncio.create_task(transport.ask(place.member, "frequency", b"secret"))
            await asyncio.sleep(0)
            message = PollTasks(poller="poller-1", room=8).model_dump_json().encode()
            url = f"{place.url}{PATH}/tasks"
            clock.off = timedelta(seconds=-90)

            def attempts() -> dict[str, httpx.Response]:
                with httpx.Client(trust_env=False, timeout=20) as client:
                    unsigned = client.post(url, content=message)
                    good = sign_request(place.node, method="POST", url=url, body=message)
                    first = client.post(url, content=message, headers=good)
                    assert [task.body for task in unpack_tasks(first.content)] == [b"secret"]
                    replay = client.post(url, content=message, headers=good)
                    other = client.post(url, content=message.replace(b"poller-1", b"poller-2"), headers=good)
                return {
                    "unsigned": unsigned,
                    "a replay": replay,
                    "another body": other,
                    "a stranger": place.post("tasks", message, place.stranger),
                    "the hub itself": place.post("tasks", message, place.hub),
                    "an old one": place.post("tasks", message, place.node, clock=clock),
                }

            for what, answer in (await asyncio.to_thread(attempts)).items():
                assert answer.status_code == 401, what
                assert b"secret" not in answer.content and "signature" not in answer.headers, what
            asking.cancel()

    asyncio.run(go())


def test_what_did_not_arrive_is_handed_out_again_and_what_did_is_not(place: Place) -> None:
    async def go() -> None:
        async with place.serving() as transport:
            asking = asyncio.create_task(transport.ask(place.member, "frequency", b"{}"))
            (lost,) = await asyncio.to_thread(place.poll)
            (again,) = await asyncio.to_thread(place.poll)  # not told as received: the poll's answer was lost
            assert again.id != lost.id and again.body == lost.body and again.headers != lost.headers
            assert await asyncio.to_thread(place.poll, received=(again.id,), room=0) == []
            (anew,) = await asyncio.to_thread(place.poll, "poller-2")  # the process that had it was killed
            late = await asyncio.to_thread(place.bring, again, b"late")
            assert late.status_code == 404 and not asking.done()
            assert (await asyncio.to_thread(place.bring, anew, b"now")).status_code == 200
            assert (await asking).body == b"now"
            assert (await asyncio.to_thread(place.bring, anew, b"twice")).status_code == 404

    asyncio.run(go())


def test_hostile_answers_are_faulty_and_bind_nobody_else(place: Place) -> None:
    def brought(task: Task, body: bytes, kind: str = MEDIA_TYPE, by: Identity | None = None) -> httpx.Response:
        return place.post(f"tasks/{task.id}", body, by or place.node, kind)

    async def asked(answer: Callable[[Task], httpx.Response], status: int, words: str) -> None:
        async with place.serving() as transport:
            asking = asyncio.create_task(transport.ask(place.member, "frequency", b"{}"))
            (task,) = await asyncio.to_thread(place.poll)
            response = await asyncio.to_thread(answer, task)
            assert response.status_code == status, response.text
            if words:
                arrival = await asking
                assert arrival.status == "faulty" and words in (arrival.reason or ""), arrival
            else:
                assert not asking.done()
                asking.cancel()

    good = sign_answer(place.node, status=200, body=b"x", to=":" + "A" * 86 + "==:")
    large = pack_brought(200, good, b"x" * (ANSWER_BYTES_MAX + 64 * 1024))
    for answer, status, words in (
        (lambda task: place.bring(task, b"x", by=place.stranger), 200, "unknown key"),
        (lambda task: brought(task, pack_brought(200, good, b"x")), 200, "signature"),
        (lambda task: brought(task, pack_brought(200, {}, b"x")), 200, "without a signature"),
        (lambda task: brought(task, pack_brought(503, {}, b"")), 200, "HTTP 503"),
        (lambda task: brought(task, large), 413, "larger"),
        (lambda task: brought(task, pack({"status": "x"})), 400, ""),
        (lambda task: brought(task, b"garbage"), 400, ""),
        (lambda task: brought(task, pack_brought(200, good, b"x"), by=place.stranger), 401, ""),
        (lambda task: brought(task._replace(id="other"), pack_brought(200, good, b"x")), 404, ""),
    ):
        asyncio.run(asked(answer, status, words))


def test_a_node_that_stops_asking_is_unreachable_and_one_that_works_is_not(place: Place) -> None:
    async def go() -> None:
        async with place.serving() as transport:
            loop = asyncio.get_running_loop()
            asking = asyncio.create_task(transport.ask(place.member, "frequency", b"{}"))
            (task,) = await asyncio.to_thread(place.poll)
            await asyncio.to_thread(place.poll, received=(task.id,))  # two seconds, in which it works and is there
            assert not asking.done()
            began = loop.time()
            arrival = await asking
            assert arrival.status == "unreachable" and loop.time() - began < 3 * ABSENT_SECONDS
            began = loop.time()
            assert (await transport.ask(place.member, "frequency", b"{}")).status == "unreachable"
            assert loop.time() - began < ABSENT_SECONDS / 2  # known to be away: nobody waits for it

    asyncio.run(go())


def test_large_packed_messages_pass_both_ways_on_both_roads(place: Place) -> None:
    body = pack({"n": 1}) + b"x" * (6 * 1024 * 1024)

    async def go() -> None:
        folder = place.folder / "FI"
        async with place.serving() as transport, DialOut(folder, EchoDoor(folder, echo)).running():
            arrival = await transport.ask(place.member, "analysis-step", body)
            assert arrival.body == b"analysis-step " + body
            assert RUN_BYTES_MAX > len(body) > ANSWER_BYTES_MAX

    asyncio.run(go())


def test_a_real_node_behind_no_address_is_asked_like_the_others(tmp_path: Path) -> None:
    with simulated_federation(tmp_path, {"FI": "open", "GB": "open"}) as federation:
        folder, hub = federation.folders["GB"], load_identity(federation.folder)
        token = Registry(federation.folder).invite("GB", hub_url=federation.hub.url, hub_key=hub.public)
        with pytest.raises(BadUsage, match="--dial-out"):
            join_command(folder, str(token), url=None)
        with pytest.raises(BadUsage, match="--dial-out"):
            join_command(folder, str(token), url="http://127.0.0.1:9", dial_out=True)
        join_command(folder, str(token), url=None, dial_out=True)
        member = Registry(federation.folder).member("GB")
        assert member.dials_out and not member.url
        with httpx.Client(trust_env=False, base_url=federation.hub.url, timeout=20) as client:
            for _ in range(100):  # the serving node looks for its hub once a second
                nodes = {one["node"]: one for one in client.get("/api/v1/datasets").json()["nodes"]}
                if nodes["GB"]["status"] == "answered":
                    break
                time.sleep(0.1)
            assert {name: one["status"] for name, one in nodes.items()} == {"FI": "answered", "GB": "answered"}
            assert [record["id"] for record in nodes["GB"]["datasets"]] == ["GB:sim"]
        federation.nodes["GB"].stop()
        with httpx.Client(trust_env=False, base_url=federation.hub.url, timeout=20) as client:
            nodes = {one["node"]: one for one in client.get("/api/v1/datasets").json()["nodes"]}
            assert nodes["GB"]["status"] == "unreachable" and nodes["FI"]["status"] == "answered"
        assert node.read_settings(folder).id == "GB"
