"""A variant's name: contig, position and alleles, trimmed the same way everywhere."""

from __future__ import annotations

import re
from typing import NamedTuple

from cohelix.core.errors import BadQuestion

_BASES = re.compile(r"[ACGTN]+")
_TEXT = re.compile(r"(?P<contig>[A-Za-z0-9_.*]+?)[-:](?P<position>[0-9]{1,10})[-:](?P<ref>[A-Za-z]+)[-:>](?P<alt>[A-Za-z]+|\*)")


class VariantKey(NamedTuple):
    """A variant as it is stored and asked for.

    Attributes
    ----------
    contig
        Name without `chr`: 1…22, X, Y, MT; other contigs as the assembly names them.
    position
        0-based position of the first base of `ref`.
    ref, alt
        Alleles in upper case, trimmed right then left, each at least one base; a symbolic `alt` (`<DEL>`, `*`, a
        breakend) is kept as its source writes it; `.` where the source asserts that there is no other allele.
    """

    contig: str
    position: int
    ref: str
    alt: str

    @property
    def end(self) -> int:
        """0-based position after the last base of `ref`."""
        return self.position + len(self.ref)

    def __str__(self) -> str:
        """`22-50313359-G-A`, the 1-based form that people and interfaces use."""
        return f"{self.contig}-{self.position + 1}-{self.ref}-{self.alt}"


def is_sequence(allele: str) -> bool:
    """Whether an allele is spelled out in bases (A, C, G, T, N), rather than symbolic."""
    return _BASES.fullmatch(allele) is not None


def trim(position: int, ref: str, alt: str) -> tuple[int, str, str]:
    """Take common bases off the right end, then off the left, leaving at least one base of each allele.

    `position` is 0-based and moves with the left end. Symbolic alleles come back unchanged.

    References
    ----------
    Tan, Abecasis and Kang 2015, Bioinformatics 31:2202 (without the reference, so not left-aligned).
    """
    if not (is_sequence(ref) and is_sequence(alt)):
        return position, ref, alt
    right = 0
    shorter = min(len(ref), len(alt))
    while right < shorter - 1 and ref[-1 - right] == alt[-1 - right]:
        right += 1
    ref, alt = ref[: len(ref) - right], alt[: len(alt) - right]
    left = 0
    shorter = min(len(ref), len(alt))
    while left < shorter - 1 and ref[left] == alt[left]:
        left += 1
    return position + left, ref[left:], alt[left:]


def parse_variant(text: str) -> VariantKey:
    """Read `22-50313359-G-A` (also with `:` and `chr`); the position is 1-based in the text.

    Raises
    ------
    BadQuestion
        With what was expected, if the text has another form.
    """
    from cohelix.core.genome import plain_contig

    found = _TEXT.fullmatch(text.strip())
    if not found:
        raise BadQuestion(f"{text!r} is not a variant: write contig-position-ref-alt, for example 22-50313359-G-A")
    position = int(found["position"])
    ref, alt = found["ref"].upper(), found["alt"].upper()
    if position < 1 or not is_sequence(ref) or not (is_sequence(alt) or alt == "*"):
        raise BadQuestion(f"{text!r} is not a variant: the position counts from 1 and alleles are spelled with A, C, G, T, N")
    start, ref, alt = trim(position - 1, ref, alt)
    return VariantKey(plain_contig(found["contig"]), start, ref, alt)
