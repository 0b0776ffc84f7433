"""Asks 10,000 random questions of a served node and writes `validation/beacon/RESULTS.md`."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from validation import realdata
from validation.beacon.experiment import Outcome, Part, real_part, run, synthetic_part

HERE = Path(__file__).parent
SEED = 20261122


def main(each: int = 5_000) -> int:
    """Exit 0 only if every answer equals the naive scan."""
    start = time.perf_counter()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="cohelix-beacon-") as folder:
        scratch = Path(folder)
        parts: list[Part] = [synthetic_part(scratch, people=400, per_contig=800)]
        sets = [s.path for s in realdata.genotype_sets() if s.name in ("kg3-chr22-cen", "kg3-chr22-tel")]
        parts.append(real_part(scratch, sets, realdata.panel()))
        for number, part in enumerate(parts):
            outcomes.append(run(part, each, SEED + number))
            print(outcomes[-1].line(), file=sys.stderr, flush=True)
    lines = [
        "# Random Beacon questions against a naive scan",
        "",
        f"Made by `python -m validation.beacon` (seed {SEED}). Each question goes over HTTP to a served node with an open and",
        "a floored (k = 5) dataset of the same people and variants; the whole answer (exists, totals, the variants of the",
        "page, every population's and sex's figures) is compared with a scan of all variants by `validation/naive.py`.",
        "",
        "| data | variants | questions | with a hit | for absent ones | exact for an indel | kinds | different | p50 | p99 |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(outcome.line() for outcome in outcomes),
        "",
        f"{sum(o.questions for o in outcomes):,} questions, {sum(len(o.differences) for o in outcomes)} differences, "
        f"in {time.perf_counter() - start:.0f} s.",
    ]
    lines += [f"* {text[:600]}" for o in outcomes for text in o.differences[:10]]
    (HERE / "RESULTS.md").write_text("\n".join(lines) + "\n")
    (HERE / "results.json").write_text(json.dumps([o.record() for o in outcomes], indent=1) + "\n")
    print("\n".join(lines))
    return 1 if any(o.differences for o in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(*(int(word) for word in sys.argv[1:2])))
