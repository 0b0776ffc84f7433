"""How many people an expression means: the question to a node, its answer, and the federation's."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from cohelix.wire.expression import ExpressionField
from cohelix.wire.federation import OnBehalf, Road
from cohelix.wire.frequency import DatasetStatus, Wire


class AskCohortCount(OnBehalf):
    """Hub to node: `POST /federation/v1/cohort-count`, answered with a `NodeCohortCount`.

    `expression` is the document of an expression; `datasets` are federation ids, none for all of the node's. With a
    `project` the ledgers of its nodes decide over floored datasets, and any expression may be asked.
    """

    expression: dict[str, Any]
    datasets: tuple[str, ...] = Field(default=(), max_length=1_000)
    project: str = Field(default="", max_length=64)


class DatasetCount(Wire):
    """A dataset's number of people; None, with a reason, for every status but `answered`."""

    id: str
    status: DatasetStatus
    reason: str | None = None
    count: int | None = None


class NodeCohortCount(Wire):
    """A node's answer: its datasets, and its own number, in which each person counts once; None where no dataset answered."""

    node: str
    datasets: tuple[DatasetCount, ...]
    count: int | None = None


class NodeCohortLine(Road):
    """A member's line in the federation's answer."""

    datasets: tuple[DatasetCount, ...] = ()
    count: int | None = None


class CohortQuestion(Wire):
    """What `POST /api/v1/cohorts/count` takes: an expression, as a document or as text, datasets (none for all), and a project
    if the count is to enter its ledgers."""

    model_config = Wire.model_config | {"extra": "forbid"}

    expression: ExpressionField
    datasets: tuple[str, ...] = Field(default=(), max_length=1_000)
    project: str = Field(default="", max_length=64, pattern=r"^([A-Za-z0-9][A-Za-z0-9._ -]*)?$")


class PooledPeople(Wire):
    """The sum of the nodes' numbers, and the nodes that it is of; people of a node that may overlap count twice."""

    count: int | None
    nodes: tuple[str, ...] = ()
    may_overlap: bool = False


class CohortCountAnswer(Wire):
    """The federation's answer; `expression` and `text` are the expression in its two forms."""

    expression: dict[str, Any]
    text: str
    pooled: PooledPeople
    nodes: tuple[NodeCohortLine, ...]
