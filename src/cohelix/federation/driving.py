"""Drives one run from its proposal to the table that waits for release, stage by stage; each stage may be repeated.

What a stage settled is in the store before the next one begins, so a hub that was killed calls the stages again and none does
twice what members would notice: acceptances, signatures and sums are the same when they are asked for again. Before the roster
is signed a member that does not answer is left out; afterwards the run waits for everybody in it until its deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cohelix.analysis.drawing import Estimate
from cohelix.analysis.files import TABLE
from cohelix.analysis.record import Participant, RunRecord
from cohelix.analysis.release import RELEASED, finish_results
from cohelix.analysis.results import Sink
from cohelix.analysis.steps import AnyArray
from cohelix.analysis.variants import STRETCH_VARIANTS, VariantList, pack_stretch, unpack_stretch
from cohelix.core.clock import Clock
from cohelix.core.errors import BadInput, Deviation, NotPermitted
from cohelix.federation.behalf import on_behalf, passports
from cohelix.federation.conversation import Conversation, RunStopped, deviated, refused, together
from cohelix.federation.roster import (
    AGGREGATORS,
    CONTRIBUTORS_MIN,
    HUB,
    Acceptance,
    FrozenRoster,
    RosterSignature,
    check_acceptance,
    check_signatures,
    make_roster,
    sign_as,
)
from cohelix.federation.run_store import Stagehands, StoredRun
from cohelix.federation.run_table import VARIANTS, Computed, SettledRun
from cohelix.federation.signing import sign_document
from cohelix.federation.summer import Progress, SecureSummer
from cohelix.wire.analysis import (
    AskEnd,
    AskOpen,
    AskRoster,
    AskSites,
    AskVariants,
    EndAnswer,
    OpenAnswer,
    RosterAnswer,
    RunState,
    SitesAnswer,
    Summing,
    Terms,
    VariantsAnswer,
)
from cohelix.wire.federation import Member
from cohelix.wire.plan import Plan, canonical, parse_plan

SUMMING: Mapping[str, str] = {
    "shares": "additive shares to three aggregators",
    "masks": "pairwise masks under one coordinator",
    "plain": "plain sums: every node's policy allows it",
}
_MANIFEST = "cohelix-manifest-1"
_END_SECONDS = 20.0
_END_SECONDS_LOST = 1.0  # a member that was away at the last question: nobody waits for it
_GRACE_SECONDS = 3.0
_REPORT_SECONDS = 1.0


@dataclass
class RunProgress:
    """How far a run is that this process drives; `fraction` of the variants have their lines."""

    asks: int = 0
    step: str = ""
    block: int = 0
    blocks: int = 0
    blocks_done: int = 0
    by_node: dict[str, int] = field(default_factory=dict)
    fraction: float = 0.0
    scan_began: float | None = None
    seconds_left: float | None = None

    def document(self) -> dict[str, Any]:
        """As an event tells it."""
        return {
            "step": self.step,
            "block": self.block,
            "blocks": self.blocks,
            "blocksDone": self.blocks_done,
            "fraction": round(self.fraction, 4),
            "secondsLeft": None if self.seconds_left is None else round(self.seconds_left, 1),
            "nodes": dict(self.by_node),
        }


class RunDriver:
    """One run, driven in the event loop; its method runs in a thread of its own."""

    def __init__(self, stage: Stagehands, run: StoredRun) -> None:
        self._stage, self._run = stage, run
        self._plan: Plan = parse_plan(run.plan)
        self._members = {member.id: member for member in stage.members() if member.state == "active"}
        self._lost: set[str] = set()
        self._conversation = Conversation(
            stage.transport, datetime.fromisoformat(run.deadline), lost=self._note_lost, clock=stage.clock
        )
        self._notes: set[asyncio.Task[None]] = set()
        self._settling = asyncio.Lock()
        self.progress = RunProgress()

    @property
    def _settled(self) -> SettledRun:
        return SettledRun(self._run)

    @property
    def folder(self) -> Path:
        """The run's own folder."""
        return self._stage.folder / self._run.id

    async def drive(self) -> None:
        """Go on until the run is held.

        Raises
        ------
        RunStopped
            With the state that the run ends in.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        stages: dict[RunState, Callable[[], Awaitable[RunState]]] = {
            "proposed": self._propose,
            "checking": self._gather_acceptances,
            "open": self._freeze,
            "frozen": self._list_variants,
            "running": self._compute,
            "combined": self._finish,
        }
        try:
            # Whoever waits for a member at the deadline names it; the grace is for that.
            async with asyncio.timeout(max(0.0, self._conversation.seconds_left()) + _GRACE_SECONDS):
                while self._run.state in stages:
                    following = await stages[self._run.state]()
                    self._run = await self._move(following)
        except TimeoutError:
            raise RunStopped("aborted", "its deadline has passed") from None
        except Deviation as error:
            raise deviated(error) from error

    async def end(self, outcome: RunState, reason: str | None) -> None:
        """Tell everybody that the run is over; who is not reached finds out by its deadline."""
        message = AskEnd(run=self._run.id, outcome=outcome, reason=reason)

        async def tell(member: Member) -> None:
            within = _END_SECONDS_LOST if member.id in self._lost else _END_SECONDS
            try:
                answered = await self._conversation.ask(member, "analysis-end", message, within=within)
                answered.read(EndAnswer, member)
            except RunStopped as stopped:
                await self._note("not told of the end", node=member.id, reason=stopped.reason)

        asked = self._run.details.get("asked", [])
        await asyncio.gather(*(tell(self._members[name]) for name in asked if name in self._members))

    async def _propose(self) -> RunState:
        unknown = [name for name in self._plan.nodes if name not in self._members]
        if unknown:
            raise RunStopped("refused", f"no active member of the federation is called {', '.join(unknown)}")
        return "checking"

    async def _gather_acceptances(self) -> RunState:
        """Ask every member: those of the plan's datasets to contribute, all of them whether they would add up."""
        await self._settle(asked=sorted(self._members))
        told = await asyncio.gather(*(self._accept(member) for member in self._members.values()))
        accepted = [(acceptance, terms) for one in told if one is not None for acceptance, terms in [one]]
        contributors = [one.node for one, _ in accepted if one.contributor and one.node in self._plan.nodes]
        missing = [name for name in self._plan.nodes if name not in contributors]
        words = "; ".join(f"{name}: {self._reason(name)}" for name in missing)
        if len(contributors) < CONTRIBUTORS_MIN:
            raise RunStopped("refused", f"fewer than three nodes contribute, and a sum of fewer is never made ({words})")
        if missing and self._plan.options.get("all_nodes", False):
            raise RunStopped("refused", f"the plan wants all its nodes ({words})")
        terms = {one.node: told.model_dump(mode="json") for one, told in accepted}
        if len({told.open_data for one, told in accepted if one.node in contributors}) > 1:
            words = "open data and others do not mix in a plan: whoever has the open data takes them off every sum (mixed-data)"
            raise RunStopped("refused", words)
        builds = {told.assembly for one, told in accepted if one.node in contributors and told.assembly}
        if len(builds) > 1:
            raise RunStopped("refused", f"assemblies never mix: the nodes' datasets are of {' and '.join(sorted(builds))}")
        chosen = self._chosen_aggregators(accepted, contributors)
        roster = make_roster(
            self._run.id,
            self._run.plan_hash,
            [one for one, _ in accepted if one.node in contributors or one.node in chosen],
            aggregators=chosen,
            coordinator=self._stage.identity.public,
            mode=self._summing,
        )
        await self._settle(roster=roster.model_dump(mode="json"), terms=terms, contributors=sorted(contributors))
        return "open"

    async def _accept(self, member: Member) -> tuple[Acceptance, Terms] | None:
        plan, behalf = self._run.plan, self._stage.behalf(self._run.id)
        message = AskOpen(run=self._run.id, plan=plan, plan_hash=self._run.plan_hash, deadline=self._run.deadline)
        message = on_behalf(message, (await passports(behalf, [member])).get(member.id), behalf.purpose)
        try:
            answered = await self._conversation.ask(member, "analysis-open", message, within=self._stage.open_seconds)
            answer = answered.read(OpenAnswer, member)
        except RunStopped as stopped:
            await self._status(member.id, "absent", stopped.reason)
            return None
        if answer.acceptance is None:
            refusal = answer.refusal
            await self._status(member.id, "refused", f"{refusal.reason} ({refusal.rule})" if refusal else "no reason given")
            return None
        try:
            acceptance = Acceptance.model_validate(answer.acceptance)
            keys = self._stage.keys(member)
            key = acceptance.node_key if acceptance.node_key in keys else member.key
            known = {"run": self._run.id, "plan_hash": self._run.plan_hash, "node": member.id, "key": key}
            check_acceptance(acceptance, **known)
        except (ValueError, Deviation) as error:
            await self._status(member.id, "absent", f"its acceptance was not accepted: {getattr(error, 'detail', 'not one')}")
            return None
        words = f"{answer.refusal.reason} ({answer.refusal.rule})" if answer.refusal is not None else None
        status = "refused" if member.id in self._plan.nodes and not acceptance.contributor else "accepted"
        roles = {"contributor": acceptance.contributor, "aggregator": acceptance.aggregator}
        await self._status(member.id, status, words, **roles)
        return acceptance, answer.terms

    def _chosen_aggregators(self, accepted: Sequence[tuple[Acceptance, Terms]], contributors: Sequence[str]) -> tuple[str, ...]:
        if self._summing != "shares":
            return ()
        trusted = [set(terms.aggregators) for one, terms in accepted if one.node in contributors]
        willing = {one.node for one, _ in accepted if one.aggregator}
        common = willing.intersection(*trusted)
        preferred = [name for name in self._stage.aggregators if name in common]
        found = tuple([*preferred, *sorted(common - set(preferred))][:AGGREGATORS])
        if len(found) < AGGREGATORS:
            words = "fewer than three willing aggregators are on every contributor's own list"
            raise RunStopped("refused", f"{words} (willing: {', '.join(sorted(willing)) or 'none'})")
        return found

    async def _freeze(self) -> RunState:
        """Have the roster signed by all who add up, then accepted by everybody in it."""
        roster = self._settled.roster
        if roster.mode == "shares":
            unsigned = AskRoster(run=self._run.id, roster=roster.model_dump(mode="json"))
            signatures = await together(self._sign(self._member(name), unsigned) for name in roster.aggregators)
        else:
            signatures = [sign_as(HUB, roster.digest(), self._stage.identity.holding(roster.coordinator))]
        frozen = FrozenRoster(roster=roster, signatures=tuple(signatures))
        check_signatures(frozen)
        whole = frozen.model_dump(mode="json")
        await self._settle(signatures=whole["signatures"])
        message = AskRoster(run=self._run.id, roster=whole["roster"], signatures=tuple(whole["signatures"]))
        everybody = sorted({one.node for one in roster.acceptances})
        await together(self._agree(self._member(name), message) for name in everybody)
        return "frozen"

    async def _sign(self, member: Member, message: AskRoster) -> RosterSignature:
        answer = (await self._conversation.ask(member, "analysis-roster", message)).read(RosterAnswer, member)
        if answer.refusal is not None:
            raise refused(member, answer.refusal)
        try:
            return RosterSignature.model_validate(answer.signature)
        except ValueError:
            raise RunStopped("aborted", f"{member.id} did not sign the roster", member.id) from None

    async def _agree(self, member: Member, message: AskRoster) -> None:
        answer = (await self._conversation.ask(member, "analysis-roster", message)).read(RosterAnswer, member)
        if answer.refusal is not None:
            raise refused(member, answer.refusal)
        if not answer.agreed:
            raise RunStopped("aborted", f"{member.id} did not agree to the roster", member.id)

    async def _list_variants(self) -> RunState:
        """The run's list of variants: the plan's own, or all that the contributors may name; then everybody gets it."""
        contributors = [self._member(one.node) for one in self._settled.roster.contributors()]
        path = self.folder / VARIANTS
        if "variants_digest" not in self._run.details:
            keys = self._plan.variants.keys
            if keys is not None:
                variants = await asyncio.to_thread(VariantList.of, keys)
            else:
                variants = await self._merged(contributors)
            if not len(variants):
                raise RunStopped("refused", "no node has a variant that the plan means and that it may name")
            path.unlink(missing_ok=True)
            await asyncio.to_thread(variants.write, path)
            await self._settle(variants=len(variants), variants_digest=await asyncio.to_thread(variants.digest))
        variants = await asyncio.to_thread(VariantList.open, path)
        await together(self._send_variants(member, variants) for member in contributors)
        return "running"

    async def _merged(self, contributors: Sequence[Member]) -> VariantList:
        return await asyncio.to_thread(_union, await together(self._sites(member) for member in contributors))

    async def _sites(self, member: Member) -> pa.Table:
        tables, start = [], 0
        while True:
            answered = await self._conversation.ask(member, "analysis-sites", AskSites(run=self._run.id, start=start))
            answer = answered.read(SitesAnswer, member)
            given = answered.packed.arrays.get("stretch")
            if given is None:
                raise RunStopped("aborted", f"{member.id} sent no variants", member.id)
            try:
                tables.append(await asyncio.to_thread(unpack_stretch, given.tobytes()))
            except BadInput as error:
                raise RunStopped("aborted", f"{member.id} sent no list of variants: {error.detail}", member.id) from None
            if answer.next is None:
                return pa.concat_tables(tables)
            if answer.next <= start:
                raise RunStopped("aborted", f"{member.id} sends the same variants again and again", member.id)
            start = answer.next

    async def _send_variants(self, member: Member, variants: VariantList) -> None:
        digest, total, start = self._run.details["variants_digest"], len(variants), 0
        while start < total:
            table = variants.table(start, min(total, start + STRETCH_VARIANTS))
            body = await asyncio.to_thread(pack_stretch, table)
            message = AskVariants(run=self._run.id, start=start, total=total, digest=digest)
            arrays = {"stretch": np.frombuffer(body, np.uint8)}
            answered = await self._conversation.ask(member, "analysis-variants", message, arrays)
            held = answered.read(VariantsAnswer, member).held
            if not 0 <= held <= total or held == start:
                raise RunStopped("aborted", f"{member.id} does not take the list of variants", member.id)
            start = held

    async def _compute(self) -> RunState:
        """Count the people, run the method, write the table."""
        if "outcome" in self._run.details and (self.folder / TABLE).is_file():
            return "combined"
        frozen, variants = self._settled.frozen, await asyncio.to_thread(VariantList.open, self.folder / VARIANTS)
        summer = SecureSummer(
            self._conversation,
            frozen,
            self._members,
            self._stage.sums(self._run.id),
            identity=self._stage.identity.holding(frozen.roster.coordinator),
            listed=self._run.details["variants_digest"],
            done=self._block_done,
            computed=self._block_computed,
        )
        study = self._settled.study(variants)
        await self._settle(covariates=list(study.covariates))
        pool = ThreadPoolExecutor(1, thread_name_prefix=f"run-{self._run.id}")

        def compute() -> Computed:
            return self._settled.compute(summer, variants, self.folder, watched=lambda sink: self._watched(sink, len(variants)))

        computing = asyncio.get_running_loop().run_in_executor(pool, compute)
        reporting = asyncio.create_task(self._report())
        try:
            people, outcome, estimates = await asyncio.shield(computing)
        except NotPermitted as error:
            raise RunStopped("refused", error.detail) from error
        finally:
            reporting.cancel()
            summer.stop()
            if not computing.done():
                await asyncio.wait([computing], timeout=_END_SECONDS)
            pool.shutdown(wait=False)
        await self._settle(
            blocks=dict(self.progress.by_node),
            people=people,
            estimates=estimates,
            outcome={
                "n": outcome.n,
                "parameters": outcome.parameters,
                "tested": outcome.tested,
                "left_out": {name: int(count) for name, count in outcome.left_out.items()},
                "details": dict(outcome.details),
            },
        )
        return "combined"

    def _watched(self, sink: Sink, variants: int) -> Sink:
        return _Watched(sink, variants, self.progress, self._stage.clock)

    async def _finish(self) -> RunState:
        record = self._record()
        estimates = {
            locus: [Estimate(*one) for one in lines] for locus, lines in self._run.details.get("estimates", {}).items()
        }
        await asyncio.to_thread(finish_results, self.folder, record, sign=self._signature, estimates=estimates)
        await self._settle(files=[name for name in RELEASED if (self.folder / name).is_file()])
        await self.end("combined", None)
        return "held"

    def _signature(self, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
        identity = self._stage.identity.current()
        value = sign_document(identity, _MANIFEST, canonical(dict(manifest)))
        return {"algorithm": "Ed25519", "kind": _MANIFEST, "key": identity.public, "value": value}

    def _record(self) -> RunRecord:
        details, roster = self._run.details, self._settled.roster
        terms = {name: Terms.model_validate(one) for name, one in details["terms"].items()}
        contributors = roster.contributors()
        traits = self._plan.trait_names
        return RunRecord(
            run=self._run.id,
            plan=self._plan,
            plan_hash=self._run.plan_hash,
            assembly=next((terms[one.node].assembly for one in contributors if terms[one.node].assembly), self._plan.assembly),
            traits=traits,
            covariates=tuple(details.get("covariates", ())),
            people=int(details["people"]),
            participants=tuple(Participant(one.node, one.node_key, one.frozen, terms[one.node].policy) for one in contributors),
            aggregators=roster.aggregators,
            summing=SUMMING[roster.mode],
            variants_digest=details["variants_digest"],
            left_out=details["outcome"]["left_out"],
            open_data=self.open_data,
            mac_floor=self._settled.mac_floor(),
            started=self._run.proposed_at,
            ended=self._stage.store.now(),
        )

    @property
    def open_data(self) -> bool:
        """Whether all datasets of all contributors are open."""
        terms = self._run.details["terms"]
        return all(terms[name]["openData"] for name in self._run.details["contributors"])

    @property
    def _summing(self) -> Summing:
        found: Summing = self._run.details.get("summing", "shares")
        return found

    def _member(self, name: str) -> Member:
        member = self._members.get(name)
        if member is None:
            raise RunStopped("aborted", f"{name} is no active member any more", name)
        return member

    def _reason(self, name: str) -> str:
        return str(self._run.details.get("nodes", {}).get(name, {}).get("reason") or "it does not contribute")

    async def _move(self, state: RunState) -> StoredRun:
        return await asyncio.to_thread(self._stage.store.move, self._run.id, state)

    async def _settle(self, **details: Any) -> None:
        self._run.details.update(details)
        async with self._settling:  # members answer at the same time: what is written is always the newest
            newest = {name: self._run.details[name] for name in details}
            await asyncio.to_thread(lambda: self._stage.store.settle(self._run.id, **newest))

    async def _status(self, node: str, status: str, reason: str | None, **roles: bool) -> None:
        nodes = {**self._run.details.get("nodes", {}), node: {"status": status, "reason": reason, **roles}}
        await self._settle(nodes=nodes)
        await self._note(status, node=node, **({"reason": reason} if reason else {}))

    async def _note(self, event: str, *, node: str | None = None, **document: Any) -> None:
        await asyncio.to_thread(lambda: self._stage.store.note(self._run.id, event, node=node, **document))

    def _note_lost(self, member: Member, question: str, reason: str) -> None:
        """A failed try is told once until the member answers again."""
        if member.id in self._lost:
            return
        self._lost.add(member.id)
        task = asyncio.get_running_loop().create_task(self._note("lost", node=member.id, question=question, reason=reason))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    def _block_computed(self, node: str) -> None:
        self._lost.discard(node)
        self.progress.by_node[node] = self.progress.by_node.get(node, 0) + 1

    def _block_done(self, found: Progress) -> None:
        self.progress.asks = found.ask + 1
        self.progress.step, self.progress.block, self.progress.blocks = found.step, found.block + 1, found.blocks
        self.progress.blocks_done += 1

    async def _report(self) -> None:
        """Write down how far the run is, once a second at most, where something changed."""
        told: dict[str, Any] = {}
        while True:
            document = self.progress.document()
            if document != told:
                await self._note("progress", **document)
                told = document
            await asyncio.sleep(_REPORT_SECONDS)


class _Watched:
    """A `Sink` that tells how far the table is."""

    def __init__(self, sink: Sink, variants: int, progress: RunProgress, clock: Clock) -> None:
        self._sink, self._variants, self._progress, self._clock = sink, variants, progress, clock
        progress.scan_began = clock.monotonic()

    def write(self, rows: AnyArray, columns: Mapping[str, AnyArray]) -> None:
        self._sink.write(rows, columns)
        if len(rows):
            progress = self._progress
            done = progress.fraction = (int(rows[-1]) + 1) / self._variants
            progress.seconds_left = (self._clock.monotonic() - (progress.scan_began or 0.0)) * (1 - done) / done


def _union(tables: Sequence[pa.Table]) -> VariantList:
    """The variants of all tables; banks that list the same sites, as after a joint call, cost no more than one."""
    merged, seen = VariantList.merged([tables[0]]), [tables[0]]
    for table in tables[1:]:
        if not any(table.equals(other) for other in seen):
            merged, seen = VariantList.merged([merged.table(), table]), [*seen, table]
    return merged
