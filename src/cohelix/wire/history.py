"""An application's events as a chain that names the application, and what somebody signs who adds one to it.

A link stands for an application's id and for all its events up to one, byte for byte. Whoever signs an event with the link
before it has signed for everything that came before, in this application and in no other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any, Final

STATEMENT_TYPE: Final = "cohelix-event+jwt"
STATEMENT_CHARACTERS_MAX: Final = 64 * 1024
# What a committee and a country decide with: what their people sign, and have to where the authority has their keys.
DECISIONS: Final = frozenset({"checked", "voted", "proposed", "decided", "confirmed", "vetoed"})
_BEGIN: Final = "cohelix application 1"


def first_link(application: str) -> str:
    """The link before the first event."""
    return _digest(f"{_BEGIN}\n{application}")


def next_link(before: str, event: Mapping[str, Any]) -> str:
    """The link after an event, a document as it is kept and shown; the order of its fields does not matter."""
    return _digest(f"{before}\n{json.dumps(event, sort_keys=True, separators=(',', ':'), ensure_ascii=True)}")


def links(application: str, events: Iterable[Mapping[str, Any]]) -> list[str]:
    """Links of an application: before its first event, and after each."""
    return list(accumulate(events, next_link, initial=first_link(application)))


def statement_claims(application: str, after: str, by: Mapping[str, str], event: Mapping[str, Any]) -> dict[str, Any]:
    """What is signed: who adds which event, without its time, to which application, after what."""
    return {"application": application, "after": after, "by": dict(by), "event": dict(event)}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
