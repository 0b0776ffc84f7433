"""Assemblies, contigs and regions; the only place that converts between 0-based and 1-based positions."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import NamedTuple

from cohelix.core.errors import BadQuestion, BadUsage


class Assembly(StrEnum):
    """A human genome build; two builds never mix (rule 7 of the interface)."""

    GRCH37 = "GRCh37"
    GRCH38 = "GRCh38"


class Contig(NamedTuple):
    """One sequence of an assembly: our name for it (no `chr`), and its length in bases."""

    name: str
    length: int


class Region(NamedTuple):
    """A stretch of one contig, 0-based and half-open."""

    contig: str
    start: int
    end: int

    def __str__(self) -> str:
        """`22:100-200`, 1-based and inclusive, as people write it."""
        return f"{self.contig}:{self.start + 1}-{self.end}"


PRIMARY_CONTIGS: tuple[str, ...] = (*map(str, range(1, 23)), "X", "Y", "MT")
HAPLOID_CONTIGS = frozenset({"X", "Y", "MT"})  # where somebody has one copy
_PRIMARY_RANK = {name: rank for rank, name in enumerate(PRIMARY_CONTIGS)}
_ASSEMBLY_NAMES = {
    "grch37": Assembly.GRCH37,
    "hg19": Assembly.GRCH37,
    "b37": Assembly.GRCH37,
    "hs37d5": Assembly.GRCH37,
    "grch38": Assembly.GRCH38,
    "hg38": Assembly.GRCH38,
    "b38": Assembly.GRCH38,
}
# Sequences that analysis sets add to an assembly and NCBI's report does not list: decoys, EBV, HLA alleles.
_ANALYSIS_SET = re.compile(
    r"hs37d5|hs38d1|NC_007605(\.1)?|EBV|phix|NC_001422(\.1)?|HLA-.+|(Un_)?[A-Z]{2,4}\d{6,9}(v\d+)?(\.\d+)?_decoy", re.IGNORECASE
)
_REGION = re.compile(r"(?P<contig>[A-Za-z0-9_.*-]+?):(?P<start>[0-9,]{1,14})-(?P<end>[0-9,]{1,14})")
# hg19's own chrM (NC_001807) is another sequence than GRCh37's MT (NC_012920).
HG19_CHR_M_LENGTH = 16_571
# Where males have two copies of X and of Y: 0-based, half-open (Genome Reference Consortium, PAR#1 and PAR#2 on X).
PSEUDOAUTOSOMAL_X = {
    Assembly.GRCH37: ((60_000, 2_699_520), (154_931_043, 155_260_560)),
    Assembly.GRCH38: ((10_000, 2_781_479), (155_701_382, 156_030_895)),
}


def parse_assembly(text: str) -> Assembly:
    """`GRCh37`, `hg19`, `GRCh38.p14` … to an `Assembly`; raises `BadQuestion` for any other."""
    found = _ASSEMBLY_NAMES.get(text.strip().lower().split(".p", 1)[0])
    if found is None:
        raise BadQuestion(f"{text!r} is not an assembly: use GRCh37 or GRCh38")
    return found


def plain_contig(name: str) -> str:
    """Fold a primary contig's spellings (`chr22`, `22`, `NC_000022.10`, `chrM`, `M`, `CHRx`) to 1…22, X, Y, MT.

    Names of other sequences come back without a leading `chr`, otherwise as they are: whether an assembly has them
    is `known_contig`'s question.
    """
    plain = name[3:] if name[:3].lower() == "chr" else name
    upper = plain.upper()
    if upper in ("M", "MT"):
        return "MT"
    if upper in _PRIMARY_RANK:
        return upper
    return _refseq_names().get(upper.split(".", 1)[0] if upper.startswith("NC_") else upper, plain)


def assembly_of_refseq(accession: str) -> Assembly | None:
    """The assembly that a versioned RefSeq accession belongs to, or None if it is not one that tells (MT is in both)."""
    found = {assembly for assembly in Assembly for row in _rows(assembly) if accession and row.refseq == accession.upper()}
    return found.pop() if len(found) == 1 else None


def refseq_accession(contig: str, assembly: Assembly) -> str | None:
    """The versioned RefSeq accession of an assembly's contig (`NC_000022.10`), or None where it has none."""
    row = _by_name(assembly).get(contig.upper())
    return row.refseq or None if row else None


def known_contig(name: str, assembly: Assembly) -> Contig | None:
    """The assembly's contig of that name, or None where it has none.

    Unplaced, patch, alternate and decoy sequences are known under their NCBI, GenBank, RefSeq and UCSC names; an
    analysis set's decoys have no length here (0: not checked).
    """
    plain = plain_contig(name)
    row = _by_name(assembly).get(plain.upper()) or _by_name(assembly).get(name.upper())
    if row is not None:
        return Contig(row.name, row.length)
    return Contig(plain, 0) if _ANALYSIS_SET.fullmatch(plain) else None


def primary_lengths(assembly: Assembly) -> dict[str, int]:
    """Length in bases of 1…22, X, Y and MT."""
    return {row.name: row.length for row in _rows(assembly) if row.name in _PRIMARY_RANK}


def contig_order(name: str) -> tuple[int, str]:
    """Sort key: 1…22, X, Y, MT, then the others by name."""
    return _PRIMARY_RANK.get(name, len(_PRIMARY_RANK)), name


def region_1based(contig: str, first: int, last: int) -> Region:
    """A region from 1-based, inclusive positions, as VCF, interfaces and people write them."""
    if first < 1 or last < first:
        raise BadQuestion(
            f"{contig}:{first}-{last} is not a region: positions count from 1 and the end is not before the start"
        )
    return Region(plain_contig(contig), first - 1, last)


def parse_region(text: str) -> Region:
    """Read `22:50000000-51000000` (1-based, inclusive; `chr` and thousands' commas allowed)."""
    found = _REGION.fullmatch(text.strip())
    if not found:
        raise BadQuestion(f"{text!r} is not a region: write contig:from-to, for example 22:50313000-50314000")
    return region_1based(found["contig"], int(found["start"].replace(",", "")), int(found["end"].replace(",", "")))


class _Row(NamedTuple):
    name: str
    length: int
    refseq: str
    genbank: str
    aliases: tuple[str, ...]


@cache
def _rows(assembly: Assembly) -> tuple[_Row, ...]:
    text = resources.files("cohelix.core").joinpath("data/contigs.tsv").read_text(encoding="utf-8")
    rows = []
    for line in text.splitlines()[1:]:
        build, name, length, _role, refseq, genbank, aliases = line.split("\t")
        if build == assembly:
            others = (name, *filter(None, aliases.split(",")))
            rows.append(_Row(_our_name(assembly, name, genbank, others), int(length), refseq, genbank, others))
    if not rows:
        raise BadUsage(f"no contigs are known of {assembly}")
    return tuple(rows)


def _our_name(assembly: Assembly, name: str, genbank: str, aliases: tuple[str, ...]) -> str:
    """The name that files of this build use: GenBank's on GRCh37 (`GL000191.1`), UCSC's on GRCh38 (`Un_KI270302v1`)."""
    if name in _PRIMARY_RANK:
        return name
    ucsc = next((alias[3:] for alias in aliases if alias.startswith("chr")), name)
    return genbank if assembly == Assembly.GRCH37 and genbank else ucsc


@cache
def _by_name(assembly: Assembly) -> dict[str, _Row]:
    table: dict[str, _Row] = {}
    for row in _rows(assembly):
        for spelling in (row.name, row.refseq, row.genbank, *row.aliases):
            if spelling:
                table.setdefault(spelling.upper(), row)
                table.setdefault(spelling.upper().removeprefix("CHR"), row)
    return table


@cache
def _refseq_names() -> dict[str, str]:
    primary = (row for assembly in Assembly for row in _rows(assembly) if row.name in _PRIMARY_RANK)
    return {row.refseq.split(".", 1)[0]: row.name for row in primary}
