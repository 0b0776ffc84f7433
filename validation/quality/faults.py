"""Thirty faults planted in simulated people, and whether the gate finds each of them and nothing in those without."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from validation.processes import Ended, said
from validation.quality import simulate as sim
from validation.quality.simulate import Cohort


class Outcome(NamedTuple):
    """A planted fault: what it was, where the gate should see it, whether it did, and in its words."""

    fault: str
    expected: str
    found: bool
    told: str


class Loaded(NamedTuple):
    """How a load ended, and the quality document of its report."""

    ended: Ended
    quality: dict[str, Any]


def load(
    cohort: Cohort, folder: Path, *, thresholds: str = "", shift: int = 0, lengths: bool = True, build: str = "GRCh37"
) -> Loaded:
    """Load a cohort into a new node, with the gate enforced."""
    folder.mkdir(parents=True)
    genotypes = sim.write_vcf(cohort, folder / "genotypes.vcf.gz", shift=shift, lengths=lengths)
    people = sim.write_people(cohort, folder / "people.tsv")
    node, report = folder / "node", folder / "report.json"
    assert said("node", "init", node, "--id", "A", "--name", "A", "--country", "FI").status == 0
    words: list[str | Path] = ["--genotypes", genotypes, "--individuals", people, "--assembly", build, "--simulated"]
    if thresholds:
        (folder / "thresholds.yaml").write_text(thresholds)
        words += ["--thresholds", folder / "thresholds.yaml"]
    ended = said("node", "load", node, "--dataset", "d", *words, "--quality", "enforce", "--report", report)
    return Loaded(ended, json.loads(report.read_text())["quality"] if report.exists() else {})


def clean(folder: Path, seed: int, n_people: int = 120) -> list[Outcome]:
    """A cohort without any fault is accepted whole."""
    chance = np.random.default_rng(seed)
    cohort = sim.simulate(n_people, chance)
    sim.sequence(cohort, chance)
    loaded = load(cohort, folder)
    findings = [f for f in loaded.quality.get("findings", []) if f["action"] == "exclude" or f["check"] != "outlier"]
    good = loaded.ended.status == 0 and loaded.quality["verdict"] == "accept" and not findings
    return [
        Outcome(
            "none: a cohort without a fault",
            "accept",
            good,
            str(findings[:3]) if findings else loaded.quality.get("verdict", ""),
        )
    ]


def of_people(folder: Path, seed: int, n_people: int = 240) -> list[Outcome]:  # noqa: PLR0915 - a list of faults, one by one
    """Faults of single people, all in one cohort; whoever has none must not be left out."""
    chance = np.random.default_rng(seed)
    cohort = sim.simulate(n_people, chance)
    expected: list[tuple[str, int, str]] = []  # fault, person, check
    free = iter(range(n_people))

    def someone(sex: int | None = None) -> int:
        return next(i for i in free if sex is None or cohort.sex[i] == sex)

    for sex, word in ((1, "female"), (2, "male"), (1, "female")):
        person = someone(sex)
        cohort.declared_sex[person] = word
        expected.append((f"declared {word}, is not", person, "sex"))
    person = someone(2)
    men, on_y = np.flatnonzero(cohort.sex == 1), np.flatnonzero(cohort.contig == "Y")
    cohort.alleles[on_y, person] = cohort.alleles[on_y, men[-1]]
    expected.append(("two X and a Y", person, "sex_unclear"))
    for part in (0.05, 0.08, 0.12, 0.2):
        person = someone()
        cohort.foreign[person] = (n_people - 1 - len(cohort.foreign), part)
        expected.append((f"{part:.0%} of the reads are another person's", person, "contamination"))
    first, second = someone(1), someone(1)
    cohort.alleles[:, second] = cohort.alleles[:, first]
    cohort.population[second], cohort.declared_population[second] = cohort.population[first], cohort.declared_population[first]
    expected.append(("one person twice, under two names", second, "duplicate"))
    first, second = someone(2), someone(2)
    cohort.alleles[:, second] = cohort.alleles[:, first]
    cohort.declared_population[second] = cohort.declared_population[first]
    cohort.dropout[second] = 0.02
    expected.append(("one person twice, with errors of calling", second, "duplicate"))
    first, second = someone(), someone()
    cohort.person[second] = cohort.person[first]
    cohort.declared_sex[second], cohort.declared_population[second] = (
        cohort.declared_sex[first],
        cohort.declared_population[first],
    )
    expected.append(("two people under one name", second, "duplicate"))
    north = [i for i in free if cohort.population[i] == 0]
    free = iter(north)
    mother, father, child, sib, half = (next(free) for _ in range(5))
    outsider = next(free)
    sim.child_of(cohort, child, mother, father, chance)
    sim.child_of(cohort, sib, mother, father, chance)
    sim.child_of(cohort, half, mother, outsider, chance)
    expected += [("parent and child", father, "relative"), ("full siblings", sib, "relative")]
    expected.append(("half siblings", half, "relative"))
    for person in (next(free), next(free)):
        cohort.declared_population[person] = sim.POPULATIONS[1 - cohort.population[person]]
        expected.append(("declared of another population", person, "ancestry"))
    person = next(free)
    cohort.depth[person] = 9.0
    expected.append(("read nine times only", person, "depth"))
    person = next(free)
    cohort.dropout[person] = 0.5
    expected.append(("half of the heterozygotes lost", person, "heterozygosity"))
    sim.sequence(cohort, chance)
    for part in (0.08, 0.5):
        person = next(free)
        cohort.calls[chance.random(len(cohort.position)) < part, person] = -1
        expected.append((f"{part:.0%} of the calls missing", person, "call_rate"))
    person, donor = next(free), next(free)
    either = cohort.autosomal & (cohort.calls[:, donor] >= 0) & (cohort.calls[:, person] != cohort.calls[:, donor])
    cohort.calls[either & (chance.random(len(either)) < 0.7), person] = 1
    expected.append(("half of another sample poured in", person, "heterozygosity"))
    loaded = load(cohort, folder, thresholds="dataset: {excluded_share_max: 0.2}\n")
    findings = loaded.quality.get("findings", [])
    outcomes = [_seen(fault, cohort.names[person], check, findings) for fault, person, check in expected]
    allowed = {cohort.names[person] for _, person, _ in expected}
    wrongly = sorted(set(loaded.quality.get("excluded", [])) - allowed)
    outcomes.append(Outcome("none: nobody else is left out", "nobody", loaded.ended.status == 0 and not wrongly, str(wrongly)))
    return outcomes


def _seen(fault: str, name: str, check: str, findings: list[dict[str, Any]]) -> Outcome:
    told = [one["detail"] for one in findings if one["check"] == check and (one["callSet"] == name or name in one["detail"])]
    if fault == "half siblings":  # not by their parents, who are of the first degree
        told = [detail for detail in told if detail.startswith("second-degree")]
    return Outcome(fault, check, bool(told), told[0] if told else "")


def of_datasets(folder: Path, seed: int, only: set[str] | None = None) -> list[Outcome]:
    """Faults of whole datasets, one load each: refused, or a batch left out."""
    return [
        plant(folder / name, np.random.default_rng(seed + number))
        for number, (name, plant) in enumerate(_OF_DATASETS.items())
        if only is None or name in only
    ]


def _cohort(chance: np.random.Generator) -> Cohort:
    cohort = sim.simulate(120, chance)
    sim.sequence(cohort, chance)
    return cohort


def _refused(fault: str, loaded: Loaded, words: str) -> Outcome:
    told = loaded.ended.err.strip().splitlines()[-1] if loaded.ended.err.strip() else ""
    return Outcome(fault, f"refused: {words}", loaded.ended.status == 2 and words in told, told)


def _shifted(folder: Path, chance: np.random.Generator) -> Outcome:
    cohort = _cohort(chance)
    cohort.declared_sex = cohort.declared_sex[1:] + cohort.declared_sex[:1]
    return _refused("the table of people is shifted by a line", load(cohort, folder), "another sex than declared")


def _stated_build(folder: Path, chance: np.random.Generator) -> Outcome:
    return _refused(
        "another build is stated than the header's lengths", load(_cohort(chance), folder, build="GRCh38"), "GRCh37"
    )


def _silent_build(folder: Path, chance: np.random.Generator) -> Outcome:
    cohort = _cohort(chance)
    folder.mkdir(parents=True)
    sim.write_reference(cohort, folder / "reference.tsv")
    thresholds = f"variants: {{reference_frequencies: {folder / 'reference.tsv'}}}\n"
    loaded = load(cohort, folder / "load", thresholds=thresholds, shift=100_000, lengths=False)
    return _refused("another build, and a header without lengths", loaded, "another genome build")


def _swapped_alleles(folder: Path, chance: np.random.Generator) -> Outcome:
    cohort = _cohort(chance)
    folder.mkdir(parents=True)
    sim.write_reference(cohort, folder / "reference.tsv")
    turned = np.flatnonzero(chance.random(len(cohort.position)) < 0.4)
    cohort.calls[turned] = np.where(cohort.calls[turned] >= 0, 2 - cohort.calls[turned], -1)
    cohort.ad[turned] = cohort.dp[turned] - cohort.ad[turned]
    thresholds = f"variants: {{reference_frequencies: {folder / 'reference.tsv'}}}\n"
    return _refused("REF and ALT exchanged in part", load(cohort, folder / "load", thresholds=thresholds), "another frequency")


def _batch(folder: Path, chance: np.random.Generator, *, spoil: Callable[[Cohort, np.ndarray], None], fault: str) -> Outcome:
    cohort = _cohort(chance)
    members = np.arange(100, 110)
    spoil(cohort, members)
    folder.mkdir(parents=True)
    batches = [f"{name}\t{'bad' if number in members else f'plate{number % 3}'}" for number, name in enumerate(cohort.names)]
    (folder / "batches.tsv").write_text("\n".join(batches) + "\n")
    thresholds = f"batches: {{file: {folder / 'batches.tsv'}}}\ndataset: {{excluded_share_max: 0.2}}\n"
    quality = load(cohort, folder / "load", thresholds=thresholds).quality
    named = {one["callSet"] for one in quality.get("findings", []) if one["check"] == "batch"}
    told = next((one["detail"] for one in quality.get("findings", []) if one["check"] == "batch"), "")
    return Outcome(fault, "batch", named == {cohort.names[i] for i in members}, told)


def _missing_batch(folder: Path, chance: np.random.Generator) -> Outcome:
    def spoil(cohort: Cohort, members: np.ndarray) -> None:
        gone = chance.random((len(cohort.position), len(members))) < 0.04
        cohort.calls[:, members] = np.where(gone, -1, cohort.calls[:, members])

    return _batch(folder, chance, spoil=spoil, fault="a batch with missing calls")


def _false_batch(folder: Path, chance: np.random.Generator) -> Outcome:
    def spoil(cohort: Cohort, members: np.ndarray) -> None:
        turned = np.flatnonzero(chance.random(len(cohort.position)) < 0.05)
        cohort.calls[np.ix_(turned, members)] = 0  # a probe that sees REF only

    return _batch(folder, chance, spoil=spoil, fault="a batch whose probes fail at one site in twenty")


def _gaps(folder: Path, chance: np.random.Generator) -> Outcome:
    cohort = _cohort(chance)
    weak = np.flatnonzero(chance.random(len(cohort.position)) < 0.3)
    cohort.calls[weak] = np.where(chance.random((len(weak), len(cohort.names))) < 0.12, -1, cohort.calls[weak])
    thresholds = "samples: {call_rate_min: 0.8}\nrelatedness: {marker_call_rate_min: 0.8}\n"
    loaded = load(cohort, folder, thresholds=thresholds)
    return _refused("three in ten variants with gaps", loaded, "variants have a call rate below")


def _folded(folder: Path, chance: np.random.Generator) -> Outcome:
    cohort = _cohort(chance)
    folded = np.flatnonzero(chance.random(len(cohort.position)) < 0.15)
    cohort.calls[folded] = 1  # two places of the genome read as one: everybody seems heterozygous
    return _refused("duplicated stretches read as one", load(cohort, folder), "Hardy-Weinberg")


def _noise(folder: Path, chance: np.random.Generator) -> Outcome:
    cohort = _cohort(chance)
    cohort.alt = np.array([chance.choice([other for other in "ACGT" if other != base]) for base in cohort.ref])
    return _refused("false variants: every base as likely", load(cohort, folder), "Ti/Tv")


_OF_DATASETS: dict[str, Callable[[Path, np.random.Generator], Outcome]] = {
    "shifted": _shifted,
    "stated-build": _stated_build,
    "silent-build": _silent_build,
    "swapped-alleles": _swapped_alleles,
    "missing-batch": _missing_batch,
    "false-batch": _false_batch,
    "gaps": _gaps,
    "folded": _folded,
    "noise": _noise,
}
