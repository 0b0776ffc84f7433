"""Conditions of visas: whether other visas of the same person fulfil them (GA4GH Passport 1.2.1, "conditions"; pure)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cohelix.access.actor import Visa
from cohelix.wire.passport import Condition

_FIELDS: Final = ("value", "source", "by")


def fulfilled_until(conditions: Sequence[Sequence[Condition]], visas: Sequence[Visa]) -> datetime | None:
    """Until when one of the alternatives holds: every clause of it, each on one visa; None where none does.

    Parameters
    ----------
    conditions
        An OR of ANDs; without an alternative nothing is fulfilled.
    visas
        Verified visas of the person that have no conditions themselves.
    """
    ends = [_alternative_until(alternative, visas) for alternative in conditions]
    return max((end for end in ends if end is not None), default=None)


def _alternative_until(clauses: Sequence[Condition], visas: Sequence[Visa]) -> datetime | None:
    """Until when all clauses hold: the first end, of each clause by the visa that meets it longest."""
    ends = [max((visa.expires for visa in visas if _holds(clause, visa)), default=None) for clause in clauses]
    known = [end for end in ends if end is not None]
    return min(known) if known and len(known) == len(ends) else None


def _holds(clause: Condition, visa: Visa) -> bool:
    """Whether a visa is of the clause's type and meets each of its other fields, of which there is at least one."""
    others = dict(clause.model_extra or {})
    if clause.type != visa.kind.value or not others or not others.keys() <= set(_FIELDS):
        return False
    return all(isinstance(wanted, str) and _meets(wanted, str(getattr(visa, name))) for name, wanted in others.items())


def _meets(wanted: str, found: str) -> bool:
    """One field: `const:` is the same text, `pattern:` has `?` and `*`, `split_pattern:` meets one part between `;`."""
    kind, colon, text = wanted.partition(":")
    if not colon or not found:  # `by` need not be said, and what is not said meets nothing
        return False
    if kind == "const":
        return found == text
    if kind == "pattern":
        return _matches(text, found)
    if kind == "split_pattern":
        return any(_matches(text, part) for part in found.split(";"))
    return False


def _matches(pattern: str, text: str) -> bool:
    """Whole match, letter by letter: `?` is any one, `*` any number of them. Takes pattern × text steps at most."""
    at = star = -1
    place = after = 0
    while place < len(text):
        if after < len(pattern) and pattern[after] == "*":
            star, at, after = after, place, after + 1
        elif after < len(pattern) and pattern[after] in ("?", text[place]):
            place, after = place + 1, after + 1
        elif star >= 0:  # the last star takes one letter more
            at += 1
            place, after = at, star + 1
        else:
            return False
    return not pattern[after:].strip("*")
