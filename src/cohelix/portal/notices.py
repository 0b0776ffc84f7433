"""The page "Notices": what a person has to know of applications, marked as read, and whether it comes by e-mail, too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import Response

from cohelix.access.caller import Caller, known_caller
from cohelix.access.notify import WORDS, Matter, page_of
from cohelix.core.errors import BadQuestion
from cohelix.portal.pages import redirect, render
from cohelix.wire.notices import MailWish, NoticesAnswer

# Of messages of the pages, whose translations are looked up by them.
WHAT_WORDS: Final = {matter: what for matter, (what, _) in WORDS.items()}
TODO_WORDS: Final = {matter: todo for matter, (_, todo) in WORDS.items()}
GRANTS: Final = (Matter.GRANTED, Matter.GRANT_ENDS)


class NoticesDesk(Protocol):
    """What the page needs of the hub."""

    async def told(self, caller: Caller, *, start: int = 0, unread: bool = False) -> NoticesAnswer:
        """A page of the caller's own notices."""

    async def mark_read(self, caller: Caller, ids: Sequence[str] | None) -> None:
        """Remember that the caller has read these, or all."""

    async def want_mail(self, caller: Caller, wanted: bool) -> MailWish:
        """Remember whether the caller wants them by e-mail."""


@dataclass(frozen=True, slots=True)
class NoticePages:
    """The page and its forms; `form_of` reads a form of the caller's session."""

    desk: NoticesDesk
    form_of: Callable[[Request], Awaitable[dict[str, str]]]

    async def shown(self, request: Request) -> Response:
        """Show them; somebody who is not logged in is sent to do so."""
        caller = known_caller(request)
        if not caller.actor.known:
            return redirect("/login?next=/notices")
        start = request.query_params.get("from", "0")
        if not start.isascii() or not start.isdigit() or len(start) > 6:
            raise BadQuestion("a place in a list is a number")
        unread = request.query_params.get("unread") == "yes"
        answer = await self.desk.told(caller, start=int(start), unread=unread)
        rows = [
            {
                "id": one.id,
                "application": one.application,
                "matter": Matter(one.matter),
                "dataset": one.dataset,
                "title": one.title,
                "read": one.read,
                "page": page_of(Matter(one.matter), one.application, one.dataset),
                "at": f"{one.at:%Y-%m-%d %H:%M}",
                "due": f"{one.due:%Y-%m-%d %H:%M}" if one.due else "",
                "ends": Matter(one.matter) in GRANTS,
            }
            for one in answer.notices
        ]
        return render(
            request,
            "notices.html",
            rows=rows,
            answer=answer,
            only_unread=unread,
            what_words=WHAT_WORDS,
            todo_words=TODO_WORDS,
            form_key=caller.form_key,
            desk_side=False,
        )

    async def read(self, request: Request) -> Response:
        """Mark one notice, or all, as read."""
        fields, caller = await self.form_of(request), known_caller(request)
        if fields.get("all") != "yes" and "id" not in fields:
            raise BadQuestion("no notice was named")
        await self.desk.mark_read(caller, None if fields.get("all") == "yes" else [fields["id"]])
        return redirect("/notices?unread=yes" if fields.get("back") == "unread" else "/notices")

    async def mail(self, request: Request) -> Response:
        """Switch mails on or off."""
        fields, caller = await self.form_of(request), known_caller(request)
        await self.desk.want_mail(caller, fields.get("wanted") == "yes")
        return redirect("/notices")
