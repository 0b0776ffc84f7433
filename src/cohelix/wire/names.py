"""Which variants a name stands for: an rsID, or a name in HGVS; the hub's answer, as every room speaks it."""

from __future__ import annotations

from cohelix.wire.federation import DatasetState, Road
from cohelix.wire.frequency import Wire


class NamedVariant(Wire):
    """A variant that has the name, its assembly, and the datasets (by federation id) that say so."""

    variant: str
    assembly: str
    datasets: tuple[str, ...]


class NodeNames(Road):
    """A member's line: how the road went, and what each of its datasets said."""

    datasets: tuple[DatasetState, ...] = ()


class NamedAnswer(Wire):
    """Variants by assembly, contig and position; every member by id. `name` is as it was asked."""

    name: str
    variants: tuple[NamedVariant, ...]
    nodes: tuple[NodeNames, ...]
