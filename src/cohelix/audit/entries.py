"""An entry as it is written: one line of canonical JSON, with its number, its time, who, what, and the event's fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

from cohelix.audit.events import Decided, Event, Person
from cohelix.core.errors import Damaged

TEXT_MAX: Final = 1_000  # characters of one field; what is longer came from outside and is cut
ITEMS_MAX: Final = 1000

Pseudonyms = Callable[[Person], str]
By = Person | str | None
"""Who did it: a person, a server by its name (`node:FI`, `hub`), or nobody who is known."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a log, read.

    Attributes
    ----------
    number, at, event
        Its place, its time, and the tag of its event.
    person
        The pseudonym of the person who did it, None for a server or somebody unknown.
    by
        `person`, `server` or `unknown`; `who` is the pseudonym or the server's name.
    data
        The event's fields.
    """

    number: int
    at: str
    event: str
    by: str
    who: str
    data: dict[str, Any]

    @property
    def person(self) -> str | None:
        return self.who if self.by == "person" else None


def persons_of(event: Event, by: By) -> Iterator[Person]:
    """Everybody whom an entry names."""
    if isinstance(by, Person):
        yield by
    for one in fields(event):
        value = getattr(event, one.name)
        if isinstance(value, Person):
            yield value


def entry_bytes(number: int, at: str, event: Event, by: By, pseudonym: Pseudonyms) -> bytes:
    """The bytes of an entry, which its leaf hash is of: JSON in ASCII without spaces."""
    if isinstance(by, Person):
        who = {"by": "person", "who": pseudonym(by)}
    else:
        who = {"by": "unknown" if by is None else "server", "who": _cut(by or "")}
    data = {one.name: _plain(getattr(event, one.name), pseudonym) for one in fields(event)}
    document = {"n": number, "at": at, "event": event.tag, **who, "data": data}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=True).encode()


def read_entry(content: bytes) -> Entry:
    """An entry's bytes, read; `Damaged` if they are not an entry's."""
    try:
        found = json.loads(content)
        entry = Entry(found["n"], found["at"], found["event"], found["by"], found["who"], found["data"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged("this is not an entry of an audit log") from error
    texts = (entry.at, entry.event, entry.by, entry.who)
    if not isinstance(entry.number, int) or not all(isinstance(one, str) for one in texts) or not isinstance(entry.data, dict):
        raise Damaged("this is not an entry of an audit log")
    return entry


def _plain(value: Any, pseudonym: Pseudonyms) -> Any:
    if isinstance(value, str):
        return _cut(value)
    if isinstance(value, Person):
        return pseudonym(value)
    if isinstance(value, Decided):
        return {one.name: _plain(getattr(value, one.name), pseudonym) for one in fields(Decided)}
    if isinstance(value, tuple):
        return [_plain(one, pseudonym) for one in value[:ITEMS_MAX]]
    return value


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…"
