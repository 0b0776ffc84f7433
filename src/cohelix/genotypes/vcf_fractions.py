"""Allele fractions of tumours' calls and of mitochondrial ones, from a VCF's own FORMAT: a second, narrow pass.

Where they stand, in the order in which they are believed: HF (mitochondrial callers), AF (Mutect2), FREQ (VarScan), AD
(reads of REF and each ALT), Strelka's tier-1 counts (AU, CU, GU, TU of SNVs; TIR over TAR of indels).
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from cohelix.core.errors import BadFile
from cohelix.core.genome import plain_contig
from cohelix.genotypes.fractions import CallDetail
from cohelix.genotypes.store import GenotypeStore

_FRACTION_KEYS = ("HF", "AF", "FREQ", "AD", "TIR", "AU")
_TUMOUR_WORDS = frozenset({"TUMOR", "TUMOUR"})
# Without an index the whole file is read for its mitochondrial records, and plain gzip is unpacked: a minute's work at most.
_UNINDEXED_BYTES_MAX = 256 << 20
_HEADER_LINE_BYTES_MAX = 64 << 20  # the names of a million samples
_MT_NAMES = ("MT", "chrM", "M", "chrMT", "NC_012920.1")


class VcfFractions(NamedTuple):
    """What the second pass found, and files whose mitochondrial fractions it left."""

    details: tuple[CallDetail, ...]
    not_read: tuple[Path, ...]


def tumour_columns(files: Sequence[Path]) -> frozenset[str]:
    """Columns that a VCF's own header says are of tumours: `##tumor_sample` (Mutect2), or TUMOR beside NORMAL (Strelka)."""
    found: set[str] = set()
    for path in files:
        with _opened(path, header_only=True) as file:
            if file is None:
                continue
            samples = set(file.header.samples)
            found |= {record.value for record in file.header.records if record.key == "tumor_sample"} & samples
            if "NORMAL" in samples:
                found |= samples & _TUMOUR_WORDS
    return frozenset(found)


def read_fractions(
    files: Sequence[Path], store: GenotypeStore, *, tumours: frozenset[str], passing_only: bool = False
) -> VcfFractions:
    """Fractions of carried calls: every row's in tumours, everybody's of mitochondrial rows.

    A tumour's record without GT (Strelka) is carried where its fraction is above 0; with `passing_only`, not where FILTER
    says otherwise.

    Raises
    ------
    BadFile
        If a file that could be loaded cannot be read again.
    """
    details: list[CallDetail] = []
    not_read = []
    columns = {name: number for number, name in enumerate(store.info.samples)}
    mitochondrial = bool(store.contig_rows("MT"))
    for path in files:
        with _opened(path, header_only=True) as file:
            if file is None or not any(key in file.header.formats for key in _FRACTION_KEYS):
                continue
            names = [name for name in file.header.samples if name in tumours]
            whole = bool(names) and not _is_plain_gzip(path)
            if not names and not mitochondrial:
                continue
            if not whole and not _is_indexed(file) and path.stat().st_size > _UNINDEXED_BYTES_MAX:
                not_read.append(path)
                continue
        with _opened(path) as file:
            try:
                records = file if names else _mitochondrial(file)
                details += _of_records(records, store, columns, names, passing_only=passing_only)
            except (OSError, ValueError, KeyError) as error:
                raise BadFile(
                    str(path), "", f"its allele fractions cannot be read ({error})", "records as VCF 4 has them"
                ) from None
    return VcfFractions(tuple(details), tuple(not_read))


def _of_records(
    records: Any, store: GenotypeStore, columns: dict[str, int], tumours: Sequence[str], *, passing_only: bool
) -> Iterator[CallDetail]:
    contig, rows = "", _Rows(store, "")
    for record in records:
        name = plain_contig(record.chrom)
        if name != contig:
            contig, rows = name, _Rows(store, name)
        alts = record.alts or ()
        numbers = rows.of(record.pos, record.ref or "", alts)
        if not numbers or (passing_only and not set(record.filter.keys()) <= {"PASS"}):
            continue
        for sample in record.samples.values() if contig == "MT" else [record.samples[name] for name in tumours]:
            genotype = sample.get("GT") if "GT" in record.format else None
            for alt, row in numbers.items():
                if genotype is not None and alt + 1 not in genotype:
                    continue
                fraction = fraction_of(sample, record.ref or "", alts, alt)
                if genotype is not None and fraction is not None:
                    yield CallDetail(row, columns[sample.name], fraction)
                elif genotype is None and fraction and sample.name in tumours:
                    yield CallDetail(row, columns[sample.name], fraction, "unknown", "somatic")


def fraction_of(sample: Any, ref: str, alts: Sequence[str], alt: int) -> float | None:
    """The share of a sample's reads that have the ALT of that number (0-based); None where nothing tells."""
    for key in ("HF", "AF", "FREQ"):
        values = _listed(sample.get(key))
        if len(values) == len(alts):
            value = _share(values[alt])
            if value is not None:
                return value
    depths = _listed(sample.get("AD"))
    if len(depths) == len(alts) + 1 and all(isinstance(depth, int) and depth >= 0 for depth in depths):
        return depths[alt + 1] / sum(depths) if sum(depths) else None
    counts = [
        _listed(sample.get(key))
        for key in ((f"{ref}U", f"{alts[alt]}U") if len(ref) == len(alts[alt]) == 1 else ("TAR", "TIR"))
    ]
    if all(count and isinstance(count[0], int) for count in counts):
        others, carried = counts[0][0], counts[1][0]
        return carried / (carried + others) if carried + others else None
    return None


class _Rows:
    """The store's rows of one contig, by the record that they come from; records of one text are taken in turn."""

    def __init__(self, store: GenotypeStore, contig: str) -> None:
        self._rows: dict[tuple[int, str], dict[int, list[int]]] = {}
        rows = store.contig_rows(contig)
        for start in range(rows.start, rows.stop, 1 << 14):
            block = range(start, min(start + (1 << 14), rows.stop))
            table = store.table(block)
            for index, row in enumerate(block):
                position, alleles = int(table.position[index]) + 1, f"{table.ref[index]}\t{table.alt[index]}"
                if table.source[index]:
                    text, _, alleles = table.source[index].partition("\t")
                    position = int(text)
                of_record = self._rows.setdefault((position, alleles), {})
                of_record.setdefault(int(table.alt_index[index]), []).append(row)

    def of(self, position: int, ref: str, alts: Sequence[str]) -> dict[int, int]:
        """The rows of the next record of this text, by number of the ALT (0-based)."""
        waiting = self._rows.get((position, f"{ref}\t{','.join(alts)}"))
        if waiting is None:
            waiting = self._rows.get((position, f"{ref.upper()}\t{','.join(alts).upper()}"), {})
        return {alt: rows.pop(0) if len(rows) > 1 else rows[0] for alt, rows in waiting.items()}


def _listed(value: Any) -> tuple[Any, ...]:
    if isinstance(value, str):
        return tuple(value.split(","))
    return value if isinstance(value, tuple) else () if value is None else (value,)


def _share(value: Any) -> float | None:
    """A fraction, or per cent as VarScan writes it (`12.5%`), in [0, 1]."""
    try:
        share = float(value[:-1]) / 100 if isinstance(value, str) and value.endswith("%") else float(value)
    except (TypeError, ValueError):
        return None
    return share if 0 <= share <= 1 else None


def _mitochondrial(file: Any) -> Iterator[Any]:
    if _is_indexed(file):
        for name in _MT_NAMES:
            if name in file.header.contigs:
                yield from file.fetch(name)
        return
    yield from (record for record in file if plain_contig(record.chrom) == "MT")


def _is_indexed(file: Any) -> bool:
    return file.index is not None


def _is_plain_gzip(path: Path) -> bool:
    """Whether a file is gzip without BGZF's extra field, in which htslib cannot seek."""
    with path.open("rb") as file:
        start = file.read(4)
    return start[:2] == b"\x1f\x8b" and len(start) == 4 and not start[3] & 4


@contextmanager
def _opened(path: Path, *, header_only: bool = False) -> Iterator[Any]:
    """A VCF or BCF file, of plain gzip an unpacked copy; None for a file of another format."""
    import pysam  # a third of a second, and only some files need it

    # htslib would tell standard error of files that are no VCF, and of keys that a header does not declare.
    verbosity = pysam.set_verbosity(0)
    file = None
    try:
        with TemporaryDirectory(prefix="cohelix-") as folder:
            readable = path
            if path.is_file() and _is_plain_gzip(path):
                readable = Path(folder) / "unpacked.vcf"
                _unpack(path, readable, header_only=header_only)
            with suppress(OSError, ValueError):
                file = pysam.VariantFile(str(readable))
            yield file
    finally:
        if file is not None:
            file.close()
        pysam.set_verbosity(verbosity)


def _unpack(path: Path, target: Path, *, header_only: bool) -> None:
    with gzip.open(path, "rb") as packed, target.open("wb") as out:
        if not header_only:
            shutil.copyfileobj(packed, out)
            return
        while (line := packed.readline(_HEADER_LINE_BYTES_MAX)).startswith(b"#"):
            out.write(line)
