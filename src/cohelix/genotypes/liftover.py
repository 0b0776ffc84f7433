"""Lift-over: positions of one build to the other by a UCSC chain file, as an explicit step whose losses are listed.

References
----------
Kent et al. 2003, PNAS 100:11484; the chain format: UCSC Genome Browser, "Chain Format".
"""

from __future__ import annotations

import gzip
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from cohelix.core.arrays import IntArray
from cohelix.core.errors import AssemblyMismatch, BadFile
from cohelix.core.genome import Assembly, known_contig, plain_contig, primary_lengths
from cohelix.core.variant import is_sequence, trim
from cohelix.genotypes.hybrid_store import HybridStore
from cohelix.genotypes.lifted import NewKey, write_lifted
from cohelix.genotypes.reference import Reference

LOSSES_LISTED = 1000
NO_PLACE, SEVERAL, BROKEN, STRAND, OTHER_BASE, NO_CONTIG = (
    "no place in the other build",
    "several places in the other build",
    "its REF does not stay together",
    "on the other strand, and no reference was given to place it",
    "REF is not the base of the reference",
    "its place is on a contig that the assembly does not have",
)
_COMPLEMENT: Final = str.maketrans("ACGTN", "TGCAN")


class Place(NamedTuple):
    """Where a variant lies in the other build: 0-based, alleles of its strand; whether that is the other strand."""

    contig: str
    position: int
    ref: str
    alt: str
    flipped: bool


class _Blocks(NamedTuple):
    """Stretches of one contig without gaps, by start; each column (n,) int64."""

    start: IntArray
    end: IntArray
    target: IntArray  # + strand: of the first base; - strand: position after the base that the first base becomes
    contig: IntArray
    reverse: IntArray
    reach: IntArray  # the largest end so far


_BASES_MOST = 1 << 40  # no contig is longer


class LiftOver:
    """A chain file, ready to be asked."""

    def __init__(self, blocks: dict[str, _Blocks], contigs: tuple[str, ...], lengths: dict[str, dict[str, int]]) -> None:
        self._blocks, self._contigs = blocks, contigs
        self.lengths = lengths

    @classmethod
    def open(cls, chain: Path) -> LiftOver:  # noqa: PLR0912 - a line of the format is a branch
        """Read a chain file, gzip or plain.

        Raises
        ------
        BadFile
            With the line, where it is not one.
        """
        if not chain.is_file():
            raise BadFile(str(chain), "", "there is no such file", "a UCSC chain file")
        found: dict[str, list[tuple[int, int, int, int, int]]] = {}
        contigs: dict[str, int] = {}
        lengths: dict[str, dict[str, int]] = {"source": {}, "target": {}}
        with chain.open("rb") as probe:
            packed = probe.read(2) == b"\x1f\x8b"
        number = 0
        rows: list[tuple[int, int, int, int, int]] = []
        at = to = to_size = to_contig = 0
        reverse = inside = False
        try:
            with gzip.open(chain, "rt", encoding="ascii") if packed else chain.open(encoding="ascii") as file:
                for number, line in enumerate(file, start=1):  # noqa: B007 - the refusal below names it
                    words = line.split()
                    if not words or line.startswith("#"):
                        continue
                    if words[0] == "chain":
                        if inside:
                            raise ValueError
                        _, _, name, size, strand, start, _, to_name, to_size_text, to_strand, to_start, *_ = words
                        at, to, to_size = int(start), int(to_start), int(to_size_text)
                        if (
                            strand != "+"
                            or to_strand not in "+-"
                            or not 0 <= at <= int(size) <= _BASES_MOST >= to_size >= to >= 0
                        ):
                            raise ValueError
                        reverse, inside = to_strand == "-", True
                        source, target = plain_contig(name), plain_contig(to_name)
                        lengths["source"][source], lengths["target"][target] = int(size), to_size
                        to_contig = contigs.setdefault(target, len(contigs))
                        rows = found.setdefault(source, [])
                        continue
                    if not inside or len(words) not in (1, 3):
                        raise ValueError
                    length = int(words[0])
                    if length < 0 or to + length > to_size or not 0 <= at <= _BASES_MOST - length:
                        raise ValueError
                    rows.append((at, at + length, to_size - to if reverse else to, to_contig, int(reverse)))
                    at, to = at + length, to + length
                    if len(words) == 3:
                        at, to = at + int(words[1]), to + int(words[2])
                    else:
                        inside = False
        except (ValueError, UnicodeDecodeError, EOFError, OSError):
            raise BadFile(
                str(chain), f"line {number + (0 if number else 1)}", "not a line of a chain file", "UCSC's chain format"
            ) from None
        if not found or inside:
            raise BadFile(str(chain), f"line {number}", "the chain ends early", "a whole chain file")
        blocks = {}
        for contig, entries in found.items():
            table = np.array(sorted(entries), np.int64)
            reach = np.maximum.accumulate(table[:, 1])
            column = [np.ascontiguousarray(table[:, i]) for i in range(5)]
            blocks[contig] = _Blocks(column[0], column[1], column[2], column[3], column[4], reach)
        return cls(blocks, tuple(contigs), lengths)

    def check(self, chain: Path, source: Assembly, target: Assembly) -> None:
        """Refuse a chain between other builds, by the lengths of its contigs."""
        for side, assembly in (("source", source), ("target", target)):
            for contig, length in primary_lengths(assembly).items():
                stated = self.lengths[side].get(contig)
                if contig != "MT" and stated is not None and stated != length:
                    problem = f"contig {contig} of its {side} has {stated} bases, not the {length} of {assembly}"
                    raise AssemblyMismatch(str(chain), "chains", problem, f"a chain from {source} to {target}")

    def lift(self, contig: str, position_0: int, ref: str, alt: str) -> Place | str:
        """The variant's place, or why it has none."""
        end = position_0 + max(1, len(ref) if is_sequence(ref) else 1)
        place, reason = self.stretch(contig, position_0, end)
        if place is None:
            return reason
        name, start, _, reverse = place
        if not reverse:
            return Place(name, start, ref, alt, False)
        if not is_sequence(alt):
            return (
                Place(name, start, reverse_complement(ref), alt, True) if alt in (".", "*") or alt.startswith("<") else STRAND
            )
        return Place(name, start, reverse_complement(ref), reverse_complement(alt), True)

    def stretch(  # noqa: PLR0911 - each reason is a way out
        self, contig: str, start: int, end: int
    ) -> tuple[tuple[str, int, int, bool] | None, str]:
        """Where [start, end) lies, as (contig, start, end, reversed), or None and why."""
        blocks = self._blocks.get(contig)
        if blocks is None:
            return None, NO_PLACE
        at = int(np.searchsorted(blocks.start, start, side="right")) - 1
        if at < 0 or blocks.reach[at] <= start:
            return None, NO_PLACE
        inside = [i for i in range(at, -1, -1) if blocks.end[i] > start] if at and blocks.reach[at - 1] > start else [at]
        inside = [i for i in inside if blocks.end[i] > start]
        if len(inside) > 1:
            return None, SEVERAL
        if not inside:
            return None, NO_PLACE
        i = inside[0]
        if end > blocks.end[i]:
            return None, BROKEN
        name, offset = self._contigs[int(blocks.contig[i])], start - int(blocks.start[i])
        if blocks.reverse[i]:
            last = int(blocks.target[i]) - offset
            return (name, last - (end - start), last, True), ""
        first = int(blocks.target[i]) + offset
        return (name, first, first + end - start, False), ""


def reverse_complement(bases: str) -> str:
    """The bases of the other strand."""
    return bases.translate(_COMPLEMENT)[::-1]


class Loss(NamedTuple):
    """A variant without a place, and why."""

    variant: str
    reason: str


@dataclass(frozen=True, slots=True)
class LiftReport:
    """What a lift-over did.

    Attributes
    ----------
    source, chain, sha256
        The build that the positions came from; name of the chain file, and its checksum.
    lifted, flipped, moved_contig, left_aligned
        Rows with a place; of these on the other strand, on another contig, moved by left-alignment.
    lost
        How many rows have no place, by reason; `losses` lists the first `LOSSES_LISTED`.
    source_rows
        (lifted,) int64: the row before of each row after.
    """

    source: Assembly
    chain: str
    sha256: str
    lifted: int
    flipped: int
    moved_contig: int
    left_aligned: int
    lost: dict[str, int]
    losses: tuple[Loss, ...]
    source_rows: IntArray = field(repr=False, compare=False)

    def document(self) -> dict[str, Any]:
        """As the load report and the manifest have it."""
        return {
            "from": self.source.value,
            "chain": self.chain,
            "sha256": self.sha256,
            "lifted": self.lifted,
            "otherStrand": self.flipped,
            "otherContig": self.moved_contig,
            "leftAligned": self.left_aligned,
            "lost": self.lost,
        }


def lift_store(
    store: HybridStore, folder: Path, *, chain: Path, assembly: Assembly, reference: Path | None = None
) -> LiftReport:
    """Write a store again with every variant at its place in `assembly`.

    Calls stay as they are; alleles are of the new place's strand. With a reference every REF is compared with it, and
    indels are left-aligned; without one an indel on the other strand is lost, since its left end cannot be known.
    """
    lift = LiftOver.open(chain)
    lift.check(chain, store.info.assembly, assembly)
    fasta = Reference(reference, assembly) if reference is not None else None
    placed = _placed(store, lift, assembly, fasta)
    source_rows = write_lifted(store, folder, placed.keys, placed.rows, assembly)
    with chain.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return LiftReport(
        store.info.assembly, chain.name, sha256, len(placed.rows), placed.flipped, placed.moved, placed.aligned,
        dict(placed.lost), tuple(placed.losses), source_rows,
    )  # fmt: skip


@dataclass(slots=True)
class _Placed:
    keys: list[NewKey] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    flipped: int = 0
    moved: int = 0
    aligned: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    losses: list[Loss] = field(default_factory=list)


def _placed(store: HybridStore, lift: LiftOver, assembly: Assembly, fasta: Reference | None) -> _Placed:
    placed = _Placed()
    for contig in store.info.contigs:
        rows = store.contig_rows(contig)
        for start in range(rows.start, rows.stop, 1 << 14):
            names = store.table(range(start, min(start + (1 << 14), rows.stop)))
            for index, (position, end, ref, alt) in enumerate(
                zip(names.position.tolist(), names.end.tolist(), names.ref, names.alt, strict=True)
            ):
                found = _new_key(lift, contig, position, end, ref, alt, assembly, fasta, placed)
                if isinstance(found, str):
                    placed.lost[found] += 1
                    if len(placed.losses) < LOSSES_LISTED:
                        placed.losses.append(Loss(f"{contig}-{position + 1}-{ref}-{alt}", found))
                    continue
                placed.keys.append(found)
                placed.rows.append(start + index)
    return placed


def _new_key(  # noqa: PLR0911, PLR0917 - each reason is a way out; the variant's parts one by one
    lift: LiftOver, contig: str, position: int, end: int, ref: str, alt: str,
    assembly: Assembly, fasta: Reference | None, placed: _Placed,
) -> NewKey | str:  # fmt: skip
    place = lift.lift(contig, position, ref, alt)
    if isinstance(place, str):
        return place
    if "[" in alt or "]" in alt:
        return "a breakend's mate is not lifted"
    known = known_contig(place.contig, assembly)
    if known is None:
        return NO_CONTIG
    name, at, new_ref, new_alt = known.name, place.position, place.ref, place.alt
    covered = end - position
    if not is_sequence(alt) and covered > len(ref):
        whole, reason = lift.stretch(contig, position, end)
        if whole is None:
            return BROKEN if reason == BROKEN else reason
        at = whole[1]
    indel = is_sequence(new_alt) and len(new_ref) != len(new_alt)
    if fasta is not None:
        if any(fasta.base(name, at + i) not in (base, "N") for i, base in enumerate(new_ref)):
            return OTHER_BASE
        if indel:
            aligned = left_align(fasta, name, at, new_ref, new_alt)
            placed.aligned += aligned != (at, new_ref, new_alt)
            at, new_ref, new_alt = aligned
    elif place.flipped and indel:
        return STRAND
    placed.flipped += place.flipped
    placed.moved += name != contig
    at, new_ref, new_alt = trim(at, new_ref, new_alt)
    return NewKey(name, at, at + (len(new_ref) if is_sequence(new_alt) else covered), new_ref, new_alt)


def left_align(fasta: Reference, contig: str, position: int, ref: str, alt: str) -> tuple[int, str, str]:
    """Move an indel to its leftmost place, with the base before it.

    References
    ----------
    Tan, Abecasis and Kang 2015, Bioinformatics 31:2202.
    """
    while ref and alt and ref[-1] == alt[-1] and (position > 0 or (len(ref) > 1 and len(alt) > 1)):
        ref, alt = ref[:-1], alt[:-1]
        if not ref or not alt:
            position -= 1
            before = fasta.base(contig, position)
            ref, alt = before + ref, before + alt
    while len(ref) > 1 and len(alt) > 1 and ref[0] == alt[0]:
        position, ref, alt = position + 1, ref[1:], alt[1:]
    return position, ref, alt
