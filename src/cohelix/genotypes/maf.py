"""Mutation Annotation Format: the mutation lists of tumours, as GDC and TCGA write them, line by line."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cohelix.core.errors import AssemblyMismatch, BadFile
from cohelix.core.genome import Assembly, Contig, known_contig
from cohelix.core.reported import Origin, ReportedCall, Zygosity

LINE_BYTES_MAX = 1 << 20  # of a line with GDC's 140 columns, a hundred times what is usual
_ALLELE = re.compile(r"[ACGTN]+|-")
_MISSING = frozenset({"", ".", "na", "n/a", "nan", "null", "none", "-", "unknown", "__unknown__"})
# Names of both generations of the format, in any case: TCGA's MAF 2.4 and GDC's MAF 1.0.
_REQUIRED = {
    "chromosome": ("Chromosome",),
    "start": ("Start_Position",),
    "end": ("End_Position",),
    "ref": ("Reference_Allele",),
    "alt": ("Tumor_Seq_Allele2",),
    "sample": ("Tumor_Sample_Barcode",),
    "build": ("NCBI_Build",),
}
_OPTIONAL = {
    "gene": ("hugo_symbol",),
    "alt1": ("tumor_seq_allele1",),
    "strand": ("strand",),
    "class": ("variant_classification",),
    "consequence": ("consequence",),
    "protein": ("hgvsp_short", "protein_change", "amino_acid_change", "hgvsp"),
    "coding": ("hgvsc", "cdna_change"),
    "transcript": ("transcript_id", "annotation_transcript"),
    "status": ("mutation_status",),
    "alt_reads": ("t_alt_count",),
    "ref_reads": ("t_ref_count",),
}
_FRACTION_NAME = re.compile(r".*(vaf|tumor_f|allele_?fraction|t_af).*")
# What Sequence Ontology calls MAF's classes: https://docs.gdc.cancer.gov, "GDC MAF format", as vcf2maf maps them back.
_CONSEQUENCES = {
    "missense_mutation": "missense_variant",
    "nonsense_mutation": "stop_gained",
    "nonstop_mutation": "stop_lost",
    "silent": "synonymous_variant",
    "frame_shift_del": "frameshift_variant",
    "frame_shift_ins": "frameshift_variant",
    "in_frame_del": "inframe_deletion",
    "in_frame_ins": "inframe_insertion",
    "splice_site": "splice_site_variant",
    "splice_region": "splice_region_variant",
    "translation_start_site": "start_lost",
    "start_codon_snp": "start_lost",
    "intron": "intron_variant",
    "rna": "non_coding_transcript_exon_variant",
    "igr": "intergenic_variant",
    "3'utr": "3_prime_UTR_variant",
    "5'utr": "5_prime_UTR_variant",
    "3'flank": "downstream_gene_variant",
    "5'flank": "upstream_gene_variant",
}
# PLINK's numbers of the sex chromosomes, which older centres wrote.
_NUMBERED = {"23": "X", "24": "Y"}
_BUILDS = {
    "37": Assembly.GRCH37,
    "grch37": Assembly.GRCH37,
    "hg19": Assembly.GRCH37,
    "b37": Assembly.GRCH37,
    "38": Assembly.GRCH38,
    "grch38": Assembly.GRCH38,
    "hg38": Assembly.GRCH38,
    "b38": Assembly.GRCH38,
}
_EXPECTED = "a MAF: tab-separated, with Tumor_Sample_Barcode among the column names"


def is_maf(path: Path) -> bool:
    """Whether a file is a MAF: its first line that is no comment names a Tumor_Sample_Barcode and a Chromosome."""
    if not path.is_file():
        return False
    try:
        with _opened(path) as file:
            for _ in range(1000):
                line = file.readline(LINE_BYTES_MAX)
                if not line:
                    return False
                if not line.startswith(b"#"):
                    names = {name.strip().lower() for name in line.split(b"\t")}
                    return b"tumor_sample_barcode" in names and b"chromosome" in names
    except (OSError, EOFError, zlib.error):
        return False
    return False


def read_maf(path: Path, *, assembly: Assembly) -> Iterator[ReportedCall]:
    """The calls of a MAF, plain or gzipped, in file order; a row with two different ALTs gives two.

    Positions and alleles are the file's own (0-based), `-` included. Consequences are Sequence Ontology's names for
    Variant_Classification, unless a column `Consequence` has them. The allele fraction is t_alt_count over t_alt_count
    and t_ref_count, else a column whose name has VAF in it: per cent where the column has a value above 1.

    Raises
    ------
    BadFile
        With the line and what was expected; `AssemblyMismatch` where NCBI_Build is another build than `assembly`.
    """
    columns, percent, empty = None, False, True
    for number, fields in _rows(path):
        if columns is None:
            columns = _Columns.of(path, number, fields)
            if columns.fraction is not None:
                percent = _is_percent(path, columns.fraction)
            continue
        empty = False
        yield from _Row(path, number, fields, columns).calls(assembly, percent=percent)
    if columns is None:
        raise BadFile(str(path), "", "the file is empty", _EXPECTED)
    if empty:
        raise BadFile(str(path), "", "the file has a header and no rows", "at least one variant")


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where each column stands; `fraction` is the column of allele fractions, or None."""

    at: dict[str, int]
    n: int
    fraction: int | None

    @classmethod
    def of(cls, path: Path, number: int, header: list[str]) -> _Columns:
        names: dict[str, int] = {}
        for column, name in enumerate(header):
            if name and names.setdefault(name.lower(), column) != column:
                raise BadFile(str(path), f"line {number}", f"column {name!r} comes twice", "every column name once")
        at = {}
        for role, spellings in (_REQUIRED | _OPTIONAL).items():
            found = next((names[name.lower()] for name in spellings if name.lower() in names), None)
            if found is not None:
                at[role] = found
            elif role in _REQUIRED:
                raise BadFile(str(path), f"line {number}", f"there is no column {spellings[0]}", _EXPECTED)
        fraction = None
        if not {"alt_reads", "ref_reads"} <= at.keys():
            fraction = next((names[name] for name in names if _FRACTION_NAME.fullmatch(name)), None)
        return cls(at, len(header), fraction)


class _Row:
    """One line of the file."""

    def __init__(self, path: Path, number: int, fields: list[str], columns: _Columns) -> None:
        self._path, self._number, self._fields, self._columns = path, number, fields, columns
        if len(fields) != columns.n:
            raise self._refusal(f"{len(fields)} columns", f"{columns.n}, as the header has")

    def calls(self, assembly: Assembly, *, percent: bool) -> Iterator[ReportedCall]:
        """What the line reports."""
        self._check_build(assembly)
        sample = self._text("sample")
        if sample.lower() in _MISSING:
            raise self._refusal("the Tumor_Sample_Barcode is missing", "a barcode")
        contig, start = self._contig(assembly), self._position("start")
        ref, alts, zygosity = self._alleles()
        self._check_extent(contig, start, ref)
        gene = self._text("gene")
        protein, coding, transcript = self._text("protein"), self._text("coding"), self._text("transcript")
        if coding and transcript and ":" not in coding:
            coding = f"{transcript}:{coding}"
        origin: Origin = "germline" if self._text("status").lower() == "germline" else "somatic"
        fraction = self._fraction(percent=percent)
        for alt in alts:
            yield ReportedCall(
                biosample=sample,
                contig=contig.name,
                position_0=start - 1,
                ref=ref,
                alt=alt,
                zygosity=zygosity,
                origin=origin,
                gene="" if gene.lower() in _MISSING else gene,
                hgvs=tuple(text for text in (protein, coding) if text.lower() not in _MISSING),
                consequence=self._consequence(),
                allele_fraction=fraction,
                line=f"line {self._number}",
            )

    def _check_build(self, assembly: Assembly) -> None:
        text = self._text("build")
        build = _BUILDS.get(text.lower().split(".", 1)[0])
        if build != assembly:
            problem = f"NCBI_Build is {text[:20]!r}, not {assembly}"
            raise AssemblyMismatch(
                str(self._path), f"line {self._number}", problem, f"rows of {assembly}, or --assembly as the file"
            )

    def _contig(self, assembly: Assembly) -> Contig:
        text = self._text("chromosome")
        plain = text[3:] if text[:3].lower() == "chr" else text
        contig = known_contig(_NUMBERED.get(plain, text), assembly) if text else None
        if contig is None:
            raise self._refusal(f"{assembly} has no contig {text[:40]!r}", "a contig of the assembly")
        return contig

    def _position(self, role: str) -> int:
        text = self._text(role)
        if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) >= 1):
            raise self._refusal(f"{text[:20]!r} is not a position", "a whole number from 1")
        return int(text)

    def _alleles(self) -> tuple[str, list[str], Zygosity]:
        ref, second = self._allele("ref"), self._allele("alt")
        first = self._allele("alt1") if self._text("alt1").lower() not in _MISSING - {"-"} else ref
        alts = [alt for alt in dict.fromkeys((second, first)) if alt != ref]
        if not alts:
            raise self._refusal("the tumour's alleles are the reference allele", "a variant in each row")
        return ref, alts, "homozygous" if first == second else "unknown"

    def _allele(self, role: str) -> str:
        text = self._text(role).upper()
        if not _ALLELE.fullmatch(text):
            raise self._refusal(f"{text[:20]!r} is not an allele", "A, C, G, T, N, or - for none")
        return text

    def _check_extent(self, contig: Contig, start: int, ref: str) -> None:
        end, strand = self._position("end"), self._text("strand")
        # An insertion stands between Start and End; some centres write both as the base before.
        fits = end - start in (0, 1) if ref == "-" else end - start + 1 == len(ref)
        if not fits:
            raise self._refusal(
                f"Start {start} and End {end} do not fit Reference_Allele {ref[:20]}", "the bases of the allele"
            )
        if contig.length and end > contig.length:
            raise self._refusal(f"position {end} is beyond the end of contig {contig.name}", f"at most {contig.length}")
        if strand not in ("+", "1", "", ".", "NA"):
            raise self._refusal(f"Strand is {strand[:20]!r}", "+: alleles of the forward strand")

    def _consequence(self) -> str:
        if self._text("consequence").lower() not in _MISSING:
            return re.sub("[;,]", "&", self._text("consequence"))
        word = self._text("class")
        return "" if word.lower() in _MISSING else _CONSEQUENCES.get(word.lower(), word)

    def _fraction(self, *, percent: bool) -> float | None:
        if self._columns.fraction is None:
            alt, ref = (self._number_of(self._text(role)) for role in ("alt_reads", "ref_reads"))
            if alt is None or ref is None or alt + ref == 0:
                return None
            return alt / (alt + ref)
        value = self._number_of(self._fields[self._columns.fraction])
        if value is not None and percent:
            value /= 100
        if value is not None and value > 1:
            raise self._refusal("an allele fraction above 100 %", "a fraction from 0 to 1, or per cent")
        return value

    def _number_of(self, text: str) -> float | None:
        if text.lower() in _MISSING:
            return None
        value = _number(text)
        if value is None:
            raise self._refusal(f"{text[:20]!r} is not a number of reads or an allele fraction", "a number from 0, or NA")
        return value

    def _text(self, role: str) -> str:
        column = self._columns.at.get(role)
        return "" if column is None else self._fields[column]

    def _refusal(self, problem: str, expected: str) -> BadFile:
        return BadFile(str(self._path), f"line {self._number}", problem, expected)


def _number(text: str) -> float | None:
    """A number from 0 on, in plain digits; None of anything else."""
    return float(text) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{0,30})?([eE]-?[0-9]{1,2})?", text) else None


def _is_percent(path: Path, column: int) -> bool:
    """Whether a column of allele fractions has a value above 1."""
    rows = _rows(path)
    next(rows)
    return any((_number(fields[column]) or 0) > 1 for _, fields in rows if column < len(fields))


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Lines that are no comments, with their numbers, as stripped fields; the first is the header."""
    if not path.is_file():
        problem = "it is a folder, a pipe or a device" if path.exists() else "there is no such file"
        raise BadFile(str(path), "", problem, "a MAF, plain or gzipped")
    number = 0
    try:
        with _opened(path) as file:
            while line := file.readline(LINE_BYTES_MAX + 1):
                number += 1
                if len(line) > LINE_BYTES_MAX:
                    raise BadFile(str(path), f"line {number}", "the line does not end", f"at most {LINE_BYTES_MAX:,} bytes")
                text = line.decode("utf-8").rstrip("\r\n")
                if text.strip() and not text.startswith("#"):
                    yield number, [field.strip() for field in text.split("\t")]
    except UnicodeDecodeError:
        raise BadFile(str(path), f"line {number}", "the text is not in UTF-8", "UTF-8") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise BadFile(str(path), f"line {number + 1}", "the compressed file is cut off or damaged", "the whole file") from None
    except OSError as error:
        raise BadFile(str(path), "", f"cannot be read ({error.strerror})", "a MAF, plain or gzipped") from None


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if compressed else path.open("rb")  # type: ignore[return-value]
