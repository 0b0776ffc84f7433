"""PLINK 1 (`.bed`) and PLINK 2 (`.pgen`) as sources: checked against their companions, and handed on as BCF records.

A `.bed` says neither which allele is REF nor how many copies somebody has; what is done about either stands in
docs/guides/genotype-files.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Literal, NamedTuple

import numpy as np
import pgenlib

from cohelix.core.arrays import ByteArray, IntArray
from cohelix.core.errors import BadFile
from cohelix.core.genome import Assembly, known_contig, plain_contig
from cohelix.genotypes import plink_records as records
from cohelix.genotypes import scan
from cohelix.genotypes import scan_layout as layout
from cohelix.genotypes.header import ContigLine, Header, resolve_contig
from cohelix.genotypes.plink_tables import PVAR_ENDS, SiteColumns, companion, read_samples, site_columns, site_pieces
from cohelix.genotypes.reference import Reference
from cohelix.genotypes.source import Block, Source

RefAllele = Literal["a1", "a2"]
# Calls of one block as BCF: the unit of work of the loader's threads.
_BLOCK_BYTES = 2 << 20
_BED_MAGIC = bytes((0x6C, 0x1B, 0x01))
_MAGIC = _BED_MAGIC[:2]
# PLINK's codes beside the usual names; PAR1, PAR2 and XY are stretches of X.
_CODES = {"23": "X", "24": "Y", "25": "X", "26": "MT", "XY": "X", "PAR1": "X", "PAR2": "X"}
_PAR_CODES = {"25", "XY", "PAR1", "PAR2"}
# Where everybody has two copies of X: 0-based, half-open (Genome Reference Consortium, PAR#1 and PAR#2).
_PSEUDOAUTOSOMAL_X = {
    Assembly.GRCH37: ((60_000, 2_699_520), (154_931_043, 155_260_560)),
    Assembly.GRCH38: ((10_000, 2_781_479), (155_701_382, 156_030_895)),
}
_AUTOSOME, _X, _Y, _MT = range(4)
# Read-only, as what is read of a file is, so that one compiled kernel serves both.
_NOTHING: ByteArray = np.frombuffer(b"", np.uint8)
_NO_GENOTYPES = np.empty((0, 0), np.int8)
_NO_CALLS = np.empty((0, 0), np.int32), np.empty((0, 0), np.uint8)
# Storage modes of a .pgen that are read: fixed width, and the ordinary one, with and without extensions.
_MODES = (0x02, 0x03, 0x04, 0x10, 0x11)


class _RawCalls(NamedTuple):
    """Calls of some variants: the bytes of a `.bed`, (n, N) int8 genotypes without phase, or (n, 2N) int32 alleles and (n, N)
    uint8 phase; the others empty."""

    bed: ByteArray
    genotypes: np.ndarray[tuple[int, int], np.dtype[np.int8]]
    alleles: np.ndarray[tuple[int, int], np.dtype[np.int32]]
    phased: np.ndarray[tuple[int, int], np.dtype[np.uint8]]


class _Run(NamedTuple):
    """Consecutive variants whose lines have one contig name: the first of them, its index, whether all are in a PAR."""

    first: int
    contig: int
    in_par: bool


@dataclass(frozen=True, slots=True)
class PlinkSource(Source):
    """A `.bed` or `.pgen` with its companions, whose sizes and counts agree.

    Attributes
    ----------
    sites
        The `.bim`, `.pvar` or `.pvar.zst`, whose lines refusals name.
    sex
        "male", "female" or "" of each sample.
    ploidies
        (4, N) uint8: what each rule of copies makes of each sample.
    """

    kind: Literal["bed", "pgen"]
    sites: Path
    sex: tuple[str, ...]
    ploidies: ByteArray
    columns: SiteColumns
    runs: tuple[_Run, ...]
    allele_offsets: IntArray
    rule: int
    assembly: Assembly
    reference: Reference | None
    provisional: bool
    _tallies: IntArray = field(default_factory=lambda: np.zeros(records.TALLIES, np.int64))
    _lock: Any = field(default_factory=Lock)

    @property
    def n_variants(self) -> int:
        """Variants of the file."""
        return len(self.allele_offsets) - 1

    @property
    def header_place(self) -> str:
        """A PLINK file has no header to point at."""
        return ""

    def place(self, record: int, byte_offset: int) -> tuple[str, str]:
        """The site file, and the line of a variant."""
        return str(self.sites), f"line {self.header.n_lines + record + 1}"

    def blocks(self, pool: ThreadPoolExecutor, ahead: int, on_read: Callable[[int], None]) -> Iterator[Block]:
        """The variants in blocks; the threads that encode a block make its records first."""
        first = 0
        size = self.size
        with _calls_of(self) as calls:
            for text, _ in self._texts():
                ends = (np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")) + 1).tolist()
                n, at = len(ends), 0
                step = max(1, _BLOCK_BYTES // (2 * len(self.header.samples)))
                for start in range(0, n, step):
                    stop = min(start + step, n)
                    end = ends[stop - 1]
                    yield _PlinkBlock.of(self, text[at:end], first + start, calls.read(first + start, first + stop))
                    at = end
                    on_read(size * (first + stop) // self.n_variants)
                first += n

    def warnings(self) -> list[str]:
        """What the calls had that deserves a look; whole when the file has been read."""
        het, absent, either, swapped = self._tallies.tolist()
        found = []
        if het:
            found.append(
                f"{self.path.name}: {het:,} heterozygous calls of one-copy genotypes (X and Y of men, MT) are not called"
            )
        if absent:
            found.append(f"{self.path.name}: {absent:,} calls on Y of women are not called")
        if self.rule == records.REF_OF_FASTA:
            stated = f"REF is what the reference has: the first allele (A1) in {swapped:,} of {self.n_variants:,} lines"
            found.append(f"{self.path.name}: {stated}")
            if either:
                found.append(f"{self.path.name}: in {either:,} lines both alleles fit the reference: A2 is taken as REF")
        elif self.rule != records.REF_STATED:
            column = "first (A1)" if self.rule == records.REF_A1 else "second (A2)"
            found.append(f"{self.path.name}: REF is the {column} allele of every line, as --ref-allele states")
        if self.provisional and self.reference is None:
            found.append(f"{self.path.name} calls its REF alleles provisional: check them with --reference")
        names = {plain_contig(line.name) for line in self.header.contigs.values()}
        if not all(self.sex) and names & {"X", "Y"}:
            unknown = sum(not sex for sex in self.sex)
            found.append(f"{self.path.name}: {unknown:,} samples have no sex: two copies of X and one of Y are assumed")
        return found

    def note(self, tallies: IntArray) -> None:
        """Add what a block has counted."""
        with self._lock:
            self._tallies[:] += tallies

    def _texts(self) -> Iterator[tuple[bytes, int]]:
        return site_pieces(self.sites, self.header.n_lines)


def is_plink(path: Path) -> bool:
    """Whether a file is meant to be a `.bed` or `.pgen`, by its name or its first bytes.

    Raises
    ------
    BadFile
        Where it is one of their companions: the file that is named is the one with the calls.
    """
    if path.name.endswith((".bim", ".fam", ".psam", *PVAR_ENDS)):
        raise BadFile(str(path), "", "the file has no calls", "the .bed or .pgen beside it")
    if path.suffix in (".bed", ".pgen"):
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(2) == _MAGIC


def open_plink(
    path: Path, *, assembly: Assembly, reference: Reference | None = None, ref_allele: RefAllele | None = None
) -> PlinkSource:
    """Open a `.bed` or `.pgen` and its companions, and read through the site file once.

    Raises
    ------
    BadFile
        Where a companion is absent, sizes or counts do not agree, a line is not as it should be, or nothing states
        which allele of a `.bed` is REF.
    """
    if not path.is_file():
        problem = "it is a folder, a pipe or a device" if path.exists() else "there is no such file"
        raise BadFile(str(path), "", problem, "a .bed or .pgen file")
    with path.open("rb") as file:
        start = file.read(12)
    is_bed = path.suffix == ".bed" if path.suffix in (".bed", ".pgen") else start[2:3] == b"\x01"
    kind: Literal["bed", "pgen"] = "bed" if is_bed else "pgen"
    if start[: 3 if is_bed else 2] != _BED_MAGIC[: 3 if is_bed else 2]:
        expected = "the bytes 6c 1b 01" if is_bed else "the bytes 6c 1b"
        raise BadFile(str(path), "byte 0", f"this is not a PLINK .{kind} file", f"{expected} (variant-major)")
    sites = companion(path, (".bim",) if is_bed else PVAR_ENDS)
    samples, sex = read_samples(companion(path, (".fam" if is_bed else ".psam",)))
    columns = site_columns(sites, is_bim=is_bed)
    contigs: dict[int, ContigLine] = {}
    header = Header(samples, contigs, records.KEYS, columns.n_lines)
    runs, offsets = _survey(sites, columns, header, assembly)
    if len(offsets) == 1:
        raise BadFile(str(sites), f"line {columns.n_lines + 1}", "the file has no variant", "at least one variant")
    rule = records.REF_STATED
    if is_bed:
        _check_bed(path, len(samples), len(offsets) - 1)
        rule = _ref_rule(path, reference, ref_allele)
    else:
        _check_pgen(path, start, len(samples), len(offsets) - 1)
    return PlinkSource(
        path=path,
        format="bcf",
        header=header,
        records_at=0,
        kind=kind,
        sites=sites,
        sex=sex,
        ploidies=_ploidies(sex),
        columns=columns,
        runs=runs,
        allele_offsets=offsets,
        rule=rule,
        assembly=assembly,
        reference=reference,
        provisional=not is_bed and start[11] >> 6 in (2, 3),
    )


def _ref_rule(path: Path, reference: Reference | None, ref_allele: RefAllele | None) -> int:
    if ref_allele is not None:
        return records.REF_A1 if ref_allele == "a1" else records.REF_A2
    if reference is None:
        expected = "--reference FASTA, or --ref-allele a2 (as plink2 writes its .bim) or a1"
        raise BadFile(str(path), "", "a .bed does not say which allele is REF", expected)
    return records.REF_OF_FASTA


def _check_bed(path: Path, n_samples: int, n_variants: int) -> None:
    expected = 3 + n_variants * -(-n_samples // 4)
    size = path.stat().st_size
    if size != expected:
        problem = f"the file has {size:,} bytes; {n_variants:,} variants of {n_samples:,} samples take {expected:,}"
        raise BadFile(str(path), f"byte {min(size, expected)}", problem, "the .bim and .fam that were written with it")


def _check_pgen(path: Path, start: bytes, n_samples: int, n_variants: int) -> None:
    if len(start) < 12:
        raise BadFile(str(path), f"byte {len(start)}", "the file ends within its header", "the whole file")
    if start[2] not in _MODES:
        problem = f"storage mode {start[2]:#04x} is not read"
        raise BadFile(str(path), "byte 2", problem, "a .pgen as plink2 --make-pgen writes it (mode 0x10), its index within it")
    variants, samples = (int.from_bytes(start[i : i + 4], "little") for i in (3, 7))
    if (variants, samples) != (n_variants, n_samples):
        problem = (
            f"the file has {variants:,} variants of {samples:,} samples; its companions have {n_variants:,} and {n_samples:,}"
        )
        raise BadFile(str(path), "byte 3", problem, "the .pvar and .psam that were written with it")


def _survey(sites: Path, columns: SiteColumns, header: Header, assembly: Assembly) -> tuple[tuple[_Run, ...], IntArray]:
    """Read through the site file: where contigs begin, and each variant's alleles before it (n + 1,)."""
    numbers: dict[str, int] = {}
    runs: list[_Run] = []
    counts: list[IntArray] = []
    first, previous = 0, b""
    for text, line in site_pieces(sites, columns.n_lines):
        parsed = _parsed(sites, text, columns, previous, line)
        for index in np.flatnonzero(parsed[:, records.S_NEW_CONTIG]).tolist():
            start, length = parsed[index, :2].tolist()
            raw = text[start : start + length].decode("utf-8", "replace")
            bare = raw[3:] if raw[:3].lower() == "chr" else raw
            name = _CODES.get(bare.upper(), raw)
            if name not in numbers:
                numbers[name] = len(numbers)
                header.contigs[numbers[name]] = ContigLine(name, None, None)
                resolve_contig(sites, f"line {line + index}", name, header, assembly)
            runs.append(_Run(first + index, numbers[name], bare.upper() in _PAR_CODES))
        start, length = parsed[-1, :2].tolist()
        previous = text[start : start + length]
        counts.append(parsed[:, records.S_ALTS] + 1)
        first += len(parsed)
    return tuple(runs), np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate([np.empty(0, np.int64), *counts]))])


def _parsed(sites: Path, text: bytes, columns: SiteColumns, previous: bytes, line: int) -> IntArray:
    """The lines of a text parsed; `line` is the number of its first, from 1."""
    raw = np.frombuffer(text, np.uint8)
    parsed = np.empty((int(np.count_nonzero(raw == ord("\n"))), records.SITE_COLUMNS), np.int64)
    before = np.frombuffer(previous or b"", np.uint8)
    lines, error = scan.parse_sites(raw, columns.fields, columns.n_columns, columns.exact, before, parsed)
    if error:
        raise BadFile(str(sites), f"line {line + lines}", *records.PROBLEMS[error])
    return parsed


class _Calls:
    """Calls of consecutive variants, read in one thread: bytes of a `.bed`, or alleles and phase of a `.pgen`."""

    def __init__(self, source: PlinkSource) -> None:
        self._source = source
        self._row = -(-len(source.header.samples) // 4)
        self._file = source.path.open("rb") if source.kind == "bed" else None
        self._reader: Any = None
        self._plain = False  # biallelic throughout, and without phase
        if source.kind == "pgen":
            try:
                self._reader = pgenlib.PgenReader(
                    str(source.path).encode(),
                    raw_sample_ct=len(source.header.samples),
                    variant_ct=source.n_variants,
                    allele_idx_offsets=source.allele_offsets.astype(np.uintp),
                )
            except (RuntimeError, ValueError, EOFError) as error:
                raise BadFile(str(source.path), "header", _of_pgenlib(error), "a whole .pgen file") from error
            alleles = np.diff(source.allele_offsets)
            self._plain = bool((alleles == 2).all()) and not self._reader.hardcall_phase_present()

    def __enter__(self) -> _Calls:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        if self._reader is not None:
            self._reader.close()

    def read(self, start: int, stop: int) -> _RawCalls:
        """Variants start…stop - 1."""
        n, n_samples = stop - start, len(self._source.header.samples)
        if self._file is not None:
            self._file.seek(3 + start * self._row)
            raw = self._file.read(n * self._row)
            if len(raw) < n * self._row:
                raise BadFile(str(self._source.path), f"variant {start + 1}", "the file has become shorter", "the whole file")
            return _RawCalls(np.frombuffer(raw, np.uint8), _NO_GENOTYPES, *_NO_CALLS)
        if self._plain:
            found = _RawCalls(_NOTHING, np.empty((n, n_samples), np.int8), *_NO_CALLS)
        else:
            alleles, phased = np.empty((n, 2 * n_samples), np.int32), np.empty((n, n_samples), np.uint8)
            found = _RawCalls(_NOTHING, _NO_GENOTYPES, alleles, phased)
        try:
            if self._plain:
                self._reader.read_range(start, stop, found.genotypes)
            else:
                self._reader.read_alleles_and_phasepresent_range(start, stop, found.alleles, found.phased)
        except (RuntimeError, ValueError, EOFError) as error:
            named = re.search(r"variant_idx (\d+)", str(error))
            place = f"variant {int(named[1]) + 1}" if named else f"variants {start + 1} to {stop}"
            raise BadFile(str(self._source.path), place, _of_pgenlib(error), "a whole .pgen file") from error
        return found


def _calls_of(source: PlinkSource) -> _Calls:
    return _Calls(source)


def _of_pgenlib(error: Exception) -> str:
    """pgenlib's words, which may be many lines, as one."""
    return f"pgenlib cannot read it: {' '.join(str(error).split())[:200] or type(error).__name__}"


@dataclass(frozen=True, slots=True)
class _PlinkBlock(Block):
    """Consecutive variants: their lines and their calls; the records are made where the block is encoded."""

    source: PlinkSource = field(kw_only=True)
    first: int = field(kw_only=True)
    text: bytes = field(kw_only=True)
    calls: _RawCalls = field(kw_only=True)

    @classmethod
    def of(cls, source: PlinkSource, text: bytes, first: int, calls: _RawCalls) -> _PlinkBlock:
        """A block of variants from the `first` on."""
        return cls([], 0, 0, source=source, first=first, text=text, calls=calls)

    def joined(self) -> ByteArray:
        """The variants as BCF records, and `TAIL` behind them."""
        source = self.source
        sites = _parsed(source.sites, self.text, source.columns, b"", source.header.n_lines + self.first + 1)
        n, n_samples = len(sites), len(source.header.samples)
        starts = np.array([run.first for run in source.runs], np.int64)
        which = np.searchsorted(starts, np.arange(self.first, self.first + n), side="right") - 1
        contig = np.array([run.contig for run in source.runs], np.int64)[which]
        in_par = np.array([run.in_par for run in source.runs], np.bool_)[which]
        bed, genotypes, alleles, phased = self.calls
        n_alts = sites[:, records.S_ALTS]
        room = 4 * len(self.text) + 128 * n + int((8 * n_alts).sum()) + 2 * n_samples * int((1 + (n_alts > 62)).sum())
        out = np.empty(room + len(layout.TAIL), np.uint8)
        tallies = np.zeros(records.TALLIES, np.int64)
        reference = source.reference if source.rule == records.REF_OF_FASTA else None
        size, made, error = scan.write_records(
            np.frombuffer(self.text, np.uint8),
            sites,
            contig,
            _ploidy_classes(source, contig, in_par, sites[:, records.S_VALUE] - 1),
            source.ploidies,
            records.packed_genotypes(genotypes) if genotypes.size else bed,
            _WORDS,
            alleles,
            phased,
            reference.bases if reference is not None else np.frombuffer(b"", np.uint8),
            _layouts(source, reference),
            source.rule,
            layout.new_scratch(1),
            tallies,
            out,
        )
        if error:
            _, place = source.place(self.first + made, 0)
            raise BadFile(str(source.sites), place, *records.PROBLEMS[error])
        source.note(tallies)
        out[size : size + len(layout.TAIL)] = np.frombuffer(layout.TAIL, np.uint8)
        return out[: size + len(layout.TAIL)]


_WORDS = records.bed_words()


def _ploidy_classes(source: PlinkSource, contig: IntArray, in_par: Any, position: IntArray) -> ByteArray:
    """Which rule of copies applies to each variant."""
    by_name = {"X": _X, "Y": _Y, "MT": _MT}
    names = [plain_contig(line.name) for line in source.header.contigs.values()]
    classes = np.array([by_name.get(name, _AUTOSOME) for name in names], np.uint8)[contig]
    for start, end in _PSEUDOAUTOSOMAL_X[source.assembly]:
        in_par |= (position >= start) & (position < end)
    classes[(classes == _X) & in_par] = _AUTOSOME
    return classes


def _ploidies(sexes: Sequence[str]) -> ByteArray:
    sex = np.array(sexes)
    ploidies = np.full((4, len(sex)), records.DIPLOID, np.uint8)
    ploidies[_X, sex == "male"] = records.HAPLOID
    ploidies[_Y] = np.where(sex == "female", records.ABSENT, records.HAPLOID)
    ploidies[_MT] = records.HAPLOID
    return ploidies


def _layouts(source: PlinkSource, reference: Reference | None) -> IntArray:
    """(contigs, settings) int64: where each contig's bases lie in the reference, as the kernels' settings have it."""
    layouts = np.zeros((len(source.header.contigs), layout.P_SIZE), np.int64)
    if reference is None:
        return layouts
    for index, line in source.header.contigs.items():
        contig = known_contig(line.name, source.assembly)
        if contig is not None:
            there = reference.layout(contig.name)
            row = layouts[index]
            row[layout.P_FASTA_OFFSET], row[layout.P_FASTA_LENGTH] = there.offset, there.length
            row[layout.P_FASTA_LINE_BASES], row[layout.P_FASTA_LINE_BYTES] = there.line_bases, there.line_bytes
    return layouts
