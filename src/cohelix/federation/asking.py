"""How an ask of a method travels: told once to each node, then block by block, each named by one digest for all nodes.

The hub, every contributor and whoever checks a transcript find the digest of a block on their own; aggregators add up
only what was asked of all contributors alike.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cohelix.analysis.called_for import steps_called_for
from cohelix.analysis.steps import AnyArray, Ask, Statistic
from cohelix.core.errors import BadQuestion, Deviation
from cohelix.federation.roster import HUB
from cohelix.wire.packed import pack, unpack
from cohelix.wire.plan import Plan

# Another processor rounds products otherwise, and what is asked next differs by that much of the largest number.
ROUNDING = 1e-7
_ROWS, _PER_VARIANT = "rows", "per_variant."


def pack_ask(ask: Ask, listed: str = "") -> bytes:
    """Step, statistics and broadcast of an ask: what all its blocks share; `listed` is the digest of the list of variants."""
    document = {
        "step": ask.step,
        "statistics": statistics_document(ask.statistics),
        "over_variants": ask.rows is not None,
        "listed": listed,
    }
    return pack(document, dict(sorted(ask.broadcast.items())))


def unpack_ask(body: bytes) -> tuple[Ask, bool]:
    """What `pack_ask` packed, without rows, and whether it is over variants; `BadQuestion` where it is something else."""
    packed = unpack(body)
    try:
        statistics = read_statistics(packed.document["statistics"])
        return Ask(str(packed.document["step"]), statistics, packed.arrays), bool(packed.document["over_variants"])
    except KeyError as error:
        raise BadQuestion(f"the message is no ask ({error} is missing)") from None


def check_called_for(step: str, plan: Plan) -> None:
    """`Deviation` `foreign-step` where no run of the plan asks this step."""
    if step not in steps_called_for(plan):
        raise Deviation("foreign-step", f"the plan does not call for the step {step}", HUB)


def statistics_document(statistics: Sequence[Statistic]) -> list[list[Any]]:
    """Statistics as JSON; None for a bound that is not given."""
    return [
        [one.name, [int(size) for size in one.shape], float(one.bound) if math.isfinite(one.bound) else None, bool(one.integer)]
        for one in statistics
    ]


def read_statistics(document: Any) -> tuple[Statistic, ...]:
    """What `statistics_document` wrote; `BadQuestion` where it is something else."""
    try:
        return tuple(
            Statistic(str(name), tuple(int(size) for size in shape), math.inf if bound is None else float(bound), bool(integer))
            for name, shape, bound, integer in document
        )
    except (TypeError, ValueError) as error:
        raise BadQuestion(f"the statistics of an ask are not understood ({error})") from None


def ask_digest(packed_ask: bytes) -> str:
    """Hexadecimal SHA-256 of what `pack_ask` packed."""
    return hashlib.sha256(packed_ask).hexdigest()


def block_arrays(ask: Ask, block: range | None) -> dict[str, AnyArray]:
    """A block's arrays as they travel: `rows` and `per_variant.<name>`; none for a step over people."""
    if ask.rows is None or block is None:
        return {}
    cut = slice(block.start, block.stop)
    arrays = {f"{_PER_VARIANT}{name}": array[cut] for name, array in sorted(ask.per_variant.items())}
    return {_ROWS: ask.rows[cut], **arrays}


def block_ask(told: Ask, arrays: Mapping[str, AnyArray]) -> Ask:
    """The ask of one block alone, from what was told of the ask and the block's arrays."""
    per_variant = {name.removeprefix(_PER_VARIANT): array for name, array in arrays.items() if name.startswith(_PER_VARIANT)}
    return Ask(told.step, told.statistics, told.broadcast, arrays.get(_ROWS), per_variant)


def block_digest(digest: str, block: int, arrays: Mapping[str, AnyArray]) -> str:
    """Hexadecimal SHA-256 of all that a node is asked in a block: the ask's digest, the block's number and arrays."""
    return hashlib.sha256(pack({"ask": digest, "block": block}, dict(sorted(arrays.items())))).hexdigest()


def same_question(mine: bytes, theirs: bytes) -> bool:
    """Whether two packed asks differ in nothing but the last digits of their real numbers."""
    if mine == theirs:
        return True
    one, other = unpack(mine), unpack(theirs)
    return _documents_alike(one.document, other.document) and alike(one.arrays, other.arrays)


def alike(mine: Mapping[str, AnyArray], theirs: Mapping[str, AnyArray]) -> bool:
    """Whether arrays are the same by name, but for the last digits of real numbers."""
    return mine.keys() == theirs.keys() and all(_array_alike(array, theirs[name]) for name, array in mine.items())


def _documents_alike(mine: object, theirs: object) -> bool:
    """The same JSON but for rounding of bounds."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return mine.keys() == theirs.keys() and all(_documents_alike(mine[name], theirs[name]) for name in mine)
    if isinstance(mine, list) and isinstance(theirs, list):
        return len(mine) == len(theirs) and all(_documents_alike(*pair) for pair in zip(mine, theirs, strict=True))
    if isinstance(mine, float) and isinstance(theirs, float):
        return abs(mine - theirs) <= ROUNDING * max(abs(mine), abs(theirs))
    return mine == theirs


def _array_alike(mine: AnyArray, theirs: AnyArray) -> bool:
    if mine.dtype != theirs.dtype or mine.shape != theirs.shape:
        return False
    if mine.dtype.kind != "f":
        return np.array_equal(mine, theirs)
    known = np.isfinite(mine)
    if not np.array_equal(mine[~known], theirs[~known], equal_nan=True):
        return False
    one, other = mine[known], theirs[known]
    return not one.size or float(np.abs(one - other).max()) <= ROUNDING * float(np.abs(one).max())
