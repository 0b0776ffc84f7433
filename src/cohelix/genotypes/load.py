"""Genotype files to a store: streamed through the compiled encoder on all cores, in memory bounded by block."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import numpy as np

from cohelix.core.arrays import IntArray
from cohelix.core.errors import AssemblyMismatch, BadFile, BadUsage
from cohelix.core.genome import Assembly
from cohelix.genotypes import scan_layout as layout
from cohelix.genotypes.build_sites import Evidence, other_build
from cohelix.genotypes.header import check_contigs
from cohelix.genotypes.hybrid_store import HybridStore
from cohelix.genotypes.load_blocks import BlockEncoder, CallFilters, Encoded, Refusal
from cohelix.genotypes.plink import PlinkSource, RefAllele, is_plink, open_plink
from cohelix.genotypes.reference import Reference
from cohelix.genotypes.source import Block, Source, open_source
from cohelix.genotypes.writer import StoreWriter

# Each thread may hold a block, its encoding and working memory, about 100 MiB together at the very worst.
THREADS_MAX = 6
PROGRESS_SECONDS = 0.5
DUPLICATES_LISTED = 1000
_TABLE_ROWS = 1 << 14


class LoadProgress(NamedTuple):
    """How far a load is: compressed bytes read of all files' bytes, the file in hand, and records written so far."""

    file: Path
    bytes_done: int
    bytes_total: int
    records: int


class Duplicate(NamedTuple):
    """A variant that several records name after splitting: `22-50313359-G-A`, and how many rows it has."""

    variant: str
    rows: int


@dataclass(slots=True)
class GenotypeReport:
    """What a load read and made of it.

    Attributes
    ----------
    samples
        Names of the genotype columns, in store order (the first file's).
    variants, records, multiallelic, trimmed, left_aligned
        Rows of the store; records read; records split; rows trimmed; rows moved by left-alignment.
    duplicate_variants, duplicates
        How many keys have several rows, and the first `DUPLICATES_LISTED` of them, in row order.
    call_rate, sample_call_rate
        Fully called calls per sample and record, of all and (N,) of each sample; NaN never: there is a record.
    transitions, transversions
        Rows that are single-nucleotide variants of either kind.
    sample_het, sample_hom
        (N,) int64: records where the sample has two different alleles, and twice the same ALT (diploid calls).
    half_calls
        Diploid calls with one allele called and the other not.
    contigs
        Contigs with records, in canonical order.
    reference_blocks
        Rows that say "nobody differs from the reference here" of a stretch: a gVCF's blocks, ALT `<NON_REF>`.
    failed_filter, failed_gq, failed_dp
        Called calls that were made missing by their record's FILTER, by GQ and by DP; the first that applies counts.
    sex
        What a PLINK file's own sample table says of sex: (N,) "male", "female" or ""; empty for other formats.
    warnings
        What was taken but deserves a look, in words.
    """

    samples: tuple[str, ...]
    variants: int
    records: int
    multiallelic: int
    trimmed: int
    left_aligned: int
    duplicate_variants: int
    duplicates: tuple[Duplicate, ...]
    call_rate: float
    sample_call_rate: np.ndarray[tuple[int], np.dtype[np.float64]]
    transitions: int
    transversions: int
    sample_het: IntArray
    sample_hom: IntArray
    half_calls: int
    contigs: tuple[str, ...]
    warnings: tuple[str, ...] = field(default=())
    reference_blocks: int = 0
    failed_filter: int = 0
    failed_gq: int = 0
    failed_dp: int = 0
    sex: tuple[str, ...] = ()

    @property
    def ti_tv(self) -> float | None:
        """Transitions over transversions; None without a transversion."""
        return self.transitions / self.transversions if self.transversions else None

    @property
    def het_hom(self) -> float | None:
        """Heterozygous calls over homozygous ALT calls of everybody; None without the latter."""
        hom = int(self.sample_hom.sum())
        return int(self.sample_het.sum()) / hom if hom else None


def load_genotypes(
    files: Sequence[Path],
    folder: Path,
    *,
    assembly: Assembly,
    reference: Path | None = None,
    filters: CallFilters | None = None,
    ref_allele: RefAllele | None = None,
    progress: Callable[[LoadProgress], None] | None = None,
) -> GenotypeReport:
    """Write a genotype store from VCF, VCF.gz, BCF, PLINK 1 (`.bed`) and PLINK 2 (`.pgen`) files.

    Parameters
    ----------
    files
        Any number of files with the same samples, whose columns may stand in any order; the store has the first
        file's. Files are read one after another; within a file, records are sorted by contig and position.
    folder
        Empty or new; holds a store when this returns, and none when it raises.
    assembly, reference
        The files' build, which is checked; an uncompressed FASTA file of it, against which REF is checked and indels
        are left-aligned (by at most `scan_layout.LEFT_ALIGN_BASES`).
    filters
        Which calls become missing; None takes all.
    ref_allele
        Which allele of a `.bim` line is REF: "a1" (column 5) or "a2" (column 6); None: what `reference` has there.
    progress
        Called at least once a second while files are read, from this thread.

    Raises
    ------
    BadFile
        With file, place and what was expected; `AssemblyMismatch` where the file is of another build.

    Notes
    -----
    A record without GT is kept with everybody not called, and counted in a warning: this is what plink2 does, and the
    record says that the site was looked at.
    """
    if not files:
        raise BadUsage("no genotype file was given")
    _each_once(files)
    n_threads = max(
        1, min(THREADS_MAX, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    )
    with ThreadPoolExecutor(n_threads, "ingest") as pool:
        fasta = Reference(reference, assembly) if reference is not None else None
        sources = [
            open_plink(path, assembly=assembly, reference=fasta, ref_allele=ref_allele)
            if is_plink(path)
            else open_source(path, pool)
            for path in files
        ]
        _same_samples(sources)
        warnings = [warning for source in sources for warning in check_contigs(source.path, source.header, assembly)]
        rules = filters or CallFilters()
        warnings += [warning for source in sources for warning in rules.cannot_judge(source)]
        load = _Load(pool, n_threads, sources, assembly=assembly, reference=fasta, filters=rules, progress=progress)
        with StoreWriter(folder, assembly=assembly, samples=sources[0].header.samples) as writer:
            for number in range(len(sources)):
                load.file(number, writer)
            info = writer.close()
    duplicate_variants, duplicates = _duplicates(HybridStore.open(folder))
    totals = load.totals
    n_samples = len(info.samples)
    if totals[layout.S_WITHOUT_GT]:
        warnings.append(f"{totals[layout.S_WITHOUT_GT]:,} records have no GT: everybody is not called there")
    if totals[layout.S_BAD_END]:
        bad_ends = f"{totals[layout.S_BAD_END]:,} symbolic alleles have an END or SVLEN before POS or outside their contig"
        warnings.append(f"{bad_ends}: REF's length is used")
    warnings += [warning for source in sources if isinstance(source, PlinkSource) for warning in source.warnings()]
    return GenotypeReport(
        samples=info.samples,
        variants=info.n_variants,
        records=load.records,
        multiallelic=int(totals[layout.S_MULTIALLELIC]),
        trimmed=int(totals[layout.S_TRIMMED]),
        left_aligned=int(totals[layout.S_LEFT_ALIGNED]),
        duplicate_variants=duplicate_variants,
        duplicates=tuple(duplicates),
        call_rate=1 - float(load.sums[2].sum()) / (n_samples * load.records),
        sample_call_rate=1 - load.sums[2] / load.records,
        transitions=int(totals[layout.S_TRANSITIONS]),
        transversions=int(totals[layout.S_TRANSVERSIONS]),
        sample_het=load.sums[0],
        sample_hom=load.sums[1],
        half_calls=int(totals[layout.S_HALF_CALLS]),
        contigs=info.contigs,
        warnings=tuple(warnings),
        reference_blocks=int(totals[layout.S_REFERENCE_BLOCKS]),
        failed_filter=int(totals[layout.S_FAILED_FILTER]),
        failed_gq=int(totals[layout.S_FAILED_GQ]),
        failed_dp=int(totals[layout.S_FAILED_DP]),
        sex=sources[0].sex if isinstance(sources[0], PlinkSource) else (),
    )


def _each_once(files: Sequence[Path]) -> None:
    """Refuse a file that is given twice: its records would all stand twice."""
    seen: set[Path] = set()
    for path in files:
        if path.resolve() in seen:
            raise BadFile(str(path), "", "the file is given twice", "each genotype file once")
        seen.add(path.resolve())


def _same_samples(sources: Sequence[Source]) -> None:
    first = sources[0]
    names = set(first.header.samples)
    for source in sources[1:]:
        others = set(source.header.samples)
        if others != names:
            problem = (
                f"its sample columns are not those of {first.path.name}: {len(names - others)} are missing here, "
                f"{len(others - names)} are only here"
            )
            place = f"line {source.header.n_lines}"
            raise BadFile(str(source.path), place, problem, "the same samples in every file, in any order")


def _duplicates(store: HybridStore) -> tuple[int, list[Duplicate]]:
    """Keys with several rows: rows at one position stand together, so a look at neighbours finds them."""
    count = 0
    listed: list[Duplicate] = []
    for contig in store.info.contigs:
        rows = store.contig_rows(contig)
        at: int = -1
        seen: dict[tuple[str, str], int] = {}
        for start in range(rows.start, rows.stop, _TABLE_ROWS):
            table = store.table(range(start, min(start + _TABLE_ROWS, rows.stop)))
            same = table.position[1:] == table.position[:-1]
            shared = np.concatenate([[True], same]) | np.concatenate([same, [True]])  # a block's edges may be, too
            for row in np.flatnonzero(shared).tolist():
                position, alleles = int(table.position[row]), (table.ref[row], table.alt[row])
                if position != at:
                    count, seen = count + _note(contig, at, seen, listed), {}
                    at = position
                seen[alleles] = seen.get(alleles, 0) + 1
        count += _note(contig, at, seen, listed)
    return count, listed


def _note(contig: str, position: int, seen: dict[tuple[str, str], int], listed: list[Duplicate]) -> int:
    repeated = [(key, rows) for key, rows in seen.items() if rows > 1]
    for (ref, alt), rows in repeated[: DUPLICATES_LISTED - len(listed)]:
        listed.append(Duplicate(f"{contig}-{position + 1}-{ref}-{alt}", rows))
    return len(repeated)


class _Load:
    """One load in progress: the threads, and what has been summed up."""

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        n_threads: int,
        sources: Sequence[Source],
        *,
        assembly: Assembly,
        reference: Reference | None,
        filters: CallFilters,
        progress: Callable[[LoadProgress], None] | None,
    ) -> None:
        self._pool, self._ahead, self._sources = pool, n_threads + 1, sources
        self._assembly, self._reference, self._filters = assembly, reference, filters
        self._progress, self._told = progress, float("-inf")
        self._sizes = [source.size for source in sources]
        self._local = threading.local()
        self._file, self._read = 0, 0
        self.n_samples = len(sources[0].header.samples)
        self.records = 0
        self.totals: IntArray = np.zeros(layout.S_SIZE, np.int64)
        self.sums: IntArray = np.zeros((3, self.n_samples), np.int64)

    def file(self, number: int, writer: StoreWriter) -> None:
        """Read one file to its end, and hand its variants to the writer in file order."""
        source = self._sources[number]
        collector = _Collector(source, number, self._assembly, writer, self)
        waiting: deque[tuple[Future[Encoded], int]] = deque()
        self._file, self._read = number, 0
        encode = BlockEncoder(
            source,
            self._sources[0],
            assembly=self._assembly,
            reference=self._reference,
            filters=self._filters,
            local=self._local,
        )
        stream = source.blocks(self._pool, self._ahead, self._on_read)
        try:
            for block in _until_refused(stream, collector):
                waiting.append((self._pool.submit(encode, block), block.at))
                while len(waiting) > self._ahead:
                    self._collect(waiting, collector)
            while waiting:
                self._collect(waiting, collector)
        finally:
            for future, _ in waiting:
                future.cancel()
        collector.finish()
        writer.finish_source(number)
        self._tell(force=True)

    def _collect(self, waiting: deque[tuple[Future[Encoded], int]], collector: _Collector) -> None:
        future, at = waiting[0]
        while True:
            try:
                encoded = future.result(PROGRESS_SECONDS)
                break
            except NotYet:
                self._tell()
        waiting.popleft()
        collector.take(encoded, at)
        self._tell()

    def _on_read(self, at: int) -> None:
        self._read = at

    def _tell(self, *, force: bool = False) -> None:
        if self._progress is not None and (force or monotonic() - self._told >= PROGRESS_SECONDS):
            self._told = monotonic()
            done = sum(self._sizes[: self._file]) + self._read
            self._progress(LoadProgress(self._sources[self._file].path, done, sum(self._sizes), self.records))


def _until_refused(stream: Iterator[Block], collector: _Collector) -> Iterator[Block]:
    """The blocks; a refusal of the stream is kept until the records before it have been looked at."""
    try:
        yield from stream
    except BadFile as refusal:
        collector.at_end = refusal


class _Collector:
    """Takes a file's encoded blocks in order: what only the order shows is checked here."""

    def __init__(self, source: Source, number: int, assembly: Assembly, writer: StoreWriter, load: _Load) -> None:
        self._source, self._number, self._assembly, self._writer, self._load = source, number, assembly, writer, load
        self._records = 0
        self._contig, self._last, self._seen = "", -1, set[str]()
        self._stated, self._other = Evidence(), Evidence()
        self._reach = layout.LEFT_ALIGN_BASES if load._reference is not None else 0
        self.at_end: BadFile | None = None

    def take(self, encoded: Encoded, at: int) -> None:
        for run in encoded.runs:
            batch, where = run.batch, self._records + run.records_before
            if batch.contig != self._contig:
                if batch.contig in self._seen:
                    problem = f"contig {batch.contig} comes back after other contigs"
                    raise self._bad(
                        where, at, Refusal(0, run.offset, problem, "all records of a contig together: sort the file")
                    )
                self._seen.add(batch.contig)
                self._contig, self._last = batch.contig, -1
            if run.first_position < self._last:
                problem = f"position {run.first_position + 1} comes after {self._last + 1}: the records are not sorted"
                raise self._bad(where, at, Refusal(0, run.offset, problem, layout.ERRORS[7][1]))
            self._last = run.last_position
            batch.record[:] += self._load.records
            self._writer.add(batch, max(0, run.last_position - self._reach), source=self._number)
        if encoded.refusal is not None:
            refused = encoded.refusal
            where = self._records + refused.records_before
            raise self._bad(where, at, refused)
        self._records += encoded.records
        self._load.records += encoded.records
        self._load.totals += encoded.totals
        self._load.sums += encoded.sums
        self._stated.add(encoded.stated)
        self._other.add(encoded.other)

    def finish(self) -> None:
        """Raise what the file as a whole has wrong."""
        if self.at_end is not None:
            raise self.at_end
        path = str(self._source.path)
        if not self._records:
            raise BadFile(path, self._source.header_place, "the file has no record", "at least one record")
        if other_build(self._stated, self._other):
            other = next(build for build in Assembly if build != self._assembly)
            problem = (
                f"{self._other.same} records are common variants at their {other} positions, {self._stated.same} at their "
                f"{self._assembly} positions; REF contradicts {self._assembly} at {self._stated.contradictions} of "
                f"{self._stated.hits} known places"
            )
            raise AssemblyMismatch(path, "records", problem, f"a file of {self._assembly}, or --assembly {other}")

    def _bad(self, records: int, block_at: int, refused: Refusal) -> BadFile:
        path, place = self._source.place(records, block_at + refused.offset)
        return refused.error(path, place, refused.problem, refused.expected)
