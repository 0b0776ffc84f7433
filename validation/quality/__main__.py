"""Plants the faults, compares the figures with the referees, and writes `validation/quality/RESULTS.md`."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from validation import realdata
from validation.quality import faults
from validation.quality.referees import Compared, compare_figures, compare_kinship

HERE = Path(__file__).parent
SEEDS = (2, 3, 5)


def main() -> int:
    """Exit 0 only if every planted fault is found and no figure differs."""
    outcomes: list[faults.Outcome] = []
    compared: list[Compared] = []
    with tempfile.TemporaryDirectory(prefix="cohelix-quality-") as folder:
        scratch = Path(folder)
        for seed in SEEDS:
            place = scratch / f"seed{seed}"
            outcomes += faults.clean(place / "clean", seed)
            outcomes += faults.of_people(place / "people", seed)
            outcomes += faults.of_datasets(place / "datasets", 100 * seed)
            print(f"seed {seed}: {sum(not one.found for one in outcomes)} missed so far", file=sys.stderr, flush=True)
        compared += compare_figures("simulated, with X and Y", None, scratch / "simulated")
        for one in realdata.genotype_sets():
            compared += compare_figures(one.name, one.path, scratch / one.name, assembly=one.assembly)
            if one.name.startswith("kg3-exome"):
                compared.append(compare_kinship(one.path, scratch / f"{one.name}-king", assembly=one.assembly))
            print(one.name, file=sys.stderr, flush=True)
    _write(outcomes, compared)
    return 1 if any(not one.found for one in outcomes) or any(one.differing for one in compared) else 0


def _write(outcomes: list[faults.Outcome], compared: list[Compared]) -> None:
    found = sum(one.found for one in outcomes)
    lines = ["# The quality gate", "", "Made by `python -m validation.quality`.", "", "## Planted faults", ""]
    lines += [f"{len(SEEDS)} simulated cohorts, {len(outcomes)} outcomes, {found} as they should be. Those of one cohort:", ""]
    lines += ["| fault | expected | found | in the gate's words |", "|---|---|---|---|"]
    lines += [
        f"| {one.fault} | {one.expected} | {'yes' if one.found else 'NO'} | {_words(one.told)} |"
        for one in outcomes[: len(outcomes) // len(SEEDS)]
    ]
    missed = [one for one in outcomes if not one.found]
    lines += ["", *(f"* missed: {one.fault} ({_words(one.told)})" for one in missed)]
    lines += ["", "## Figures beside the referees", "", "To the digits that the referee prints.", ""]
    lines += ["| data | figure | referee | compared | differing |", "|---|---|---|---|---|"]
    lines += [f"| {c.data} | {c.figure} | {c.referee} | {c.compared:,} | {c.differing:,} |" for c in compared]
    (HERE / "RESULTS.md").write_text("\n".join(lines).rstrip() + "\n")


def _words(text: str) -> str:
    return re.sub(r"/\S*/", "", text).replace("|", "/")[:160]


if __name__ == "__main__":
    sys.exit(main())
