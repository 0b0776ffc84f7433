"""What may have been meant by a mistyped variant, code or change in a protein: texts that would be understood (pure)."""

from __future__ import annotations

import re
from typing import Final

from cohelix.core.genes import find_gene
from cohelix.core.genome import Assembly, known_contig

_MOST = 4
_TOKENS: Final = re.compile(r"[A-Za-z0-9*]+(?:\.\d{1,2}(?!\d))?")
_BASES: Final = re.compile(r"[ACGTN]+", re.IGNORECASE)
_POSITION: Final = re.compile(r"\d{2,10}")
_LETTERS_IN_NUMBER: Final = str.maketrans({"O": "0", "o": "0", "I": "1", "l": "1"})
_CHROMOSOME: Final = re.compile(r"(?:ch|chr|chrom|chromosome|c|kr)?[\s.-]*(?P<name>\d{1,2}|[XYM]|MT)", re.IGNORECASE)
_CODE: Final = re.compile(r"(?P<ontology>HPO?|MONDO)\W{0,2}(?P<number>\d{1,7})", re.IGNORECASE)
_CHANGE: Final = re.compile(r"(?P<gene>[\w-]+)[\s:]+(?:p\.)?(?P<change>[A-Za-z]{1,3}\d{1,5}(?:[A-Za-z]{1,3}|\*|=))")
_SHORT: Final = re.compile(r"(?P<first>[A-Z])(?P<place>\d+)(?P<last>[A-Z*])")
# IUPAC, one letter and three letters.
_AMINO_ACIDS: Final = dict(
    zip(
        "ARNDCQEGHILKMFPSTWYV*",
        re.findall("[A-Z][a-z]{2}", "AlaArgAsnAspCysGlnGluGlyHisIleLeuLysMetPheProSerThrTrpTyrValTer"),
        strict=True,
    )
)


def variants_meant(text: str, assembly: Assembly) -> tuple[str, ...]:
    """`22.50313359.G.A`, `22-5O313359-G-A`, `22-50313359-G-A/T` or the address of another browser's page, as variants."""
    tokens = [token for token in _TOKENS.findall(re.sub(r"(?i)\bchr(?:omosome)?\W+", "chr", text)) if token]
    tokens = [one for token in tokens for one in _unglued(token)]
    for at in range(len(tokens) - 3):
        contig = contig_meant(tokens[at], assembly)
        position = tokens[at + 1].translate(_LETTERS_IN_NUMBER)
        ref, *others = tokens[at + 2 :]
        alts = [other for other in _leading_bases(others) if other.upper() != ref.upper()]
        if contig and _POSITION.fullmatch(position) and _BASES.fullmatch(ref) and alts:
            return tuple(f"{contig}-{position}-{ref.upper()}-{alt.upper()}" for alt in alts[:_MOST])
    return ()


def lacks_contig(text: str) -> bool:
    """Whether it is a position and two alleles, of no chromosome."""
    tokens = [one for token in _TOKENS.findall(text) for one in _unglued(token)]
    return len(tokens) == 3 and bool(
        len(tokens[0]) > 3 and tokens[0].isdigit() and _BASES.fullmatch(tokens[1]) and _BASES.fullmatch(tokens[2])
    )


def contig_meant(text: str, assembly: Assembly) -> str | None:
    """A contig's name, also where `chr` is misspelled; None for anything else."""
    known = known_contig(text, assembly)
    if known is None and (found := _CHROMOSOME.fullmatch(text)):
        known = known_contig(found["name"], assembly)
    return known.name if known else None


def codes_meant(text: str) -> tuple[str, ...]:
    """`HP0001250` and `HP:1250` as the codes that these ontologies have, of seven digits; none for such a code itself."""
    found = _CODE.fullmatch(text)
    if not found:
        return ()
    code = f"{found['ontology'].upper().replace('HPO', 'HP')}:{found['number'].zfill(7)}"
    return () if code == text.upper().replace("_", ":") else (code,)


def changes_meant(text: str, assembly: Assembly) -> tuple[str, ...]:
    """`BRAF V600E` as `BRAF:p.Val600Glu`."""
    found = _CHANGE.fullmatch(text)
    gene = find_gene(found["gene"], assembly) if found else None
    if not found or not gene:
        return ()
    change, short = found["change"], _SHORT.fullmatch(found["change"].upper())
    if short and short["first"] in _AMINO_ACIDS and short["last"] in _AMINO_ACIDS:
        change = f"{_AMINO_ACIDS[short['first']]}{short['place']}{_AMINO_ACIDS[short['last']]}"
    return (f"{gene.symbol}:p.{change}",)


def _unglued(token: str) -> list[str]:
    """`50313359G` as position and allele."""
    found = re.fullmatch(r"(\d{4,10})([ACGTN]+)", token, re.IGNORECASE)
    return list(found.groups()) if found else [token]


def _leading_bases(tokens: list[str]) -> list[str]:
    count = next((number for number, token in enumerate(tokens) if not _BASES.fullmatch(token)), len(tokens))
    return tokens[:count]
