"""The bytes of entries: one canonical line of ASCII, whatever names come from outside, and the same for shared parts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cohelix.audit.entries import Encoding, persons_of, read_entry
from cohelix.audit.events import Decided, Event, Keyed, Person, QuestionAnswered, RoleChanged, RunProposed

_ADA, _BOB = Person("ada", "https://broker.example"), Person("böb", "https://broker.example")
_TOLD = tuple(Decided(f"FI:cohort{number}", "answered", "public", visas=("v1",), size="10-99") for number in range(3))
_NASTY = [
    "plain",
    "Großmutter 漢字 🧬",
    "half \ud800 of a pair",
    'quote " back \\ slash / <b>',
    "\x00\x01\x1f\x7f\u2028\n\t",
    "x" * 2000,
]


def _naive(number: int, at: str, event: Event, who: dict[str, str], data: dict[str, Any]) -> bytes:
    """An entry from its definition: what the standard library writes."""
    document = {"n": number, "at": at, "event": event.tag, **who, "data": data}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=True).encode()


@pytest.mark.parametrize("purpose", _NASTY)
def test_entries_are_canonical_json_in_ascii(purpose: str) -> None:
    encoding = Encoding(lambda person: f"p-{person.subject}")
    cut = purpose if len(purpose) <= 1000 else purpose[:999] + "…"
    told = [
        {
            "dataset": one.dataset,
            "outcome": "answered",
            "tier": "public",
            "reason": "",
            "granularity": one.granularity,
            "visas": ["v1"],
            "size": "10-99",
        }
        for one in _TOLD
    ]
    for number, asked in enumerate(("ab12", "cd34")):  # what was decided is shared by both
        event = QuestionAnswered("beacon", "direct", Keyed(asked), purpose, _TOLD)
        data = {"kind": "beacon", "way": "direct", "asked": asked, "purpose": cut, "datasets": told}
        made = encoding.entry(number, "2026-01-01T00:00:00.000Z", event, _ADA)
        assert made == _naive(number, "2026-01-01T00:00:00.000Z", event, {"by": "person", "who": "p-ada"}, data)
        assert made.isascii() and read_entry(made).data["purpose"] == cut


def test_everybody_whom_an_entry_names_is_a_pseudonym() -> None:
    event = RoleChanged(_BOB, "auditor", given=True)
    assert list(persons_of(event, _ADA)) == [_ADA, _BOB] and list(persons_of(event, "hub")) == [_BOB]
    made = Encoding(lambda person: f"p-{len(person.subject)}").entry(1, "2026-01-01T00:00:00.000Z", event, None)
    assert b"ada" not in made and b"b\\u00f6b" not in made and read_entry(made).by == "unknown"


def test_long_lists_are_cut() -> None:
    event = RunProposed("r", "p", "h", tuple(f"FI:{number}" for number in range(1200)))
    assert len(read_entry(Encoding(str).entry(1, "2026-01-01T00:00:00.000Z", event, "hub")).data["datasets"]) == 1000
