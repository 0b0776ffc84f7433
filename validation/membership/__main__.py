"""Attacks a floored half of real and of simulated people, and writes `validation/membership/RESULTS.md`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from cohelix.bank.membership import membership_of_version
from cohelix.disclosure.membership import REGISTERED_POWER_MAX, Simulated, auc
from validation.membership.attacks import Attacker, mean_of
from validation.membership.cohort import Halves, halves
from validation.realdata import genotype_sets, shared

HERE = Path(__file__).parent
ACCOUNTS, DAYS, REAL_ACCOUNTS = 100, 50, 10
DAY = 40  # distinct variants of an honest day, both alleles of 5 % or more
ANSWERED_MIN = 0.95


def examine(halves: Halves, *, accounts: int = ACCOUNTS, days: int = DAYS) -> tuple[list[str], list[str]]:
    """All attacks on one cohort: lines of a table, and what does not hold."""
    rng, attacker = np.random.default_rng(11), Attacker(halves)
    lines, wrong = [], []
    everybody = np.arange(halves.copies.shape[1])

    def line(name: str, found: Simulated, *, bounded: bool = False) -> None:
        upper = found.auc + found.half_width
        lines.append(f"| {name} | {found.auc:.3f} | {found.auc - found.half_width:.3f}…{upper:.3f} |")
        if bounded and upper > REGISTERED_POWER_MAX:
            wrong.append(f"{name}: upper bound {upper:.4f}")

    known = membership_of_version(halves.version)
    lines.append(
        f"| power that the node computed before publishing (exact answers to everybody) | {known.power if known else None} | |"
    )
    varies = np.flatnonzero((attacker.ac > 0) & (attacker.ac < attacker.an))
    line("without protection: frequencies of all variants, likelihood ratio", attacker.likelihood_ratio(varies))
    for queries in (5, 50, 500):
        line(f"without protection: Beacon, rarest first, {queries} questions", attacker.raw_beacon(queries, floor=1))
    line("floors alone: frequencies of all that is told", attacker.likelihood_ratio(np.flatnonzero(attacker.floored)))
    line("floors alone: Beacon at the floor, 500 questions", attacker.raw_beacon(500, floor=5))
    common = np.flatnonzero(attacker.told & (attacker.price == 1))
    plain, linked, asked = [], [], []
    for _ in range(accounts):
        rows = attacker.within_budget(rng.permutation(common))
        asked.append(len(rows))
        plain.append(attacker.likelihood_ratio(rows).auc)
        linked.append(attacker.linked_ratio(rows).auc)
    line(
        f"budget ({np.mean(asked):.0f} variants): frequencies, likelihood ratio, {accounts} accounts",
        mean_of(plain),
        bounded=True,
    )
    line(f"budget: frequencies, aware of linkage, {accounts} accounts", mean_of(linked), bounded=True)
    for at_boundary in (False, True):
        name = "nearest the least frequency that is told" if at_boundary else "rarest first"
        scores = attacker.rare_first(everybody, rng, at_boundary=at_boundary)
        line(f"budget: Beacon, {name}, an account for each person", auc(*scores), bounded=True)
    line(
        "residual, not bounded: frequencies of variants chosen by the person's own genotypes",
        attacker.chosen_genotypes(everybody),
    )
    differing = compare(halves, attacker, rng)
    if differing:
        wrong.append(f"{differing} answers of the node are not those that the attacks reckon with")
    share = honest(halves, rng, days)
    lines.append(f"| an honest day answered ({days} people, {DAY} variants each) | {share:.1%} | |")
    if share < ANSWERED_MIN:
        wrong.append(f"only {share:.1%} of an honest day are answered")
    return lines, wrong


def compare(halves: Halves, attacker: Attacker, rng: np.random.Generator, accounts: int = REAL_ACCOUNTS) -> int:
    """How many answers of the node itself, over its budget in SQL, differ from what the attacks reckon with."""
    differing = 0
    seen: dict[str, int] = {}
    for row, name in enumerate(halves.names):
        seen.setdefault(name, row)
    rows = np.array(list(seen.values()))
    for number in range(accounts):
        asker, order = halves.asker(f"compared-{number}"), rng.permutation(rows)[:60]
        if number % 2:
            order = rng.permutation(np.intersect1d(rows, np.flatnonzero(attacker.told)))[:60]
        paid = set(attacker.within_budget(order).tolist())
        for row in order.tolist():
            if row not in paid:
                break
            status, count = halves.ask(asker, row)
            expected = ("answered", int(attacker.ac[row])) if attacker.told[row] else ("below_floor", None)
            differing += (status, count) != expected
        else:
            continue
        differing += halves.ask(asker, row)[0] != "refused"
    return differing


def honest(halves: Halves, rng: np.random.Generator, days: int) -> float:
    """The share of an honest day's questions that the node answers."""
    frequency = halves.copies[:, halves.inside].mean(axis=1) / 2
    common, answered = np.flatnonzero((frequency >= 0.05) & (frequency <= 0.95)), 0
    for day in range(days):
        asker = halves.asker(f"honest-{day}")
        for row in rng.choice(common, DAY, replace=False).tolist():
            answered += halves.ask(asker, row)[0] == "answered"
    return answered / (days * DAY)


def simulate(folder: Path) -> list[Path]:
    """10,000 simulated people, by the shared folder's own tool."""
    tools = shared()
    assert tools is not None
    command = [sys.executable, tools / "tools/simulate_cohort.py", "--samples", "10000", "--length", "3e5", "--seed", "1"]
    command += ["--contig-length", "51304566"]  # GRCh37's
    subprocess.run([*command, "--out", folder / "simulated"], check=True, capture_output=True)
    return [folder / "simulated.vcf.gz"]


def main() -> int:
    """Exit 0 only if every attack within the budget stays below the bound, and an honest day is answered."""
    start, wrong = time.perf_counter(), []
    lines = [
        "# Membership attacks",
        "",
        "Made by `python -m validation.membership`. One seeded half of the people is a floored dataset; the others are not",
        "in it, and their frequencies (each person left out) are what the attacker knows of the population. AUC 0.5 is",
        "guessing. Intervals are DeLong's over people; of many accounts, over accounts, each with other variants.",
    ]
    with tempfile.TemporaryDirectory() as name:
        real = [one.path for one in genotype_sets() if one.name in ("kg3-chr22-cen", "kg3-chr22-tel")]
        cohorts = {
            "1000 Genomes, 1,252 of 2,504 people, 1.4 Mb of chr22": real,
            "Simulated, 5,000 of 10,000": simulate(Path(name)),
        }
        for number, (title, files) in enumerate(cohorts.items()):
            found, faults = examine(halves(Path(name) / str(number), files, seed=2504))
            lines += ["", f"## {title}", "", "| attack | AUC | 95 % |", "|---|---|---|", *found]
            wrong += [f"{title}: {fault}" for fault in faults]
            print("\n".join(found), faults, file=sys.stderr, flush=True)
    took = f"{time.perf_counter() - start:.0f} s, load of the machine at the end {os.getloadavg()[0]:.1f}"
    lines += ["", f"Not within the promise: {'; '.join(wrong) or 'nothing'}. {took}."]
    (HERE / "RESULTS.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
