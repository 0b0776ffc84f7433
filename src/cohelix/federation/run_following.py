"""The asks of a run as a node follows them: kept if they follow from the opened sums, and else the node leaves the run."""

from __future__ import annotations

import re

import numpy as np

from cohelix.analysis.local import covariate_names
from cohelix.analysis.steps import KEPT_STEPS, Ask, find_step
from cohelix.analysis.variants import VariantList
from cohelix.bank.study import trait_columns
from cohelix.core.errors import BadQuestion, Conflict, Deviation
from cohelix.disclosure import PooledFacts, decide_pooled
from cohelix.federation.asking import ask_digest, check_called_for, unpack_ask
from cohelix.federation.derived_asks import DerivedAsks, Needs
from cohelix.federation.node_runs import RunFolder
from cohelix.federation.roster import HUB, FrozenRoster
from cohelix.federation.run_party import REFUSALS, Arrays, Party, Refused, array_bytes, refusal_in, refusal_of
from cohelix.federation.secure_sum import Header, check_first_sum, opening_of
from cohelix.federation.worker import read_ask
from cohelix.stats.secret_sharing import Layout
from cohelix.stats.thresholds import SIDES
from cohelix.wire import analysis as wire


class FollowedAsks:
    """The asks of all runs of a node."""

    def __init__(self, party: Party) -> None:
        self._party = party
        self._following: dict[str, DerivedAsks] = {}
        self._sides: dict[str, int] = {}

    async def ask(self, message: wire.AskBegin, arrays: Arrays) -> tuple[wire.BeginAnswer, Arrays]:
        """`analysis-ask`."""
        try:
            needs = await self.take(message, arrays)
        except (Refused, *REFUSALS) as error:
            return wire.BeginAnswer(digest=message.digest, refusal=refusal_in(error)), {}
        return wire.BeginAnswer(digest=message.digest, needs=needs), {}

    async def take(self, message: wire.AskBegin, arrays: Arrays) -> tuple[tuple[int, int], ...]:
        """Keep an ask that follows from the opened sums; or the openings that are needed to tell whether it does."""
        async with self._party.turn(message.run):
            return await self._party.thread(self._began, message, arrays)

    def block(self, run: str, number: int, block: int, arrays: Arrays) -> Arrays | None:
        """The derived arrays of a block; None where its ask must be told first. A hub that sends others loses the node."""
        following = self._following.get(run)
        try:
            return None if following is None else following.block(number, block, arrays)
        except Deviation as error:
            if self._take_another_side(run):
                return None
            raise self._left(run, refusal_in(error)) from None

    def let_go(self, *runs: str) -> None:
        """These runs are not followed any more."""
        for run in runs:
            self._sides.pop(run, None)
            self._stop(run)

    def _stop(self, run: str) -> None:
        following = self._following.pop(run, None)
        if following is not None:
            following.close()

    def clear(self) -> None:
        """Let go of runs that are kept no more."""
        self.let_go(*(run for run in list(self._following) if self._party.runs.find(run) is None))

    def close(self) -> None:
        """Let go of all."""
        self.let_go(*list(self._following))

    def _began(self, message: wire.AskBegin, arrays: Arrays) -> tuple[tuple[int, int], ...]:
        """Keep an ask that follows from the opened sums; or the openings that are needed to tell whether it does."""
        run = self._party.contributing(message.run)
        frozen = run.frozen()
        if frozen is None:
            raise Conflict("an ask comes after the roster")
        packed = array_bytes(arrays, "ask")
        if ask_digest(packed) != message.digest:
            raise BadQuestion("the ask is not the one that its digest names")
        ask, over_variants = unpack_ask(packed)
        if find_step(ask.step) is None:
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
        while True:
            try:
                return self._matched(run, frozen, number, packed, arrays)
            except Deviation as error:
                if error.name != "foreign-ask":
                    raise
                if not self._take_another_side(name):
                    raise self._left(name, refusal_in(error)) from None

    def _matched(
        self, run: RunFolder, frozen: FrozenRoster, number: int, packed: bytes, arrays: Arrays
    ) -> bytes | Needs | None:
        name = run.record.run
        following = self._following.get(name)
        if following is None:
            following = self._following[name] = _derived_asks(run, frozen, SIDES[self._sides.get(name, 0)])
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

    def _take_another_side(self, run: str) -> bool:
        """Follow the run once more, numbers within rounding of a threshold being taken on its other side; False where all
        sides were taken, and the hub has asked what it chose itself."""
        taken = self._sides.get(run, 0) + 1
        if taken == len(SIDES):
            return False
        self._stop(run)
        self._sides[run] = taken
        return True

    def _take_openings(self, run: str, following: DerivedAsks, arrays: Arrays) -> None:
        for key, array in arrays.items():
            found = re.fullmatch(r"opening\.(\d{1,9})\.(\d{1,9})", key)
            own = None if found is None else self._party.runs.signed(run, "header", int(found[1]), int(found[2]))
            if own is not None:
                following.open(array.tobytes(), Header.model_validate_json(own))

    def _left(self, run: str, refusal: wire.Refusal) -> Refused:
        self.let_go(run)
        return self._party.left(run, refusal)

    def _check_first_sum(self, run: RunFolder, frozen: FrozenRoster, arrays: Arrays) -> None:
        """Whether enough others take part: found by the node itself, from the opened count of people; it leaves otherwise."""
        record, policy = run.record, self._party.stance().policy
        own = self._party.runs.signed(record.run, "header", 0, 0)
        if own is None:
            raise Deviation("foreign-first-sum", "this node has not been asked for the first sum", HUB)
        contributors = frozen.roster.contributors()
        layout = Layout.of(read_ask(run.path, 0).ask.statistics, None, len(contributors))
        plan, all_open = record.parsed_plan(), record.terms.open_data
        try:
            people = check_first_sum(
                opening_of(array_bytes(arrays, "opening.0.0")),
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
            refusal = refusal_of(decide_pooled(facts, policy))
        except Deviation as error:
            if error.name != "too-few-others":
                raise
            refusal = refusal_in(error)
        if refusal is not None:
            raise self._party.left(record.run, refusal)
        run.keep_pooled_people(people)


def _derived_asks(run: RunFolder, frozen: FrozenRoster, side: int) -> DerivedAsks:
    """The asks of a run, from its beginning."""
    from cohelix.federation.run_table import put_all_asks

    if not run.variants.exists():
        raise Conflict("an ask comes after the list of variants")
    plan, variants = run.record.parsed_plan(), VariantList.open(run.variants)
    return DerivedAsks(lambda summer: put_all_asks(plan, frozen.roster, variants, summer), frozen, variants.digest(), side=side)


def _check_loci(run: RunFolder, ask: Ask) -> None:
    """Whether estimates of this node alone are asked at the loci that its policy has seen, and at no others."""
    from cohelix.federation.run_table import loci_rows

    if not run.variants.exists():
        raise Conflict("an estimate comes after the list of variants")
    named = loci_rows(run.record.parsed_plan(), VariantList.open(run.variants))
    if not set(np.ravel(ask.broadcast.get("rows", np.array(-1))).tolist()) <= set(named):
        raise Deviation("foreign-step", "estimates of a node are asked beside the loci that the plan names", HUB)
