"""What a bank's datasets answer to somebody, each behind its decision, and the node's sums, in which a person counts once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from cohelix.bank.answers import PeopleCount
from cohelix.bank.cases import NOT_COUNTED
from cohelix.bank.cohort_count import cohort_mask
from cohelix.bank.people import Register
from cohelix.bank.questions import Groups, PeopleQuery, VariantQuery
from cohelix.bank.rows import ALL, counts_document
from cohelix.bank.version import OpenVersion
from cohelix.bank.view import NO_GROUPS, DatasetView, variant_frequency, without_alt
from cohelix.core.arrays import BoolArray, IntArray
from cohelix.core.errors import Damaged, NotFound
from cohelix.core.genome import HAPLOID_CONTIGS, Assembly, Region
from cohelix.core.ids import DatasetId, NodeId, federation_dataset_id
from cohelix.core.variant import VariantKey
from cohelix.disclosure.rules import tell_parts
from cohelix.disclosure.telling import AN
from cohelix.genotypes import Cohort
from cohelix.wire.dataset import DatasetRecord
from cohelix.wire.expression import Expression
from cohelix.wire.frequency import DatasetFrequency, DatasetRegion, NodeFrequency, NodeRegion, PooledCounts

T = TypeVar("T")
HELD = "the dataset is being brought in step with what its people have agreed to: it answers again afterwards"
DAMAGED = "the dataset's stored files are damaged: it answers nothing until its operator has mended it"


@dataclass(frozen=True, slots=True)
class Opened:
    """What is published now, taken over in one step; `damaged` says of the datasets that cannot be opened what is wrong."""

    marks: dict[DatasetId, tuple[int, int]]
    versions: dict[DatasetId, OpenVersion]
    damaged: dict[DatasetId, str]
    views: dict[DatasetId, DatasetView]
    register: Register
    shared: dict[tuple[DatasetId, ...], dict[DatasetId, tuple[Cohort, Cohort] | None]]


class Answers(ABC):
    """A node's datasets as somebody may ask them; safe for many threads."""

    @property
    @abstractmethod
    def node(self) -> NodeId:
        """Whose datasets these are."""

    @abstractmethod
    def _now(self) -> Opened:
        """What is published now, with the views of whoever asks."""

    @abstractmethod
    def note_damage(self, error: Damaged) -> bool:
        """Set aside the dataset whose file an error is about; whether the question may be put again."""

    def damaged(self) -> dict[DatasetId, str]:
        """The datasets that are published and cannot be opened, each with what is wrong, for the operator."""
        return dict(self._now().damaged)

    def _undamaged(self, answer: Callable[[], T]) -> T:
        """An answer; a dataset that turns out to be damaged meanwhile is set aside, and the question put once more."""
        while True:
            try:
                return answer()
            except Damaged as error:
                if not self.note_damage(error):
                    raise

    def datasets(self) -> tuple[DatasetRecord, ...]:
        """The records of all datasets, with what their holder says of them now, by id."""
        return tuple(view.described for view in self._now().views.values())

    def view(self, dataset: DatasetId) -> DatasetView:
        """One dataset; raises `NotFound` where the node has none of that id."""
        try:
            return self._now().views[dataset]
        except KeyError:
            raise NotFound(f"the node has no dataset {dataset}") from None

    def frequency(self, key: VariantKey, assembly: Assembly, groups: Groups = NO_GROUPS) -> NodeFrequency:
        """Every dataset's counts of an allele, and their sum over the node's people."""
        return self._undamaged(lambda: self._frequency(key, assembly, groups))

    def _frequency(self, key: VariantKey, assembly: Assembly, groups: Groups) -> NodeFrequency:
        opened = self._now()
        answers = {dataset: view.frequency(key, groups, assembly=assembly) for dataset, view in opened.views.items()}
        silent = tuple(
            DatasetFrequency(id=federation_dataset_id(self.node, dataset), status="not_assessed", reason=_silent(why))
            for dataset, why in opened.damaged.items()
        )
        pooled = self._pooled(opened, key, answers)
        return NodeFrequency(node=self.node, datasets=(*answers.values(), *silent), pooled=pooled)

    def region(self, region: Region, assembly: Assembly, *, limit: int, after: VariantKey | None = None) -> NodeRegion:
        """The first `limit` variants after `after` that overlap a region and may be told, in each dataset that has them."""
        return self._undamaged(lambda: self._region(region, assembly, limit=limit, after=after))

    def _region(self, region: Region, assembly: Assembly, *, limit: int, after: VariantKey | None) -> NodeRegion:
        opened = self._now()
        pages = {
            view.record.id: view.variants(
                VariantQuery(region.contig, overlaps=region), limit=limit + 1, after=after, assembly=assembly
            )
            for view in opened.views.values()
            if view.record.content not in NOT_COUNTED
        }
        keys = sorted({found.key for page in pages.values() for found in page.items})
        given = set(keys[:limit])
        return NodeRegion(
            node=self.node,
            datasets=tuple(
                DatasetRegion(
                    id=dataset,
                    status=page.status,
                    reason=page.reason,
                    variants=tuple(variant_frequency(found) for found in page.items if found.key in given),
                )
                for dataset, page in pages.items()
            )
            + tuple(
                DatasetRegion(id=view.record.id, status="not_assessed", reason=NOT_COUNTED[view.record.content])
                for view in opened.views.values()
                if view.record.content in NOT_COUNTED
            )
            + tuple(
                DatasetRegion(id=federation_dataset_id(self.node, dataset), status="not_assessed", reason=_silent(why))
                for dataset, why in opened.damaged.items()
            ),
            more=len(keys) > limit,
        )

    def views(self) -> tuple[DatasetView, ...]:
        """All datasets that can be asked, by id."""
        return tuple(self._now().views.values())

    def count_people(self, queries: Mapping[DatasetId, PeopleQuery]) -> PeopleCount:
        """How many of the node's people meet the question, put in each dataset's own terms; each person counts once.

        People of open datasets are counted together. A floored dataset adds its own told number where it shares nobody
        with those counted before it, and is left out where it does.
        """
        opened = self._now()
        answers = {dataset: self.view(dataset).count_people(query) for dataset, query in queries.items()}
        return self._counted(opened, answers, lambda name: opened.views[name].people_meeting(queries[name]))

    def count_cohort(
        self, expression: Expression, datasets: Collection[DatasetId] | None = None
    ) -> tuple[dict[DatasetId, PeopleCount], PeopleCount]:
        """How many people an expression means in each of these datasets (None: in all), and in the node as `count_people`."""
        return self._undamaged(lambda: self._cohort(expression, datasets))

    def _cohort(
        self, expression: Expression, datasets: Collection[DatasetId] | None
    ) -> tuple[dict[DatasetId, PeopleCount], PeopleCount]:
        opened = self._now()
        wanted = opened.marks if datasets is None else datasets
        answers = {name: view.count_cohort(expression) for name, view in opened.views.items() if name in wanted}
        whole = self._counted(
            opened, answers, lambda name: cohort_mask(opened.versions[name].scoped("individual-queries"), expression)
        )
        damaged = {
            name: PeopleCount("not_assessed", _silent(why), None) for name, why in opened.damaged.items() if name in wanted
        }
        return answers | damaged, whole

    @staticmethod
    def _counted(
        opened: Opened, answers: Mapping[DatasetId, PeopleCount], meeting: Callable[[DatasetId], BoolArray]
    ) -> PeopleCount:
        """The node's people over datasets that answered, each once; `meeting` gives those of an open dataset."""
        answered = [dataset for dataset, answer in answers.items() if answer.status == "answered"]
        if not answered:
            return next(iter(answers.values()), PeopleCount("not_assessed", "no dataset was asked", None))
        met, known = (np.zeros(opened.register.n_people, np.bool_) for _ in range(2))
        floored = 0
        for dataset in sorted(answered, key=lambda name: opened.views[name].levels.people != "exact"):
            people = opened.register.people(dataset)
            if opened.views[dataset].levels.people == "exact":
                met[people[meeting(dataset)]] = True
            elif not known[people].any():
                floored += answers[dataset].count or 0
            known[people] = True
        return PeopleCount("answered", None, int(met.sum()) + floored)

    def _pooled(self, opened: Opened, key: VariantKey, answers: dict[DatasetId, DatasetFrequency]) -> PooledCounts | None:
        """The node's sum: a dataset's people that an earlier dataset has counted are left out.

        On floored datasets such a remainder is added only where it and the people left out both pass the floor, else
        the later dataset stays out of the sum: its own total is told, so the difference would be, too.
        """
        answered = tuple(dataset for dataset, answer in answers.items() if answer.status == "answered")
        if not answered:
            return None
        total, genotypes = np.zeros(6, np.int64), True
        shared = self._shared(opened, answered)
        for dataset in answered:
            row = answers[dataset].populations[0]
            part: IntArray | None
            if shared[dataset] is None:
                part = np.array([row.allele_number or 0, row.allele_count or 0, 0, row.homozygotes or 0, 0, 0], np.int64)
                part_genotypes = row.homozygotes is not None
            else:
                part, part_genotypes = self._remainder(opened, dataset, key, answered)
            if part is not None:
                total, genotypes = total + part, genotypes and part_genotypes
        sums = counts_document(ALL, ALL, total, genotypes=genotypes)
        return PooledCounts(
            allele_count=sums.allele_count,
            allele_number=sums.allele_number,
            allele_frequency=sums.allele_frequency,
            homozygotes=sums.homozygotes,
            nodes=(self.node,),
        )

    def _shared(self, opened: Opened, answered: tuple[DatasetId, ...]) -> dict[DatasetId, tuple[Cohort, Cohort] | None]:
        """For each dataset, None where it shares nobody with those before it, else (people to add, people already counted)."""
        known = opened.shared.get(answered)
        if known is None:
            call_sets = {dataset: opened.versions[dataset].call_sets for dataset in answered}
            known = {}
            for dataset, columns in opened.register.already_counted(answered, call_sets).items():
                rest = call_sets[dataset].counted & ~columns
                known[dataset] = (Cohort.of(len(rest), rest), Cohort.of(len(rest), columns)) if columns.any() else None
            opened.shared[answered] = known
        return known

    def _remainder(
        self, opened: Opened, dataset: DatasetId, key: VariantKey, answered: Sequence[DatasetId]
    ) -> tuple[IntArray | None, bool]:
        """What a dataset adds beyond people already counted: (6,) counts or None, and whether hom may be told."""
        version = opened.versions[dataset]
        cohorts = self._shared(opened, tuple(answered))[dataset]
        assert cohorts is not None  # the caller has looked
        rest, counted = cohorts
        cells, row, _ = opened.views[dataset].cells(key)
        if cells is None:
            return None, False
        if row is None:
            return self._hom_ref_part(version, key, rest), True
        added, left_out = (self._counts(version, row, cohort) for cohort in (rest, counted))
        if version.store.key(row) != key:
            added, left_out = without_alt(added), without_alt(left_out)
        # The strictest of the datasets involved rules: an open one's difference may be about a floored one's people.
        floor = max(opened.views[other].floor for other in answered)
        told, genotypes = tell_parts(
            added, left_out, (rest.size, counted.size), floor=floor, haploid_contig=key.contig in HAPLOID_CONTIGS
        )
        return (added if told else None), genotypes

    @staticmethod
    def _counts(version: OpenVersion, row: int, cohort: Cohort) -> IntArray:
        counts = version.store.allele_counts(range(row, row + 1), cohort)
        return np.array([int(column[0]) for column in counts], np.int64)

    @staticmethod
    def _hom_ref_part(version: OpenVersion, key: VariantKey, cohort: Cohort) -> IntArray:
        """AN by ploidy of a cohort's people at a site where nobody differs from the reference."""
        part = np.zeros(6, np.int64)
        cells = version.hom_ref_cells(key.contig, key.position)
        for number, columns in enumerate(version.atom_columns):
            part[AN] += int(cohort.flags[columns].sum()) * int(cells[number, AN]) // version.manifest.atoms[number].people
        return part


def _silent(why: str) -> str:
    """What everybody is told of a dataset that is set aside; what is wrong with its files is for the operator."""
    return HELD if why == HELD else DAMAGED
