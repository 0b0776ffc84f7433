"""Thresholds that computed numbers are compared with, and the other side of one: where processors may decide differently.

A number that lies within rounding of a threshold is beyond it on one processor and not on the next. What is asked next follows
from such comparisons, and everybody in a run derives it. So whoever finds another question than was put derives it once more
with all thresholds moved up by next to nothing, and once with all moved down: one of these is what an honest hub has found. The
move is far below what any result shows, and far above rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

NEAR = 1e-10
"""By what share a threshold moves: rounding of well-conditioned numbers is a thousandth of it."""
SIDES = (0, 1, -1)
"""Thresholds as they are, moved up, moved down."""
_SIDE: ContextVar[int] = ContextVar("side", default=0)


def limit(threshold: float, near: float = NEAR) -> float:
    """A threshold for computed numbers, on the side that is taken.

    Parameters
    ----------
    near
        By what share it moves; more than `NEAR` where the numbers are what rounding of larger ones has left.
    """
    side = _SIDE.get()
    return threshold * (1 + side * near) if side else threshold


@contextmanager
def taking(side: int) -> Iterator[None]:
    """Within the context, in this thread, thresholds are on one of `SIDES`."""
    token = _SIDE.set(side)
    try:
        yield
    finally:
        _SIDE.reset(token)
