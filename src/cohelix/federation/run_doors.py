"""A node's doors for analyses: what it says to the hub's questions of a run, and when it refuses.

Before the first sum `run_admission` answers, then `run_following` (which asks a node takes) and `run_blocks` (what it computes
and adds up). Every question may be put again, after a kill too, and has the same answer; what depends on an earlier step that
was not taken is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import numpy as np
import structlog

from cohelix.core.errors import CohelixError, Conflict, NotPermitted
from cohelix.federation.cohorts import count_for_project
from cohelix.federation.door import Answering, Content, check_protocol
from cohelix.federation.run_admission import Admission
from cohelix.federation.run_blocks import Blocks
from cohelix.federation.run_following import FollowedAsks
from cohelix.federation.run_party import REFUSALS, Arrays, Party, Refused, array_bytes, model_of, refusal_in
from cohelix.federation.worker import Workers
from cohelix.wire import analysis as wire
from cohelix.wire.cohorts import AskCohortCount, NodeCohortCount
from cohelix.wire.federation import Message
from cohelix.wire.frequency import Wire
from cohelix.wire.packed import MEDIA_TYPE, pack, unpack

_Question = TypeVar("_Question", bound=Message)
_Answer = TypeVar("_Answer", bound=Wire)
_log = structlog.get_logger("cohelix.federation")
_CLEAR_SECONDS = 600.0
_AT_ONCE_BYTES = 1 << 16  # read or written in the event loop: a thread would cost more


class RunDoors:
    """What a node says to the questions of runs; blocks are computed by `workers`."""

    def __init__(self, party: Party, workers: Workers) -> None:
        self._party, self._workers = party, workers
        self._admission, self._followed = Admission(party), FollowedAsks(party)
        self._blocks = Blocks(party, self._followed, workers)

    def open(self) -> None:
        """Answer the questions of runs."""
        for question, answering in (
            ("analysis-check", self._packed(wire.AskCheck, self._admission.check, None)),
            ("analysis-open", self._packed(wire.AskOpen, self._admission.open, wire.OpenAnswer)),
            ("analysis-roster", self._packed(wire.AskRoster, self._admission.roster, wire.RosterAnswer)),
            ("analysis-sites", self._packed(wire.AskSites, self._sites, None)),
            ("analysis-variants", self._packed(wire.AskVariants, self._variants, None)),
            ("analysis-ask", self._packed(wire.AskBegin, self._followed.ask, None)),
            ("analysis-step", self._packed(wire.AskStep, self._blocks.step, wire.StepAnswer)),
            ("analysis-aggregate", self._packed(wire.AskAggregate, self._blocks.aggregate, wire.AggregateAnswer)),
            ("analysis-end", self._packed(wire.AskEnd, self._end, None)),
        ):
            self._party.door.open(question, answering)

    def project_count(self, question: AskCohortCount) -> NodeCohortCount:
        """How many people an expression means, to a project: its ledger is the one of its analyses."""
        return count_for_project(
            self._party.folder, self._party.node, question, self._party.stance().policy, self._party.ledger
        )

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Clear what is left of old runs while the context lasts, and end the workers with it."""
        clearing = asyncio.create_task(self._clear_now_and_then())
        try:
            yield
        finally:
            clearing.cancel()
            await asyncio.gather(clearing, return_exceptions=True)
            self._followed.close()
            self._workers.close()

    async def _clear_now_and_then(self) -> None:
        while True:
            try:
                await self._party.thread(self._party.runs.clear)
                self._followed.clear()
            except (CohelixError, OSError):
                _log.exception("old runs could not be cleared")
            await asyncio.sleep(_CLEAR_SECONDS)

    async def _sites(self, message: wire.AskSites, _arrays: Arrays) -> tuple[wire.SitesAnswer, Arrays]:
        async with self._party.turn(message.run):
            found = await self._party.thread(
                lambda: self._party.study(self._party.contributing(message.run)).sites(message.start)
            )
        return wire.SitesAnswer(total=found.total, next=found.next), {"stretch": np.frombuffer(found.body, np.uint8)}

    async def _variants(self, message: wire.AskVariants, arrays: Arrays) -> tuple[wire.VariantsAnswer, Arrays]:
        def take() -> int:
            run = self._party.contributing(message.run)
            if run.frozen() is None:
                raise Conflict("the list of variants comes after the roster")
            body = array_bytes(arrays, "stretch")
            stretch = {"start": message.start, "total": message.total}
            return self._party.study(run).take_variants(body, **stretch, digest=message.digest)

        async with self._party.turn(message.run):
            return wire.VariantsAnswer(held=await self._party.thread(take)), {}

    async def _end(self, message: wire.AskEnd, _arrays: Arrays) -> tuple[wire.EndAnswer, Arrays]:
        async with self._party.turn(message.run):
            await self._party.thread(self._party.runs.end, message.run, message.outcome)
            self._followed.let_go(message.run)
            if not await self._party.thread(self._party.runs.count_running):
                await self._party.thread(self._workers.close)  # workers hold people's traits as long as they are open
        self._party.forget(message.run)
        return wire.EndAnswer(run=message.run), {}

    def _packed(
        self,
        kind: type[_Question],
        answer: Callable[[_Question, Arrays], Awaitable[tuple[_Answer, Arrays]]],
        refusing: type[_Answer] | None,
    ) -> Answering:
        """Answers packed messages of one model; a refusal is an answer where the model has room for one."""

        async def answering(body: bytes) -> Content:
            packed = unpack(body) if len(body) <= _AT_ONCE_BYTES else await self._party.thread(unpack, body)
            message = model_of(kind, packed.document)
            check_protocol(message)
            found: Wire
            arrays: Arrays
            try:
                found, arrays = await answer(message, packed.arrays)
            except (Refused, *REFUSALS) as error:
                if refusing is not None:
                    found, arrays = refusing.model_validate({"refusal": refusal_in(error)}), {}
                elif isinstance(error, Refused):
                    raise NotPermitted(error.refusal.reason) from None
                else:
                    raise
            document = found.model_dump(mode="json")
            if sum(array.nbytes for array in arrays.values()) <= _AT_ONCE_BYTES:
                return Content(pack(document, arrays), MEDIA_TYPE)
            return Content(await self._party.thread(pack, document, arrays), MEDIA_TYPE)

        return answering
