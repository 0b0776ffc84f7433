"""The conformance tests that every `Transport` inherits: what a road to members must do, whichever way it is laid."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from cohelix.federation.transport import ANSWER_BYTES_MAX, Transport
from cohelix.wire.federation import Member

# What a node does with a question (its kind and body): an HTTP status and the content of its signed answer.
Node = Callable[[str, bytes], tuple[int, bytes]]


def echo(question: str, body: bytes) -> tuple[int, bytes]:
    """A node that says what it was asked."""
    return 200, question.encode() + b" " + body


class TransportSuite(ABC):
    """Inherit, and say how a sound node and the road to it are made."""

    @abstractmethod
    def road(self, node: Node) -> AbstractAsyncContextManager[tuple[Transport, Member]]:
        """A context manager that gives a transport, and the member at its other end that answers as `node` does."""

    @abstractmethod
    def stranger(self, member: Member) -> Member:
        """The same member as the hub knows it, but pinned to another key."""

    @abstractmethod
    def gone(self, member: Member) -> Member:
        """The same member at a place where nobody is."""

    def run(self, node: Node, asked: Callable[[Transport, Member], Awaitable[None]]) -> None:
        """Let `asked` put its questions over a road to `node`."""

        async def go() -> None:
            async with self.road(node) as (transport, member):
                await asked(transport, member)

        asyncio.run(go())

    def test_question_and_answer_arrive_whole(self) -> None:
        async def asked(transport: Transport, member: Member) -> None:
            for body in (b"{}", b"x" * 50_000, "é".encode()):
                arrival = await transport.ask(member, "frequency", body)
                assert (arrival.status, arrival.reason, arrival.body) == ("answered", None, b"frequency " + body)

        self.run(echo, asked)

    def test_many_questions_at_once_get_their_own_answers(self) -> None:
        async def asked(transport: Transport, member: Member) -> None:
            bodies = [str(number).encode() for number in range(100)]
            arrivals = await asyncio.gather(*(transport.ask(member, "region", body) for body in bodies))
            assert [arrival.body for arrival in arrivals] == [b"region " + body for body in bodies]

        self.run(echo, asked)

    def test_a_refusal_is_faulty_with_the_nodes_words(self) -> None:
        async def asked(transport: Transport, member: Member) -> None:
            arrival = await transport.ask(member, "frequency", b"{}")
            assert arrival.status == "faulty" and "the reason" in (arrival.reason or ""), arrival

        problem = b'{"type":"https://x/problems/bad-question","title":"t","status":400,"detail":"the reason"}'
        self.run(lambda _question, _body: (400, problem), asked)

    def test_an_answer_above_the_limit_is_faulty(self) -> None:
        async def asked(transport: Transport, member: Member) -> None:
            arrival = await transport.ask(member, "frequency", b"{}")
            assert arrival.status == "faulty" and "larger" in (arrival.reason or ""), arrival
            assert not arrival.body

        self.run(lambda _question, _body: (200, b"x" * (ANSWER_BYTES_MAX + 1)), asked)
        self.run(lambda _question, _body: (200, b"x" * (ANSWER_BYTES_MAX + 1024 * 1024)), asked)

    def test_another_key_is_faulty(self) -> None:
        async def asked(transport: Transport, member: Member) -> None:
            arrival = await transport.ask(self.stranger(member), "frequency", b"{}")
            assert arrival.status == "faulty" and "signature" in (arrival.reason or ""), arrival
            assert not arrival.body

        self.run(echo, asked)

    def test_nobody_there_is_unreachable(self) -> None:
        async def asked(transport: Transport, member: Member) -> None:
            arrival = await transport.ask(self.gone(member), "frequency", b"{}")
            assert arrival.status == "unreachable" and arrival.reason

        self.run(echo, asked)

    def test_a_cancelled_question_leaves_the_road_open(self) -> None:
        async def asked(transport: Transport, member: Member) -> None:
            for _ in range(100):
                task = asyncio.create_task(transport.ask(member, "frequency", b"{}"))
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            assert (await transport.ask(member, "frequency", b"1")).body == b"frequency 1"

        self.run(echo, asked)
