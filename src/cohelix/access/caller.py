"""Who calls the hub at this moment: the person, and the way to passports that say so to others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from starlette.requests import HTTPConnection

from cohelix.access.actor import ANONYMOUS, Actor

PassportFor = Callable[[str], Awaitable[str | None]]
"""Gives a passport for a node by its member id; None for somebody unknown, or where the issuer gives none."""


async def no_passport(_node: str) -> str | None:
    """Somebody unknown has no passport."""
    return None


@dataclass(frozen=True, slots=True)
class Caller:
    """A request's person.

    Attributes
    ----------
    actor
        Who it is, with roles, and visas as far as the hub itself needs them.
    way
        `session` of a browser, `token` of a program, or `unknown`.
    name
        What pages call the person; the subject where the issuer tells no name.
    session
        The session's public handle, by which the list of sessions names it; empty without one.
    form_key
        What a form of this session must send back; empty without a session.
    passport_for
        Exchanges the person's token for a passport whose audience is one node. It is kept for some minutes, so that it
        may be called with every question.
    notice
        Why a login that the request brought no longer counts; empty otherwise.
    may_log_in
        Whether this server knows an issuer at all.
    unread
        How many notices the person has not read; None where this server has none, or nobody is shown a page.
    """

    actor: Actor = ANONYMOUS
    way: Literal["session", "token", "unknown"] = "unknown"
    name: str = ""
    session: str = ""
    form_key: str = field(default="", repr=False)
    passport_for: PassportFor = field(default=no_passport, repr=False)
    notice: str = ""
    may_log_in: bool = False
    unread: int | None = None


NOBODY: Final = Caller()

CallerOf = Callable[[HTTPConnection], Awaitable[Caller]]
"""Finds who sends a request, and keeps the answer with it."""
_KEPT: Final = "cohelix.caller"


async def nobody_calls(_request: HTTPConnection) -> Caller:
    """Of a server that knows no issuer: everybody is unknown."""
    return NOBODY


def known_caller(request: HTTPConnection) -> Caller:
    """Who sends a request, as far as it has been found."""
    found = request.scope.get(_KEPT)
    return found if isinstance(found, Caller) else NOBODY


def keep_caller(request: HTTPConnection, caller: Caller) -> Caller:
    """Keep with a request who sends it."""
    request.scope[_KEPT] = caller
    return caller
