"""Asks many nodes at once, with one deadline; returns answers and named absences.

Nothing that one node does delays or breaks the rest: every question is a task of its own, and at the deadline those
that are still under way are named `late` and cancelled without waiting for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import structlog
from pydantic import ValidationError

from cohelix.core.clock import SystemClock
from cohelix.core.errors import BadInput
from cohelix.federation.transport import Arrival, Transport
from cohelix.wire.federation import Member, Road
from cohelix.wire.frequency import RoadStatus

Answer = TypeVar("Answer")

DEADLINE_SECONDS = 5.0  # also what the Beacon network of ELIXIR waits for
_cancelled: set[asyncio.Task[object]] = set()  # held until they have ended
_clock = SystemClock()  # finer than uvloop's own, which counts milliseconds
_log = structlog.get_logger("cohelix.federation")


@dataclass(frozen=True, slots=True)
class Asked(Generic[Answer]):
    """What came of asking one member; `answer` is None unless the road's status is `answered`."""

    member: Member
    road: Road
    answer: Answer | None


async def ask_all(
    transport: Transport,
    question: str,
    bodies: Sequence[tuple[Member, bytes]],
    read: Callable[[Member, bytes], Answer],
    *,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> AsyncGenerator[Asked[Answer], None]:
    """Put one question to many members; yields one result for each, in the order of arrival.

    Parameters
    ----------
    question, bodies
        What kind of question, and each member's message as JSON.
    read
        Parses and checks a member's answer; raises `BadInput` or pydantic's `ValidationError` for one that a sound
        node would not give, which makes the member `faulty`.
    deadline_seconds
        From now; the last result is yielded within it, but for the time that reading an answer takes.
    """
    loop = asyncio.get_running_loop()
    started = _clock.monotonic()
    tasks: dict[asyncio.Task[Asked[Answer]], Member] = {}
    for member, body in bodies:
        asking = partial(transport.ask, member, question, body)
        tasks[loop.create_task(_ask_one(asking, member, read, started))] = member
    pending = set(tasks)
    try:
        while pending:
            left = started + deadline_seconds - _clock.monotonic()
            done, pending = await asyncio.wait(pending, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
            for task in done:
                yield task.result()
        late = sorted((tasks[task] for task in pending), key=lambda member: member.id)
        for member in late:
            reason = f"no answer within {deadline_seconds:g} s"
            yield _asked(member, "late", reason, started)
    finally:
        for task in pending:
            task.cancel()
            _cancelled.add(task)
            task.add_done_callback(_forget)


async def _ask_one(
    asking: Callable[[], Awaitable[Arrival]], member: Member, read: Callable[[Member, bytes], Answer], started: float
) -> Asked[Answer]:
    try:
        arrival = await asking()
        if arrival.status != "answered":
            return _asked(member, arrival.status, arrival.reason, started)
        answer = read(member, arrival.body)
    except (BadInput, ValidationError) as error:
        words = error.detail if isinstance(error, BadInput) else "it is not the document that was agreed"
        return _asked(member, "faulty", f"its answer was not accepted: {words}", started)
    except Exception:  # whatever it is, the other members' answers must not suffer from it
        _log.exception("question failed", member=member.id)
        return _asked(member, "faulty", "its answer could not be handled", started)
    return Asked(member, Road(node=member.id, status="answered", elapsed_ms=_elapsed_ms(started)), answer)


def _asked(member: Member, status: RoadStatus, reason: str | None, started: float) -> Asked[Answer]:
    return Asked(member, Road(node=member.id, status=status, reason=reason, elapsed_ms=_elapsed_ms(started)), None)


def _elapsed_ms(started: float) -> float:
    return round((_clock.monotonic() - started) * 1000, 1)


def _forget(task: asyncio.Task[object]) -> None:
    _cancelled.discard(task)
    if not task.cancelled():
        task.exception()  # taken note of: it came after the deadline
