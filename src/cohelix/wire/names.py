"""Which variants a name stands for: an rsID, or a name in HGVS; the hub's answer, as every room speaks it."""

from __future__ import annotations

import re
from typing import Final

from cohelix.wire.federation import DatasetState, Road
from cohelix.wire.frequency import Wire

NAME_MAX: Final = 200
RS_ID: Final = re.compile(r"rs[1-9]\d{0,11}", re.IGNORECASE)
HGVS: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{1,40}(\([A-Za-z0-9_.-]{1,40}\))?:[gcmnpr]\.\S{1,150}")
_SUBSTITUTION: Final = re.compile(r"[^:]+:[gm]\.\d+[ACGT]+>[ACGT]+")  # a place of its own


def is_name(text: str) -> bool:
    """Whether the text can be looked up: an rsID, or a name in HGVS that says of which sequence or gene."""
    return len(text) <= NAME_MAX and bool(RS_ID.fullmatch(text) or HGVS.fullmatch(text))


def needs_looking_up(text: str) -> bool:
    """Whether the text is a name that says no place of the genome itself, as a genomic substitution does."""
    return is_name(text) and not _SUBSTITUTION.fullmatch(text)


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
