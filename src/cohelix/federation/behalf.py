"""Questions on a person's behalf: each member is sent a passport that is for it alone, and the purpose as stated."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog

from cohelix.access.caller import NOBODY, Caller
from cohelix.core.errors import BadQuestion, CohelixError
from cohelix.wire.federation import PURPOSE_CHARACTERS_MAX, Member, OnBehalf

PURPOSE_HEADER: Final = "cohelix-purpose"
M = TypeVar("M", bound=OnBehalf)
_log = structlog.get_logger("cohelix.federation")


@dataclass(frozen=True, slots=True)
class Behalf:
    """On whose behalf the federation is asked, and what for."""

    caller: Caller = NOBODY
    purpose: str = ""

    @property
    def known(self) -> bool:
        """Whether a person asks, whose answer is for nobody else."""
        return self.caller.actor.known


EVERYBODY: Final = Behalf()


def behalf_of(caller: Caller, headers: Mapping[str, str]) -> Behalf:
    """On whose behalf a request asks; raises `BadQuestion` for a purpose that is too long or not printable."""
    return Behalf(caller, stated_purpose(headers)) if caller.actor.known else EVERYBODY


def stated_purpose(headers: Mapping[str, str]) -> str:
    """The purpose that a request states, in its header `Cohelix-Purpose`."""
    purpose = headers.get(PURPOSE_HEADER, "").strip()
    if len(purpose) > PURPOSE_CHARACTERS_MAX or not purpose.isprintable():
        raise BadQuestion(f"a purpose has up to {PURPOSE_CHARACTERS_MAX} printable characters")
    return purpose


async def passports(behalf: Behalf, members: Sequence[Member]) -> dict[str, str]:
    """A passport for each member that the person's issuer gives one for, by the member's id.

    Without one a member answers as to everybody, and says what would be needed; so an issuer that is away stops nobody.
    """
    if not behalf.known:
        return {}

    async def one(member: Member) -> tuple[str, str | None]:
        try:
            return member.id, await behalf.caller.passport_for(member.id)
        except CohelixError as error:
            _log.warning("no passport", member=member.id, problem=error.slug)
            return member.id, None

    found = await asyncio.gather(*(one(member) for member in members))
    return {member: passport for member, passport in found if passport}


async def addressed(message: OnBehalf, members: Sequence[Member], behalf: Behalf) -> list[tuple[Member, bytes]]:
    """The message as each member is sent it."""
    if not behalf.known:
        body = message.model_dump_json().encode()
        return [(member, body) for member in members]
    held = await passports(behalf, members)
    return [(member, on_behalf(message, held.get(member.id), behalf.purpose).model_dump_json().encode()) for member in members]


def on_behalf(message: M, passport: str | None, purpose: str) -> M:
    """The message with the passport for its member, and the purpose."""
    return message.model_copy(update={"passport": passport, "purpose": purpose or None})
