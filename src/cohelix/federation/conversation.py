"""One run's questions to its members: asked until they are answered or the run's deadline has come, each failure named.

A lost connection, a node that restarts or a busy one is asked again, ever more slowly; every question of a run may be
repeated, because members answer a repeated one alike. What a member refuses by its policy is told in its own words.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadQuestion, Deviation
from cohelix.federation.transport import Transport
from cohelix.wire.analysis import Refusal, RunState
from cohelix.wire.federation import Member, Message
from cohelix.wire.frequency import Wire
from cohelix.wire.packed import AnyArray, Packed, pack, unpack

_Answer = TypeVar("_Answer", bound=Wire)
_Result = TypeVar("_Result")

ANSWER_SECONDS = 600.0  # that one answer may take before the question is put again: a block of a large node
_AT_ONCE_BYTES = 1 << 16  # read or written in the event loop: a thread would cost more
_PAUSE_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
_FAULTY_TIMES = 12  # about three quarters of a minute of wrong answers are no passing weakness


class RunStopped(Exception):
    """A run cannot go on: the state that it ends in, why, and because of which member."""

    def __init__(self, state: RunState, reason: str, node: str | None = None) -> None:
        super().__init__(reason)
        self.state: RunState = state
        self.reason, self.node = reason, node


@dataclass(frozen=True)
class Answered:
    """A member's answer: its document as it came, and the arrays beside it."""

    packed: Packed

    def read(self, kind: type[_Answer], member: Member) -> _Answer:
        """The document as one of a kind; a member that sends another one stops the run."""
        try:
            return kind.model_validate(self.packed.document)
        except ValidationError:
            raise RunStopped("aborted", f"{member.id} answered with another document than was agreed", member.id) from None


class Conversation:
    """Asks the members of one run.

    Parameters
    ----------
    deadline
        When nothing is asked again.
    lost
        Is told of each try that failed: member, question, what came instead.
    """

    def __init__(
        self,
        transport: Transport,
        deadline: datetime,
        *,
        lost: Callable[[Member, str, str], None] = lambda _member, _question, _reason: None,
        answer_seconds: float = ANSWER_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._transport = transport
        self._deadline = deadline
        self._lost = lost
        self._answer_seconds = answer_seconds

    def seconds_left(self) -> float:
        """Until the deadline; negative afterwards."""
        return (self._deadline - self._clock.now()).total_seconds()

    async def ask(
        self,
        member: Member,
        question: str,
        message: Message,
        arrays: Mapping[str, AnyArray] | None = None,
        *,
        within: float | None = None,
    ) -> Answered:
        """The member's answer.

        Parameters
        ----------
        within
            Seconds after which it counts as lost; None for the run's deadline.

        Raises
        ------
        RunStopped
            Where it is not reached in time, or answers wrongly again and again.
        """
        body = await _packed(message, arrays or {})
        loop = asyncio.get_running_loop()
        ends = loop.time() + (self.seconds_left() if within is None else min(within, self.seconds_left()))
        tries, faulty, words = 0, 0, "it was not asked in time"
        while (left := ends - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(left, self._answer_seconds)):
                    arrival = await self._transport.ask(member, question, body)
            except TimeoutError:
                words = "it gave no answer in time"
            else:
                if arrival.status == "answered":
                    try:
                        return Answered(await _unpacked(arrival.body))
                    except BadQuestion as error:
                        words, faulty = error.detail, faulty + 1
                else:
                    words = arrival.reason or arrival.status
                    faulty = faulty + 1 if arrival.status == "faulty" else 0
                if faulty >= _FAULTY_TIMES:
                    break
            self._lost(member, question, words)
            pause = _PAUSE_SECONDS[min(tries, len(_PAUSE_SECONDS) - 1)]
            tries += 1
            await asyncio.sleep(min(pause, max(0.0, ends - loop.time())))
        raise RunStopped("aborted", f"{member.id} did not answer {question}: {words}", member.id)


def refused(member: Member, refusal: Refusal) -> RunStopped:
    """What a member's refusal makes of a run that has begun."""
    return RunStopped("aborted", f"{member.id} leaves the run ({refusal.rule}): {refusal.reason}", member.id)


def deviated(error: Deviation) -> RunStopped:
    """What a message that departs from the method makes of a run."""
    by = f"by {error.member}: " if error.member else ""
    return RunStopped("aborted", f"a message departed from the method, {by}{error.detail}", error.member or None)


async def _packed(message: Message, arrays: Mapping[str, AnyArray]) -> bytes:
    document = message.model_dump(mode="json")
    if sum(array.nbytes for array in arrays.values()) <= _AT_ONCE_BYTES:
        return pack(document, arrays)
    return await asyncio.to_thread(pack, document, arrays)


async def _unpacked(body: bytes) -> Packed:
    return unpack(body) if len(body) <= _AT_ONCE_BYTES else await asyncio.to_thread(unpack, body)


async def together(works: Iterable[Coroutine[Any, Any, _Result]]) -> list[_Result]:
    """All results in order; the first failure ends the others, and is raised when they have ended."""
    tasks: list[asyncio.Task[_Result]] = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except BaseExceptionGroup as failed:
        known = (one for one in failed.exceptions if isinstance(one, RunStopped | Deviation))
        raise next(known, failed.exceptions[0]) from None
    return [task.result() for task in tasks]
