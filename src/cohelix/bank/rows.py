"""The rows of a frequency answer: the total, each sex, each population, each population and sex."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter

from cohelix.bank.manifest import Atom
from cohelix.bank.questions import Groups
from cohelix.core.arrays import BoolArray, FloatArray, IntArray
from cohelix.disclosure.telling import AC, AN, HEMI, HET, HOM, LEVEL_CELL, LEVEL_POPULATION, LEVEL_SEX, LEVEL_TOTAL
from cohelix.wire.frequency import PopulationCounts

Sex = Literal["all", "male", "female", "unknown"]
ALL: Literal["all"] = "all"
_ROWS = TypeAdapter(tuple[PopulationCounts, ...])
_SEXES: tuple[Sex, ...] = ("male", "female", "unknown")


@dataclass(frozen=True, slots=True)
class Layout:
    """How a dataset's atoms sum up to rows.

    Attributes
    ----------
    names
        (population, sex) of each row; `all` for a sum. Row 0 is the total.
    levels, people
        (rows,) int64: the level of disclosure, and how many people the row is about.
    sums
        (rows, atoms) float64, 1 where the atom belongs to the row: it has a fast matrix product, exact below 2**53.
    printed
        (rows,) bool. Rows of people whose sex or population is unknown are there for the disclosure rule and are not shown:
        the total has them.
    """

    names: tuple[tuple[str, Sex], ...]
    levels: IntArray
    people: IntArray
    sums: FloatArray
    printed: BoolArray

    @classmethod
    def of(cls, atoms: tuple[Atom, ...]) -> Layout:
        """The rows of these atoms; a level of which nothing is known (nobody's sex is given, say) is left out.

        Atoms that begin with the total are rows already: groups that somebody else has counted.
        """
        if atoms and (atoms[0].population, atoms[0].sex) == (ALL, ALL):
            return cls._given(atoms)
        populations = sorted({atom.population for atom in atoms})
        sexes = [sex for sex in _SEXES if any(atom.sex == sex for atom in atoms)]
        by_population, by_sex = populations not in ([], [""]), sexes not in ([], ["unknown"])
        rows: list[tuple[str, Sex, int]] = [(ALL, ALL, LEVEL_TOTAL)]
        rows += [(ALL, sex, LEVEL_SEX) for sex in sexes if by_sex]
        rows += [(population, ALL, LEVEL_POPULATION) for population in populations if by_population]
        if by_sex and by_population:
            rows += [(population, sex, LEVEL_CELL) for population in populations for sex in sexes]
        sums = np.array(
            [
                [population in (ALL, atom.population) and sex in (ALL, atom.sex) for atom in atoms]
                for population, sex, _ in rows
            ],
            np.float64,
        ).reshape(len(rows), len(atoms))
        people = np.asarray(sums @ np.array([atom.people for atom in atoms], np.float64), np.int64)
        # A cell without any person is no cell; the total stays, whatever it is about.
        kept = [number for number, row in enumerate(rows) if people[number] or row[2] == LEVEL_TOTAL]
        return cls(
            tuple((rows[number][0], rows[number][1]) for number in kept),
            np.array([rows[number][2] for number in kept], np.int64),
            people[kept],
            sums[kept],
            np.array([rows[number][0] != "" and rows[number][1] != "unknown" for number in kept], np.bool_),
        )

    @classmethod
    def _given(cls, groups: tuple[Atom, ...]) -> Layout:
        """Each group a row of its own; sums are among them, and need not be worked out."""
        names = tuple((group.population, group.sex) for group in groups)
        levels = {(True, True): LEVEL_TOTAL, (True, False): LEVEL_SEX, (False, True): LEVEL_POPULATION}
        return cls(
            names,
            np.array([levels.get((population == ALL, sex == ALL), LEVEL_CELL) for population, sex in names], np.int64),
            np.array([group.people for group in groups], np.int64),
            np.eye(len(groups)),
            np.array([population != "" and sex != "unknown" for population, sex in names], np.bool_),
        )

    def counts(self, cells: IntArray) -> IntArray:
        """(variants, atoms, 6) counts of atoms to (variants, rows, 6) counts of rows."""
        return np.asarray(np.matmul(self.sums, cells.astype(np.float64)), np.int64)

    def asked(self, groups: Groups) -> BoolArray:
        """(rows,) bool: rows that the question is about; without groups, all of them."""
        return np.array(
            [_named(population, groups.populations) and _named(sex, groups.sexes) for population, sex in self.names]
        )

    def shown(self, groups: Groups) -> BoolArray:
        """(rows,) bool: rows that an answer shows: those asked for, and the sums over all."""
        shown = [
            _named(population, groups.populations, or_all=True) and _named(sex, groups.sexes, or_all=True)
            for population, sex in self.names
        ]
        return self.printed & np.array(shown, np.bool_)

    def documents(
        self, counts: IntArray, told: BoolArray, genotypes: BoolArray, rows: Iterable[int]
    ) -> tuple[PopulationCounts, ...]:
        """One variant's rows as documents: `counts` (rows, 6); `told`, `genotypes` (rows,). Untold rows are left out."""
        values, with_genotypes = counts.tolist(), genotypes.tolist()
        # Checked all at once: a region answer has tens of thousands of rows.
        return _ROWS.validate_python(
            [_fields(*self.names[row], values[row], genotypes=with_genotypes[row]) for row in rows if told[row]]
        )


def counts_document(population: str, sex: Sex, counts: IntArray, *, genotypes: bool) -> PopulationCounts:
    """One row's (6,) counts as a document; het, hom and hemi are withheld together unless `genotypes`."""
    return PopulationCounts.model_validate(_fields(population, sex, counts.tolist(), genotypes=genotypes))


def _fields(population: str, sex: Sex, counts: list[int], *, genotypes: bool) -> dict[str, Any]:
    an, ac = counts[AN], counts[AC]
    return {
        "population": population,
        "sex": sex,
        "allele_count": ac,
        "allele_number": an,
        "allele_frequency": ac / an if an else None,
        "homozygotes": counts[HOM] if genotypes else None,
        "heterozygotes": counts[HET] if genotypes else None,
        "hemizygotes": counts[HEMI] if genotypes else None,
    }


def _named(value: str, wanted: frozenset[str], *, or_all: bool = False) -> bool:
    if not wanted:
        return True
    return value in wanted or (or_all and value == ALL)
