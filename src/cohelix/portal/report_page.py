"""The page of a project's Five Safes report: people, project, settings, data and outputs, to be read and printed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from cohelix.access.caller import Caller, CallerOf, known_caller
from cohelix.access.duo import read_investigation
from cohelix.core.errors import BadQuestion
from cohelix.portal.application_words import EVENT_WORDS, INVESTIGATION_WORDS, LINE_WORDS, STAGE_WORDS
from cohelix.portal.loop import application_path
from cohelix.portal.pages import page_route, redirect, render

ReportOf = Callable[[Caller, str], Awaitable[Mapping[str, Any]]]
"""The report of an application as the API tells it; raises what the API would say to this caller."""


def report_pages(report_of: ReportOf, caller_of: CallerOf) -> list[BaseRoute]:
    """`/applications/{application}/report`, for whoever may read the same as JSON."""

    async def show(request: Request) -> Response:
        """The report."""
        caller, identifier = known_caller(request), request.path_params["application"]
        if not caller.actor.known:
            return redirect("/login?next=/applications")
        found = await report_of(caller, identifier)
        return render(
            request,
            "report.html",
            report=found,
            stage_words={stage.value: words for stage, words in STAGE_WORDS.items()},
            line_words={stage.value: words for stage, words in LINE_WORDS.items()},
            event_words={event: did for event, (_who, did) in EVENT_WORDS.items()},
            purposes=[_purpose(one) for one in found["project"]["investigations"]],
            application_path=application_path,
            desk_side=False,
        )

    return [page_route("/applications/{application}/report", show, caller_of)]


def _purpose(given: str) -> str:
    """What a form says of an investigation, in words; as it stands where it is none that we know."""
    try:
        return INVESTIGATION_WORDS[read_investigation(given)]
    except BadQuestion:
        return given
