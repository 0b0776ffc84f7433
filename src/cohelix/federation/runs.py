"""The hub's runs: proposed, checked beforehand, driven one beside the other, cancelled, reviewed, and told to whoever asks.

States: proposed → checking → open (acceptances are gathered) → frozen (the roster is signed) → running → combined (the table is
whole) → held → released or refused; or aborted with its reason, or cancelled. A run that fewer than three nodes join, or that a
policy forbids, is refused before anything is opened.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy.engine import Engine

from cohelix.access.actor import ANONYMOUS, Actor, Role
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadQuestion, CohelixError, Conflict, NotFound, NotPermitted
from cohelix.federation.behalf import EVERYBODY, Behalf, on_behalf, passports
from cohelix.federation.conversation import RunStopped
from cohelix.federation.fan_out import ask_all
from cohelix.federation.roster import AGGREGATORS, CONTRIBUTORS_MIN
from cohelix.federation.run_limits import RunLimits
from cohelix.federation.run_store import RunStore, Stagehands, StoredRun, SumStore, time_text
from cohelix.federation.signing import Identity
from cohelix.federation.transport import MemberKeys, Transport, own_key
from cohelix.wire.analysis import AskCheck, CheckAnswer, NodeStatus, PlanCheck, Review, Run, RunEvent, RunNode, Summing
from cohelix.wire.federation import Member
from cohelix.wire.packed import pack, unpack
from cohelix.wire.plan import Plan, plan_hash

if TYPE_CHECKING:  # methods and their compiled kernels are loaded with the first run, not when the hub starts
    from cohelix.federation.driving import RunDriver

_CHECK_SECONDS = 60.0
_SUMMING: tuple[Summing, ...] = ("shares", "masks", "plain")
_log = structlog.get_logger("cohelix.federation")


class Runs:
    """All runs of one hub."""

    def __init__(
        self,
        folder: Path,
        engine: Engine,
        *,
        transport: Transport,
        identity: Identity,
        members: Callable[[], Sequence[Member]],
        limits: RunLimits,
        keys: MemberKeys | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self.store = RunStore(engine, clock=self._clock)
        self._folder = folder / "runs"
        self._limits = limits
        self._stage = Stagehands(
            store=self.store,
            sums=lambda run: SumStore(engine, self._folder / run, run),
            transport=transport,
            identity=identity,
            members=members,
            folder=self._folder,
            clock=self._clock,
            open_seconds=limits.open_seconds,
            aggregators=limits.aggregators,
            keys=keys or own_key,
            behalf=lambda run: self._behalves.get(run, EVERYBODY),
        )
        # Passports are not written down: a run that was not yet opened everywhere when the hub ended goes on without them.
        self._behalves: dict[str, Behalf] = {}
        self._drivers: dict[str, RunDriver] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._endings: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(limits.at_once)

    async def start(self) -> None:
        """Go on with every run that was under way when the hub ended."""
        for run in await asyncio.to_thread(self.store.under_way):
            self._drive(run)

    async def close(self) -> None:
        """Leave all runs where they are; they go on when the hub starts again."""
        tasks = [*self._tasks.values(), *self._endings]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self.store.close)

    async def propose(self, plan: Plan, behalf: Behalf = EVERYBODY) -> StoredRun:
        """Take a plan, and begin.

        Parameters
        ----------
        behalf
            Who proposes it: members decide about their data by this person's passports, and the run is the person's own.

        Raises
        ------
        BadQuestion
            If its way of summing is not known, or it names a member that there is not.
        Conflict
            If as many runs as the hub takes are under way.
        """
        summing = await asyncio.to_thread(self._checked, plan)
        now = self._clock.now()
        run = StoredRun(
            id=secrets.token_hex(8),
            state="proposed",
            plan=plan.model_dump(mode="json"),
            plan_hash=plan_hash(plan),
            proposed_at=time_text(now),
            deadline=time_text(now + timedelta(seconds=self._limits.deadline_seconds)),
            details={"summing": summing, **_proposed_by(behalf)},
        )
        await asyncio.to_thread(self.store.add, run, waiting_max=self._limits.waiting_max)
        if behalf.known:
            self._behalves[run.id] = behalf
        self._drive(run)
        return run

    async def check(self, plan: Plan, behalf: Behalf = EVERYBODY) -> PlanCheck:
        """What every node would say to a plan; nothing is begun, and nothing is kept at the nodes."""
        await asyncio.to_thread(self._checked, plan)
        ask = AskCheck(plan=plan.model_dump(mode="json"))
        active = [member for member in self._stage.members() if member.state == "active"]
        held = await passports(behalf, active)

        def read(member: Member, answer: bytes) -> CheckAnswer:
            found = CheckAnswer.model_validate(unpack(answer).document)
            if found.node != member.id:
                raise BadQuestion("it answers for another member")
            return found

        told: list[CheckAnswer] = []
        absent: list[RunNode] = []
        bodies = [
            (member, pack(on_behalf(ask, held.get(member.id), behalf.purpose).model_dump(mode="json"))) for member in active
        ]
        asked = ask_all(self._stage.transport, "analysis-check", bodies, read, deadline_seconds=_CHECK_SECONDS)
        async for one in asked:
            if one.answer is not None:
                told.append(one.answer)
            else:
                absent.append(RunNode(node=one.member.id, status="absent", reason=one.road.reason))
        return _joined(plan, sorted(told, key=lambda one: one.node), sorted(absent, key=lambda one: one.node))

    async def get(self, run: str) -> Run:
        """One run as everybody may see it; `NotFound` if there is none of that id."""
        return self._told(await asyncio.to_thread(self.store.get, run))

    async def newest(self, limit: int) -> tuple[Run, ...]:
        """Runs, the newest first."""
        return tuple(self._told(one) for one in await asyncio.to_thread(self.store.newest, limit))

    async def events(self, run: str, after: int) -> list[RunEvent]:
        """What happened in a run after the event of a number."""
        return await asyncio.to_thread(self.store.events, run, after)

    async def cancel(self, run: str, actor: Actor = ANONYMOUS) -> Run:
        """End a run that is under way; `Conflict` where it has ended or waits for its reviewers.

        Raises
        ------
        NotPermitted
            If somebody else has proposed it.
        """
        if not owns(await asyncio.to_thread(self.store.get, run), actor):
            raise NotPermitted("whoever has proposed an analysis cancels it: log in as that person")
        await asyncio.to_thread(self.store.cancel, run)
        task = self._tasks.get(run)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        return await self.get(run)

    async def review(self, run: str, actor: Actor, *, release: bool, reason: str | None, failed: Sequence[str]) -> Run:
        """Write down what a reviewer who has logged in says of a held run.

        Raises
        ------
        NotPermitted
            If the person is no reviewer of results, has proposed the run, or a file failed the automatic check.
        Conflict
            If the run is not held, or this person has spoken already.
        """
        stored = await asyncio.to_thread(self.store.get, run)
        if Role.OUTPUT_REVIEWER not in actor.roles:
            raise NotPermitted(f"results are reviewed by people with the role {Role.OUTPUT_REVIEWER}")
        if "proposer" in stored.details and owns(stored, actor):
            raise NotPermitted("whoever has proposed an analysis does not review its results")
        by = reviewer_name(actor)
        word = partial(review, self.store, run, role=by, release=release, reason=reason, failed=failed)
        return self._told(await asyncio.to_thread(word))

    async def file(self, run: str, name: str, actor: Actor = ANONYMOUS) -> Path:
        """Where a file of a released run lies.

        Raises
        ------
        NotFound
            If there is no such run or file.
        NotPermitted
            If the run is not released; or if visas opened its data, to whoever neither proposed it nor reviews results.
        """
        stored = await asyncio.to_thread(self.store.get, run)
        if not (all_open(stored) or owns(stored, actor) or Role.OUTPUT_REVIEWER in actor.roles):
            raise NotPermitted("the results are for the person who proposed the analysis: log in as that person")
        if stored.state != "released":
            raise NotPermitted(f"the results are not released: the analysis is {stored.state}")
        if name not in stored.details["files"]:
            raise NotFound(f"the analysis has no file {name[:60]!r}")
        return self._folder / run / name

    def _checked(self, plan: Plan) -> Summing:
        known = {member.id for member in self._stage.members()}
        unknown = [name for name in plan.nodes if name not in known]
        if unknown:
            raise BadQuestion(f"the federation has no member {', '.join(unknown)}: datasets are named NODE:DATASET")
        _check_options(plan)
        if not isinstance(plan.options.get("all_nodes", False), bool):
            raise BadQuestion("options.all_nodes is true or false")
        summing = plan.options.get("summing", "shares")
        for one in _SUMMING:
            if summing == one:
                return one
        raise BadQuestion(f"options.summing is {' or '.join(_SUMMING)}")

    def _drive(self, run: StoredRun) -> None:
        task = asyncio.get_running_loop().create_task(self._driven(run), name=f"run {run.id}")
        self._tasks[run.id] = task
        task.add_done_callback(lambda _task: self._tasks.pop(run.id, None))

    async def _driven(self, run: StoredRun) -> None:
        driver: RunDriver | None = None
        try:
            if run.cancel_wanted:
                raise RunStopped("cancelled", "it was cancelled")
            async with self._slots:
                driver = self._drivers[run.id] = (await asyncio.to_thread(_driver_kind))(self._stage, run)
                await driver.drive()
        except asyncio.CancelledError:
            if not self.store.get(run.id).cancel_wanted:
                raise
            await self._stopped(run, driver, RunStopped("cancelled", "it was cancelled"))
        except RunStopped as stopped:
            await self._stopped(run, driver, stopped)
        except CohelixError as error:
            if error.status >= 500:
                _log.exception("a run failed", run=run.id)
            await self._stopped(run, driver, RunStopped("aborted", error.detail))
        except Exception:  # whatever it is, the other runs go on, and this one says that it does not
            _log.exception("a run failed", run=run.id)
            await self._stopped(run, driver, RunStopped("aborted", "the hub failed over it; its log says how"))
        finally:
            self._drivers.pop(run.id, None)
            self._behalves.pop(run.id, None)

    async def _stopped(self, run: StoredRun, driver: RunDriver | None, stopped: RunStopped) -> None:
        try:
            await asyncio.to_thread(partial(self.store.move, run.id, stopped.state, reason=stopped.reason))
        except Conflict:
            return
        if driver is not None:
            ending = asyncio.get_running_loop().create_task(driver.end(stopped.state, stopped.reason))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)

    def _told(self, run: StoredRun) -> Run:
        driver = self._drivers.get(run.id)
        told = tell(run)
        if driver is None:
            return told
        progress = driver.progress
        return told.model_copy(
            update={
                "asks": progress.asks,
                "blocks_done": progress.blocks_done,
                "fraction": progress.fraction,
                "seconds_left": progress.seconds_left,
                "nodes": tuple(one.model_copy(update={"blocks": progress.by_node.get(one.node, 0)}) for one in told.nodes),
            }
        )


def tell(run: StoredRun) -> Run:
    """A stored run as everybody may see it."""
    details = run.details
    contributors, roster = details.get("contributors", ()), details.get("roster", {})
    nodes = tuple(
        RunNode(
            node=name,
            contributor=name in contributors if contributors else bool(one.get("contributor")),
            aggregator=name in roster.get("aggregators", ()),
            status=_status(run, one["status"], name in contributors),
            blocks=details.get("blocks", {}).get(name, 0),
            reason=one.get("reason"),
        )
        for name, one in sorted(details.get("nodes", {}).items())
    )
    return Run(
        id=run.id,
        state=run.state,
        reason=run.reason,
        plan=run.plan,
        plan_hash=run.plan_hash,
        summing=details.get("summing", "shares"),
        open_data=all_open(run),
        nodes=nodes,
        proposed_at=run.proposed_at,
        deadline=run.deadline,
        ended_at=run.ended_at,
        variants=details.get("variants"),
        people=_people(run),
        fraction=1.0 if "outcome" in details else 0.0,
        files=tuple(details["files"]) if run.state == "released" else (),
    )


def _people(run: StoredRun) -> int | None:
    """How many take part over all nodes; in tens where that is told before people have released it."""
    people: int | None = run.details.get("people")
    return people if people is None or run.state == "released" or all_open(run) else people // 10 * 10


def _status(run: StoredRun, status: NodeStatus, contributor: bool) -> NodeStatus:
    """How a node stands in a run: those that accepted compute while it runs."""
    if not contributor or status != "accepted":
        return status
    if "outcome" in run.details:
        return "done"
    return "computing" if run.state == "running" else status


def all_open(run: StoredRun) -> bool:
    """Whether all datasets of a run are known to be open; then one reviewer suffices."""
    terms, contributors = run.details.get("terms", {}), run.details.get("contributors", ())
    return bool(contributors) and all(terms[name]["openData"] for name in contributors)


def reviewers_needed(run: StoredRun) -> int:
    """How many different people must agree to a run's release."""
    return 1 if all_open(run) else 2


def review(store: RunStore, run: str, *, role: str, release: bool, reason: str | None, failed: Sequence[str] = ()) -> StoredRun:
    """Write down what a reviewer says of a held run.

    Parameters
    ----------
    failed
        Files that the automatic check found unfit for release.

    Raises
    ------
    NotPermitted
        If a file that failed the automatic check would be released.
    BadQuestion
        If a refusal has no reason.
    Conflict
        If the run is not held, or this role has spoken already.
    """
    if not release and not reason:
        raise BadQuestion("a refusal needs its reason")
    if release and failed:
        raise NotPermitted(f"the automatic check failed {', '.join(failed)}: this run can only be refused")
    word = Review(role=role, decision="release" if release else "refuse", reason=reason, at=store.now())
    return store.review(run, word, needed=reviewers_needed(store.get(run)))


def owns(run: StoredRun, actor: Actor) -> bool:
    """Whether a person may act as a run's proposer: everybody may where nobody in particular has proposed it."""
    proposer = run.details.get("proposer")
    return proposer is None or (actor.known and proposer == {"subject": actor.subject, "issuer": actor.issuer})


def reviewer_name(actor: Actor) -> str:
    """What a run's reviews call a person: always the same, and not who it is."""
    person = hashlib.sha256(f"{actor.issuer}\n{actor.subject}".encode()).hexdigest()
    return f"{Role.OUTPUT_REVIEWER} {person[:12]}"


def _proposed_by(behalf: Behalf) -> dict[str, Any]:
    actor = behalf.caller.actor
    return {"proposer": {"subject": actor.subject, "issuer": actor.issuer}} if behalf.known else {}


def _joined(plan: Plan, told: Sequence[CheckAnswer], absent: Sequence[RunNode]) -> PlanCheck:
    contributors = [one for one in told if one.takes_part and one.contributor and one.node in plan.nodes]
    adding = [one for one in told if one.takes_part and one.aggregator]
    reason = None
    if len(contributors) < CONTRIBUTORS_MIN:
        reason = (
            f"{len(contributors)} of the plan's nodes would contribute; a sum of fewer than {CONTRIBUTORS_MIN} is never made"
        )
    elif plan.options.get("summing", "shares") == "shares" and len(adding) < AGGREGATORS:
        reason = f"{len(adding)} members would add up shares; it takes {AGGREGATORS}"
    people = [one.people for one in contributors if one.people is not None]
    seconds = [one.seconds for one in contributors if one.seconds is not None]
    sent = [one.bytes_sent for one in contributors if one.bytes_sent is not None]
    return PlanCheck(
        plan_hash=plan_hash(plan),
        possible=reason is None,
        reason=reason,
        people=sum(people) if people else None,
        seconds=max(seconds, default=None),
        bytes_sent=sum(sent) if sent else None,
        nodes=tuple(told),
        absent=tuple(absent),
    )


def _driver_kind() -> type[RunDriver]:
    from cohelix.federation.driving import RunDriver

    return RunDriver


def _check_options(plan: Plan) -> None:
    from cohelix.analysis.methods import check_options

    check_options(plan)
