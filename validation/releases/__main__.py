"""Makes 1,000 random histories, compares all pairs of their releases, and writes `validation/releases/RESULTS.md`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from validation.releases.histories import faults, history

HERE = Path(__file__).parent
HISTORIES = 1000


def main() -> int:
    """Exit 0 only if no two releases of a history differ by 1…k - 1 people, in all or in a row that may be told."""
    start = time.perf_counter()
    found = [history(seed) for seed in range(HISTORIES)]
    wrong = [fault for one in found for fault in faults(one)]
    pairs = sum(len(one.releases) * (len(one.releases) - 1) // 2 for one in found)
    released = sum(sum(len(group) for group in release.values()) for one in found for release in one.releases)
    lines = [
        "# Releases under additions and withdrawals",
        "",
        f"Made by `python -m validation.releases`: {HISTORIES:,} random histories (seeds 0…{HISTORIES - 1}) of up to 14",
        "steps, k 2, 5 or 10, up to 120 people in 1 to 8 groups of population and sex; all pairs of releases compared.",
        "",
        "| | |",
        "|---|---|",
        f"| releases | {sum(len(one.releases) for one in found):,} |",
        f"| pairs compared | {pairs:,} |",
        f"| pairs, or rows of pairs, that differ by 1…k - 1 people | {len(wrong)} |",
        f"| people released, of those who might be | {released / sum(sum(one.wanted) for one in found):.1%} |",
        "",
        f"{time.perf_counter() - start:.0f} s.",
    ]
    (HERE / "RESULTS.md").write_text("\n".join(lines) + "\n")
    print("\n".join([*lines, *wrong[:20]]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
