"""An entry as it is written: one line of canonical JSON, with its number, its time, who, what, and the event's fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

import orjson

from cohelix.audit.events import EVENTS, Decided, Event, Person, field_names
from cohelix.core.errors import Damaged

TEXT_MAX: Final = 1_000  # characters of one field; what is longer came from outside and is cut
ITEMS_MAX: Final = 1000
_NAMES: Final = {kind: field_names(kind) for kind in EVENTS.values()}
_DECIDED: Final = tuple(one.name for one in fields(Decided))
_PERSONS: Final = {kind: tuple(one.name for one in fields(kind) if "Person" in str(one.type)) for kind in EVENTS.values()}

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
    for name in _PERSONS[type(event)]:
        value = getattr(event, name)
        if isinstance(value, Person):
            yield value


class Encoding:
    """The bytes of the entries of one batch, which their leaf hashes are of: JSON in ASCII without spaces.

    Parameters
    ----------
    pseudonym
        What persons are called in this log.
    """

    def __init__(self, pseudonym: Pseudonyms) -> None:
        self._pseudonym = pseudonym
        # Public answers share what was decided of the datasets: it is written out once. Keyed by identity, so what is kept
        # holds the tuple too.
        self._shared: dict[int, tuple[tuple[Any, ...], list[Any]]] = {}

    def entry(self, number: int, at: str, event: Event, by: By) -> bytes:
        """One entry; the batch's events stay as they are until all are written."""
        if isinstance(by, Person):
            who = {"by": "person", "who": self._pseudonym(by)}
        else:
            who = {"by": "unknown" if by is None else "server", "who": _cut(by or "")}
        data = {name: self._plain(getattr(event, name)) for name in _NAMES[type(event)]}
        return _ascii({"n": number, "at": at, "event": event.tag, **who, "data": data})

    def _plain(self, value: Any) -> Any:
        if isinstance(value, str):
            return _cut(value)
        if isinstance(value, Person):
            return self._pseudonym(value)
        if isinstance(value, tuple):
            found = self._shared.get(id(value))
            if found is None:
                found = self._shared[id(value)] = value, [self._plain(one) for one in value[:ITEMS_MAX]]
            return found[1]
        if isinstance(value, Decided):
            return {name: self._plain(getattr(value, name)) for name in _DECIDED}
        return value


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


def _ascii(document: dict[str, Any]) -> bytes:
    try:
        found = orjson.dumps(document)
    except TypeError:  # half a surrogate pair from outside
        found = b"\xff"
    # What is not ASCII as it stands is escaped by the slower road; both write what is ASCII alike.
    return found if found.isascii() else json.dumps(document, separators=(",", ":"), ensure_ascii=True).encode()


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…"
