"""Walks 100,000 steps over the states of applications and writes `validation/applications/RESULTS.md`."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

from validation.applications.walks import walk

STEPS, LENGTH = 100_000, 400


def main() -> int:
    """Exit 0 only if every walk stays within the diagram."""
    start = time.perf_counter()
    admitted: Counter[str] = Counter()
    asked = 0
    for seed in range(STEPS // LENGTH):
        found = walk(seed, LENGTH)
        asked += found.asked
        admitted.update(found.admitted)
    lines = [
        "# Applications: random walks over their states",
        "",
        f"Made by `python -m validation.applications`: {STEPS // LENGTH} applications (seeds from 0 on) of {LENGTH} steps.",
        f"{asked:,} events of all kinds were asked for by all kinds of people; {sum(admitted.values()):,} were admitted,",
        "or made by a clock. Every step was within the diagram; no visa without an approval by two people, a quorum of",
        "votes, the country's confirmation and an agreement that both sides have signed; every history gave the same bytes",
        "and the same state when it was read again.",
        "",
        "| event | admitted |",
        "|---|---|",
        *(f"| {name} | {number:,} |" for name, number in sorted(admitted.items())),
    ]
    (Path(__file__).parent / "RESULTS.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
