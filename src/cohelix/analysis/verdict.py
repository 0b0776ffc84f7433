"""The automatic check of a run's files before people decide on their release: a verdict and reasons for each file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cohelix.analysis.files import SSF, TABLE, read_blocks

Judgement = Literal["pass", "review", "fail"]
# More traits than this for each person lets genotypes be rebuilt from effects (see the page on what results tell).
TRAITS_PER_PERSON_MAX = 0.05
AUC_TARGET = 0.55
_NODE_COLUMN_MARKS = ("node_", "_by_node")


@dataclass(frozen=True)
class FileVerdict:
    """What the rules say of one file; `fail` cannot be released, `review` needs a person's look at the reasons."""

    file: str
    verdict: Judgement
    reasons: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"file": self.file, "verdict": self.verdict, "reasons": list(self.reasons)}


def membership_auc(n_variants: int, n_people: int) -> float:
    """How well somebody who holds a person's genome could tell from allele frequencies whether they took part.

    Φ(√(m / 2n)) for m independent variants: an upper bound where variants are linked (Sankararaman et al. 2009, Nat Genet
    41:965; the constant by simulation).
    """
    if n_people <= 0:
        return 1.0
    return 0.5 * (1.0 + math.erf(math.sqrt(n_variants / (2.0 * n_people)) / math.sqrt(2.0)))


def judge_table(
    folder: Path, *, n_people: int, n_traits: int, mac_floor: int, open_data: bool, node_level: bool
) -> tuple[FileVerdict, ...]:
    """The verdict on a result table, the same for both of its forms.

    Parameters
    ----------
    mac_floor
        Copies of the rarer allele that a released line needs over all nodes; 0 for open data.
    node_level
        Whether the plan asked, and every node agreed, that estimates of single nodes are in the files.
    """
    judgement: Judgement = "pass"
    reasons: list[str] = []
    lines, least, names = 0, math.inf, set[str]()
    for block in read_blocks(folder):
        lines += block.num_rows
        names |= set(block.schema.names)
        if {"effect_allele_frequency", "n"} <= set(block.schema.names) and block.num_rows:
            frequency = _numbers(block, "effect_allele_frequency")
            copies = 2 * _numbers(block, "n") * np.minimum(frequency, 1 - frequency)
            least = min(least, float(np.nanmin(copies)) if np.isfinite(copies).any() else math.inf)
    # A rounding of the frequency must not turn 20 copies into 19.99.
    if mac_floor and least < mac_floor - 1e-6 * max(1, n_people):
        judgement = "fail"
        reasons.append("a line is about fewer copies of the rarer allele than the floor allows")
    of_nodes = sorted(name for name in names if any(mark in name for mark in _NODE_COLUMN_MARKS))
    if of_nodes and not node_level:
        judgement = "fail"
        reasons.append(f"columns of single nodes were not agreed: {', '.join(of_nodes)}")
    if not open_data:
        if n_traits > TRAITS_PER_PERSON_MAX * n_people:
            judgement = "fail"
            reasons.append("too many traits for this many people")
        auc = membership_auc(lines // max(1, n_traits), n_people)
        if auc > AUC_TARGET and judgement == "pass":
            judgement = "review"
            reasons.append(
                f"who holds a genome could tell with an AUC of at most {auc:.2f} whether its person took part; "
                f"the target for open release is {AUC_TARGET}"
            )
    else:
        reasons.append("all people agreed to open release")
    return tuple(FileVerdict(name, judgement, tuple(reasons)) for name in (TABLE, SSF))


def judge_other(names: Sequence[str]) -> tuple[FileVerdict, ...]:
    """The verdict on files that hold no line of a person or a node: the report, the manifest and the metadata."""
    return tuple(FileVerdict(name, "pass", ("holds what the table holds, and the plan",)) for name in names)


def worst(verdicts: Sequence[FileVerdict]) -> Judgement:
    """The strictest of the verdicts."""
    order: tuple[Judgement, ...] = ("pass", "review", "fail")
    return max((one.verdict for one in verdicts), key=order.index, default="pass")


def _numbers(block: Any, name: str) -> np.ndarray:
    return np.asarray(block.column(name).to_numpy(zero_copy_only=False), np.float64)
