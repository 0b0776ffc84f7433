"""The quality gate: how good a dataset is, and whether it may be published: accept, accept with exclusions, refuse.

It looks at call sets before counts are made, so that what is left out does not count, and at variants afterwards.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cohelix.bank.manifest import Atom
from cohelix.bank.people import CallSets
from cohelix.bank.quality_call_sets import Check, DepthFigures, Examined, depth_figures, examine
from cohelix.bank.quality_thresholds import Thresholds
from cohelix.bank.quality_variants import VariantFigures, look_at_variants
from cohelix.core.arrays import BoolArray
from cohelix.genotypes import CountTable
from cohelix.genotypes.depths import read_depths
from cohelix.genotypes.quality import n_threads
from cohelix.genotypes.store import GenotypeStore
from cohelix.phenotypes.model import SEX_LABELS, People
from cohelix.wire.dataset import Content

Verdict = Literal["accept", "accept with exclusions", "refuse", "not assessed"]
_NOT_GERMLINE = "these are not germline genotypes of whole people: who does not carry a variant was not looked at there"


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What the gate says of a dataset: verdict, reasons, and all figures as one JSON document with the operator's names."""

    verdict: Verdict
    reasons: tuple[str, ...]
    document: dict[str, Any]

    def text(self) -> str:
        """In a few lines, for a terminal."""
        document, lines = self.document, [f"  quality             {self.verdict}"]
        lines += [f"    refused because {reason}" for reason in self.reasons]
        lines += [f"    {row['check']}: {row['callSets']:,} call sets ({row['action']})" for row in document["summary"]]
        lines += [
            f"    {check['name']}: not assessed: {check['detail']}"
            for check in document["checks"]
            if check["status"] != "assessed"
        ]
        return "\n".join(lines)


class Gate:
    """One assessment in progress: first the call sets, then, from the table of counts, the variants."""

    def __init__(
        self,
        store: GenotypeStore,
        people: People,
        call_sets: CallSets,
        thresholds: Thresholds,
        *,
        content: Content = "germline",
        files: Sequence[Path] = (),
        depths: DepthFigures | None = None,
    ) -> None:
        """Look at the call sets.

        Parameters
        ----------
        files, depths
            Where depths are read from; or what an earlier assessment of the same version read.
        """
        self._store, self._thresholds, self._content = store, thresholds, content
        self._examined: Examined | None = None
        if content == "germline" and store.info.samples and store.info.n_variants:
            if depths is None and files:
                sums = read_depths(files, store.info.samples, threads=n_threads())
                depths = depth_figures(sums, thresholds.samples.contamination_sites_min)
            self._examined = examine(store, people, call_sets, thresholds, depths=depths)

    @property
    def excluded(self) -> BoolArray:
        """(columns,) bool: call sets that should not count."""
        if self._examined is None:
            return np.zeros(len(self._store.info.samples), np.bool_)
        return self._examined.excluded

    def close(self, counts: CountTable, atoms: tuple[Atom, ...]) -> QualityReport:
        """Look at the variants, and judge."""
        figures = None
        if self._content in ("germline", "aggregate") and self._store.info.n_variants:
            people = self._content == "germline"
            figures = look_at_variants(self._store, counts, atoms, self._thresholds, people=people)
        return _judge(self._examined, figures, self._thresholds)


def stored_depths(document: dict[str, Any] | None) -> DepthFigures | None:
    """The depth figures of an earlier assessment's document; None where it has none."""
    found = ((document or {}).get("callSets") or {}).get("depths")
    if not found:
        return None

    def column(name: str) -> Any:
        return np.array([math.nan if value is None else value for value in found[name]], np.float64)

    return DepthFigures(
        column("mean"),
        column("contamination"),
        column("contaminationSites").astype(np.int64),
        found["records"],
        found["complete"],
    )


def _judge(examined: Examined | None, variants: VariantFigures | None, thresholds: Thresholds) -> QualityReport:
    reasons = (*_call_set_reasons(examined, thresholds), *_variant_reasons(variants, thresholds))
    excluded = int(examined.excluded.sum()) if examined is not None else 0
    verdict: Verdict = "accept with exclusions" if excluded else "accept"
    if examined is None and variants is None:
        verdict = "not assessed"
    if reasons:
        verdict = "refuse"
    document = {
        "verdict": verdict,
        "reasons": list(reasons),
        "thresholds": thresholds.model_dump(mode="json"),
        "checks": [check._asdict() for check in (*_checks(examined), *_variant_checks(variants, thresholds))],
        "summary": _summary(examined),
        "findings": _findings(examined),
        "excluded": [examined.names[i] for i in np.flatnonzero(examined.excluded)] if examined is not None else [],
        "callSets": _call_sets(examined),
        "relatives": _relatives(examined),
        "variants": _variants(variants),
    }
    return QualityReport(verdict, reasons, document)


def _call_set_reasons(examined: Examined | None, thresholds: Thresholds) -> list[str]:
    if examined is None:
        return []
    limits, figures, reasons = thresholds.dataset, examined.survey.people, []
    n = len(examined.names)
    rate = figures.called.sum() / max(int(figures.sites.sum()), 1)
    if rate < limits.call_rate_min:
        reasons.append(f"the call rate is {rate:.4f}, below {limits.call_rate_min}")
    excluded = int(examined.excluded.sum())
    if excluded > limits.excluded_share_max * n:
        reasons.append(f"{excluded:,} of {n:,} call sets would be left out, more than {limits.excluded_share_max:.0%}")
    both = (examined.declared > 0) & (examined.genetic > 0)
    wrong = int((both & (examined.declared != examined.genetic)).sum())
    if wrong >= 3 and wrong > limits.sex_mismatch_share_max * int(both.sum()):
        reasons.append(f"{wrong:,} of {int(both.sum()):,} people are of another sex than declared: is the table shifted?")
    transitions, transversions = examined.survey.kinds[:2]
    if transitions + transversions >= limits.ti_tv_variants_min:
        ratio = transitions / max(transversions, 1)
        if not limits.ti_tv_min <= ratio <= limits.ti_tv_max:
            reasons.append(f"Ti/Tv is {ratio:.2f}, outside {limits.ti_tv_min:g} to {limits.ti_tv_max:g}")
    return reasons


def _variant_reasons(variants: VariantFigures | None, thresholds: Thresholds) -> list[str]:
    if variants is None:
        return []
    limits, reasons = thresholds.dataset, []
    if variants.low_call_rate > limits.low_call_rate_share_max * variants.n_variants:
        share = variants.low_call_rate / variants.n_variants
        reasons.append(f"{share:.1%} of the variants have a call rate below {thresholds.variants.call_rate_min}")
    # Without populations, mixed ancestry alone makes heterozygotes few: then only too many of them tell.
    failed = variants.hwe_failed if variants.hwe_by_population else variants.hwe_excess
    if variants.hwe_tested and failed > limits.hwe_share_max * variants.hwe_tested:
        reasons.append(f"{failed / variants.hwe_tested:.1%} of the tests of Hardy-Weinberg equilibrium fail")
    reference = variants.reference
    if reference is not None and reference.given >= limits.reference_sites_min:
        if reference.found < limits.reference_found_share_min * reference.given:
            found = f"{reference.found:,} of {reference.given:,} sites of the reference are in the dataset"
            reasons.append(f"{found}: another genome build, or other variants")
        elif reference.differing > limits.frequency_difference_share_max * reference.found:
            share = reference.differing / reference.found
            reasons.append(f"{share:.1%} of the variants have another frequency than the reference")
    return reasons


def _checks(examined: Examined | None) -> list[Check]:
    if examined is None:
        return [Check("call sets", "not assessed", _NOT_GERMLINE)]
    return examined.checks


def _variant_checks(variants: VariantFigures | None, thresholds: Thresholds) -> list[Check]:
    if variants is None:
        return [Check("variants", "not assessed", _NOT_GERMLINE)]
    checks = [Check("variant call rate", "assessed", f"{variants.n_variants:,} variants")]
    if variants.hwe_tested:
        groups = ", ".join(variants.hwe_groups) if variants.hwe_by_population else "everybody: no population is known"
        checks.append(Check("Hardy-Weinberg", "assessed", f"{variants.hwe_tested:,} tests, in {groups}"))
    else:
        least = thresholds.variants.hwe_people_min
        checks.append(Check("Hardy-Weinberg", "not assessed", f"no variable site in a population of at least {least} people"))
    if variants.reference is None:
        checks.append(Check("frequencies of a reference", "not assessed", "none is given (variants.reference_frequencies)"))
    else:
        checks.append(Check("frequencies of a reference", "assessed", f"{variants.reference.found:,} sites"))
    return checks


def _summary(examined: Examined | None) -> list[dict[str, Any]]:
    if examined is None:
        return []
    seen = {(found.check, found.action, found.column) for found in examined.findings}
    times = Counter((check, action) for check, action, _ in seen)
    return [{"check": check, "action": action, "callSets": n} for (check, action), n in sorted(times.items())]


def _findings(examined: Examined | None) -> list[dict[str, Any]]:
    if examined is None:
        return []
    order = sorted(examined.findings, key=lambda found: (found.action != "exclude", found.check, found.column))
    return [
        {"callSet": examined.names[one.column], "check": one.check, "action": one.action, "detail": one.detail} for one in order
    ]


def _call_sets(examined: Examined | None) -> dict[str, Any] | None:
    if examined is None:
        return None
    figures, depths = examined.survey.people, examined.depths
    return {
        "names": list(examined.names),
        "population": list(examined.population),
        "declaredSex": [SEX_LABELS[code] for code in examined.declared.tolist()],
        "geneticSex": [SEX_LABELS[code] for code in examined.genetic.tolist()],
        "callRate": _numbers(figures.call_rate),
        "het": figures.het.tolist(),
        "homAlt": figures.hom.tolist(),
        "hetHom": _numbers(figures.het_hom),
        "transitions": figures.transitions.tolist(),
        "transversions": figures.transversions.tolist(),
        "tiTv": _numbers(figures.ti_tv),
        "indels": figures.indels.tolist(),
        "singletons": figures.singletons.tolist(),
        "fAutosomes": _numbers(figures.f_autosomes, 12),
        "fX": _numbers(figures.f_x, 12),
        "xSites": figures.x_sites.tolist(),
        "yCalled": figures.y_called.tolist(),
        "yRows": figures.y_rows,
        "components": None if examined.places is None else [_numbers(axis, 4) for axis in examined.places.T],
        "depths": None
        if depths is None
        else {
            "records": depths.records,
            "complete": depths.complete,
            "mean": _numbers(depths.mean_depth, 3),
            "contamination": _numbers(depths.contamination),
            "contaminationSites": depths.sites.tolist(),
        },
    }


def _relatives(examined: Examined | None) -> dict[str, Any] | None:
    if examined is None or examined.pairs is None:
        return None
    pairs, names = examined.pairs, examined.names
    columns = zip(*(column.tolist() for column in pairs[:6]), strict=True)
    return {
        "markers": examined.pair_markers,
        "notListed": pairs.n_more,
        "pairs": [
            {
                "callSets": [names[first], names[second]],
                "markers": markers,
                "hetHet": both,
                "ibs0": ibs0,
                "kinship": round(value, 6),
            }
            for first, second, markers, both, ibs0, value in columns
        ],
    }


def _variants(variants: VariantFigures | None) -> dict[str, Any] | None:
    if variants is None:
        return None
    reference = variants.reference
    return {
        "variants": variants.n_variants,
        "meanCallRate": _number(variants.mean_call_rate),
        "lowCallRate": variants.low_call_rate,
        "hardyWeinberg": {
            "tests": variants.hwe_tested,
            "failed": variants.hwe_failed,
            "tooManyHeterozygotes": variants.hwe_excess,
            "populations": list(variants.hwe_groups),
            "expected": _numbers(variants.quantiles[0], 4),
            "observed": _numbers(variants.quantiles[1], 4),
        },
        "worst": [item._asdict() for item in variants.worst],
        "reference": None
        if reference is None
        else {
            "sites": reference.given,
            "found": reference.found,
            "differing": reference.differing,
            "allelesSwapped": reference.swapped,
            "correlation": _number(reference.correlation),
            "expected": _numbers(reference.points[0], 5),
            "observed": _numbers(reference.points[1], 5),
        },
    }


def _number(value: float, digits: int = 6) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None


def _numbers(values: Any, digits: int = 6) -> list[float | None]:
    return [_number(value, digits) for value in values.tolist()]
