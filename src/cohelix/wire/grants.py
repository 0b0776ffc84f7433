"""Messages about applications that are decided: the hub shows a member all that happened, the member says what it granted."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from cohelix.wire.federation import Message
from cohelix.wire.frequency import Wire
from cohelix.wire.history import STATEMENT_CHARACTERS_MAX

QUESTION = "grants"
EVENTS_MAX = 10_000
APPLICATIONS_MAX = 20
GrantState = Literal["granted", "ended", "waits", "refused"]


class ApplicationShown(Wire):
    """An application with all its events, in order, as `wire.applications` writes them.

    `statements` are those of its events that were signed, by number from 1 (`wire.history`).
    """

    id: str = Field(max_length=40, pattern=r"^A-[0-9a-f]{32}$")
    events: tuple[dict[str, Any], ...] = Field(min_length=1, max_length=EVENTS_MAX)
    statements: dict[int, Annotated[str, Field(max_length=STATEMENT_CHARACTERS_MAX)]] = Field(
        default_factory=dict, max_length=EVENTS_MAX
    )


class AskGrants(Message):
    """Hub to node: `POST /federation/v1/grants`, answered with `GrantsTold`.

    Shows applications of which a dataset is this member's; the member reads off the events itself what is to be granted
    and what has ended.
    """

    applications: tuple[ApplicationShown, ...] = Field(default=(), max_length=APPLICATIONS_MAX)


class GrantTold(Wire):
    """What a member has done about one dataset of an application.

    granted: visas hold until `until` (seconds since 1970). ended: those that were issued are revoked. waits: a person of
    the authority issues them by hand. refused: the events are not an approval by which the member would grant; `why`.
    """

    application: str = Field(max_length=40)
    dataset: str = Field(max_length=200)
    state: GrantState
    visas: tuple[Annotated[str, Field(max_length=300)], ...] = Field(default=(), max_length=200)
    until: int | None = Field(default=None, ge=0, le=253_402_300_799)
    why: str = Field(default="", max_length=500)


class GrantsTold(Message):
    """Node to hub: one line for each dataset of the member in the applications that it was shown."""

    lines: tuple[GrantTold, ...] = Field(default=(), max_length=4_000)
