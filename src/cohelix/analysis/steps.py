"""How every method is made: steps that nodes compute alone, sums over nodes that open, and a `Summer` that joins the two.

A method is an ordinary function `method(study, summer)`. It never sees a node's figures: it asks the `Summer` for the sum of
a named step over all nodes, computes what follows, and asks again. The same function runs over one pooled store
(`analysis.pooled`), over plain sums, and over the federation's secure sum, where opened sums are kept by their number, so
that a run that was interrupted repeats the function and goes on where it stood. A method must therefore be deterministic.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from cohelix.analysis.data import LocalData
from cohelix.core.arrays import IntArray
from cohelix.core.errors import ShapeMismatch
from cohelix.wire.packed import pack

AnyArray = npt.NDArray[Any]
Sums = dict[str, AnyArray]
BLOCK_VARIANTS = 1 << 14  # a block costs each member a request, whatever its size
_BLOCK_NUMBERS = 1 << 20  # of all statistics of a block: 8 MiB of shares
_BLOCK_VARIANTS_MIN = 64


class Statistic(NamedTuple):
    """One named array of a sum.

    Attributes
    ----------
    name
        What the sum is called.
    shape
        Of a step without variants the array's shape; of one over variants the shape for each variant, () for a number.
    bound
        Public: no absolute value of the pooled sum, nor of any node's part, can be larger. A node checks its own part.
    integer
        A count: it is summed exactly, whatever its size.
    """

    name: str
    shape: tuple[int, ...] = ()
    bound: float = math.inf
    integer: bool = False


@dataclass(frozen=True)
class Ask:
    """The sum of one step over all nodes.

    Attributes
    ----------
    step
        Name of a step in `LOCAL_STEPS`.
    statistics
        What is summed; the same for every node.
    broadcast
        What all nodes are told, small arrays float64 or int64.
    rows
        Of a step over variants: ascending numbers in the study's list of variants; None for a step over people only.
    per_variant
        Arrays whose first axis is that of `rows`, told along with each block.
    closing
        Of the pass that closes a method, from whose sums follow its lines and no other ask: what may be asked beside, of any
        rows and with the same broadcast, as steps with their statistics. None where later asks follow from the sums. It is
        not told to nodes: each derives its asks (`federation.derived_asks`).
    """

    step: str
    statistics: tuple[Statistic, ...]
    broadcast: Mapping[str, AnyArray] = field(default_factory=dict)
    rows: IntArray | None = None
    per_variant: Mapping[str, AnyArray] = field(default_factory=dict)
    closing: tuple[tuple[str, tuple[Statistic, ...]], ...] | None = None

    def blocks(self) -> list[range]:
        """Stretches of `rows`, by index into it: the same for everybody who knows the ask."""
        count, length = 0 if self.rows is None else len(self.rows), block_variants(self.statistics)
        return [range(start, min(count, start + length)) for start in range(0, count, length)]

    def digest(self) -> str:
        """Hexadecimal SHA-256 of all that nodes are told, per-variant arrays and rows included."""
        document = {"step": self.step, "statistics": [list(one) for one in self.statistics]}
        arrays = dict(self.broadcast)
        arrays |= {f"per_variant.{name}": array for name, array in self.per_variant.items()}
        if self.rows is not None:
            arrays["rows"] = self.rows
        return hashlib.sha256(pack(document, arrays)).hexdigest()


def block_variants(statistics: Sequence[Statistic]) -> int:
    """How many variants a block has: a power of two, fewer where many numbers are summed for each variant."""
    width = sum(math.prod(one.shape) for one in statistics)
    fitting = max(_BLOCK_VARIANTS_MIN, _BLOCK_NUMBERS // max(1, width))
    return min(BLOCK_VARIANTS, 1 << (fitting.bit_length() - 1))


class Summer(Protocol):
    """Adds up what the nodes compute. Sums are float64, counts int64, each with the leading axis of its block's rows."""

    def sum(self, ask: Ask) -> Sums:
        """The sum of a step over people."""

    def blocks(self, ask: Ask) -> Iterator[tuple[range, Sums]]:
        """The sums of a step over variants, block by block in order; the range indexes `ask.rows`."""


LocalStep = Callable[[LocalData, Mapping[str, AnyArray], IntArray | None, Mapping[str, AnyArray]], Sums]
"""What a node computes: (its data, broadcast, the block's rows, the block's per-variant arrays) → its part of the sums."""
LOCAL_STEPS: dict[str, LocalStep] = {}
METHODS_MODULE = "cohelix.analysis.methods"  # registers every step
KEPT_STEPS = frozenset({"components-set"})
"""Steps that change a node's data for all later ones: whoever opens the data anew computes them again first, in order."""
_Step = TypeVar("_Step", bound=LocalStep)


def local_step(name: str) -> Callable[[_Step], _Step]:
    """Register a function as the local step of this name; nodes run these and nothing else."""

    def register(function: _Step) -> _Step:
        if name in LOCAL_STEPS:
            raise ValueError(f"two steps are called {name}")
        LOCAL_STEPS[name] = function
        return function

    return register


def find_step(name: str) -> LocalStep | None:
    """The local step of this name, or None; the methods, with all that they compute with, are loaded by the first question."""
    import_module(METHODS_MODULE)
    return LOCAL_STEPS.get(name)


def compute_part(data: LocalData, ask: Ask, block: range | None = None) -> Sums:
    """A node's part of one sum, checked against what was declared.

    Raises
    ------
    ShapeMismatch
        If the step is not known, or its figures have another shape than declared or exceed their bound.
    """
    step = find_step(ask.step)
    if step is None:
        raise ShapeMismatch(f"there is no step {ask.step[:40]!r}")
    rows, per_variant = None, {}
    if block is not None and ask.rows is not None:
        cut = slice(block.start, block.stop)
        rows = np.ascontiguousarray(ask.rows[cut])
        per_variant = {name: array[cut] for name, array in ask.per_variant.items()}
    part = step(data, ask.broadcast, rows, per_variant)
    lead = () if rows is None else (len(rows),)
    checked: Sums = {}
    for one in ask.statistics:
        array = np.asarray(part.get(one.name), np.int64 if one.integer else np.float64)
        if array.shape != (*lead, *one.shape):
            raise ShapeMismatch(f"{ask.step}: {one.name} has shape {array.shape}, not {(*lead, *one.shape)}")
        if array.size and not float(np.abs(array).max()) <= one.bound:  # NaN fails, too
            raise ShapeMismatch(f"{ask.step}: {one.name} exceeds its bound")
        checked[one.name] = array
    return checked
