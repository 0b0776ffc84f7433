"""The load report: what a load read, what it made of it, and what deserves a look. For the operator, never for the public."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from cohelix.bank.membership import Membership
from cohelix.bank.people import Linkage
from cohelix.bank.quality import QualityReport
from cohelix.bank.releases import Planned
from cohelix.bank.version import OpenVersion
from cohelix.core.genome import Assembly
from cohelix.core.ids import DatasetId
from cohelix.genotypes import GenotypeReport
from cohelix.genotypes.liftover import LiftReport
from cohelix.phenotypes import Reading
from cohelix.phenotypes.model import SEX_LABELS, People
from cohelix.phenotypes.ontology import CodeReport
from cohelix.wire.dataset import Disclosure

_LISTED_MOST = 20  # names shown of a list; the numbers are whole


@dataclass(frozen=True, slots=True)
class LoadReport:
    """One load: its dataset, what was read, how columns and people met, warnings, and the time that it took."""

    dataset: DatasetId
    version: int
    assembly: Assembly
    disclosure: Disclosure
    simulated: bool
    genotypes: GenotypeReport
    reading: Reading | None
    linkage: Linkage
    warnings: tuple[str, ...]
    started_at: datetime
    seconds: dict[str, float]
    quality: QualityReport | None = None
    codes: CodeReport | None = None
    lift: LiftReport | None = None
    membership: Membership | None = None

    def document(self) -> dict[str, Any]:
        """The report as a JSON document."""
        genotypes, call_sets = self.genotypes, self.linkage.call_sets
        return {
            "dataset": self.dataset,
            "version": self.version,
            "assembly": self.assembly,
            "disclosure": self.disclosure,
            "simulated": self.simulated,
            "loadedAt": self.started_at.isoformat(timespec="seconds"),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "genotypes": {
                "callSets": len(genotypes.samples),
                "records": genotypes.records,
                "variants": genotypes.variants,
                "contigs": list(genotypes.contigs),
                "multiallelicRecords": genotypes.multiallelic,
                "trimmed": genotypes.trimmed,
                "leftAligned": genotypes.left_aligned,
                "halfCalls": genotypes.half_calls,
                "referenceBlocks": genotypes.reference_blocks,
                "madeMissing": {"filter": genotypes.failed_filter, "gq": genotypes.failed_gq, "dp": genotypes.failed_dp},
                "callRate": genotypes.call_rate if genotypes.samples else None,
                "tiTv": genotypes.ti_tv,
                "hetHom": genotypes.het_hom,
                "duplicateVariants": {
                    "count": genotypes.duplicate_variants,
                    "listed": [{"variant": item.variant, "rows": item.rows} for item in genotypes.duplicates],
                },
                "perCallSet": {
                    "names": list(genotypes.samples),
                    "callRate": [round(float(rate), 6) for rate in genotypes.sample_call_rate],
                    "hetHom": [
                        round(het / hom, 4) if hom else None
                        for het, hom in zip(genotypes.sample_het.tolist(), genotypes.sample_hom.tolist(), strict=True)
                    ],
                },
            },
            "liftOver": self._lift(),
            "people": self._people(),
            "codes": self._codes(),
            "linkage": {
                "people": call_sets.n_people,
                "countedCallSets": int(call_sets.counted.sum()),
                "columnsWithoutPerson": _listed(self.linkage.columns_without_person),
                "peopleWithoutColumn": _listed(self.linkage.people_without_column),
                "callSetsNotCounted": _listed(self.linkage.not_counted),
            },
            "quality": self.quality.document if self.quality is not None else None,
            "membership": None
            if self.membership is None
            else {**self.membership.document(), "said": self.membership.sentence(self.disclosure)},
            "warnings": list(self.warnings),
        }

    def text(self) -> str:
        """The report for a reader at a terminal."""
        genotypes, call_sets = self.genotypes, self.linkage.call_sets
        lines = [
            f"dataset {self.dataset}, version {self.version}, {self.assembly}, {self.disclosure}"
            + (", SIMULATED" if self.simulated else ""),
            f"  variants            {genotypes.variants:,} from {genotypes.records:,} records "
            f"({genotypes.multiallelic:,} multi-allelic), contigs {', '.join(genotypes.contigs[:30])}",
            f"  call sets           {len(genotypes.samples):,}, {int(call_sets.counted.sum()):,} counted; "
            f"{call_sets.n_people:,} people",
            f"  call rate           {_call_rate(genotypes)}",
            *_made_missing(genotypes),
            f"  Ti/Tv, het/hom      {_ratio(genotypes.ti_tv)}, {_ratio(genotypes.het_hom)}",
        ]
        if self.lift is not None:
            lost = "; ".join(f"{number:,} {reason}" for reason, number in self.lift.lost.items())
            lines.append(
                f"  lift-over           {self.lift.lifted:,} by {self.lift.chain}, {self.lift.flipped:,} on the other strand, "
                f"{self.lift.moved_contig:,} on another contig; lost: {lost or 'none'}"
            )
        if self.reading is not None:
            known = ", ".join(f"{name} {count:,}" for name, count in list(self.reading.known.items())[:12] if count)
            lines.append(
                f"  people ({self.reading.format}): {self.reading.n_rows:,} rows, {len(self.reading.people):,} people; {known}"
            )
            if self.reading.columns_not_taken:
                lines.append(f"  columns not taken   {_names(self.reading.columns_not_taken)}")
            lines.append("  minimal dataset (GDI, v1), mandatory fields in capitals:")
            lines += [f"    {line}" for line in self.reading.completeness.lines()]
        if self.codes is not None:
            lines += _code_lines(self.codes)
        for title, names in (
            ("columns without a person", self.linkage.columns_without_person),
            ("people without a column", self.linkage.people_without_column),
            ("call sets not counted", self.linkage.not_counted),
        ):
            if names:
                lines.append(f"  {title}: {len(names):,}: {_names(names)}")
        if genotypes.duplicate_variants:
            first = ", ".join(item.variant for item in genotypes.duplicates[:5])
            lines.append(
                f"  variants in several records: {genotypes.duplicate_variants:,} (the first of each answers): {first}"
            )
        if self.quality is not None:
            lines.append(self.quality.text())
        if self.membership is not None:
            lines.append(f"  {self.membership.sentence(self.disclosure)}")
        lines += [f"  warning: {warning}" for warning in self.warnings]
        lines.append(f"  published in {sum(self.seconds.values()):.1f} s")
        return "\n".join(lines)

    def _lift(self) -> dict[str, Any] | None:
        if self.lift is None:
            return None
        losses = [{"variant": loss.variant, "reason": loss.reason} for loss in self.lift.losses]
        return {**self.lift.document(), "losses": losses}

    def _codes(self) -> dict[str, Any] | None:
        if self.codes is None:
            return None
        return {
            "ontologies": self.codes.versions,
            "prefixesWithoutOntology": list(self.codes.alone),
            "replaced": self.codes.replaced,
            "unknown": list(self.codes.unknown),
        }

    def _people(self) -> dict[str, Any] | None:
        if self.reading is None:
            return None
        return {
            "rows": self.reading.n_rows,
            "people": len(self.reading.people),
            "biosamples": len(self.reading.people.biosample_ids),
            "repeatedRows": self.reading.n_repeated_rows,
            "columnsNotTaken": list(self.reading.columns_not_taken),
            "completeness": self.reading.known,
            "minimalDataset": self.reading.completeness.document(),
            "format": self.reading.format,
        }


def _code_lines(codes: CodeReport) -> list[str]:
    lines = []
    if codes.versions or codes.alone:
        known = [f"{prefix} {version}" for prefix, version in codes.versions.items()]
        alone = [f"{', '.join(codes.alone)} without an ontology"] if codes.alone else []
        lines.append(f"  codes               {'; '.join(known + alone)}")
    if codes.replaced:
        renamed = tuple(f"{old} → {new}" for old, new in codes.replaced.items())
        lines.append(f"  codes brought up to date: {len(renamed):,}: {_names(renamed)}")
    if codes.unknown:
        lines.append(f"  codes that their ontology does not have: {len(codes.unknown):,}: {_names(codes.unknown)}")
    return lines


def write_report(report: LoadReport, path: Path) -> None:
    """Write the report as a JSON document."""
    path.write_text(json.dumps(report.document(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def people_warnings(people: People, linkage: Linkage, others: Mapping[DatasetId, OpenVersion]) -> tuple[str, ...]:
    """What people and columns give reason to look at, other datasets of the node considered."""
    found = []
    if linkage.columns_without_person and len(people):
        found.append(f"{len(linkage.columns_without_person)} genotype columns have no person in the table")
    if linkage.people_without_column:
        found.append(f"{len(linkage.people_without_column)} people of the table have no genotype column")
    numbers = {individual: number for number, individual in enumerate(people.individual_ids)}
    for other, version in others.items():
        theirs = version.people
        shared = [(numbers[name], place) for place, name in enumerate(theirs.individual_ids) if name in numbers]
        if not shared:
            continue
        mine, other_places = (np.array(column) for column in zip(*shared, strict=True))
        both = (people.sex[mine] != 0) & (theirs.sex[other_places] != 0)
        contradicting = int((both & (people.sex[mine] != theirs.sex[other_places])).sum())
        if contradicting:
            found.append(f"{contradicting} people have another sex in dataset {other}")
    return tuple(found)


def sex_warnings(genotypes: GenotypeReport, people: People, linkage: Linkage) -> tuple[str, ...]:
    """Whether the sexes of a PLINK file's own sample table contradict those of the people."""
    differ = []
    for name, stated, person in zip(genotypes.samples, genotypes.sex, linkage.call_sets.person.tolist(), strict=False):
        known = SEX_LABELS[int(people.sex[person])] if person < len(people) else ""
        if {stated, known} == {"male", "female"}:
            differ.append(name)
    if not differ:
        return ()
    return (
        f"{len(differ)} genotype columns have another sex in their .fam or .psam than their person: {_names(tuple(differ))}",
    )


def release_warnings(planned: Planned) -> tuple[str, ...]:
    """Who of a version is not in its public release, and why."""
    found = []
    n_withdrawn = int(planned.withdrawn.sum())
    if n_withdrawn:
        found.append(
            f"{n_withdrawn} people of these files have withdrawn: they are in no release; run 'cohelix node withdraw' again to "
            "remove them from this version's files"
        )
    n_refused = int(planned.refused.sum())
    if n_refused:
        found.append(f"{n_refused} people have not agreed to be counted in frequencies: they are in no release")
    n_waiting = len(planned.released) - int(planned.released.sum()) - n_withdrawn - n_refused
    if n_waiting:
        found.append(
            f"release {planned.standing.release} leaves out {n_waiting} people: no two releases may differ by a few people, so "
            "they wait for a later one"
        )
    return tuple(found)


def _listed(names: tuple[str, ...]) -> dict[str, Any]:
    return {"count": len(names), "listed": list(names[:_LISTED_MOST])}


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names[:_LISTED_MOST]) + (", …" if len(names) > _LISTED_MOST else "")


def _made_missing(genotypes: GenotypeReport) -> list[str]:
    failed = (("FILTER", genotypes.failed_filter), ("GQ", genotypes.failed_gq), ("DP", genotypes.failed_dp))
    lines = [f"{count:,} by {name}" for name, count in failed if count]
    blocks = [f"  reference blocks    {genotypes.reference_blocks:,}"] if genotypes.reference_blocks else []
    return [*([f"  calls made missing  {', '.join(lines)}"] if lines else []), *blocks]


def _call_rate(genotypes: GenotypeReport) -> str:
    if not genotypes.samples:
        return "-, nobody's genotypes"
    return f"{genotypes.call_rate:.4%}, half-called {genotypes.half_calls:,}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
