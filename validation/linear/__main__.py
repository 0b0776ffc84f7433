"""Linear regression against naive regressions, plink2 and published slopes; writes `validation/linear/RESULTS.md`."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from validation import kg3, realdata
from validation.linear import naive
from validation.linear.experiment import Differences, Lines, People, compare, run_pooled, run_split
from validation.linear.published import Reproduced, reproduce
from validation.linear.referee import Printed, against_plink2, real_people

HERE = Path(__file__).parent
SPLITS = (3, 4, 7, 12, 20)
TRANSFORMATIONS = ("none", "zscore", "rank", "residual-rank")
BETA, LOG_P = 1e-8, 1e-6  # what the acceptance allows


def main() -> int:
    """Exit 0 only if every figure is within its tolerance."""
    shared = realdata.shared()
    if shared is None:
        print("the shared folder with real data is not present: set COHELIX_SHARED", file=sys.stderr)
        return 2
    started = time.perf_counter()
    data = shared / "data"
    genotypes = kg3.read_genotypes(next((data / "kg3-chr22-tel").glob("*.bcf")))
    with tempfile.TemporaryDirectory(prefix="cohelix-linear-") as scratch:
        folder = Path(scratch)
        published = {
            "qtltools-example": reproduce(
                realdata.indexed(realdata.qtltools_example() / "genotypes.chr22.vcf.gz", folder), data / "geuvadis-chr22"
            ),
            "kg3-chr22-tel": reproduce(next((data / "kg3-chr22-tel").glob("*.bcf")), data / "geuvadis-chr22"),
        }
        print(published, file=sys.stderr, flush=True)
        people, node = real_people(genotypes, 12_000, seed=1)
        printed = against_plink2(people, node, shutil.which("plink2") or "plink2", folder)
        print(printed, file=sys.stderr, flush=True)
    few, node = real_people(genotypes, 600, seed=2)
    twins = {
        (t, missing): naive_difference(few, node, t, missing) for t in TRANSFORMATIONS for missing in ("mean", "complete-case")
    }
    splits = split_differences(few)
    _write((len(genotypes.samples), published, printed, twins, splits), time.perf_counter() - started)
    good = all(one.within == one.genes for one in published.values())
    good &= not (printed.counts_differ or printed.status_differs or any(printed.beyond_print.values()))
    good &= all(_fits(one) for one in [*twins.values(), *splits.values()])
    return 0 if good else 1


def naive_difference(people: People, node: Any, transformation: str, missing: str) -> Differences:
    """The run over nodes against one QR for each variant and trait of the pooled people."""
    found, _ = run_split(people, node, transformation=transformation, rank_cell=1, missing=missing)
    expected: Lines = {name: column.copy() for name, column in found.items()}
    for line, (row, trait, status) in enumerate(zip(found["row"], found["trait"], found["status"], strict=True)):
        if status == "estimated":
            values, covariates = naive.transformed(people.traits[:, trait], people.covariates, node, transformation)
            twin = naive.regress(people.dosages[row], values, covariates, complete_case=missing == "complete-case")
            for name, value in twin._asdict().items():
                expected[name][line] = value
    return compare(found, expected)


def split_differences(people: People) -> dict[tuple[int, str, int, str], Differences]:
    """Every number of nodes against everybody in one place, by transformation, rank_cell and convention for gaps."""
    outcomes = {}
    for transformation in TRANSFORMATIONS:
        for rank_cell in (1, 10, 50) if "rank" in transformation else (10,):
            for missing in ("mean", "complete-case"):
                plan = {"transformation": transformation, "rank_cell": rank_cell, "missing": missing}
                pooled, _ = run_pooled(people, **plan)
                for nodes in SPLITS:
                    random = np.random.default_rng(nodes)
                    node = np.minimum(random.geometric(2 / nodes, people.dosages.shape[1]), nodes)
                    found, _ = run_split(people, node, **plan)
                    outcomes[nodes, transformation, rank_cell, missing] = compare(found, pooled)
    return outcomes


def _fits(one: Differences) -> bool:
    return one.beta <= BETA and one.standard_error <= BETA and one.neg_log10_p <= LOG_P and one.others == 0


def _write(
    figures: tuple[int, dict[str, Reproduced], Printed, dict[tuple[str, str], Differences], dict[Any, Differences]],
    seconds: float,
) -> None:
    people, published, printed, twins, splits = figures
    lines = [
        "# Linear regression over several nodes",
        "",
        "Made by `python -m validation.linear`. All sums are rounded to fixed point exactly as the secure sum does it; people",
        "lie at several nodes, in memory.",
        "",
        "## Published slopes (GEUVADIS, chromosome 22)",
        "",
        "358 people at four nodes by country, 53 covariates, pooled ranks of residuals, `rank_cell: 1`, all genes in one pass.",
        "",
        "| genotypes | genes | slopes within 1e-5 | largest difference | of log10 p |",
        "|---|---|---|---|---|",
        *(f"| {name} | {o.genes} | {o.within} | {o.slope:.1e} | {o.log10_p:.1e} |" for name, o in published.items()),
        "",
        "## plink2 --glm (complete case)",
        "",
        f"{people:,} people of kg3-chr22-tel at five nodes by ancestry, 5 covariates, 3 simulated traits, half of the variants",
        f"with gaps of up to 10 %. {printed.lines:,} lines, {printed.without_estimate} without an estimate; numbers of people",
        f"that differ: {printed.counts_differ}; lines that only one of the two estimates: {printed.status_differs}.",
        "",
        "| column | lines beyond one unit of the sixth digit | worst relative difference |",
        "|---|---|---|",
        *(f"| {name} | {printed.beyond_print[name]} | {printed.worst_relative[name]:.1e} |" for name in printed.beyond_print),
        "",
        "## One QR for each variant and trait, over the pooled people",
        "",
        "| transformation | gaps | worst abs(Δβ)/SE | SE, relative | abs(Δlog10 p) | other differences |",
        "|---|---|---|---|---|---|",
        *(f"| {transformation} | {missing} | {_cells(one)} |" for (transformation, missing), one in twins.items()),
        "",
        f"## Any split ({', '.join(map(str, SPLITS))} nodes of unequal size) against one place",
        "",
        "The worst of all splits; counts, frequencies, degrees of freedom and status are compared bit by bit.",
        "",
        "| transformation | rank_cell | gaps | worst abs(Δβ)/SE | SE, relative | abs(Δlog10 p) | other differences |",
        "|---|---|---|---|---|---|---|",
    ]
    for plan in dict.fromkeys(key[1:] for key in splits):
        some = [one for key, one in splits.items() if key[1:] == plan]
        worst = Differences(*(max(column) for column in zip(*(vars(one).values() for one in some), strict=True)))
        lines.append(f"| {plan[0]} | {plan[1] if 'rank' in plan[0] else ''} | {plan[2]} | {_cells(worst)} |")
    lines += ["", f"Tolerances: {BETA:g} of abs(Δβ)/SE and of SE, {LOG_P:g} of abs(Δlog10 p). In {seconds:.0f} s.", ""]
    (HERE / "RESULTS.md").write_text("\n".join(lines))


def _cells(one: Differences) -> str:
    return f"{one.beta:.1e} | {one.standard_error:.1e} | {one.neg_log10_p:.1e} | {one.others}"


if __name__ == "__main__":
    raise SystemExit(main())
