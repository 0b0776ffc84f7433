"""Addresses under the Beacon: which entry type is asked for, and of which single entry or collection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cohelix.beacon.entry_types import ENTRY_OF_PATH, ENTRY_TYPES, EntryType
from cohelix.core.errors import NotFound
from cohelix.wire.beacon import Granularity

TERMS: Final = "filtering_terms"
DEFAULT: Final[Granularity] = "boolean"  # Beacon v2 framework, "granularity"


@dataclass(frozen=True, slots=True)
class Address:
    """An address of entries.

    Attributes
    ----------
    entry
        What is answered.
    root, identifier
        The single entry that the address names and its type; None and empty where all are asked.
    route
        The template of the address, for logs.
    """

    entry: EntryType
    root: EntryType | None
    identifier: str
    route: str

    @property
    def default(self) -> Granularity:
        """The granularity where the client does not say: collections and single entries are asked for to be read."""
        single = self.root == self.entry
        return "record" if single or ENTRY_TYPES[self.entry].is_collection else DEFAULT


def read_address(path: str) -> Address:
    """Read what follows the Beacon's own address; raises `NotFound` for what `/map` does not list.

    An id may hold slashes, so that what stands last is looked at first.
    """
    head, _, rest = path.partition("/")
    root = ENTRY_OF_PATH.get(head)
    if root is None:
        raise NotFound("this Beacon does not answer here: /map lists the addresses that it answers")
    if not rest:
        return Address(root, None, "", f"/{head}")
    identifier, _, last = rest.rpartition("/")
    entry = ENTRY_OF_PATH.get(last)
    if identifier and entry is not None:
        if entry not in ENTRY_TYPES[root].related:
            raise NotFound(f"no {last} belong to one of the {head}: /map lists the addresses that are answered")
        return Address(entry, root, identifier, f"/{head}/{{id}}/{last}")
    return Address(root, root, rest, f"/{head}/{{id}}")


def read_terms_address(path: str) -> tuple[EntryType | None, str] | None:
    """Of `filtering_terms`, `individuals/filtering_terms` or `datasets/{id}/filtering_terms`: whose terms; None for any other.

    The entry type is the one whose filters are wanted, or the collection of the id.
    """
    if path == TERMS:
        return None, ""
    head, _, rest = path.partition("/")
    root = ENTRY_OF_PATH.get(head)
    if root is None or not (rest == TERMS or rest.endswith(f"/{TERMS}")):
        return None
    identifier = rest.removesuffix(TERMS).rstrip("/")
    if identifier and not ENTRY_TYPES[root].is_collection:
        return None
    return root, identifier
