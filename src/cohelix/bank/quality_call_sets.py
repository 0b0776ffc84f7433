"""The quality gate's look at call sets: figures of each, who is related to whom, who lies apart, and what is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from cohelix.bank.people import CallSets
from cohelix.bank.quality_thresholds import Action, Thresholds
from cohelix.core.arrays import BoolArray, ByteArray, FloatArray, IntArray
from cohelix.core.errors import BadFile
from cohelix.genotypes.depths import Depths
from cohelix.genotypes.quality import Survey, ancestry, kinship, survey
from cohelix.genotypes.store import GenotypeStore
from cohelix.phenotypes.model import SEX_LABELS, People
from cohelix.stats import RelatedPairs, contamination_estimates, group_distances, robust_z

_MALE, _FEMALE = 1, 2
_HET_SITES_MIN = 1000  # autosomal calls under which heterozygosity and ratios say little of a person
_SEED = 2504  # of the draw of people whom components are fitted on: the same data, the same components


class Finding(NamedTuple):
    """Something wrong, or worth a look, with one call set: its column, which check, what it does, and in words."""

    column: int
    check: str
    action: Action
    detail: str


class Check(NamedTuple):
    """A check of the gate: `assessed`, or why not."""

    name: str
    status: Literal["assessed", "not assessed"]
    detail: str


class DepthFigures(NamedTuple):
    """Of each call set: mean depth, contamination estimate and its number of sites; and what they were read from."""

    mean_depth: FloatArray
    contamination: FloatArray
    sites: IntArray
    records: int
    complete: bool


@dataclass(slots=True)
class Examined:
    """What is known of a dataset's call sets; all arrays are in column order.

    Attributes
    ----------
    declared, genetic
        (columns,) uint8: 0 unknown, 1 male, 2 female.
    population
        (columns,) label, empty where not known.
    pairs
        Related columns; None where relatedness was not assessed.
    places
        (columns, k) on principal components; None where ancestry was not assessed.
    """

    names: tuple[str, ...]
    counted: BoolArray
    declared: ByteArray
    population: tuple[str, ...]
    survey: Survey
    genetic: ByteArray
    depths: DepthFigures | None
    pairs: RelatedPairs | None = None
    pair_markers: int = 0
    places: FloatArray | None = None
    findings: list[Finding] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    @property
    def excluded(self) -> BoolArray:
        """(columns,) bool: those that a finding takes out."""
        out = np.zeros(len(self.names), np.bool_)
        out[[found.column for found in self.findings if found.action == "exclude"]] = True
        return out

    def find(self, columns: Sequence[int] | IntArray, check: str, action: Action, details: Sequence[str] | str) -> None:
        """Note the same finding of several columns; nothing where the action is off. What does not count, is not left out."""
        if action == "off":
            return
        for place, column in enumerate(columns):
            does: Action = action if self.counted[column] else "warn"
            self.findings.append(Finding(int(column), check, does, details if isinstance(details, str) else details[place]))

    def note(self, name: str, why_not: str = "", detail: str = "") -> None:
        """Note a check: as assessed, unless it says why not."""
        self.checks.append(Check(name, "not assessed" if why_not else "assessed", why_not or detail))


def depth_figures(depths: Depths | None, sites_min: int) -> DepthFigures | None:
    """Means and estimates from sums of depths."""
    if depths is None:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(depths.depth_sites > 0, depths.depth_sum / depths.depth_sites, np.nan)
    estimates = contamination_estimates(depths.share_sum, depths.share_sites, sites_min=sites_min)
    return DepthFigures(mean, estimates, depths.share_sites, depths.records, depths.complete)


def examine(
    store: GenotypeStore,
    people: People,
    call_sets: CallSets,
    thresholds: Thresholds,
    *,
    depths: DepthFigures | None,
) -> Examined:
    """Look at every call set of a germline store that has people."""
    known = call_sets.person < len(people)
    declared, origins = np.zeros(len(known), np.uint8), people.origins()
    declared[known] = people.sex[call_sets.person[known]]
    population = tuple(
        origins[person] if person < len(people) else "" for person in call_sets.person.tolist()
    )  # fmt: skip
    limits = thresholds.relatedness
    looked = survey(store, declared, maf_min=limits.maf_min, call_rate_min=limits.marker_call_rate_min)
    found = Examined(
        tuple(store.info.samples), call_sets.counted, declared, population, looked, np.zeros(len(known), np.uint8), depths
    )
    _call_rate(found, thresholds)
    _depth(found, thresholds)
    _sex(found, thresholds)
    _outliers(found, thresholds)
    _relatedness(found, store, call_sets, thresholds)
    _ancestry(found, store, thresholds)
    _batches(found, store, thresholds)
    return found


def _call_rate(found: Examined, thresholds: Thresholds) -> None:
    rate, least = found.survey.people.call_rate, thresholds.samples.call_rate_min
    low = np.flatnonzero(rate < least)
    found.find(low, "call_rate", thresholds.actions.call_rate, [f"call rate {rate[i]:.4f}, below {least}" for i in low])
    found.note("call rate")


def _depth(found: Examined, thresholds: Thresholds) -> None:
    limits, depths = thresholds.samples, found.depths
    if depths is None:
        found.note("depth", "the genotype files give no read depth (FORMAT DP or AD)")
        found.note("contamination", "the genotype files give no allele depths (FORMAT AD)")
        return
    low = np.flatnonzero(depths.mean_depth < limits.mean_depth_min)
    details = [f"mean depth {depths.mean_depth[i]:.1f}, below {limits.mean_depth_min:g}" for i in low]
    found.find(low, "depth", thresholds.actions.depth, details)
    read = f"from {depths.records:,} autosomal records" + ("" if depths.complete else ", the first of each file")
    found.note("depth", detail=read)
    estimates = depths.contamination
    assessed = int((~np.isnan(estimates)).sum())
    if not assessed:
        found.note("contamination", f"no call set has {limits.contamination_sites_min} suitable sites with allele depths")
        return
    high = np.flatnonzero(estimates > limits.contamination_max)
    details = [f"about {estimates[i]:.1%} foreign reads, above {limits.contamination_max:.1%}" for i in high]
    found.find(high, "contamination", thresholds.actions.contamination, details)
    found.note("contamination", detail=f"{assessed:,} of {len(estimates):,} call sets, {read}")


def _sex(found: Examined, thresholds: Thresholds) -> None:
    limits, figures = thresholds.samples, found.survey.people
    if figures.x_variable_rows < limits.x_variants_min:
        found.note("sex", f"{figures.x_variable_rows} variable sites on X outside PAR, fewer than {limits.x_variants_min}")
        return
    f_x = figures.f_x
    man, woman = f_x >= limits.male_f_min, f_x <= limits.female_f_max
    y_told = figures.y_rows >= limits.y_variants_min
    y_share = figures.y_called / max(figures.y_rows, 1)
    if y_told:
        unclear = ~man & ~woman
        contradiction = (man & (y_share < 0.1)) | (woman & (y_share > 0.5))
        man = (man & ~contradiction) | (unclear & (y_share > 0.5) & (f_x > 0.5))
        woman = (woman & ~contradiction) | (unclear & (y_share < 0.1) & (f_x < 0.5))
    found.genetic[man], found.genetic[woman] = _MALE, _FEMALE

    def said(i: np.integer[Any]) -> str:
        told = f", Y called {y_share[i]:.0%}" if y_told else ""
        return f"declared {SEX_LABELS[found.declared[i]]}, F on X {f_x[i]:.3f}{told}"

    wrong = np.flatnonzero((found.declared > 0) & (found.genetic > 0) & (found.declared != found.genetic))
    found.find(wrong, "sex", thresholds.actions.sex, [f"{said(i)}: {SEX_LABELS[found.genetic[i]]}" for i in wrong])
    neither = np.flatnonzero(found.genetic == 0)
    found.find(neither, "sex_unclear", thresholds.actions.sex_unclear, [f"{said(i)}: unclear" for i in neither])
    found.note("sex", detail=f"{figures.x_variable_rows:,} variable sites on X, {figures.y_rows:,} rows on Y")


def _outliers(found: Examined, thresholds: Thresholds) -> None:
    """Values far from those of the person's population: too many heterozygotes tell of mixed, too few of lost alleles."""
    figures, limits = found.survey.people, thresholds.samples
    if found.survey.markers.windows < thresholds.relatedness.windows_min:
        found.note("heterozygosity", _too_local(found, thresholds))
    else:
        f = np.where(figures.autosome_sites >= _HET_SITES_MIN, figures.f_autosomes, np.nan)
        z = _z_by_population(found, f, limits.heterozygosity_f_min / limits.heterozygosity_z_max)
        more = np.flatnonzero(z < -limits.heterozygosity_z_max)
        details = [f"F {f[i]:+.3f}: more heterozygotes than its population (z {z[i]:+.1f})" for i in more]
        found.find(more, "heterozygosity", thresholds.actions.heterozygosity, details)
        # Few heterozygotes may be lost alleles, or parents who are cousins: that is for people to decide.
        fewer = np.flatnonzero(z > limits.heterozygosity_z_max)
        details = [f"F {f[i]:+.3f}: fewer heterozygotes than its population (z {z[i]:+.1f})" for i in fewer]
        found.find(fewer, "heterozygosity", "off" if thresholds.actions.heterozygosity == "off" else "warn", details)
        found.note("heterozygosity")
    typical = float(np.median(figures.singletons)) if len(figures.singletons) else 0.0
    for name, values, spread in (
        ("Ti/Tv", np.where(figures.transversions >= 200, figures.ti_tv, np.nan), 0.03),
        ("het/hom", np.where(figures.hom >= 200, figures.het_hom, np.nan), 0.05),
        ("singletons", figures.singletons.astype(np.float64), max(2.0, typical**0.5)),
    ):
        z = _z_by_population(found, values, spread)
        far = np.flatnonzero(np.abs(z) > limits.outlier_z_max)
        details = [f"{name} {values[i]:.3g}, far from its population's (z {z[i]:+.1f})" for i in far]
        found.find(far, "outlier", thresholds.actions.outlier, details)
    found.note("Ti/Tv, het/hom, singletons")


def _z_by_population(found: Examined, values: FloatArray, spread_min: float) -> FloatArray:
    """Robust z within populations of at least 20 people, of the others within everybody."""
    z = robust_z(values, spread_min=spread_min)
    labels = np.array(found.population)
    for label in set(found.population) - {""}:
        members = labels == label
        if members.sum() >= 20:
            z[members] = robust_z(values[members], spread_min=spread_min)
    return z


def _relatedness(found: Examined, store: GenotypeStore, call_sets: CallSets, thresholds: Thresholds) -> None:
    limits, markers, n = thresholds.relatedness, found.survey.markers, len(found.names)
    n_pairs = n * (n - 1) // 2
    if len(markers.rows) < limits.markers_min or markers.windows < limits.windows_min:
        found.note("relatedness", _too_local(found, thresholds))
        return
    if n_pairs > limits.pairs_max:
        found.note("relatedness", f"{n_pairs:,} pairs are more than relatedness.pairs_max, {limits.pairs_max:,}")
        return
    pairs, found.pair_markers = kinship(store, markers, kinship_min=limits.kinship_min, markers_max=limits.markers_max)
    found.pairs = pairs
    rate = found.survey.people.call_rate
    alike: set[tuple[int, int]] = set()
    for first, second, value in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.kinship.tolist(), strict=True):
        same_person = call_sets.person[first] == call_sets.person[second]
        if value < limits.duplicate_min:
            if not same_person:
                degree = "first" if value >= 0.177 else "second"
                for one, other in ((first, second), (second, first)):
                    detail = f"{degree}-degree relative of {found.names[other]} (kinship {value:.4f})"
                    found.find([one], "relative", thresholds.actions.relative, detail)
            continue
        alike.add((first, second))
        if same_person:
            continue
        # The one with fewer calls goes; of two with as many, the later.
        out, stays = (first, second) if rate[first] < rate[second] else (second, first)
        detail = f"same genotypes as {found.names[stays]}, declared as another person (kinship {value:.4f})"
        found.find([out], "duplicate", thresholds.actions.duplicate, detail)
        if thresholds.actions.duplicate != "off":
            found.find([stays], "duplicate", "warn", f"same genotypes as {found.names[out]}, which is left out")
    by_person: dict[int, list[int]] = {}
    for column, person in enumerate(call_sets.person.tolist()):
        by_person.setdefault(person, []).append(column)
    for columns in by_person.values():
        for column in columns[1:]:
            if (columns[0], column) not in alike:
                detail = f"declared as the same person as {found.names[columns[0]]}, with other genotypes"
                found.find([column], "duplicate", thresholds.actions.duplicate, detail)
    found.note("relatedness", detail=f"{n_pairs:,} pairs at {found.pair_markers:,} markers")


def _ancestry(found: Examined, store: GenotypeStore, thresholds: Thresholds) -> None:
    limits, relatedness, markers = thresholds.ancestry, thresholds.relatedness, found.survey.markers
    if len(markers.rows) < relatedness.markers_min or markers.windows < relatedness.windows_min:
        found.note("ancestry", _too_local(found, thresholds))
        return
    left_out = found.excluded | (found.survey.people.call_rate < thresholds.samples.call_rate_min)
    if int((~left_out).sum()) < 5 * limits.components:
        found.note("ancestry", f"{int((~left_out).sum())} call sets are too few for {limits.components} components")
        return
    places, _ = ancestry(
        store, markers, k=limits.components, markers_max=limits.markers_max, people_max=limits.fitted_people_max,
        left_out=left_out, seed=_SEED,
    )  # fmt: skip
    found.places = places
    labels, sizes = np.unique(np.array(found.population), return_counts=True)
    groups = [str(label) for label, size in zip(labels, sizes, strict=True) if label and size >= limits.population_people_min]
    if not groups:
        distance = np.abs(np.stack([robust_z(column) for column in places.T])).max(axis=0)
        far = np.flatnonzero(distance > 2 * limits.distance_max)
        details = [f"{distance[i]:.0f} standard deviations from most people" for i in far]
        found.find(far, "ancestry", thresholds.actions.ancestry, details)
        found.note("ancestry", detail="without populations: distance from most people")
        return
    number = {label: index for index, label in enumerate(groups)}
    group = np.array([number.get(label, -1) for label in found.population], np.int64)
    distances = group_distances(places, group, len(groups))
    grouped = np.flatnonzero(group >= 0)
    own = distances[grouped, group[grouped]]
    nearest = distances[grouped].argmin(axis=1)
    ratio = distances[grouped, nearest] / own
    far = np.flatnonzero((own > limits.distance_max) & (ratio < limits.nearer_other))
    details = [
        f"declared {groups[group[grouped[i]]]}, {own[i]:.0f} times an ordinary member's distance from it, "
        f"nearest to {groups[nearest[i]]}"
        for i in far
    ]
    found.find(grouped[far], "ancestry", thresholds.actions.ancestry, details)
    found.note("ancestry", detail=f"{limits.components} components, {len(groups)} populations")


def _batches(found: Examined, store: GenotypeStore, thresholds: Thresholds) -> None:
    """Batches whose calls are missing, or differ from the others' of the same populations, at too many markers."""
    limits = thresholds.batches
    if limits.file is None:
        found.note("batches", "no batches are given (batches.file)")
        return
    batch = _read_batches(limits.file, found.names)
    labels = sorted(set(batch) - {""})
    rows = found.survey.markers.rows
    if len(rows) > limits.markers_max:
        rows = rows[np.linspace(0, len(rows) - 1, limits.markers_max).astype(np.int64)]
    rate, columns, strata = found.survey.people.call_rate, np.array(batch), np.array(found.population)
    differing = (
        _differing(store, rows, columns, strata, labels=labels, z_max=limits.z_max) if len(rows) else np.zeros(len(labels))
    )
    for place, label in enumerate(labels):
        members = np.flatnonzero(columns == label)
        if float(np.median(rate[members])) < limits.call_rate_min:
            detail = f"batch {label}: median call rate {np.median(rate[members]):.4f}, below {limits.call_rate_min}"
            found.find(members, "batch", thresholds.actions.batch, detail)
        elif differing[place] > limits.variants_share_max:
            detail = f"batch {label}: other frequencies than its populations at {differing[place]:.2%} of markers"
            found.find(members, "batch", thresholds.actions.batch, detail)
    found.note("batches", detail=f"{len(labels)} batches, {len(rows):,} markers")


def _differing(
    store: GenotypeStore,
    rows: IntArray,
    batch: np.ndarray[Any, Any],
    strata: np.ndarray[Any, Any],
    *,
    labels: list[str],
    z_max: float,
) -> FloatArray:
    """Share of markers, of each batch, at which its copies of ALT differ from its populations' by more than `z_max`."""
    member = np.stack([batch == label for label in labels]).astype(np.float64)  # (batches, people)
    differ = np.zeros(len(labels))
    for start in range(0, len(rows), 512):
        dosages = store.dosages(rows[start : start + 512], dtype="float64")
        called = ~np.isnan(dosages)
        filled = np.where(called, dosages, 0)
        score, variance = np.zeros((len(filled), len(labels))), np.zeros((len(filled), len(labels)))
        for stratum in set(strata.tolist()):
            inside = strata == stratum
            n = called[:, inside].sum(axis=1, keepdims=True)
            mean = filled[:, inside].sum(axis=1, keepdims=True) / np.maximum(n, 1)
            spread = (np.where(called[:, inside], filled[:, inside] - mean, 0) ** 2).sum(axis=1, keepdims=True)
            of_batch = called[:, inside] @ member[:, inside].T
            score += filled[:, inside] @ member[:, inside].T - of_batch * mean
            variance += of_batch * (1 - of_batch / np.maximum(n, 1)) * spread / np.maximum(n - 1, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            differ += (np.abs(score) > z_max * np.sqrt(np.maximum(variance, 0.25))).sum(axis=0)
    return differ / len(rows)


def _read_batches(path: Path, names: tuple[str, ...]) -> list[str]:
    """The batch of each column, empty where the file does not name it."""
    expected = "two columns, biosample id and batch, separated by a tab"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(str(path), "", f"it cannot be read ({error})", expected) from None
    batch = {}
    for number, line in enumerate(lines, 1):
        words = line.split("\t")
        if len(words) != 2:
            raise BadFile(str(path), f"line {number}", f"it has {len(words)} columns", expected)
        batch[words[0]] = words[1].strip()
    if not batch.keys() & set(names):
        raise BadFile(str(path), "", "it names none of the genotype columns", expected)
    return [batch.get(name, "") for name in names]


def _too_local(found: Examined, thresholds: Thresholds) -> str:
    markers, limits = found.survey.markers, thresholds.relatedness
    return (
        f"{len(markers.rows):,} markers in {markers.windows} stretches of a million bases do not stand for a whole genome "
        f"({limits.markers_min:,} in {limits.windows_min} are needed)"
    )
