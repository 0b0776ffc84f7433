"""The page on which a person composes a cohort and sees how many people every member would have in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cohelix.access.caller import known_caller
from cohelix.core.clock import Clock
from cohelix.core.errors import BadQuestion, CohelixError
from cohelix.core.genome import Assembly
from cohelix.federation.behalf import Behalf
from cohelix.federation.questions import Federation
from cohelix.portal.cohort_draft import (
    BREADTHS,
    JOINTS,
    NAMED,
    NUMBER_SIGNS,
    Group,
    Path,
    Reading,
    acted,
    draft_of,
    draft_of_form,
    is_form,
    pairs_of,
    path_of,
    read_draft,
    replaced,
    rows,
)
from cohelix.portal.cohort_query import (
    cohort_from_query,
    expression_or_mistake,
    plan_cohort_yaml,
    query_from_cohort,
    readable_query,
)
from cohelix.portal.cohort_terms import TEXT_MAX, CohortTerms, Known, fits
from cohelix.portal.roll import Called, Roll
from cohelix.portal.snippets import cohort_json_path, cohort_snippets
from cohelix.portal.terms import Term, Terms
from cohelix.web.events import event, event_stream
from cohelix.wire.cohorts import CohortCountAnswer, NodeCohortLine, PooledPeople
from cohelix.wire.expression import CODES, NUMBERS, Expression, document_of, literals, text_of

FIELD_WORDS: Final[Mapping[str, str]] = {
    "disease": "Disease",
    "phenotype": "Phenotype (HPO)",
    "sex": "Sex",
    "age": "Age in years",
    "measurement": "Measurement",
    "treatment": "Treatment",
    "population": "Population",
    "country": "Country",
    "gene": "Affected gene",
    "birth_year": "Year of birth",
    "disease_stage": "Stage of the disease",
    "excluded_disease": "Disease that was ruled out",
    "excluded_phenotype": "Phenotype that was ruled out",
    "procedure": "Procedure",
    "exposure": "Exposure",
    "ethnicity": "Ethnicity",
    "vital_status": "Vital status",
    "tissue": "Tissue of the sample",
    "sample_type": "Kind of sample",
    "histology": "Histology",
    "tumour_grade": "Grade of the tumour",
    "tumour_stage": "Stage of the tumour",
    "term": "Code of any kind",
}
USUAL_FIELDS: Final = ("disease", "phenotype", "sex", "age", "measurement", "treatment", "population", "gene")
SIGN_WORDS: Final[Mapping[str, str]] = {
    "=": "is",
    "!=": "is not",
    "<": "is less than",
    "<=": "is at most",
    ">": "is more than",
    ">=": "is at least",
    "known": "was taken",
    "unknown": "was not taken",
}
JOINT_WORDS: Final[Mapping[str, str]] = {
    "all": "all of these hold",
    "any": "at least one of these holds",
    "none": "none of these holds",
    "notall": "not all of these hold",
}
BREADTH_WORDS: Final[Mapping[str, str]] = {
    "": "with all kinds of it",
    "only": "this code alone",
    "high": "and very similar ones",
    "medium": "and similar ones",
    "low": "and remotely similar ones",
    "only-high": "this code alone, and very similar ones",
    "only-medium": "this code alone, and similar ones",
    "only-low": "this code alone, and remotely similar ones",
}
PART_HEADER: Final = "cohelix-part"  # the page's script asks for the builder again, and for counts by themselves
_GLANCE_SECONDS = 0.2
_DOUBTS_MAX = 8  # of one form; whoever has mended these is told of the next
_SUGGESTION_SECONDS = 0.3  # somebody types on, and the next letter asks again
Render = Callable[..., Response]
Lead = Callable[[str], Response]


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A row whose words nobody knows, and what may be meant."""

    text: str
    near: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class _State:
    """What an address says: the form, what it means, and what is in doubt."""

    draft: Group
    reading: Reading
    datasets: tuple[str, ...]
    doubts: Mapping[Path, _Doubt]
    strangers: tuple[str, ...] = ()
    text: str = ""
    mistake: str = ""

    @property
    def expression(self) -> Expression | None:
        """Who would be counted; None where that is not clear."""
        return None if self.mistake or self.reading.mistakes or self.doubts else self.reading.expression

    @property
    def countable(self) -> Expression | None:
        """The same, where a dataset that was named is known here."""
        return None if self.strangers and not self.datasets else self.expression

    @property
    def is_whole(self) -> bool:
        """Whether the canonical address says all of it."""
        blank = not self.draft.parts
        return blank or (self.expression is not None and not self.reading.unfilled)

    @property
    def address(self) -> str:
        """The page with this state: the canonical one where that says all."""
        if self.is_whole:
            query = query_from_cohort(self.expression, self.datasets)
        else:
            query = readable_query([*pairs_of(self.draft), *(("dataset", name) for name in self.datasets)])
        return f"/cohorts?{query}" if query else "/cohorts"


@dataclass(frozen=True, slots=True)
class _Example:
    """A cohort to begin with."""

    address: str
    text: str
    name: str


class CohortPages:
    """`/cohorts`, its counts by themselves, and the suggestions of its fields."""

    def __init__(  # noqa: PLR0917 - what the portal's other pages share, and how they render
        self, federation: Federation, roll: Roll, terms: Terms, clock: Clock, render: Render, lead: Lead
    ) -> None:
        self._federation, self._roll, self._render, self._lead = federation, roll, render, lead
        self._terms = CohortTerms(federation, terms, clock)

    async def page(self, request: Request) -> Response:
        """The builder, the counts of what it means, and the cohort to take along."""
        called = await self._called()
        known = await self._terms.known()
        state, focus = await self._state(request, called)
        alone = PART_HEADER in request.headers
        typed = is_form(request.query_params)
        other = (
            not typed and not state.strangers and state.countable is not None and state.text != text_of(state.countable)
        )  # one cohort has one address
        if not alone and (other or (typed and ("do" in request.query_params or state.is_whole))):
            anchor = f"#c-{path_of(focus)}" if focus and not state.is_whole else ""
            return self._lead(state.address + anchor)
        answer, refusal = (None, None) if alone else await self._counted(request, state)
        return self._render(
            request,
            "cohorts.html",
            **self._view(request, state, called, known),
            examples=_examples(known),
            names=await self._names(known, state.draft),
            focus=path_of(focus) if focus is not None else None,
            answer=answer,
            refusal=refusal,
            waiting=(),
            **_answer_view(answer, called, state),
        )

    async def counts(self, request: Request) -> Response:
        """The counts of a canonical address, member by member: each event has the page's part as it is from then on."""
        called = await self._called()
        state, _ = await self._state(request, called)
        return event_stream(self._events(request, state, called))

    async def _events(self, request: Request, state: _State, called: Called) -> AsyncGenerator[bytes, None]:
        expression = state.countable
        if expression is None:
            yield self._event(request, state, called, None)
            return
        members = {name.partition(":")[0] for name in state.datasets}
        waiting = {one.id for one in self._federation.active() if not members or one.id in members}
        lines: list[NodeCohortLine] = []
        try:
            asked = self._federation.cohort_count_stream(expression, state.datasets, behalf=Behalf(known_caller(request)))
            async with aclosing(asked) as answers:
                async for one in answers:
                    if isinstance(one, PooledPeople):
                        yield self._event(request, state, called, _answer(expression, lines, one))
                        return
                    lines.append(one)
                    waiting.discard(one.node)
                    if waiting:
                        answer = _answer(expression, lines, PooledPeople(count=None))
                        yield self._event(request, state, called, answer, waiting=tuple(sorted(waiting)))
        except CohelixError as error:
            yield self._event(request, state, called, None, refusal=error)

    def _event(
        self,
        request: Request,
        state: _State,
        called: Called,
        answer: CohortCountAnswer | None,
        *,
        waiting: tuple[str, ...] = (),
        refusal: CohelixError | None = None,
    ) -> bytes:
        given = {"state": state, "called": called, "answer": answer, "refusal": refusal, "waiting": waiting}
        page = self._render(request, "cohort_counts.html", **given, **_answer_view(answer, called, state))
        told = len(answer.nodes) if answer else 0
        return event("part" if waiting else "whole", json.dumps(bytes(page.body).decode()), str(told))

    async def suggestions(self, request: Request) -> Response:
        """`?field=disease&q=dia` as JSON: codes or words, and what they are called."""
        kind, text = request.query_params.get("field", ""), request.query_params.get("q", "")
        if kind not in NAMED or len(text) > TEXT_MAX:
            problem = BadQuestion(f"`field` is one of {', '.join(sorted(NAMED))}, and `q` has up to {TEXT_MAX} signs")
            document = {"type": "about:blank", "title": problem.title, "status": problem.status, "detail": problem.detail}
            return JSONResponse(document, problem.status, media_type="application/problem+json")
        called = await self._called()
        found, whole = await self._terms.suggest(kind, text, _assembly(called), patience_seconds=_SUGGESTION_SECONDS)
        document = {"field": kind, "query": text, "terms": [{"code": term.code, "name": term.name} for term in found]}
        return JSONResponse(document, HTTPStatus.OK, headers={"Cache-Control": "private, max-age=60" if whole else "no-store"})

    async def _names(self, known: Known, draft: Group) -> dict[str, str]:
        """What the codes of a draft are called, as far as that is known soon."""
        codes = list(dict.fromkeys(row.value for _, row in rows(draft) if ":" in row.value))
        return dict(zip(codes, await asyncio.gather(*(self._terms.name(known, code) for code in codes)), strict=True))

    async def _called(self) -> Called:
        """The roll as last heard; it is waited for where nothing was heard yet, for it tells which counts are rounded."""
        called = await self._roll.call(patience_seconds=_GLANCE_SECONDS)
        return called if called.heard else await self._roll.call()

    async def _state(self, request: Request, called: Called) -> tuple[_State, Path | None]:
        params = request.query_params
        query = cohort_from_query(params)
        strangers = tuple(name for name in query.datasets if name not in called.dataset_ids)
        datasets = tuple(name for name in query.datasets if name not in strangers)
        if not is_form(params):
            draft = draft_of(query.expression)
            return _State(draft, read_draft(draft), datasets, {}, strangers, query.text, query.mistake), None
        draft, focus = acted(draft_of_form(params.multi_items()), params.get("do", ""), params)
        doubts: dict[Path, _Doubt] = {}
        for place, row in rows(draft):
            asked = row.name if row.field == "measurement" else row.value
            if row.field not in NAMED or not asked.strip() or row.kept == asked or len(doubts) >= _DOUBTS_MAX:
                continue
            value, near = await self._terms.meant(row.field, asked, _assembly(called))
            if near:
                doubts[place] = _Doubt(asked, near)
            elif value != asked:
                filled = replace(row, name=value) if row.field == "measurement" else replace(row, value=value)
                draft = replaced(draft, place, filled)
        mistake = query.mistake if "cohort" not in params else ""
        return _State(draft, read_draft(draft), datasets, doubts, strangers, mistake=mistake), focus

    async def _counted(self, request: Request, state: _State) -> tuple[CohortCountAnswer | None, CohelixError | None]:
        if state.countable is None:
            return None, None
        behalf = Behalf(known_caller(request))
        try:
            return await self._federation.cohort_count(state.countable, state.datasets, behalf=behalf), None
        except CohelixError as error:
            return None, error

    def _view(self, request: Request, state: _State, called: Called, known: Known) -> dict[str, Any]:
        hub_url = str(request.base_url).rstrip("/")
        expression = state.expression
        text = text_of(expression) if expression is not None else ""
        query = query_from_cohort(expression, state.datasets)
        doubts = {path_of(place): doubt for place, doubt in state.doubts.items()}
        mistakes = {path_of(place): sentence for place, sentence in state.reading.mistakes.items()}
        return {
            "state": state,
            "doubts": doubts,
            "mistakes": mistakes,
            "wrong": {*doubts, *mistakes},
            "called": called,
            "known": known,
            "assembly": _assembly(called),
            "text": text,
            "query": query,
            "permalink": f"{hub_url}/cohorts?{query}" if query else f"{hub_url}/cohorts",
            "yaml": plan_cohort_yaml(expression, state.datasets) if expression is not None else "",
            "snippets": cohort_snippets(hub_url, text, state.datasets) if expression is not None else None,
            "json_path": cohort_json_path(text, state.datasets),
            "words": _WORDS,
        }


def _answer(expression: Expression, lines: list[NodeCohortLine], pooled: PooledPeople) -> CohortCountAnswer:
    nodes = tuple(sorted(lines, key=lambda line: line.node))
    return CohortCountAnswer(expression=document_of(expression), text=text_of(expression), pooled=pooled, nodes=nodes)


def _answer_view(answer: CohortCountAnswer | None, called: Called, state: _State) -> dict[str, Any]:
    floored = {name for name, record in called.records.items() if record.disclosure != "open"}
    told = [(one.id, one.count) for node in answer.nodes for one in node.datasets if one.count is not None] if answer else []
    # With a visa the count of a floored dataset is exact; one that is no multiple of ten shows it.
    rounded = {name for name, count in told if name in floored and count % 10 == 0}
    refused = [one.id for node in answer.nodes for one in node.datasets if one.status == "refused"] if answer else []
    is_list = state.expression is None or literals(state.expression) is not None
    return {
        "rounded": rounded,
        "floored": floored,
        "asks_for_one_of": not is_list and bool(floored.intersection(refused)),
        "member_names": {member.id: member.name for member in called.members},
    }


def _examples(known: Known) -> tuple[_Example, ...]:
    """Cohorts to begin with, of what the members list."""
    documents: list[tuple[dict[str, str], str]] = [({"sex": "female"}, "")]
    for kind in ("disease", "phenotype"):
        documents += [({kind: code}, name) for code, name in known.codes.items() if fits(kind, code)][-1:]  # the most special
    for kind in ("population", "measurement"):
        documents += [({kind: term.code}, "") for term in known.words.get(kind, ())][:1]
    read = [(expression_or_mistake(document)[0], name) for document, name in documents]
    return tuple(_Example(f"/cohorts?{query_from_cohort(one)}", text_of(one), name) for one, name in read if one is not None)


def _assembly(called: Called) -> Assembly:
    """The build of the first dataset, whose gene symbols are suggested."""
    return next((Assembly(record.assembly) for record in called.records.values()), Assembly.GRCH38)


def _signs(field: str) -> tuple[str, ...]:
    if field == "measurement":
        return (*NUMBER_SIGNS, "known", "unknown")
    return NUMBER_SIGNS if field in NUMBERS else ("=", "!=")


_WORDS: Final[Mapping[str, Any]] = {
    "fields": FIELD_WORDS,
    "usual": USUAL_FIELDS,
    "other": tuple(name for name in FIELD_WORDS if name not in USUAL_FIELDS),
    "signs": SIGN_WORDS,
    "signs_of": _signs,
    "joints": {name: JOINT_WORDS[name] for name in JOINTS},
    "breadths": BREADTH_WORDS,
    "usual_breadths": BREADTHS,
    "codes": frozenset({*CODES, "term"}),
    "numbers": NUMBERS,
    "named": NAMED,
    "path_of": path_of,
}
