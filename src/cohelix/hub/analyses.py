"""Federated analyses over HTTP: `/api/v1/analyses` takes plans, tells of runs as they go, and gives released results."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Body, Header, Query
from starlette.responses import FileResponse, Response, StreamingResponse

from cohelix.federation.runs import Runs
from cohelix.wire.analysis import ENDED, PlanCheck, Run, RunsAnswer
from cohelix.wire.frequency import Wire
from cohelix.wire.plan import parse_plan

_PREFIX = "/api/v1/analyses"
_STREAM = "text/event-stream"
_LOOK_SECONDS = 0.5
_BEAT_SECONDS = 15.0  # a comment so often keeps the line open through proxies
_KINDS = {
    ".parquet": "application/vnd.apache.parquet",
    ".gz": "application/gzip",
    ".yaml": "text/yaml",
    ".json": "application/json",
    ".html": "text/html",
}
_Plan = Annotated[dict[str, Any], Body(description="A plan, as docs/reference/plan.md describes it")]


def analyses_router(runs: Runs) -> APIRouter:
    """The endpoints under `/api/v1/analyses`."""
    router = APIRouter(prefix=_PREFIX, tags=["analyses"])

    @router.post("/check", response_model=PlanCheck, summary="What every node would say to a plan; begins nothing")
    async def check(plan: _Plan) -> Response:
        return _json(await runs.check(parse_plan(plan)))

    @router.post("", response_model=Run, status_code=201, summary="Propose a plan: begins a run")
    async def propose(plan: _Plan) -> Response:
        run = await runs.propose(parse_plan(plan))
        headers = {"location": f"{_PREFIX}/{run.id}"}
        return _json(await runs.get(run.id), 201, headers)

    @router.get("", response_model=RunsAnswer, summary="Runs, the newest first")
    async def listed(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
        return _json(RunsAnswer(runs=await runs.newest(limit)))

    @router.get("/{run}", response_model=Run, summary="One run: its state, its nodes, how far it is")
    async def one(run: str) -> Response:
        return _json(await runs.get(run))

    @router.get("/{run}/events", responses={200: {"content": {_STREAM: {}}}}, summary="What happens in a run, as it happens")
    async def events(run: str, last_event_id: Annotated[str, Header()] = "") -> Response:
        await runs.get(run)
        after = int(last_event_id) if last_event_id.isdecimal() and len(last_event_id) < 10 else 0
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(_events(runs, run, after), media_type=_STREAM, headers=headers)

    @router.post("/{run}/cancel", response_model=Run, summary="End a run that is under way")
    async def cancel(run: str) -> Response:
        return _json(await runs.cancel(run))

    @router.get("/{run}/files/{name}", summary="A result file of a released run", response_class=FileResponse)
    async def file(run: str, name: str) -> Response:
        path = await runs.file(run, name)
        kind = _KINDS.get(path.suffix, "application/octet-stream")
        return FileResponse(path, media_type=kind, filename=path.name)

    return router


async def _events(runs: Runs, run: str, after: int) -> AsyncIterator[bytes]:
    """Events of a run with their numbers as ids, from the one after `after`, until the run has ended or is held."""
    quiet = 0.0
    while True:
        state = (await runs.get(run)).state  # first the state, then the events: none that led to it is missed
        found = await runs.events(run, after)
        for event in found:
            after = event.number
            document = {"at": event.at, "node": event.node, **event.document}
            yield (
                f"id: {event.number}\nevent: {event.event.replace(' ', '-')}\ndata: ".encode()
                + orjson.dumps(document)
                + b"\n\n"
            )
        if not found and (state in ENDED or state == "held"):
            return
        quiet = 0.0 if found else quiet + _LOOK_SECONDS
        if quiet >= _BEAT_SECONDS:
            yield b": still there\n\n"
            quiet = 0.0
        await asyncio.sleep(0.0 if found else _LOOK_SECONDS)


def _json(document: Wire, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(document.model_dump_json().encode(), status, headers, media_type="application/json")
