"""Federated analyses over HTTP: `/api/v1/analyses` takes plans, tells of runs as they go, and gives their files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Body, Header, Query
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse

from cohelix.access.actor import Actor, Role
from cohelix.access.caller import Caller, CallerOf, nobody_calls
from cohelix.audit.events import RunEnded, RunProposed, RunReviewed
from cohelix.audit.log import AuditLog
from cohelix.core.errors import NotAuthentic, NotPermitted
from cohelix.federation.behalf import behalf_of
from cohelix.federation.runs import Runs, owns, reviewer_name, reviewers_needed
from cohelix.hub.audit import person_of
from cohelix.hub.settings import verdicts_of
from cohelix.wire.analysis import ENDED, FileWord, HeldRun, HeldRuns, PlanCheck, ReviewWord, Run, RunsAnswer
from cohelix.wire.frequency import Wire
from cohelix.wire.plan import parse_plan

AllOpen = Callable[[Sequence[str]], Awaitable[bool]]
LOGIN_FIRST = "login-required: analyses of data that are not open are proposed by people who have logged in"
_PREFIX = "/api/v1/analyses"
_STREAM = "text/event-stream"
_LOOK_SECONDS = 0.5
_HELD_LOOKED_AT = 1000
_BEAT_SECONDS = 15.0  # a comment so often keeps the line open through proxies
_KINDS = {
    ".parquet": "application/vnd.apache.parquet",
    ".gz": "application/gzip",
    ".yaml": "text/yaml",
    ".json": "application/json",
    ".html": "text/html",
}
_FILES: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {} for kind in (*_KINDS.values(), "application/octet-stream")}}
}
_After = Annotated[int, Query(ge=0, lt=10**9, description="Only events after this number; `Last-Event-ID` goes first")]
_Plan = Annotated[dict[str, Any], Body(description="A plan, as docs/reference/plan.md describes it")]


class Proposals:
    """The one way to check and to begin a plan, for programs and pages.

    Parameters
    ----------
    caller_of
        Finds who sends a request: runs over data that are not open are proposed by people, and are their own.
    all_open
        Tells whether all these datasets are open, as their members say now. None on a hub where nobody can log in: there
        only projects that data holders have allowed come to other data.
    """

    def __init__(
        self, runs: Runs, log: AuditLog, *, caller_of: CallerOf = nobody_calls, all_open: AllOpen | None = None
    ) -> None:
        self._runs, self._log, self._caller_of, self._all_open = runs, log, caller_of, all_open

    async def check(self, request: Request, plan: Mapping[str, Any]) -> PlanCheck:
        """What every member would say; nothing begins."""
        return await self._runs.check(parse_plan(plan), behalf_of(await self._caller_of(request), request.headers))

    async def propose(self, request: Request, plan: Mapping[str, Any]) -> Run:
        """Begin a run; who proposed it stands in the log."""
        parsed, caller = parse_plan(plan), await self._caller_of(request)
        behalf = behalf_of(caller, request.headers)
        if not behalf.known and self._all_open is not None and not await self._all_open(parsed.datasets):
            raise NotAuthentic(LOGIN_FIRST)
        run = await self._runs.propose(parsed, behalf)
        told = RunProposed(run.id, parsed.project, run.plan_hash, tuple(parsed.datasets))
        await self._log.recorded(told, by=person_of(caller.actor))
        return await self._runs.get(run.id)


class Reviews:
    """The one way to look at held runs and to speak about them, for programs and pages."""

    def __init__(self, runs: Runs, folder: Path, log: AuditLog, *, caller_of: CallerOf = nobody_calls) -> None:
        self._runs, self._folder, self._log, self._caller_of = runs, folder, log, caller_of

    async def held(self, request: Request) -> tuple[HeldRun, ...]:
        """Runs that wait for reviewers, the oldest first.

        Raises
        ------
        NotAuthentic, NotPermitted
            If nobody has logged in, or the person does not review results.
        """
        actor = _reviewing(await self._caller_of(request))
        if Role.OUTPUT_REVIEWER not in actor.roles:
            raise NotPermitted(f"results are reviewed by people with the role {Role.OUTPUT_REVIEWER}")
        waiting = [run for run in await self._runs.newest(_HELD_LOOKED_AT) if run.state == "held"]
        return tuple([await asyncio.to_thread(self._one, run, actor) for run in reversed(waiting)])

    async def review(self, request: Request, run: str, word: ReviewWord) -> Run:
        """Write down what a reviewer says, in the run and in the log."""
        actor = _reviewing(await self._caller_of(request))
        failed = [one["file"] for one in await asyncio.to_thread(verdicts_of, self._folder, run) if one["verdict"] == "fail"]
        found = await self._runs.review(run, actor, release=word.decision == "release", reason=word.reason, failed=failed)
        decision: Literal["release", "reject"] = "release" if word.decision == "release" else "reject"
        await self._log.recorded(RunReviewed(run, decision), by=person_of(actor))
        return found

    def _one(self, run: Run, actor: Actor) -> HeldRun:
        stored, said = self._runs.store.get(run.id), self._runs.store.reviews(run.id)
        return HeldRun(
            run=run,
            verdicts=tuple(FileWord.model_validate(one) for one in verdicts_of(self._folder, run.id)),
            reviews=tuple(said),
            needed=reviewers_needed(stored),
            mine="proposer" in stored.details and owns(stored, actor),
            spoken=any(one.role == reviewer_name(actor) for one in said),
        )


def _reviewing(caller: Caller) -> Actor:
    if not caller.actor.known:
        raise NotAuthentic("log in: results are reviewed by people whom the hub knows")
    return caller.actor


def analyses_router(
    runs: Runs, proposals: Proposals, reviews: Reviews, log: AuditLog, *, caller_of: CallerOf = nobody_calls
) -> APIRouter:
    """The endpoints under `/api/v1/analyses`; who proposes, reviews or ends a run stands in the log.

    Parameters
    ----------
    caller_of
        Finds who sends a request: results belong to people.
    """
    router = APIRouter(prefix=_PREFIX, tags=["analyses"])

    @router.post("/check", response_model=PlanCheck, summary="What every node would say to a plan; begins nothing")
    async def check(request: Request, plan: _Plan) -> Response:
        return _json(await proposals.check(request, plan))

    @router.post("", response_model=Run, status_code=201, summary="Propose a plan: begins a run")
    async def propose(request: Request, plan: _Plan) -> Response:
        run = await proposals.propose(request, plan)
        return _json(run, 201, {"location": f"{_PREFIX}/{run.id}"})

    @router.get("", response_model=RunsAnswer, summary="Runs, the newest first")
    async def listed(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
        return _json(RunsAnswer(runs=await runs.newest(limit)))

    @router.get("/held", response_model=HeldRuns, summary="Runs that wait for their reviewers, for reviewers")
    async def held(request: Request) -> Response:
        return _json(HeldRuns(runs=await reviews.held(request)))

    @router.get("/{run}", response_model=Run, summary="One run: its state, its nodes, how far it is")
    async def one(run: str) -> Response:
        return _json(await runs.get(run))

    @router.get("/{run}/events", responses={200: {"content": {_STREAM: {}}}}, summary="What happens in a run, as it happens")
    async def events(run: str, last_event_id: Annotated[str, Header()] = "", after: _After = 0) -> Response:
        await runs.get(run)
        if last_event_id.isdecimal() and len(last_event_id) < 10:  # whoever comes back knows more than the address says
            after = int(last_event_id)
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(_events(runs, run, after), media_type=_STREAM, headers=headers)

    @router.post("/{run}/cancel", response_model=Run, summary="End a run that is under way")
    async def cancel(request: Request, run: str) -> Response:
        caller = await caller_of(request)
        ended = await runs.cancel(run, caller.actor)
        log.record(RunEnded(run, "cancelled"), by=person_of(caller.actor))
        return _json(ended)

    @router.post("/{run}/review", response_model=Run, summary="A reviewer's word on a held run: release, or refuse")
    async def review(request: Request, run: str, word: ReviewWord) -> Response:
        return _json(await reviews.review(request, run, word))

    @router.get("/{run}/files/{name}", summary="A result file of a released run", response_class=FileResponse, responses=_FILES)
    async def file(request: Request, run: str, name: str) -> Response:
        path = await runs.file(run, name, (await caller_of(request)).actor)
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
