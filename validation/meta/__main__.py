"""Simulates a trait over real genotypes at five nodes, combines the nodes three ways, and writes `RESULTS.md`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import statsmodels.api as sm
from statsmodels.stats.meta_analysis import combine_effects

from cohelix.analysis.data import Study
from cohelix.analysis.meta import meta
from cohelix.wire.plan import Plan
from validation import kg3, realdata
from validation.linear.experiment import FixedPointSummer, Kept, Lines, People
from validation.linear.referee import real_people

HERE = Path(__file__).parent
VARIANTS = 4_000
# Of effects, in standard errors: plink 1.9 works from tables that plink2 prints with six digits.
TOLERANCES = (1e-8, 1e-4)
Array = npt.NDArray[Any]


class Compared(NamedTuple):
    """How many lines were compared with a referee, and the worst differences."""

    referee: str
    lines: int
    beta_in_se: float
    q_or_i: float


def people_and_nodes(variants: int = VARIANTS) -> tuple[People, Array]:
    """Complete real genotypes, two covariates, one trait; and five nodes of unequal size and ancestry."""
    source = next(one for one in realdata.genotype_sets() if one.name == "kg3-chr22-tel")
    people, node = real_people(kg3.read_genotypes(source.path), 2 * variants, 11)
    complete = people.dosages[~np.isnan(people.dosages).any(axis=1)][:variants]
    return People(complete, people.traits[:, :1], people.covariates[:, :2]), node


def ours(people: People, node: Array) -> Lines:
    """The lines of the method, with sums rounded as the secure sum does."""
    parts = [people.part(node == one) for one in np.unique(node)]
    variants, n = people.dosages.shape
    study = Study(variants, ("c0", "c1"), ("t0",), False, len(parts), 2 * n)
    plan = {"project": "proof", "datasets": ["A:a"], "method": "meta", "trait": {"measurement": "t0"}}
    kept = Kept()
    meta(Plan.model_validate({**plan, "covariates": ["age", "sex"]}), study, FixedPointSummer(parts), kept)
    return kept.lines()


def against_statsmodels(people: People, node: Array, found: Lines, rows: Array) -> Compared:
    """Each node's ordinary least squares, combined by `combine_effects`."""
    worst, other = 0.0, 0.0
    for row in rows.tolist():
        effects, variances = [], []
        for one in np.unique(node):
            here = node == one
            dosage = people.dosages[row, here]
            if np.ptp(dosage) == 0:
                continue
            X = np.column_stack([dosage, np.ones(here.sum()), people.covariates[here]])
            fit = sm.OLS(people.traits[here, 0], X).fit()
            effects.append(fit.params[0])
            variances.append(fit.bse[0] ** 2)
        line = int(np.flatnonzero(found["row"] == row)[0])
        if len(effects) < 2:
            continue
        theirs = combine_effects(np.array(effects), np.array(variances))
        fixed = theirs.summary_frame().loc["fixed effect"]
        worst = max(worst, abs(found["beta"][line] - fixed["eff"]) / fixed["sd_eff"])
        other = max(other, abs(found["q"][line] - theirs.q) / max(1.0, theirs.q))
    return Compared("statsmodels OLS and combine_effects (Q relative)", len(rows), worst, other)


def against_plink(people: People, node: Array, found: Lines, folder: Path) -> Compared:
    """plink2 at each node, `plink1.9 --meta-analysis` over their tables."""
    files = []
    for one in np.unique(node):
        here = node == one
        stem = folder / f"node{one}"
        kg3.write_plink(stem, people.dosages[:, here], {"t0": people.traits[here, 0]}, people.covariates[here])
        kg3.plink_glm("plink2", stem, "cols=+beta,+orbeta,+se,+tz,+p", "--vif", "1e9", "--max-corr", "1")
        table = kg3.read_glm(folder / f"node{one}.t0.glm.linear")
        lines = zip(table["ID"], table["POS"], table["BETA"], table["SE"], table["P"], strict=True)
        path = folder / f"node{one}.assoc"
        body = "".join(f"22 {name} {place} A C {beta} {se} {p}\n" for name, place, beta, se, p in lines if beta != "NA")
        path.write_text("CHR SNP BP A1 A2 BETA SE P\n" + body)
        files.append(path)
    command = ["plink1.9", "--meta-analysis", *files, "+", "qt", "--out", folder / "meta"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    rows = [line.split() for line in (folder / "meta.meta").read_text().splitlines()]
    place = {name: number for number, name in enumerate(rows[0])}
    line_of = {row: line for line, row in enumerate(found["row"].tolist())}
    worst, other, compared = 0.0, 0.0, 0
    for row in rows[1:]:
        line = line_of[int(row[place["SNP"]][1:])]
        if int(row[place["N"]]) != found["studies"][line]:
            return Compared("plink 1.9", compared, np.inf, np.inf)
        theirs = float(row[place["BETA"]])
        # plink prints four decimals of the effect, and I² in percent with two.
        worst = max(worst, max(0.0, abs(found["beta"][line] - theirs) - 5.1e-5) / found["standard_error"][line])
        other = max(other, 0.0, abs(100 * found["i_squared"][line] - float(row[place["I"]])) - 0.02)
        compared += 1
    return Compared("plink2 at each node, plink1.9 --meta-analysis (beyond its print; I² in percent)", compared, worst, other)


def main() -> int:
    """Exit 0 only if both referees agree."""
    people, node = people_and_nodes()
    found = ours(people, node)
    rows = np.random.default_rng(3).choice(len(people.dosages), 300, replace=False)
    with tempfile.TemporaryDirectory(prefix="cohelix-meta-") as folder:
        compared = [
            against_statsmodels(people, node, found, rows),
            against_plink(people, node, found, Path(folder)),
        ]
    lines = [
        "# Meta-analysis",
        "",
        f"Made by `python -m validation.meta`: {len(people.dosages):,} real variants of chromosome 22, a simulated",
        f"trait, {people.dosages.shape[1]:,} people at {len(np.unique(node))} nodes of unequal size and ancestry; sums",
        "rounded as the secure sum does. plink 1.9 leaves out variants that one node alone can estimate.",
        "",
        "| referee | lines | worst difference of effects, in standard errors | worst of Q or I² |",
        "|---|---|---|---|",
        *(f"| {one.referee} | {one.lines:,} | {one.beta_in_se:.1e} | {one.q_or_i:.1e} |" for one in compared),
    ]
    (HERE / "RESULTS.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    beyond = (one.beta_in_se > most for one, most in zip(compared, TOLERANCES, strict=True))
    return 1 if any(beyond) or any(one.q_or_i > 1e-2 or not one.lines for one in compared) else 0


if __name__ == "__main__":
    sys.exit(main())
