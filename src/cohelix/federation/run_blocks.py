"""Blocks of a run at a node: its own figures, hidden and signed, and the sums of others' shares where it adds up.

Sums are checked as `federation.secure_sum` has it. Every question may be put again, after a kill too, and has the same answer.
"""

from __future__ import annotations

import asyncio

import numpy as np

from cohelix.bank.publish import DATASETS, read_pointer
from cohelix.core.errors import BadQuestion, Damaged, Deviation, ShapeMismatch
from cohelix.federation.asking import block_digest
from cohelix.federation.node_runs import RunFolder
from cohelix.federation.roster import HUB, same_roster
from cohelix.federation.run_following import FollowedAsks
from cohelix.federation.run_party import Arrays, Party, model_of, refusal_in
from cohelix.federation.secure_sum import Header, Partial, Place, aggregate, seal
from cohelix.federation.worker import StepTask, Workers, read_ask, unpack_part
from cohelix.stats.secret_sharing import Layout
from cohelix.wire import analysis as wire
from cohelix.wire.packed import pack

ROWS_MAX = 1 << 16  # of one block


class Blocks:
    """Computes, hides and adds up blocks."""

    def __init__(self, party: Party, followed: FollowedAsks, workers: Workers) -> None:
        self._party, self._followed, self._workers = party, followed, workers
        self._sealing: dict[tuple[str, int, int, str], asyncio.Task[tuple[wire.StepAnswer, Arrays]]] = {}

    async def step(self, message: wire.AskStep, arrays: Arrays) -> tuple[wire.StepAnswer, Arrays]:
        """`analysis-step`: one block, computed once however often it is asked at the same time."""
        key = (message.run, message.ask, message.block, message.asked)
        task = self._sealing.get(key)
        if task is None:
            task = self._sealing[key] = asyncio.create_task(self._sealed(message, arrays))
            task.add_done_callback(lambda _done: self._sealing.pop(key, None))
        return await asyncio.shield(task)

    async def _sealed(self, message: wire.AskStep, arrays: Arrays) -> tuple[wire.StepAnswer, Arrays]:
        told = {name: array for name, array in arrays.items() if name == "ask" or name.startswith("opening.")}
        arrays = {name: array for name, array in arrays.items() if name not in told}
        if told:
            begin = wire.AskBegin(run=message.run, ask=message.ask, digest=message.digest)
            if await self._followed.take(begin, told):
                return wire.StepAnswer(needs="ask"), {}
        task = await self._party.thread(self._stepping, message, arrays)
        if task is None:
            return wire.StepAnswer(needs="ask"), {}
        try:
            packed = await self._workers.compute(task)
        except ShapeMismatch as error:
            # Bounds are the hub's choice. That a figure keeps one tells of this node alone, so it is told once.
            await self._party.thread(self._exceeded, message.run, refusal_in(error))
            raise
        header, payloads = await self._party.thread(self._hidden, message, arrays, packed)
        told = {f"payload.{name}": np.frombuffer(body, np.uint8) for name, body in payloads.items()}
        return wire.StepAnswer(header=header.model_dump(mode="json")), told

    def _exceeded(self, run: str, refusal: wire.Refusal) -> None:
        self._party.left(run, refusal)
        found = self._party.runs.find(run)
        if found is not None and not found.record.terms.open_data:
            self._party.ledger().note_leave(found.record.project, run)

    def _stepping(self, message: wire.AskStep, arrays: Arrays) -> StepTask | None:
        """The task that answers a step, once it is clear that it may be answered; None where the ask must be told again."""
        run = self._party.contributing(message.run)
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
            derived = self._followed.block(message.run, message.ask, message.block, arrays)
            if derived is None:
                return None
            block = pack({}, dict(derived))
        self._check_versions(run)
        self._party.study(run).lay_out()
        kept = run.lasting_asks(message.ask)
        return StepTask(str(self._party.folder), str(run.path), message.ask, block, kept)

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
            pointer = read_pointer(self._party.folder / DATASETS / dataset)
            if pointer is None or pointer.state != "published" or pointer.version != version:
                refusal = wire.Refusal(rule="versions", reason="The data of this node have changed since the run began.")
                raise self._party.left(run.record.run, refusal)

    def _hidden(self, message: wire.AskStep, arrays: Arrays, packed: bytes) -> tuple[Header, dict[str, bytes]]:
        """The block's figures as they leave the node; its header is kept first."""
        run = self._party.contributing(message.run)
        frozen = run.frozen()
        assert frozen is not None  # checked before
        told = read_ask(run.path, message.ask)
        lead = len(arrays["rows"]) if told.over_variants else None
        earlier = self._party.runs.signed(message.run, "header", message.ask, message.block)
        sealed = seal(
            unpack_part(packed),
            Place(message.ask, message.block, message.asked),
            Layout.of(told.ask.statistics, lead, len(frozen.roster.contributors())),
            frozen,
            node=self._party.node,
            session=run.session(),
            identity=self._party.door.identity.holding(run.record.acceptance.node_key),
            earlier=None if earlier is None else Header.model_validate_json(earlier),
        )
        document = sealed.header.model_dump_json()
        asked = f"{message.digest} {told.ask.step}"
        self._party.runs.keep_signed(message.run, "header", message.ask, message.block, document, asked=asked)
        return sealed.header, sealed.payloads

    async def aggregate(self, message: wire.AskAggregate, arrays: Arrays) -> tuple[wire.AggregateAnswer, Arrays]:
        """`analysis-aggregate`."""
        return await self._party.thread(self._added, message, arrays)

    def _added(self, message: wire.AskAggregate, arrays: Arrays) -> tuple[wire.AggregateAnswer, Arrays]:
        run = self._party.taking_part(message.run)
        frozen = same_roster(run.frozen(), message.roster)
        if self._party.node not in frozen.roster.receivers():
            raise Deviation("wrong-aggregators", "this member is not an aggregator of the roster", HUB)
        earlier = self._party.runs.signed(message.run, "partial", message.ask, message.block)
        payloads = {
            name.removeprefix("payload."): array.tobytes() for name, array in arrays.items() if name.startswith("payload.")
        }
        added = aggregate(
            Place(message.ask, message.block, message.asked),
            [model_of(Header, one) for one in message.headers],
            payloads,
            frozen,
            node=self._party.node,
            session=run.session(),
            identity=self._party.door.identity.holding(run.record.acceptance.node_key),
            earlier=None if earlier is None else Partial.model_validate_json(earlier),
        )
        document = added.partial.model_dump_json()
        self._party.runs.keep_signed(message.run, "partial", message.ask, message.block, document)
        return wire.AggregateAnswer(partial=added.partial.model_dump(mode="json")), {"words": added.words}
