"""Runs the method over people in memory that are split over nodes, with sums as the secure sum rounds them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cohelix.analysis.data import ArrayGenotypes, LocalData, Study
from cohelix.analysis.linear import linear
from cohelix.analysis.pooled import PlainSummer
from cohelix.analysis.results import Outcome
from cohelix.analysis.steps import Ask, Summer, Sums, compute_part
from cohelix.stats.secret_sharing import Layout, summed
from cohelix.wire.plan import Plan

Array = npt.NDArray[Any]
Lines = dict[str, Array]


@dataclass(frozen=True)
class People:
    """(variants, people) dosages with NaN where missing, (people, traits) and (people, covariates) values."""

    dosages: Array
    traits: Array
    covariates: Array

    def part(self, chosen: Array) -> LocalData:
        """Some of the people, as a node has them."""
        return LocalData(self.covariates[chosen], self.traits[chosen], ArrayGenotypes(self.dosages[:, chosen]))


class FixedPointSummer:
    """Sums parts as the secure sum does: each rounded to fixed point by its public bound, then added exactly."""

    def __init__(self, parts: Sequence[LocalData]) -> None:
        self._parts = tuple(parts)
        self.asked = 0
        self.numbers = 0

    def sum(self, ask: Ask) -> Sums:
        return self._added(ask, None)

    def blocks(self, ask: Ask) -> Iterator[tuple[range, Sums]]:
        for block in ask.blocks():
            yield block, self._added(ask, block)

    def _added(self, ask: Ask, block: range | None) -> Sums:
        layout = Layout.of(ask.statistics, None if block is None else len(block), len(self._parts))
        self.asked += 1
        self.numbers += layout.ring.words
        words = [layout.encode(compute_part(data, ask, block)) for data in self._parts]
        return layout.decode(summed(layout.ring, words))


class Kept:
    """A sink that keeps all lines."""

    def __init__(self) -> None:
        self._blocks: list[Lines] = []

    def write(self, rows: Array, columns: Mapping[str, Array]) -> None:
        self._blocks.append({"row": rows, **columns})

    def lines(self) -> Lines:
        """All lines by column; {} where there is none."""
        return {name: np.concatenate([block[name] for block in self._blocks]) for name in (self._blocks or [{}])[0]}


def run(summer: Summer, people: People, nodes: int, *, mac_floor: int = 0, **plan: Any) -> tuple[Lines, Outcome]:
    """The lines of a linear plan over the summer's people."""
    variants, n = people.dosages.shape
    traits = tuple(f"trait {number}" for number in range(people.traits.shape[1]))
    covariates = tuple(f"covariate {number}" for number in range(people.covariates.shape[1]))
    study = Study(variants, covariates, traits, False, nodes, 2 * n, mac_floor=mac_floor)
    document = {"project": "proof", "datasets": ["A:a"], "method": "linear", "trait": {"measurement": "trait"}, **plan}
    kept = Kept()
    outcome = linear(Plan.model_validate(document), study, summer, kept)
    return kept.lines(), outcome


def run_split(people: People, node: Array, *, secure: bool = True, **plan: Any) -> tuple[Lines, Outcome]:
    """The same with people at the nodes `node` (people,) and, where `secure`, sums rounded as the secure sum does."""
    parts = [people.part(node == one) for one in np.unique(node)]
    summer: Summer = FixedPointSummer(parts) if secure else PlainSummer(parts)
    return run(summer, people, len(parts), **plan)


def run_pooled(people: People, **plan: Any) -> tuple[Lines, Outcome]:
    """The same over everybody in one place."""
    return run(PlainSummer([people.part(np.ones(people.dosages.shape[1], bool))]), people, 1, **plan)


@dataclass(frozen=True)
class Differences:
    """The worst of all lines: |Δβ|/SE, relative in the standard error, |Δlog10 p|; and lines that differ in anything else."""

    beta: float
    standard_error: float
    neg_log10_p: float
    others: int


def compare(one: Lines, other: Lines) -> Differences:
    """How far two tables of the same lines lie apart; infinitely where they are not the same lines."""
    exact = ("row", "trait", "n", "n0", "n1", "n2", "df", "status", "effect_allele_frequency")
    if set(one) != set(other) or len(one["row"]) != len(other["row"]):
        return Differences(math.inf, math.inf, math.inf, max(len(one["row"]), len(other["row"])))
    wrong = np.zeros(len(one["row"]), bool)
    for name in exact:
        wrong |= one[name] != other[name]
    tested = (one["status"] == "estimated") & ~wrong
    wrong |= np.isnan(one["beta"]) != np.isnan(other["beta"])
    error = other["standard_error"][tested]

    def worst(name: str, unit: Array | float) -> float:
        return float((np.abs(one[name][tested] - other[name][tested]) / unit).max(initial=0.0))

    return Differences(worst("beta", error), worst("standard_error", error), worst("neg_log10_p", 1.0), int(wrong.sum()))
