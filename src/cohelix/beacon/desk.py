"""What every question to the Beacon needs: the datasets that it is about, their words, and the answer's `meta`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
import structlog

from cohelix.bank.answering import DAMAGED, Answers
from cohelix.bank.answers import Term
from cohelix.bank.questions import Chosen, VariantQuery
from cohelix.bank.view import DatasetView
from cohelix.beacon.about import About
from cohelix.beacon.addresses import Address
from cohelix.beacon.cohorts import SavedCohort, SavedCohorts
from cohelix.beacon.granularity import DatasetAnswer, answer_meta, silence
from cohelix.beacon.query import VariantAsk, parse_variant_id
from cohelix.core.errors import BadQuestion, Damaged, NotFound
from cohelix.core.genes import find_gene
from cohelix.core.genome import Assembly
from cohelix.core.ids import DatasetId
from cohelix.phenotypes.model import BIOSAMPLE_KINDS
from cohelix.wire.beacon import BeaconFilter, BeaconQuestion, Granularity
from cohelix.wire.frequency import DatasetStatus


@dataclass(frozen=True, slots=True)
class Plan:
    """A question ready to be answered; `quick` ones take microseconds and run where they are."""

    answer: Callable[[], dict[str, Any]]
    quick: bool = False

    def written(self) -> bytes:
        """The answer as JSON."""
        return orjson.dumps(self.answer())


@dataclass(frozen=True, slots=True)
class Target:
    """What an address narrows a question down to.

    Attributes
    ----------
    views
        The datasets that are asked.
    chosen
        The one person, biosample or call set.
    filters
        A saved cohort's filters, which hold besides the question's.
    variant
        The one variant.
    silent
        Lines of datasets that cannot be asked.
    """

    views: tuple[DatasetView, ...]
    chosen: Chosen = field(default_factory=Chosen)
    filters: tuple[BeaconFilter, ...] = ()
    variant: VariantAsk | None = None
    silent: tuple[DatasetAnswer, ...] = ()


@dataclass(frozen=True, slots=True)
class Words:
    """What a dataset's people can be asked about, as `filters.Known`."""

    kinds: Mapping[str, tuple[str, ...]]
    measurements: frozenset[str]
    hidden: bool
    view: DatasetView

    def kinds_of(self, code: str) -> tuple[str, ...]:
        """The kinds of terms under which the dataset has the code, or one of its descendants."""
        found = self.kinds.get(code, ())
        return found or (() if self.hidden else self.view.kinds_of(code))

    def has_measurement(self, name: str) -> bool:
        """Whether the dataset says that it has a measurement of that name."""
        return name in self.measurements


class Desk:
    """A node's datasets as somebody may ask them, whose Beacon it is, and the operator's saved cohorts."""

    def __init__(self, bank: Answers, about: About, cohorts: SavedCohorts) -> None:
        self.bank, self.about, self.cohorts = bank, about, cohorts
        self._terms: dict[tuple[str, str], tuple[tuple[int, int], tuple[Term, ...]]] = {}

    def asking(self, bank: Answers) -> Desk:
        """The desk for one person's question."""
        desk = Desk(bank, self.about, self.cohorts)
        desk._terms = self._terms
        return desk

    def views(self, datasets: frozenset[str] = frozenset()) -> tuple[DatasetView, ...]:
        """The datasets of these names, or all; raises `BadQuestion` for a name that the node does not have."""
        views = self.bank.views()
        if not datasets:
            return views
        unknown = datasets.difference(*(names_of(view) for view in views), self._damaged_names())
        if unknown:
            raise BadQuestion(f"this node has no dataset {sorted(unknown)[0][:130]!r}")
        return tuple(view for view in views if datasets & names_of(view))

    def target(self, address: Address, datasets: frozenset[str]) -> Target:
        """Who and what is meant; raises `NotFound` for an id that nobody may know of, whether or not it exists."""
        views, silent = self.views(datasets), self._silent(datasets)
        root, identifier = address.root, address.identifier
        if root is None:
            return Target(views, silent=silent)
        if root == "genomicVariant":
            return Target(views, variant=parse_variant_id(identifier), silent=silent)
        if root in ("dataset", "cohort"):
            return self._collected(root, identifier, views)
        chosen, named = _chosen(root, identifier)
        knowing = tuple(view for view in views if (not named or view.record.id == named) and view.knows(chosen))
        if not knowing:
            raise NotFound(f"no {root} of this id is in a dataset whose records you may see")
        return Target(knowing, chosen)

    def _collected(self, root: str, identifier: str, views: tuple[DatasetView, ...]) -> Target:
        """The datasets of one collection; a dataset is a cohort of its own, under its federation id."""
        if root == "dataset" and identifier in self._damaged_names():
            return Target((), silent=self._silent(frozenset({identifier})))
        if root == "dataset" or any(view.record.id == identifier for view in self.bank.views()):
            found = {view.record.id for view in self.bank.views() if identifier in names_of(view)}
            if not found:
                raise NotFound("there is no dataset of this id")
            return Target(tuple(view for view in views if view.record.id in found))
        saved = self.cohort(identifier)
        members = {view.record.id for view in self.cohort_views(saved)}
        return Target(tuple(view for view in views if view.record.id in members), filters=saved.filters)

    def cohort(self, identifier: str) -> SavedCohort:
        """The saved cohort of an id; raises `NotFound`."""
        for saved in self.cohorts.read():
            if identifier in (f"{self.bank.node}:{saved.id}", saved.id):
                return saved
        raise NotFound("there is no cohort of this id")

    def cohort_views(self, saved: SavedCohort) -> tuple[DatasetView, ...]:
        """The datasets that a saved cohort is chosen from."""
        return tuple(view for view in self.bank.views() if not saved.datasets or saved.datasets & names_of(view))

    def words(self, view: DatasetView) -> Words:
        """What the dataset's filters may be, as far as it says so."""
        kinds: dict[str, tuple[str, ...]] = {}
        for term in self.terms(view):
            if ":" in term.id and (term.kind in _CODED or term.kind in BIOSAMPLE_KINDS):
                kinds[term.id] = (*kinds.get(term.id, ()), term.kind)
        return Words(kinds, frozenset(view.record.measurements), not view.levels.records, view)

    def terms(self, view: DatasetView) -> tuple[Term, ...]:
        """What a version's people can be asked about at the view's level, gathered once."""
        key, version = (view.record.id, view.levels.people), (view.record.version, view.record.release)
        known = self._terms.get(key)
        if known is None or known[0] != version:
            known = self._terms[key] = version, view.filtering_terms()
        return known[1]

    def ask(self, view: DatasetView, answer: Callable[[], DatasetAnswer]) -> DatasetAnswer:
        """One dataset's answer; where one of its files proves to be damaged, its line says so and the others answer."""
        try:
            return answer()
        except Damaged as error:
            structlog.get_logger().error("dataset is damaged", dataset=view.record.id, problem=error.detail)
            return DatasetAnswer(view.record.id, "not_assessed", DAMAGED)

    def meta(
        self, question: BeaconQuestion, granularity: Granularity, address: Address, echo: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """`meta` of an answer, with the parameters as they were understood."""
        meta = answer_meta(self.about.beacon_id, question, granularity, address.entry, address.default)
        if echo:
            meta["receivedRequestSummary"]["requestParameters"] = {"g_variant": dict(echo)}
        return meta

    def _damaged_names(self) -> set[str]:
        return {name for dataset in self.bank.damaged() for name in (dataset, f"{self.bank.node}:{dataset}")}

    def _silent(self, datasets: frozenset[str]) -> tuple[DatasetAnswer, ...]:
        """Lines of the damaged datasets among those asked."""
        return tuple(
            DatasetAnswer(f"{self.bank.node}:{dataset}", "not_assessed", DAMAGED)
            for dataset in self.bank.damaged()
            if not datasets or datasets & {dataset, f"{self.bank.node}:{dataset}"}
        )


_CODED = frozenset(
    {"disease", "phenotype", "disease_stage", "treatment", "procedure", "exposure", "ethnicity", "vital_status", "gene"}
)


def variant_queries(view: DatasetView, ask: VariantAsk) -> tuple[list[VariantQuery], tuple[DatasetStatus, str] | None]:
    """A question about variants in the dataset's own coordinates, or why it has no answer there."""
    record = view.record
    if view.levels.genomic == "refused":
        return [], ("refused", view.levels.reason)
    if ask.assembly is not None and ask.assembly != record.assembly:
        return [], ("other_assembly", f"the dataset is of {record.assembly}; nothing is lifted over")
    if ask.query is None:
        return [VariantQuery(contig) for contig in record.contigs], None
    reason = _not_assessed(view, ask.query)
    return ([], ("not_assessed", reason)) if reason else ([ask.query], None)


def _not_assessed(view: DatasetView, query: VariantQuery) -> str | None:
    """Why a dataset cannot know of such variants; None where it can."""
    record, annotated = view.record, view.annotated
    if query.contig is not None and query.contig not in record.contigs:
        return f"the dataset has no record of contig {query.contig}"
    if annotated:
        return None
    if query.gene is not None and find_gene(query.gene, Assembly(record.assembly)) is None:
        return f"no gene of this name is known on {record.assembly}"
    if query.amino_acid or query.hgvs or query.consequence or query.significance:
        return "the dataset's variants are not annotated: ask by place or by geneId"
    return None


def check_gene(views: Iterable[DatasetView], ask: VariantAsk) -> None:
    """Refuse a gene that nothing here knows; raises `BadQuestion`."""
    if ask.gene is None or any(view.annotated for view in views):
        return
    if not any(find_gene(ask.gene, known) for known in ((ask.assembly,) if ask.assembly else Assembly)):
        where = ask.assembly or "GRCh37 and GRCh38"
        raise BadQuestion(f"no gene of this name is known on {where}: use an HGNC symbol or an Ensembl gene id")


def silent(view: DatasetView, status: DatasetStatus, reason: str | None, *, floor: int | None = None) -> DatasetAnswer:
    """A dataset that tells no number, and why."""
    record = view.record
    if status != "below_floor":
        return silence(record.id, status, reason)
    return silence(record.id, status, reason, record.floors.frequency if floor is None else floor)


def need_no_filter(filters: Iterable[BeaconFilter], what: str) -> None:
    """Refuse filters where they mean nothing."""
    if any(True for _ in filters):
        raise BadQuestion(f"filters on {what} are not supported: ask /individuals, whose result sets name their dataset")


def names_of(view: DatasetView) -> frozenset[str]:
    """The names under which a dataset is asked: in the federation, and in its node."""
    return _names(view.record.id)


@lru_cache(maxsize=4_096)
def _names(federation_id: str) -> frozenset[str]:
    return frozenset((federation_id, local_id(federation_id)))


def local_id(federation_id: str) -> DatasetId:
    """A dataset's id within its node."""
    return DatasetId(federation_id.partition(":")[2])


def _chosen(root: str, identifier: str) -> tuple[Chosen, str]:
    """The entry that an id names, and the dataset that it is of, where the id says so."""
    if root == "individual":
        return Chosen(individual=identifier), ""
    if root == "biosample":
        return Chosen(biosample=identifier), ""
    node, _, rest = identifier.partition(":")
    dataset, _, column = rest.partition(":")
    return Chosen(call_set=column), f"{node}:{dataset}"
