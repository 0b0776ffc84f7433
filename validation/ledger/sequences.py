"""Random sequences of plans and counts over planted people, and the attack: linear algebra over everything that was told.

The attack knows everybody's attributes and traits, every question and every answer, and wants the genotypes: it needs nothing
of the house but the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations, product

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from cohelix.disclosure import AnalysisFacts, AnalysisPolicy, decide_analysis
from cohelix.disclosure.ledger import Entry, Ledger
from cohelix.stats.dominance import dominance

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
K = 10
POLICY = AnalysisPolicy(projects=("p",), people_min=20, cases_min=10, controls_min=10, refusals_max=1_000_000)
QUESTIONS = 12


@dataclass(frozen=True)
class Question:
    """What is asked: `honest` by somebody who means no harm; sets of people (the cohort first), and columns over the cohort."""

    honest: bool
    sets: tuple[Mask, ...]
    columns: tuple[Floats, ...] = ()
    traits: int = 0
    binary: bool = False

    def rows(self) -> list[Floats]:
        """The weights of each sum that the answer tells, (people,)."""
        return [one.astype(np.float64) for one in self.sets] + [column * self.sets[0] for column in self.columns]


@dataclass
class Told:
    """What a sequence came to: the rows of everything that was told, and what became of the questions."""

    rows: list[Floats] = field(default_factory=list)
    sets: list[Mask] = field(default_factory=list)
    asked: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    accepted: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})


class Town:
    """Planted people with attributes that everybody may ask by, traits, and genotypes that nobody may learn."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        n = int(self.random.integers(60, 160))
        self.n = n
        self.genotypes = self.random.integers(0, 3, n)
        self.sex, self.population = self.random.random(n) < 0.5, self.random.integers(0, 3, n)
        self.age = self.random.integers(20, 80, n)
        self.smoker = self.random.random(n) < 0.3
        self.ill = [self.random.random(n) < share for share in (0.1, 0.3, 0.5)]
        self.traits = self.random.normal(size=(4, n))
        self.target = int(self.random.integers(n))
        self.last = np.ones(n, np.bool_)

    def questions(self) -> Iterator[Question]:
        """`QUESTIONS` of them: honest ones, and those of somebody who wants to single people out."""
        makers: list[Callable[[], list[Question]]] = [
            self._honest_count,
            self._honest_analysis,
            self._tracker,
            self._parts,
            self._mended,
            self._few_apart,
        ]
        made: list[Question] = []
        while len(made) < QUESTIONS:
            made += makers[int(self.random.integers(len(makers)))]()
        yield from made[:QUESTIONS]

    def _attribute(self) -> Mask:
        kind = int(self.random.integers(5))
        if kind == 0:
            return np.asarray(self.sex == (self.random.random() < 0.5))
        if kind == 1:
            return np.asarray(self.population == self.random.integers(3))
        if kind == 2:
            return np.asarray(self.age >= self.random.integers(25, 70))
        if kind == 3:
            return self.smoker
        return self.ill[int(self.random.integers(3))]

    def _cohort(self) -> Mask:
        found = self._attribute()
        for _ in range(int(self.random.integers(0, 3))):
            other = self._attribute()
            found = (found & other, found | other, found & ~other)[int(self.random.integers(3))]
        return np.asarray(found)

    def _honest_count(self) -> list[Question]:
        self.last = self._attribute() & self._attribute()
        return [Question(True, (self.last,))]

    def _honest_analysis(self) -> list[Question]:
        cohort = np.ones(self.n, np.bool_) if self.random.random() < 0.5 else self._attribute()
        covariates = (self.sex.astype(np.float64), self.age.astype(np.float64))
        self.last = cohort
        if self.random.random() < 0.5:
            cases = cohort & self.ill[int(self.random.integers(3))]
            return [Question(True, (cohort, cases, cohort & ~cases, cohort & self.sex), covariates, 1, binary=True)]
        trait = self.traits[int(self.random.integers(4))]
        return [Question(True, (cohort, cohort & self.sex), (*covariates, trait), 1)]

    def _few(self) -> Mask:
        chosen = self.random.choice(self.n, int(self.random.integers(1, 15)), replace=False)
        few = np.zeros(self.n, np.bool_)
        few[chosen if self.random.random() < 0.5 else self.target] = True
        return few

    def _tracker(self) -> list[Question]:
        return [Question(False, (self.last ^ self._few(),))]

    def _parts(self) -> list[Question]:
        one, other = self._cohort(), self._cohort()
        return [Question(False, (asked,)) for asked in (one, other, one | other, one & other)]

    def _mended(self) -> list[Question]:
        cohort, trait = np.ones(self.n, np.bool_), self.traits[0]
        mended = trait.copy()
        mended[self.target] += 1
        return [Question(False, (cohort,), (trait,), 1), Question(False, (cohort,), (mended,), 1)]

    def _few_apart(self) -> list[Question]:
        cohort = self._cohort()
        out = np.flatnonzero(cohort)[: int(self.random.integers(10, 14))]
        smaller = cohort.copy()
        smaller[out] = False
        return [Question(False, (asked,), tuple(self.traits[:3]), 3) for asked in (cohort, smaller)]


def run(seed: int, ledger: Ledger | None, *, project: str = "p") -> tuple[Town, Told]:
    """Ask a town's questions, with the ledger or without; the other rules hold in both."""
    town = Town(seed)
    everybody = np.ones(town.n, np.bool_)
    told = Told([everybody.astype(np.float64)], [everybody])
    for number, question in enumerate(town.questions()):
        told.asked[question.honest] += 1
        if not _passes(question, town.n):
            continue
        if ledger is not None:
            entry = Entry(
                project,
                "analysis" if question.columns else "count",
                {str(at): _bitmap(one) for at, one in enumerate(question.sets)},
                f"run-{number}" if question.columns else "",
                columns=[column[question.sets[0]] for column in question.columns],
                public=(_bitmap(everybody),),
            )
            if not ledger.book(entry, POLICY).accepts:
                continue
        told.accepted[question.honest] += 1
        told.rows += question.rows()
        told.sets += question.sets
    return town, told


def _passes(question: Question, everybody: int) -> bool:
    """The rules that look at one question alone: floors of counts, minima and dominance of analyses."""
    sizes = [int(one.sum()) for one in question.sets]
    if not question.columns:
        return K <= sizes[0] <= everybody - K
    cohort = question.sets[0]
    columns = np.column_stack([column[cohort] for column in question.columns])
    facts = AnalysisFacts(
        project="p",
        all_open=False,
        people=sizes[0],
        cases=sizes[1] if question.binary else None,
        controls=sizes[2] if question.binary else None,
        traits=1,
        dominance=dominance(columns, columns[:, :0]),
    )
    return decide_analysis(facts, POLICY).accepts


def _bitmap(mask: Mask) -> BitMap:
    return BitMap(np.flatnonzero(mask).astype(np.uint32))


@dataclass(frozen=True)
class Found:
    """What the attack found: people whose genotype follows, how many rightly, the largest leverage, the fewest of few sets."""

    determined: int
    right: int
    leverage: float
    fewest: int


def attack(town: Town, told: Told) -> Found:
    """Solve the linear system of everything that was told for everybody's genotype.

    A person is determined where the unit vector is in the row space: where the leverage is 1. `fewest` is the least number of
    people of any combination of up to three sets with coefficients ±1.
    """
    matrix = np.array(told.rows)
    matrix /= np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-300)
    answers = matrix @ town.genotypes
    left, sizes, right = np.linalg.svd(matrix, full_matrices=False)
    rank = int((sizes > sizes[0] * 1e-10).sum())
    basis = right[:rank]
    leverage = np.einsum("ij,ij->j", basis, basis)
    determined = np.flatnonzero(leverage > 1 - 1e-7)
    solved = basis.T @ ((left.T[:rank] @ answers) / sizes[:rank])
    right_ones = int((np.abs(solved[determined] - town.genotypes[determined]) < 1e-3).sum())
    return Found(len(determined), right_ones, float(leverage.max()), _fewest(told.sets))


def _fewest(sets: list[Mask]) -> int:
    distinct = list({one.tobytes(): one.astype(np.int8) for one in sets}.values())
    least = len(sets[0])
    for number in (1, 2, 3):
        for chosen in combinations(distinct, number):
            for signs in product((1, -1), repeat=number - 1):
                made = np.array(chosen[0])
                for sign, one in zip(signs, chosen[1:], strict=True):
                    made += sign * one
                people = int(np.count_nonzero(made))
                if people:
                    least = min(least, people)
    return least
