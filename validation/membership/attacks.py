"""Attackers who know our code: they hold everybody's genome, and the frequencies of the others without the person."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from cohelix.core.arrays import BoolArray, FloatArray, IntArray
from cohelix.disclosure.membership import (
    REGISTERED_FREQUENCY,
    REGISTERED_POWER_MAX,
    WITHHELD,
    Simulated,
    auc,
    price,
    spending_at,
    told_to_registered,
)
from validation.membership.cohort import Halves


class Attacker:
    """What an attacker knows before asking, and what the dataset would answer: the same to everybody, as it is fixed."""

    def __init__(self, halves: Halves) -> None:
        self.copies, self.inside = halves.copies, halves.inside
        self.n = int(self.inside.sum())
        inside = self.copies[:, self.inside]
        self.ac = inside.sum(axis=1)
        self.an = np.full(len(self.ac), 2 * self.n)
        carriers, whole = (inside > 0).sum(axis=1), (inside < 2).all(axis=1)
        not_carriers = self.n - carriers
        self.floored = (carriers >= 5) & (not_carriers >= 5) & ~(whole & (carriers == 0))
        self.told = self.floored & told_to_registered(self.ac, self.an)
        self.price = np.where(self.told, price(self.ac, self.an), WITHHELD)
        self._outside_counts = self.copies[:, ~self.inside].sum(axis=1)
        self._n_outside = int((~self.inside).sum())

    def reference(self, rows: IntArray) -> FloatArray:
        """(rows, people) frequencies among those outside, each person left out of their own."""
        outside = (~self.inside).astype(np.int64)
        counts = self._outside_counts[rows][:, None] - self.copies[rows] * outside
        return np.asarray((counts + 0.5) / (2 * (self._n_outside - outside) + 1))

    def likelihood_ratio(self, rows: IntArray) -> Simulated:
        """Scores everybody by the log likelihood ratio of the told frequencies of these rows."""
        return auc(*self._split(self._ratio(rows)))

    def _ratio(self, rows: IntArray) -> FloatArray:
        reference, told = self.reference(rows), np.clip(self.ac[rows] / self.an[rows], 1e-4, 1 - 1e-4)[:, None]
        copies = self.copies[rows]
        return np.asarray((copies * np.log(told / reference) + (2 - copies) * np.log((1 - told) / (1 - reference))).sum(axis=0))

    def linked_ratio(self, rows: IntArray) -> Simulated:
        """The same by an attacker who knows how the variants hang together: the ratio of two normal distributions."""
        reference = self.reference(rows)
        outside = self.copies[rows][:, ~self.inside].astype(float)
        covariance = np.atleast_2d(np.cov(outside)) + 0.02 * np.eye(len(rows))
        shift = 2 * (self.ac[rows] / self.an[rows])[:, None] - 2 * reference
        return auc(*self._split(np.sum((self.copies[rows] - 2 * reference) * np.linalg.solve(covariance, shift), axis=0)))

    def within_budget(self, order: IntArray) -> IntArray:
        """The rows, in the order of the questions, that are paid until one is refused."""
        paid = np.cumsum(self.price[order]) <= spending_at(REGISTERED_POWER_MAX) * self.n
        return order[: int(np.argmin(paid)) if not paid.all() else len(order)]

    def rare_first(self, people: IntArray, rng: np.random.Generator, *, at_boundary: bool) -> tuple[FloatArray, FloatArray]:
        """Scores of a Beacon attack within the budget: yes or no to each person's rarest alleles, by an account for each.

        With `at_boundary`, to those whose answer the person may turn: carried, and expected near the least that is told.
        """
        scores, least = np.empty(len(people)), REGISTERED_FREQUENCY * 2 * self.n
        for number, person in enumerate(people.tolist()):
            own = rng.permutation(np.flatnonzero(self.copies[:, person] > 0))
            reference = (self._outside_counts[own] - self.copies[own, person] * (not self.inside[person]) + 0.5) / (
                2 * self._n_outside + 1
            )
            key = np.abs(reference - REGISTERED_FREQUENCY) if at_boundary else reference
            rows = own[np.argsort(key, kind="stable")[: 4 * int(spending_at(REGISTERED_POWER_MAX) * self.n / WITHHELD + 10)]]
            paid = self.within_budget(rows)
            p = reference[np.argsort(key, kind="stable")[: len(paid)]]
            scores[number] = self._beacon_score(p, self.copies[paid, person], self.told[paid], least)
        return self._split(scores, people)

    def _beacon_score(self, p: FloatArray, copies: IntArray, told: BoolArray, least: float) -> float:
        # The reference has its own error: as many people as the dataset.
        spread = np.sqrt(2 * self.n * p * (1 - p) * (1 + self.n / self._n_outside)) + 1e-9
        mean = 2 * self.n * p
        without = np.clip(1 - ndtr((least - 0.5 - mean) / spread), 1e-9, 1 - 1e-9)
        there = np.clip(1 - ndtr((least - 0.5 - mean * (1 - 1 / self.n) - copies) / spread), 1e-9, 1 - 1e-9)
        return float(np.where(told, np.log(there / without), np.log((1 - there) / (1 - without))).sum())

    def raw_beacon(self, queries: int, *, floor: int) -> Simulated:
        """A Beacon that answers anybody: the rarest alleles of each person, those of `floor` carriers at least are there."""
        carried = self.copies > 0
        there = carried[:, self.inside].sum(axis=1) >= floor
        scores = np.empty(self.copies.shape[1])
        for person in range(len(scores)):
            own = np.flatnonzero(carried[:, person])
            without = self._outside_counts[own] - self.copies[own, person] * (not self.inside[person])
            mean = self.n * 2 * (without + 0.5) / (2 * self._n_outside + 1)
            order = np.argsort(np.abs(mean - floor + 0.5), kind="stable")[:queries]
            spread = np.sqrt(mean[order] * 2)
            absent = np.clip(1 - ndtr((floor - 0.5 - mean[order]) / spread), 1e-6, 1 - 1e-6)
            present = (
                np.full(len(order), 1 - 1e-6)
                if floor == 1
                else np.clip(1 - ndtr((floor - 1.5 - mean[order]) / spread), 1e-6, 1 - 1e-6)
            )
            answers = there[own[order]]
            scores[person] = np.where(answers, np.log(present / absent), np.log((1 - present) / (1 - absent))).sum()
        return auc(*self._split(scores))

    def chosen_genotypes(self, people: IntArray) -> Simulated:
        """Frequencies of the variants that tell most about one person, within the budget: homozygous for the rarer allele."""
        scores = np.empty(len(people))
        common = np.flatnonzero(self.told & (self.price == 1))
        p = self.ac[common] / self.an[common]
        for number, person in enumerate(people.tolist()):
            worth = (self.copies[common, person] - 2 * p) ** 2 / (2 * p * (1 - p))
            rows = self.within_budget(common[np.argsort(-worth, kind="stable")])
            reference = self.reference(rows)[:, person]
            told, copies = self.ac[rows] / self.an[rows], self.copies[rows, person]
            scores[number] = (copies * np.log(told / reference) + (2 - copies) * np.log((1 - told) / (1 - reference))).sum()
        return auc(*self._split(scores, people))

    def _split(self, scores: FloatArray, people: IntArray | None = None) -> tuple[FloatArray, FloatArray]:
        inside = self.inside if people is None else self.inside[people]
        return scores[inside], scores[~inside]


def mean_of(areas: list[float]) -> Simulated:
    """The mean AUC of attackers who chose differently, and half its 95 % interval."""
    values = np.array(areas)
    return Simulated(float(values.mean()), 1.96 * float(values.std(ddof=1)) / float(np.sqrt(len(values))))
