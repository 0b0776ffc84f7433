"""A run's table, made from what was settled of it and from sums: by the hub as they open, by a reader from kept ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from cohelix.analysis.data import Study
from cohelix.analysis.files import GENOTYPE_COLUMNS, TableWriter
from cohelix.analysis.local import study_of
from cohelix.analysis.meta import node_estimates
from cohelix.analysis.methods import count_people, run_method
from cohelix.analysis.results import Outcome, Sink
from cohelix.analysis.steps import AnyArray, Summer
from cohelix.analysis.variants import VariantList
from cohelix.core.variant import parse_variant
from cohelix.federation.derived_asks import ClosingPass
from cohelix.federation.roster import FrozenRoster, Roster, RosterSignature
from cohelix.federation.run_store import StoredRun
from cohelix.wire.plan import Plan, parse_plan

VARIANTS = "variants.arrow"  # in the run's folder


class Computed(NamedTuple):
    """How many people took part, what holds for the whole run, and by locus node, effect and standard error."""

    people: int
    outcome: Outcome
    estimates: dict[str, list[list[Any]]]


class SettledRun:
    """What the hub settled of a run before its first sum.

    Parameters
    ----------
    run
        Its row; `details` may still grow.
    """

    def __init__(self, run: StoredRun) -> None:
        self._run = run
        self.plan: Plan = parse_plan(run.plan)

    @property
    def roster(self) -> Roster:
        """Who takes part."""
        return Roster.model_validate(self._run.details["roster"])

    @property
    def frozen(self) -> FrozenRoster:
        """The roster with its signatures."""
        signatures = tuple(RosterSignature.model_validate(one) for one in self._run.details["signatures"])
        return FrozenRoster(roster=self.roster, signatures=signatures)

    @property
    def contributors(self) -> list[str]:
        """Who brings figures, by id."""
        return [one.node for one in self.roster.contributors()]

    def mac_floor(self) -> int:
        """Least minor allele count of a line: the strictest of the contributors' policies."""
        return max(one.mac_floor for one in self.roster.contributors())

    def study(self, variants: VariantList) -> Study:
        """What a method knows before the first sum."""
        return study_of_roster(self.plan, self.roster, variants)

    def compute(
        self, summer: Summer, variants: VariantList, folder: Path, *, watched: Callable[[Sink], Sink] = lambda sink: sink
    ) -> Computed:
        """Put all asks of the run, in order, and write its table into a folder.

        Parameters
        ----------
        watched
            Makes the sink that the method writes to from the table's.
        """
        study = self.study(variants)
        people = count_people(study, summer)
        metadata = {"cohelix.run": self._run.id, "cohelix.plan": self._run.plan_hash}
        without = GENOTYPE_COLUMNS if study.mac_floor else frozenset()
        writer = TableWriter(folder, variants, study.traits, metadata=metadata, without=without)
        try:
            outcome = run_method(self.plan, study, summer, watched(writer))
            estimates = self._node_estimates(study, summer, variants)
            writer.close()
        finally:
            writer.abandon()
        return Computed(people, outcome, estimates)

    def _node_estimates(self, study: Study, summer: Summer, variants: VariantList) -> dict[str, list[list[Any]]]:
        """Of the first trait; nothing unless every contributor's policy agrees."""
        rows = _estimated_rows(self.plan, self.roster, variants)
        if not rows:
            return {}
        found = node_estimates(study, summer, rows)
        names = variants.names(rows)
        loci = [
            f"{contig}-{position + 1}-{ref}-{alt}"
            for contig, position, ref, alt in zip(names.contig, names.position.tolist(), names.ref, names.alt, strict=True)
        ]
        return {
            locus: [
                [node, float(found.beta[place, at, 0]), float(found.standard_error[place, at, 0])]
                for place, node in enumerate(self.contributors)
                if np.isfinite(found.beta[place, at, 0])
            ]
            for at, locus in enumerate(loci)
        }


def study_of_roster(plan: Plan, roster: Roster, variants: VariantList) -> Study:
    """What a method knows before the first sum: it follows from what the contributors have signed."""
    contributors = roster.contributors()
    bound, floor = sum(one.people_bound for one in contributors), max(one.mac_floor for one in contributors)
    return study_of(plan, variants, [one.node for one in contributors], people_max=bound, mac_floor=floor)


def put_all_asks(plan: Plan, roster: Roster, variants: VariantList, summer: Summer) -> None:
    """Put all asks of a run that follow from sums, in order, and write nothing: so a node knows what it may be asked."""
    study = study_of_roster(plan, roster, variants)
    count_people(study, summer)
    with suppress(ClosingPass):
        run_method(plan, study, summer, _Nowhere())
    rows = _estimated_rows(plan, roster, variants)
    if rows:
        node_estimates(study, summer, rows)


def _estimated_rows(plan: Plan, roster: Roster, variants: VariantList) -> list[int]:
    """Where nodes' own estimates are asked: nowhere unless the plan wants it and every contributor's policy agrees."""
    wanted = plan.release.node_level and all(one.node_level for one in roster.contributors())
    return loci_rows(plan, variants) if wanted else []


class _Nowhere:
    """A `Sink` that keeps nothing."""

    def write(self, rows: AnyArray, columns: Mapping[str, AnyArray]) -> None:
        pass


def loci_rows(plan: Plan, variants: VariantList) -> list[int]:
    """Numbers of the loci at which a plan asks for estimates of single nodes, ascending; those not in the list are left out."""
    wanted = VariantList.of([parse_variant(text) for text in plan.release.loci])
    named, held = (pl.DataFrame(pl.from_arrow(one.table())) for one in (wanted, variants))
    return sorted(held.with_row_index("row").join(named, on=named.columns, how="semi")["row"].to_list())
