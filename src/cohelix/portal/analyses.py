"""The portal's pages of analyses: what runs, how far it is, and what a released one found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from cohelix.core.errors import NotFound
from cohelix.core.genome import Assembly
from cohelix.portal.findings import FindingPages, Findings
from cohelix.wire.analysis import ENDED, Run, RunEvent

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
NODE_WORDS = {
    "asked": "is asked",
    "accepted": "takes part",
    "refused": "does not take part",
    "absent": "is away",
    "computing": "computes",
    "done": "is done",
}
EVENT_WORDS = {
    "accepted": "takes part",
    "refused": "does not take part",
    "absent": "is away and left out",
    "lost": "gives no answer and is asked again",
    "not told of the end": "could not be told of the end",
    "review": "was reviewed",
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

    async def events(self, run: str, after: int) -> Sequence[RunEvent]:
        """What has happened in a run after an event's number, in order."""


Render = Callable[..., Response]


class AnalysisPages:
    """`/analyses`, `/analyses/{run}` with the part of it that changes, and what a released run found from nearer."""

    def __init__(self, runs: RunBoard, findings: Findings, render: Render) -> None:
        self._runs, self._found, self._render = runs, FindingPages(findings), render

    async def board(self, request: Request) -> Response:
        """All runs."""
        runs = await self._runs.newest(RUNS_SHOWN)
        return self._render(request, "analyses.html", runs=runs, words=STATE_WORDS, assembly=Assembly.GRCH38)

    async def one(self, request: Request) -> Response:
        """One run: how far it is and what has happened, or its results once released."""
        run = await self._named(request)
        shown = await self._found.of_run(request, run)
        return self._render(request, "analysis.html", **await self._told(run), file_words=FILE_WORDS, **shown)

    async def region(self, request: Request) -> Response:
        """A region of a released run's table."""
        shown = await self._found.region(request, await self._named(request))
        return self._render(request, "finding_region.html", **shown)

    async def estimates(self, request: Request) -> Response:
        """What single members estimate at a plan's loci, or that it is not released."""
        shown = await self._found.forest(request, await self._named(request))
        return self._render(request, "finding_forest.html", **shown)

    async def live(self, request: Request) -> Response:
        """The part of a run's page that changes while it goes on: the page's script asks for it with each event."""
        return self._render(request, "analysis_live.html", **await self._told(await self._named(request)))

    async def _named(self, request: Request) -> Run:
        name = request.path_params["run"]
        if not name.isalnum() or len(name) > 40:
            raise NotFound(f"there is no analysis {name[:60]!r}")
        return await self._runs.get(name)

    async def _told(self, run: Run) -> dict[str, Any]:
        happened = await self._runs.events(run.id, 0)
        return {
            "run": run,
            "words": STATE_WORDS,
            "node_words": NODE_WORDS,
            "event_words": EVENT_WORDS,
            "under_way": run.state not in ENDED and run.state != "held",
            "happened": [one for one in happened if one.event == "state" or one.event in EVENT_WORDS],
        }
