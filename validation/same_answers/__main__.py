"""Asks a floored node 10,000 pairs of questions of each two kinds, and writes `validation/same_answers/RESULTS.md`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from itertools import combinations
from pathlib import Path

from validation.same_answers.measure import KINDS, floored_node, node_serving, pairs, same_bytes

HERE = Path(__file__).parent
T_MAX = 4.5  # dudect's, as the threat model names it


def main() -> int:
    """Exit 0 only if equal questions have equal answers, and no two kinds of questions can be told apart by their times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=10_000)
    chosen = parser.parse_args()
    lines = [
        "# Do answers, or their times, tell what is withheld?",
        "",
        "Made by `python -m validation.same_answers`: Beacon questions to a floored node over HTTP,",
        f"{chosen.pairs:,} pairs each, in random order within a pair, the slowest twentieth of both together",
        "left out. Welch's t; the bound is 4.5.",
        f"Load average of the machine meanwhile, on {os.cpu_count()} cores, is told with each line.",
        "",
        "| kinds | mean, µs | t | load |",
        "|---|---|---|---|",
    ]
    wrong = []
    with tempfile.TemporaryDirectory() as name:
        asked = floored_node(Path(name) / "node")
        with node_serving(Path(name) / "node") as address:
            wrong += same_bytes(address, asked)
            for first, second in combinations(KINDS, 2):
                found = pairs(address, asked, first, second, chosen.pairs)
                means = f"{found.mean_first:.1f}, {found.mean_second:.1f}"
                lines.append(f"| {first}, {second} | {means} | {found.t:+.2f} | {os.getloadavg()[0]:.1f} |")
                if abs(found.t) >= T_MAX:
                    wrong.append(f"{first} and {second} differ: t = {found.t:+.2f}")
    lines += ["", f"Not within the promise: {'; '.join(wrong) or 'nothing'}."]
    (HERE / "RESULTS.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
