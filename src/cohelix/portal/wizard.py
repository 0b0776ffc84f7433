"""The portal's way to a new analysis: a form that is an address, the plan that it means, what members would say, and the start.

The form has no rules of its own: what it holds becomes a plan's document, and the plan's reader says what is wrong with it.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol
from urllib.parse import urlencode

import orjson
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from cohelix.access.caller import known_caller
from cohelix.core.errors import BadQuestion, CohelixError, NotPermitted
from cohelix.core.genome import Assembly
from cohelix.portal.roll import Roll
from cohelix.web.forms import FORM_KEY, read_form, require_own_origin
from cohelix.wire.analysis import PlanCheck, Run
from cohelix.wire.plan import parse_plan, plan_hash

METHOD_WORDS: Final[Mapping[str, str]] = {
    "linear": "linear regression of a measurement",
    "logistic": "cases against controls: score test, saddle-point where rare",
    "firth": "cases against controls with effect sizes (Firth)",
    "wald": "cases against controls, Wald test (slow)",
    "meta": "each member by itself, then inverse-variance meta-analysis",
    "counts": "allele counts, Hardy-Weinberg, missingness",
    "components": "ancestry components",
}
TRANSFORMATION_WORDS: Final[Mapping[str, str]] = {
    "none": "as measured",
    "zscore": "standardised",
    "rank": "ranks, made normal",
    "residual-rank": "ranks of the residuals, made normal",
    "residual-rank-within-node": "ranks of the residuals within each member (another estimator)",
}
MISSING_WORDS: Final[Mapping[str, str]] = {
    "mean": "count with the mean",
    "complete-case": "are left out of that variant",
}
_OF_GROUPS: Final = frozenset(("logistic", "firth", "wald"))
_WITHOUT_OUTCOME: Final = frozenset(("counts", "components"))
_NUMBERS: Final = ("maf_min", "mac_min", "call_rate_min", "hwe_min")
_TEXTS: Final = (
    *("project", "cohort", "method", "traits", "case", "control", "covariates", "transformation", "region"),
    *(*_NUMBERS, "missing", "loci", "node_level"),
)
_FIELD_OF: Final = {
    "trait": "traits",
    "variants": "region",
    "variants.region": "region",
    "release.loci": "loci",
    "release": "loci",
}
_COMPONENTS: Final = 10  # of ancestry, as are usually made
_CHARACTERS_MAX: Final = 20_000
_PLACE: Final = re.compile(r"[a-z_]+(?:\.[a-z_]+)?")


class PlanDesk(Protocol):
    """What the pages need of the hub's own way to check and to begin a plan; both raise what the API would say."""

    async def check(self, request: Request, plan: Mapping[str, Any]) -> PlanCheck:
        """What every member would say; nothing begins."""

    async def propose(self, request: Request, plan: Mapping[str, Any]) -> Run:
        """Begin it."""


Render = Callable[..., Response]
Redirect = Callable[[str], Response]


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody has filled in: the fields, the plan's document, and what is wrong with it.

    Attributes
    ----------
    fields
        Every text of the form by its name.
    datasets
        The chosen ones.
    document
        The plan, as YAML would have it.
    mistake, wrong
        A sentence, and the field that it is about; both empty where the plan can be meant.
    hash
        The plan's name everywhere; empty where there is a mistake.
    """

    fields: Mapping[str, str]
    datasets: tuple[str, ...]
    document: Mapping[str, Any]
    mistake: str = ""
    wrong: str = ""
    hash: str = ""

    @property
    def query(self) -> str:
        """The form as an address, without what is left at its usual value."""
        pairs = [(name, value) for name, value in self.fields.items() if value and _USUAL.get(name) != value]
        return urlencode([*pairs, *(("dataset", name) for name in self.datasets)])

    def yaml(self) -> str:
        """The plan as a file for `cohelix analysis run`."""
        import yaml

        return yaml.safe_dump(dict(self.document), sort_keys=False, allow_unicode=True, width=100)


_USUAL: Final[Mapping[str, str]] = {
    "project": "",
    "method": "linear",
    "transformation": "none",
    "missing": "mean",
    "maf_min": "0.01",
}


def read_draft(params: QueryParams) -> Draft:
    """The draft of an address; never raises."""
    fields = {name: params.get(name, _USUAL.get(name, ""))[:_CHARACTERS_MAX].strip() for name in _TEXTS}
    datasets = tuple(dict.fromkeys(one[:200] for one in params.getlist("dataset")))[:1000]
    document = _document(fields, datasets)
    try:
        parsed = parse_plan(document)
    except BadQuestion as error:
        return Draft(fields, datasets, document, error.detail, _field_of(error.detail))
    return Draft(fields, datasets, document, hash=plan_hash(parsed))


def _field_of(sentence: str) -> str:
    """The field of the form that a plan's reader complains about: its sentence begins with the place in the plan."""
    place = _PLACE.match(sentence.partition(":")[0])
    first, _, last = place[0].partition(".") if place else ("", "", "")
    return last if last in _TEXTS else _FIELD_OF.get(first, first)


def _document(fields: Mapping[str, str], datasets: tuple[str, ...]) -> dict[str, Any]:
    method = fields["method"]
    document: dict[str, Any] = {"project": fields["project"], "datasets": list(datasets)}
    if fields["cohort"]:
        document["cohort"] = fields["cohort"]
    if method in _OF_GROUPS or (method == "meta" and (fields["case"] or fields["control"])):
        document |= {name: fields[name] for name in ("case", "control") if fields[name]}
    elif method not in _WITHOUT_OUTCOME:
        traits = [{"measurement": name} for name in _names(fields["traits"])]
        document |= {"trait": traits[0]} if len(traits) == 1 else {"traits": traits} if traits else {}
    if fields["covariates"] and method not in _WITHOUT_OUTCOME:
        document["covariates"] = [_covariate(name) for name in _names(fields["covariates"])]
    if fields["transformation"] != "none" and method == "linear":
        document["transformation"] = fields["transformation"]
    variants: dict[str, Any] = {"region": fields["region"]} if fields["region"] else {}
    variants |= {name: _number(fields[name]) for name in _NUMBERS if fields[name]}
    if variants:
        document["variants"] = variants
    if fields["missing"] != "mean":
        document["missing"] = fields["missing"]
    document["method"] = method
    named = [one["component"] for one in document.get("covariates", ()) if isinstance(one, dict) and "component" in one]
    if named or method == "components":
        document["options"] = {"components": max([_COMPONENTS, *named])}
    if fields["node_level"] == "yes":
        document["release"] = {"node_level": True, "loci": _names(fields["loci"])}
    return document


def _names(text: str) -> list[str]:
    return [name for part in re.split(r"[,\n]", text) if (name := part.strip())]


def _covariate(name: str) -> Any:
    if name in ("sex", "age", "node"):
        return name
    component = re.fullmatch(r"component (\d{1,2})", name)
    return {"component": int(component[1])} if component else {"measurement": name}


def _number(text: str) -> Any:
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        return text  # the plan's reader says what it expects


class WizardPages:
    """`/analyses/new`: the form, and the plan as a file."""

    def __init__(self, desk: PlanDesk, roll: Roll, render: Render, redirect: Redirect) -> None:
        self._desk, self._roll, self._render, self._redirect = desk, roll, render, redirect

    async def page(self, request: Request) -> Response:
        """The form as its address has it; with `do=check`, what members would say to the plan."""
        draft = read_draft(request.query_params)
        check, fault = None, ""
        if request.query_params.get("do") == "check" and draft.hash:
            try:
                check = await self._desk.check(request, draft.document)
            except CohelixError as error:
                fault = error.detail
        return await self._shown(request, draft, check=check, fault=fault)

    async def file(self, request: Request) -> Response:
        """The plan as `plan.yaml`."""
        draft = read_draft(request.query_params)
        if not draft.hash:
            raise BadQuestion(draft.mistake)
        headers = {"Content-Disposition": 'attachment; filename="plan.yaml"', "X-Content-Type-Options": "nosniff"}
        return Response(draft.yaml(), media_type="application/yaml", headers=headers)

    async def start(self, request: Request) -> Response:
        """Begin the plan, and go to its page; a plan that is refused comes back with the reason."""
        caller, fields = known_caller(request), await read_form(request)
        if caller.way == "session" and not hmac.compare_digest(fields.get(FORM_KEY, ""), caller.form_key):
            raise NotPermitted("the form is of another session: open the page again")
        if caller.way != "session":
            require_own_origin(request, str(request.base_url))
        draft = read_draft(QueryParams(fields.get("plan", "")))
        if not draft.hash:
            return await self._shown(request, draft, status=HTTPStatus.BAD_REQUEST)
        try:
            run = await self._desk.propose(request, draft.document)
        except CohelixError as error:
            return await self._shown(request, draft, fault=error.detail, status=HTTPStatus(error.status))
        return self._redirect(f"/analyses/{run.id}")

    async def _shown(
        self,
        request: Request,
        draft: Draft,
        *,
        check: PlanCheck | None = None,
        fault: str = "",
        status: HTTPStatus = HTTPStatus.OK,
    ) -> Response:
        called = await self._roll.call()
        records = sorted(called.records.values(), key=lambda one: one.id)
        begun = bool(draft.datasets or draft.fields["project"] or draft.fields["traits"] or draft.fields["case"])
        return self._render(
            request,
            "wizard.html",
            status,
            draft=draft,
            fields=draft.fields,
            begun=begun,
            check=check,
            fault=fault,
            records=records,
            strangers=[one for one in draft.datasets if one not in called.records],
            methods=METHOD_WORDS,
            transformations=TRANSFORMATION_WORDS,
            missings=MISSING_WORDS,
            plan_json=orjson.dumps(draft.document).decode(),
            form_key=known_caller(request).form_key,
            assembly=Assembly(records[0].assembly) if records else Assembly.GRCH38,
        )
