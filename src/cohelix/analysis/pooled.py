"""Runs a method over data that lie together: the oracle of every federated run, and sums in the clear for comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cohelix.analysis.data import LocalData
from cohelix.analysis.steps import Ask, Sums, compute_part


class PlainSummer:
    """A `Summer` over one store, or over several in this process, in float64."""

    def __init__(self, parts: Sequence[LocalData]) -> None:
        self._parts = tuple(parts)

    def sum(self, ask: Ask) -> Sums:
        return self._added(ask, None)

    def blocks(self, ask: Ask) -> Iterator[tuple[range, Sums]]:
        for block in ask.blocks():
            yield block, self._added(ask, block)

    def _added(self, ask: Ask, block: range | None) -> Sums:
        first, *others = (compute_part(data, ask, block) for data in self._parts)
        total = {name: array.copy() for name, array in first.items()}
        for other in others:
            for name, array in other.items():
                total[name] += array
        return total
