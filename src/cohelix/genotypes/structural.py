"""Structural variants by their ALT: breakends and their mates, copy numbers, tandem repeats (VCF 4.3 and 4.4, section 5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from cohelix.core.arrays import IntArray
from cohelix.core.errors import Damaged
from cohelix.core.genome import Region, plain_contig
from cohelix.genotypes.hybrid_store import HybridStore, read_index

MATES_FILE = "mates.arrow"
# `G]17:198982]`, `]13:123456]T`, `C[<ctg1>:7[`; the contig's name may hold colons itself.
_BREAKEND = re.compile(r"[A-Za-z.]*[\[\]]<?(?P<contig>[^\[\]<>]+?)>?:(?P<position>[0-9]{1,10})[\[\]][A-Za-z.]*")
_COPIES = re.compile(r"CN(\d+)")
_REPEATS = re.compile(r"(STR|VNTR|TR|CNV:TR)\d*", re.IGNORECASE)

# ALTs of gVCF that stand for any other allele: nobody's variant.
REFERENCE_BLOCKS = frozenset({"<NON_REF>", "<*>"})


class Mate(NamedTuple):
    """Where a breakend's other side lies: our contig name and 0-based position of the base that it joins."""

    contig: str
    position: int


def mate_of(alt: str) -> Mate | None:
    """The mate of a breakend's ALT; None of any other ALT, and of a single breakend (`G.`)."""
    found = _BREAKEND.fullmatch(alt)
    if found is None or not int(found["position"]):
        return None
    return Mate(plain_contig(found["contig"]), int(found["position"]) - 1)


def types_of(alt: str) -> frozenset[str]:
    """The names by which a symbolic ALT, a breakend or a repeat may be asked for, in upper case; none of a sequence.

    `<CN0>` is a CNV, and a DEL; more copies than two are a CNV, and a DUP. `<DUP:TANDEM>` is a DUP, `<STR27>` an STR.
    """
    if "[" in alt or "]" in alt or alt.startswith(".") or alt.endswith("."):
        return frozenset({"BND", "SV"}) if alt != "." else frozenset()
    if not alt.startswith("<") or alt in REFERENCE_BLOCKS:
        return frozenset()
    name = alt.strip("<>").upper()
    family = name.split(":", 1)[0]
    names = {"SV", name, family}
    copies = _COPIES.fullmatch(name)
    if copies:
        # On X and Y of men one copy is the usual number: 1 alone says no more than CNV.
        names |= {"CNV"} | ({"DEL"} if int(copies[1]) == 0 else {"DUP"} if int(copies[1]) > 2 else set())
    if _REPEATS.fullmatch(name):
        names |= {"STR", "TR"} if name.startswith(("STR", "TR", "CNV")) else {"VNTR", "TR"}
    return frozenset(names)


@dataclass(frozen=True, slots=True)
class Mates:
    """The far sides of a store's breakends, ascending by contig and position, so that they are found from either side."""

    contigs: tuple[str, ...]
    position: IntArray
    row: IntArray
    starts: dict[str, tuple[int, int]]

    @classmethod
    def open(cls, folder: Path) -> Mates:
        """What `write_mates` wrote; nothing where there is no file. Raises `Damaged` if it cannot be read."""
        path = folder / MATES_FILE
        if not path.is_file():
            return cls((), np.empty(0, np.int64), np.empty(0, np.int64), {})
        try:
            with pa.memory_map(str(path)) as source:
                table = pa.ipc.open_file(source).read_all()
            contigs = table["contig"].to_pylist()
            starts = {name: (contigs.index(name), contigs.index(name) + contigs.count(name)) for name in set(contigs)}
            return cls(tuple(sorted(starts)), table["position"].to_numpy(), table["row"].to_numpy(), starts)
        except (OSError, KeyError, pa.ArrowException) as error:
            raise Damaged(f"{MATES_FILE} cannot be read ({error})") from None

    def rows_within(self, region: Region) -> IntArray:
        """Rows of breakends whose mate lies in the region, ascending."""
        first, last = self.starts.get(region.contig, (0, 0))
        within = first + np.searchsorted(self.position[first:last], [region.start, region.end])
        return np.unique(self.row[within[0] : within[1]])

    def rows_with(self, contig: str) -> IntArray:
        """Rows of breakends whose mate lies on a contig, ascending."""
        first, last = self.starts.get(contig, (0, 0))
        return np.unique(self.row[first:last])


def write_mates(store_folder: Path, folder: Path) -> int:
    """Find a store's breakends and write where their mates lie; no file where there are none. Gives their number."""
    _, shards = read_index(store_folder)
    store = HybridStore.open(store_folder)
    found = sorted((mate.contig, mate.position, row) for row, mate in _breakends(store, len(shards)))
    if not found:
        return 0
    contigs, positions, rows = zip(*found, strict=True)
    table = pa.table(
        {
            "contig": pa.array(contigs, pa.string()),
            "position": pa.array(positions, pa.int64()),
            "row": pa.array(rows, pa.int64()),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(folder / MATES_FILE), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return len(found)


def _breakends(store: HybridStore, n_shards: int) -> Iterator[tuple[int, Mate]]:
    first = 0
    for number in range(n_shards):
        shard = store.shard(number)
        heap = bytes(shard.file.array("long_text"))
        # A shard without a bracket has no breakend: nearly every one.
        if b"[" in heap or b"]" in heap:
            for entry, row in enumerate(shard.long_rows.tolist()):
                mate = mate_of(shard.text("long", entry).partition("\t")[2])
                if mate is not None:
                    yield first + row, mate
        first += shard.n_rows
