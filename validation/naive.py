"""The rules of the interface once more, in plain Python: counting, matching, and what a floored dataset may tell.

Nothing here imports the house. It is written from the rules' text, slowly and obviously, so that an answer of the
house and an answer of this file agree only if both follow the same text.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

NO_SECOND, NOT_CALLED = -2, -1
FLOOR = 5


@dataclass(frozen=True)
class NaiveVariant:
    """One ALT of one record: trimmed key, source ID, and every sample's two alleles (1: this ALT, 0: another, -1, -2)."""

    contig: str
    position: int  # 0-based
    ref: str
    alt: str
    end: int
    identifier: str
    alleles: np.ndarray  # (samples, 2) int8

    @property
    def key(self) -> tuple[str, int, str, str]:
        return self.contig, self.position, self.ref, self.alt

    @property
    def text(self) -> str:
        return f"{self.contig}-{self.position + 1}-{self.ref}-{self.alt}"


@dataclass(frozen=True)
class Counts:
    """The six figures of rule 1, and what the disclosure rule needs besides."""

    an: int
    ac: int
    het: int
    hom: int
    hemi: int
    missing: int
    people: int
    carriers: int  # at least one called ALT copy
    without: int  # fully called, and no copy
    haploid: int  # fully called people with one allele at this site, and on X, Y and MT those with nothing called
    diploid: int  # fully called people with two

    @property
    def six(self) -> tuple[int, int, int, int, int, int]:
        return self.an, self.ac, self.het, self.hom, self.hemi, self.missing


def samples_of(path: Path) -> list[str]:
    """Genotype columns, by bcftools."""
    return subprocess.run(["bcftools", "query", "-l", str(path)], check=True, capture_output=True, text=True).stdout.split()


def read_variants(path: Path, region: str | None = None) -> Iterator[NaiveVariant]:
    """Every ALT of every record, in file order, through `bcftools query`; contigs lose their `chr`."""
    command = ["bcftools", "query", "-f", "%CHROM\t%POS\t%ID\t%REF\t%ALT\t%INFO/END[\t%GT]\n", str(path)]
    if (
        "ID=END,"
        not in subprocess.run(["bcftools", "view", "-h", str(path)], check=True, capture_output=True, text=True).stdout
    ):
        command[3] = "%CHROM\t%POS\t%ID\t%REF\t%ALT\t.[\t%GT]\n"
    if region:
        command += ["-r", region]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield from variants_of_line(line.rstrip("\n").split("\t"))
    if process.returncode:
        raise RuntimeError(f"bcftools query failed on {path}")


def variants_of_line(fields: Sequence[str]) -> Iterator[NaiveVariant]:
    """The variants of one record, from CHROM POS ID REF ALT END and genotypes."""
    contig, position, identifier, ref, alts, end = fields[:6]
    contig = contig.removeprefix("chr")
    contig = "MT" if contig == "M" else contig
    distinct: dict[str, tuple[int, int]] = {}
    pairs = [distinct.get(text) or distinct.setdefault(text, _genotype(text)) for text in fields[6:]]
    calls = np.array(pairs, np.int16).reshape(-1, 2)
    for index, alt in enumerate(alts.split(","), start=1):
        own = np.where(calls < 0, calls, calls == index).astype(np.int8)
        start, short_ref, short_alt = trimmed(int(position) - 1, ref.upper(), alt if _symbolic(alt) else alt.upper())
        last = int(end) if _symbolic(alt) and end != "." else start + len(short_ref)
        yield NaiveVariant(contig, start, short_ref, short_alt, last, "" if identifier == "." else identifier, own)


def _symbolic(allele: str) -> bool:
    return not re.fullmatch(r"[ACGTNacgtn]+", allele)


def trimmed(position: int, ref: str, alt: str) -> tuple[int, str, str]:
    """Right then left, leaving one base of each."""
    if _symbolic(ref) or _symbolic(alt):
        return position, ref, alt
    while len(ref) > 1 and len(alt) > 1 and ref[-1] == alt[-1]:
        ref, alt = ref[:-1], alt[:-1]
    while len(ref) > 1 and len(alt) > 1 and ref[0] == alt[0]:
        position, ref, alt = position + 1, ref[1:], alt[1:]
    return position, ref, alt


def _genotype(text: str) -> tuple[int, int]:
    alleles = [NOT_CALLED if part == "." else int(part) for part in re.split(r"[|/]", text)]
    if len(alleles) == 1:
        return alleles[0], NO_SECOND
    first, second = alleles
    return first, second


SEXED = frozenset({"X", "Y", "MT"})  # contigs where some people have one copy


def count(alleles: np.ndarray, members: np.ndarray | None = None, contig: str = "") -> Counts:
    """Rule 1 over a set of samples (boolean mask), person by person in words, array by array in NumPy."""
    own = alleles if members is None else alleles[members]
    first, second = own[:, 0], own[:, 1]
    haploid = second == NO_SECOND
    called = (first >= 0).astype(int) + (second >= 0)
    copies = (first == 1).astype(int) + (second == 1)
    complete = np.where(haploid, called == 1, called == 2)
    return Counts(
        an=int(called.sum()),
        ac=int(copies.sum()),
        het=int((complete & ~haploid & (copies == 1)).sum()),
        hom=int((complete & ~haploid & (copies == 2)).sum()),
        hemi=int((complete & haploid & (copies == 1)).sum()),
        missing=int((~complete).sum()),
        people=len(own),
        carriers=int((copies > 0).sum()),
        without=int((complete & (copies == 0)).sum()),
        haploid=int((complete & haploid).sum()) + (int((called == 0).sum()) if contig in SEXED else 0),
        diploid=int((complete & ~haploid).sum()),
    )


# ---------------------------------------------------------------------------------------------- what may be told


@dataclass(frozen=True)
class Row:
    """One line of an answer: who, and the figures that are told; het, hom and hemi may be withheld together."""

    population: str
    sex: str
    ac: int
    an: int
    het: int | None
    hom: int | None
    hemi: int | None

    @property
    def label(self) -> str:
        """Beacon's: Total, P, M or F, P_M or P_F."""
        sex = {"male": "M", "female": "F"}.get(self.sex, self.sex)
        if self.population == "all":
            return "Total" if self.sex == "all" else sex
        return self.population if self.sex == "all" else f"{self.population}_{sex}"


@dataclass
class People:
    """Sex and population of each sample; "" where unknown."""

    sex: list[str]
    population: list[str]
    masks: dict[tuple[str, str], np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        sex, population = np.array(self.sex), np.array(self.population)
        everybody = np.ones(len(sex), bool)
        self.masks = {("all", "all"): everybody}
        for s in sorted({*self.sex}):
            self.masks["all", s or "?"] = sex == s
        for p in sorted({*self.population}):
            self.masks[p or "?", "all"] = population == p
            for s in sorted({*self.sex}):
                self.masks[p or "?", s or "?"] = (population == p) & (sex == s)


def levels(people: People) -> list[list[tuple[str, str]]]:
    """The cells of {sex}, {population}, {population x sex} that hold people; unknown is a cell like another."""
    cells = [key for key, mask in people.masks.items() if mask.any() and key != ("all", "all")]
    return [
        [c for c in cells if c[0] == "all"],
        [c for c in cells if c[1] == "all"],
        [c for c in cells if c[0] != "all" and c[1] != "all"],
    ]


def open_rows(variant: NaiveVariant, people: People) -> list[Row]:
    """An open dataset's rows: everything exact, known groups only, the total first."""
    rows = []
    for (population, sex), mask in people.masks.items():
        if "?" in (population, sex) or not mask.any():
            continue
        c = count(variant.alleles, mask)
        rows.append(Row(population, sex, c.ac, c.an, c.het, c.hom, c.hemi))
    return rows


def floored_rows(variant: NaiveVariant, people: People, floor: int = FLOOR) -> list[Row]:
    """A floored dataset's rows; none at all where even the total may not be told.

    A level of cells is told whole or not at all: whoever has the total and all cells but one has the last one too. So
    are its het, hom and hemi. And because AC is het + 2 hom (+ hemi), figures of one level narrow down those of
    another: where {population x sex} is told, all three levels give their genotypes together or not at all; and the
    total gives its own only where they do not pin down what a told level withholds.
    """
    total = count(variant.alleles, None, variant.contig)
    if not tellable(total, floor):
        return []
    by_sex, by_population, by_both = (
        {cell: count(variant.alleles, people.masks[cell], variant.contig) for cell in level} for level in levels(people)
    )
    told = [level for level in (by_sex, by_population, by_both) if level and all(tellable(c, floor) for c in level.values())]
    detailed = [all(detail_tellable(c, floor) for c in level.values()) for level in told]
    if by_both in told:
        detailed = [detailed[-1]] * len(told)
    total_detailed = detail_tellable(total, floor) and all(
        shown or _is_loose(total, list(level.values()), floor) for level, shown in zip(told, detailed, strict=True)
    )
    rows = []
    everybody = {("all", "all"): total}
    for level, shown in [
        (everybody, total_detailed),
        *((t, d and total_detailed) for t, d in zip(told, detailed, strict=True)),
    ]:
        for (population, sex), c in level.items():
            if "?" not in (population, sex):
                rows.append(Row(population, sex, c.ac, c.an, *((c.het, c.hom, c.hemi) if shown else (None, None, None))))
    return rows


def _is_loose(total: Counts, cells: list[Counts], floor: int) -> bool:
    """Whether a level's withheld genotypes stay open though its AC and AN, and the total's het, are told.

    Of two-allele people, het is even or odd as AC is, and at most the fewer of ALT and other copies; all cells' het
    add up to the total's. What that leaves of a cell's het or hom must not lie within 1 to k - 1.
    """
    if total.haploid:
        return False
    lows = [c.ac % 2 for c in cells]
    highs = [min(c.ac, c.an - c.ac) for c in cells]
    for i, c in enumerate(cells):
        least = max(lows[i], total.het - (sum(highs) - highs[i]))
        most = min(highs[i], total.het - (sum(lows) - lows[i]))
        fewest, largest = (c.ac - most) // 2, (c.ac - least) // 2
        if (least >= 1 and most < floor) or (fewest >= 1 and largest < floor):
            return False
    return True


def tellable(counts: Counts, floor: int) -> bool:
    """Carriers and called people without the ALT are each at least the floor."""
    return counts.carriers >= floor and counts.without >= floor


def detail_tellable(counts: Counts, floor: int) -> bool:
    """Each of het, hom, hemi that somebody could have is at least the floor."""
    enough = counts.het >= floor and counts.hom >= floor
    return (not counts.diploid or enough) and (not counts.haploid or counts.hemi >= floor)


# ------------------------------------------------------------------------------------------------------ questions


@dataclass(frozen=True)
class Question:
    """A Beacon question about variants, 0-based; lists of one for exact or range, of two for bracket."""

    contig: str
    start: tuple[int, ...] = ()
    end: tuple[int, ...] = ()
    ref: str | None = None
    alt: str | None = None
    variant_type: str | None = None
    min_length: int | None = None
    max_length: int | None = None


def matches(variant: NaiveVariant, question: Question) -> bool:
    """Whether a variant is asked for: sequence (start), range (start and end), or bracket (two of each)."""
    if variant.contig != question.contig:
        return False
    if len(question.start) == 1 and not question.end:
        return _matches_sequence(variant, question)
    if len(question.start) == 2:
        (s0, s1), (e0, e1) = question.start, question.end
        placed = s0 <= variant.position < s1 and e0 <= variant.end < e1
    else:
        placed = variant.position < question.end[0] and variant.end > question.start[0]
    length = length_of(variant)
    return (
        placed
        and (question.alt is None or _spelled(variant.alt, question.alt))
        and (question.ref is None or _spelled(variant.ref, question.ref))
        and (question.variant_type is None or question.variant_type in types_of(variant))
        and (question.min_length is None or length >= question.min_length)
        and (question.max_length is None or length <= question.max_length)
    )


def _matches_sequence(variant: NaiveVariant, question: Question) -> bool:
    assert question.ref is not None and question.alt is not None
    position, ref, alt = question.start[0], question.ref, question.alt
    if "N" not in ref + alt:
        position, ref, alt = trimmed(position, ref, alt)
    return variant.position == position and _spelled(variant.ref, ref) and _spelled(variant.alt, alt)


def _spelled(allele: str, asked: str) -> bool:
    if _symbolic(allele):
        return allele == asked
    return len(allele) == len(asked) and all(b in ("N", a) for a, b in zip(allele, asked, strict=True))


def length_of(variant: NaiveVariant) -> int:
    """|len(ALT) - len(REF)|, a substitution's len(REF), a symbolic ALT's reference after the base before it (|SVLEN|)."""
    if _symbolic(variant.alt):
        return max(0, variant.end - variant.position - 1)
    return abs(len(variant.alt) - len(variant.ref)) or len(variant.ref)


def types_of(variant: NaiveVariant) -> set[str]:
    """The names that `variantType` may use for this variant."""
    if _symbolic(variant.alt):
        name = variant.alt.strip("<>")
        first = name.split(":")[0]
        return {name, first, "SV"} | ({"CNV"} if re.fullmatch(r"CN\d+", name) or first in ("DEL", "DUP") else set())
    if len(variant.ref) == len(variant.alt):
        return {"SNP"} if len(variant.ref) == 1 else {"MNP"}
    return {"INDEL", "INS" if len(variant.alt) > len(variant.ref) else "DEL"}


def firsts(variants: Iterable[NaiveVariant]) -> list[NaiveVariant]:
    """Questions answer with the first of several rows of one key."""
    seen: dict[tuple[str, int, str, str], NaiveVariant] = {}
    for variant in variants:
        seen.setdefault(variant.key, variant)
    return sorted(seen.values(), key=lambda v: (v.position,))


def split(people: Mapping[str, tuple[str, str]], samples: Sequence[str]) -> People:
    """People of a table {sample: (sex, population)} in the order of the columns."""
    return People([people.get(s, ("", ""))[0] for s in samples], [people.get(s, ("", ""))[1] for s in samples])
