"""Beacon's variant parameters to questions for the bank: which variants of which contig, in whose coordinates.

Coordinates are 0-based and half-open, as Beacon's are. Whatever is not understood is refused, never answered "no hit".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cohelix.bank.questions import VariantQuery, exact_query
from cohelix.core.errors import BadQuestion, NotSupported
from cohelix.core.genome import Assembly, Region, assembly_of_refseq, known_contig, parse_assembly
from cohelix.core.variant import VariantKey, trim

# Beacon v2 default model, genomicVariations/requestParameters.json; `datasetIds` from the framework's documentation.
VARIANT_PARAMETERS: Final = (
    "assemblyId",
    "referenceName",
    "start",
    "end",
    "referenceBases",
    "alternateBases",
    "variantType",
    "geneId",
    "aminoacidChange",
    "genomicAlleleShortForm",
    "mateName",
    "variantMinLength",
    "variantMaxLength",
    "datasetIds",
)
_OTHER_SPELLINGS: Final[Mapping[str, str]] = {"geneid": "geneId", "datasets": "datasetIds"}
_NOT_ANSWERED: Final = frozenset({"allele"})
# Experimental Factor Ontology: copy numbers, as Beacon's variantType may name them.
_TYPE_CODES: Final[Mapping[str, str]] = {
    "EFO:0030063": "CNV",
    "EFO:0030066": "DEL",
    "EFO:0030067": "DEL",
    "EFO:0030068": "DEL",
    "EFO:0030069": "DEL",
    "EFO:0030070": "DUP",
    "EFO:0030071": "DUP",
    "EFO:0030072": "DUP",
    "EFO:0030073": "DUP",
    "SO:0001059": "SV",
    "SO:0001483": "SNP",
    "SO:0000159": "DEL",
    "SO:0000667": "INS",
    "SO:1000032": "INDEL",
    "SO:1000035": "DUP",
    "SO:1000036": "INV",
    "SO:0001019": "CNV",
}
_TYPES: Final = re.compile(r"SNP|SNV|INDEL|MNP|SV|BND|(INS|DEL|DUP|INV|CNV)(:[A-Z0-9_]+)*|CN\d{1,3}")
_BASES: Final = re.compile(r"[ACGTN]+")
_ID: Final = re.compile(
    r"(?P<assembly>GRCh3[78])-(?P<contig>[A-Za-z0-9_.*]+)-(?P<position>\d{1,10})-(?P<ref>[A-Z]+)-(?P<alt>.+)"
)
_AMINO_ACID: Final = re.compile(
    r"(p\.)?\(?([A-Za-z*]|[A-Z][a-z]{2}|Ter)\d{1,5}([A-Za-z*=?_]|[A-Z][a-z]{2}|Ter)[A-Za-z0-9*_=?]{0,40}\)?"
)
_HGVS: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{1,40}(\([A-Za-z0-9_.-]{1,40}\))?:[gcmnpr]\.\S{1,200}")
_GENOMIC: Final = re.compile(r"(?P<accession>NC_\d{6}\.\d{1,2}):[gm]\.(?P<position>\d{1,10})(?P<ref>[ACGT])>(?P<alt>[ACGT])")
_POSITION_MAX: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class VariantAsk:
    """What a request asks of variants.

    Attributes
    ----------
    assembly
        Whose coordinates; None where the request names no place, or a gene, which each assembly has its own place for.
    query
        The variants; None for everything that a dataset has.
    gene
        The gene that `query` names; it is looked for in each dataset, by its place and its annotations.
    datasets
        The datasets asked, as named in the request; empty means all.
    echo
        The parameters as they were understood, for the answer's summary.
    """

    assembly: Assembly | None = None
    query: VariantQuery | None = None
    gene: str | None = None
    datasets: frozenset[str] = frozenset()
    echo: Mapping[str, Any] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether no variant, place or gene was named."""
        return self.query is None and self.gene is None

    def with_members(self, members: Mapping[str, Any]) -> VariantAsk:
        """The same question with further members of its `VariantQuery`, from filters on variants."""
        if not members:
            return self
        if self.gene is not None and members.get("gene", self.gene) != self.gene:
            raise BadQuestion("the gene is given twice, as geneId and in a filter")
        query = replace(self.query or VariantQuery(None), **members)
        return replace(self, query=query, gene=query.gene)


def parse_variants(parameters: Mapping[str, Any]) -> VariantAsk:
    """Read the request parameters of `g_variants`, or of a carried variant of `individuals`.

    Raises
    ------
    BadQuestion
        If a parameter is unknown, malformed, or missing for the query that the others make.
    NotSupported
        For legal parameters that are not answered here.
    """
    given = _known(parameters)
    echo: dict[str, Any] = dict(given)
    datasets = frozenset(_texts(given.get("datasetIds"), "datasetIds"))
    if datasets:
        echo["datasetIds"] = sorted(datasets)
    start, end = _positions(given.get("start"), "start"), _positions(given.get("end"), "end")
    for which, positions in (("start", start), ("end", end)):
        if positions:
            echo[which] = list(positions)
    ref, alt = _bases(given.get("referenceBases"), "referenceBases"), _bases(given.get("alternateBases"), "alternateBases")
    kind = _type(given.get("variantType"))
    shortest, longest = _length(given, "variantMinLength"), _length(given, "variantMaxLength")
    if shortest is not None and longest is not None and shortest > longest:
        raise BadQuestion("variantMinLength is above variantMaxLength")
    gene, name = _text(given, "geneId"), _text(given, "referenceName")
    short_form = _text(given, "genomicAlleleShortForm")
    if short_form is not None:
        if set(given) - {"genomicAlleleShortForm", "assemblyId", "datasetIds", "geneId"}:
            raise BadQuestion("genomicAlleleShortForm names the variant: leave out its place and its alleles")
        return _short_form(short_form, _text(given, "assemblyId"), gene, datasets, echo)
    assembly = _assembly(_text(given, "assemblyId"), name)
    criteria = VariantQuery(
        None,
        ref=ref,
        alt=alt,
        variant_type=kind,
        min_length=shortest,
        max_length=longest,
        gene=gene,
        amino_acid=_amino_acid(_text(given, "aminoacidChange")),
        mate_contig=_mate(_text(given, "mateName"), name, assembly),
    )
    if gene is not None:
        if start or end or name:
            raise BadQuestion("geneId is a place of its own: leave out referenceName, start and end")
        return VariantAsk(assembly, criteria, gene, datasets, echo)
    if name is None:
        if start or end or ref or alt or kind or shortest is not None or longest is not None:
            raise BadQuestion("referenceName is missing: say on which chromosome, or give a geneId")
        return VariantAsk(assembly, criteria if criteria.amino_acid else None, None, datasets, echo)
    if assembly is None:
        raise BadQuestion("assemblyId is missing: positions are of GRCh37 or of GRCh38, and are never lifted over")
    return VariantAsk(assembly, _place(criteria, _contig(name, assembly), assembly, start, end), None, datasets, echo)


def variant_id(assembly: str, key: VariantKey) -> str:
    """The stable name of a variant in this and every other answer: `GRCh37-22-50313359-G-A`, 1-based and trimmed."""
    return f"{assembly}-{key}"


def parse_variant_id(text: str) -> VariantAsk:
    """Read `variantInternalId` back; raises `BadQuestion` for any other text."""
    found = _ID.fullmatch(text)
    if not found or int(found["position"]) < 1 or not _BASES.fullmatch(found["ref"]):
        raise BadQuestion("this is not a variant's id: write assembly-contig-position-ref-alt, as in GRCh37-22-50313359-G-A")
    assembly = Assembly(found["assembly"])
    contig = _contig(found["contig"], assembly)
    position, ref, alt = trim(int(found["position"]) - 1, found["ref"], found["alt"])
    return VariantAsk(assembly, exact_query(VariantKey(contig, position, ref, alt)), echo={"variantInternalId": text})


def _place(
    criteria: VariantQuery, contig: str, assembly: Assembly, start: tuple[int, ...], end: tuple[int, ...]
) -> VariantQuery:
    """Sequence, range, bracket or whole-contig query, by how many starts and ends there are."""
    length = known_contig(contig, assembly)
    if length and length.length and any(position > length.length for position in (*start, *end)):
        raise BadQuestion(f"{contig} of {assembly} has {length.length} bases; a position is beyond its end")
    if len(start) == 2 or len(end) == 2:
        return _bracket(criteria, contig, start, end)
    if end and not start:
        raise BadQuestion("end is given without start")
    if not start:
        return _with(criteria, contig)
    if criteria.ref and criteria.alt:
        return _sequence(criteria, contig, start[0], end)
    if end:
        if end[0] <= start[0]:
            raise BadQuestion("end is not after start: positions are 0-based, the end is exclusive")
        return _with(criteria, contig, overlaps=Region(contig, start[0], end[0]))
    if not (criteria.ref or criteria.alt or criteria.variant_type):
        raise BadQuestion("one start alone is not a question: give alternateBases for a variant, or end for a range")
    return _with(criteria, contig, start=(start[0], start[0] + 1))


def _sequence(criteria: VariantQuery, contig: str, start: int, end: tuple[int, ...]) -> VariantQuery:
    ref, alt = criteria.ref or "", criteria.alt or ""
    if end and end[0] != start + len(ref):
        raise BadQuestion(f"end does not fit: {len(ref)} referenceBases from {start} end at {start + len(ref)}")
    if ref == alt:
        raise BadQuestion("referenceBases and alternateBases are the same")
    if "N" not in ref + alt:
        start, ref, alt = trim(start, ref, alt)
    return replace(criteria, contig=contig, start=(start, start + 1), ref=ref, alt=alt)


def _bracket(criteria: VariantQuery, contig: str, start: tuple[int, ...], end: tuple[int, ...]) -> VariantQuery:
    if len(start) != 2 or len(end) != 2:
        raise BadQuestion("a bracket query has two starts and two ends")
    if start[1] <= start[0] or end[1] <= end[0]:
        raise BadQuestion("a bracket's second position is after its first: brackets are half-open")
    return _with(criteria, contig, start=(start[0], start[1]), end=(end[0], end[1]))


def _with(
    criteria: VariantQuery,
    contig: str,
    *,
    start: tuple[int, int] | None = None,
    end: tuple[int, int] | None = None,
    overlaps: Region | None = None,
) -> VariantQuery:
    return replace(criteria, contig=contig, start=start, end=end, overlaps=overlaps)


def _short_form(
    text: str, assembly: str | None, gene: str | None, datasets: frozenset[str], echo: Mapping[str, Any]
) -> VariantAsk:
    """An HGVS name: a genomic substitution is a place of its own, any other is looked for among the annotations."""
    if not _HGVS.fullmatch(text):
        raise BadQuestion("genomicAlleleShortForm is an HGVS name, as NM_004006.2:c.4375C>T or NC_000022.10:g.50313359G>A")
    named = parse_assembly(assembly) if assembly is not None else None
    genomic = _GENOMIC.fullmatch(text)
    if genomic is None:
        return VariantAsk(named, VariantQuery(None, hgvs=text, gene=gene), gene, datasets, echo)
    of = _assembly(assembly, genomic["accession"])
    if of is None:
        raise BadQuestion(f"{genomic['accession']} is of both assemblies, or of neither: give assemblyId")
    if genomic["ref"] == genomic["alt"] or int(genomic["position"]) < 1:
        raise BadQuestion("the short form names no change")
    contig, position = _contig(genomic["accession"], of), int(genomic["position"]) - 1
    return VariantAsk(of, exact_query(VariantKey(contig, position, genomic["ref"], genomic["alt"])), None, datasets, echo)


def _mate(mate: str | None, name: str | None, assembly: Assembly | None) -> str | None:
    if mate is None:
        return None
    if name is None or assembly is None:
        raise BadQuestion("mateName is the other end of a breakend: give referenceName and assemblyId, too")
    return _contig(mate, assembly)


def _amino_acid(text: str | None) -> str | None:
    if text is not None and not _AMINO_ACID.fullmatch(text):
        raise BadQuestion("aminoacidChange is written as V600E, or p.Val600Glu")
    return text


def _known(parameters: Mapping[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, value in parameters.items():
        plain = _OTHER_SPELLINGS.get(name, name)
        if plain in _NOT_ANSWERED:
            raise NotSupported(f"{name} is not supported: ask by position, or by geneId")
        if plain not in VARIANT_PARAMETERS:
            raise BadQuestion(f"{name[:40]!r} is not a request parameter of this Beacon")
        if plain in given:
            raise BadQuestion(f"{plain} is given twice")
        if value not in (None, "", []):
            given[plain] = value
    return given


def _assembly(text: str | None, contig: str | None) -> Assembly | None:
    named = parse_assembly(text) if text is not None else None
    implied = assembly_of_refseq(contig) if contig is not None and contig[:3].upper() == "NC_" and "." in contig else None
    if named and implied and named != implied:
        raise BadQuestion(f"{contig} is of {implied}, and assemblyId says {named}")
    return named or implied


def _contig(name: str, assembly: Assembly) -> str:
    found = known_contig(name, assembly)
    if found is None:
        raise BadQuestion(f"{name[:40]!r} is not a sequence of {assembly}: use 1 to 22, X, Y, MT, chr22 or NC_000022")
    return found.name


def _positions(value: object, name: str) -> tuple[int, ...]:
    """One or two positions, out of 100, [100], "100", "100,200" or ["100", "200"]."""
    if value is None:
        return ()
    parts: list[object] = (
        list(value) if isinstance(value, list) else list(value.split(",")) if isinstance(value, str) else [value]
    )
    if not 1 <= len(parts) <= 2:
        raise BadQuestion(f"{name} is one position, or two of a bracket")
    return tuple(_whole(part, name) for part in parts)


def _whole(value: object, name: str) -> int:
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value) <= 12:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _POSITION_MAX:
        raise BadQuestion(f"{name} is a whole number, 0 or more")
    return value


def _length(given: Mapping[str, Any], name: str) -> int | None:
    return None if name not in given else _whole(given[name], name)


def _text(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > 200:
        raise BadQuestion(f"{name} is a text")
    return value.strip()


def _texts(value: object, name: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise BadQuestion(f"{name} is a list of texts")
    return tuple(part.strip() for part in value if part.strip())


def _bases(value: object, name: str) -> str | None:
    if value is None:
        return None
    bases = value.upper() if isinstance(value, str) else ""
    if not _BASES.fullmatch(bases):
        raise NotSupported(
            f"{name} is spelled with A, C, G, T and N, at least one base, as in VCF; for symbolic alleles give variantType"
        )
    return bases


def _type(value: object) -> str | None:
    if value is None:
        return None
    kind = value.strip().upper().strip("<>") if isinstance(value, str) else ""
    kind = _TYPE_CODES.get(kind, kind)
    if not _TYPES.fullmatch(kind):
        raise NotSupported("variantType is one of SNP, INDEL, INS, DEL, DUP, INV, CNV, BND, MNP, SV, or a symbolic ALT's name")
    return "SNP" if kind == "SNV" else kind
