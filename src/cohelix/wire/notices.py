"""What a person is told of applications: the hub's `/api/v1/notices`."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from cohelix.wire.frequency import Wire


class NoticeLine(Wire):
    """One notice.

    Attributes
    ----------
    id
        By which it is marked as read; a mail's Message-ID is made of it.
    matter
        What it is about, as a slug; `what` and `todo` say it in words.
    dataset, title
        Empty where it is about the whole application, or where the reader is not told the title.
    due
        By when there is something to do, or when a grant ends.
    at
        When it happened.
    """

    id: str
    application: str
    matter: str
    what: str
    todo: str
    dataset: str = ""
    title: str = ""
    due: datetime | None = None
    at: datetime
    read: bool = False


class MailWish(Wire):
    """Where a person's notices go by e-mail, and whether they do; the address is empty where none is known."""

    sent: bool = False
    address: str = ""
    wanted: bool = False


class NoticesAnswer(Wire):
    """A person's notices, the newest first; `next` is the `from` of what follows, and `unread` counts all, up to 100."""

    notices: tuple[NoticeLine, ...] = ()
    unread: int = 0
    next: int | None = None
    mail: MailWish = MailWish()


class ReadNotices(Wire):
    """Which notices were read: these, or all."""

    ids: tuple[str, ...] = Field(default=(), max_length=1000)
    all: bool = False


class WantMail(Wire):
    """Whether notices shall be sent by e-mail, too."""

    wanted: bool
