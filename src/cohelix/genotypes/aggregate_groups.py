"""Groups of people that a sites file counts: which there are, what their figures say of genotypes, and who is left over.

A genotype count that nothing gives is unknown (-1), never 0. It is worked out where it follows: of an ALT that nobody
has everything is 0; nobody is hemizygous on an autosome, and everybody is where people have one copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import yaml

from cohelix.core.arrays import BoolArray, IntArray
from cohelix.core.errors import BadFile
from cohelix.core.genome import PSEUDOAUTOSOMAL_X, Assembly
from cohelix.genotypes.count_names import ALL, MEASURES, CountName, is_frequency, parse_count_name, parse_population

AC, AN, HOM, HET, HEMI = range(5)
UNKNOWN: Final = -1
_TOTAL: Final = (ALL, "all")
_PEOPLE_MOST: Final = 100_000_000_000  # all that ever lived
_MAPPING_KEYS: Final = frozenset({"people", "populations", "columns"})


class Group(NamedTuple):
    """People counted together; `all` for everybody. `population` is empty, or `sex` unknown, for those left over."""

    population: str
    sex: str


@dataclass(frozen=True, slots=True)
class SitesMapping:
    """What a YAML file says of a sites file's counts.

    Attributes
    ----------
    people
        How many people a group has, by Beacon's label (`Total`, `LU`, `M`, `LU_F`); else the most that a row has called.
    populations
        New names of populations; None leaves one out.
    columns
        What columns or INFO keys with names of their own count.
    source
        The file's path, for refusals.
    """

    people: Mapping[Group, int] = field(default_factory=dict)
    populations: Mapping[str, str | None] = field(default_factory=dict)
    columns: Mapping[str, CountName] = field(default_factory=dict)
    source: str = ""

    def of(self, key: str) -> CountName | None:
        """What a key counts, by this mapping or by its name; None for nothing that is wanted."""
        found = self.columns.get(key) or parse_count_name(key)
        if found is None:
            return None
        renamed = self.populations.get(found.population, found.population)
        return None if renamed is None else found._replace(population=renamed)


def read_sites_mapping(path: Path) -> SitesMapping:
    """Read a mapping; raises `BadFile` where it is not one."""

    def bad(problem: str, expected: str) -> BadFile:
        return BadFile(str(path), "mapping", problem, expected)

    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise bad(f"it cannot be read ({str(error).splitlines()[0]})", "a YAML file") from None
    if not isinstance(document, dict) or not all(isinstance(part, dict) for part in document.values()):
        raise bad("it is not a mapping of mappings", "people, populations, columns")
    unknown = sorted(map(str, document.keys() - _MAPPING_KEYS))
    if unknown:
        raise bad(f"{unknown[0]!r} is not known in a mapping of counts", "people, populations, columns")
    populations = {str(old).upper(): None if new is None else str(new) for old, new in document.get("populations", {}).items()}
    spelled = {name.upper(): name for name in populations.values() if name is not None}
    people = {}
    for label, number in document.get("people", {}).items():
        if type(number) is not int or not 1 <= number <= _PEOPLE_MOST:
            raise bad(f"people of {label} is {str(number)[:60]}", f"a whole number from 1 to {_PEOPLE_MOST:,}")
        population, sex = parse_population(str(label))
        people[Group(spelled.get(population.upper(), population), sex)] = number
    columns = {}
    for key, said in document.get("columns", {}).items():
        measure, sex = (said.get("measure"), said.get("sex", "all")) if isinstance(said, dict) else (None, "all")
        if measure not in MEASURES or sex not in ("all", "male", "female"):
            expected = f"measure: {' | '.join(MEASURES)}; population; sex: male | female"
            raise bad(f"column {key} has no known measure or sex", expected)
        columns[str(key)] = CountName(measure, str(said.get("population", ALL)), sex)
    return SitesMapping(people, populations, columns, source=str(path))


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """How the keys of a file become groups.

    Attributes
    ----------
    keys
        Keys that are read, in column order of the values.
    given
        Groups whose counts the file has: the column of each measure, -1 where there is none.
    alleles
        Groups whose homozygous count may be of alleles, not of people (`AC_Hom` of `bcftools +fill-tags`).
    groups
        All groups of the answer: total, sexes, populations, populations by sex; those left over among them.
    ignored
        Keys that look like counts or frequencies and are not used, with the reason.
    """

    keys: tuple[str, ...]
    given: Mapping[Group, tuple[int, ...]]
    alleles: frozenset[Group]
    groups: tuple[Group, ...]
    ignored: Mapping[str, tuple[str, ...]]


def plan_groups(path: str, names: Iterable[str], mapping: SitesMapping, *, with_rest: bool) -> GroupPlan:
    """Find a file's groups in the names of its keys; `with_rest` also counts who is in no population or of no given sex.

    Raises
    ------
    BadFile
        If there is no group with AC and AN.
    """
    found: dict[Group, dict[str, str]] = {}
    alleles: set[Group] = set()
    ignored: dict[str, list[str]] = {}
    for name in names:
        meaning = mapping.of(name)
        if meaning is None:
            if is_frequency(name):
                ignored.setdefault("a frequency is no count", []).append(name)
            continue
        group = Group(meaning.population, meaning.sex)
        found.setdefault(group, {}).setdefault(meaning.measure, name)
        if meaning.measure == "hom" and name.upper().startswith("AC"):
            alleles.add(group)
    populations = {group.population for group in found}
    for group in sorted(found):
        parent = next((other for other in populations if group.population.startswith(f"{other}_")), None)
        if parent is not None:
            ignored.setdefault("a part of another population", []).extend(found.pop(group).values())
        elif not {"ac", "an"} <= found[group].keys():
            ignored.setdefault("AC or AN of the group is missing", []).extend(found.pop(group).values())
    if not found:
        raise BadFile(path, "header", "there is no AC with its AN", "allele counts and allele numbers in INFO or in columns")
    keys = tuple(name for measures in found.values() for name in measures.values())
    column = {name: number for number, name in enumerate(keys)}
    given = {
        group: tuple(column[measures[name]] if name in measures else -1 for name in MEASURES)
        for group, measures in found.items()
    }
    return GroupPlan(
        keys, given, frozenset(alleles), _all_groups(set(given), with_rest=with_rest),
        {reason: tuple(keys) for reason, keys in ignored.items()},
    )  # fmt: skip


def _all_groups(given: set[Group], *, with_rest: bool) -> tuple[Group, ...]:
    """The rows of an answer in order, sums and leftovers among them."""
    populations = sorted({group.population for group in given} - {ALL})
    sexes = [sex for sex in ("male", "female") if Group(ALL, sex) in given]
    cells = [group for group in given if group.population != ALL and group.sex != "all"]
    rows = [Group(*_TOTAL), *(Group(ALL, sex) for sex in sexes)]
    rows += [Group(ALL, "unknown")] if with_rest and sexes else []
    rows += [Group(population, "all") for population in populations]
    rows += [Group("", "all")] if with_rest and populations else []
    rows += sorted(cells)
    if with_rest and cells:
        rows += [Group(population, "unknown") for population in populations]
        rows += [Group("", sex) for sex in sexes] + [Group("", "unknown")]
    return tuple(rows)


class Trouble(NamedTuple):
    """A row whose figures cannot be: its place in the batch, what is wrong, what was expected."""

    row: int
    problem: str
    expected: str


def counts_of(
    values: IntArray, plan: GroupPlan, *, contig: str, position: IntArray, assembly: Assembly, no_alt: BoolArray
) -> tuple[IntArray, Trouble | None]:
    """The figures of each group.

    Parameters
    ----------
    values
        (rows, keys), -1 where a row does not say.
    position, no_alt
        (rows,) 0-based positions; whether the record has no ALT, so that AC is 0 by itself.

    Returns
    -------
    (rows, groups, 5) AC, AN, HOM, HET, HEMI with HOM, HET and HEMI -1 together where they are unknown; and the first row
    that contradicts itself.
    """
    inside = np.zeros(len(position), np.bool_)
    for start, end in PSEUDOAUTOSOMAL_X[assembly] if contig == "X" else ():
        inside |= (position >= start) & (position < end)
    known: dict[Group, IntArray] = {}
    for group, columns in plan.given.items():
        figures = np.full((5, len(values)), UNKNOWN, np.int64).T  # a measure's figures side by side: they are worked on so
        for measure, column in enumerate(columns):
            if column >= 0:
                figures[:, measure] = values[:, column]
        trouble = _checked(figures, group, no_alt)
        if trouble is None:
            trouble = _complete(figures, group, contig, inside, in_alleles=group in plan.alleles)
        if trouble is not None:
            return np.empty((0, 0, 5), np.int64), trouble
        known[group] = figures
    for group in [group for group in known if group.sex == "all" and contig == "X"]:
        _hemizygous_of_all(known, group)
    return _summed(known, plan)


def called_people(an: IntArray, group: Group, contig: str, position: IntArray, assembly: Assembly) -> IntArray:
    """(rows,) the fewest people that so many alleles can be of: one each where all have one copy, else one for two."""
    haploid = np.full(an.shape, contig in ("Y", "MT"))
    if contig == "X" and group.sex == "male":
        haploid[:] = True
        for start, end in PSEUDOAUTOSOMAL_X[assembly]:
            haploid &= ~((position >= start) & (position < end))
    return np.where(haploid, an, (an + 1) // 2)


def _checked(figures: IntArray, group: Group, no_alt: BoolArray) -> Trouble | None:
    ac, an = figures[:, AC], figures[:, AN]
    figures[:, AC] = np.where((ac < 0) & ((an <= 0) | no_alt), 0, ac)
    figures[:, AN] = np.where((an < 0) & (ac <= 0), 0, an)
    ac, an = figures[:, AC], figures[:, AN]
    label = label_of(group)
    for wrong, problem, expected in (
        (an < 0, f"AC of {label} stands without AN", "both"),
        (ac < 0, f"AN of {label} stands without AC", "both"),
        (ac > an, f"AC of {label} is above its AN", "AC of at most AN"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            return Trouble(row, f"{problem} (AC {ac[row]}, AN {an[row]})", expected)
    return None


def _complete(figures: IntArray, group: Group, contig: str, inside: BoolArray, *, in_alleles: bool) -> Trouble | None:
    """Work out HOM, HET and HEMI where they follow; in place."""
    ac = figures[:, AC]
    haploid = np.full(len(figures), contig in ("Y", "MT")) | ((contig == "X" and group.sex == "male") & ~inside)
    nobody = haploid & (figures[:, HOM] <= 0) & (figures[:, HET] <= 0)
    figures[nobody, HOM], figures[nobody, HET] = 0, 0
    figures[:, HEMI] = np.where(nobody & (figures[:, HEMI] < 0), ac, figures[:, HEMI])
    # On X, people of both sexes: how many have one copy follows from the males', in the next step.
    settled = ~haploid & ((contig != "X") | (group.sex == "female") | inside)
    figures[:, HEMI] = np.where(settled & (figures[:, HEMI] < 0), 0, figures[:, HEMI])
    return _settle(figures, group, in_alleles=in_alleles)


def _settle(figures: IntArray, group: Group, *, in_alleles: bool = False) -> Trouble | None:
    ac, hom, het, hemi = (figures[:, measure].copy() for measure in (AC, HOM, HET, HEMI))
    if in_alleles:
        # AC_Hom counts alleles in `bcftools +fill-tags`, people in ExAC; the sum says which.
        whole = (het >= 0) & (hemi >= 0) & (hom > 0)
        halved = whole & (het + hom + hemi == ac) & (hom % 2 == 0)
        hom[halved] //= 2
        hom[(het < 0) & (hom > 0)] = UNKNOWN
    can_het = (hom >= 0) & (het < 0) & (hemi >= 0)
    het[can_het] = (ac - 2 * hom - hemi)[can_het]
    rest = ac - het - hemi
    can_hom = (hom < 0) & (het >= 0) & (hemi >= 0) & (rest % 2 == 0)
    hom[can_hom] = rest[can_hom] // 2
    known = (hom >= 0) & (het >= 0) & (hemi >= 0)
    wrong = (can_het & (het < 0)) | (can_hom & (hom < 0)) | (known & (het + 2 * hom + hemi > ac)) | (2 * hom > ac)
    wrong |= (het > ac) | (hemi > ac)
    if wrong.any():
        row = int(np.argmax(wrong))
        figures_of = ", ".join(f"{name} {figures[row, i]}" for name, i in (("AC", AC), ("hom", HOM), ("het", HET)))
        problem = f"genotype counts of {label_of(group)} do not add up to AC ({figures_of})"
        return Trouble(row, problem, "het + 2 hom + hemi of at most AC")
    # Half-called people have copies that no genotype count holds: what is left open is unknown.
    known = (known & (het + 2 * hom + hemi == ac)) | (ac == 0)
    for measure, column in ((HOM, hom), (HET, het), (HEMI, hemi)):
        figures[:, measure] = np.where(ac == 0, 0, np.where(known, column, figures[:, measure]))
    return None


def _hemizygous_of_all(known: dict[Group, IntArray], group: Group) -> None:
    """On X: of people of both sexes as many are hemizygous as of their males, whose sex was counted apart."""
    males = known.get(Group(group.population, "male"))
    if males is not None and Group(group.population, "female") in known:
        figures = known[group]
        fits = (figures[:, HEMI] < 0) & (males[:, HEMI] >= 0) & (males[:, HEMI] <= figures[:, AC])
        figures[:, HEMI] = np.where(fits, males[:, HEMI], figures[:, HEMI])
        _settle(figures, group)


def _summed(known: dict[Group, IntArray], plan: GroupPlan) -> tuple[IntArray, Trouble | None]:
    """Put the groups in order: sums that the file leaves out, and who is left over, from the others."""
    for figures in known.values():
        unknown = (figures[:, HOM] < 0) | (figures[:, HET] < 0) | (figures[:, HEMI] < 0)
        figures[unknown, HOM:] = UNKNOWN
    n_rows = len(next(iter(known.values())))
    counts = np.zeros((n_rows, len(plan.groups), 5), np.int64)
    cells = [group for group in known if group.population != ALL and group.sex != "all"]
    populations = sorted({group.population for group in known} - {ALL})
    for population in populations:
        if Group(population, "all") not in known:
            known[Group(population, "all")] = _add([known[cell] for cell in cells if cell.population == population])
    total = Group(*_TOTAL)
    if total not in known:
        parts = [Group(population, "all") for population in populations] or [
            group for group in known if group.population == ALL
        ]
        known[total] = _add([known[part] for part in parts])
    for number, group in enumerate(plan.groups):
        if group not in known:
            whole, parts = _rest(group, cells, populations, set(known))
            left = known[whole].copy()
            for part in parts:
                left = _subtract(left, known[part])
            if (left[:, :2] < 0).any() or (left[:, AC] > left[:, AN]).any():
                row = int(np.argmax(((left[:, :2] < 0).any(axis=1)) | (left[:, AC] > left[:, AN])))
                problem = f"the parts of {label_of(whole)} have more alleles than the whole: populations overlap"
                return counts, Trouble(
                    row, problem, "populations that share nobody (mapping: populations), or --disclosure open"
                )
            known[group] = left
        counts[:, number] = known[group]
    return counts, None


def _rest(group: Group, cells: list[Group], populations: list[str], known: set[Group]) -> tuple[Group, list[Group]]:
    """Of whom the people left over are a part, and the parts to take away."""
    sexes = [Group(ALL, sex) for sex in ("male", "female") if Group(ALL, sex) in known]
    if group.population == ALL:
        return Group(*_TOTAL), sexes
    if group == Group("", "all"):
        return Group(*_TOTAL), [Group(population, "all") for population in populations]
    if group.population == "" and group.sex != "unknown":
        return Group(ALL, group.sex), [cell for cell in cells if cell.sex == group.sex]
    if group.population == "":
        # Everybody but the populations, and but the males and females who are in none of them.
        lone = [Group("", sex.sex) for sex in sexes]
        return Group(*_TOTAL), [*(Group(population, "all") for population in populations), *lone]
    return Group(group.population, "all"), [cell for cell in cells if cell.population == group.population]


def _add(parts: list[IntArray]) -> IntArray:
    whole = np.sum(parts, axis=0)
    unknown = np.any([part[:, HOM] < 0 for part in parts], axis=0)
    whole[unknown, HOM:] = UNKNOWN
    return np.asarray(whole, np.int64)


def _subtract(whole: IntArray, part: IntArray) -> IntArray:
    left = whole - part
    unknown = (whole[:, HOM] < 0) | (part[:, HOM] < 0) | (left[:, HOM:] < 0).any(axis=1)
    left[unknown, HOM:] = UNKNOWN
    left[left[:, AC] == 0, HOM:] = 0
    return left


def label_of(group: Group) -> str:
    """A group as messages name it: `Total`, `LU`, `LU_M`."""
    sex = {"male": "M", "female": "F", "unknown": "U", "all": ""}[group.sex]
    population = "" if group.population == ALL else group.population
    return "_".join(filter(None, (population, sex))) or "Total"
