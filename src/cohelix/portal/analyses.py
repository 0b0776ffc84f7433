"""The portal's pages of analyses: what runs, how far it is, and what a released one found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import orjson
from starlette.requests import Request
from starlette.responses import Response

from cohelix.access.actor import Actor
from cohelix.access.caller import known_caller
from cohelix.core.errors import NotFound
from cohelix.core.genome import Assembly
from cohelix.wire.analysis import ENDED, Run

RUNS_SHOWN = 100
STATE_WORDS = {
    "proposed": "waits for its turn",
    "checking": "asks the members",
    "open": "gathers who takes part",
    "frozen": "has fixed who takes part",
    "running": "computes",
    "combined": "writes its results",
    "held": "waits for its reviewers",
    "released": "is released",
    "refused": "was refused",
    "aborted": "was broken off",
    "cancelled": "was cancelled",
}
FILE_WORDS = {
    "results.parquet": "all lines, as Parquet",
    "results.tsv.gz": "all lines, as GWAS-SSF (tab-separated)",
    "results.tsv.gz.tbi": "index of the lines by position",
    "metadata.yaml": "GWAS-SSF metadata",
    "manifest.json": "who took part, with which data and policy: signed, RO-Crate",
    "report.html": "the whole report as one page",
}


class RunBoard(Protocol):
    """What the pages need of the hub's runs."""

    async def get(self, run: str) -> Run:
        """One run; `NotFound` if there is none of that id."""

    async def newest(self, limit: int) -> tuple[Run, ...]:
        """Runs, the newest first."""


Render = Callable[..., Response]
Summarise = Callable[[str, Actor], Awaitable[bytes]]


class AnalysisPages:
    """`/analyses` and `/analyses/{run}`.

    Parameters
    ----------
    summary
        Gives the JSON summary of a released run's table to somebody who may see it.
    """

    def __init__(self, runs: RunBoard, summary: Summarise, render: Render) -> None:
        self._runs, self._summary, self._render = runs, summary, render

    async def board(self, request: Request) -> Response:
        """All runs."""
        runs = await self._runs.newest(RUNS_SHOWN)
        return self._render(request, "analyses.html", runs=runs, words=STATE_WORDS, assembly=Assembly.GRCH38)

    async def one(self, request: Request) -> Response:
        """One run: its progress, or its results once released."""
        name = request.path_params["run"]
        if not name.isalnum() or len(name) > 40:
            raise NotFound(f"there is no analysis {name[:60]!r}")
        run = await self._runs.get(name)
        summary: Mapping[str, Any] | None = None
        if run.state == "released":
            summary = orjson.loads(await self._summary(name, known_caller(request).actor))
        return self._render(
            request,
            "analysis.html",
            run=run,
            words=STATE_WORDS,
            file_words=FILE_WORDS,
            under_way=run.state not in ENDED and run.state != "held",
            summary=summary,
            lines=(summary["loci"] or summary["top"])[:20] if summary else (),
            assembly=Assembly(run.plan.get("assembly") or Assembly.GRCH38),
        )
