"""Notices from Python: what somebody has to know of applications, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final

from cohelix.sdk.frames import Kind, Tabular
from cohelix.wire.notices import NoticesAnswer

NOTICES: Final = "/api/v1/notices"


class Notices(Tabular, NoticesAnswer):
    """A person's notices; as a table one row for each, the newest first. Times are in UTC."""

    columns: ClassVar[dict[str, Kind]] = {
        "at": "text",
        "unread": "yes or no",
        "what": "text",
        "title": "text",
        "dataset": "text",
        "due": "text",
        "application": "text",
        "id": "text",
    }
    text_shown: ClassVar[int] = 80

    def rows(self) -> Iterable[Sequence[Any]]:
        for one in self.notices:
            due = f"{one.due:%Y-%m-%d %H:%M}" if one.due else None
            at = f"{one.at:%Y-%m-%d %H:%M}"
            yield (at, not one.read, one.what, one.title or None, one.dataset or None, due, one.application, one.id)

    def caption(self) -> str:
        return f"{'more than 99' if self.unread > 99 else self.unread} unread"


def asked_for(*, unread: bool, start: int, limit: int) -> dict[str, Any]:
    """The parameters of a question for notices."""
    return {"unread": unread, "from": start, "limit": limit}


def to_read(ids: Iterable[str] | None) -> dict[str, Any]:
    """What is marked as read."""
    return {"all": True} if ids is None else {"ids": list(ids)}
