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

from cohelix.core.arrays import ByteArray, IntArray
from cohelix.core.errors import AssemblyMismatch, BadFile, BadUsage
from cohelix.core.genome import Assembly, Contig, primary_lengths
from cohelix.genotypes import scan
from cohelix.genotypes.build_sites import Evidence, evidence, other_build
from cohelix.genotypes.header import check_contigs, resolve_contig
from cohelix.genotypes.hybrid_store import HybridStore
from cohelix.genotypes.model import EncodedBatch, Strings
from cohelix.genotypes.reference import Reference
from cohelix.genotypes.source import Block, Source, blocks, open_source
from cohelix.genotypes.writer import StoreWriter

# Each thread may hold a block, its encoding and working memory, about 100 MiB together at the very worst.
THREADS_MAX = 6
PROGRESS_SECONDS = 0.5
DUPLICATES_LISTED = 1000
_TABLE_ROWS = 1 << 14
# Read-only as a mapped reference is, so that one compiled kernel serves both.
_NO_BASES: ByteArray = np.frombuffer(b"", np.uint8)


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
    progress: Callable[[LoadProgress], None] | None = None,
) -> GenotypeReport:
    """Write a genotype store from VCF, VCF.gz and BCF files.

    Parameters
    ----------
    files
        Any number of files with the same samples, whose columns may stand in any order; the store has the first
        file's. Files are read one after another; within a file, records are sorted by contig and position.
    folder
        Empty or new; holds a store when this returns, and none when it raises.
    assembly, reference
        The files' build, which is checked; an uncompressed FASTA file of it, against which REF is checked and indels
        are left-aligned (by at most `scan.LEFT_ALIGN_BASES`).
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
        sources = [open_source(path, pool) for path in files]
        _same_samples(sources)
        warnings = [warning for source in sources for warning in check_contigs(source.path, source.header, assembly)]
        fasta = Reference(reference, assembly) if reference is not None else None
        load = _Load(pool, n_threads, sources, assembly=assembly, reference=fasta, progress=progress)
        with StoreWriter(folder, assembly=assembly, samples=sources[0].header.samples) as writer:
            for number in range(len(sources)):
                load.file(number, writer)
            info = writer.close()
    duplicate_variants, duplicates = _duplicates(HybridStore.open(folder))
    totals = load.totals
    n_samples = len(info.samples)
    if totals[scan.S_WITHOUT_GT]:
        warnings.append(f"{totals[scan.S_WITHOUT_GT]:,} records have no GT: everybody is not called there")
    if totals[scan.S_BAD_END]:
        bad_ends = f"{totals[scan.S_BAD_END]:,} symbolic alleles have an END or SVLEN before POS or outside their contig"
        warnings.append(f"{bad_ends}: REF's length is used")
    return GenotypeReport(
        samples=info.samples,
        variants=info.n_variants,
        records=load.records,
        multiallelic=int(totals[scan.S_MULTIALLELIC]),
        trimmed=int(totals[scan.S_TRIMMED]),
        left_aligned=int(totals[scan.S_LEFT_ALIGNED]),
        duplicate_variants=duplicate_variants,
        duplicates=tuple(duplicates),
        call_rate=1 - float(load.sums[2].sum()) / (n_samples * load.records),
        sample_call_rate=1 - load.sums[2] / load.records,
        transitions=int(totals[scan.S_TRANSITIONS]),
        transversions=int(totals[scan.S_TRANSVERSIONS]),
        sample_het=load.sums[0],
        sample_hom=load.sums[1],
        half_calls=int(totals[scan.S_HALF_CALLS]),
        contigs=info.contigs,
        warnings=tuple(warnings),
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
            raise BadFile(
                str(source.path), f"line {source.header.n_lines}", problem, "the same samples in every file, in any order"
            )


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


class _Run(NamedTuple):
    """Consecutive variants of one contig out of a block: their source positions, and what stands before them in it."""

    batch: EncodedBatch
    first_position: int
    last_position: int
    records_before: int
    offset: int


class _Place(NamedTuple):
    """A contig in a block: the file's name for it, ours, and the kernels' settings."""

    name: str
    contig: str
    settings: IntArray


class _Refusal(NamedTuple):
    """A record that is refused: how many stand before it in the block, its byte there, and what is wrong."""

    records_before: int
    offset: int
    problem: str
    expected: str
    error: type[BadFile] = BadFile


@dataclass(slots=True)
class _Encoded:
    """A block after encoding; the variants before a refused record are there too, so that refusals come in order."""

    runs: list[_Run]
    records: int
    totals: IntArray
    sums: IntArray
    stated: Evidence
    other: Evidence
    refusal: _Refusal | None


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
        progress: Callable[[LoadProgress], None] | None,
    ) -> None:
        self._pool, self._ahead, self._sources = pool, n_threads + 1, sources
        self._assembly, self._reference = assembly, reference
        self._progress, self._told = progress, float("-inf")
        self._sizes = [source.path.stat().st_size for source in sources]
        self._local = threading.local()
        self._file, self._read = 0, 0
        self.n_samples = len(sources[0].header.samples)
        self.records = 0
        self.totals: IntArray = np.zeros(scan.S_SIZE, np.int64)
        self.sums: IntArray = np.zeros((3, self.n_samples), np.int64)

    def file(self, number: int, writer: StoreWriter) -> None:
        """Read one file to its end, and hand its variants to the writer in file order."""
        source = self._sources[number]
        collector = _Collector(source, number, self._assembly, writer, self)
        waiting: deque[tuple[Future[_Encoded], int]] = deque()
        self._file, self._read = number, 0
        encode = _BlockEncoder(source, self._sources[0], self._assembly, self._reference, self._local)
        stream = blocks(source, self._pool, self._ahead, self._on_read)
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

    def _collect(self, waiting: deque[tuple[Future[_Encoded], int]], collector: _Collector) -> None:
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
        self._reach = scan.LEFT_ALIGN_BASES if load._reference is not None else 0
        self.at_end: BadFile | None = None

    def take(self, encoded: _Encoded, at: int) -> None:
        for run in encoded.runs:
            batch, where = run.batch, self._records + run.records_before
            if batch.contig != self._contig:
                if batch.contig in self._seen:
                    problem = f"contig {batch.contig} comes back after other contigs"
                    raise self._bad(
                        where, at, _Refusal(0, run.offset, problem, "all records of a contig together: sort the file")
                    )
                self._seen.add(batch.contig)
                self._contig, self._last = batch.contig, -1
            if run.first_position < self._last:
                problem = f"position {run.first_position + 1} comes after {self._last + 1}: the records are not sorted"
                raise self._bad(where, at, _Refusal(0, run.offset, problem, scan.ERRORS[7][1]))
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
            place = f"line {self._source.header.n_lines}" if self._source.format == "vcf" else "header"
            raise BadFile(path, place, "the file has no record", "at least one record")
        if other_build(self._stated, self._other):
            other = next(build for build in Assembly if build != self._assembly)
            problem = (
                f"{self._other.same} records are common variants at their {other} positions, {self._stated.same} at their "
                f"{self._assembly} positions; REF contradicts {self._assembly} at {self._stated.contradictions} of "
                f"{self._stated.hits} known places"
            )
            raise AssemblyMismatch(path, "records", problem, f"a file of {self._assembly}, or --assembly {other}")

    def _bad(self, records: int, block_at: int, refused: _Refusal) -> BadFile:
        if self._source.format == "vcf":
            place = f"line {self._source.header.n_lines + records + 1}"
        else:
            place = f"record {records + 1} (byte offset {block_at + refused.offset})"
        return refused.error(str(self._source.path), place, refused.problem, refused.expected)


class _BlockEncoder:
    """Encodes blocks of one file; safe to call from many threads, each with its own working memory."""

    def __init__(
        self, source: Source, first: Source, assembly: Assembly, reference: Reference | None, local: threading.local
    ) -> None:
        self._source, self._assembly, self._reference, self._local = source, assembly, reference, local
        self._other_assembly = next(build for build in Assembly if build != assembly)
        samples = source.header.samples
        self._n_samples = len(samples)
        self._permutation: IntArray = np.empty(0, np.int64)
        if samples != first.header.samples:
            place = {name: index for index, name in enumerate(first.header.samples)}
            self._permutation = np.array([place[name] for name in samples], np.int64)

    def __call__(self, block: Block) -> _Encoded:
        buffer = block.joined()
        sums = self._memory()[0].sums
        sums[:] = 0
        state = np.zeros(scan.S_SIZE, np.int64)
        done = _Encoded([], 0, np.zeros_like(state), sums, Evidence(), Evidence(), None)
        seen: set[str] = set()
        place: _Place | None = None
        while done.refusal is None and state[scan.S_OFFSET] < block.size:
            if place is None or state[scan.S_STOP] == scan.STOP_CONTIG:
                offset = int(state[scan.S_OFFSET])
                try:
                    place = self._place(buffer, offset, block.size, seen)
                except BadFile as refusal:
                    done.refusal = _Refusal(done.records, offset, refusal.problem, refusal.expected, type(refusal))
                    break
                state[scan.S_LAST_POSITION] = -1
            self._one_batch(buffer, place, state, done)
        done.sums = sums.copy()
        return done

    def _one_batch(self, buffer: ByteArray, place: _Place, state: IntArray, done: _Encoded) -> None:
        """Encode on from the state's offset until the contig, the room of a batch or the block ends."""
        scratch, out = self._memory()
        settings, size = place.settings, buffer.size - 1
        settings[scan.P_FIRST_RECORD] = done.records
        before = done.records
        last = int(state[scan.S_LAST_POSITION])
        offset, alt = state[scan.S_OFFSET], state[scan.S_ALT]
        state[:] = 0
        state[scan.S_OFFSET], state[scan.S_ALT], state[scan.S_LAST_POSITION] = offset, alt, last
        state[scan.S_PATTERNS] = 1
        fasta = self._reference.bases if self._reference is not None else _NO_BASES
        if self._source.format == "vcf":
            name = np.frombuffer(place.name.encode(), np.uint8)
            scan.encode_vcf(buffer, size, name, self._permutation, fasta, settings, scratch, out, state)
        else:
            scan.encode_bcf(buffer, size, self._permutation, fasta, settings, scratch, out, state)
        if state[scan.S_VARIANTS]:
            batch = _batch(place.contig, self._n_samples, out, state)
            first = last if last >= 0 else self._source_position(batch)
            done.runs.append(_Run(batch, first, max(int(state[scan.S_LAST_POSITION]), first), before, int(offset)))
            done.stated.add(evidence(batch, self._assembly))
            done.other.add(evidence(batch, self._other_assembly))
        done.records += int(state[scan.S_RECORDS])
        done.totals += state
        if state[scan.S_STOP] == scan.STOP_ERROR:
            done.refusal = self._refused(place, state, done.records)

    def _place(self, buffer: ByteArray, offset: int, size: int, seen: set[str]) -> _Place:
        """The contig of the record at a byte, and the kernels' settings for it."""
        name = self._contig_name(buffer, offset, size)
        contig = resolve_contig(self._source.path, "", name, self._source.header, self._assembly)
        if contig.name in seen:
            problem = f"contig {contig.name} comes back after other contigs"
            raise BadFile("", "", problem, "all records of a contig together: sort the file")
        seen.add(contig.name)
        return _Place(name, contig.name, self._settings(contig, buffer, offset))

    def _source_position(self, batch: EncodedBatch) -> int:
        """0-based POS of a batch's first record, as the file has it."""
        source = batch.source.heap[: batch.source.offsets[1]]
        return int(source.split(b"\t", 1)[0]) - 1 if source else int(batch.position[0])

    def _memory(self) -> tuple[scan.Scratch, scan.Output]:
        if not hasattr(self._local, "scratch"):
            self._local.scratch, self._local.out = scan.new_scratch(self._n_samples), scan.new_output(self._n_samples)
        return self._local.scratch, self._local.out

    def _contig_name(self, buffer: ByteArray, offset: int, size: int) -> str:
        """CHROM of the record at a byte, as the file writes it."""
        if self._source.format == "vcf":
            line = bytes(buffer[offset : min(offset + 1024, size)]).split(b"\n", 1)[0]
            if line.startswith(b"#"):
                raise BadFile("", "", *scan.ERRORS[1])
            if line in (b"", b"\r"):
                raise BadFile("", "", *scan.ERRORS[2])
            name, tab, _ = line.partition(b"\t")
            if not tab or not name:
                raise BadFile("", "", *scan.ERRORS[3])
            return name.decode("utf-8", "replace")
        index = int.from_bytes(bytes(buffer[offset + 8 : offset + 12]), "little", signed=True)
        line_of = self._source.header.contigs.get(index)
        if line_of is None:
            raise BadFile(
                "", "", f"the record is on contig number {index}, which the header does not have", "a declared contig"
            )
        return line_of.name

    def _settings(self, contig: Contig, buffer: ByteArray, offset: int) -> IntArray:
        settings = np.zeros(scan.P_SIZE, np.int64)
        settings[scan.P_SAMPLES], settings[scan.P_PERMUTED] = self._n_samples, self._permutation.size > 0
        settings[scan.P_CONTIG_LENGTH], settings[scan.P_RECORD_BYTES] = contig.length, self._source.record_bytes
        if self._reference is not None:
            layout = self._reference.layout(contig.name)
            settings[scan.P_FASTA] = 1
            settings[scan.P_FASTA_OFFSET], settings[scan.P_FASTA_LENGTH] = layout.offset, layout.length
            settings[scan.P_FASTA_LINE_BASES], settings[scan.P_FASTA_LINE_BYTES] = layout.line_bases, layout.line_bytes
        if self._source.format == "bcf":
            keys = self._source.header.keys
            settings[scan.P_CONTIG] = int.from_bytes(bytes(buffer[offset + 8 : offset + 12]), "little", signed=True)
            settings[scan.P_GT], settings[scan.P_END] = keys.get("GT", -1), keys.get("END", -1)
            settings[scan.P_SVLEN], settings[scan.P_KEYS] = keys.get("SVLEN", -1), max(keys.values()) + 1
        return settings

    def _refused(self, place: _Place, state: IntArray, records: int) -> _Refusal:
        contig, settings = place.contig, place.settings
        code, detail = int(state[scan.S_ERROR]), int(state[scan.S_DETAIL])
        problem, expected = scan.ERRORS[code]
        error: type[BadFile] = BadFile
        if code == 6:
            problem = (
                f"position {detail} is beyond the end of contig {contig}, {settings[scan.P_CONTIG_LENGTH]} in {self._assembly}"
            )
            if detail <= primary_lengths(self._other_assembly).get(contig, 0):
                problem, error = f"{problem}, and within that of {self._other_assembly}", AssemblyMismatch
        elif code == 7:
            problem = f"position {detail} comes after {state[scan.S_LAST_POSITION] + 1}: the records are not sorted"
        elif code == 11:
            expected = f"{expected}: {settings[scan.P_RECORD_BYTES]:,} bytes"
        elif code in (13, 14, 15):
            problem = f"column {detail + 10}: {problem}"
        elif code == 9:
            problem = f"ALT {detail}: {problem}"
        elif code == 16 and self._reference is not None:
            if detail >= settings[scan.P_FASTA_LENGTH]:
                problem = "REF reaches beyond the reference's contig"
            else:
                expected = (
                    f"{self._reference.base(contig, detail)} at {contig}:{detail + 1}, as {self._reference.path.name} has it"
                )
        return _Refusal(records, int(state[scan.S_OFFSET]), problem, expected, error)


def _batch(contig: str, n_samples: int, out: scan.Output, state: IntArray) -> EncodedBatch:
    """Copy a finished batch out of a thread's working memory."""
    n = int(state[scan.S_VARIANTS])
    counts = {name: int(state[slot]) for name, slot in _EXTENTS.items()}
    n_dense = counts["rows"] // -(-n_samples // 32)

    def text(offsets: IntArray, heap: ByteArray, slot: int) -> Strings:
        return Strings(offsets[: n + 1].copy(), heap[: state[slot]].tobytes())

    return EncodedBatch(
        contig=contig,
        n_samples=n_samples,
        position=out.position[:n].copy(),
        end=out.end[:n].copy(),
        alleles=text(out.allele_offsets, out.alleles, scan.S_ALLELES),
        ids=text(out.id_offsets, out.ids, scan.S_IDS),
        record=out.record[:n].copy(),
        alt_index=out.alt_index[:n].copy(),
        n_alts=out.n_alts[:n].copy(),
        source=text(out.source_offsets, out.sources, scan.S_SOURCES),
        flags=out.flags[:n].copy(),
        pattern=out.pattern[:n].copy(),
        ploidy=out.ploidy[: state[scan.S_PATTERNS]].copy(),
        carriers=out.carriers[: counts["carriers"]].copy(),
        carrier_offsets=out.carrier_offsets[: n + 1].copy(),
        rows=out.rows[: counts["rows"]].reshape(n_dense, -(-n_samples // 32)).copy(),
        missing=out.missing[: counts["missing"]].copy(),
        missing_offsets=out.missing_offsets[: n + 1].copy(),
        phase=out.phase[: counts["phase"]].copy(),
        phase_offsets=out.phase_offsets[: n + 1].copy(),
    )


_EXTENTS = {"carriers": scan.S_CARRIERS, "rows": scan.S_WORDS, "missing": scan.S_MISSING, "phase": scan.S_PHASE}
