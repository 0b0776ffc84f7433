"""The questions that a hub puts to its members, and the federation's answers to them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TypeVar

import orjson
import structlog

from cohelix.core.errors import BadInput, NotFound
from cohelix.core.genome import Assembly, Region
from cohelix.core.variant import VariantKey
from cohelix.federation.answers import checked_datasets, checked_frequency, checked_region, merge_region, pool
from cohelix.federation.behalf import EVERYBODY, Behalf, addressed, on_behalf, passports
from cohelix.federation.cohorts import check_dataset_names, checked_count, pooled_people
from cohelix.federation.fan_out import DEADLINE_SECONDS, Asked, ask_all
from cohelix.federation.registry import Registry
from cohelix.federation.transport import Transport
from cohelix.wire.cohorts import AskCohortCount, CohortCountAnswer, NodeCohortCount, NodeCohortLine, PooledPeople
from cohelix.wire.expression import Expression, document_of, text_of
from cohelix.wire.federation import (
    AskBeacon,
    AskDatasets,
    AskFrequency,
    AskRegion,
    BeaconReply,
    DatasetsAnswer,
    Member,
    Message,
    NodeDatasets,
    NodeDatasetsAnswer,
    OnBehalf,
    RegionAnswer,
    Road,
)
from cohelix.wire.frequency import FrequencyAnswer, NodeAnswer, NodeFrequency, NodeRegion, PooledCounts

__all__ = ["REGION_LIMIT", "REGION_LIMIT_MAX", "Federation", "Member"]

REGION_LIMIT, REGION_LIMIT_MAX = 100, 1000
_log = structlog.get_logger("cohelix.federation")
Answer = TypeVar("Answer")


class Federation:
    """Everything that may be asked of the members together; what the hub's pages, API and Beacon speak to.

    Every active member is asked, all at once, and every one is named in the answer, whatever became of it. Observers
    and suspended members are not asked.
    """

    def __init__(self, registry: Registry, transport: Transport, *, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self._registry = registry
        self._transport = transport
        self.deadline_seconds = deadline_seconds

    def members(self) -> tuple[Member, ...]:
        """All members by id, those invited and suspended too; asks nobody."""
        return self._registry.members()

    def active(self) -> tuple[Member, ...]:
        """The members that are asked."""
        return tuple(member for member in self._registry.members() if member.state == "active")

    async def frequency(self, key: VariantKey, assembly: Assembly, behalf: Behalf = EVERYBODY) -> FrequencyAnswer:
        """Counts of one variant: pooled, and every member's, by id."""
        asked = await self._all("frequency", _frequency_message(key, assembly), _read_frequency, behalf)
        return FrequencyAnswer(
            variant=str(key),
            assembly=assembly,
            pooled=pool((one.member, one.answer) for one in asked if one.answer),
            nodes=tuple(_node_answer(one) for one in asked),
        )

    async def frequency_stream(
        self, key: VariantKey, assembly: Assembly, behalf: Behalf = EVERYBODY
    ) -> AsyncGenerator[NodeAnswer | PooledCounts, None]:
        """The same, node by node in the order of arrival; the pooled figures come last."""
        told: list[tuple[Member, NodeFrequency]] = []
        bodies = await addressed(_frequency_message(key, assembly), self.active(), behalf)
        async with aclosing(self._ask("frequency", bodies, _read_frequency)) as results:
            async for one in results:
                if one.answer:
                    told.append((one.member, one.answer))
                yield _node_answer(one)
        yield pool(told)

    async def region(
        self,
        region: Region,
        assembly: Assembly,
        *,
        limit: int = REGION_LIMIT,
        after: VariantKey | None = None,
        behalf: Behalf = EVERYBODY,
    ) -> RegionAnswer:
        """Variants that overlap a region and may be told, in order; `after` is the last one of the page before.

        Parameters
        ----------
        limit
            Most variants on a page, 1 to `REGION_LIMIT_MAX`; a page may hold fewer although more follow.
        """
        message = AskRegion(region=str(region), assembly=assembly, limit=limit, after=str(after) if after else None)

        def read(member: Member, body: bytes) -> NodeRegion:
            return checked_region(member, NodeRegion.model_validate_json(body), region, limit=limit, after=after)

        asked = await self._all("region", message, read, behalf)
        return merge_region(str(region), assembly, [(one.member, one.road, one.answer) for one in asked], limit=limit)

    async def datasets(self, behalf: Behalf = EVERYBODY) -> DatasetsAnswer:
        """Every member's datasets, as it declares them now; with what is left of the person's budget at each."""
        asked = await self._all("datasets", AskDatasets(), _read_datasets, behalf)
        for one in asked:
            if one.answer:
                self._registry.declare(one.member.id, tuple(record.id for record in one.answer.datasets))
        return DatasetsAnswer(nodes=tuple(_datasets_answer(one.member, one.road, one.answer) for one in asked))

    async def cohort_count(
        self, expression: Expression, datasets: Sequence[str] = (), *, project: str = "", behalf: Behalf = EVERYBODY
    ) -> CohortCountAnswer:
        """How many people an expression means at every member, by id, and in all; of some datasets, or of all."""
        lines: list[NodeCohortLine] = []
        pooled = PooledPeople(count=None)
        async with aclosing(self.cohort_count_stream(expression, datasets, project=project, behalf=behalf)) as answers:
            async for one in answers:
                if isinstance(one, PooledPeople):
                    pooled = one
                else:
                    lines.append(one)
        nodes = tuple(sorted(lines, key=lambda line: line.node))
        return CohortCountAnswer(expression=document_of(expression), text=text_of(expression), pooled=pooled, nodes=nodes)

    async def cohort_count_stream(
        self, expression: Expression, datasets: Sequence[str] = (), *, project: str = "", behalf: Behalf = EVERYBODY
    ) -> AsyncGenerator[NodeCohortLine | PooledPeople, None]:
        """The same, member by member in the order of arrival; the sum comes last."""
        check_dataset_names(datasets)
        message = AskCohortCount(expression=document_of(expression), datasets=tuple(datasets), project=project)
        asked_of = {name.partition(":")[0] for name in datasets}
        members = [member for member in self.active() if not datasets or member.id in asked_of]
        unknown = sorted(asked_of - {member.id for member in members})
        if unknown:
            raise NotFound(f"the federation has no active member {unknown[0][:64]}")

        def read(member: Member, body: bytes) -> NodeCohortCount:
            return checked_count(member, NodeCohortCount.model_validate_json(body))

        told: list[tuple[Member, NodeCohortCount]] = []
        async with aclosing(self._ask("cohort-count", await addressed(message, members, behalf), read)) as results:
            async for one in results:
                if one.answer:
                    told.append((one.member, one.answer))
                yield _cohort_line(one.road, one.answer)
        yield pooled_people(told)

    async def beacon(
        self,
        questions: Mapping[str, AskBeacon],
        read: Callable[[Member, BeaconReply], Answer],
        behalf: Behalf = EVERYBODY,
    ) -> tuple[Asked[Answer], ...]:
        """Members' own Beacons' replies, by id of the member; only those that `questions` has one for are asked.

        Parameters
        ----------
        read
            Checks a reply; raises `BadInput` for one that a sound Beacon would not give.
        """
        asked = [member for member in self.active() if member.id in questions]
        held = await passports(behalf, asked)
        bodies = [
            (member, on_behalf(questions[member.id], held.get(member.id), behalf.purpose).model_dump_json().encode())
            for member in asked
        ]

        def checked(member: Member, body: bytes) -> Answer:
            return read(member, _beacon_reply(body))

        async with aclosing(self._ask("beacon", bodies, checked)) as results:
            return tuple(sorted([one async for one in results], key=lambda one: one.member.id))

    async def close(self) -> None:
        """End all connections."""
        self._registry.flush()
        await self._transport.close()

    async def _all(
        self,
        question: str,
        message: Message,
        read: Callable[[Member, bytes], Answer],
        behalf: Behalf = EVERYBODY,
    ) -> list[Asked[Answer]]:
        if isinstance(message, OnBehalf):
            bodies = await addressed(message, self.active(), behalf)
        else:
            body = message.model_dump_json().encode()
            bodies = [(member, body) for member in self.active()]
        async with aclosing(self._ask(question, bodies, read)) as results:
            return sorted([one async for one in results], key=lambda one: one.member.id)

    async def _ask(
        self, question: str, bodies: Sequence[tuple[Member, bytes]], read: Callable[[Member, bytes], Answer]
    ) -> AsyncGenerator[Asked[Answer], None]:
        asking = ask_all(self._transport, question, bodies, read, deadline_seconds=self.deadline_seconds)
        async with aclosing(asking) as results:
            async for one in results:
                if one.road.status == "answered":
                    self._registry.seen(one.member.id)
                else:
                    _log.warning(
                        "member absent", member=one.member.id, question=question, status=one.road.status, reason=one.road.reason
                    )
                yield one


def _frequency_message(key: VariantKey, assembly: Assembly) -> AskFrequency:
    return AskFrequency(variant=str(key), assembly=assembly)


def _beacon_reply(body: bytes) -> BeaconReply:
    """A Beacon's document has any shape, so no field's type refuses numbers that JSON does not have (NaN, 1e400)."""
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadInput("it is not JSON, or has a number that is none") from error
    return BeaconReply.model_validate_json(body)


def _read_frequency(member: Member, body: bytes) -> NodeFrequency:
    return checked_frequency(member, NodeFrequency.model_validate_json(body))


def _read_datasets(member: Member, body: bytes) -> NodeDatasets:
    return checked_datasets(member, NodeDatasets.model_validate_json(body))


def _node_answer(one: Asked[NodeFrequency]) -> NodeAnswer:
    return NodeAnswer(**one.road.model_dump(by_alias=False), datasets=one.answer.datasets if one.answer else ())


def _cohort_line(road: Road, answer: NodeCohortCount | None) -> NodeCohortLine:
    found = NodeCohortLine(**road.model_dump(by_alias=False))
    return found if answer is None else found.model_copy(update={"datasets": answer.datasets, "count": answer.count})


def _datasets_answer(member: Member, road: Road, answer: NodeDatasets | None) -> NodeDatasetsAnswer:
    return NodeDatasetsAnswer(
        **road.model_dump(by_alias=False),
        name=member.name,
        country=member.country,
        datasets=answer.datasets if answer else (),
    )
