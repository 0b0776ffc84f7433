"""The frequency browser and its neighbours: search, variants, regions, genes, terms, datasets; and all routes of the portal."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Collection, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from http import HTTPStatus
from threading import Thread
from typing import Any
from urllib.parse import quote, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from cohelix.access.caller import CallerOf, known_caller, nobody_calls
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import CohelixError, NotFound
from cohelix.core.genes import Gene, find_gene, genes_in
from cohelix.core.genome import Assembly, Region, known_contig, parse_assembly
from cohelix.core.variant import VariantKey, is_sequence
from cohelix.federation.answers import variant_of_name
from cohelix.federation.behalf import Behalf
from cohelix.federation.naming import variants_named
from cohelix.federation.questions import Federation
from cohelix.portal.accessibility import accessibility_pages
from cohelix.portal.analyses import AnalysisPages, RunBoard
from cohelix.portal.arrivals import PATIENCE_SECONDS, Arrivals
from cohelix.portal.assets import asset
from cohelix.portal.cohort_pages import CohortPages
from cohelix.portal.downloads import KINDS, counts_file, variants_file
from cohelix.portal.findings import Findings
from cohelix.portal.languages import (
    keep,
    language_of_tag,
)
from cohelix.portal.pages import (
    Handler,
    dataset_path,
    gene_path,
    hub_url_of,
    page_route,
    redirect,
    region_path,
    render,
    text_of_page,
    variant_path,
)
from cohelix.portal.region_filter import FIELDS, listed, read_filter
from cohelix.portal.roll import Called, Roll
from cohelix.portal.search import (
    DatasetQuestion,
    GeneQuestion,
    NotUnderstood,
    Question,
    RegionQuestion,
    Suggestion,
    TermQuestion,
    VariantQuestion,
    understand,
)
from cohelix.portal.snippets import (
    frequency_path,
    frequency_snippets,
    region_snippets,
    term_json_path,
    term_snippets,
)
from cohelix.portal.tables import frequency_view, region_view
from cohelix.portal.terms import Terms
from cohelix.portal.wizard import PlanDesk, WizardPages
from cohelix.web.events import event, event_stream
from cohelix.wire.expression import read_expression
from cohelix.wire.federation import RegionAnswer
from cohelix.wire.frequency import FrequencyAnswer
from cohelix.wire.names import NamedAnswer, is_name

PAGE_VARIANTS = 50
NAME_MAX = 80  # a longer variant is shown in full below its heading
_FILE_NAMES = {"csv": "CSV", "tsv": "TSV", "parquet": "Parquet", "json": "JSON"}
_LOOKED_UP = ("rs_id", "hgvs")  # names that members may know
_GLANCE_SECONDS = 0.2  # for pages whose own answer does not need the roll


def routes(
    federation: Federation,
    runs: RunBoard,
    findings: Findings,
    plans: PlanDesk,
    clock: Clock | None = None,
    *,
    caller_of: CallerOf = nobody_calls,
    contact: str = "",
) -> list[BaseRoute]:
    """The portal of a hub, to be mounted after all other routes.

    `caller_of` tells who asks for a page; `contact` is where the operator is told of barriers.

    The last route answers every GET that nothing else took: a browser gets a page, anybody else the app's own 404.
    """
    Thread(target=_read_genes, name="read genes", daemon=True).start()  # the first reader should not wait for it
    clock = clock or SystemClock()
    roll, terms = Roll(federation, clock), Terms()
    pages = _Pages(federation, roll, terms, Arrivals(federation, clock))
    cohorts = CohortPages(federation, roll, terms, clock, render, redirect)
    analyses, wizard = AnalysisPages(runs, findings, render), WizardPages(plans, roll, render, redirect)

    def route(template: str, handler: Handler) -> Route:
        return page_route(template, handler, caller_of)

    return [
        route("/", pages.home),
        route("/search", pages.search),
        route("/variant/{variant}", pages.variant),
        route("/variant/{variant}/counts.{kind}", pages.variant_file),
        route("/variant/{variant}/arriving", pages.variant_arriving),
        route("/region/{region}", pages.region),
        route("/region/{region}/variants.{kind}", pages.region),
        route("/gene/{symbol}", pages.gene),
        route("/gene/{symbol}/variants.{kind}", pages.gene),
        route("/term/{code}", pages.term),
        route("/datasets", pages.datasets),
        route("/datasets/{dataset}", pages.dataset),
        route("/cohorts", cohorts.page),
        route("/cohorts/counts", cohorts.counts),
        route("/cohorts/terms", cohorts.suggestions),
        route("/analyses", analyses.board),
        route("/analyses/new", wizard.page),
        page_route("/analyses/new", wizard.start, caller_of, methods=("POST",)),
        route("/analyses/new/plan.yaml", wizard.file),
        route("/analyses/{run}", analyses.one),
        route("/analyses/{run}/live", analyses.live),
        route("/analyses/{run}/region/{region}", analyses.region),
        route("/analyses/{run}/estimates", analyses.estimates),
        route("/about", pages.about),
        *accessibility_pages(contact, caller_of),
        route("/static/{digest}/{name}", asset),
        route("/{path:path}", _elsewhere_or_nothing),
    ]


def _read_genes() -> None:
    with suppress(CohelixError):  # a table that is refused is told to whoever asks for a gene
        for assembly in Assembly:
            find_gene("", assembly)


class _Pages:
    """One method a page: asks the federation, arranges the answer, renders a template."""

    def __init__(self, federation: Federation, roll: Roll, terms: Terms, arrivals: Arrivals) -> None:
        self._federation = federation
        self._arrivals = arrivals
        self._roll = roll
        self._terms = terms

    async def home(self, request: Request) -> Response:
        called = await self._roll.call()
        return render(request, "home.html", called=called, assembly=_usual_assembly(called))

    async def search(self, request: Request) -> Response:
        called = await self._roll.call(patience_seconds=_GLANCE_SECONDS)
        chosen = request.query_params.get("assembly")
        assembly = parse_assembly(chosen) if chosen else _usual_assembly(called)
        question = understand(request.query_params.get("q", ""), assembly, called.dataset_ids)
        if not isinstance(question, NotUnderstood):
            return _elsewhere(request, question)
        if question.problem in _LOOKED_UP and is_name(question.subject):
            return await self._of_name(request, question)
        return _elsewhere(request, await self._by_name(question))

    async def _of_name(self, request: Request, question: NotUnderstood) -> Response:
        """The variant that an rsID or a name in HGVS stands for, as the members' datasets say; or which of several."""
        answer = await variants_named(self._federation, question.subject, _behalf(request))
        here = [one for one in answer.variants if one.assembly == question.assembly]
        if len(here) == 1:
            return redirect(variant_path(here[0].variant, here[0].assembly))
        if answer.variants:
            found = (
                Suggestion(one.variant, parse_assembly(one.assembly), ", ".join(one.datasets))
                for one in here or answer.variants
            )
            question = replace(question, problem="several_variants", suggestions=tuple(found))
        return _not_understood(request, question, looked=answer)

    async def _by_name(self, question: NotUnderstood) -> Question:
        """What is no variant, place, gene or dataset may be the name of a feature or a disease."""
        if question.problem != "nothing_of_that_name" or not any(c.isalpha() for c in question.subject):
            return question
        book = await self._terms.book()
        term = book.named(question.subject)
        if term:
            return TermQuestion(term.code)
        near = (Suggestion(term.code, question.assembly, term.name) for term in book.near(question.subject))
        return replace(question, suggestions=(*question.suggestions, *near))

    async def term(self, request: Request) -> Response:
        text = request.path_params["code"]
        called = await self._roll.call(patience_seconds=_GLANCE_SECONDS)
        question = understand(text, _usual_assembly(called), ())
        if not (isinstance(question, TermQuestion) and question.code == text):
            return _elsewhere(request, question)
        asked = self._federation.cohort_count(read_expression(text), behalf=_behalf(request))
        answer, name = await asyncio.gather(asked, self._terms.name(text))
        told = [dataset.id for node in answer.nodes for dataset in node.datasets if dataset.count is not None]
        return render(
            request,
            "term.html",
            term=text,
            name=name,
            answer=answer,
            called=called,
            rounded=any(called.records[one].disclosure != "open" for one in told if one in called.records),
            snippets=term_snippets(hub_url_of(request), text),
            files=(("JSON", term_json_path(text)),),
            assembly=_usual_assembly(called),
        )

    async def variant(self, request: Request) -> Response:
        assembly = _assembly(request)
        text = request.path_params["variant"]
        if assembly is None:
            return _which_assembly(request, text)
        question = understand(text, assembly, ())
        if not (isinstance(question, VariantQuestion) and str(question.key) == text and question.assembly == assembly):
            return _elsewhere(request, question)
        key, behalf = question.key, _behalf(request)
        name = request.query_params.get("arriving")
        asked = (name and self._arrivals.get(name, key, assembly, behalf)) or self._arrivals.ask(key, assembly, behalf)
        # A browser that opens a page may go on with it; programs, and browsers without JavaScript, wait for the whole.
        may_arrive = name is None and request.headers.get("sec-fetch-dest") == "document"
        patience = PATIENCE_SECONDS if may_arrive else None
        _, called = await asyncio.gather(asked.wait(patience), self._roll.call(patience_seconds=_GLANCE_SECONDS))
        kept = None if asked.whole else self._arrivals.keep(asked)
        answer = asked.answer() if kept else await asked.wait()
        return render(
            request,
            "variant.html",
            arriving=_arriving_paths(str(key), assembly, kept) if kept else None,
            **self._drawn(key, assembly, answer, asked.waiting if kept else (), called),
            kind=_kind(key),
            genes=genes_in(Region(key.contig, key.position, key.end), assembly),
            around=_around(key, assembly),
            snippets=frequency_snippets(hub_url_of(request), str(key), assembly),
            files=(*_files_of(str(key), assembly), ("JSON", frequency_path(str(key), assembly))),
        )

    async def variant_arriving(self, request: Request) -> Response:
        """The parts of a variant's page, drawn anew whenever a member has answered, as events; the last one is whole."""
        assembly, behalf = _assembly(request), _behalf(request)
        key = variant_of_name(request.path_params["variant"])
        asked = self._arrivals.get(request.query_params.get("arriving", ""), key, assembly, behalf) if assembly else None
        if asked is None or assembly is None:
            raise NotFound("nothing is arriving here: the question is answered and forgotten, or was somebody else's")
        called = await self._roll.call(patience_seconds=_GLANCE_SECONDS)

        async def parts() -> AsyncGenerator[bytes, None]:
            number = 0
            async with aclosing(asked.news()) as news:
                async for answer in news:
                    number += 1
                    whole = asked.whole
                    values = self._drawn(key, assembly, answer, () if whole else asked.waiting, called)
                    html = text_of_page(request, "variant_answer.html", **values)
                    yield event("whole" if whole else "part", json.dumps(html), str(number))
                    if whole:
                        return

        return event_stream(parts())

    def _drawn(
        self, key: VariantKey, assembly: Assembly, answer: FrequencyAnswer, waiting: Collection[str], called: Called
    ) -> dict[str, Any]:
        """What the parts of a variant's page are drawn from that change while members answer."""
        return {
            "assembly": assembly,
            "key": key,
            "name": str(key) if len(str(key)) <= NAME_MAX else f"{str(key)[:NAME_MAX]}…",
            "answer": answer,
            "view": frequency_view(answer, called.members, called.records, waiting),
            "other_assembly": _other(assembly),
        }

    async def variant_file(self, request: Request) -> Response:
        assembly = _assembly(request)
        text = request.path_params["variant"]
        question = understand(text, assembly, ()) if assembly else None
        if not (isinstance(question, VariantQuestion) and str(question.key) == text and question.assembly == assembly):
            raise NotFound("there is no such file: a file's address is that of its variant's page, with /counts.csv behind it")
        return counts_file(
            await self._federation.frequency(question.key, question.assembly, _behalf(request)), request.path_params["kind"]
        )

    async def region(self, request: Request) -> Response:
        assembly = _assembly(request)
        text = request.path_params["region"]
        if assembly is None:
            return _which_assembly(request, text)
        question = understand(text, assembly, ())
        if not (isinstance(question, RegionQuestion) and str(question.region) == text and question.assembly == assembly):
            return _elsewhere(request, question)
        return await self._variants_in(request, question.region, assembly, None, region_path(str(question.region), assembly))

    async def gene(self, request: Request) -> Response:
        assembly = _assembly(request)
        text = request.path_params["symbol"]
        if assembly is None:
            return _which_assembly(request, text)
        question = understand(text, assembly, ())
        if not (isinstance(question, GeneQuestion) and question.gene.symbol == text and question.assembly == assembly):
            return _elsewhere(request, question)
        gene = question.gene
        return await self._variants_in(request, gene.region, assembly, gene, gene_path(gene.symbol, assembly))

    async def _variants_in(
        self, request: Request, region: Region, assembly: Assembly, gene: Gene | None, path: str
    ) -> Response:
        """A page of a region's variants, or the file of that page; `path` is that of its first page without a filter."""
        wanted = read_filter(request.query_params)
        cursor = request.query_params.get("after")
        query = wanted.query | ({"after": cursor} if cursor else {})
        if any(name in request.query_params and name not in query for name in (*FIELDS, "after")):
            return redirect(_with(path, query))  # a form sends its empty fields too
        after = variant_of_name(cursor) if cursor else None

        def ask(limit: int, after: VariantKey | None) -> Awaitable[RegionAnswer]:
            return self._federation.region(region, assembly, limit=limit, after=after, behalf=_behalf(request))

        asked = listed(ask, wanted, after, PAGE_VARIANTS)
        if kind := request.path_params.get("kind"):
            return variants_file((await asked)[0], kind)
        (answer, looked), called = await asyncio.gather(asked, self._roll.call(patience_seconds=_GLANCE_SECONDS))
        return render(
            request,
            "region.html",
            assembly=assembly,
            region=region,
            gene=gene,
            genes=() if gene else genes_in(region, assembly)[:12],
            answer=answer,
            view=region_view(answer, called.members, called.records),
            later=cursor is not None,
            wanted=wanted,
            looked=looked,
            all_path=path,
            first_path=_with(path, wanted.query),
            next_path=_with(path, {**wanted.query, "after": answer.next}) if answer.next else None,
            snippets=region_snippets(hub_url_of(request), region, gene.symbol if gene else None, assembly),
            files=tuple((name, _with(_beside(path, f"variants.{kind}"), query)) for kind, name in _FILE_NAMES.items()),
        )

    async def datasets(self, request: Request) -> Response:
        called = await self._roll.call()
        return render(request, "datasets.html", called=called, assembly=_usual_assembly(called))

    async def dataset(self, request: Request) -> Response:
        called = await self._roll.call()
        wanted = request.path_params["dataset"]
        record = called.records.get(wanted)
        node = wanted.partition(":")[0]
        member = next((member for member in called.members if member.id == node), None)
        if member is None or (record is None and wanted not in called.dataset_ids):
            raise NotFound(f"there is no dataset {wanted!r} in this federation")
        assembly = parse_assembly(record.assembly) if record else _usual_assembly(called)
        heard = called.heard.get(node)
        return render(request, "dataset.html", id=wanted, record=record, member=member, heard=heard, assembly=assembly)

    async def about(self, request: Request) -> Response:
        called = await self._roll.call(patience_seconds=_GLANCE_SECONDS)
        return render(request, "about.html", assembly=_usual_assembly(called))


async def _elsewhere_or_nothing(request: Request) -> Response:
    """`/de/variant/…` is that page in German, from then on; of all other addresses there is none.

    A browser gets a page that says so; a program gets what the app says of an address that does not exist.
    """
    tag, _, rest = request.path_params["path"].partition("/")
    language = language_of_tag(tag)
    if language is not None:
        here = "/" + quote(rest.lstrip("/\\"), safe="/:")
        answer = redirect(f"{here}?{request.url.query}" if request.url.query else here)
        keep(answer, language, secure=request.url.scheme == "https")
        return answer
    if "text/html" not in request.headers.get("accept", ""):
        raise HTTPException(HTTPStatus.NOT_FOUND)
    raise NotFound("there is no page at this address")


def _arriving_paths(variant: str, assembly: str, name: str) -> dict[str, str]:
    """Where the rest of a page arrives, and the page that waits for all of it."""
    page, query = f"/variant/{quote(variant, safe='')}", urlencode({"assembly": assembly, "arriving": name})
    return {"parts": f"{page}/arriving?{query}", "whole": f"{page}?{query}"}


def _files_of(variant: str, assembly: str) -> tuple[tuple[str, str], ...]:
    """Names and addresses of the files with a variant's counts."""
    path = variant_path(variant, assembly)
    return tuple((_FILE_NAMES[kind], _beside(path, f"counts.{kind}")) for kind in KINDS)


def _beside(path: str, name: str) -> str:
    """The address of a file that belongs to a page."""
    page, _, query = path.partition("?")
    return f"{page}/{name}?{query}"


def _with(path: str, query: Mapping[str, str]) -> str:
    """An address that has a query already, with more of it."""
    return f"{path}&{urlencode(query)}" if query else path


def _path_of(question: Question) -> str:
    match question:
        case VariantQuestion(key, assembly):
            return variant_path(str(key), assembly)
        case RegionQuestion(region, assembly):
            return region_path(str(region), assembly)
        case GeneQuestion(gene, assembly):
            return gene_path(gene.symbol, assembly)
        case TermQuestion(code):
            return f"/term/{quote(code, safe=':')}"
        case DatasetQuestion(dataset):
            return dataset_path(dataset)
        case NotUnderstood():
            return "/"


def _elsewhere(request: Request, question: Question) -> Response:
    """For an address that is not the one of what it names: lead there, or say why it names nothing."""
    return _not_understood(request, question) if isinstance(question, NotUnderstood) else redirect(_path_of(question))


def _not_understood(request: Request, question: NotUnderstood, *, looked: NamedAnswer | None = None) -> Response:
    """Say what was wrong; `looked` is what came of looking for a name."""
    if question.problem == "empty":
        return redirect("/")
    status = HTTPStatus.NOT_FOUND if looked or question.problem == "nothing_of_that_name" else HTTPStatus.BAD_REQUEST
    if question.problem == "several_variants":
        status = HTTPStatus.OK
    return render(request, "search.html", status, question=question, looked=looked, assembly=question.assembly)


def _assembly(request: Request) -> Assembly | None:
    text = request.query_params.get("assembly")
    return parse_assembly(text) if text else None


def _usual_assembly(called: Called) -> Assembly:
    """The build of most datasets, for a box in which nobody chose yet."""
    counted = Counter(record.assembly for record in called.records.values())
    return parse_assembly(counted.most_common(1)[0][0]) if counted else Assembly.GRCH38


def _other(assembly: Assembly) -> Assembly:
    return Assembly.GRCH38 if assembly == Assembly.GRCH37 else Assembly.GRCH37


def _around(key: VariantKey, assembly: Assembly, *, bases: int = 1_000) -> Region:
    contig = known_contig(key.contig, assembly)
    end = key.end + bases
    return Region(key.contig, max(0, key.position - bases), min(end, contig.length) if contig and contig.length else end)


def _kind(key: VariantKey) -> str:
    """`snv`, `mnv`, `insertion`, `deletion`, `indel` or `symbolic`; the templates have the words."""
    if not (is_sequence(key.ref) and is_sequence(key.alt)):
        return "symbolic"
    if len(key.ref) == len(key.alt):
        return "snv" if len(key.ref) == 1 else "mnv"
    if len(key.ref) == 1 and key.alt[0] == key.ref:
        return "insertion"
    return "deletion" if len(key.alt) == 1 and key.ref[0] == key.alt else "indel"


def _behalf(request: Request) -> Behalf:
    """On whose behalf a page asks."""
    return Behalf(known_caller(request))


def _which_assembly(request: Request, subject: str) -> Response:
    return render(request, "which_assembly.html", HTTPStatus.BAD_REQUEST, subject=subject, assembly=Assembly.GRCH38)
