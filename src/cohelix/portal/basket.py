"""The pages of the catalogue and of the basket: datasets are found, compared with a purpose, and chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from cohelix.access.caller import known_caller
from cohelix.core.errors import BadQuestion, NotFound
from cohelix.portal import application_forms as forms
from cohelix.portal import catalogue
from cohelix.portal.loop import LoopPages, whole_number
from cohelix.portal.pages import redirect
from cohelix.wire.applications import Form


class BasketPages(LoopPages):
    """One method a page; each form is one event."""

    async def browse(self, request: Request) -> Response:
        """The catalogue, narrowed by facets, with advice where a purpose is stated."""
        given = dict(request.query_params)
        purpose = forms.purpose_fields(given)
        stated = forms.purpose_of(purpose)
        records = await self.catalogue.records()
        advise = (lambda one: self.catalogue.advise(one, stated)) if catalogue.said(stated) else None
        found, facets = catalogue.narrowed(catalogue.entries(records.values(), advise), given, given.get("words", "")[:200])
        start = whole_number(given.get("from", "0"))
        shown = found[start : start + catalogue.PAGE_DATASETS]
        kept = {name: value for name, value in given.items() if name != "from" and value}
        after = start + catalogue.PAGE_DATASETS
        return self._page(
            request,
            "catalogue.html",
            entries=shown,
            total=len(found),
            start=start,
            facets=facets,
            words=given.get("words", "")[:200],
            purpose=purpose,
            chosen=_chosen(purpose),
            stated=catalogue.said(stated),
            later=f"/catalogue?{urlencode({**kept, 'from': after})}" if after < len(found) else "",
            earlier=f"/catalogue?{urlencode({**kept, 'from': max(0, start - catalogue.PAGE_DATASETS)})}" if start else "",
            basket=await self._basket(known_caller(request)) if known_caller(request).actor.known else None,
        )

    async def fill_basket(self, request: Request) -> Response:
        """Put chosen datasets into the basket: the newest draft, or a new one with the purpose that was stated."""
        fields, caller = await self.form_of(request), known_caller(request)
        wanted = [name.removeprefix("pick:") for name, value in fields.items() if name.startswith("pick:") and value == "yes"]
        if not wanted:
            raise BadQuestion("no dataset was chosen: tick at least one, then put it into the basket")
        lines = catalogue.lines_of(catalogue.entries((await self.catalogue.records()).values()), wanted)
        basket = await self._basket(caller)
        if basket is None:
            form = {**forms.purpose_fields(fields), "lines": tuple(line.model_dump() for line in lines)}
            await self.desk.create(caller, form, fields.get("request") or None)
            return redirect("/basket")
        identifier, state = basket
        await self._edit(caller, identifier, state.form, forms.with_lines(state.form, lines), fields)
        return redirect("/basket")

    async def basket(self, request: Request) -> Response:
        """What is in the basket, by authority."""
        caller = known_caller(request)
        if not caller.actor.known:
            return redirect("/login?next=/basket")
        found = await self._basket(caller)
        if found is None:
            return self._page(request, "basket.html", id="", form=None, groups={}, advice={}, later_lines=None, begun=0)
        identifier, state = found
        return self._page(request, "basket.html", id=identifier, form=state.form, **await self._lines(request, state.form))

    async def empty_basket(self, request: Request) -> Response:
        """Take datasets out of the basket."""
        fields, caller = await self.form_of(request), known_caller(request)
        found = await self._basket(caller)
        if found is None:
            raise NotFound("the basket is empty")
        identifier, state = found
        lines = [line.model_dump() for line in state.form.lines if fields.get(f"remove:{line.dataset}") != "yes"]
        await self._edit(caller, identifier, state.form, {**state.form.model_dump(), "lines": lines}, fields)
        return redirect("/basket")


def _chosen(purpose: Mapping[str, Any]) -> frozenset[str]:
    return forms.chosen_investigations(Form(investigations=purpose["investigations"]))
