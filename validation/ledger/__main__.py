"""Asks 10,000 random sequences of plans and counts, attacks what was told, and writes `validation/ledger/RESULTS.md`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from cohelix.db import open_database
from cohelix.disclosure.ledger import Ledger
from validation.ledger.sequences import QUESTIONS, Found, Told, attack, run

HERE = Path(__file__).parent
SEQUENCES = 10_000


def main() -> int:
    """Exit 0 only if nobody is determined with the ledger on, and somebody is with it off."""
    start = time.perf_counter()
    found: dict[bool, list[tuple[Told, Found]]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(open_database(Path(folder) / "node.sqlite"), bytes(32))
        for seed in range(SEQUENCES):
            for on in (True, False):
                town, told = run(seed, ledger if on else None, project=f"p{seed}")
                found[on].append((told, attack(town, told)))
            if seed % 500 == 499:
                print(f"{seed + 1:,} sequences, {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    lines = [
        "# The ledger against linear algebra",
        "",
        f"Made by `python -m validation.ledger`: {SEQUENCES:,} random sequences (seeds 0…{SEQUENCES - 1:,}) of {QUESTIONS}",
        "plans and counts over 60 to 159 planted people, honest ones and those of somebody who wants to single people out: one",
        "person more or less, unions and intersections, a trait that is mended for one person, traits over cohorts ten people",
        "apart. The attack knows every question, attribute and trait, and solves the linear system of everything that was told",
        "for each person's genotype. The ledger is the real one, in SQLite; floors, minima and dominance hold in both columns.",
        "",
        "| | ledger on | ledger off |",
        "|---|---|---|",
    ]
    both = (found[True], found[False])
    lines += [
        _line("questions accepted, honest ones", *(_share(one, honest=True) for one in both)),
        _line("questions accepted, of the attacker", *(_share(one, honest=False) for one in both)),
        _line("sums told", *(f"{sum(len(told.rows) for told, _ in one):,}" for one in both)),
        _line("sequences in which somebody is determined", *(f"{sum(f.determined > 0 for _, f in one):,}" for one in both)),
        _line("people determined", *(f"{sum(f.determined for _, f in one):,}" for one in both)),
        _line("… and rightly", *(f"{sum(f.right for _, f in one):,}" for one in both)),
        _line("largest leverage of a person (1: determined)", *(f"{max(f.leverage for _, f in one):.6f}" for one in both)),
        _line("fewest people of ± up to three sets (k = 10)", *(str(min(f.fewest for _, f in one)) for one in both)),
    ]
    lines += ["", f"{time.perf_counter() - start:.0f} s."]
    (HERE / "RESULTS.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    safe = all(f.determined == 0 and f.fewest >= 10 for _, f in found[True])
    return 0 if safe and any(f.determined for _, f in found[False]) else 1


def _share(found: list[tuple[Told, Found]], *, honest: bool) -> str:
    asked = sum(told.asked[honest] for told, _ in found)
    return f"{sum(told.accepted[honest] for told, _ in found) / asked:.1%} of {asked:,}"


def _line(what: str, on: str, off: str) -> str:
    return f"| {what} | {on} | {off} |"


if __name__ == "__main__":
    sys.exit(main())
