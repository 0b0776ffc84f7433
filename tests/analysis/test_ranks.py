"""Pooled ranks from histograms: ranks of single people, cells of several, ties, and what a message may hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cohelix.analysis import ranks
from cohelix.analysis.data import ArrayGenotypes, LocalData
from cohelix.analysis.pooled import PlainSummer
from cohelix.analysis.ranks import Cells, cell_values, grid_points, pooled_cells
from cohelix.analysis.steps import Ask, Sums
from cohelix.core.errors import NotPermitted, ShapeMismatch


class Noting(PlainSummer):
    """Sums in the clear, and notes how many numbers each sum had."""

    def __init__(self, parts: list[LocalData]) -> None:
        super().__init__(parts)
        self.sizes: list[int] = []

    def sum(self, ask: Ask) -> Sums:
        self.sizes.append(sum(int(np.prod(one.shape)) for one in ask.statistics))
        return super().sum(ask)


def standardised(values: Any) -> Any:
    centred = values - values.mean(axis=0)
    return centred / centred.std(axis=0)


def cells_of(values: Any, node: Any, rank_cell: int) -> tuple[Cells, Noting]:
    """Cells of (people, traits) values of unit variance, which are the nodes' traits."""
    parts = [LocalData(np.zeros((int(mine.sum()), 0)), values[mine], ArrayGenotypes(np.zeros((0, 0)))) for mine in node]
    summer, many = Noting(parts), values.shape[1]
    told = {"trait_n": np.array(len(values)), "trait_mean": np.zeros(many), "trait_sd": np.ones(many)}
    return pooled_cells(summer, "value-cells", told, n=len(values), traits=many, rank_cell=rank_cell), summer


def given_values(cells: Cells, values: Any) -> Any:
    return cell_values(grid_points(values, len(values)), cells.broadcast())


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    shape=st.sampled_from(["normal", "ties", "heavy", "close", "skewed"]),
    rank_cell=st.sampled_from([1, 2, 5, 10, 40]),
)
def test_everybody_has_the_mid_rank_of_a_cell_that_is_small_enough(seed: int, shape: str, rank_cell: int) -> None:
    random = np.random.default_rng(seed)
    n = int(random.integers(50, 160))
    drawn = {
        "normal": random.normal(size=(n, 2)),
        "ties": random.integers(0, 6, (n, 2)).astype(float),
        "heavy": random.standard_cauchy((n, 2)),
        "close": 1e-9 * random.normal(size=(n, 2)) + random.integers(0, 2, (n, 1)),
        "skewed": np.exp(4 * random.normal(size=(n, 2))),
    }[shape]
    values = standardised(drawn)
    node = random.integers(0, 4, n)
    cells, summer = cells_of(values, [node == one for one in range(4)], rank_cell)
    found = given_values(cells, values)
    assert np.abs(found.mean(axis=0)).max() < 1e-12 and np.abs(found.std(axis=0) - 1).max() < 1e-12
    for trait in range(2):
        single = stats.rankdata(grid_points(values, n)[:, trait])
        _, cell = np.unique(found[:, trait], return_inverse=True)
        mean_rank = (np.bincount(cell, single) / np.bincount(cell))[cell]
        expected = stats.norm.ppf((mean_rank - 0.5) / n)
        assert np.abs(standardised(expected) - found[:, trait]).max() < 1e-9
        people, points = np.bincount(cell), grid_points(values, n)[:, trait]
        alike = np.array([len(np.unique(points[cell == one])) == 1 for one in range(len(people))])
        assert ((people <= rank_cell) | alike).all()
        if rank_cell == 1:
            assert (mean_rank == stats.rankdata(values[:, trait])).all()
    assert len(summer.sizes) < 60


def test_messages_are_bounded_and_many_traits_share_them(monkeypatch: pytest.MonkeyPatch) -> None:
    values = standardised(np.random.default_rng(2).normal(size=(300, 40)))
    everybody = [np.ones(300, bool)]
    one, many = cells_of(values[:, :1], everybody, 1), cells_of(values, everybody, 1)
    assert len(many[1].sizes) <= len(one[1].sizes) + 6  # rounds, not traits, decide how often is asked
    monkeypatch.setattr(ranks, "_MESSAGE_CELLS", 2048)
    cells, summer = cells_of(values, everybody, 1)
    assert max(summer.sizes) <= 2048
    assert all((getattr(cells, name) == getattr(many[0], name)).all() for name in ("trait", "low", "value"))


def test_one_cell_for_everybody_leaves_no_ranks() -> None:
    with pytest.raises(NotPermitted, match="rank_cell"):
        cells_of(standardised(np.arange(20.0)[:, None]), [np.ones(20, bool)], 20)


def test_a_split_into_more_parts_than_a_message_has_is_refused_before_memory_is_taken() -> None:
    cells = {name: np.array([value]) for name, value in zip(ranks.SPLIT, (0, 0, 48, 40), strict=True)}
    with pytest.raises(ShapeMismatch, match="parts"):
        ranks.count_cells(np.zeros((3, 1), np.int64), cells)
