"""The page "Audit": what the hub has written down of me, all of it for an auditor, and who witnesses the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from cohelix.access.actor import Role
from cohelix.access.caller import Caller, known_caller
from cohelix.audit.events import EVENTS
from cohelix.core.errors import BadQuestion
from cohelix.portal.pages import redirect, render
from cohelix.wire.audit import EntriesAnswer, EntryRecord, LogState

PAGE_ENTRIES: Final = 50


class AuditDesk(Protocol):
    """What the page needs of the hub's log."""

    async def entries(
        self, caller: Caller, *, mine: bool, before: int | None, events: Sequence[str], limit: int
    ) -> EntriesAnswer:
        """Entries, newest first; `NotPermitted` where the caller may not see them."""

    async def state(self) -> LogState:
        """The log's checkpoint, its witnesses, and what the hub has seen of the members' logs."""


class AuditPages:
    """The page.

    Parameters
    ----------
    desk
        Reads the log, and decides who may see what.
    """

    def __init__(self, desk: AuditDesk) -> None:
        self._desk = desk

    async def audit(self, request: Request) -> Response:
        """Show it; somebody who is not logged in is sent to do so."""
        caller = known_caller(request)
        if not caller.actor.known:
            return redirect("/login?next=/audit")
        given = request.query_params
        mine, event = "all" not in given, given.get("event", "")
        before = _before(given.get("before"))
        found = await self._desk.entries(caller, mine=mine, before=before, events=[event] if event else [], limit=PAGE_ENTRIES)
        kept = {**({} if mine else {"all": "1"}), **({"event": event} if event else {})}
        older = f"/audit?{urlencode({**kept, 'before': found.next})}" if found.next is not None else ""
        return render(
            request,
            "audit.html",
            entries=[_shown(one) for one in found.entries],
            auditor=Role.AUDITOR in caller.actor.roles,
            mine=mine,
            event=event,
            events=sorted(EVENTS),
            older=older,
            newest=before is None,
            state=await self._desk.state(),
            moment=_moment,
        )


def _before(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise BadQuestion("'before' is the number of an entry")
    return int(text)


def _shown(entry: EntryRecord) -> dict[str, Any]:
    """An entry in words: what its event means, and its fields."""
    kind = EVENTS.get(entry.event)
    what = ((kind.__doc__ or "").partition("\n")[0] if kind else "").strip()
    details = [(name, _words(value)) for name, value in entry.data.items() if value not in ("", [], None)]
    return {
        "number": entry.number,
        "at": _moment(entry.at),
        "event": entry.event,
        "who": entry.who,
        "what": what,
        "details": details,
    }


def _moment(text: str) -> str:
    """A time as a page shows it: to the second, with a space between date and time."""
    return f"{text[:10]} {text[11:19]}"


def _words(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(_words(one) for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(one)}" for name, one in value.items() if one not in ("", [], None))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
