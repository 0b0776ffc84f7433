"""What the doors of runs stand on: node, operator's stance, the runs that it keeps, and the ways out of one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import numpy as np
from pydantic import ValidationError

from cohelix.access.policy import REVOCATION_UNKNOWN
from cohelix.analysis.steps import AnyArray
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadQuestion, CohelixError, Conflict, Deviation, NotFound, NotPermitted, ShapeMismatch
from cohelix.disclosure import AnalysisPolicy, Verdict
from cohelix.disclosure.ledger import Ledger
from cohelix.federation.door import Door
from cohelix.federation.node_runs import NodeRuns, RunFolder
from cohelix.federation.roster import Peer
from cohelix.federation.run_access import RunAccess
from cohelix.federation.run_study import RunStudy
from cohelix.wire import analysis as wire
from cohelix.wire.frequency import Wire

Arrays = Mapping[str, AnyArray]
_Document = TypeVar("_Document", bound=Wire)
_Result = TypeVar("_Result")
_THREADS = 8  # for checking, sealing, adding up; computing has its own workers
REFUSALS = (NotPermitted, NotFound, BadQuestion, ShapeMismatch, Conflict)


@dataclass(frozen=True)
class Stance:
    """What the node's operator has settled: policy, whom the node knows, and whether it adds up shares of others."""

    policy: AnalysisPolicy
    peers: Mapping[str, Peer]
    aggregator: bool


class Refused(Exception):
    """A refusal by a rule, in its own words."""

    def __init__(self, refusal: wire.Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


class Party:
    """A node that may take part in runs.

    Parameters
    ----------
    folder, node
        The node's folder and id.
    stance
        Gives the operator's settings as they are now.
    ledger
        Gives the node's ledger; asked when it is first needed.
    access
        Whether the proposer may have a run here.
    """

    def __init__(
        self,
        folder: Path,
        node: str,
        door: Door,
        runs: NodeRuns,
        *,
        stance: Callable[[], Stance],
        ledger: Callable[[], Ledger],
        access: RunAccess,
        clock: Clock | None = None,
    ) -> None:
        self.folder, self.node, self.door, self.runs = folder, node, door, runs
        self.stance, self.ledger, self.access = stance, ledger, access
        self.clock = clock or SystemClock()
        self._limiter = anyio.CapacityLimiter(_THREADS)
        self._turns: dict[str, asyncio.Lock] = {}

    def turn(self, run: str) -> asyncio.Lock:
        """Whoever changes what is settled of a run holds this."""
        return self._turns.setdefault(run, asyncio.Lock())

    def forget(self, run: str) -> None:
        """The run is over."""
        self._turns.pop(run, None)

    async def thread(self, function: Callable[..., _Result], *given: object) -> _Result:
        """Call a function in a thread."""
        return await anyio.to_thread.run_sync(partial(function, *given), limiter=self._limiter)

    def study(self, run: RunFolder) -> RunStudy:
        """The node's part of a run's study."""
        return RunStudy(self.folder, self.node, run)

    def taking_part(self, run: str) -> RunFolder:
        """The run, if this node takes part in it now; it may have left."""
        found, left = self.runs.standing(run)
        if left is not None:
            raise Refused(left)
        return found

    def contributing(self, run: str) -> RunFolder:
        """The run, if this node contributes to it now."""
        found = self.taking_part(run)
        if not found.record.acceptance.contributor:
            raise NotPermitted("this node did not accept to contribute to the run")
        refusal = self.access.ended(found.record.visas)
        if refusal is not None:
            if refusal.rule == REVOCATION_UNKNOWN:  # it may pass
                raise Conflict(refusal.reason)
            raise self.left(run, refusal)
        return found

    def left(self, run: str, refusal: wire.Refusal) -> Refused:
        """Leave a run for good, and write down why; what to raise."""
        self.runs.leave(run, refusal)
        found = self.runs.find(run)
        if found is not None:
            self.access.note_left(run, found.record.parsed_plan(), refusal)
        return Refused(refusal)


def refusal_in(error: CohelixError | Refused) -> wire.Refusal:
    """An error as a refusal."""
    if isinstance(error, Refused):
        return error.refusal
    rule = error.name if isinstance(error, Deviation) else error.slug
    return wire.Refusal(rule=rule, reason=error.detail[:1000])


def refusal_of(verdict: Verdict) -> wire.Refusal | None:
    """What a verdict refuses; None where it accepts."""
    return None if verdict.accepts else wire.Refusal(rule=verdict.rule, reason=verdict.sentence)


def model_of(kind: type[_Document], document: object) -> _Document:
    """A document as one of a kind; `BadQuestion` for another."""
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise BadQuestion("the message is not the one that was agreed for this question") from error


def array_bytes(arrays: Arrays, name: str) -> bytes:
    """Bytes that came as an array; `BadQuestion` where they did not."""
    array = arrays.get(name)
    if array is None or array.dtype != np.uint8 or array.ndim != 1:
        raise BadQuestion(f"the message lacks {name}")
    return array.tobytes()
