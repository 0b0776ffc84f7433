"""Case/control tests against pooled ones, statsmodels, plink2 and exact probabilities; writes `RESULTS.md` beside this."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from validation import kg3, realdata
from validation.linear.experiment import People
from validation.logistic import naive
from validation.logistic.experiment import Differences, compare, run_pooled, run_split
from validation.logistic.referee import SHARES, Against, against_plink2, good, real_people

HERE = Path(__file__).parent
SPLITS = (3, 4, 7, 12, 20)
PLANS: dict[str, dict[str, Any]] = {
    "logistic, mean": {"method": "logistic"},
    "logistic, full Firth, mean": {"method": "logistic", "options": {"firth": "full"}},
    "wald, mean": {"method": "wald", "missing": "mean"},
    "wald, complete-case": {"method": "wald", "missing": "complete-case"},
    "firth, mean": {"method": "firth", "missing": "mean"},
    "firth, complete-case": {"method": "firth", "missing": "complete-case"},
}


class Twins(NamedTuple):
    """Largest differences from the naive twins of pooled people, and how many lines of each were compared."""

    score: float
    saddlepoint: float
    wald: float
    firth: float
    firth_held: float
    lines: dict[str, int]


class Proof(NamedTuple):
    """All that was compared."""

    printed: list[Against]
    alike: Twins
    exact: Exact
    splits: dict[tuple[str, int], Differences]


class Exact(NamedTuple):
    """The saddlepoint against the permutation distribution, p ≥ 1e-6: lines, the largest factor, the smallest exact p."""

    lines: int
    factor: float
    least: float
    uncorrected_factor: float


def main() -> int:
    """Exit 0 only if every figure is within its tolerance."""
    shared = realdata.shared()
    if shared is None:
        print("the shared folder with real data is not present: set COHELIX_SHARED", file=sys.stderr)
        return 2
    started = time.perf_counter()
    genotypes = kg3.read_genotypes(next((shared / "data/kg3-chr22-tel").glob("*.bcf")))
    people, node = real_people(genotypes, 1_000, seed=1)
    with tempfile.TemporaryDirectory(prefix="cohelix-logistic-") as scratch:
        printed = against_plink2(people, node, shutil.which("plink2") or "plink2", Path(scratch))
    print(printed, file=sys.stderr, flush=True)
    few = People(people.dosages[::5], people.traits, people.covariates)
    alike = twins(few, node)
    print(alike, file=sys.stderr, flush=True)
    exact = permutations(genotypes.copies, seed=3)
    print(exact, file=sys.stderr, flush=True)
    splits = split_differences(People(people.dosages[::15], people.traits, people.covariates))
    _write(people, Proof(printed, alike, exact, splits), time.perf_counter() - started)
    fits = alike.score <= 1e-6 and alike.saddlepoint <= 1e-6 and alike.wald <= 1e-6 and alike.firth <= 1e-6
    fits &= exact.factor <= 2 and all(good(one) for one in printed)
    fits &= all(one.others == 0 and one.beta <= 1e-8 and one.neg_log10_p <= 1e-6 for one in splits.values())
    return 0 if fits else 1


def twins(people: People, node: npt.NDArray[Any]) -> Twins:
    """The runs over nodes against one naive test for each line."""
    worst = dict.fromkeys(("score", "saddlepoint", "wald", "firth", "firth_held"), 0.0)
    lines = dict.fromkeys(worst, 0)

    def note(name: str, difference: float) -> None:
        worst[name] = max(worst[name], difference)
        lines[name] += 1

    tests = run_split(people, node, "logistic")
    fits = {method: run_split(people, node, method) for method in ("wald", "firth")}
    nulls = [naive.null_model(trait, people.covariates) for trait in people.traits.T]
    for line, (row, trait) in enumerate(zip(tests["row"], tests["trait"], strict=True)):
        dosage, null = people.dosages[row], nulls[trait]
        if np.isnan(tests["statistic"][line]):
            continue
        found = naive.score(null, dosage)
        note("score", abs(tests["statistic"][line] - found.score / np.sqrt(found.variance)))
        if tests["p_method"][line] == "saddlepoint":
            note("saddlepoint", abs(tests["neg_log10_p"][line] - naive.saddlepoint(null, dosage)))
        if tests["beta_method"][line] == "firth-approximate":
            held = naive.firth_held(null, dosage)
            note("firth_held", abs(tests["beta"][line] - held.beta) / held.standard_error)
        if line % 3 == 0:
            who = (null.y, people.covariates, naive.filled(dosage))
            strong = naive.firth(*who)
            note("firth", abs(fits["firth"]["beta"][line] - strong.beta) / strong.standard_error)
            if fits["wald"]["status"][line] == "estimated" and tests["n1"][line] + 2 * tests["n2"][line] >= 60:
                weak = naive.wald(*who)
                note("wald", abs(fits["wald"]["beta"][line] - weak.beta) / weak.standard_error)
    return Twins(*worst.values(), lines)


def permutations(copies: npt.NDArray[Any], *, seed: int, each: int = 12) -> Exact:
    """Saddlepoints without covariates, of cases drawn so that carriers are more often cases, against all tables of cases."""
    rng = np.random.default_rng(seed)
    count = np.minimum(copies.sum(axis=1), (2 - copies).sum(axis=1))
    worst = {True: 0.0, False: 0.0}
    lines, least = 0, 1.0
    n = copies.shape[1]
    for share in SHARES:
        for low, high in ((3, 10), (10, 50), (50, 300), (300, 2000)):
            for row in rng.choice(np.flatnonzero((count >= low) & (count < high)), each, replace=False):
                dosage = copies[row].astype(np.float64)
                if dosage.mean() > 1:
                    dosage = 2 - dosage
                # Carriers are cases with these odds: z from about 2 up to far beyond 5.
                chance = np.exp(dosage * rng.uniform(0.2, 3.0) * min(1.0, 4 / np.sqrt(low)))
                y = np.zeros(n)
                y[rng.choice(n, int(n * share), replace=False, p=chance / chance.sum())] = 1
                exact = naive.permutation_p(dosage, y)
                if not 1e-6 <= exact < 0.05:
                    continue
                one = People(dosage[None], y[:, None], np.zeros((n, 0)))
                for lattice in (True, False):
                    found = run_split(one, rng.integers(0, 4, n), "logistic", options={"lattice": lattice, "spa_z": 1.0})
                    worst[lattice] = max(worst[lattice], 10 ** abs(float(found["neg_log10_p"][0]) + np.log10(exact)))
                lines, least = lines + 1, min(least, exact)
    return Exact(lines, worst[True], least, worst[False])


def split_differences(people: People) -> dict[tuple[str, int], Differences]:
    """Every number of nodes against everybody in one place, by plan; sums are rounded as in the secure sum."""
    outcomes = {}
    for name, plan in PLANS.items():
        pooled = run_pooled(people, **plan)
        for nodes in SPLITS:
            node = np.random.default_rng(nodes).integers(0, nodes, people.dosages.shape[1])
            outcomes[name, nodes] = compare(run_split(people, node, **plan), pooled)
        print(name, outcomes[name, SPLITS[-1]], file=sys.stderr, flush=True)
    return outcomes


def _write(people: People, proof: Proof, seconds: float) -> None:
    printed, alike, exact, splits = proof
    variants, n = people.dosages.shape
    shares = ", ".join(f"{share:.0%}" for share in SHARES)
    lines = [
        "# Case/control tests against pooled ones, statsmodels, plink2 and exact probabilities",
        "",
        f"Made by `python -m validation.logistic`: {variants:,} variants of `kg3-chr22-tel` of {n:,} people (from three copies",
        f"of the rarer allele up, half of the variants with 3 % of the calls missing), traits simulated with {shares} of the",
        "people as cases, four covariates. Nodes' parts are rounded to fixed point by their declared bounds, as the secure sum",
        "does it.",
        "",
        "## One naive test for each line, over pooled people",
        "",
        "| test | referee | lines | largest difference | allowed |",
        "|---|---|---|---|---|",
    ]
    rows = (
        ("score, Δz", "score", alike.score, "statsmodels null model", "1e-6"),
        ("saddlepoint, Δlog10 p", "saddlepoint", alike.saddlepoint, "the same formula, root by bisection", "1e-6"),
        ("Wald, Δβ/SE", "wald", alike.wald, "statsmodels", "1e-6"),
        ("Firth, Δβ/SE", "firth", alike.firth, "the definition in double precision", "1e-6"),
        ("Firth, covariates held, Δβ/SE", "firth_held", alike.firth_held, "the definition in double precision", ""),
    )
    lines += [f"| {name} | {who} | {alike.lines[key]:,} | {value:.1e} | {most} |" for name, key, value, who, most in rows]
    lines += [
        "",
        "## plink2, complete cases, five unequal nodes",
        "",
        "plink2 computes in single precision and stops early. Lines beyond its tolerance (Firth 3e-4 SE, Wald 1e-5 SE) were",
        "given to the naive twin: the last column is how far we are from it there.",
        "",
        "| `--glm` | lines | fit by one only (us, plink2) | n differs | median Δβ/SE | largest | ΔSE/SE | beyond | distance |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {'firth' if one.method == 'firth' else 'no-firth'} | {one.lines:,} | {one.ours_only}, {one.theirs_only} | "
        f"{one.counts_differ} | {one.median:.1e} | {one.beta:.1e} | {one.standard_error:.1e} | {one.beyond} | {one.twin:.1e} |"
        for one in printed
    ]
    lines += [
        "",
        "## Exact enumeration",
        "",
        "Without covariates, the exact p is that of the permutation distribution: who is a case is drawn anew, as many cases",
        "as there are, and P(|S − E S| ≥ |s − E S|) is summed over all tables of cases with no, one and two copies.",
        f"Over {exact.lines} variants with 1e-6 ≤ p < 0.05 (the smallest {exact.least:.1e}, from three copies up) the",
        f"saddlepoint with the lattice correction is within a factor of {exact.factor:.2f}; allowed is 2. Without the",
        f"correction: {exact.uncorrected_factor:.2f}.",
        "",
        "## Any split",
        "",
        "Against everybody in one place, over all splits (3, 4, 7, 12 and 20 nodes); counts, status and methods never differ.",
        "",
        "| plan | largest Δβ/SE | ΔSE/SE | Δ statistic | Δlog10 p | lines that differ otherwise |",
        "|---|---|---|---|---|---|",
    ]
    for name in PLANS:
        some = [one for (plan, _), one in splits.items() if plan == name]
        largest = [max(column) for column in zip(*some, strict=True)]
        lines.append(f"| {name} | " + " | ".join(f"{value:.1e}" for value in largest[:4]) + f" | {largest[4]} |")
    lines += ["", f"{seconds:.0f} s."]
    (HERE / "RESULTS.md").write_text("\n".join(lines) + "\n")
    record = {
        "twins": alike._asdict(),
        "plink2": [asdict(one) for one in printed],
        "exact": exact._asdict(),
        "splits": {f"{plan}, {nodes} nodes": one._asdict() for (plan, nodes), one in splits.items()},
    }
    (HERE / "results.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    with threadpool_limits(1):  # matrices are small: threads would only wait for each other
        sys.exit(main())
