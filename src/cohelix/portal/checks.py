"""The page of output checks: results that wait, what the automatic check says of each file, and a reviewer's word."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal, Protocol

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from cohelix.access.caller import CallerOf, known_caller
from cohelix.core.errors import BadQuestion
from cohelix.core.genome import Assembly
from cohelix.portal.pages import page_route, redirect, render
from cohelix.wire.analysis import HeldRun, ReviewWord, Run

VERDICT_WORDS: Final = {
    "pass": "passes every rule",
    "review": "wants a person\u2019s look",
    "fail": "breaks a rule and cannot be released",
}
DECISION_WORDS: Final = {"release": "agrees to the release", "refuse": "refuses it"}

FormOf = Callable[[Request], Awaitable[dict[str, str]]]


class ReviewDesk(Protocol):
    """What the page needs of the hub's own way to review; both raise what the API would say."""

    async def held(self, request: Request) -> Sequence[HeldRun]:
        """Runs that wait, the oldest first."""

    async def review(self, request: Request, run: str, word: ReviewWord) -> Run:
        """Write down a reviewer's word."""


def check_pages(desk: ReviewDesk, caller_of: CallerOf, form_of: FormOf) -> list[BaseRoute]:
    """`/checks`; `form_of` reads a form of the caller's own session."""

    async def queue(request: Request) -> Response:
        """What waits for this reviewer."""
        if not known_caller(request).actor.known:
            return redirect("/login?next=/checks")
        return render(
            request,
            "checks.html",
            held=await desk.held(request),
            verdict_words=VERDICT_WORDS,
            decision_words=DECISION_WORDS,
            form_key=known_caller(request).form_key,
            assembly=Assembly.GRCH38,
        )

    async def speak(request: Request) -> Response:
        """A reviewer's word from the page's form."""
        fields = await form_of(request)
        decision: Literal["release", "refuse"] = "release" if fields.get("decision") == "release" else "refuse"
        try:
            word = ReviewWord(decision=decision, reason=fields.get("reason", "").strip() or None)
        except ValidationError:
            raise BadQuestion("a reason has at most 1000 characters") from None
        if decision == "refuse" and word.reason is None:
            raise BadQuestion("say why it is refused: whoever proposed the analysis reads it")
        await desk.review(request, request.path_params["run"], word)
        return redirect("/checks")

    return [
        page_route("/checks", queue, caller_of),
        page_route("/checks/{run}", speak, caller_of, methods=("POST",)),
    ]
