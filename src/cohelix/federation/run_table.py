"""A run's table, made from what was settled of it and from sums: by the hub as they open, by a reader from kept ones."""

from __future__ import annotations

from collections.abc import Callable
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
from cohelix.analysis.steps import Summer
from cohelix.analysis.variants import VariantList
from cohelix.core.variant import parse_variant
from cohelix.federation.roster import FrozenRoster, Roster, RosterSignature
from cohelix.federation.run_store import StoredRun
from cohelix.wire.analysis import Terms
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

    def terms(self) -> dict[str, Terms]:
        """The contributors' terms."""
        return {name: Terms.model_validate(self._run.details["terms"][name]) for name in self.contributors}

    def mac_floor(self) -> int:
        """Least minor allele count of a line: the strictest of the contributors' policies."""
        return max(one.mac_floor for one in self.terms().values())

    def study(self, variants: VariantList) -> Study:
        """What a method knows before the first sum."""
        bound = sum(one.people_bound for one in self.terms().values())
        return study_of(self.plan, variants, self.contributors, people_max=bound, mac_floor=self.mac_floor())

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
        wish = self.plan.release
        if not wish.node_level or not all(one.node_level for one in self.terms().values()):
            return {}
        rows = loci_rows(self.plan, variants)
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


def loci_rows(plan: Plan, variants: VariantList) -> list[int]:
    """Numbers of the loci at which a plan asks for estimates of single nodes, ascending; those not in the list are left out."""
    wanted = VariantList.of([parse_variant(text) for text in plan.release.loci])
    named, held = (pl.DataFrame(pl.from_arrow(one.table())) for one in (wanted, variants))
    return sorted(held.with_row_index("row").join(named, on=named.columns, how="semi")["row"].to_list())
