"""What every page of the portal shares: its route, its frame, its headers and templates, and the addresses of others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from functools import wraps
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from cohelix import __version__
from cohelix.access.caller import CallerOf, known_caller, nobody_calls
from cohelix.core.errors import CohelixError
from cohelix.core.genome import Assembly
from cohelix.portal.assets import asset_path
from cohelix.portal.figures import decimal, formatted, grouped, in_bytes, milliseconds, place, sentence, signed, with_code
from cohelix.portal.languages import (
    LANGUAGES,
    current,
    gettext,
    language_of,
    ngettext,
    npgettext,
    pgettext,
    speaking,
)
from cohelix.web import name_route, note_refusal

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with "no-referrer" browsers hide the origin of forms, which is checked
    "Cache-Control": "no-store",
}

Handler = Callable[[Request], Awaitable[Response]]


def variant_path(variant: str, assembly: str) -> str:
    """The page of a variant."""
    return f"/variant/{quote(variant, safe='')}?{urlencode({'assembly': assembly})}"


def region_path(region: str, assembly: str) -> str:
    """The page of a region's variants."""
    return f"/region/{quote(region, safe=':')}?{urlencode({'assembly': assembly})}"


def gene_path(symbol: str, assembly: str) -> str:
    """The page of a gene's variants."""
    return f"/gene/{quote(symbol, safe='')}?{urlencode({'assembly': assembly})}"


def dataset_path(dataset: str) -> str:
    """The page of a dataset; it is also the value of a visa for it (rule 6 of the interface)."""
    return f"/datasets/{quote(dataset, safe=':')}"


def search_path(text: str, assembly: str) -> str:
    """What typing that text into the box would ask."""
    return f"/search?{urlencode({'q': text, 'assembly': assembly})}"


def redirect(path: str) -> Response:
    """Lead to another page of this server."""
    return RedirectResponse(path, HTTPStatus.SEE_OTHER, headers=_HEADERS)


def _here(request: Request) -> str:
    """This page's own address, without its server."""
    place = quote(request.url.path, safe="/:")
    return f"{place}?{request.url.query}" if request.url.query else place


def hub_url_of(request: Request) -> str:
    """The address of this server, as the request names it."""
    return str(request.base_url).rstrip("/")


def page_route(
    template: str, handler: Handler, caller_of: CallerOf = nobody_calls, methods: Collection[str] = ("GET",)
) -> Route:
    """A route that shows an error of the house as a page; everything unexpected goes on to the app, which logs it."""

    @wraps(handler)
    async def answer(request: Request) -> Response:
        name_route(request.scope, template)
        with speaking(language_of(request)):
            try:
                await caller_of(request)  # kept with the request; every page says who is logged in
                return await handler(request)
            except CohelixError as error:
                note_refusal(request.scope, error.slug)
                return render(request, "error.html", HTTPStatus(error.status), error=error, assembly=Assembly.GRCH38)

    return Route(template, answer, methods=list(methods))


def render(
    request: Request,
    template: str,
    status: HTTPStatus = HTTPStatus.OK,
    *,
    leads_to: str = "",
    **values: Any,
) -> Response:
    """A page; `leads_to` is another origin to which its form's answer may redirect."""
    html = text_of_page(request, template, status, **values)
    policy = _HEADERS["Content-Security-Policy"].replace("form-action 'self'", f"form-action 'self' {leads_to}".rstrip())
    headers = {**_HEADERS, "Content-Security-Policy": policy, "Vary": "Accept-Language, Cookie"}
    return HTMLResponse(html, status, headers=headers)


def text_of_page(request: Request, template: str, status: HTTPStatus = HTTPStatus.OK, **values: Any) -> str:
    """A page, or a part of one, as HTML in the reader's language."""
    with speaking(language_of(request)):
        return _TEMPLATES.get_template(template).render(
            path=request.url.path,
            # What was asked in vain may hold what is nobody else's business: a code, a token in a wrong place.
            here=_here(request) if status < HTTPStatus.BAD_REQUEST else "/",
            language=current(),
            typed=request.query_params.get("q", ""),
            code=int(status),
            hub_url=hub_url_of(request),
            caller=known_caller(request),
            **values,
        )


_TEMPLATES = Environment(
    loader=PackageLoader("cohelix.portal", "views"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    extensions=["jinja2.ext.i18n"],
)
_TEMPLATES.policies["ext.i18n.trimmed"] = True
# Newstyle: what a template puts into a message is escaped as everywhere else, and the message itself may hold markup.
_TEMPLATES.install_gettext_callables(gettext, ngettext, newstyle=True, pgettext=pgettext, npgettext=npgettext)  # type: ignore[attr-defined]
_TEMPLATES.filters.update(
    grouped=grouped,
    place=place,
    decimal=decimal,
    formatted=formatted,
    signed=signed,
    milliseconds=milliseconds,
    in_bytes=in_bytes,
    sentence=sentence,
    with_code=with_code,
    translated=gettext,  # for words that come from a table of ours; its result is escaped, unlike that of `_`
)
_TEMPLATES.globals.update(
    asset_path=asset_path,
    variant_path=variant_path,
    region_path=region_path,
    gene_path=gene_path,
    dataset_path=dataset_path,
    search_path=search_path,
    assemblies=tuple(Assembly),
    languages=LANGUAGES,
    version=__version__,
)
