"""The hub's `Summer`: sums over the nodes of a frozen roster that nobody sees the parts of, kept as they are opened.

A method runs in a thread of its own and asks for sums; this asks the contributors, passes their sealed shares to the
aggregators, opens, and keeps each opened block by the number of its ask. A method that is called again after a crash gets the
kept sums and goes on where it stood; one that asks something else than before is not deterministic, and stops the run.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError as FutureCancelled
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from pydantic import ValidationError

from cohelix.analysis.steps import AnyArray, Ask, Sums
from cohelix.core.errors import BadQuestion, Deviation
from cohelix.federation.asking import ask_digest, block_arrays, block_digest, pack_ask
from cohelix.federation.conversation import Conversation, RunStopped, deviated, refused, together
from cohelix.federation.roster import HUB, FrozenRoster
from cohelix.federation.run_store import SumStore
from cohelix.federation.secure_sum import Added, Header, Opening, Partial, Place, aggregate, open_sum, opening_of, receiver
from cohelix.federation.signing import Identity
from cohelix.stats.secret_sharing import Layout
from cohelix.wire.analysis import AggregateAnswer, AskAggregate, AskBegin, AskStep, BeginAnswer, StepAnswer
from cohelix.wire.federation import Member
from cohelix.wire.packed import Packed

BLOCKS_AHEAD = 4  # asked before the method wants them: nodes compute while aggregators add and the hub opens
_PAYLOAD = "payload."
_FORWARDED_BYTES = 32 << 20  # of openings in one message
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Progress:
    """A block that was opened, or found among the kept ones: its ask's number, its own, and how many the ask has."""

    ask: int
    block: int
    blocks: int
    step: str
    kept: bool


class SecureSummer:
    """Sums over the contributors of one run.

    Parameters
    ----------
    members
        Everybody in the roster, by id.
    identity
        The hub's, which adds up itself where it is the one coordinator.
    listed
        Digest of the run's list of variants.
    done
        Is told of each opened block, in the event loop.
    """

    def __init__(
        self,
        conversation: Conversation,
        frozen: FrozenRoster,
        members: Mapping[str, Member],
        sums: SumStore,
        *,
        identity: Identity,
        listed: str = "",
        done: Callable[[Progress], None] = lambda _progress: None,
        computed: Callable[[str], None] = lambda _node: None,
        blocks_ahead: int = BLOCKS_AHEAD,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._conversation = conversation
        self._frozen, self._members, self._sums = frozen, members, sums
        self._identity, self._listed = identity, listed
        self._done, self._computed = done, computed
        self._ahead = blocks_ahead
        self._numbers = 0
        self._after_people = False
        self._begun: dict[int, _Begun] = {}
        self._lock = threading.Lock()
        self._under_way: set[Future[Any]] = set()
        self._stopped = threading.Event()

    @property
    def asks(self) -> int:
        """How many sums were asked for so far."""
        return self._numbers

    def sum(self, ask: Ask) -> Sums:
        """The sum of a step over people; called from the method's thread."""
        told = self._begin(ask, 1)
        return self._wait(self._submit(self._opened(told, 0, None)))

    def blocks(self, ask: Ask) -> Iterator[tuple[range, Sums]]:
        """The sums of a step over variants, in order; called from the method's thread. The first ones are asked at once, and
        always some ahead."""
        ranges = ask.blocks()
        told = self._begin(ask, len(ranges))
        waiting = deque(self._submit(self._opened(told, number, block)) for number, block in enumerate(ranges[: self._ahead]))
        return self._in_order(told, ranges, waiting)

    def stop(self) -> None:
        """End all that is under way; the method's thread gets `RunStopped` at its next sum."""
        self._stopped.set()
        with self._lock:
            under_way = list(self._under_way)
        for future in under_way:
            future.cancel()

    def _begin(self, ask: Ask, blocks: int) -> _Begun:
        if self._stopped.is_set():
            raise RunStopped("aborted", "the run was stopped")
        packed = pack_ask(ask, self._listed)
        begun = _Begun(self._numbers, ask, packed, ask_digest(packed), blocks)
        # A sum over people is small, and what is asked next follows from it: it goes along unasked.
        begun.after = ((self._numbers - 1, 0),) if self._after_people else ()
        self._after_people = ask.rows is None
        self._numbers += 1
        return begun

    def _in_order(self, told: _Begun, ranges: Sequence[range], waiting: deque[Future[Sums]]) -> Iterator[tuple[range, Sums]]:
        try:
            for number, block in enumerate(ranges):
                ahead = number + self._ahead
                if ahead < len(ranges):
                    waiting.append(self._submit(self._opened(told, ahead, ranges[ahead])))
                yield block, self._wait(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()

    def _submit(self, work: Coroutine[Any, Any, _Result]) -> Future[_Result]:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        with self._lock:
            self._under_way.add(future)
        future.add_done_callback(self._forget)
        if self._stopped.is_set():
            future.cancel()
        return future

    def _forget(self, future: Future[Any]) -> None:
        with self._lock:
            self._under_way.discard(future)

    def _wait(self, future: Future[_Result]) -> _Result:
        try:
            return future.result()
        except FutureCancelled:
            raise RunStopped("aborted", "the run was stopped") from None
        except Deviation as error:
            raise deviated(error) from error

    async def _opened(self, told: _Begun, number: int, block: range | None) -> Sums:
        """A block's total: the kept one, or asked and kept."""
        place, arrays, known = await asyncio.to_thread(self._place, told, number, block)
        opening = known or await self._asked(told, place, arrays)
        lead = None if block is None else len(block)
        layout = Layout.of(told.ask.statistics, lead, len(self._frozen.roster.contributors()))

        def opened() -> Sums:
            sums = open_sum(opening, place, layout, self._frozen)
            if known is None:
                self._sums.put(told.number, number, place.ask_digest, opening.packed())
            return sums

        sums = await asyncio.to_thread(opened)
        self._done(Progress(told.number, number, told.blocks, told.ask.step, known is not None))
        return sums

    def _place(self, told: _Begun, number: int, block: range | None) -> tuple[Place, dict[str, AnyArray], Opening | None]:
        """What a block asks, and its opening where it is kept."""
        arrays = block_arrays(told.ask, block)
        place = Place(told.number, number, block_digest(told.digest, number, arrays))
        known = self._sums.get(told.number, number)
        if known is None:
            return place, arrays, None
        if known[0] != place.ask_digest:
            raise RunStopped("aborted", f"the method asked another question at {told.ask.step} than before: a fault of ours")
        return place, arrays, opening_of(known[1])

    async def _asked(self, told: _Begun, place: Place, arrays: Mapping[str, AnyArray]) -> Opening:
        """The headers of all contributors and the partial sums of all who add up."""
        contributors = [one.node for one in self._frozen.roster.contributors()]
        parts = await together(self._part(self._members[node], told, place, arrays) for node in contributors)
        headers = [header for header, _ in parts]
        payloads: dict[str, dict[str, AnyArray]] = {name: {} for name in self._frozen.roster.receivers()}
        for header, sent in parts:
            to = receiver(self._frozen.roster, header.node, place)
            if set(sent) != {to}:
                raise Deviation("foreign-share", f"{header.node} sent its share to somebody else", header.node)
            payloads[to][header.node] = sent[to]
        if set(payloads) == {HUB}:
            given = {node: array.tobytes() for node, array in payloads[HUB].items()}
            added = [await asyncio.to_thread(self._add, place, headers, given)]
        else:
            added = await together(self._partial(self._members[name], place, headers, payloads[name]) for name in payloads)
        return Opening(tuple(headers), tuple(added))

    def _add(self, place: Place, headers: Sequence[Header], payloads: Mapping[str, bytes]) -> Added:
        return aggregate(place, headers, payloads, self._frozen, node=HUB, session=b"", identity=self._identity)

    async def _part(
        self, member: Member, told: _Begun, place: Place, arrays: Mapping[str, AnyArray]
    ) -> tuple[Header, dict[str, AnyArray]]:
        """One contributor's header and the share that travels."""
        run, roster = self._frozen.roster.run, self._frozen.roster.digest()
        question = AskStep(run=run, roster=roster, ask=place.ask, block=place.block, digest=told.digest, asked=place.ask_digest)
        along: dict[str, AnyArray] = {}
        if told.blocks == 1:  # told along with its one block
            along = told.arrays() | await asyncio.to_thread(self._forwarded, told.after)
        else:
            await told.to(member, lambda: self._tell(member, told))
        while True:
            answered = await self._conversation.ask(member, "analysis-step", question, {**arrays, **along})
            answer = answered.read(StepAnswer, member)
            if answer.refusal is not None:
                raise refused(member, answer.refusal)
            if answer.needs is None:
                break
            along = {}
            await self._tell(member, told)
        header = _signed(Header, answer.header, member)
        if header.node != member.id:
            raise Deviation("foreign-header", f"{member.id} sent the header of {header.node}", member.id)
        self._computed(member.id)
        return header, _payloads(answered.packed)

    async def _tell(self, member: Member, told: _Begun) -> None:
        """Tell a contributor an ask, and forward the openings from which it derives what it is asked."""
        message = AskBegin(run=self._frozen.roster.run, ask=told.number, digest=told.digest)
        needs: Sequence[tuple[int, int]] = told.after
        while True:
            arrays = told.arrays() | await asyncio.to_thread(self._forwarded, needs)
            answer = (await self._conversation.ask(member, "analysis-ask", message, arrays)).read(BeginAnswer, member)
            if answer.refusal is not None:
                raise refused(member, answer.refusal)
            if not answer.needs:
                return
            if tuple(answer.needs) == tuple(needs) and len(arrays) == 1 + len(needs):
                raise RunStopped("aborted", f"{member.id} does not take the sums that it asks for", member.id)
            needs = answer.needs

    def _forwarded(self, needs: Sequence[tuple[int, int]]) -> dict[str, AnyArray]:
        """Openings as they travel, the first of them until a message is full."""
        found: dict[str, AnyArray] = {}
        size = 0
        for ask, block in needs:
            kept = self._sums.get(ask, block)
            if kept is None or (found and size + len(kept[1]) > _FORWARDED_BYTES):
                break
            size += len(kept[1])
            found[f"opening.{ask}.{block}"] = np.frombuffer(kept[1], np.uint8)
        return found

    async def _partial(
        self, member: Member, place: Place, headers: Sequence[Header], payloads: Mapping[str, AnyArray]
    ) -> Added:
        """One aggregator's signed partial sum."""
        message = AskAggregate(
            run=self._frozen.roster.run,
            roster=self._frozen.roster.digest(),
            ask=place.ask,
            block=place.block,
            asked=place.ask_digest,
            headers=tuple(one.model_dump(mode="json") for one in headers),
        )
        arrays = {f"{_PAYLOAD}{node}": array for node, array in payloads.items()}
        answered = await self._conversation.ask(member, "analysis-aggregate", message, arrays)
        answer = answered.read(AggregateAnswer, member)
        if answer.refusal is not None:
            raise refused(member, answer.refusal)
        words = answered.packed.arrays.get("words")
        if words is None or words.dtype != np.uint64:
            raise RunStopped("aborted", f"{member.id} sent no partial sum", member.id)
        return Added(_signed(Partial, answer.partial, member), words)


class _Begun:
    """An ask under way: its number in the run, how it travels, and to whom it was told already."""

    def __init__(self, number: int, ask: Ask, packed: bytes, digest: str, blocks: int) -> None:
        self.number, self.ask, self.packed, self.digest, self.blocks = number, ask, packed, digest, blocks
        self.after: tuple[tuple[int, int], ...] = ()
        self._told: dict[str, asyncio.Task[None]] = {}

    def arrays(self) -> dict[str, AnyArray]:
        """The ask as it travels."""
        return {"ask": np.frombuffer(self.packed, np.uint8)}

    async def to(self, member: Member, tell: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Tell it to a member, once, whoever asks first; the others wait."""
        task = self._told.get(member.id)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._told[member.id] = asyncio.get_running_loop().create_task(tell())
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # whoever waits is told; nobody may
        await asyncio.shield(task)


def _payloads(packed: Packed) -> dict[str, AnyArray]:
    return {name.removeprefix(_PAYLOAD): array for name, array in packed.arrays.items() if name.startswith(_PAYLOAD)}


_Document = TypeVar("_Document", Header, Partial)


def _signed(kind: type[_Document], document: Any, member: Member) -> _Document:
    try:
        return kind.model_validate(document)
    except (ValidationError, BadQuestion):
        raise RunStopped("aborted", f"{member.id} answered without a signed document", member.id) from None
