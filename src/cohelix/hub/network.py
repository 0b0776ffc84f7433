"""The Beacon network at `/beacon/v2`: a Beacon question goes to every member's own Beacon, and their answers are merged.

Result sets keep their dataset's id, which names the member; `info.nodes` says how the road to each member was. A member
that refuses the question (an unknown filter, say) is named with its words; the question fails only where all refuse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeGuard, cast

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cohelix import __version__
from cohelix.access.caller import CallerOf, nobody_calls
from cohelix.beacon.about import About, endpoint_map, entry_types
from cohelix.beacon.addresses import DEFAULT, Address, read_address, read_terms_address
from cohelix.beacon.entry_types import ENTRY_TYPES, check_schemas
from cohelix.beacon.granularity import answer_meta, error_answer
from cohelix.core.errors import (
    BadInput,
    BadQuestion,
    CohelixError,
    MethodNotAllowed,
    NotFound,
    NotPermitted,
    TooLarge,
    Unreachable,
)
from cohelix.federation.behalf import EVERYBODY, Behalf, behalf_of
from cohelix.federation.fan_out import Asked
from cohelix.federation.questions import Federation
from cohelix.hub.services import beacon_id
from cohelix.hub.settings import HubSettings
from cohelix.wire.beacon import LIMIT_MAX, BeaconQuestion, Granularity, question_from_get, question_from_post
from cohelix.wire.federation import AskBeacon, BeaconReply, Member

PREFIX = "/beacon/v2"
# Records of one result set in one answer of the network; many members' pages must fit beside each other.
_LIMIT_MAX = 100
_ITEMS_MAX = 20_000
_RANK: Mapping[Granularity, int] = {"boolean": 0, "count": 1, "record": 2}
# Entries whose ids begin with their member's: datasets and cohorts, and the runs and analyses of a dataset.
_NAMED_BY_MEMBER = frozenset({"dataset", "cohort", "run", "analysis"})


@dataclass(frozen=True, slots=True)
class Part:
    """What one member's Beacon told, checked for its form; `refusal` where it did not take the question."""

    granularity: Granularity = "boolean"
    exists: bool = False
    total: int | None = None
    result_sets: tuple[dict[str, Any], ...] = ()
    collections: tuple[dict[str, Any], ...] = ()
    lines: tuple[dict[str, Any], ...] = ()
    summary: Mapping[str, Any] | None = None
    terms: tuple[dict[str, Any], ...] = ()
    resources: tuple[dict[str, Any], ...] = ()
    refusal: tuple[int, str] | None = None


class Network:
    """The federation as one Beacon."""

    def __init__(self, federation: Federation, about: About, base: str) -> None:
        self._federation = federation
        self._about = about
        self._base = base

    async def answer(
        self, method: str, path: str, pairs: Sequence[tuple[str, str]], body: bytes, behalf: Behalf = EVERYBODY
    ) -> tuple[int, dict[str, Any]]:
        """Status and document of one request; every error becomes Beacon's error body."""
        question, address, path = BeaconQuestion(), None, path.strip("/")
        try:
            if method not in ("GET", "HEAD", "POST"):
                raise MethodNotAllowed("ask with GET or POST")
            if method == "POST" and pairs:
                raise BadQuestion("a POST's question is in its body, not in the address")
            question = question_from_post(body) if method == "POST" else question_from_get(pairs)
            question = replace(question, limit=min(question.limit, _LIMIT_MAX))
            told = await self._informational(path, behalf)
            if told is not None:
                return 200, told
            address = read_address(path)
            check_schemas(question.schemas, address.entry)
            return await self._entries(path, address, question, behalf)
        except CohelixError as error:
            return error.status, error_answer(self._meta(question, address), error, None)

    def refuse(self, error: CohelixError) -> dict[str, Any]:
        """Beacon's body for an error that was met before the question was read."""
        return error_answer(self._meta(BeaconQuestion(), None), error, None)

    async def _informational(self, path: str, behalf: Behalf) -> dict[str, Any] | None:
        """What the network says of itself; None for the address of entries."""
        tell = {
            "": lambda: self._about.info(self._base),
            "info": lambda: self._about.info(self._base),
            "configuration": self._about.configuration,
            "map": lambda: endpoint_map(self._base),
            "entry_types": entry_types,
        }
        if path == "service-info":
            return self._about.service_info(self._base).body()
        if read_terms_address(path) is not None:
            return {"meta": self._about.meta(), "response": await self._filtering_terms(path, behalf)}
        if path not in tell:
            return None
        return {"meta": self._about.meta(), "response": tell[path]()}

    async def _filtering_terms(self, path: str, behalf: Behalf) -> dict[str, Any]:
        """The terms of all members: of the same id one, with the values, the scopes and the people of all."""
        ask = AskBeacon(path=path)
        everybody = {member.id: ask for member in self._federation.active()}
        asked = await self._federation.beacon(everybody, _read_terms, behalf)
        if asked and all(one.answer and one.answer.refusal for one in asked):
            raise NotFound("no member has terms of this name")
        terms: dict[str, dict[str, Any]] = {}
        resources: dict[str, dict[str, Any]] = {}
        for one in asked:
            for term in one.answer.terms if one.answer else ():
                known = terms.setdefault(term["id"], term)
                if known is not term:
                    terms[term["id"]] = _both_terms(known, term)
            for resource in one.answer.resources if one.answer else ():
                resources.setdefault(resource["id"], resource)
        return {
            "filteringTerms": [terms[name] for name in sorted(terms)],
            "resources": [resources[name] for name in sorted(resources)],
        }

    async def _entries(
        self, path: str, address: Address, question: BeaconQuestion, behalf: Behalf
    ) -> tuple[int, dict[str, Any]]:
        members = [member.id for member in self._federation.active()]
        asked_datasets = _datasets_of(question)
        named = address.root in _NAMED_BY_MEMBER
        wanted = {address.identifier} if named else asked_datasets
        unknown = sorted(name for name in wanted or () if ":" not in name or name.partition(":")[0] not in members)
        if unknown:
            what = (named and address.root) or "dataset"
            words = f"{unknown[0][:80]!r} is no {what} of an active member; it is named MEMBER:{what.upper()}"
            raise NotFound(words) if named else BadQuestion(words)
        # Collections are paged over all members together, result sets each by itself.
        collected = ENTRY_TYPES[address.entry].is_collection
        forwarded = replace(question, skip=0, limit=LIMIT_MAX) if collected else question
        questions = {}
        for member in members:
            own = None if wanted is None else sorted(name for name in wanted if name.startswith(f"{member}:"))
            if own is None or own:
                datasets = sorted(name for name in asked_datasets or () if name.startswith(f"{member}:"))
                questions[member] = AskBeacon(path=path, body=_forwarded(forwarded, datasets))
        asked = await self._federation.beacon(questions, read_entries, behalf)
        told = [one.answer for one in asked if one.answer]
        parts = [part for part in told if part.refusal is None]
        if not told:
            raise Unreachable("no member answered: " + "; ".join(f"{one.member.id} {one.road.reason}" for one in asked))
        if not parts:
            status, words = min(part.refusal for part in told if part.refusal)
            return status, {"meta": self._meta(question, address), "error": {"errorCode": status, "errorMessage": words}}
        return 200, self._merged(address, question, parts, asked)

    def _merged(
        self, address: Address, question: BeaconQuestion, parts: Sequence[Part], asked: Sequence[Asked[Part]]
    ) -> dict[str, Any]:
        granularity = _granularity(parts)
        meta = self._meta(question, address, granularity)
        echoed = parts[0].summary
        if echoed and isinstance(echoed.get("requestParameters"), dict):
            meta["receivedRequestSummary"]["requestParameters"] = echoed["requestParameters"]
        summary: dict[str, Any] = {"exists": any(part.exists for part in parts)}
        document: dict[str, Any] = {"meta": meta, "responseSummary": summary}
        if granularity != "boolean":
            summary["numTotalResults"] = sum(part.total or 0 for part in parts)
            if not ENTRY_TYPES[address.entry].is_collection:
                document["response"] = {"resultSets": [one for part in parts for one in part.result_sets]}
            elif granularity == "record":
                collections = [one for part in parts for one in part.collections]
                document["response"] = {"collections": collections[question.first : question.first + question.limit]}
        lines = [line for part in parts for line in part.lines]
        document["info"] = {**({"datasets": lines} if lines else {}), "nodes": [_road(one) for one in asked]}
        return document

    def _meta(self, question: BeaconQuestion, address: Address | None, granularity: Granularity = DEFAULT) -> dict[str, Any]:
        entry, default = (address.entry, address.default) if address else (None, DEFAULT)
        return answer_meta(self._about.beacon_id, question, granularity, entry, default)


def network_router(federation: Federation, settings: HubSettings, *, caller_of: CallerOf = nobody_calls) -> APIRouter:
    """The network's endpoints; what they are is told by `/beacon/v2/map`."""
    about = About(
        beacon_id=beacon_id(settings),
        name=settings.name,
        organisation_id=beacon_id(settings).rpartition(".")[0],
        organisation=settings.name,
        organisation_url=settings.url,
        version=__version__,
        description="Allele frequencies and counts of people of all members, under each dataset's disclosure rule.",
    )
    network = Network(federation, about, settings.url + PREFIX)
    router = APIRouter(prefix=PREFIX, tags=["beacon network"])

    async def ask(request: Request) -> Response:
        path = cast(str, request.path_params.get("path", ""))
        try:
            body = await request.body()
            behalf = behalf_of(await caller_of(request), request.headers)
        except (TooLarge, BadQuestion, NotPermitted) as error:
            return JSONResponse(network.refuse(error), error.status)
        status, document = await network.answer(request.method, path, request.query_params.multi_items(), body, behalf)
        headers = {"allow": "GET, POST"} if status == 405 else {"cache-control": "no-store"} if behalf.known else None
        return JSONResponse(document, status, headers)

    for template, name in (("", "information"), ("/{path:path}", "question")):
        for method in ("GET", "POST"):
            router.add_api_route(
                template,
                ask,
                methods=[method],
                name=f"beacon {name} {method}",
                operation_id=f"beacon_{name}_{method.lower()}",
                summary="Beacon v2 of all members together",
                responses={"default": {"description": "Beacon v2 error", "content": {"application/json": {}}}},
                response_model=None,
            )
        other = ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"]
        router.add_api_route(template, ask, methods=other, name=f"beacon {name}", include_in_schema=False)
    return router


def _granularity(parts: Sequence[Part]) -> Granularity:
    """The merged answer's granularity: records where a member gives them and none gives less than a count, else the least."""
    ranks = [_RANK[part.granularity] for part in parts]
    shown = max(ranks) if min(ranks) > 0 else 0
    return next(name for name, rank in _RANK.items() if rank == shown)


def _both_terms(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """One term of two members."""
    merged = dict(first)
    for name in ("values", "scopes"):
        if first.get(name) and second.get(name):
            merged[name] = sorted({*first[name], *second[name]})
    counts = [term["count"] for term in (first, second) if _whole(term.get("count"))]
    return {**merged, "count": sum(counts)} if counts else merged


def _datasets_of(question: BeaconQuestion) -> set[str] | None:
    """The datasets that a question names; None for all."""
    given = question.parameters.get("datasetIds", question.parameters.get("datasets"))
    if given is None:
        return None
    names = given.split(",") if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadQuestion("datasetIds is a list of texts")
    return {name for name in names if name} or None


def _forwarded(question: BeaconQuestion, datasets: Sequence[str]) -> dict[str, Any]:
    """The question as a POST body, for one member's datasets."""
    parameters = {name: value for name, value in question.parameters.items() if name not in ("datasetIds", "datasets")}
    if datasets:
        parameters["datasetIds"] = list(datasets)
    query: dict[str, Any] = {
        "requestParameters": parameters,
        "filters": [wanted.document() for wanted in question.filters],
        "pagination": {"skip": question.skip, "limit": question.limit},
        "includeResultsetResponses": question.include,
        "testMode": question.test_mode,
    }
    if question.granularity is not None:
        query["requestedGranularity"] = question.granularity
    schemas = [{"entityType": entity, "schema": schema} for entity, schema in question.schemas]
    return {"meta": {"apiVersion": question.api_version, "requestedSchemas": schemas}, "query": query}


def _road(one: Asked[Part]) -> dict[str, Any]:
    road: dict[str, Any] = one.road.model_dump()
    if one.answer and one.answer.refusal:
        road["reason"] = one.answer.refusal[1]
    return road


def read_entries(member: Member, reply: BeaconReply) -> Part:
    """A member's answer to a question about entries; `BadInput` if it is not one, or speaks of others' datasets."""
    if reply.status != 200:
        return _refusal(reply)
    document = reply.document
    meta, summary = _object(document.get("meta")), _object(document.get("responseSummary"))
    granularity, exists, total = meta.get("returnedGranularity"), summary.get("exists"), summary.get("numTotalResults")
    if granularity not in _RANK or not isinstance(exists, bool):
        raise BadInput("it is not a Beacon's answer")
    if not (total is None or (_whole(total) and exists == (total > 0))):
        raise BadInput("its count and its answer contradict each other")
    if total is None and granularity != "boolean":
        raise BadInput("its count is missing")
    response, info = _object(document.get("response")), _object(document.get("info"))
    sets, collections = _objects(response.get("resultSets")), _objects(response.get("collections"))
    lines = _objects(info.get("datasets"))
    for one in sets:
        count, results = one.get("resultsCount"), one.get("results")
        if one.get("setType") != "dataset" or not _whole(count) or one.get("exists") is not (count > 0) or results is None:
            raise BadInput("a result set is not one")
        _objects(results)
    for named in (sets, collections, lines):
        if len({str(one.get("id")) for one in named}) != len(named):
            raise BadInput("a dataset is named twice")
    for one in (*sets, *collections, *lines):
        name = one.get("id")
        own = f"{member.id}:"
        if not isinstance(name, str) or not name.startswith(own) or name == own or not name.isprintable():
            raise BadInput("a dataset is not its own")
    echoed = meta.get("receivedRequestSummary")
    return Part(
        granularity=cast(Granularity, granularity),
        exists=exists,
        total=total,
        result_sets=sets,
        collections=collections,
        lines=lines,
        summary=echoed if isinstance(echoed, dict) else None,
    )


def _read_terms(_member: Member, reply: BeaconReply) -> Part:
    if reply.status != 200:
        return _refusal(reply)
    response = _object(reply.document.get("response"))
    terms, resources = _objects(response.get("filteringTerms")), _objects(response.get("resources"))
    if any(not isinstance(one.get("id"), str) for one in (*terms, *resources)):
        raise BadInput("a filtering term has no id")
    if any(not _texts(one.get("values", [])) or not _texts(one.get("scopes", [])) for one in terms):
        raise BadInput("a filtering term's values are not texts")
    return Part(terms=terms, resources=resources)


def _refusal(reply: BeaconReply) -> Part:
    words = _object(reply.document.get("error")).get("errorMessage")
    if not 400 <= reply.status < 600 or not isinstance(words, str):
        raise BadInput("it is not a Beacon's answer")
    shown = "".join(sign for sign in words[:500] if sign.isprintable())
    return Part(refusal=(min(reply.status, 500), shown))


def _object(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadInput("it is not a Beacon's answer")
    return value


def _objects(value: Any) -> tuple[dict[str, Any], ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > _ITEMS_MAX or not all(isinstance(one, dict) for one in value):
        raise BadInput("it is not a Beacon's answer")
    return tuple(value)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
