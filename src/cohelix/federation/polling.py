"""The hub's side of members that dial out: their questions wait here, are fetched by long poll, and are answered by post.

A question is signed when it is handed out, for the member's name in place of an address, and its answer is signed by the
member exactly as one over HTTP. What was handed out and never arrived is handed out again: an answer that a killed node
owed is asked for anew when the node is back.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, TypeAdapter, ValidationError

from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadQuestion, NotFound
from cohelix.federation.signing import Identity, sign_request, signature_of
from cohelix.federation.transport import (
    PATH,
    Arrival,
    MemberKeys,
    Transport,
    address_of,
    answer_bytes_max,
    checked_arrival,
    content_type_of,
    own_key,
    refusal,
    too_large,
)
from cohelix.wire.federation import Member
from cohelix.wire.packed import pack, unpack

POLL_SECONDS = 25.0  # how long a poll waits for a question: shorter than what proxies allow an idle request
POLL_SECONDS_MAX = 120.0
ABSENT_SECONDS = 3.0  # a member that has had no poll open for so long is not there
HANDED_BYTES_MAX = 8 * 1024 * 1024  # of the questions of one poll, but for a single larger one


class Task(NamedTuple):
    """A question as it is handed out: where to post the answer, its kind, and the signed message."""

    id: str
    question: str
    headers: dict[str, str]
    body: bytes


@dataclass(eq=False)
class _Waiting:
    """A question that somebody waits for; while it is handed out, to whom, and the signature that its answer is bound to."""

    member: Member
    question: str
    body: bytes
    arrival: asyncio.Future[Arrival]
    poller: str = ""
    signature: str = ""
    arrived: bool = False


@dataclass(eq=False)
class _Line:
    """A member's questions: those that wait, in order, and those that are handed out, by the id of the handing out."""

    left_at: float
    waiting: list[_Waiting] = field(default_factory=list)
    handed: dict[str, _Waiting] = field(default_factory=dict)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    poll: int = 0  # number of the newest poll; an older one that still hangs hands out nothing
    polls_open: int = 0

    def add(self, one: _Waiting) -> None:
        self.waiting.append(one)
        self.wake.set()

    def drop(self, one: _Waiting) -> None:
        if one in self.waiting:
            self.waiting.remove(one)
        self.handed = {name: other for name, other in self.handed.items() if other is not one}

    def take_back(self, poller: str, received: frozenset[str]) -> None:
        """What was handed out and is lost waits again, first: it did not arrive, or its poller is no more."""
        lost = []
        for name, one in list(self.handed.items()):
            one.arrived = one.arrived or name in received
            if one.poller != poller or not one.arrived:
                lost.append(self.handed.pop(name))
        self.waiting[:0] = lost


class PollingTransport:
    """A `Transport` to members that fetch their questions: `take`, `bytes_max`, `bring` and `spoil` are for its endpoints.

    Parameters
    ----------
    keys
        The keys by which members are known; those of their entries where nothing is given.
    poll_seconds
        How long a poll waits for a question.
    absent_seconds
        A member without an open poll for so long is not reachable.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        keys: MemberKeys | None = None,
        clock: Clock | None = None,
        poll_seconds: float = POLL_SECONDS,
        absent_seconds: float = ABSENT_SECONDS,
    ) -> None:
        self._identity = identity
        self._keys = keys or own_key
        self._clock = clock or SystemClock()
        self._poll_seconds = poll_seconds
        self._absent_seconds = absent_seconds
        self._began = self._clock.monotonic()
        self._lines: dict[str, _Line] = {}

    async def ask(self, member: Member, question: str, body: bytes) -> Arrival:
        line = self._line(member.id)
        one = _Waiting(member, question, body, asyncio.get_running_loop().create_future())
        line.add(one)
        try:
            while line.polls_open or self._clock.monotonic() - line.left_at < self._absent_seconds:
                if (await asyncio.wait((one.arrival,), timeout=self._absent_seconds / 4))[0]:
                    return one.arrival.result()
            return Arrival("unreachable", "it dials out, and has stopped asking for questions")
        finally:
            line.drop(one)

    async def close(self) -> None:
        """Let everybody go who still waits."""
        for line in self._lines.values():
            for one in (*line.waiting, *line.handed.values()):
                if not one.arrival.done():
                    one.arrival.set_result(Arrival("unreachable", "the hub is ending"))
            line.poll += 1
            line.wake.set()

    async def take(self, member: str, poller: str, received: Iterable[str], room: int) -> list[Task]:
        """The next questions for a member, newly signed; none where none comes in time.

        Parameters
        ----------
        poller
            Names the process that asks; a member has one at a time.
        received
            Ids of the questions that arrived with the poll before.
        room
            Most questions that it takes now; 0 shows only that it is there.
        """
        line = self._line(member)
        line.poll += 1
        number = line.poll
        line.wake.set()  # an older poll gives up its place
        line.take_back(poller, frozenset(received))
        line.polls_open += 1
        try:
            async with asyncio.timeout(self._poll_seconds if room else 0.2):
                while line.poll == number and not (room and line.waiting):
                    line.wake.clear()
                    await line.wake.wait()
        except TimeoutError:
            return []
        finally:
            line.polls_open -= 1
            line.left_at = self._clock.monotonic()
        return self._hand_out(line, poller, room) if line.poll == number else []

    def bytes_max(self, member: str, task: str) -> int:
        """Most bytes of the answer to a question that this member was handed; `NotFound` where nobody waits for it."""
        return answer_bytes_max(self._owed(member, task).question)

    def bring(self, member: str, task: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Check a member's answer and give it to whoever asked; `NotFound` where nobody waits for it."""
        one = self._owed(member, task)
        bytes_max = answer_bytes_max(one.question)
        refused = refusal(status, headers) or (too_large(bytes_max) if len(body) > bytes_max else None)
        keys = self._keys(one.member)
        one.arrival.set_result(
            refused or checked_arrival(status, headers, body, to=one.signature, keys=keys, clock=self._clock)
        )

    def spoil(self, member: str, task: str, arrival: Arrival) -> None:
        """An answer that was not read to its end, and what is said of it."""
        self._owed(member, task).arrival.set_result(arrival)

    def _line(self, member: str) -> _Line:
        return self._lines.setdefault(member, _Line(self._began))

    def _owed(self, member: str, task: str) -> _Waiting:
        one = self._line(member).handed.get(task)
        if one is None or one.arrival.done():
            raise NotFound("nobody waits for this answer")
        return one

    def _hand_out(self, line: _Line, poller: str, room: int) -> list[Task]:
        handed: list[Task] = []
        size = 0
        while line.waiting and len(handed) < room:
            size += len(line.waiting[0].body)
            if handed and size > HANDED_BYTES_MAX:
                break
            one = line.waiting.pop(0)
            url, kind = f"{address_of(one.member)}{PATH}/{one.question}", content_type_of(one.question)
            headers = sign_request(self._identity, method="POST", url=url, body=one.body, content_type=kind, clock=self._clock)
            one.poller, one.signature, one.arrived = poller, signature_of(headers), False
            task = Task(secrets.token_urlsafe(18), one.question, headers, one.body)
            line.handed[task.id] = one
            handed.append(task)
        return handed


class Roads:
    """The `Transport` of a hub with members of both kinds: those that it dials, and those that dial out."""

    def __init__(self, dialled: Transport, polled: PollingTransport) -> None:
        self._dialled, self._polled = dialled, polled

    async def ask(self, member: Member, question: str, body: bytes) -> Arrival:
        return await (self._polled if member.dials_out else self._dialled).ask(member, question, body)

    async def close(self) -> None:
        """End all connections."""
        await self._dialled.close()
        await self._polled.close()


def pack_tasks(tasks: Sequence[Task]) -> bytes:
    """Questions as one body: what a poll is answered with."""
    named = [{"id": task.id, "question": task.question, "headers": task.headers} for task in tasks]
    return pack({"tasks": named}, {str(place): np.frombuffer(task.body, np.uint8) for place, task in enumerate(tasks)})


def unpack_tasks(body: bytes) -> list[Task]:
    """What `pack_tasks` packed; `BadQuestion` where it is something else."""
    packed = unpack(body)
    try:
        heads = TypeAdapter(list[_Head]).validate_python(packed.document.get("tasks"))
        return [
            Task(head.id, head.question, head.headers, packed.arrays[str(place)].tobytes()) for place, head in enumerate(heads)
        ]
    except (ValidationError, KeyError) as error:
        raise BadQuestion("these are not questions") from error


class _Head(BaseModel):
    id: str
    question: str
    headers: dict[str, str]


class _BroughtHead(BaseModel):
    status: int
    headers: dict[str, str]


def pack_brought(status: int, headers: Mapping[str, str], body: bytes) -> bytes:
    """A signed answer as one body, as a member posts it."""
    return pack({"status": status, "headers": dict(headers)}, {"body": np.frombuffer(body, np.uint8)})


def unpack_brought(body: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, header fields and body of what `pack_brought` packed; `BadQuestion` where it is something else."""
    packed = unpack(body)
    try:
        head = _BroughtHead.model_validate(packed.document)
        return head.status, head.headers, packed.arrays["body"].tobytes()
    except (ValidationError, KeyError) as error:
        raise BadQuestion("this is not an answer") from error
