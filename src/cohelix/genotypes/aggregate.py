"""Sites with counts and no person: a VCF without samples, Parquet or TSV, to a store of 0 samples and its table of counts.

Files are read in pieces; what they count goes to the disk in the order read and is put into the store's row order at
the end, so that memory is bounded by a piece (and 16 bytes a site).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from cohelix.core.arrays import AlleleCounts, IntArray, UintArray
from cohelix.core.errors import AssemblyMismatch, BadFile, BadUsage
from cohelix.core.genome import Assembly, contig_order
from cohelix.genotypes.aggregate_groups import (
    AC,
    AN,
    HEMI,
    HET,
    HOM,
    Group,
    GroupPlan,
    SitesMapping,
    called_people,
    counts_of,
    label_of,
    plan_groups,
    read_sites_mapping,
)
from cohelix.genotypes.build_sites import Evidence, evidence, other_build
from cohelix.genotypes.counts import write_counts
from cohelix.genotypes.header import check_contigs
from cohelix.genotypes.hybrid_store import HybridStore
from cohelix.genotypes.liftover import LiftReport, lift_store
from cohelix.genotypes.load import LoadProgress
from cohelix.genotypes.model import Cohort, EncodedBatch, Strings
from cohelix.genotypes.sites_files import Piece, PiecesOf, has_no_samples, is_table, open_pieces
from cohelix.genotypes.store import GenotypeStore
from cohelix.genotypes.writer import StoreWriter

_Progress = Callable[[LoadProgress], None] | None
_FIGURES = 5
_BASES = np.full(256, -1, np.int8)
_BASES[np.frombuffer(b"AGCT", np.uint8)] = np.arange(4)  # of a transition the two differ in the last bit alone
_SPOOL, _BEFORE = "figures.i32", "before-lift-over"


class CountedGroup(NamedTuple):
    """A group of the table, how many people it is of, and whether somebody is in it at all."""

    population: str
    sex: str
    people: int


@dataclass(frozen=True, slots=True)
class SitesReport:
    """What a load of sites read and made of it.

    Attributes
    ----------
    groups
        The table's groups in order: the total, sexes, populations, populations by sex; who is left over is in between.
    variants, records, contigs
        Rows of the store; records read; contigs in canonical order.
    genotypes_unknown
        Rows whose total does not say how many are heterozygous and homozygous.
    transitions, transversions
        Rows that are single-nucleotide variants of either kind.
    ignored
        Keys of the files that look like counts and are not used, by reason.
    lift
        What a lift-over moved and lost; None without one.
    """

    groups: tuple[CountedGroup, ...]
    variants: int
    records: int
    contigs: tuple[str, ...]
    genotypes_unknown: int
    transitions: int
    transversions: int
    ignored: dict[str, tuple[str, ...]]
    lift: LiftReport | None = None
    warnings: tuple[str, ...] = field(default=())


def is_sites(path: Path) -> bool:
    """Whether a file holds sites with counts and nobody's genotypes: a table, or a VCF or BCF without sample columns."""
    return is_table(path) or has_no_samples(path)


def load_sites(
    files: Sequence[Path],
    folder_genotypes: Path,
    folder_counts: Path,
    *,
    assembly: Assembly,
    mapping: Path | None = None,
    with_rest: bool = True,
    chain: Path | None = None,
    reference: Path | None = None,
    progress: Callable[[LoadProgress], None] | None = None,
) -> SitesReport:
    """Write a store of 0 samples and its table of counts.

    Parameters
    ----------
    files
        Sites files of one dialect, each sorted by contig and position.
    mapping
        A YAML file, see `SitesMapping`.
    with_rest
        Whether people of no population or of no given sex get groups of their own, which floors need: what is told of
        the parts must not tell of the rest. Populations that overlap are refused then.
    chain, reference
        Lift-over from the other build to `assembly`, and the sequence to check it by; see `lift_store`.

    Raises
    ------
    BadFile
        With file, line and what was expected; `AssemblyMismatch` where the file is of another build.
    """
    if not files:
        raise BadUsage("no file of sites was given")
    said = read_sites_mapping(mapping) if mapping is not None else SitesMapping()
    source_build = assembly if chain is None else next(build for build in Assembly if build != assembly)
    work = folder_counts.with_name(folder_counts.name + ".part")
    work.mkdir(parents=True)
    try:
        target = folder_genotypes if chain is None else work / _BEFORE
        reading = _Reading(source_build, said, work / _SPOOL, with_rest=with_rest)
        with (
            ThreadPoolExecutor(os.cpu_count() or 1, "sites") as pool,
            StoreWriter(target, assembly=source_build, samples=()) as writer,
        ):
            reading.read(files, writer, pool, progress)
            writer.close()
        order = reading.row_order()
        lift = None
        if chain is not None:
            lift = lift_store(HybridStore.open(target), folder_genotypes, chain=chain, assembly=assembly, reference=reference)
            order = order[lift.source_rows]
        return _finish(reading, order, HybridStore.open(folder_genotypes), folder_counts, lift)
    finally:
        shutil.rmtree(work, ignore_errors=True)


class _Reading:
    """The files so far: their sites in a store, their figures in a spool."""

    def __init__(self, assembly: Assembly, mapping: SitesMapping, spool: Path, *, with_rest: bool) -> None:
        self.assembly, self._mapping, self._with_rest, self.spool = assembly, mapping, with_rest, spool
        self.plan: GroupPlan | None = None
        self.records, self.warnings = 0, list[str]()
        self.transitions = self.transversions = 0
        self.people: IntArray = np.empty(0, np.int64)
        self.declared: IntArray = np.empty(0, np.int64)
        self._contigs: list[str] = []
        self._ranks: list[tuple[int, UintArray]] = []  # (contig's number, positions) of each batch, in the order read

    def read(
        self,
        files: Sequence[Path],
        writer: StoreWriter,
        pool: ThreadPoolExecutor,
        progress: Callable[[LoadProgress], None] | None,
    ) -> None:
        sizes = [path.stat().st_size if path.is_file() else 0 for path in files]
        seen: set[Path] = set()
        with self.spool.open("wb") as spool:
            for number, path in enumerate(files):
                if path.resolve() in seen:
                    raise BadFile(str(path), "", "the file is given twice", "each file once")
                seen.add(path.resolve())
                done = sum(sizes[:number])
                self._file(path, number, writer, pool, spool)
                if progress is not None:
                    progress(LoadProgress(path, done + sizes[number], sum(sizes), self.records))

    def _opened(self, path: Path, pool: ThreadPoolExecutor) -> PiecesOf:
        if not is_table(path):
            return open_pieces(path, pool, self.assembly)
        from cohelix.genotypes.sites_tables import open_table  # tables alone need Polars

        return open_table(path, self.assembly, self._mapping)

    def _file(self, path: Path, number: int, writer: StoreWriter, pool: ThreadPoolExecutor, spool: Any) -> None:
        source = self._opened(path, pool)
        if source.header is not None:
            self.warnings += check_contigs(path, source.header, self.assembly)
        plan = plan_groups(str(path), source.names, self._mapping, with_rest=self._with_rest)
        if self.plan is None:
            self._begin(plan)
        elif (plan.given.keys(), plan.groups) != (self.plan.given.keys(), self.plan.groups):
            raise BadFile(str(path), "header", "it counts other groups than the files before", "the same groups in every file")
        stated, other = Evidence(), Evidence()
        other_assembly = next(build for build in Assembly if build != self.assembly)
        contig, finished, carried = "", set[str](), _Carried()
        before = self.records
        for piece in _ahead(source.pieces(plan.keys)):
            if piece.contig != contig:
                if piece.contig in finished:
                    raise BadFile(
                        str(path),
                        piece.place(0),
                        f"contig {piece.contig} comes back after other contigs",
                        "all records of a contig together",
                    )
                finished.add(contig)
                contig, carried = piece.contig, _Carried()
            batch = _batch(piece, self.records)
            carried.check(path, piece)
            figures = self._figures(path, plan, piece)
            figures.astype(np.int32).tofile(spool)
            self._note(piece, batch)
            stated.add(evidence(batch, self.assembly))
            other.add(evidence(batch, other_assembly))
            writer.add(batch, piece.last_position, source=number)
        if self.records == before:
            raise BadFile(str(path), source.end_place, "the file has no record", "at least one record")
        writer.finish_source(number)
        if other_build(stated, other):
            named = f"{other.same} records are common variants of {other_assembly} by their positions"
            problem = f"{named}, {stated.same} of {self.assembly}"
            raise AssemblyMismatch(str(path), "records", problem, f"a file of {self.assembly}, or --assembly {other_assembly}")

    def _begin(self, plan: GroupPlan) -> None:
        self.plan = plan
        self.people = np.zeros(len(plan.groups), np.int64)
        self.declared = np.array([self._mapping.people.get(group, 0) for group in plan.groups], np.int64)
        for group in self._mapping.people:
            if group not in plan.groups:
                labels = ", ".join(label_of(known) for known in plan.groups)
                problem = f"it names people of {label_of(group)}, which the files do not count"
                raise BadFile(self._mapping.source, "people", problem, f"those that they count: {labels[:200]}")

    def _figures(self, path: Path, plan: GroupPlan, piece: Piece) -> IntArray:
        counts, trouble = counts_of(
            piece.values, plan, contig=piece.contig, position=piece.position, assembly=self.assembly, no_alt=piece.no_alt
        )
        if trouble is not None:
            raise BadFile(str(path), piece.place(trouble.row), trouble.problem, trouble.expected)
        for number, group in enumerate(plan.groups):
            called = called_people(counts[:, number, AN], group, piece.contig, piece.position, self.assembly)
            most = int(called.max(initial=0))
            if self.declared[number] and most > self.declared[number]:
                row = int(np.argmax(called))
                alleles, said = counts[row, number, AN], self.declared[number]
                problem = f"AN of {label_of(group)} is {alleles}, of more than the {said} people that the mapping names"
                raise BadFile(str(path), piece.place(row), problem, "AN of at most two alleles a person")
            self.people[number] = max(self.people[number], most)
        return counts

    def _note(self, piece: Piece, batch: EncodedBatch) -> None:
        if piece.contig not in self._contigs:
            self._contigs.append(piece.contig)
        self._ranks.append((self._contigs.index(piece.contig), batch.position.copy()))
        self.records += len(batch)
        lengths = np.diff(batch.alleles.offsets)
        heap = np.frombuffer(batch.alleles.heap, np.uint8)
        starts = batch.alleles.offsets[:-1][lengths == 3]
        ref, alt = _BASES[heap[starts]], _BASES[heap[starts + 2]]
        single, changes = (ref >= 0) & (alt >= 0), ref ^ alt == 1
        self.transitions += int((single & changes).sum())
        self.transversions += int((single & ~changes).sum())

    def row_order(self) -> IntArray:
        """(rows,) int64: for each row of the store, which entry it was, in the order read."""
        ranks = {number: contig_order(contig) for number, contig in enumerate(self._contigs)}
        by_rank = {number: place for place, number in enumerate(sorted(ranks, key=lambda number: ranks[number]))}
        contigs = np.concatenate([np.full(len(positions), by_rank[number], np.int32) for number, positions in self._ranks])
        positions = np.concatenate([positions for _, positions in self._ranks])
        return np.asarray(np.lexsort((positions, contigs)), np.int64)  # stable: file order within a position


def _ahead(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """The pieces, of which the next is scanned, by another thread, while one is worked upon."""
    with ThreadPoolExecutor(1, "scan") as scanner:
        coming = scanner.submit(next, pieces, None)
        while (piece := coming.result()) is not None:
            coming = scanner.submit(next, pieces, None)
            yield piece


class _Carried:
    """Entries that a later record of the same contig may still repeat."""

    def __init__(self) -> None:
        self._position, self._fingerprint = np.empty(0, np.int64), np.empty(0, np.uint64)

    def check(self, path: Path, piece: Piece) -> None:
        """Refuse a variant that stands twice."""
        n = len(self._position)
        position = np.concatenate([self._position, piece.position])
        fingerprint = np.concatenate([self._fingerprint, piece.fingerprint])
        order = np.lexsort((fingerprint, position))
        same = (np.diff(position[order]) == 0) & (fingerprint[order][1:] == fingerprint[order][:-1])
        if same.any():
            row = int(order[1:][same].min()) - n
            ref, alt = bytes(piece.alleles[row]).decode("utf-8", "replace").split("\t")
            name = f"{piece.contig}-{piece.position[row] + 1}-{ref}-{alt}"
            raise BadFile(str(path), piece.place(row), f"variant {name} stands twice", "one record for each variant")
        later = position >= piece.last_position
        self._position, self._fingerprint = position[later], fingerprint[later]


def _batch(piece: Piece, first: int) -> EncodedBatch:
    """The sites as a batch of a store without samples."""
    n = len(piece.position)
    nothing, none = np.empty(0, np.uint32), np.zeros(n + 1, np.int64)
    return EncodedBatch(
        contig=piece.contig,
        n_samples=0,
        position=piece.position.astype(np.uint32),
        end=piece.end.astype(np.uint32),
        alleles=piece.alleles,
        ids=piece.ids,
        record=first + np.arange(n, dtype=np.int64),
        alt_index=np.zeros(n, np.uint16),
        n_alts=np.ones(n, np.uint16),
        source=Strings(none, b""),
        flags=np.zeros(n, np.uint8),
        pattern=np.zeros(n, np.int32),
        ploidy=np.zeros((1, 0), np.uint64),
        carriers=nothing,
        carrier_offsets=none,
        rows=np.zeros((0, 0), np.uint64),
        missing=nothing,
        missing_offsets=none,
        phase=np.empty(0, np.uint8),
        phase_offsets=none,
    )


def _finish(reading: _Reading, order: IntArray, store: GenotypeStore, folder: Path, lift: LiftReport | None) -> SitesReport:
    plan = reading.plan
    assert plan is not None  # a file was read
    figures = np.memmap(reading.spool, np.int32, "r").reshape(-1, len(plan.groups), _FIGURES)
    people = np.maximum(reading.people, reading.declared)
    kept = [number for number, group in enumerate(plan.groups) if people[number] or group == (("all", "all"))]
    given = _GivenCounts(store, figures, order, [plan.groups[number] for number in kept], kept, people[kept])
    groups = tuple(CountedGroup(*plan.groups[number], int(people[number])) for number in kept)
    # A cohort "of groups": it selects the one whose figures are meant.
    cohorts = {
        f"{group.population}\t{group.sex}": replace(Cohort.of(len(kept), np.array([place])), size=group.people)
        for place, group in enumerate(groups)
    }
    write_counts(cast(GenotypeStore, given), cohorts, folder)
    return SitesReport(
        groups=groups,
        variants=store.info.n_variants,
        records=reading.records,
        contigs=store.info.contigs,
        genotypes_unknown=given.unknown,
        transitions=reading.transitions,
        transversions=reading.transversions,
        ignored=dict(plan.ignored),
        lift=lift,
        warnings=tuple(reading.warnings),
    )


class _GivenCounts:
    """Figures that were given, in the shape in which `write_counts` asks a store for counted ones."""

    def __init__(  # noqa: PLR0917 - what the files said, and how it is put in order
        self, store: GenotypeStore, figures: Any, order: IntArray, groups: list[Group], columns: list[int], people: IntArray
    ) -> None:
        self.info = store.info
        self.unknown = 0
        self._store, self._figures, self._order = store, figures, order
        self._groups, self._columns, self._people = groups, columns, people
        total = columns.index(0)
        for start in range(0, len(order), 1 << 16):
            part = figures[order[start : start + (1 << 16)], columns[total]]
            self.unknown += int((part[:, HOM] < 0).sum())

    def allele_counts(self, rows: range | IntArray, cohort: Cohort) -> AlleleCounts:
        """The figures of the cohort's one group; unknown genotypes are 0, which do not add up to AC."""
        place = int(np.argmax(cohort.flags))
        wanted = self._order[rows.start : rows.stop] if isinstance(rows, range) else self._order[rows]
        figures = self._figures[wanted, self._columns[place]].astype(np.int64)
        ac, an = figures[:, AC], figures[:, AN]
        het, hom, hemi = (np.maximum(figures[:, measure], 0) for measure in (HET, HOM, HEMI))
        called = np.maximum(self._called(rows, an, self._groups[place]), het + hom + hemi)
        return AlleleCounts(an, ac, het, hom, hemi, np.maximum(self._people[place] - called, 0))

    def _called(self, rows: range | IntArray, an: IntArray, group: Group) -> IntArray:
        called = (an + 1) // 2
        for contig in ("X", "Y", "MT"):
            theirs = self._store.contig_rows(contig)
            numbers = np.arange(rows.start, rows.stop) if isinstance(rows, range) else rows
            inside = np.flatnonzero((numbers >= theirs.start) & (numbers < theirs.stop))
            if inside.size:
                position = np.array([self._store.key(int(row)).position for row in numbers[inside]], np.int64)
                called[inside] = called_people(an[inside], group, contig, position, self.info.assembly)
        return called
