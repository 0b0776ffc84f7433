"""Hub and members witness each other's audit logs: each keeps the others' last checkpoints, and believes what continues them.

The hub carries checkpoints and proofs between members, in signed questions; it cannot make any up, since every member
checks signatures, keys and consistency itself. It can keep some back: `seen_at` tells how old the last one is.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final, NamedTuple

import anyio.to_thread
import structlog
from pydantic import ValidationError

from cohelix.audit.checkpoint import Checkpoint, cosigned, cosigned_at, read_note
from cohelix.audit.log import AuditLog
from cohelix.audit.store import LogStore
from cohelix.audit.witnessed import Proof, Witnessed
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadQuestion, CohelixError, NotAuthentic
from cohelix.federation.door import Answering, Door, json_answering
from cohelix.federation.fan_out import DEADLINE_SECONDS
from cohelix.federation.signing import Identity
from cohelix.federation.successions import SuccessionBook, check_succession
from cohelix.federation.transport import Transport
from cohelix.wire.audit import AskWitness, Cosigned, ShownCheckpoint, WitnessAlarm, WitnessAnswer
from cohelix.wire.federation import Member, Succession
from cohelix.wire.frequency import Wire

QUESTION: Final = "audit-witness"
WITNESS_SECONDS: Final = 60.0
HUB: Final = "hub"

Keys = Callable[[str], Sequence[str]]
"""Every key that a log (by its origin) may be signed with; none where the server does not know whose they are."""

_log = structlog.get_logger("cohelix.federation")


def origin_of(member: str) -> str:
    """The origin of a member's log."""
    return f"node/{member}"


class Witness:
    """What every server does with checkpoints of others, and shows of its own.

    Parameters
    ----------
    log
        The server's own log, in which alarms are written down.
    identity
        Its key, which signs that a checkpoint was seen.
    keys
        Keys of other logs.
    """

    def __init__(self, log: AuditLog, identity: Identity, keys: Keys, *, clock: Clock | None = None) -> None:
        self.log, self._identity, self._keys, self._clock = log, identity, keys, clock or SystemClock()

    def answer(self, ask: AskWitness) -> WitnessAnswer:
        """Answer the hub: see what it shows, and show what it asks for."""
        store = self.log.store()
        lines = [line for one in ask.shown if (line := self.see(one)) is not None]
        for one in ask.cosigned:
            self.keep(one)
        seen = Witnessed(store).all()
        head = store.head()
        return WitnessAnswer(
            note=head.note() if head else "",
            proofs=_proofs(store, ask.proofs_from, ask.proofs_to),
            seen={origin: held.checkpoint.size for origin, held in seen.items()},
            cosigned=tuple(lines),
            alarms=tuple(WitnessAlarm(origin=name, reason=held.alarm) for name, held in seen.items() if held.alarm),
        )

    def see(self, shown: ShownCheckpoint, *, size_min: int = 0) -> Cosigned | None:
        """Compare a checkpoint with the last one that was seen; this server's line under it where it is believed.

        Parameters
        ----------
        size_min
            How many entries it must have, where the log's own server was asked.
        """
        store, now = self.log.store(), self._clock.now()
        if shown.origin == self.log.origin:
            return None
        try:
            proof = Proof(shown.since, [bytes.fromhex(one) for one in shown.proof])
        except ValueError:
            return None
        seen = Witnessed(store).see(
            shown.note, shown.origin, proof, keys=self._allowed(store, shown), now=now, size_min=size_min
        )
        if seen.event is not None:
            self.log.record(seen.event, by=self.log.origin.replace("/", ":"), wait=True)
        if seen.reason:
            _log.error("audit checkpoint not believed", origin=shown.origin, reason=seen.reason)
        if not seen.believed:
            return None
        checkpoint = read_note(shown.note)
        line = cosigned(checkpoint, self.log.origin, self._identity.private, now)
        return Cosigned(origin=shown.origin, witness=self.log.origin, note=shown.note, line=line)

    def keep(self, one: Cosigned) -> None:
        """Keep a witness's line under a checkpoint of our own; what is not of a witness whose key is known is dropped."""
        store = self.log.store()
        try:
            checkpoint = read_note(one.note)
            own = store.note_at(checkpoint.size)
            signed = any(self._signed(checkpoint, one, key) for key in self._keys(one.witness))
        except NotAuthentic:
            return
        if signed and own is not None and read_note(own).root == checkpoint.root:
            store.keep_cosignature(one.witness, replace(checkpoint, signatures=(checkpoint.signatures[0], one.line)))

    def _signed(self, checkpoint: Checkpoint, one: Cosigned, key: str) -> bool:
        try:
            cosigned_at(checkpoint, one.line, one.witness, key)
        except NotAuthentic:
            return False
        return checkpoint.origin == self.log.origin

    def _allowed(self, store: LogStore, shown: ShownCheckpoint) -> Sequence[str]:
        """The keys of a log: those that are known, or those that follow the one of the first checkpoint."""
        known = self._keys(shown.origin)
        held = Witnessed(store).last(shown.origin)
        if known or held is None:
            return known
        return followers(held.checkpoint.key, shown.successions, self._clock)


class HubWitness(Witness):
    """The hub's part: it asks every active member for its checkpoint, witnesses it, and carries it to the others.

    Parameters
    ----------
    members
        The active members.
    transport
        The road to them.
    successions
        How members' keys followed each other, by origin of their logs.
    """

    def __init__(
        self,
        log: AuditLog,
        identity: Identity,
        keys: Keys,
        *,
        members: Callable[[], Sequence[Member]],
        transport: Transport,
        successions: Callable[[str], Sequence[Succession]] = lambda _origin: (),
        seconds: float = WITNESS_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(log, identity, keys, clock=clock)
        self._members, self._transport, self._successions, self._seconds = members, transport, successions, seconds
        self._lines: dict[str, list[Cosigned]] = defaultdict(list)  # under each log's checkpoints, not yet carried there

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Exchange checkpoints time and again while the context lasts."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def round(self) -> dict[str, tuple[WitnessAlarm, ...]]:
        """Exchange checkpoints once with every active member; the alarms that stand at each that answered."""
        members = {origin_of(member.id): member for member in self._members()}
        held = await anyio.to_thread.run_sync(self._held)  # before anybody is asked
        lines = {origin: self._lines.pop(origin, []) for origin in members}
        heads = await self._ask(members, {origin: AskWitness(cosigned=tuple(lines[origin][:1000])) for origin in members})
        wanted = {}
        for origin, answer in heads.items():
            size = _size(answer.note)
            from_sizes = {other.seen[origin] for name, other in heads.items() if name != origin and origin in other.seen}
            from_sizes |= {held[origin]} if origin in held else set()
            wanted[origin] = AskWitness(proofs_from=tuple(sorted(one for one in from_sizes if 0 < one < size)), proofs_to=size)
        proofs = {origin: found.proofs for origin, found in (await self._ask(members, wanted)).items()}
        rows = [_Row(origin, heads[origin], found) for origin, found in proofs.items()]
        shown = await anyio.to_thread.run_sync(self._witness, rows, held)
        answers = await self._ask(members, shown)
        for answer in answers.values():
            for one in answer.cosigned:
                await anyio.to_thread.run_sync(self._carry, one)
        return {origin: answer.alarms for origin, answer in answers.items()}

    async def _run(self) -> None:
        while True:
            try:
                await self.round()
            except CohelixError as error:  # the log's database is away; the next round may find it
                _log.warning("checkpoints could not be exchanged", error=error.detail)
            await asyncio.sleep(self._seconds)

    async def _ask(self, members: Mapping[str, Member], questions: Mapping[str, AskWitness]) -> dict[str, WitnessAnswer]:
        """Every member's answer; who is absent, or of a version without audit, is missing."""

        async def ask(origin: str, question: AskWitness) -> tuple[str, WitnessAnswer | None]:
            body = question.model_dump_json().encode()
            try:
                async with asyncio.timeout(DEADLINE_SECONDS):
                    arrival = await self._transport.ask(members[origin], QUESTION, body)
                return origin, WitnessAnswer.model_validate_json(arrival.body) if arrival.status == "answered" else None
            except (TimeoutError, ValidationError):
                return origin, None

        found = await asyncio.gather(*(ask(origin, question) for origin, question in questions.items()))
        return {origin: answer for origin, answer in found if answer is not None}

    def _held(self) -> dict[str, int]:
        return {origin: one.checkpoint.size for origin, one in Witnessed(self.log.store()).all().items()}

    def _witness(self, rows: Sequence[_Row], held: Mapping[str, int]) -> dict[str, AskWitness]:
        """See every member's checkpoint, and make of those that are believed, and the hub's own, what each member is shown."""
        store = self.log.store()
        believed = []
        for row in rows:
            if not row.answer.note and row.origin not in held:
                continue  # it has not begun yet
            size = held.get(row.origin, 0)
            line = self.see(row.shown(size, self._successions(row.origin)), size_min=size)
            if line is not None:
                self._lines[row.origin].append(line)
                believed.append(row)
        head = store.head()
        questions = {}
        for row in rows:
            seen = row.answer.seen
            shown = [one.shown(seen.get(one.origin, 0), self._successions(one.origin)) for one in believed if one is not row]
            if head is not None:
                size = seen.get(HUB, 0)
                proof = _proofs(store, [size] if 0 < size < head.size else [], head.size).get(str(size), ())
                followed = tuple(self._successions(HUB))
                shown.append(ShownCheckpoint(origin=HUB, note=head.note(), since=size, proof=proof, successions=followed))
            questions[row.origin] = AskWitness(shown=tuple(shown))
        return questions

    def _carry(self, one: Cosigned) -> None:
        if one.origin == self.log.origin:
            self.keep(one)
        elif len(self._lines[one.origin]) < 1000:
            self._lines[one.origin].append(one)


class _Row(NamedTuple):
    """A member's checkpoint in a round, and its proofs."""

    origin: str
    answer: WitnessAnswer
    proofs: Mapping[str, tuple[str, ...]]

    def shown(self, since: int, successions: Sequence[Succession]) -> ShownCheckpoint:
        """The checkpoint for somebody who has seen one of this size; 0 for none."""
        proof, followed = self.proofs.get(str(since), ()), tuple(successions)
        return ShownCheckpoint(origin=self.origin, note=self.answer.note, since=since, proof=proof, successions=followed)


def keys_at_node(door: Door, peers: Callable[[], Mapping[str, str]]) -> Keys:
    """The keys of the hub that a node has joined, and of the members whom its operator has listed, by id."""

    def keys(origin: str) -> Sequence[str]:
        pinned = door.pinned()
        if origin == HUB:
            return door.successions.history(pinned.hub_key, pinned.hub_url) if pinned else ()
        member = origin.removeprefix("node/")
        key = peers().get(member)
        return door.successions.history(key, member) if key else ()

    return keys


def successions_of(book: SuccessionBook, origin: str, hub_url: str) -> Sequence[Succession]:
    """How the keys of a log followed each other, as far as a hub's book tells."""
    who = hub_url if origin == HUB else origin.removeprefix("node/")
    return [one for one in book.all() if one.who == who]


def keys_at_hub(members: Callable[[], Sequence[Member]], book: SuccessionBook) -> Keys:
    """The keys of the hub's members, as they joined and as their keys followed."""

    def keys(origin: str) -> Sequence[str]:
        return next((book.history(one.key, one.id) for one in members() if origin_of(one.id) == origin and one.key), ())

    return keys


def witnessing(witness: Witness) -> Answering:
    """Answers the hub's question about checkpoints."""

    async def answer(question: AskWitness) -> Wire:
        return await anyio.to_thread.run_sync(witness.answer, question)

    return json_answering(AskWitness, answer)


def followers(key: str, successions: Sequence[Succession], clock: Clock) -> Sequence[str]:
    """A key, and every key that followed it by documents that both signed."""
    line = [key]
    for one in [*successions] * len(successions):  # in whatever order they came
        if one.old == line[-1] and one.new not in line:
            try:
                check_succession(one, now=clock.now())
            except NotAuthentic:
                continue
            line.append(one.new)
    return line


def _proofs(store: LogStore, sizes: Sequence[int], end: int) -> dict[str, tuple[str, ...]]:
    """Proofs of consistency from each of these sizes; a size that the log never had is left out, which tells enough."""
    found = {}
    for size in sizes:
        try:
            found[str(size)] = tuple(one.hex() for one in store.consistency(size, end))
        except BadQuestion:
            continue
    return found


def _size(note: str) -> int:
    try:
        return read_note(note).size
    except NotAuthentic:
        return 0
