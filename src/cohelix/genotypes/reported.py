"""Variants that case reports and mutation lists name, call by call, to a store: who carries one is known, who does not is not.

A person in whom a variant is not reported is stored as not called: absent is not unknown (rule 2 of the interface).

Insertions and deletions written without the base before them (MAF's `-`) are stored as VCF writes them, with that base:
the reference's where there is one, else `N`, the letter for a base that is not known. So `-` > `ACCA` between 20:31023271
and 20:31023272 is 20-31023271-N-NACCA; `bank.matching` finds it, too, when it is asked for with the base spelled out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cohelix.core.arrays import AlleleArray
from cohelix.core.errors import BadFile
from cohelix.core.genome import Assembly, contig_order, known_contig
from cohelix.core.reported import UNKNOWN_BASE, ReportedCall
from cohelix.core.variant import VariantKey, is_sequence, trim
from cohelix.genotypes.encode import encode_calls
from cohelix.genotypes.fractions import CallDetail
from cohelix.genotypes.load import GenotypeReport
from cohelix.genotypes.reference import Reference
from cohelix.genotypes.writer import StoreWriter

_BATCH_ROWS = 512
_CALL_OF = {"homozygous": (1, 1), "hemizygous": (1, -2)}
_LEFT_ALIGN_BASES = 1000  # as far as `genotypes.load` moves an indel
_TRANSITIONS = frozenset({("A", "G"), ("G", "A"), ("C", "T"), ("T", "C")})


class ReportedStore(NamedTuple):
    """What was made of reported calls.

    Attributes
    ----------
    report
        The load's figures.
    rows
        The calls of each row of the store, in row order; a biosample's repeated calls are one.
    unplaced
        Calls without a place, with the number of their column.
    details
        What the genotypes do not hold, for `fractions.write_cases`.
    """

    report: GenotypeReport
    rows: tuple[tuple[ReportedCall, ...], ...]
    unplaced: tuple[tuple[int, ReportedCall], ...]
    details: tuple[CallDetail, ...]


def load_reported(
    calls: Iterable[ReportedCall],
    folder: Path,
    *,
    assembly: Assembly,
    samples: Sequence[str] = (),
    reference: Path | None = None,
    path: Path | None = None,
) -> ReportedStore:
    """Write a store of reported calls into an empty or new folder.

    Parameters
    ----------
    calls
        In any order. One biosample's calls of one variant are merged: a zygosity and an allele fraction that are known
        win over those that are not, the first over later ones.
    samples
        Columns of the store, before those of biosamples that only calls name.
    reference
        An uncompressed FASTA file: REF is checked, indels are anchored and left-aligned.
    path
        The calls' file, for refusals.

    Raises
    ------
    BadFile
        Naming the call's line, where its place is not one of the assembly or its alleles are not the reference's.
    """
    fasta = Reference(reference, assembly) if reference is not None else None
    columns = {name: number for number, name in enumerate(dict.fromkeys(samples))}
    placed: dict[VariantKey, dict[int, ReportedCall]] = {}
    unplaced: list[tuple[int, ReportedCall]] = []
    figures = dict.fromkeys(("calls", "repeated", "trimmed", "left_aligned", "without_base"), 0)
    for call in calls:
        column = columns.setdefault(call.biosample, len(columns))
        if not call.contig:
            unplaced.append((column, call))
            continue
        key = _placed(call, assembly, fasta, str(path or ""), figures)
        figures["calls"] += 1
        of_variant = placed.setdefault(key, {})
        figures["repeated"] += column in of_variant
        of_variant[column] = _merged(of_variant[column], call) if column in of_variant else call
    keys = sorted(placed, key=lambda key: (contig_order(key.contig), key.position, key.ref, key.alt))
    _write(folder, assembly, tuple(columns), keys, placed)
    rows = tuple(tuple(placed[key].values()) for key in keys)
    details = tuple(
        CallDetail(row, column, call.allele_fraction, call.zygosity if call.zygosity == "unknown" else None, call.origin)
        for row, key in enumerate(keys)
        for column, call in sorted(placed[key].items())
    )
    return ReportedStore(_report(keys, placed, tuple(columns), figures, len(unplaced)), rows, tuple(unplaced), details)


def _placed(call: ReportedCall, assembly: Assembly, fasta: Reference | None, path: str, figures: dict[str, int]) -> VariantKey:
    """The call's variant as it is stored: upper case, anchored, trimmed, left-aligned where there is a reference."""
    contig = known_contig(call.contig, assembly)
    if contig is None:
        raise BadFile(path, call.line, f"{assembly} has no contig {call.contig[:40]!r}", "a contig of the assembly")
    ref, alt, position = call.ref.upper().strip("-"), call.alt.upper().strip("-"), call.position_0
    if position < 0 or (contig.length and position + len(ref) > contig.length):
        problem = f"position {position + 1} is outside contig {contig.name}"
        raise BadFile(path, call.line, problem, f"positions from 1 to {contig.length} in {assembly}")
    if alt and not is_sequence(alt):
        return VariantKey(contig.name, position, ref or UNKNOWN_BASE, call.alt)
    if not is_sequence(ref or alt) or ref == alt:
        raise BadFile(
            path, call.line, f"{call.ref[:20]} > {call.alt[:20]} is not a variant", "two alleles that differ, in A, C, G, T, N"
        )
    if fasta is not None and ref:
        there = "".join(fasta.base(contig.name, place) for place in range(position, position + len(ref)))
        if any(base not in (found, "N") and found != "N" for base, found in zip(ref, there, strict=True)):
            place = f"{contig.name}:{position + 1}"
            raise BadFile(path, call.line, f"REF is {ref[:20]} at {place}", f"{there[:20]}, as {fasta.path.name} has it")
    if not ref or not alt:
        position, ref, alt = _anchored(position, ref, alt, contig.name, fasta)
        figures["without_base"] += fasta is None
    start, short_ref, short_alt = trim(position, ref, alt)
    figures["trimmed"] += (start, short_ref) != (position, ref)
    if fasta is not None:
        aligned = _left_aligned(VariantKey(contig.name, start, short_ref, short_alt), fasta)
        figures["left_aligned"] += aligned.position != start
        return aligned
    return VariantKey(contig.name, start, short_ref, short_alt)


def _anchored(position: int, ref: str, alt: str, contig: str, fasta: Reference | None) -> tuple[int, str, str]:
    """An insertion (its position is that of the base before) or deletion with the base before it; at a contig's first
    base, with the base after it, as VCF has it."""
    at = position if not ref else position - 1
    if at < 0:
        after = fasta.base(contig, len(ref)) if fasta is not None else UNKNOWN_BASE
        return 0, ref + after, alt + after
    before = fasta.base(contig, at) if fasta is not None else UNKNOWN_BASE
    return at, before + ref, before + alt


def _left_aligned(key: VariantKey, fasta: Reference) -> VariantKey:
    """The same change at the leftmost place where it can be written (Tan, Abecasis and Kang 2015)."""
    contig, position, ref, alt = key
    if len(ref) == len(alt) or ref[0] != alt[0]:
        return key
    for _ in range(_LEFT_ALIGN_BASES):
        if ref[-1] != alt[-1]:
            break
        ref, alt = ref[:-1], alt[:-1]
        if not ref or not alt:
            if position == 0:
                return VariantKey(contig, position, ref + key.ref[-1:], alt + key.alt[-1:])
            position -= 1
            before = fasta.base(contig, position)
            ref, alt = before + ref, before + alt
    return VariantKey(contig, *trim(position, ref, alt))


def _merged(first: ReportedCall, second: ReportedCall) -> ReportedCall:
    """Two reports of one variant in one biosample as one."""
    return replace(
        first,
        zygosity=first.zygosity if first.zygosity != "unknown" else second.zygosity,
        gene=first.gene or second.gene,
        hgvs=tuple(dict.fromkeys((*first.hgvs, *second.hgvs))),
        consequence=first.consequence or second.consequence,
        significance=first.significance or second.significance,
        allele_fraction=first.allele_fraction if first.allele_fraction is not None else second.allele_fraction,
    )


def _write(
    folder: Path,
    assembly: Assembly,
    samples: tuple[str, ...],
    keys: Sequence[VariantKey],
    placed: dict[VariantKey, dict[int, ReportedCall]],
) -> None:
    with StoreWriter(folder, assembly=assembly, samples=samples) as writer:
        for start, batch in _batches(keys):
            alleles: AlleleArray = np.full((len(batch), len(samples), 2), -1, np.int8)
            for number, key in enumerate(batch):
                for column, call in placed[key].items():
                    alleles[number, column] = _CALL_OF.get(call.zygosity, (0, 1))
            n = len(batch)
            writer.add(
                encode_calls(
                    batch[0].contig,
                    [key.position for key in batch],
                    [key.end for key in batch],
                    [key.ref for key in batch],
                    [key.alt for key in batch],
                    [""] * n,
                    list(range(start, start + n)),
                    [0] * n,
                    [1] * n,
                    [""] * n,
                    alleles,
                    np.zeros(alleles.shape[:2], np.bool_),
                )
            )
        writer.finish_source(0)


def _batches(keys: Sequence[VariantKey]) -> Iterator[tuple[int, Sequence[VariantKey]]]:
    """Stretches of one contig, with the number of their first row."""
    start = 0
    while start < len(keys):
        stop = start + 1
        while stop < len(keys) and stop - start < _BATCH_ROWS and keys[stop].contig == keys[start].contig:
            stop += 1
        yield start, keys[start:stop]
        start = stop


def _report(
    keys: Sequence[VariantKey],
    placed: dict[VariantKey, dict[int, ReportedCall]],
    samples: tuple[str, ...],
    figures: dict[str, int],
    n_unplaced: int,
) -> GenotypeReport:
    called, het, hom = (np.zeros(len(samples), np.int64) for _ in range(3))
    for calls in placed.values():
        for column, call in calls.items():
            called[column] += 1
            het[column] += call.zygosity not in _CALL_OF
            hom[column] += call.zygosity == "homozygous"
    changes = [(key.ref, key.alt) for key in keys if len(key.ref) == len(key.alt) == 1 and is_sequence(key.alt)]
    transitions = sum(change in _TRANSITIONS for change in changes)
    warnings = ["only variants that somebody carries are reported: everybody else is not called there"]
    if figures["repeated"]:
        warnings.append(f"{figures['repeated']:,} calls repeat one of the same biosample and variant: merged")
    if figures["without_base"]:
        problem = f"{figures['without_base']:,} insertions and deletions have no base before them: it is written N"
        warnings.append(f"{problem}, and they are not left-aligned; --reference gives it")
    if n_unplaced:
        warnings.append(f"{n_unplaced:,} calls have no place in the genome: they are found by gene and HGVS")
    return GenotypeReport(
        samples=samples,
        variants=len(keys),
        records=figures["calls"],
        multiallelic=0,
        trimmed=figures["trimmed"],
        left_aligned=figures["left_aligned"],
        duplicate_variants=0,
        duplicates=(),
        call_rate=float(called.sum()) / max(1, len(samples) * len(keys)),
        sample_call_rate=called / max(1, len(keys)),
        transitions=transitions,
        transversions=len(changes) - transitions,
        sample_het=het,
        sample_hom=hom,
        half_calls=0,
        contigs=tuple(dict.fromkeys(key.contig for key in keys)),
        warnings=tuple(warnings),
    )
