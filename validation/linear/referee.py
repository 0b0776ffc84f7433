"""plink2 over the same people: `--glm` leaves people without a call out, as our `complete-case` does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from validation import kg3
from validation.linear.experiment import Lines, People, run_split

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Printed:
    """What plink2 printed and how our figures compare."""

    lines: int
    without_estimate: int
    counts_differ: int
    status_differs: int
    beyond_print: dict[str, int]
    worst_relative: dict[str, float]


def real_people(genotypes: kg3.Genotypes, variants: int, seed: int) -> tuple[People, Array]:
    """Real genotypes with planted gaps, simulated covariates and traits; and (people,) five nodes of unequal size and ancestry.

    Half of the variants are complete, the others lack up to a tenth of their calls. The first trait has effects of 1 % of
    its variance at every fiftieth variant, the second is very skewed, the third is whole numbers.
    """
    random = np.random.default_rng(seed)
    chosen = np.sort(random.choice(len(genotypes.position), min(variants, len(genotypes.position)), replace=False))
    dosages = genotypes.copies[chosen].astype(float)
    dosages = dosages[np.ptp(dosages, axis=1) > 0]
    people = dosages.shape[1]
    noise = random.normal(size=(people, 5))
    axes = np.linalg.svd(dosages[:500] - dosages[:500].mean(axis=1, keepdims=True), full_matrices=False)[2][:3].T
    covariates = np.column_stack([40 * axes, random.uniform(20, 80, people), random.integers(0, 2, people)])
    causal = dosages[::50]
    effects = random.normal(size=len(causal)) * 0.1 / np.maximum(0.05, causal.std(axis=1))
    traits = np.column_stack(
        [
            causal.T @ effects + covariates @ [0.5, 0.2, 0.1, 0.01, 0.3] + noise[:, 0],
            np.exp(noise[:, 1] + 0.3 * axes[:, 0] * 40) * 1e-6,
            np.round(4 * noise[:, 2] + covariates[:, 4] + dosages[7]) + 100,  # plink2 takes −9 as missing
        ]
    )
    share = random.choice([0, 1], (len(dosages), 1)) * random.uniform(0, 0.1, (len(dosages), 1))
    dosages[random.random(dosages.shape) < share] = np.nan
    node = np.searchsorted(np.quantile(axes[:, 0], [0.05, 0.2, 0.45, 0.75]), axes[:, 0])
    return People(dosages, traits, covariates), node


def against_plink2(people: People, node: Array, plink2: str, folder: Path) -> Printed:
    """Compare every line of the complete-case run over the nodes with plink2's."""
    names = [f"t{number}" for number in range(people.traits.shape[1])]
    stem = folder / "people"
    kg3.write_plink(stem, people.dosages, dict(zip(names, people.traits.T, strict=True)), people.covariates)
    kg3.plink_glm(plink2, stem, "cols=+a1freq,+nobs,+beta,+orbeta,+se,+tz,+p,+err", "--vif", "1e9", "--max-corr", "1")
    found, _ = run_split(people, node, missing="complete-case")
    return _compared(found, [kg3.read_glm(folder / f"people.{name}.glm.linear") for name in names])


def _compared(found: Lines, printed: list[dict[str, list[str]]]) -> Printed:
    numbers = {
        "BETA": "beta",
        "SE": "standard_error",
        "T_STAT": "statistic",
        "P": "neg_log10_p",
        "A1_FREQ": "effect_allele_frequency",
    }
    beyond, worst = dict.fromkeys(numbers, 0), dict.fromkeys(numbers, 0.0)
    lines = without = counts = status = 0
    for trait, theirs in enumerate(printed):
        mine = {name: column[found["trait"] == trait] for name, column in found.items()}
        place = {int(name[1:]): number for number, name in enumerate(theirs["ID"])}
        order = np.array([place[row] for row in mine["row"].tolist()])
        told = np.array([theirs["BETA"][number] != "NA" for number in order])
        status += int((told != (mine["status"] == "estimated")).sum())
        counts += int((mine["n"] != np.array([int(theirs["OBS_CT"][number]) for number in order])).sum())
        told &= mine["status"] == "estimated"
        lines, without = lines + len(order), without + int((~told).sum())
        for name, ours in numbers.items():
            text = [theirs[name][number] for number in order[told]]
            value = 10.0 ** -mine[ours][told] if name == "P" else mine[ours][told]
            beyond[name] += int((~kg3.printed_alike(value, text)).sum())
            told_value = np.array([float(one) for one in text])
            relative = np.abs(value - told_value) / np.maximum(np.abs(told_value), 1e-300)
            worst[name] = max(worst[name], float(relative.max(initial=0.0)))
    return Printed(lines, without, counts, status, beyond, worst)
