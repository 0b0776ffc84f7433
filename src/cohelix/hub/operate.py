"""The operator's page of the hub: what it reads. It is for people with the duty `hub-operator`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse

from cohelix.access.actor import Actor, Role
from cohelix.access.caller import Caller, CallerOf
from cohelix.access.outbox import Outbox
from cohelix.audit.log import AuditLog
from cohelix.core.errors import NotAuthentic, NotPermitted
from cohelix.federation.console import Console, Examine, Named, Problems, certificate_ending
from cohelix.federation.registry import Registry
from cohelix.federation.run_store import RunStore
from cohelix.hub.settings import HubSettings
from cohelix.wire.operation import MemberLine, Operation, Waiting

SILENT_SECONDS: Final = 300
"""A member that has answered nothing for so long is called silent: the hub asks each for grants every few seconds."""


def hub_console(
    folder: Path,
    settings: HubSettings,
    log: AuditLog,
    *,
    registry: Registry,
    runs: RunStore,
    outbox: Outbox,
    applications: Callable[[], Mapping[str, float]],
    examine: Examine | None,
    problems: Problems,
) -> Console:
    """The console of the hub in a folder.

    Parameters
    ----------
    applications
        The figures of applications' clocks.
    """

    def details() -> Mapping[str, Any]:
        clocks, mails = applications(), outbox.mails()
        passed, soon = (int(clocks.get(f"cohelix_application_clocks_{name}", 0)) for name in ("passed", "soon"))
        backlog = (
            Waiting(what="runs", number=len(runs.under_way())),
            Waiting(what="reviews", number=runs.count_held()),
            Waiting(what="decisions", number=passed + soon, overdue=passed),
            Waiting(what="mails", number=mails.waiting + mails.given_up, overdue=mails.given_up),
        )
        return {"members": _members(registry), "backlog": backlog, "ending": certificate_ending(folder, settings)}

    return Console(folder, Named("hub", "hub", settings.name), log, details, examine=examine, problems=problems)


class OperatorDesk:
    """Lets the hub's operators see its console, and nobody else."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def state(self, caller: Caller) -> Operation:
        """The state of the hub.

        Raises
        ------
        NotAuthentic
            If nobody has logged in.
        NotPermitted
            If the caller is no operator of the hub.
        """
        check_operator(caller.actor)
        return await self._console.state()


def check_operator(actor: Actor) -> None:
    """Refuse everybody but the hub's operators."""
    if not actor.known:
        raise NotAuthentic("log in as an operator of the hub")
    if Role.HUB_OPERATOR not in actor.roles:
        raise NotPermitted("this is for the hub's operators: `cohelix hub roles --grant` gives the duty hub-operator")


def operation_router(desk: OperatorDesk, caller_of: CallerOf) -> APIRouter:
    """`/api/v1/operation`."""
    router = APIRouter(prefix="/api/v1", tags=["operations"])

    @router.get("/operation", response_model=Operation, summary="How the hub is, for its operators")
    async def operation(request: Request) -> JSONResponse:
        found = await desk.state(await caller_of(request))
        return JSONResponse(found.model_dump(mode="json"), headers={"cache-control": "no-store"})

    return router


def _members(registry: Registry) -> tuple[MemberLine, ...]:
    now = datetime.now(UTC)
    return tuple(
        MemberLine(
            id=one.id,
            name=one.name,
            state=one.state,
            dials_out=one.dials_out,
            last_seen=one.last_seen,
            silent=one.state == "active" and _seconds_since(one.last_seen, now) > SILENT_SECONDS,
        )
        for one in registry.members()
    )


def _seconds_since(moment: str | None, now: datetime) -> float:
    return (now - datetime.fromisoformat(moment)).total_seconds() if moment else float("inf")
