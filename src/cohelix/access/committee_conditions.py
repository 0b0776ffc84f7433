"""A committee's conditions: those that a visa can hold a person to, and those that the agreement does (pure).

A condition is a line of text. Two forms are understood, and enforced by every node at every question, because the visa is
signed so:

until 2027-06-30                                  the visa ends at the end of that day (UTC)
visa ResearcherStatus                             the person also holds a visa of that kind, whatever its value
visa AffiliationAndRole *@institute.example       one whose value is like this; `?` and `*` as in GA4GH's conditions

Everything else is between people, and stands in the agreement that both sides sign.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from cohelix.access.actor import VisaKind
from cohelix.core.errors import BadQuestion

_UNTIL: Final = re.compile(r"until (\d{4}-\d{2}-\d{2})", re.IGNORECASE)
_VISA: Final = re.compile(r"visa ([A-Za-z]+)(?: ([\x21-\x7e]{1,200}))?", re.IGNORECASE)
_BEGINS: Final = re.compile(r"(until\s+\d|visa\s)", re.IGNORECASE)  # whoever writes so means a form of the above
# A person's own grants and links open nothing by themselves, and conditions on them are none that a committee sets.
_KINDS: Final = {
    kind.value.lower(): kind.value
    for kind in (VisaKind.AFFILIATION_AND_ROLE, VisaKind.ACCEPTED_TERMS_AND_POLICIES, VisaKind.RESEARCHER_STATUS)
}


@dataclass(frozen=True, slots=True)
class Enforced:
    """What of a committee's conditions a visa holds.

    Attributes
    ----------
    until
        When it ends at the latest.
    clauses
        Of other visas, all of which the person has to hold: GA4GH's `conditions`; None where there are none.
    in_visa, in_agreement
        The conditions themselves, by what enforces them.
    """

    until: datetime | None
    clauses: list[list[dict[str, str]]] | None
    in_visa: tuple[str, ...]
    in_agreement: tuple[str, ...]


def enforced(conditions: Sequence[str]) -> Enforced:
    """What a visa can hold of these conditions; a form that is not quite understood is the agreement's."""
    until: datetime | None = None
    clauses, in_visa, in_agreement = list[dict[str, str]](), list[str](), list[str]()
    for condition in conditions:
        text = " ".join(condition.split())
        end, other = _end(text), _clause(text)
        if end is not None:
            until = end if until is None else min(until, end)
        elif other is not None:
            clauses.append(other)
        (in_visa if end or other else in_agreement).append(condition)
    return Enforced(until, [clauses] if clauses else None, tuple(in_visa), tuple(in_agreement))


def check_conditions(conditions: Sequence[str]) -> None:
    """Refuse a condition that begins like one that a visa holds, and is none; `BadQuestion` says what is understood."""
    for condition in enforced(conditions).in_agreement:
        if _BEGINS.match(" ".join(condition.split())):
            kinds = ", ".join(_KINDS.values())
            raise BadQuestion(
                f"condition {condition[:80]!r}: a visa holds 'until 2027-06-30', and 'visa KIND [VALUE]' with one of {kinds}; "
                "say it in other words, and the agreement holds it"
            )


def _end(text: str) -> datetime | None:
    found = _UNTIL.fullmatch(text)
    try:
        day = date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)


def _clause(text: str) -> dict[str, str] | None:
    found = _VISA.fullmatch(text)
    kind = _KINDS.get(found[1].lower()) if found else None
    return None if found is None or kind is None else {"type": kind, "value": f"pattern:{found[2] or '*'}"}
