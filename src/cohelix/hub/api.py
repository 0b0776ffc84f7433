"""The hub's own questions over HTTP: `/api/v1/…`, whole or node by node."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cohelix.access.caller import CallerOf, nobody_calls
from cohelix.core.errors import BadQuestion, NotFound
from cohelix.core.genes import find_gene
from cohelix.core.genome import Assembly, Region, assembly_of_refseq, known_contig, parse_assembly, parse_region
from cohelix.core.variant import VariantKey, is_sequence, parse_variant
from cohelix.federation.answers import variant_of_name
from cohelix.federation.behalf import EVERYBODY, Behalf, behalf_of
from cohelix.federation.naming import variants_named
from cohelix.federation.questions import REGION_LIMIT, REGION_LIMIT_MAX, Federation
from cohelix.web.events import STREAM, event, event_stream
from cohelix.wire.cohorts import CohortCountAnswer, CohortQuestion
from cohelix.wire.expression import TEXT_MAX, read_expression
from cohelix.wire.federation import DatasetsAnswer, GeneAnswer, GeneRecord, MembersAnswer, RegionAnswer
from cohelix.wire.frequency import FrequencyAnswer, PooledCounts, Wire
from cohelix.wire.names import NAME_MAX, RS_ID, NamedAnswer
from cohelix.wire.plan import plan_schema

_AssemblyText = Annotated[str, Query(alias="assembly", description="GRCh37 or GRCh38; nothing is lifted over")]
_Limit = Annotated[int, Query(ge=1, le=REGION_LIMIT_MAX, description="Most variants on a page")]
_After = Annotated[str | None, Query(max_length=10_000, description="`next` of the page before")]
_Name = Annotated[str, Query(max_length=NAME_MAX, description="For example rs9616208 or NM_004006.2:c.4375C>T")]
_Expression = Annotated[str, Query(max_length=TEXT_MAX, description="For example: sex=female and not disease=OMIM:1")]
_Datasets = Annotated[tuple[str, ...], Query(max_length=1_000, description="Only these NODE:DATASET; all where there is none")]
_STREAM_ENDED = "pooled"  # the id of a stream's last event; no member's is its: those are numbers
_ACCESSION = re.compile(r"NC_\d+\.\d+", re.IGNORECASE)


class _SchemaResponse(JSONResponse):
    media_type = "application/schema+json"


def api_router(federation: Federation, *, hub_url: str, caller_of: CallerOf = nobody_calls) -> APIRouter:
    """The endpoints under `/api/v1`.

    Parameters
    ----------
    caller_of
        Finds who sends a request: members are asked on that person's behalf, and the answer is for nobody else.
    """
    router = APIRouter(prefix="/api/v1", tags=["questions"])

    async def behalf(request: Request) -> Behalf:
        return behalf_of(await caller_of(request), request.headers)

    @router.get(
        "/frequency/{variant}",
        response_model=FrequencyAnswer,
        responses={
            200: {"content": {STREAM: {}}},
            204: {"description": "The stream was told to its end, by its `Last-Event-ID`: there is nothing to go on with"},
        },
        summary="Counts of one variant, pooled and at every member",
    )
    async def frequency(
        request: Request,
        variant: str,
        assembly: _AssemblyText,
        accept: Annotated[str, Header()] = "",
        last_event_id: Annotated[str, Header()] = "",
    ) -> Response:
        who = await behalf(request)
        build = parse_assembly(assembly)
        key = read_variant(variant, build)
        if STREAM in accept.lower():
            if last_event_id == _STREAM_ENDED:  # a browser that connects again, as browsers do when a stream ends
                return Response(status_code=204, headers={"cache-control": "no-store"})
            return event_stream(_events(federation, key, build, who))
        return _json(await federation.frequency(key, build, who), who)

    @router.get("/variants", response_model=NamedAnswer, summary="Variants of an rsID or of a name in HGVS")
    async def variants(request: Request, name: _Name) -> Response:
        who = await behalf(request)
        return _json(await variants_named(federation, name, who), who)

    @router.get("/region/{region}", response_model=RegionAnswer, summary="Variants that overlap a region, page by page")
    async def region(
        request: Request, region: str, assembly: _AssemblyText, limit: _Limit = REGION_LIMIT, after: _After = None
    ) -> Response:
        who = await behalf(request)
        build = parse_assembly(assembly)
        place = parse_region(region)
        _check_accession(_ACCESSION.match(region.strip()), build)
        _check_contig(place.contig, build)
        answer = await federation.region(place, build, limit=limit, after=_cursor(after, place), behalf=who)
        return _json(answer, who)

    @router.get("/gene/{symbol}", response_model=GeneAnswer, summary="Variants of a gene's region, page by page")
    async def gene(
        request: Request, symbol: str, assembly: _AssemblyText, limit: _Limit = REGION_LIMIT, after: _After = None
    ) -> Response:
        who = await behalf(request)
        build = parse_assembly(assembly)
        found = find_gene(symbol, build)
        if found is None:
            raise NotFound(f"no gene {symbol[:60]!r} is known on {build}: give its symbol or its Ensembl id")
        answer = await federation.region(found.region, build, limit=limit, after=_cursor(after, found.region), behalf=who)
        record = GeneRecord(symbol=found.symbol, ensembl_id=found.ensembl_id, name=found.name, region=str(found.region))
        return _json(GeneAnswer(**dict(answer), gene=record), who)

    @router.get("/datasets", response_model=DatasetsAnswer, summary="Every member's datasets")
    async def datasets(request: Request) -> Response:
        who = await behalf(request)
        return _json(await federation.datasets(who), who)

    @router.post("/cohorts/count", response_model=CohortCountAnswer, summary="How many people an expression means")
    async def count(request: Request, question: CohortQuestion) -> Response:
        who = await behalf(request)
        asked = question.expression, question.datasets
        return _json(await federation.cohort_count(*asked, project=question.project, behalf=who), who)

    @router.get("/cohorts/count", response_model=CohortCountAnswer, summary="The same, of an expression as text")
    async def count_text(request: Request, expression: _Expression, datasets: _Datasets = ()) -> Response:
        who = await behalf(request)
        return _json(await federation.cohort_count(read_expression(expression), datasets, behalf=who), who)

    @router.get("/plan-schema", response_class=_SchemaResponse, summary="The JSON schema of plans of analyses")
    async def schema() -> Response:
        return _SchemaResponse(plan_schema())

    @router.get("/members", response_model=MembersAnswer, summary="The members and their states")
    async def members() -> Response:
        return _json(MembersAnswer(hub=hub_url, members=federation.members()))

    return router


def read_variant(text: str, assembly: Assembly) -> VariantKey:
    """A variant as people or our own answers write it; `BadQuestion` where the assembly has no such contig or place."""
    if RS_ID.fullmatch(text.strip()):
        raise BadQuestion(f"{text.strip()} is an rsID: /api/v1/variants?name={text.strip()} tells which variants it stands for")
    parts = text.strip().rsplit("-", 2)
    # Symbolic alleles come from our own answers only; whatever else is not bases gets the reader's own advice.
    symbolic = len(parts) == 3 and is_sequence(parts[1].upper()) and any(sign in parts[2] for sign in "<[]")
    key = variant_of_name(text.strip()) if symbolic else parse_variant(text)
    _check_accession(_ACCESSION.match(text.strip()), assembly)
    if key.ref == key.alt:
        raise BadQuestion("REF and ALT are the same: that is no variant")
    length = _check_contig(key.contig, assembly)
    if length and key.end > length:
        raise BadQuestion(f"contig {key.contig} of {assembly} has {length} bases: {key.position + 1} is beyond its end")
    return key


def _check_accession(found: re.Match[str] | None, assembly: Assembly) -> None:
    """A RefSeq accession with its version belongs to one assembly, and assemblies never mix (rule 7)."""
    own = assembly_of_refseq(found[0]) if found else None
    if found and own not in (None, assembly):
        raise BadQuestion(f"{found[0]} is of {own}, and the question is of {assembly}: nothing is lifted over")


def _check_contig(name: str, assembly: Assembly) -> int:
    contig = known_contig(name, assembly)
    if contig is None:
        raise BadQuestion(f"{assembly} has no contig {name[:60]!r}")
    return contig.length


def _cursor(after: str | None, region: Region) -> VariantKey | None:
    if after is None:
        return None
    key = variant_of_name(after)
    if key.contig != region.contig:
        raise BadQuestion("`after` is a variant of another contig")
    return key


async def _events(federation: Federation, key: VariantKey, assembly: Assembly, behalf: Behalf) -> AsyncGenerator[bytes, None]:
    """One `node` event for each member as it answers, then one `pooled` event.

    A member's event holds what its line of the whole answer holds, and only the last one a sum: no sum over some of the
    members is told that the whole answer would not tell.
    """
    number = 0
    async with aclosing(federation.frequency_stream(key, assembly, behalf)) as answers:
        async for answer in answers:
            number += 1
            if isinstance(answer, PooledCounts):
                yield event("pooled", answer.model_dump_json(), _STREAM_ENDED)
            else:
                yield event("node", answer.model_dump_json(), str(number))


def _json(document: Wire, behalf: Behalf = EVERYBODY) -> Response:
    """A document; one that was made for a person is kept by nobody on the way."""
    headers = {"cache-control": "no-store"} if behalf.known else None
    return Response(document.model_dump_json().encode(), headers=headers, media_type="application/json")
