"""Tries the whole matrix of people, visas and datasets against served nodes; writes `validation/access_matrix/RESULTS.md`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from validation.access_matrix.matrix import BOUNDS, CONSENTS, DATASETS, QUESTIONS, TIERS, VISAS, cases, mismatches, served

HERE = Path(__file__).parent
ROUNDS = len(CONSENTS)


def main() -> int:
    """Exit 0 only if no cell differs; `--rounds 2` tries two states of consent for each person, in turn, and not all."""
    words = argparse.ArgumentParser()
    words.add_argument("--rounds", type=int, choices=range(1, ROUNDS + 1), default=ROUNDS)
    rounds = words.parse_args().rounds
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as nodes:
        chosen = list(cases(rounds))
        tried, found = mismatches(nodes, chosen, lambda line: print(line, file=sys.stderr, flush=True))
    lines = [
        "# Who may ask what",
        "",
        f"Made by `python -m validation.access_matrix`: {len(chosen):,} people ({len(TIERS)} tiers, {len(VISAS)} states of",
        f"visas and passports, each role and none, {len(BOUNDS)} bounds of the operator), each with documents that real keys",
        f"signed, ask {len(QUESTIONS)} questions of {len(DATASETS)} datasets (open, floored, closed) over HTTP, about somebody",
        f"who has said one of {len(CONSENTS)} things of the scopes of consent ({rounds} of them for each person who asks, in",
        "turn); the datasets are opt-out at one node and opt-in at the other. What is expected comes from",
        "`access.policy.decide` and from what was said alone.",
        "",
        f"- cells tried: {tried:,}",
        f"- mismatches: {len(found)}",
        f"- {time.perf_counter() - start:.0f} s ({time.process_time():.0f} s of CPU), {os.cpu_count()} cores, "
        f"load average {os.getloadavg()[0]:.1f}",
        *(["", *(f"- {line}" for line in found[:50])] if found else []),
    ]
    (HERE / "RESULTS.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
