"""One Beacon question, from its words to its answer: parsed, put to each dataset's view, and written in Beacon's form.

Framework-free: `routes` brings HTTP to it, and the federation's node side asks it in-process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson
import structlog

from cohelix.bank import Bank
from cohelix.bank.answers import FoundVariant, Term
from cohelix.bank.questions import Criterion, Groups, PeopleQuery, VariantQuery
from cohelix.bank.view import DatasetView
from cohelix.beacon import about as documents
from cohelix.beacon.about import About
from cohelix.beacon.filters import frequency_groups, people_criteria
from cohelix.beacon.granularity import (
    DEFAULT,
    DatasetAnswer,
    EntryType,
    answer_meta,
    collections_answer,
    error_answer,
    result_sets_answer,
    returned,
)
from cohelix.beacon.query import VariantAsk, exact_query, parse_variant_id, parse_variants
from cohelix.beacon.records import variant_record
from cohelix.core.errors import BadQuestion, CohelixError, MethodNotAllowed, NotFound
from cohelix.core.genome import Assembly
from cohelix.core.ids import DatasetId
from cohelix.core.variant import VariantKey
from cohelix.wire.beacon import BeaconQuestion, Granularity, question_from_get, question_from_post
from cohelix.wire.frequency import DatasetStatus

# Region questions scan on other threads (the kernels let go of the lock), so that exact ones need not wait for them.
_THREADS: Final = 2
_CLOSED = "this dataset is closed: it answers nothing without a visa"


class Reply(NamedTuple):
    """An HTTP status, the JSON document, and the template of the address, for logs."""

    status: int
    body: bytes
    route: str


@dataclass(frozen=True, slots=True)
class _Plan:
    """A question ready to be answered; `quick` ones take microseconds and run where they are."""

    answer: Callable[[], dict[str, Any]]
    quick: bool = False

    def written(self) -> bytes:
        """The answer as JSON."""
        return orjson.dumps(self.answer())


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A question of variants: what was asked, how much of it is shown, and which rows of the frequencies."""

    question: BeaconQuestion
    ask: VariantAsk
    granularity: Granularity
    groups: Groups


@dataclass(frozen=True, slots=True)
class _Endpoint:
    route: str
    plan: Callable[[BeaconQuestion, str, str], _Plan]
    entry: EntryType | None = None
    default: Granularity = DEFAULT


class Beacon:
    """The Beacon of a bank.

    Parameters
    ----------
    bank
        Whose datasets are asked; only what its views tell leaves here.
    about
        Whose Beacon it is.
    """

    def __init__(self, bank: Bank, about: About) -> None:
        self._bank = bank
        self._about = about
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="beacon")
        self._log = structlog.get_logger()
        self._terms: dict[tuple[str, int, int], tuple[Term, ...]] = {}
        informational: dict[str, Callable[[str], dict[str, Any]]] = {
            "": about.info,
            "info": about.info,
            "configuration": lambda _base: about.configuration(),
            "map": documents.endpoint_map,
            "entry_types": lambda _base: documents.entry_types(),
            "filtering_terms": lambda _base: documents.filtering_terms(self._all_terms()),
        }
        self._endpoints = {path: _Endpoint(f"/{path}", self._informational(tell)) for path, tell in informational.items()}
        self._endpoints["service-info"] = _Endpoint("/service-info", self._service_info)
        self._endpoints["g_variants"] = _Endpoint("/g_variants", self._variants, "genomicVariant")
        self._endpoints["individuals"] = _Endpoint("/individuals", self._individuals, "individual")
        self._endpoints["datasets"] = _Endpoint("/datasets", self._datasets, "dataset", "record")
        self._single = {
            "g_variants": _Endpoint("/g_variants/{id}", self._one_variant, "genomicVariant", "record"),
            "datasets": _Endpoint("/datasets/{id}", self._one_dataset, "dataset", "record"),
        }

    async def reply(
        self,
        method: str,
        path: str,
        pairs: Iterable[tuple[str, str]],
        body: bytes | None,
        *,
        base: str,
        request_id: str | None = None,
    ) -> Reply:
        """Answer one request; never raises, every error becomes Beacon's error body.

        Parameters
        ----------
        path
            What follows the Beacon's own address, without the leading slash.
        pairs, body
            Decoded GET parameters; the body of a POST.
        base
            The Beacon's own address, for the addresses in `/map` and `/info`.
        """
        endpoint = _Endpoint("unmatched", self._service_info)
        question = BeaconQuestion()
        try:
            endpoint, identifier = self._find(path)
            question = self._read(method, endpoint, pairs, body)
            self._bank.refresh()
            plan = endpoint.plan(question, identifier, base)
            if plan.quick:
                content = plan.written()
            else:
                content = await asyncio.get_running_loop().run_in_executor(self._threads, plan.written)
            return Reply(200, content, endpoint.route)
        except CohelixError as error:
            known = error if error.status < 500 else None
            if known is None:
                self._log.exception("beacon question failed", route=endpoint.route, error=type(error).__name__)
            return self._refusal(endpoint, question, known, request_id)
        except Exception as error:
            self._log.exception("beacon question failed", route=endpoint.route, error=type(error).__name__)
            return self._refusal(endpoint, question, None, request_id)

    async def door(
        self, path: str, pairs: Sequence[tuple[str, str]], body: dict[str, Any] | None
    ) -> tuple[int, dict[str, Any]]:
        """The same for the federation, which carries documents: a POST where there is a body, else a GET."""
        reply = await self.reply(
            "GET" if body is None else "POST", path, pairs, None if body is None else orjson.dumps(body), base="/beacon/v2"
        )
        return reply.status, orjson.loads(reply.body)

    def refuse(self, error: CohelixError, request_id: str | None) -> Reply:
        """Beacon's body for an error that was met before the question was read."""
        return self._refusal(_Endpoint("unmatched", self._service_info), BeaconQuestion(), error, request_id)

    def _refusal(
        self, endpoint: _Endpoint, question: BeaconQuestion, error: CohelixError | None, request_id: str | None
    ) -> Reply:
        granularity = returned(endpoint.entry, question.granularity, endpoint.default) if endpoint.entry else DEFAULT
        meta = answer_meta(self._about.beacon_id, question, granularity, endpoint.entry, endpoint.default)
        document = error_answer(meta, error, request_id)
        return Reply(error.status if error else 500, orjson.dumps(document), endpoint.route)

    def _find(self, path: str) -> tuple[_Endpoint, str]:
        path = path.strip("/")
        found = self._endpoints.get(path)
        if found:
            return found, ""
        root, _, identifier = path.partition("/")
        single = self._single.get(root)
        if single is None or not identifier or "/" in identifier:
            raise NotFound("this Beacon does not answer here: /map lists the addresses that it answers")
        return single, identifier

    @staticmethod
    def _read(method: str, endpoint: _Endpoint, pairs: Iterable[tuple[str, str]], body: bytes | None) -> BeaconQuestion:
        if method == "POST" and endpoint.entry:
            if any(pairs):
                raise BadQuestion("a POST's question is in its body, not in the address")
            return question_from_post(body or b"")
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowed("ask with GET" if endpoint.entry is None else "ask with GET or POST")
        return question_from_get(pairs)

    # Informational endpoints

    def _informational(self, tell: Callable[[str], dict[str, Any]]) -> Callable[[BeaconQuestion, str, str], _Plan]:
        def plan(question: BeaconQuestion, _identifier: str, base: str) -> _Plan:
            _need_nothing(question)
            return _Plan(lambda: {"meta": self._about.meta(), "response": tell(base)}, quick=True)

        return plan

    def _service_info(self, question: BeaconQuestion, _identifier: str, base: str) -> _Plan:
        _need_nothing(question)
        return _Plan(lambda: self._about.service_info(base).body(), quick=True)

    def _all_terms(self) -> tuple[Term, ...]:
        return tuple(term for view in self._views() for term in self._terms_of(view))

    # Variants

    def _variants(self, question: BeaconQuestion, _identifier: str, _base: str) -> _Plan:
        return self._variant_plan(question, parse_variants(question.parameters), DEFAULT)

    def _one_variant(self, question: BeaconQuestion, identifier: str, _base: str) -> _Plan:
        named = parse_variant_id(identifier)
        others = parse_variants(question.parameters)
        if not others.whole or others.assembly:
            raise BadQuestion("an address with a variant's id takes no other variant parameters")
        return self._variant_plan(
            question, VariantAsk(named.assembly, named.query, None, others.datasets, named.echo), "record"
        )

    def _variant_plan(self, question: BeaconQuestion, ask: VariantAsk, default: Granularity) -> _Plan:
        views = self._views(ask.datasets)
        granularity = returned("genomicVariant", question.granularity, default)
        wanted = _Wanted(question, ask, granularity, frequency_groups(question.filters))
        key = ask.query.exact if ask.query and ask.gene is None else None

        def answer() -> dict[str, Any]:
            if key is not None:
                answers = [self._exact(view, wanted, key) for view in views]
            else:
                answers = [self._searched(view, wanted) for view in views]
            meta = self._meta(question, granularity, "genomicVariant", ask, default)
            return result_sets_answer(meta, answers, granularity, question.include)

        return _Plan(answer, quick=key is not None)

    def _exact(self, view: DatasetView, wanted: _Wanted, key: VariantKey) -> DatasetAnswer:
        """One variant: first whether it is there to be told, which half of all questions ask in vain; then why not."""
        shows_record = wanted.granularity == "record" and not wanted.question.first
        page = view.variants(
            exact_query(key), limit=int(shows_record), groups=wanted.groups, observed=True, assembly=wanted.ask.assembly
        )
        if page.total:
            return DatasetAnswer(view.record.id, "answered", None, 1, [self._record(view, item) for item in page.items])
        if page.status != "answered":
            return _silent(view, page.status, page.reason)
        said = view.frequency(key, wanted.groups)
        if said.status != "answered":
            return _silent(view, said.status, said.reason)
        total = said.populations[0]
        details = {"alleleCount": total.allele_count, "alleleNumber": total.allele_number}
        return DatasetAnswer(view.record.id, "answered", None, 0, (), details)

    def _searched(self, view: DatasetView, wanted: _Wanted) -> DatasetAnswer:
        """Range, bracket, gene, or everything: the total of all contigs asked, and the page."""
        record, question = view.record, wanted.question
        queries, unanswered = _queries(view, wanted.ask)
        if unanswered:
            return _silent(view, *unanswered)
        total, items = 0, list[FoundVariant]()
        for query in queries:
            left = question.limit - len(items) if wanted.granularity == "record" else 0
            page = view.variants(query, skip=max(0, question.first - total), limit=left, groups=wanted.groups, observed=True)
            if page.status != "answered":
                return _silent(view, page.status, page.reason)
            total += page.total
            items.extend(page.items)
            if wanted.granularity == "boolean" and total:
                break
        if not total and record.disclosure == "floored":
            return _silent(view, "below_floor", "nothing there that reaches the floor")
        return DatasetAnswer(record.id, "answered", None, total, [self._record(view, item) for item in items])

    @staticmethod
    def _record(view: DatasetView, found: FoundVariant) -> dict[str, Any]:
        return variant_record(found.key, found.end, found.id, found.populations, view.record)

    # People

    def _individuals(self, question: BeaconQuestion, _identifier: str, _base: str) -> _Plan:
        ask = parse_variants(question.parameters)
        views = self._views(ask.datasets)
        terms = [term for view in views for term in self._terms_of(view)]
        hidden = any(view.record.disclosure != "open" for view in views)
        criteria = people_criteria(question.filters, terms, hidden=hidden)
        granularity = returned("individual", question.granularity)

        def answer() -> dict[str, Any]:
            asked = [(view, *_people_query(view, ask, criteria)) for view in views]
            answers = [self._counted(view, query, unanswered) for view, query, unanswered in asked]
            queries = {query for (_, query, _), said in zip(asked, answers, strict=True) if said.exists}
            meta = self._meta(question, granularity, "individual", ask)
            total: int | None = None
            if len(queries) == 1 and granularity != "boolean":
                # A person of several datasets counts once.
                total = self._bank.count_people([_local(said.dataset) for said in answers if said.exists], *queries).count
            document = result_sets_answer(meta, answers, granularity, question.include, total)
            if any(criterion.field in ("disease", "phenotype") for criterion in criteria):
                document["info"]["codes"] = "matched as the data holder wrote them, without descendants"
            return document

        return _Plan(answer)

    @staticmethod
    def _counted(view: DatasetView, query: PeopleQuery, unanswered: tuple[DatasetStatus, str] | None) -> DatasetAnswer:
        if unanswered:
            return _silent(view, *unanswered)
        said = view.count_people(query)
        if said.status != "answered" or said.count is None:
            return _silent(view, said.status, said.reason, floor=view.record.floors.people)
        return DatasetAnswer(view.record.id, "answered", None, said.count)

    # Datasets

    def _datasets(self, question: BeaconQuestion, _identifier: str, _base: str) -> _Plan:
        _need_no_filter(question)
        ask = parse_variants(question.parameters)
        if not ask.whole or ask.assembly:
            raise BadQuestion("datasets are not searched by variant: ask /g_variants, whose result sets name their dataset")
        return self._collections(question, self._views(ask.datasets))

    def _one_dataset(self, question: BeaconQuestion, identifier: str, _base: str) -> _Plan:
        _need_no_filter(question)
        if question.parameters:
            raise BadQuestion("an address with a dataset's id takes no request parameters")
        views = [view for view in self._views() if identifier in _names_of(view)]
        if not views:
            raise NotFound("there is no dataset of this id")
        return self._collections(question, views)

    def _collections(self, question: BeaconQuestion, views: Sequence[DatasetView]) -> _Plan:
        granularity = returned("dataset", question.granularity, "record")
        page = views[question.first : question.first + question.limit]

        def answer() -> dict[str, Any]:
            meta = answer_meta(self._about.beacon_id, question, granularity, "dataset", "record")
            return collections_answer(meta, [_collection(view) for view in page], len(views), granularity)

        return _Plan(answer, quick=True)

    # What all of them need

    def _views(self, datasets: frozenset[str] = frozenset()) -> list[DatasetView]:
        views = [self._bank.view(_local(record.id)) for record in self._bank.datasets()]
        if not datasets:
            return views
        unknown = datasets.difference(*(_names_of(view) for view in views))
        if unknown:
            raise BadQuestion(f"this node has no dataset {sorted(unknown)[0][:130]!r}")
        return [view for view in views if datasets & _names_of(view)]

    def _terms_of(self, view: DatasetView) -> tuple[Term, ...]:
        """A version's terms, gathered once."""
        version = (view.record.id, view.record.version, view.record.release)
        found = self._terms.get(version)
        if found is None:
            found = view.filtering_terms()
            self._terms = {other: terms for other, terms in self._terms.items() if other[0] != version[0]} | {version: found}
        return found

    def _meta(
        self,
        question: BeaconQuestion,
        granularity: Granularity,
        entry: EntryType,
        ask: VariantAsk,
        default: Granularity = DEFAULT,
    ) -> dict[str, Any]:
        meta = answer_meta(self._about.beacon_id, question, granularity, entry, default)
        if ask.echo:
            meta["receivedRequestSummary"]["requestParameters"] = {"g_variant": dict(ask.echo)}
        return meta


def _queries(view: DatasetView, ask: VariantAsk) -> tuple[list[VariantQuery], tuple[DatasetStatus, str] | None]:
    """The question in the dataset's own coordinates, or why it has no answer there."""
    record = view.record
    assembly = Assembly(record.assembly)
    if record.disclosure == "closed":
        return [], ("refused", _CLOSED)
    if ask.assembly is not None and ask.assembly != assembly:
        return [], ("other_assembly", f"the dataset is of {assembly}; nothing is lifted over")
    if ask.whole:
        return [VariantQuery(contig) for contig in record.contigs], None
    query = ask.on(assembly)
    if query is None:
        return [], ("not_assessed", f"no gene of this name is known on {assembly}")
    if query.contig not in record.contigs:
        return [], ("not_assessed", f"the dataset has no record of contig {query.contig}")
    return [query], None


def _people_query(
    view: DatasetView, ask: VariantAsk, criteria: tuple[Criterion, ...]
) -> tuple[PeopleQuery, tuple[DatasetStatus, str] | None]:
    """The people meant, in the dataset's own coordinates, or why the dataset has no answer."""
    if ask.whole:
        return PeopleQuery(criteria), None
    queries, unanswered = _queries(view, ask)
    return PeopleQuery(criteria, queries[0] if queries else None), unanswered


def _silent(view: DatasetView, status: DatasetStatus, reason: str | None, *, floor: int | None = None) -> DatasetAnswer:
    """A dataset that tells no number, and why."""
    shown = view.record.floors.frequency if floor is None else floor
    return DatasetAnswer(view.record.id, status, reason, 0, (), {"floor": shown} if status == "below_floor" else {})


def _names_of(view: DatasetView) -> set[str]:
    """The names under which a dataset is asked: in the federation, and in its node."""
    return {view.record.id, _local(view.record.id)}


def _local(federation_id: str) -> DatasetId:
    """A dataset's id within its node."""
    return DatasetId(federation_id.partition(":")[2])


def _collection(view: DatasetView) -> dict[str, Any]:
    record = view.record
    return {
        "id": record.id,
        "name": record.title or record.id,
        "description": record.open_release_note or f"{record.disclosure} dataset on {record.assembly}",
        "version": f"{record.version}.{record.release}",
        "info": record.model_dump(mode="json", exclude={"id", "title", "measurements"}),
    }


def _need_nothing(question: BeaconQuestion) -> None:
    if question.parameters or question.filters:
        raise BadQuestion("this address takes no request parameters and no filters")


def _need_no_filter(question: BeaconQuestion) -> None:
    if question.filters:
        raise BadQuestion("filters on datasets are not supported")
