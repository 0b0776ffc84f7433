"""The table of decisions of `docs/concepts/access.md`, made by the policy: `python -m validation.access_matrix.table`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cohelix.access.actor import ANONYMOUS, REGISTERED_ACCESS, Actor, Visa, VisaKind
from cohelix.access.policy import Purpose, Revocations, Terms, decide

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_ENDS = _NOW + timedelta(hours=1)
_KNOWN = Actor("researcher", "broker", frozenset(), (), _ENDS)
_STATED = tuple(
    Visa(kind.value, kind, REGISTERED_ACCESS, "s", "so", "broker", "researcher", _NOW, _ENDS)
    for kind in (VisaKind.RESEARCHER_STATUS, VisaKind.ACCEPTED_TERMS_AND_POLICIES)
)
_GRANT = Visa("v", VisaKind.CONTROLLED_ACCESS_GRANTS, "value", "s", "dac", "authority", "researcher", _NOW, _ENDS)
_FRESH = Revocations({}, {"authority": _ENDS})
_PEOPLE = (
    ("nobody has logged in", ANONYMOUS, _FRESH),
    ("logged in, no more", _KNOWN, _FRESH),
    ("registered", replace(_KNOWN, visas=_STATED), _FRESH),
    ("a visa for this dataset", replace(_KNOWN, visas=(_GRANT,)), _FRESH),
    ("the visa was revoked", replace(_KNOWN, visas=(_GRANT,)), replace(_FRESH, revoked={"authority": frozenset({"v"})})),
    (
        "registered, and the visa was revoked",
        replace(_KNOWN, visas=(*_STATED, _GRANT)),
        replace(_FRESH, revoked={"authority": frozenset({"v"})}),
    ),
    ("a visa, but no fresh list of revocations", replace(_KNOWN, visas=(_GRANT,)), Revocations()),
)
_OPEN = Terms("FI:x", "open", visa_value="value", authorities=frozenset({"authority"}))
_DATASETS = (
    ("open", _OPEN),
    ("floored, power within the bound", replace(_OPEN, disclosure="floored", membership_power=0.5)),
    ("floored, power above the bound", replace(_OPEN, disclosure="floored", membership_power=0.9)),
    ("closed", replace(_OPEN, disclosure="closed")),
)


def table() -> str:
    """The table, as Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "| dataset | who asks | tier | variants | counts of people | records | analyses | reason |"
    yield "|---|---|---|---|---|---|---|---|"
    for dataset, terms in _DATASETS:
        for person, actor, revocations in _PEOPLE:
            found = decide(actor, terms, Purpose(), _NOW, revocations=revocations)
            slug = f"`{found.reasons[0].slug}`" if found.reasons else ""
            told = "yes" if found.records else "no", "yes" if found.analyses else "no"
            yield f"| {dataset} | {person} | {found.tier} | {found.genomic} | {found.people} | {told[0]} | {told[1]} | {slug} |"


if __name__ == "__main__":
    print(table())
