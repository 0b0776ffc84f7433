"""The page "My access": who I am, my roles, visas, what is left of my budgets, and sessions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from cohelix.access.actor import REGISTERED_ACCESS, VisaKind
from cohelix.access.caller import Caller, known_caller
from cohelix.access.sessions import Session
from cohelix.portal.pages import redirect, render
from cohelix.wire.federation import DatasetsAnswer
from cohelix.wire.identity import HeldVisa

KIND_WORDS = {
    VisaKind.CONTROLLED_ACCESS_GRANTS: "May ask a dataset",
    VisaKind.RESEARCHER_STATUS: "Is a researcher",
    VisaKind.ACCEPTED_TERMS_AND_POLICIES: "Has accepted the terms",
    VisaKind.AFFILIATION_AND_ROLE: "Works at",
    VisaKind.LINKED_IDENTITIES: "Is the same person as",
}


class AccountDesk(Protocol):
    """What the page needs of the hub."""

    async def visas(self, request: Request) -> tuple[Sequence[HeldVisa], str]:
        """The visas of whoever is logged in, and why they cannot be told where that is so."""

    async def datasets(self, request: Request) -> DatasetsAnswer:
        """Every member's datasets, with what is left of the person's budget at each."""

    async def sessions(self, caller: Caller) -> Sequence[Session]:
        """The person's sessions that last."""

    async def end_session(self, caller: Caller, handle: str) -> None:
        """End one of them."""


@dataclass(frozen=True, slots=True)
class AccountPages:
    """The page and its one form; `form_of` reads a form of the caller's session."""

    desk: AccountDesk
    form_of: Callable[[Request], Awaitable[dict[str, str]]]
    hub_url: str

    async def account(self, request: Request) -> Response:
        """Show it; somebody who is not logged in is sent to do so."""
        caller = known_caller(request)
        if caller.way != "session":
            return redirect("/login?next=/account")
        visas, trouble = await self.desk.visas(request)
        told = await self.desk.datasets(request)
        now = datetime.now(UTC).timestamp()
        registered = {visa.kind for visa in visas if visa.value == REGISTERED_ACCESS and visa.expires > now}
        shown = [
            {
                "what": KIND_WORDS.get(VisaKind(visa.kind), visa.kind) if visa.kind in list(VisaKind) else visa.kind,
                "dataset": visa.value.removeprefix(f"{self.hub_url}/datasets/") if "/datasets/" in visa.value else "",
                "value": visa.value,
                "issuer": visa.issuer,
                "until": _moment(visa.expires),
                "ended": visa.expires <= now,
            }
            for visa in visas
        ]
        sessions = [
            {"handle": one.handle, "begun": _moment(one.made_at), "used": _moment(one.seen_at), "ends": _moment(one.ends_at)}
            for one in await self.desk.sessions(caller)
        ]
        return render(
            request,
            "account.html",
            roles=sorted(caller.actor.roles),
            registered={VisaKind.ACCEPTED_TERMS_AND_POLICIES, VisaKind.RESEARCHER_STATUS} <= registered,
            visas=shown,
            budgets=_budgets(told),
            away=[one.node for one in told.nodes if one.status != "answered"],
            sessions=sessions,
            trouble=trouble,
        )

    async def end_session(self, request: Request) -> Response:
        """End another session of the same person."""
        fields = await self.form_of(request)
        await self.desk.end_session(known_caller(request), fields.get("session", ""))
        return redirect("/account")


def _budgets(told: DatasetsAnswer) -> list[dict[str, str]]:
    """What is left, in whole percents rounded down: a hundredth that is not there is not promised."""
    return [
        {"dataset": record.id, "title": record.title, "left": f"{int(record.budget_left * 100)} %"}
        for node in told.nodes
        for record in node.datasets
        if record.budget_left is not None
    ]


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
