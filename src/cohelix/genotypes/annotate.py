"""Annotations out of INFO: VEP's CSQ, SnpEff's ANN, ClinVar's fields, joined to a store's rows by the trimmed variant."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote

import pysam

from cohelix.core.errors import AssemblyMismatch, BadFile
from cohelix.core.genome import Assembly, known_contig
from cohelix.core.variant import VariantKey, is_sequence, trim
from cohelix.genotypes.annotations import Annotation, write_annotations
from cohelix.genotypes.header import check_contigs
from cohelix.genotypes.hgvs import amino_acid_short_form
from cohelix.genotypes.hybrid_store import HybridStore
from cohelix.genotypes.liftover import left_align
from cohelix.genotypes.reference import Reference
from cohelix.genotypes.source import Source, open_source

# `Description="… Format: Allele|Consequence|…"`: VEP's key may have any name (`--vcf_info_field`; gnomAD's is `vep`).
_VEP: Final = re.compile(r'^##INFO=<ID=([^,>]+),.*Format: "?(Allele\|[^">]+)', re.MULTILINE)
_DECLARED: Final = re.compile(r"^##INFO=<ID=([^,>]+)", re.MULTILINE)
_CLINVAR: Final = ("CLNSIG", "CLINICAL_SIGNIFICANCE")
# SnpEff's ANN, version 1.0: fields by place ("Functional annotations prediction standard", 2015).
_ANN: Final = (
    "Allele",
    "Consequence",
    "IMPACT",
    "SYMBOL",
    "Gene",
    "Feature_type",
    "Feature",
    "BIOTYPE",
    "Rank",
    "HGVSc",
    "HGVSp",
)
_SNPEFF_SOURCE, _VEP_SOURCE, _CLINVAR_SOURCE = "SnpEff", "VEP", "ClinVar"
Info = dict[str, str]
Reader = Callable[[Info, int, str, list[str]], Iterator[Annotation]]


class AnnotateReport(NamedTuple):
    """How many entries were written, of how many variants; annotated variants that the store does not have."""

    entries: int
    variants: int
    elsewhere: int


def annotated(path: Path) -> bool:
    """Whether a file is a VCF or BCF whose header declares annotations that are read here."""
    return bool(path.is_file() and _readers(_declared(path)))


def annotate(
    store: HybridStore, files: Sequence[Path], folder: Path, *, assembly: Assembly, reference: Path | None = None
) -> AnnotateReport:
    """Write the annotations of a store's rows from what the files' INFO says, in one pass over each file.

    Raises
    ------
    BadFile
        If a file cannot be read; `AssemblyMismatch` where it is of another build.
    """
    fasta = Reference(reference, assembly) if reference is not None else None
    found = _Joined(store, assembly, fasta)
    entries = write_annotations((entry for path in files for entry in found.entries(path)), folder)
    return AnnotateReport(entries, found.variants, found.elsewhere)


class _Joined:
    def __init__(self, store: HybridStore, assembly: Assembly, fasta: Reference | None) -> None:
        self._store, self._assembly, self._fasta = store, assembly, fasta
        self.variants = self.elsewhere = 0

    def entries(self, path: Path) -> Iterator[tuple[int, Annotation]]:
        """The entries of one file: row of the store, and what is said of it."""
        with ThreadPoolExecutor(os.cpu_count() or 1, "annotations") as pool:
            source = open_source(path, pool, sites=True)
            check_contigs(path, source.header, self._assembly)
            self._check_reference(path, source)
            readers = _readers(_header_text(source))
            for number, columns in enumerate(_records(source, pool), start=1):
                if len(columns) < 8:
                    line = source.header.n_lines + number
                    raise BadFile(str(path), f"line {line}", "the record has fewer than eight columns", "CHROM to INFO")
                yield from self._of_record(path, source.header.n_lines + number, columns, readers)

    def _of_record(self, path: Path, line: int, columns: list[str], readers: list[Reader]) -> Iterator[tuple[int, Annotation]]:
        name, position, _, ref, alts, _, _, info_text = columns[:8]
        contig = known_contig(name, self._assembly)
        if contig is None:
            return
        if not (position.isascii() and position.isdigit()) or int(position) < 1 or not ref:
            raise BadFile(str(path), f"line {line}", "POS or REF is not one", "a position from 1 and bases")
        info = _info(info_text)
        all_alts = alts.split(",")
        for index, alt in enumerate(all_alts):
            said = [entry for reader in readers for entry in reader(info, index, ref, all_alts)]
            if not said:
                continue
            rows = self._rows(contig.name, int(position) - 1, ref.upper(), alt.upper() if is_sequence(alt.upper()) else alt)
            self.variants += bool(rows)
            self.elsewhere += not rows
            yield from ((row, entry) for row in rows for entry in dict.fromkeys(said))

    def _rows(self, contig: str, position: int, ref: str, alt: str) -> list[int]:
        start, ref, alt = trim(position, ref, alt)
        rows = self._store.rows_of(VariantKey(contig, start, ref, alt))
        if not rows and self._fasta is not None and is_sequence(alt) and is_sequence(ref) and len(ref) != len(alt):
            rows = self._store.rows_of(VariantKey(contig, *left_align(self._fasta, contig, start, ref, alt)))
        return rows

    def _check_reference(self, path: Path, source: Source) -> None:
        """ClinVar's files name their build in `##reference` only."""
        other = next(build for build in Assembly if build != self._assembly)
        words = re.findall(r"GRCh3[78]", source.header.reference)
        if words and set(words) == {str(other)} and not source.header.samples:
            raise AssemblyMismatch(str(path), "header", f"##reference names {other}", f"a file of {self._assembly}")


def _records(source: Source, pool: ThreadPoolExecutor) -> Iterator[list[str]]:
    """The first eight columns of each record."""
    if source.format == "bcf":
        with pysam.VariantFile(str(source.path), drop_samples=True) as file:
            for record in file:
                yield str(record).rstrip("\n").split("\t", 8)[:8]
        return
    for block in source.blocks(pool, 2, lambda _: None):
        for line in b"".join(bytes(part) for part in block.parts).split(b"\n"):
            if line:
                yield line.rstrip(b"\r").decode("utf-8", "replace").split("\t", 8)[:8]


def _declared(path: Path) -> str:
    try:
        with ThreadPoolExecutor(1) as pool:
            return _header_text(open_source(path, pool, sites=True))
    except BadFile:
        return ""


def _header_text(source: Source) -> str:
    if source.format == "bcf":
        with pysam.VariantFile(str(source.path)) as file:
            return str(file.header)
    with gzip.open(source.path, "rb") if _is_packed(source.path) else source.path.open("rb") as file:
        return bytes(file.read(source.records_at)).decode("utf-8", "replace")


def _is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _info(text: str) -> Info:
    return dict(entry.partition("=")[::2] for entry in text.split(";"))


def _readers(header: str) -> list[Reader]:
    """How to read what the header declares."""
    readers: list[Reader] = []
    declared = set(_DECLARED.findall(header))
    for key, form in _VEP.findall(header):
        readers.append(_effects(key, tuple(form.strip().split("|")), _VEP_SOURCE))
    if "ANN" in declared and not any(key == "ANN" for key, _ in _VEP.findall(header)):
        readers.append(_effects("ANN", _ANN, _SNPEFF_SOURCE))
    if declared & set(_CLINVAR):
        readers.append(_clinvar)
    return readers


def _effects(key: str, form: tuple[str, ...], source: str) -> Reader:
    """VEP's and SnpEff's entries: one for each allele and transcript, fields by place."""
    place = {name: number for number, name in enumerate(form)}

    def read(info: Info, index: int, ref: str, alts: list[str]) -> Iterator[Annotation]:
        text = info.get(key, "")
        if not text or text == ".":
            return
        wanted = _allele_names(ref, alts)[index] if len(alts) > 1 else frozenset[str]()
        for entry in text.split(","):
            values = entry.split("|")

            def get(name: str, values: list[str] = values) -> str:
                number = place.get(name, -1)
                return unquote(values[number]).strip() if 0 <= number < len(values) else ""

            number = get("ALLELE_NUM")
            if number.isdigit():
                if int(number) != index + 1:
                    continue
            elif wanted and get("Allele") not in wanted:
                continue
            protein, consequence = get("HGVSp"), get("Consequence")
            amino_acid = amino_acid_short_form(protein) or _from_residues(get("Amino_acids"), get("Protein_position"))
            yield Annotation(
                gene=get("SYMBOL"), gene_id=get("Gene"), consequence=consequence, hgvs_c=_named(get("HGVSc"), get("Feature")),
                hgvs_p=protein, amino_acid=amino_acid, significance=get("CLIN_SIG").replace("_", " "), source=source,
            )  # fmt: skip

    return read


def _named(hgvs: str, transcript: str) -> str:
    """SnpEff leaves the transcript out of HGVS."""
    return f"{transcript}:{hgvs}" if hgvs and ":" not in hgvs and transcript else hgvs


def _from_residues(residues: str, position: str) -> str:
    """`V/E` and `600` to `V600E`, where there is no HGVS."""
    before, slash, after = residues.partition("/")
    position = position.partition("/")[0]
    if not position.isdigit() or not before:
        return ""
    if not slash:
        return f"{before}{position}="
    return f"{before}{position}{after}" if len(before) == len(after) == 1 else ""


def _allele_names(ref: str, alts: list[str]) -> list[frozenset[str]]:
    """How VEP (without the base that all alleles share) and SnpEff (as in ALT) name each ALT."""
    spelled = [alt for alt in alts if is_sequence(alt.upper())]
    shared = any(len(alt) != len(ref) for alt in spelled) and all(alt[:1] == ref[:1] for alt in spelled)
    return [frozenset({alt, (alt[1:] or "-") if shared and alt in spelled else alt}) for alt in alts]


def _clinvar(info: Info, index: int, ref: str, alts: list[str]) -> Iterator[Annotation]:
    """ClinVar's own VCF (CLNSIG, CLNDN, GENEINFO, MC, CLNHGVS), and tables made of it (CLINICAL_SIGNIFICANCE, SYMBOL …)."""
    if index and len(alts) > 1 and "CLNSIG" not in info:
        return
    significance = _words(info.get("CLNSIG") or info.get("CLINICAL_SIGNIFICANCE", ""))
    condition = _words(info.get("CLNDN") or info.get("ALL_TRAITS", ""))
    genes = [tuple(gene.partition(":")[::2]) for gene in info.get("GENEINFO", info.get("SYMBOL", "")).split("|")]
    terms = [term.partition("|")[2] for term in info.get("MC", "").split(",") if "|" in term]
    terms += [term.rpartition(":")[2] for term in info.get("MOLECULAR_CONSEQUENCE", "").split("|") if ":" in term]
    protein = info.get("HGVS_P", "").replace("_eq_", "=")
    if not (significance or condition or genes[0][0]):
        return
    for gene, gene_id in genes:
        yield Annotation(
            gene=gene, gene_id=gene_id, consequence="&".join(dict.fromkeys(terms)),
            hgvs_c=info.get("HGVS_C", ""), hgvs_p=protein,
            hgvs_g=info.get("CLNHGVS", ""), amino_acid=amino_acid_short_form(protein), significance=significance,
            condition=condition, source=_CLINVAR_SOURCE,
        )  # fmt: skip


def _words(text: str) -> str:
    return "" if text in (".", "not_provided") else unquote(text).replace("_", " ")
