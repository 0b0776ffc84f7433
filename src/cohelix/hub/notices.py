"""Notices at the hub: `/api/v1/notices` and the page for their readers, the task that sends them by e-mail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Final

import anyio.to_thread
import structlog
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from cohelix.access.caller import Caller, CallerOf
from cohelix.access.mail import Post
from cohelix.access.notify import WORDS
from cohelix.access.outbox import Outbox, Told
from cohelix.core.errors import BadQuestion, NotAuthentic
from cohelix.portal.notices import NoticePages
from cohelix.portal.pages import page_route
from cohelix.wire.applications import Identity
from cohelix.wire.notices import MailWish, NoticeLine, NoticesAnswer, ReadNotices, WantMail

PAGE: Final = 30
SEND_SECONDS = 5.0
_FORGET_EVERY: Final = 720  # rounds: once an hour
_log = structlog.get_logger("cohelix.hub")
_From = Annotated[int, Query(alias="from", ge=0, le=100_000, description="`next` of the page before")]
_Unread = Annotated[bool, Query(description="Only those that you have not read")]
_Limit = Annotated[int, Query(ge=1, le=500, description="Most notices on a page")]


class Notices:
    """The hub's notices, for whom they are.

    Parameters
    ----------
    post
        Takes them to people by e-mail; none where the operator has named no mail server.
    """

    def __init__(self, outbox: Outbox, post: Post | None = None) -> None:
        self._outbox, self._post = outbox, post

    async def told(self, caller: Caller, *, start: int = 0, unread: bool = False, limit: int = PAGE) -> NoticesAnswer:
        """A page of the caller's own notices."""
        person = _person(caller)

        def read() -> NoticesAnswer:
            found = self._outbox.of(person, start=start, most=limit + 1, unread=unread)
            return NoticesAnswer(
                notices=tuple(_line(one) for one in found[:limit]),
                unread=self._outbox.unread(person),
                next=start + limit if len(found) > limit else None,
                mail=self._mail(person),
            )

        return await anyio.to_thread.run_sync(read)

    async def mark_read(self, caller: Caller, ids: Sequence[str] | None) -> None:
        """Remember that the caller has read these, or all."""
        await anyio.to_thread.run_sync(self._outbox.mark_read, _person(caller), ids)

    async def want_mail(self, caller: Caller, wanted: bool) -> MailWish:
        """Remember whether the caller wants them by e-mail; `BadQuestion` where no address is known."""
        person = _person(caller)

        def work() -> MailWish:
            if self._outbox.contact(person) is None:
                raise BadQuestion("no e-mail address of yours is known: your issuer tells it at a login, or the hub's operator")
            self._outbox.want_mail(person, wanted)
            return self._mail(person)

        return await anyio.to_thread.run_sync(work)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Mails go out as they become due, and what is very old is forgotten."""

        async def work() -> None:
            rounds = 0
            while True:
                await asyncio.sleep(SEND_SECONDS)
                rounds += 1
                try:
                    if rounds % _FORGET_EVERY == 0:
                        await anyio.to_thread.run_sync(self._outbox.forget_old)
                    if self._post is not None:
                        await anyio.to_thread.run_sync(self._post.deliver, self._outbox, abandon_on_cancel=True)
                except Exception:
                    _log.exception("notices by e-mail")

        task = asyncio.create_task(work())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _mail(self, person: Identity) -> MailWish:
        contact = self._outbox.contact(person)
        if contact is None:
            return MailWish(sent=self._post is not None)
        return MailWish(sent=self._post is not None, address=contact.address, wanted=contact.wanted)


def notices_router(desk: Notices, caller_of: CallerOf) -> APIRouter:
    """`/api/v1/notices…`, for people who have logged in."""
    router = APIRouter(prefix="/api/v1/notices", tags=["notices"])

    @router.get("", response_model=NoticesAnswer, summary="What you have to know of applications, the newest first")
    async def told(request: Request, start: _From = 0, unread: _Unread = False, limit: _Limit = PAGE) -> Response:
        found = await desk.told(await caller_of(request), start=start, unread=unread, limit=limit)
        return _json(found)

    @router.post("/read", response_model=NoticesAnswer, summary="Mark notices as read: {ids: [...]} or {all: true}")
    async def read(request: Request, body: ReadNotices) -> Response:
        caller = await caller_of(request)
        await desk.mark_read(caller, None if body.all else body.ids)
        return _json(await desk.told(caller, unread=True))

    @router.put("/mail", response_model=MailWish, summary="Say whether you want notices by e-mail, too: {wanted: true}")
    async def mail(request: Request, body: WantMail) -> Response:
        return _json(await desk.want_mail(await caller_of(request), body.wanted))

    return router


def notice_pages(
    desk: Notices, caller_of: CallerOf, form_of: Callable[[Request], Awaitable[dict[str, str]]]
) -> list[BaseRoute]:
    """The page `/notices` and its two forms, to be mounted before the portal's last route."""
    pages = NoticePages(desk, form_of)
    return [
        page_route("/notices", pages.shown, caller_of),
        page_route("/notices/read", pages.read, caller_of, methods=("POST",)),
        page_route("/notices/mail", pages.mail, caller_of, methods=("POST",)),
    ]


def _person(caller: Caller) -> Identity:
    if not caller.actor.known:
        raise NotAuthentic("log in: notices are for people who are known")
    return Identity(subject=caller.actor.subject, issuer=caller.actor.issuer)


def _line(one: Told) -> NoticeLine:
    what, todo = WORDS[one.matter]
    return NoticeLine(
        id=one.id,
        application=one.application,
        matter=one.matter.value,
        what=what,
        todo=todo,
        dataset=one.dataset,
        title=one.title,
        due=one.due,
        at=one.at,
        read=one.read,
    )


def _json(document: NoticesAnswer | MailWish) -> Response:
    return JSONResponse(document.model_dump(mode="json"), headers={"cache-control": "no-store"})
