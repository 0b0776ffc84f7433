"""The operator's own, exact counts: never behind a door that the public may use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from cohelix.bank.cases import NOT_COUNTED
from cohelix.bank.consent import agreed_columns
from cohelix.bank.people import CallSets, atoms_of
from cohelix.bank.publish import open_current
from cohelix.bank.version import OpenVersion
from cohelix.core.arrays import BoolArray
from cohelix.core.errors import BadUsage
from cohelix.core.genome import Region, known_contig
from cohelix.core.ids import DatasetId
from cohelix.genotypes import Cohort, write_region

if TYPE_CHECKING:
    import polars as pl

HEADER = ("contig", "pos", "ref", "alt", "an", "ac", "het", "hom", "hemi", "missing")
_BLOCK_ROWS = 16_384
_NAMED_MOST = 5


class OperatorCounts:
    """Counts of every row of a dataset, or of those that overlap a region, among some of its people.

    Whoever has not agreed to be counted in frequencies is not, from the moment that it was said.

    Raises
    ------
    NotFound
        If the node has no such dataset.
    BadUsage
        If a population or an individual is not in the dataset, or the region's contig is not in the assembly; names it.
        If the dataset is of counts only.
    """

    def __init__(
        self,
        node: Path,
        dataset: DatasetId,
        *,
        population: str | None = None,
        sex: str | None = None,
        individuals: Iterable[str] | None = None,
        region: Region | None = None,
    ) -> None:
        self._version = version = _with_genotypes(node, dataset)
        call_sets = _counted_sets(version)
        counted = call_sets.counted & agreed_columns(node, version, "frequencies")
        for chosen in (
            _of_atoms(version, call_sets, population, sex),
            _of_individuals(version, tuple(individuals)) if individuals is not None else None,
        ):
            if chosen is not None:
                counted &= chosen
        self.n_people = len(np.unique(call_sets.person[counted]))
        self._cohort = Cohort.of(len(counted), counted)
        self._region = _checked(region, version) if region is not None else None

    def blocks(self) -> Iterator[pl.DataFrame]:
        """The counts in row order, some thousand rows at a time, columns as in `HEADER`."""
        import polars as pl

        store = self._version.store
        for rows in self._stretches():
            names = store.table(rows)
            counts = store.allele_counts(rows, self._cohort)
            columns = (names.position.astype(np.int64) + 1, names.ref, names.alt, *counts)
            frame = pl.DataFrame(dict(zip(HEADER[1:], columns, strict=True)))
            yield frame.select(pl.lit(names.contig).alias("contig"), *HEADER[1:])

    def write_tsv(self, out: BinaryIO) -> int:
        """Write the counts as TSV with a header line; returns how many rows."""
        out.write(("\t".join(HEADER) + "\n").encode())
        n_rows = 0
        for frame in self.blocks():
            # Alleles are bases or a source's symbols, which hold neither tabs nor quotes: VCF 4.3, section 1.6.1.
            out.write(frame.write_csv(separator="\t", include_header=False, quote_style="never").encode())
            n_rows += len(frame)
        return n_rows

    def _stretches(self) -> Iterator[range]:
        """Consecutive rows of one contig, at most a block of them."""
        store = self._version.store
        if self._region is None:
            wanted: Iterable[range] = (store.contig_rows(contig) for contig in store.info.contigs)
        else:
            rows = store.rows_overlapping(self._region)
            parts = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if rows.size else []
            wanted = (range(int(part[0]), int(part[-1]) + 1) for part in parts)
        for stretch in wanted:
            for start in range(stretch.start, stretch.stop, _BLOCK_ROWS):
                yield range(start, min(start + _BLOCK_ROWS, stretch.stop))


def export_region(node: Path, dataset: DatasetId, region: Region, out: Path) -> None:
    """Write the genotypes of a region, with the source's sample names, as `.vcf.gz` or `.bcf`.

    Whoever has not agreed to secondary use is left out, from the moment that it was said.

    Raises
    ------
    NotFound
        If the node has no such dataset.
    BadUsage
        If the contig is not in the assembly, the file's ending is neither, or the dataset is of counts only.
    """
    if not out.name.endswith((".vcf.gz", ".bcf")):
        raise BadUsage(f"{out.name}: write to a file that ends in .vcf.gz or .bcf")

    version = _with_genotypes(node, dataset)
    agreed = agreed_columns(node, version, "secondary-use")
    keep = None if agreed.all() else np.flatnonzero(agreed)
    write_region(version.store, _checked(region, version), out, keep=keep)


def _with_genotypes(node: Path, dataset: DatasetId) -> OpenVersion:
    version = open_current(node, dataset)
    if version.manifest.content == "aggregate":
        raise BadUsage(f"{dataset} is of counts only, nobody's genotypes: its counts are in the file that it was loaded from")
    return version


def _counted_sets(version: OpenVersion) -> CallSets:
    """The call sets, with those marked that are counted here: of a somatic or reported dataset all of them, by case."""
    if version.manifest.content not in NOT_COUNTED:
        return version.everybody
    return replace(version.everybody, counted=np.ones(len(version.everybody.names), np.bool_))


def _of_atoms(version: OpenVersion, call_sets: CallSets, population: str | None, sex: str | None) -> BoolArray | None:
    if population is None and sex is None:
        return None
    atoms = atoms_of(call_sets, version.people)
    known = sorted({atom.population for atom, _ in atoms if atom.population})
    if population is not None and population not in known:
        raise BadUsage(f"population {population!r} is not in the dataset, which has {', '.join(known) or 'none'}")
    chosen = np.zeros(len(version.call_sets.names), np.bool_)
    for atom, columns in atoms:
        if population in (None, atom.population) and sex in (None, atom.sex):
            chosen[columns] = True
    return chosen


def _of_individuals(version: OpenVersion, individuals: tuple[str, ...]) -> BoolArray:
    """Columns of these people; a column without a person goes by its own name."""
    people = {name: number for number, name in enumerate(version.people.individual_ids)}
    call_sets = version.everybody
    alone = call_sets.person >= call_sets.n_registered
    people |= {
        name: int(person)
        for name, person, is_alone in zip(call_sets.names, call_sets.person, alone, strict=True)
        if is_alone and name not in people
    }
    unknown = [name for name in individuals if name not in people]
    if unknown:
        named = ", ".join(unknown[:_NAMED_MOST]) + (", …" if len(unknown) > _NAMED_MOST else "")
        raise BadUsage(f"{len(unknown)} individuals are not in the dataset: {named}")
    wanted = np.zeros(call_sets.n_registered + len(call_sets.names), np.bool_)
    wanted[[people[name] for name in individuals]] = True
    return np.asarray(wanted[call_sets.person], np.bool_)


def _checked(region: Region, version: OpenVersion) -> Region:
    contig = known_contig(region.contig, version.manifest.assembly)
    if contig is None:
        raise BadUsage(f"{version.manifest.assembly} has no contig {region.contig}")
    return region._replace(contig=contig.name)
