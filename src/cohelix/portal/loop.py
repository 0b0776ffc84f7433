"""What the pages of applying and deciding share: their frame, the basket, lines with advice, addresses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from cohelix.access.applications import Acting, Application, Stage
from cohelix.access.caller import Caller, known_caller
from cohelix.access.duo import Advice
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadQuestion
from cohelix.portal import application_forms as forms
from cohelix.portal import catalogue
from cohelix.portal.application_desk import ApplicationDesk, Catalogue
from cohelix.portal.application_words import (
    ADVICE_WORDS,
    CHECKLIST,
    INVESTIGATION_WORDS,
    LINE_WORDS,
    STAGE_WORDS,
    TYPE_WORDS,
)
from cohelix.portal.pages import render
from cohelix.wire.applications import Form

BASKET_LINES: Final = 15
SUMMARY_SHOWN: Final = 2_000
PLAIN: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
FormOf = Callable[[Request], Awaitable[dict[str, str]]]


def application_path(identifier: str, dataset: str = "", step: str = "") -> str:
    """The page of an application, of one of its datasets, or a step of it."""
    path = f"/applications/{quote(identifier, safe='')}"
    if dataset:
        return f"{path}/datasets/{quote(dataset, safe=':')}"
    return f"{path}/{step}" if step else path


@dataclass(frozen=True, slots=True)
class LoopPages:
    """Pages of the governance loop; `form_of` reads a form of the caller's session."""

    desk: ApplicationDesk
    catalogue: Catalogue
    form_of: FormOf
    clock: Clock = field(default_factory=SystemClock)

    async def _basket(self, caller: Caller) -> tuple[str, Application] | None:
        """The newest draft of a person."""
        acting = await self.desk.acting(caller)
        for one in await self.desk.listed(caller):
            if one.stage is Stage.DRAFT and one.applicant == acting.who:
                state, _ = await self.desk.read(caller, one.id)
                return one.id, state
        return None

    async def _edit(
        self, caller: Caller, identifier: str, before: Form, form: Mapping[str, Any], fields: Mapping[str, str]
    ) -> None:
        if Form.model_validate(form) != before:
            await self.desk.add(caller, identifier, {"event": "edited", "form": form}, fields.get("request") or None)

    async def _lines(self, request: Request, form: Form) -> dict[str, Any]:
        """A page of a basket by authority, with the advice on each dataset whose record is known."""
        start = whole_number(request.query_params.get("from", "0"))
        ordered = [line for group in catalogue.by_authority(form.lines).values() for line in group]
        shown = ordered[start : start + BASKET_LINES]
        after = start + BASKET_LINES if start + BASKET_LINES < len(ordered) else None
        purpose, records = forms.purpose_of(form.model_dump()), await self.catalogue.records()
        advice = {
            line.dataset: self.catalogue.advise(records[line.dataset], purpose) for line in shown if line.dataset in records
        }
        titles = {line.dataset: records[line.dataset].title for line in shown if line.dataset in records}
        return {
            "groups": catalogue.by_authority(shown),
            "advice": advice,
            "titles": titles,
            "later_lines": after,
            "begun": start,
        }

    def _page(self, request: Request, template: str, status: HTTPStatus = HTTPStatus.OK, **values: Any) -> Response:
        return render(
            request,
            template,
            status,
            **{
                "application_path": application_path,
                "request_name": forms.request_name,
                "stage_words": STAGE_WORDS,
                "line_words": LINE_WORDS,
                "advice_words": ADVICE_WORDS,
                "investigation_words": INVESTIGATION_WORDS,
                "type_words": TYPE_WORDS,
                "checklist": CHECKLIST,
                "Advice": Advice,
                "summary_shown": SUMMARY_SHOWN,
                "rules": self.desk.rules,
                "form_key": known_caller(request).form_key,
                "titles": {},
                "desk_side": False,
                **values,
            },
        )


def decides(state: Application, acting: Acting) -> bool:
    """Whether the reader is on the other side of the desk."""
    return acting.who != state.applicant and acting.who not in state.form.members


def whole_number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise BadQuestion("a place in a list is a number")
    return int(text)


def plain_text(words: str) -> Response:
    return Response(words, media_type="text/plain; charset=utf-8", headers=PLAIN)
