"""A node's doors for analyses: what it says to the hub's questions of a run, and when it refuses.

Policy and ledger decide before anything is contributed (`analysis.admission`); rosters and sums are checked as
`federation.roster` and `federation.secure_sum` have it. Every question may be put again, after a kill too, and has the same
answer; what depends on an earlier step that was not taken is refused.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import numpy as np
import structlog
from pydantic import ValidationError

from cohelix.access.policy import REVOCATION_UNKNOWN
from cohelix.analysis.admission import admit
from cohelix.analysis.check import plan_cost
from cohelix.analysis.local import covariate_names
from cohelix.analysis.steps import KEPT_STEPS, LOCAL_STEPS, AnyArray, Ask
from cohelix.analysis.variants import VariantList
from cohelix.bank.publish import DATASETS, read_pointer
from cohelix.bank.study import StudyPeople, open_study, trait_columns
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadQuestion, CohelixError, Conflict, Damaged, Deviation, NotFound, NotPermitted, ShapeMismatch
from cohelix.disclosure import AnalysisPolicy, PooledFacts, Verdict, decide_pooled
from cohelix.disclosure.ledger import Ledger
from cohelix.federation.asking import ask_digest, block_digest, check_called_for, unpack_ask
from cohelix.federation.cohorts import count_for_project
from cohelix.federation.derived_asks import DerivedAsks, Needs
from cohelix.federation.door import Answering, Content, Door, check_protocol
from cohelix.federation.node_runs import NodeRuns, RunFolder, RunRecord
from cohelix.federation.roster import (
    HUB,
    FrozenRoster,
    Mode,
    Peer,
    Roster,
    RosterSignature,
    accept,
    check_frozen,
    new_session,
    same_roster,
    sign_roster,
)
from cohelix.federation.run_access import Allowed, RunAccess
from cohelix.federation.run_study import RunStudy
from cohelix.federation.run_table import loci_rows, put_all_asks
from cohelix.federation.secure_sum import Header, Partial, Place, aggregate, check_first_sum, opening_of, seal
from cohelix.federation.worker import StepTask, Workers, read_ask, unpack_part
from cohelix.stats.secret_sharing import Layout
from cohelix.wire import analysis as wire
from cohelix.wire.cohorts import AskCohortCount, NodeCohortCount
from cohelix.wire.federation import Message
from cohelix.wire.frequency import Wire
from cohelix.wire.packed import MEDIA_TYPE, pack, unpack
from cohelix.wire.plan import Plan, parse_plan, plan_hash

Arrays = Mapping[str, AnyArray]
_Question = TypeVar("_Question", bound=Message)
_Answer = TypeVar("_Answer", bound=Wire)
_Result = TypeVar("_Result")
_log = structlog.get_logger("cohelix.federation")
ROWS_MAX = 1 << 16  # of one block
_THREADS = 8  # for checking, sealing, adding up; computing has its own workers
_CLEAR_SECONDS = 600.0
_RUNNING_MAX = 64  # runs at a time
_RUN_DAYS_MAX = 31  # so long at most the key of a run and people's traits may be kept for it
_NO_VARIANTS = wire.Refusal(rule="no-variants", reason="This node has no variant that the plan means and that it may name.")
_REFUSALS = (NotPermitted, NotFound, BadQuestion, ShapeMismatch, Conflict)


@dataclass(frozen=True)
class Stance:
    """What the node's operator has settled: policy, whom the node knows, and whether it adds up shares of others."""

    policy: AnalysisPolicy
    peers: Mapping[str, Peer]
    aggregator: bool


class RunDoors:
    """What a node says to the questions of runs.

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
    workers
        Where blocks are computed.
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
        workers: Workers,
        clock: Clock | None = None,
    ) -> None:
        self._folder, self._node, self._door, self._runs = folder, node, door, runs
        self._stance, self._ledger, self._access, self._workers = stance, ledger, access, workers
        self._clock = clock or SystemClock()
        self._limiter = anyio.CapacityLimiter(_THREADS)
        self._turns: dict[str, asyncio.Lock] = {}
        self._sealing: dict[tuple[str, int, int, str], asyncio.Task[tuple[wire.StepAnswer, Arrays]]] = {}
        self._following: dict[str, DerivedAsks] = {}

    def open(self) -> None:
        """Answer the questions of runs."""
        for question, answering in (
            ("analysis-check", self._packed(wire.AskCheck, self._check, None)),
            ("analysis-open", self._packed(wire.AskOpen, self._open, wire.OpenAnswer)),
            ("analysis-roster", self._packed(wire.AskRoster, self._roster, wire.RosterAnswer)),
            ("analysis-sites", self._packed(wire.AskSites, self._sites, None)),
            ("analysis-variants", self._packed(wire.AskVariants, self._variants, None)),
            ("analysis-ask", self._packed(wire.AskBegin, self._ask, None)),
            ("analysis-step", self._packed(wire.AskStep, self._step, wire.StepAnswer)),
            ("analysis-aggregate", self._packed(wire.AskAggregate, self._aggregate, wire.AggregateAnswer)),
            ("analysis-end", self._packed(wire.AskEnd, self._end, None)),
        ):
            self._door.open(question, answering)

    def project_count(self, question: AskCohortCount) -> NodeCohortCount:
        """How many people an expression means, to a project: its ledger is the one of its analyses."""
        return count_for_project(self._folder, self._node, question, self._stance().policy, self._ledger)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Clear what is left of old runs while the context lasts, and end the workers with it."""
        clearing = asyncio.create_task(self._clear_now_and_then())
        try:
            yield
        finally:
            clearing.cancel()
            await asyncio.gather(clearing, return_exceptions=True)
            self._unfollow(*self._following)
            self._workers.close()

    async def _clear_now_and_then(self) -> None:
        while True:
            try:
                await self._thread(self._runs.clear)
                self._unfollow(*(run for run in list(self._following) if self._runs.find(run) is None))
            except (CohelixError, OSError):
                _log.exception("old runs could not be cleared")
            await asyncio.sleep(_CLEAR_SECONDS)

    async def _check(self, message: wire.AskCheck, _arrays: Arrays) -> tuple[wire.CheckAnswer, Arrays]:
        return await self._thread(self._checked, message), {}

    def _checked(self, message: wire.AskCheck) -> wire.CheckAnswer:
        plan, stance = parse_plan(message.plan), self._stance()
        known = wire.CheckAnswer(node=self._node, takes_part=False, aggregator=stance.aggregator)
        if not plan.datasets_of(self._node):
            return known.model_copy(update={"takes_part": stance.aggregator})
        try:
            study = open_study(self._folder, self._node, plan)
            cost = plan_cost(study)
            allowed = self._access.allowed(message, plan, study, plan_hash(plan))
            if not cost.variants and all(part.version.manifest.disclosure != "closed" for part in study.parts):
                return known.model_copy(update={"refusal": _NO_VARIANTS, "open_data": study.open_data})  # nothing is booked
            refusal = allowed.refusal or _refusal_of(admit(*allowed.as_booked(study, stance.policy), self._ledger()))
        except _REFUSALS as error:
            refusal = _refusal(error)
            self._access.note("", plan, plan_hash(plan), refusal)
            return known.model_copy(update={"refusal": refusal})
        told: dict[str, object] = {"refusal": refusal, "open_data": study.open_data}
        if refusal is None:
            told |= {"takes_part": True, "contributor": True, "people": study.n // 10 * 10}
            told |= {"seconds": cost.seconds, "bytes_sent": cost.bytes_sent}
        return known.model_copy(update=told)

    async def _open(self, message: wire.AskOpen, _arrays: Arrays) -> tuple[wire.OpenAnswer, Arrays]:
        async with self._turn(message.run):
            return await self._thread(self._opened, message), {}

    def _opened(self, message: wire.AskOpen) -> wire.OpenAnswer:
        plan = parse_plan(message.plan)
        if plan_hash(plan) != message.plan_hash:
            raise BadQuestion("the plan's hash is not that of the plan")
        _check_deadline(message.deadline, self._clock)
        found = self._runs.find(message.run)
        if found is None:
            if self._runs.count_running() >= _RUNNING_MAX:
                raise Conflict("this node takes part in as many runs as it may at a time")
            found = self._decided(message, plan)
        elif found.record.plan_hash != message.plan_hash:
            raise Deviation("foreign-plan", "the run was opened with another plan", HUB)
        record = self._runs.running(message.run).record
        return wire.OpenAnswer(acceptance=record.acceptance.model_dump(mode="json"), terms=record.terms, refusal=record.refusal)

    def _decided(self, message: wire.AskOpen, plan: Plan) -> RunFolder:
        """Decide, book, freeze, and keep all that for as long as the run lasts."""
        stance = self._stance()
        study, refusal, allowed = None, None, Allowed()
        if plan.datasets_of(self._node):
            try:
                study = open_study(self._folder, self._node, plan)
                allowed = self._access.allowed(message, plan, study, message.plan_hash)
                booked = allowed.as_booked(study, stance.policy)
                refusal = allowed.refusal or _refusal_of(admit(*booked, self._ledger(), run=message.run))
            except _REFUSALS as error:
                refusal = _refusal(error)
        contributor = study is not None and refusal is None
        if plan.datasets_of(self._node):
            self._access.note(message.run, plan, message.plan_hash, refusal)
        if not contributor and not stance.aggregator:
            reason = refusal or wire.Refusal(
                rule="no-part", reason="The plan names no dataset of this node, and it adds up nothing."
            )
            raise _Refused(reason)
        session = new_session()
        terms = _terms(study, stance, self._node) if study is not None and contributor else wire.Terms()
        acceptance = accept(
            message.run,
            message.plan_hash,
            node=self._node,
            frozen=study.fingerprint() if study is not None and contributor else "",
            session=session,
            contributor=contributor,
            aggregator=stance.aggregator,
            identity=self._door.identity,
            terms=terms,
        )
        record = RunRecord(
            run=message.run,
            plan=message.plan,
            plan_hash=message.plan_hash,
            deadline=message.deadline,
            acceptance=acceptance,
            terms=terms,
            refusal=refusal,
            versions=study.versions if study is not None and contributor else {},
            people=study.n if study is not None and contributor else 0,
            booked_to=allowed.booked_to,
            visas=allowed.visas if contributor else (),
        )
        return self._runs.begin(record, session)

    async def _roster(self, message: wire.AskRoster, _arrays: Arrays) -> tuple[wire.RosterAnswer, Arrays]:
        async with self._turn(message.run):
            return await self._thread(self._rostered, message), {}

    def _rostered(self, message: wire.AskRoster) -> wire.RosterAnswer:
        run = self._taking_part(message.run)
        roster, stance, own = _model(Roster, message.roster), self._stance(), run.record.acceptance
        pinned = self._door.pinned()
        assert pinned is not None  # the door was open
        # The coordinator's key is the hub's of now, or the one that still holds beside it.
        keys = self._door.hub_keys(pinned)
        coordinator = roster.coordinator if roster.coordinator in keys else keys[0]
        modes: tuple[Mode, ...] = ("shares",)
        if own.contributor:
            modes = stance.policy.modes(all_open=run.record.terms.open_data)
        if not message.signatures:
            signature = sign_roster(
                roster,
                own=own,
                peers=stance.peers,
                coordinator=coordinator,
                identity=self._door.identity.holding(own.node_key),
                earlier=self._runs.earlier_roster(message.run),
                modes=modes,
            )
            self._settle(run, roster)
            return wire.RosterAnswer(signature=signature.model_dump(mode="json"))
        frozen = FrozenRoster(roster=roster, signatures=tuple(_model(RosterSignature, one) for one in message.signatures))
        earlier = self._runs.earlier_roster(message.run)
        check_frozen(frozen, own=own, peers=stance.peers, coordinator=coordinator, earlier=earlier, modes=modes)
        self._settle(run, roster)
        if run.frozen() is None:
            names = [one.node for one in roster.contributors()]
            place = names.index(self._node) if own.contributor else 0
            run.freeze(
                frozen,
                {"place": place, "node_level": run.record.terms.node_level, "mac_floor": run.record.terms.mac_floor},
            )
        return wire.RosterAnswer(agreed=True)

    def _settle(self, run: RunFolder, roster: Roster) -> None:
        """This roster and no other; of guarded data the ledger must agree to those who take part."""
        record = run.record
        if record.acceptance.contributor and not record.terms.open_data:
            names = [one.node for one in roster.contributors()]
            verdict = self._ledger().book_members(record.project, record.run, names)
            refusal = _refusal_of(verdict)
            if refusal is not None:
                self._runs.leave(record.run, refusal)
                raise _Refused(refusal)
        self._runs.settle_roster(record.run, roster.digest())

    async def _sites(self, message: wire.AskSites, _arrays: Arrays) -> tuple[wire.SitesAnswer, Arrays]:
        async with self._turn(message.run):
            found = await self._thread(lambda: self._study(self._contributing(message.run)).sites(message.start))
        return wire.SitesAnswer(total=found.total, next=found.next), {"stretch": np.frombuffer(found.body, np.uint8)}

    async def _variants(self, message: wire.AskVariants, arrays: Arrays) -> tuple[wire.VariantsAnswer, Arrays]:
        def take() -> int:
            run = self._contributing(message.run)
            if run.frozen() is None:
                raise Conflict("the list of variants comes after the roster")
            body = _bytes(arrays, "stretch")
            stretch = {"start": message.start, "total": message.total}
            return self._study(run).take_variants(body, **stretch, digest=message.digest)

        async with self._turn(message.run):
            return wire.VariantsAnswer(held=await self._thread(take)), {}

    def _study(self, run: RunFolder) -> RunStudy:
        return RunStudy(self._folder, self._node, run)

    async def _ask(self, message: wire.AskBegin, arrays: Arrays) -> tuple[wire.BeginAnswer, Arrays]:
        async with self._turn(message.run):
            try:
                needs = await self._thread(self._began, message, arrays)
            except (_Refused, *_REFUSALS) as error:
                return wire.BeginAnswer(digest=message.digest, refusal=_refusal(error)), {}
        return wire.BeginAnswer(digest=message.digest, needs=needs), {}

    def _began(self, message: wire.AskBegin, arrays: Arrays) -> tuple[tuple[int, int], ...]:
        """Keep an ask that follows from the opened sums; or the openings that are needed to tell whether it does."""
        run = self._contributing(message.run)
        frozen = run.frozen()
        if frozen is None:
            raise Conflict("an ask comes after the roster")
        packed = _bytes(arrays, "ask")
        if ask_digest(packed) != message.digest:
            raise BadQuestion("the ask is not the one that its digest names")
        ask, over_variants = unpack_ask(packed)
        if ask.step not in LOCAL_STEPS:
            raise BadQuestion(f"there is no step {ask.step[:40]!r}: nodes run built-in steps only")
        check_called_for(ask.step, run.record.parsed_plan())
        if ask.step == "node-estimates":
            _check_loci(run, ask)
        if message.ask == 0 and (over_variants or ask.step != "people"):
            raise Deviation("foreign-first-sum", "the first sum of a run counts its people", HUB)
        if message.ask > 0 and run.pooled_people() is None:
            self._check_first_sum(run, frozen, arrays)
        found = self._followed(run, frozen, message.ask, packed, arrays)
        if isinstance(found, Needs):
            return found.blocks
        run.keep_ask(message.ask, packed, lasting=ask.step in KEPT_STEPS, derived=found)
        return ()

    def _followed(
        self, run: RunFolder, frozen: FrozenRoster, number: int, packed: bytes, arrays: Arrays
    ) -> bytes | Needs | None:
        """The ask as this node derives it; None where it was told before. A hub that asks another one loses the node."""
        name = run.record.run
        run.check_ask(number, packed)
        following = self._following.get(name)
        try:
            if following is None:
                following = self._following[name] = _derived_asks(run, frozen)
            # After a restart the asks that were told before come first: they are followed once more.
            while following.next < number:
                self._take_openings(name, following, arrays)
                told = run.ask(following.next)
                if told is None:
                    raise BadQuestion("asks are told in their order")
                derived = following.match(following.next, told)
                if isinstance(derived, Needs):
                    return derived
            if following.next > number:
                return None
            self._take_openings(name, following, arrays)
            return following.match(number, packed)
        except Deviation as error:
            if error.name == "foreign-ask":
                raise self._left(name, _refusal(error)) from None
            raise

    def _take_openings(self, run: str, following: DerivedAsks, arrays: Arrays) -> None:
        for key, array in arrays.items():
            found = re.fullmatch(r"opening\.(\d{1,9})\.(\d{1,9})", key)
            own = None if found is None else self._runs.signed(run, "header", int(found[1]), int(found[2]))
            if own is not None:
                following.open(array.tobytes(), Header.model_validate_json(own))

    def _left(self, run: str, refusal: wire.Refusal) -> _Refused:
        """Leave a run for good; what to raise."""
        self._runs.leave(run, refusal)
        self._unfollow(run)
        return _Refused(refusal)

    def _unfollow(self, *runs: str) -> None:
        for run in runs:
            following = self._following.pop(run, None)
            if following is not None:
                following.close()

    def _check_first_sum(self, run: RunFolder, frozen: FrozenRoster, arrays: Arrays) -> None:
        """Whether enough others take part: found by the node itself, from the opened count of people; it leaves otherwise."""
        record, policy = run.record, self._stance().policy
        own = self._runs.signed(record.run, "header", 0, 0)
        if own is None:
            raise Deviation("foreign-first-sum", "this node has not been asked for the first sum", HUB)
        contributors = frozen.roster.contributors()
        layout = Layout.of(read_ask(run.path, 0).ask.statistics, None, len(contributors))
        plan, all_open = record.parsed_plan(), record.terms.open_data
        try:
            people = check_first_sum(
                opening_of(_bytes(arrays, "opening.0.0")),
                layout,
                frozen,
                own=Header.model_validate_json(own),
                people=record.people,
                floor=0 if all_open else policy.others_min,
            )
            facts = PooledFacts(
                all_open=all_open,
                contributors=len(contributors),
                people=record.people,
                pooled_people=people,
                parameters=len(covariate_names(plan, [one.node for one in contributors])) + 1 + len(trait_columns(plan)),
                plain=frozen.roster.mode == "plain",
            )
            refusal = _refusal_of(decide_pooled(facts, policy))
        except Deviation as error:
            if error.name != "too-few-others":
                raise
            refusal = _refusal(error)
        if refusal is not None:
            self._runs.leave(record.run, refusal)
            raise _Refused(refusal)
        run.keep_pooled_people(people)

    async def _step(self, message: wire.AskStep, arrays: Arrays) -> tuple[wire.StepAnswer, Arrays]:
        """One block, computed once however often it is asked at the same time."""
        key = (message.run, message.ask, message.block, message.asked)
        task = self._sealing.get(key)
        if task is None:
            task = self._sealing[key] = asyncio.create_task(self._sealed(message, arrays))
            task.add_done_callback(lambda _done: self._sealing.pop(key, None))
        return await asyncio.shield(task)

    async def _sealed(self, message: wire.AskStep, arrays: Arrays) -> tuple[wire.StepAnswer, Arrays]:
        task = await self._thread(self._stepping, message, arrays)
        if task is None:
            return wire.StepAnswer(needs="ask"), {}
        try:
            packed = await self._workers.compute(task)
        except ShapeMismatch as error:
            # Bounds are the hub's choice. That a figure keeps one tells of this node alone, so it is told once.
            await self._thread(self._exceeded, message.run, _refusal(error))
            raise
        header, payloads = await self._thread(self._hidden, message, arrays, packed)
        told = {f"payload.{name}": np.frombuffer(body, np.uint8) for name, body in payloads.items()}
        return wire.StepAnswer(header=header.model_dump(mode="json")), told

    def _exceeded(self, run: str, refusal: wire.Refusal) -> None:
        self._runs.leave(run, refusal)
        found = self._runs.find(run)
        if found is not None and not found.record.terms.open_data:
            self._ledger().note_leave(found.record.project, run)

    def _stepping(self, message: wire.AskStep, arrays: Arrays) -> StepTask | None:
        """The task that answers a step, once it is clear that it may be answered; None where the ask must be told again."""
        run = self._contributing(message.run)
        same_roster(run.frozen(), message.roster)
        try:
            told = read_ask(run.path, message.ask)
        except Damaged:
            return None
        if told.digest != message.digest:
            raise Deviation("second-ask", "another question was told under this number before", HUB)
        if message.ask > 0 and run.pooled_people() is None:
            return None
        if block_digest(message.digest, message.block, arrays) != message.asked:
            raise Deviation("split-ask", "the block is not the one that its digest names", HUB)
        self._check_rows(run, arrays, over_variants=told.over_variants, block=message.block)
        block = b""
        if told.over_variants:
            following = self._following.get(message.run)
            try:
                derived = None if following is None else following.block(message.ask, message.block, arrays)
            except Deviation as error:
                raise self._left(message.run, _refusal(error)) from None
            if derived is None:
                return None
            block = pack({}, dict(derived))
        self._check_versions(run)
        self._study(run).lay_out()
        kept = run.lasting_asks(message.ask)
        return StepTask(str(self._folder), str(run.path), message.ask, block, kept)

    def _check_rows(self, run: RunFolder, arrays: Arrays, *, over_variants: bool, block: int) -> None:
        rows = arrays.get("rows")
        if not over_variants:
            if arrays or block != 0:
                raise BadQuestion("a step over people has one block, without arrays")
            return
        if rows is None or rows.dtype != np.int64 or rows.ndim != 1 or not 0 < len(rows) <= ROWS_MAX:
            raise BadQuestion(f"a block has 1 to {ROWS_MAX} rows")
        if rows[0] < 0 or rows[-1] >= run.n_variants() or (np.diff(rows) <= 0).any():
            raise BadQuestion("rows are ascending numbers in the run's list of variants")
        if any(len(array) != len(rows) for array in arrays.values() if array.ndim) or any(a.ndim == 0 for a in arrays.values()):
            raise BadQuestion("arrays of a block have a line for each row")

    def _check_versions(self, run: RunFolder) -> None:
        """People who were withdrawn since the run began must not be in another sum of it."""
        for dataset, version in run.record.versions.items():
            pointer = read_pointer(self._folder / DATASETS / dataset)
            if pointer is None or pointer.state != "published" or pointer.version != version:
                refusal = wire.Refusal(rule="versions", reason="The data of this node have changed since the run began.")
                self._runs.leave(run.record.run, refusal)
                raise _Refused(refusal)

    def _hidden(self, message: wire.AskStep, arrays: Arrays, packed: bytes) -> tuple[Header, dict[str, bytes]]:
        """The block's figures as they leave the node; its header is kept first."""
        run = self._contributing(message.run)
        frozen = run.frozen()
        assert frozen is not None  # checked before
        told = read_ask(run.path, message.ask)
        lead = len(arrays["rows"]) if told.over_variants else None
        earlier = self._runs.signed(message.run, "header", message.ask, message.block)
        sealed = seal(
            unpack_part(packed),
            Place(message.ask, message.block, message.asked),
            Layout.of(told.ask.statistics, lead, len(frozen.roster.contributors())),
            frozen,
            node=self._node,
            session=run.session(),
            identity=self._door.identity.holding(run.record.acceptance.node_key),
            earlier=None if earlier is None else Header.model_validate_json(earlier),
        )
        document = sealed.header.model_dump_json()
        asked = f"{message.digest} {told.ask.step}"
        self._runs.keep_signed(message.run, "header", message.ask, message.block, document, asked=asked)
        return sealed.header, sealed.payloads

    async def _aggregate(self, message: wire.AskAggregate, arrays: Arrays) -> tuple[wire.AggregateAnswer, Arrays]:
        return await self._thread(self._added, message, arrays)

    def _added(self, message: wire.AskAggregate, arrays: Arrays) -> tuple[wire.AggregateAnswer, Arrays]:
        run = self._taking_part(message.run)
        frozen = same_roster(run.frozen(), message.roster)
        if self._node not in frozen.roster.receivers():
            raise Deviation("wrong-aggregators", "this member is not an aggregator of the roster", HUB)
        earlier = self._runs.signed(message.run, "partial", message.ask, message.block)
        payloads = {
            name.removeprefix("payload."): array.tobytes() for name, array in arrays.items() if name.startswith("payload.")
        }
        added = aggregate(
            Place(message.ask, message.block, message.asked),
            [_model(Header, one) for one in message.headers],
            payloads,
            frozen,
            node=self._node,
            session=run.session(),
            identity=self._door.identity.holding(run.record.acceptance.node_key),
            earlier=None if earlier is None else Partial.model_validate_json(earlier),
        )
        document = added.partial.model_dump_json()
        self._runs.keep_signed(message.run, "partial", message.ask, message.block, document)
        return wire.AggregateAnswer(partial=added.partial.model_dump(mode="json")), {"words": added.words}

    async def _end(self, message: wire.AskEnd, _arrays: Arrays) -> tuple[wire.EndAnswer, Arrays]:
        async with self._turn(message.run):
            await self._thread(self._runs.end, message.run, message.outcome)
            self._unfollow(message.run)
            if not await self._thread(self._runs.count_running):
                await self._thread(self._workers.close)  # workers hold people's traits as long as they are open
        self._turns.pop(message.run, None)
        return wire.EndAnswer(run=message.run), {}

    def _taking_part(self, run: str) -> RunFolder:
        """The run, if this node takes part in it now; it may have left."""
        left = self._runs.refusal(run)
        if left is not None:
            raise _Refused(left)
        return self._runs.running(run)

    def _contributing(self, run: str) -> RunFolder:
        found = self._taking_part(run)
        if not found.record.acceptance.contributor:
            raise NotPermitted("this node did not accept to contribute to the run")
        refusal = self._access.ended(found.record.visas)
        if refusal is not None:
            if refusal.rule == REVOCATION_UNKNOWN:  # it may pass
                raise Conflict(refusal.reason)
            self._runs.leave(run, refusal)
            raise _Refused(refusal)
        return found

    def _turn(self, run: str) -> asyncio.Lock:
        return self._turns.setdefault(run, asyncio.Lock())

    async def _thread(self, function: Callable[..., _Result], *given: object) -> _Result:
        return await anyio.to_thread.run_sync(partial(function, *given), limiter=self._limiter)

    def _packed(
        self,
        kind: type[_Question],
        answer: Callable[[_Question, Arrays], Awaitable[tuple[_Answer, Arrays]]],
        refusing: type[_Answer] | None,
    ) -> Answering:
        """Answers packed messages of one model; a refusal is an answer where the model has room for one."""

        async def answering(body: bytes) -> Content:
            packed = await self._thread(unpack, body)
            message = _model(kind, packed.document)
            check_protocol(message)
            found: Wire
            arrays: Arrays
            try:
                found, arrays = await answer(message, packed.arrays)
            except (_Refused, *_REFUSALS) as error:
                if refusing is not None:
                    found, arrays = refusing.model_validate({"refusal": _refusal(error)}), {}
                elif isinstance(error, _Refused):
                    raise NotPermitted(error.refusal.reason) from None
                else:
                    raise
            return Content(await self._thread(pack, found.model_dump(mode="json"), arrays), MEDIA_TYPE)

        return answering


class _Refused(Exception):
    """A refusal by a rule, in its own words."""

    def __init__(self, refusal: wire.Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


def _refusal(error: CohelixError | _Refused) -> wire.Refusal:
    if isinstance(error, _Refused):
        return error.refusal
    rule = error.name if isinstance(error, Deviation) else error.slug
    return wire.Refusal(rule=rule, reason=error.detail[:1000])


def _refusal_of(verdict: Verdict) -> wire.Refusal | None:
    return None if verdict.accepts else wire.Refusal(rule=verdict.rule, reason=verdict.sentence)


def _terms(study: StudyPeople, stance: Stance, node: str) -> wire.Terms:
    policy = stance.policy
    if study.open_data:
        words, floor = "open data: no minimum", 0
    else:
        floor = policy.allele_count_min
        words = (
            f"at least {policy.people_min} people, {policy.cases_min} cases, {policy.controls_min} controls; "
            f"{policy.others_min} people of others; {policy.parameters_share_max:g} parameters and "
            f"{policy.traits_share_max:g} traits for each person; {floor} copies of the rarer allele"
        )
    known = {name for name, peer in stance.peers.items() if peer.aggregator}
    return wire.Terms(
        people_bound=1 << max(0, study.n - 1).bit_length(),
        mac_floor=floor,
        open_data=study.open_data,
        node_level=study.plan.release.node_level and (study.open_data or policy.node_level),
        aggregators=tuple(sorted(known | ({node} if stance.aggregator else set()))),
        policy=words,
        assembly=str(study.assembly),
    )


def _derived_asks(run: RunFolder, frozen: FrozenRoster) -> DerivedAsks:
    """The asks of a run, from its beginning."""
    if not run.variants.exists():
        raise Conflict("an ask comes after the list of variants")
    plan, variants = run.record.parsed_plan(), VariantList.open(run.variants)
    return DerivedAsks(lambda summer: put_all_asks(plan, frozen.roster, variants, summer), frozen, variants.digest())


def _check_loci(run: RunFolder, ask: Ask) -> None:
    """Whether estimates of this node alone are asked at the loci that its policy has seen, and at no others."""
    if not run.variants.exists():
        raise Conflict("an estimate comes after the list of variants")
    named = loci_rows(run.record.parsed_plan(), VariantList.open(run.variants))
    if not set(np.ravel(ask.broadcast.get("rows", np.array(-1))).tolist()) <= set(named):
        raise Deviation("foreign-step", "estimates of a node are asked beside the loci that the plan names", HUB)


def _check_deadline(text: str, clock: Clock) -> None:
    try:
        days = (datetime.fromisoformat(text) - clock.now()) / timedelta(days=1)
    except (ValueError, TypeError):  # not a time, or one without a zone
        raise BadQuestion("the run's deadline is not a time") from None
    if days > _RUN_DAYS_MAX:
        raise BadQuestion(f"a run has at most {_RUN_DAYS_MAX} days")


def _model(kind: type[_Answer], document: object) -> _Answer:
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise BadQuestion("the message is not the one that was agreed for this question") from error


def _bytes(arrays: Arrays, name: str) -> bytes:
    array = arrays.get(name)
    if array is None or array.dtype != np.uint8 or array.ndim != 1:
        raise BadQuestion(f"the message lacks {name}")
    return array.tobytes()
