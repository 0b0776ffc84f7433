"""Before the first sum of a run: what a node says to a plan, whether it takes part, and with whom.

Policy and ledger decide before anything is contributed (`analysis.admission`); rosters are checked by `federation.roster`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from cohelix.analysis.admission import admit
from cohelix.analysis.check import plan_cost
from cohelix.bank.study import StudyPeople, open_study
from cohelix.core.clock import Clock
from cohelix.core.errors import BadQuestion, Conflict, Deviation
from cohelix.federation.node_runs import RunFolder, RunRecord
from cohelix.federation.roster import (
    HUB,
    FrozenRoster,
    Mode,
    Roster,
    RosterSignature,
    accept,
    check_frozen,
    new_session,
    sign_roster,
)
from cohelix.federation.run_access import Allowed
from cohelix.federation.run_party import REFUSALS, Arrays, Party, Refused, Stance, model_of, refusal_in, refusal_of
from cohelix.wire import analysis as wire
from cohelix.wire.plan import Plan, parse_plan, plan_hash

_RUNNING_MAX = 64  # runs at a time
_RUN_DAYS_MAX = 31  # so long at most the key of a run and people's traits may be kept for it
_NO_VARIANTS = wire.Refusal(rule="no-variants", reason="This node has no variant that the plan means and that it may name.")


class Admission:
    """What a node says to questions before the first sum."""

    def __init__(self, party: Party) -> None:
        self._party = party

    async def check(self, message: wire.AskCheck, _arrays: Arrays) -> tuple[wire.CheckAnswer, Arrays]:
        """`analysis-check`."""
        return await self._party.thread(self._checked, message), {}

    def _checked(self, message: wire.AskCheck) -> wire.CheckAnswer:
        plan, stance = parse_plan(message.plan), self._party.stance()
        known = wire.CheckAnswer(node=self._party.node, takes_part=False, aggregator=stance.aggregator)
        if not plan.datasets_of(self._party.node):
            return known.model_copy(update={"takes_part": stance.aggregator})
        try:
            study = open_study(self._party.folder, self._party.node, plan)
            cost = plan_cost(study)
            allowed = self._party.access.allowed(message, plan, study, plan_hash(plan))
            if not cost.variants and all(part.version.manifest.disclosure != "closed" for part in study.parts):
                return known.model_copy(update={"refusal": _NO_VARIANTS, "open_data": study.open_data})  # nothing is booked
            refusal = allowed.refusal or refusal_of(admit(*allowed.as_booked(study, stance.policy), self._party.ledger()))
        except REFUSALS as error:
            refusal = refusal_in(error)
            self._party.access.note("", plan, plan_hash(plan), refusal)
            return known.model_copy(update={"refusal": refusal})
        told: dict[str, object] = {"refusal": refusal, "open_data": study.open_data}
        if refusal is None:
            told |= {"takes_part": True, "contributor": True, "people": study.n // 10 * 10}
            told |= {"seconds": cost.seconds, "bytes_sent": cost.bytes_sent}
        return known.model_copy(update=told)

    async def open(self, message: wire.AskOpen, _arrays: Arrays) -> tuple[wire.OpenAnswer, Arrays]:
        """`analysis-open`."""
        async with self._party.turn(message.run):
            return await self._party.thread(self._opened, message), {}

    def _opened(self, message: wire.AskOpen) -> wire.OpenAnswer:
        plan = parse_plan(message.plan)
        if plan_hash(plan) != message.plan_hash:
            raise BadQuestion("the plan's hash is not that of the plan")
        _check_deadline(message.deadline, self._party.clock)
        found = self._party.runs.find(message.run)
        if found is None:
            if self._party.runs.count_running() >= _RUNNING_MAX:
                raise Conflict("this node takes part in as many runs as it may at a time")
            found = self._decided(message, plan)
        elif found.record.plan_hash != message.plan_hash:
            raise Deviation("foreign-plan", "the run was opened with another plan", HUB)
        record = self._party.runs.running(message.run).record
        return wire.OpenAnswer(acceptance=record.acceptance.model_dump(mode="json"), terms=record.terms, refusal=record.refusal)

    def _decided(self, message: wire.AskOpen, plan: Plan) -> RunFolder:
        """Decide, book, freeze, and keep all that for as long as the run lasts."""
        stance = self._party.stance()
        study, refusal, allowed = None, None, Allowed()
        if plan.datasets_of(self._party.node):
            try:
                study = open_study(self._party.folder, self._party.node, plan)
                allowed = self._party.access.allowed(message, plan, study, message.plan_hash)
                booked = allowed.as_booked(study, stance.policy)
                refusal = allowed.refusal or refusal_of(admit(*booked, self._party.ledger(), run=message.run))
            except REFUSALS as error:
                refusal = refusal_in(error)
        contributor = study is not None and refusal is None
        if plan.datasets_of(self._party.node):
            open_data = study is not None and study.open_data
            self._party.access.note(message.run, plan, message.plan_hash, refusal, visas=allowed.visas, open_data=open_data)
        if not contributor and not stance.aggregator:
            reason = refusal or wire.Refusal(
                rule="no-part", reason="The plan names no dataset of this node, and it adds up nothing."
            )
            raise Refused(reason)
        session = new_session()
        terms = _terms(study, stance, self._party.node) if study is not None and contributor else wire.Terms()
        acceptance = accept(
            message.run,
            message.plan_hash,
            node=self._party.node,
            frozen=study.fingerprint() if study is not None and contributor else "",
            session=session,
            contributor=contributor,
            aggregator=stance.aggregator,
            identity=self._party.door.identity,
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
        return self._party.runs.begin(record, session)

    async def roster(self, message: wire.AskRoster, _arrays: Arrays) -> tuple[wire.RosterAnswer, Arrays]:
        """`analysis-roster`."""
        async with self._party.turn(message.run):
            return await self._party.thread(self._rostered, message), {}

    def _rostered(self, message: wire.AskRoster) -> wire.RosterAnswer:
        run = self._party.taking_part(message.run)
        roster, stance, own = model_of(Roster, message.roster), self._party.stance(), run.record.acceptance
        pinned = self._party.door.pinned()
        assert pinned is not None  # the door was open
        # The coordinator's key is the hub's of now, or the one that still holds beside it.
        keys = self._party.door.hub_keys(pinned)
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
                identity=self._party.door.identity.holding(own.node_key),
                earlier=self._party.runs.earlier_roster(message.run),
                modes=modes,
            )
            self._settle(run, roster)
            return wire.RosterAnswer(signature=signature.model_dump(mode="json"))
        frozen = FrozenRoster(roster=roster, signatures=tuple(model_of(RosterSignature, one) for one in message.signatures))
        earlier = self._party.runs.earlier_roster(message.run)
        check_frozen(frozen, own=own, peers=stance.peers, coordinator=coordinator, earlier=earlier, modes=modes)
        self._settle(run, roster)
        if run.frozen() is None:
            names = [one.node for one in roster.contributors()]
            place = names.index(self._party.node) if own.contributor else 0
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
            verdict = self._party.ledger().book_members(record.project, record.run, names)
            refusal = refusal_of(verdict)
            if refusal is not None:
                raise self._party.left(record.run, refusal)
        self._party.runs.settle_roster(record.run, roster.digest())


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


def _check_deadline(text: str, clock: Clock) -> None:
    try:
        days = (datetime.fromisoformat(text) - clock.now()) / timedelta(days=1)
    except (ValueError, TypeError):  # not a time, or one without a zone
        raise BadQuestion("the run's deadline is not a time") from None
    if days > _RUN_DAYS_MAX:
        raise BadQuestion(f"a run has at most {_RUN_DAYS_MAX} days")
