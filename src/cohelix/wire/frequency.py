"""The frequency answer between node, hub and client, as `interface` defines it; shared by every room that makes one."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

RoadStatus = Literal["answered", "unreachable", "late", "faulty"]
DatasetStatus = Literal["answered", "empty", "below_floor", "not_assessed", "refused", "other_assembly"]


class Wire(BaseModel):
    """A frozen document with camelCase names outside and snake_case inside; unknown fields are ignored on reading."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, serialize_by_alias=True)


class PopulationCounts(Wire):
    """One row of an answer; `population` and `sex` are `all` in the total row. A withheld number is None, never 0;
    `allele_frequency` is None where AN is 0."""

    population: str
    sex: Literal["all", "male", "female", "unknown"]
    allele_count: int | None
    allele_number: int | None
    allele_frequency: float | None
    homozygotes: int | None
    heterozygotes: int | None
    hemizygotes: int | None


class DatasetFrequency(Wire):
    """What one dataset says of one variant; all statuses but `answered` carry a reason; the total row comes first."""

    id: str
    status: DatasetStatus
    reason: str | None = None
    populations: tuple[PopulationCounts, ...] = ()


class PooledCounts(Wire):
    """Sums over datasets whose status is `answered`, each person of a node once, and the nodes that they come from."""

    allele_count: int | None
    allele_number: int | None
    allele_frequency: float | None
    homozygotes: int | None
    nodes: tuple[str, ...] = ()
    may_overlap: bool = False


class NodeFrequency(Wire):
    """What a node answers of one variant: its datasets, and its own sum in which each person counts once.

    `pooled` is None where no dataset answered.
    """

    node: str
    datasets: tuple[DatasetFrequency, ...]
    pooled: PooledCounts | None = None


class NodeAnswer(Wire):
    """A node's line in a federated answer; `status` is about the road, a dataset's is about the answer."""

    node: str
    status: RoadStatus
    reason: str | None = None
    elapsed_ms: float
    datasets: tuple[DatasetFrequency, ...] = ()


class FrequencyAnswer(Wire):
    """The federation's answer: pooled figures, and every member by name."""

    variant: str
    assembly: str
    pooled: PooledCounts
    nodes: tuple[NodeAnswer, ...]


class VariantFrequency(Wire):
    """One variant of a region answer, with a dataset's rows for it."""

    variant: str
    populations: tuple[PopulationCounts, ...]


class DatasetRegion(Wire):
    """A dataset's variants that overlap a region and may be told, by position; status as for a frequency."""

    id: str
    status: DatasetStatus
    reason: str | None = None
    variants: tuple[VariantFrequency, ...] = ()


class NodeRegion(Wire):
    """A node's part of a region answer. `more` says that the node has further variants after the last one given."""

    node: str
    datasets: tuple[DatasetRegion, ...]
    more: bool = False
