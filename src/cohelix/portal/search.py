"""What a line typed into the search box means: a variant, a region, a gene, a feature, a dataset, or why it is none of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from cohelix.core.codes import canonical
from cohelix.core.errors import BadInput
from cohelix.core.genes import Gene, find_gene, suggest
from cohelix.core.genome import Assembly, Region, assembly_of_refseq, known_contig, parse_assembly, region_1based
from cohelix.core.variant import VariantKey, parse_variant
from cohelix.federation.answers import variant_of_name
from cohelix.portal.mistyped import changes_meant, codes_meant, contig_meant, lacks_contig, variants_meant

TEXT_MAX = 2_000  # the longest indels that people paste fit; beyond it the text is not a question

Problem = Literal[
    "empty",
    "too_long",
    "rs_id",
    "hgvs",
    "several_variants",
    "unknown_contig",
    "beyond_contig",
    "mistyped_variant",
    "no_contig",
    "same_alleles",
    "half_variant",
    "not_bases",
    "contig_alone",
    "reversed_region",
    "other_assembly_gene",
    "code_of_other_length",
    "nothing_of_that_name",
]


@dataclass(frozen=True, slots=True)
class VariantQuestion:
    """One variant of one assembly."""

    key: VariantKey
    assembly: Assembly


@dataclass(frozen=True, slots=True)
class RegionQuestion:
    """A stretch of one assembly."""

    region: Region
    assembly: Assembly


@dataclass(frozen=True, slots=True)
class GeneQuestion:
    """A gene of one assembly."""

    gene: Gene
    assembly: Assembly


@dataclass(frozen=True, slots=True)
class TermQuestion:
    """A feature or a disease by its code."""

    code: str


@dataclass(frozen=True, slots=True)
class DatasetQuestion:
    """A dataset by its federation id."""

    id: str


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A text that would have been understood, on the assembly where it would; `name` says what a code stands for."""

    text: str
    assembly: Assembly
    name: str = ""


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """Why a text is no question, and what may have been meant.

    Attributes
    ----------
    text
        As typed.
    problem
        Which of the known misunderstandings it is; the page has the words.
    subject
        The part of the text that the problem is about: a contig, an allele, a symbol.
    contig_length
        In bases, where a position lies beyond the end.
    """

    text: str
    assembly: Assembly
    problem: Problem
    subject: str = ""
    contig_length: int | None = None
    suggestions: tuple[Suggestion, ...] = ()


Question = VariantQuestion | RegionQuestion | GeneQuestion | TermQuestion | DatasetQuestion | NotUnderstood

_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−", "-") | dict.fromkeys("→⟶➔", ">") | {"∶": ":", "\u200b": ""})
_ASSEMBLY_WORD = re.compile(r"[\s(\[]*\b(GRCh3[78](?:\.p\d+)?|hg19|hg38|b37|b38)\b[\s)\],:]*", re.IGNORECASE)
_CONTIG = r"(?P<contig>[A-Za-z0-9][\w.*]*?)"
_VARIANT = re.compile(
    _CONTIG + r"(?:\s*[:\s_-]\s*)(?:g\.\s*)?(?P<position>\d{1,10})(?:\s*[:\s_-]\s*)?"
    r"(?P<ref>[A-Za-z]+)(?:\s*[>/:|\s_-]\s*)(?P<alt>[A-Za-z]+|\*|[.-])"
)
_HALF = re.compile(_CONTIG + r"\s*[:\s_-]\s*(?P<position>\d{1,10})\s*[:\s_-]?\s*(?P<ref>[A-Za-z]+)\s*[>:_-]?")
_NUMBER = r"\d+(?:\.\d+)?\s?(?:[kKmM][bB]?)?"
_REGION = re.compile(
    _CONTIG + rf"(?:\s*:\s*|\s+|[_-])(?P<first>{_NUMBER})(?:\s*(?:\.\.|-|_|:)\s*|\s+)(?P<last>{_NUMBER})(?:\s?bp)?"
)
_POSITION = re.compile(_CONTIG + r"(?:\s*:\s*|\s+|[_-])(?:g\.\s*)?(?P<position>\d{1,10})")
_RS_ID = re.compile(r"rs\s?\d+", re.IGNORECASE)
_HGVS = re.compile(r"\S+:\s?[cgmnpr]\.\S+|[cp]\.\S+", re.IGNORECASE)
_TERM = re.compile(
    r"(?:HP|MONDO|ORPHA(?:NET)?|OMIM|DOID|NCIT|EFO|MESH|SNOMED(?:CT)?|ICD-?10(?:CM)?|LOINC|UBERON)[:_]\s?[\w.-]{1,40}",
    re.IGNORECASE,
)
_OF_TRANSCRIPT = re.compile(r"(?P<outer>[\w.-]+)(?:\((?P<inner>[\w-]+)\))?:\s?[cnpr]\.", re.IGNORECASE)
_OF_GENOME = re.compile(r"(?P<contig>[\w.]+):\s?[gm]\.(?P<first>\d{1,10})(?:_(?P<last>\d{1,10}))?\D", re.IGNORECASE)
_UNITS = {"k": 1_000, "m": 1_000_000}
_SYMBOL_MAX = 40
_NUMBERED_SEX_CHROMOSOMES = {"23": "X", "24": "Y", "25": "X", "26": "MT"}  # as PLINK numbers them


def understand(text: str, assembly: Assembly, datasets: Sequence[str]) -> Question:
    """Read what was typed; never raises.

    Parameters
    ----------
    text
        As typed.
    assembly
        The build chosen beside the box; a build that the text names itself (`hg38`, `NC_000022.11`) goes before it.
    datasets
        Federation ids (`NODE:DATASET`) that exist.
    """
    typed = text.strip()
    if len(typed) > TEXT_MAX:
        return NotUnderstood(typed[:TEXT_MAX], assembly, "too_long")
    plain = _plain(typed)
    named = _ASSEMBLY_WORD.search(plain)
    if named:
        assembly = parse_assembly(named[1])
        plain = f"{plain[: named.start()]} {plain[named.end() :]}".strip()
    if not plain:
        return NotUnderstood(typed, assembly, "empty")
    return (
        _dataset(plain, datasets)
        or _gene(plain, assembly)  # before all that has digits: RS1 and NKX2-1 are genes
        or _term(typed, plain, assembly)
        or _known_but_not_asked(typed, plain, assembly)
        or _symbolic(typed, plain, assembly)
        or _variant(typed, plain, assembly)
        or _gene_of_other_assembly(typed, plain, assembly)
        or _region(typed, plain, assembly)
        or _broken(typed, plain, assembly, datasets)
    )


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).translate(_DASHES)
    folded = re.sub(r"(?<=\d),(?=\d{3})", "", folded)
    folded = re.sub(r"(?<![\w.])\d{1,3}(?:\.\d{3}){2,}(?![\w.])", lambda found: found[0].replace(".", ""), folded)  # 50.313.359
    return re.sub(r"\s+", " ", folded).strip(" \"'`;")


def _known_but_not_asked(typed: str, plain: str, assembly: Assembly) -> NotUnderstood | None:
    if _RS_ID.fullmatch(plain):
        return NotUnderstood(typed, assembly, "rs_id", subject=f"rs{int(plain[2:])}")
    if _HGVS.fullmatch(plain) and not _VARIANT.fullmatch(plain):
        return NotUnderstood(typed, assembly, "hgvs", subject=plain.replace(": ", ":"), suggestions=_near_hgvs(plain, assembly))
    return None


def _near_hgvs(plain: str, assembly: Assembly) -> tuple[Suggestion, ...]:
    """The gene of a description on a transcript or protein; the place of a genomic change that is no substitution."""
    described = _OF_TRANSCRIPT.match(plain)
    if described:
        genes = (find_gene(name, assembly) for name in (described["inner"], described["outer"]) if name)
        return _all([gene.symbol for gene in genes if gene][:1], assembly)
    placed = _OF_GENOME.match(plain)
    if not placed:
        return ()
    build = assembly_of_refseq(placed["contig"]) or assembly
    last = placed["last"] or placed["first"]
    text = f"{_contig_name(placed['contig'], build)}:{placed['first']}-{last}"
    return () if isinstance(_region(text, text, build) or NotUnderstood, NotUnderstood) else _all([text], build)


def _term(typed: str, plain: str, assembly: Assembly) -> TermQuestion | NotUnderstood | None:
    if codes := codes_meant(plain.replace(" ", "")):
        return NotUnderstood(typed, assembly, "code_of_other_length", subject=plain, suggestions=_all(codes, assembly))
    return TermQuestion(canonical(plain.replace(" ", "")).upper()) if _TERM.fullmatch(plain) else None


def _dataset(plain: str, datasets: Sequence[str]) -> DatasetQuestion | None:
    found = next((known for known in datasets if known.casefold() == plain.casefold()), None)
    return DatasetQuestion(found) if found else None


def _symbolic(typed: str, plain: str, assembly: Assembly) -> Question | None:
    """A variant whose ALT is not spelled out in bases (`<DEL>`, a breakend), as our own answers name it."""
    if not any(sign in plain for sign in "<[]"):
        return None
    try:
        key = variant_of_name(plain.removeprefix("chr"))
    except BadInput:
        return None
    return _wrong_place(typed, plain, key.contig, key.position + 1, assembly) or VariantQuestion(key, assembly)


def _variant(typed: str, plain: str, assembly: Assembly) -> Question | None:
    found = _VARIANT.fullmatch(plain)
    if not found:
        return None
    contig, alt = found["contig"], found["alt"].upper()
    assembly = assembly_of_refseq(contig) or assembly
    position = int(found["position"])
    wrong = _wrong_place(typed, plain, contig, position, assembly)
    if wrong:
        return wrong
    if found["ref"].upper() == alt:
        others = [f"{_contig_name(contig, assembly)}-{position}-{alt}-{one}" for one in "ACGT" if one != alt and len(alt) == 1]
        return NotUnderstood(typed, assembly, "same_alleles", subject=alt, suggestions=_all(others, assembly))
    try:
        return VariantQuestion(parse_variant(f"{contig}-{position}-{found['ref']}-{alt}"), assembly)
    except BadInput:
        ref, of_dna = found["ref"].upper().replace("U", "T"), alt.replace("U", "T")
        if (ref, of_dna) != (found["ref"].upper(), alt) and re.fullmatch("[ACGTN]+", ref + of_dna):
            meant = _all([f"{_contig_name(contig, assembly)}-{position}-{ref}-{of_dna}"], assembly)
            return NotUnderstood(typed, assembly, "not_bases", subject="U", suggestions=meant)
        allele = next((a for a in (found["ref"], alt) if re.search("[^ACGTN]", a.upper())), alt)
        here = Suggestion(f"{_contig_name(contig, assembly)}:{position}-{position}", assembly)
        return NotUnderstood(typed, assembly, "not_bases", subject=allele, suggestions=(here,))


def _region(typed: str, plain: str, assembly: Assembly) -> Question | None:
    found = _REGION.fullmatch(plain)
    alone = None if found else _POSITION.fullmatch(plain)
    match = found or alone
    if not match:
        return None
    contig = match["contig"]
    assembly = assembly_of_refseq(contig) or assembly
    first, last = (_bases(found["first"]), _bases(found["last"])) if found else (int(match["position"]),) * 2
    wrong = _wrong_place(typed, plain, contig, min(first, last), assembly)
    if wrong:
        return wrong
    name = _contig_name(contig, assembly)
    if last < first:
        swapped = Suggestion(f"{name}:{last}-{first}", assembly)
        return NotUnderstood(typed, assembly, "reversed_region", subject=plain, suggestions=(swapped,))
    return RegionQuestion(region_1based(name, first, last), assembly)


def _gene(plain: str, assembly: Assembly) -> GeneQuestion | None:
    gene = find_gene(plain, assembly)
    return GeneQuestion(gene, assembly) if gene else None


def _gene_of_other_assembly(typed: str, plain: str, assembly: Assembly) -> NotUnderstood | None:
    other = _other(assembly)
    gene = find_gene(plain, other)
    if gene is None:
        return None
    there = Suggestion(gene.symbol, other)
    return NotUnderstood(typed, assembly, "other_assembly_gene", subject=gene.symbol, suggestions=(there,))


def _broken(typed: str, plain: str, assembly: Assembly, datasets: Sequence[str]) -> NotUnderstood:
    half = _HALF.fullmatch(plain)
    if half and known_contig(half["contig"], assembly):
        position, ref = int(half["position"]), half["ref"].upper()
        name = _contig_name(half["contig"], assembly)
        alts = [alt for alt in "ACGT" if alt != ref] if ref in "ACGT" else []
        glued = (
            [f"{name}-{position}-{ref[0]}-{ref[1]}"]
            if re.fullmatch("[ACGT]{2}", ref) and plain[-1].isalpha() and ref[0] != ref[1]
            else []
        )
        meant = [*glued, *(f"{name}-{position}-{ref}-{alt}" for alt in alts), f"{name}:{position}-{position}"]
        return NotUnderstood(typed, assembly, "half_variant", plain, suggestions=_all(meant, assembly))
    if variants := [one for one in variants_meant(plain, assembly) if not _misplaced(one, assembly)]:
        return NotUnderstood(typed, assembly, "mistyped_variant", plain, suggestions=_all(variants, assembly))
    if lacks_contig(plain):
        return NotUnderstood(typed, assembly, "no_contig", plain)
    if changes := changes_meant(plain, assembly):
        return NotUnderstood(typed, assembly, "hgvs", plain, suggestions=_all(changes, assembly))
    contig = known_contig(plain.rstrip(":- "), assembly)
    if contig:
        return NotUnderstood(typed, assembly, "contig_alone", subject=contig.name)
    return NotUnderstood(typed, assembly, "nothing_of_that_name", plain, suggestions=_near(plain, assembly, datasets))


def _near(plain: str, assembly: Assembly, datasets: Sequence[str]) -> tuple[Suggestion, ...]:
    """Datasets and genes of a similar name, and genes whose name goes on from the text."""
    word = plain.casefold()
    wholes = {known.casefold(): known for known in datasets}
    near = [wholes[close] for close in get_close_matches(word, wholes, n=3, cutoff=0.6)]
    near += [known for known in datasets if get_close_matches(word, [known.partition(":")[2].casefold()], cutoff=0.75)]
    symbol = re.sub(r"[\s_]", "", plain).upper()[:_SYMBOL_MAX]
    if len(symbol) > 1:
        begun_alike = [gene.symbol for gene in suggest(symbol[:2], assembly, limit=5_000)]
        near += get_close_matches(symbol, begun_alike, n=4, cutoff=0.7)
        near += [gene.symbol for gene in suggest(symbol, assembly, limit=4)]
    return _all(list(dict.fromkeys(near))[:6], assembly)


def _wrong_place(typed: str, plain: str, contig: str, position: int, assembly: Assembly) -> NotUnderstood | None:
    """What is wrong with a contig name or a 1-based position, if anything is."""
    known = known_contig(contig, assembly)
    if known is None:
        renamed = _NUMBERED_SEX_CHROMOSOMES.get(contig.lower().removeprefix("chr"))
        rest = plain[len(contig) :]
        near = contig_meant(contig, assembly)
        meant = _all([f"{renamed or near}{rest}"], assembly) if renamed or near else ()
        if not meant and not any(c.isdigit() for c in contig):
            meant = _near(plain, assembly, ())[:3]  # `CRELD-2` is no place
        return NotUnderstood(typed, assembly, "unknown_contig", subject=contig, suggestions=meant)
    if position < 1 or (known.length and position > known.length):
        other = _other(assembly)
        there = known_contig(contig, other)
        fits = there is not None and 1 <= position <= there.length
        meant = (Suggestion(plain, other),) if fits else ()
        return NotUnderstood(
            typed, assembly, "beyond_contig", subject=known.name, contig_length=known.length, suggestions=meant
        )
    return None


def _misplaced(variant: str, assembly: Assembly) -> bool:
    return not isinstance(_variant(variant, variant, assembly), VariantQuestion)


def _contig_name(contig: str, assembly: Assembly) -> str:
    known = known_contig(contig, assembly)
    return known.name if known else contig


def _bases(text: str) -> int:
    """`50.31M`, `50310 kb` or `50310000` in bases."""
    number = text.lower().replace(" ", "").removesuffix("b")
    unit = _UNITS.get(number[-1], 1)
    return round(float(number.rstrip("km")) * unit)


def _other(assembly: Assembly) -> Assembly:
    return Assembly.GRCH38 if assembly == Assembly.GRCH37 else Assembly.GRCH37


def _all(texts: Sequence[str], assembly: Assembly) -> tuple[Suggestion, ...]:
    return tuple(Suggestion(text, assembly) for text in texts)
