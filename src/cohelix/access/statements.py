"""Decisions that are signed by who made them: whether a statement holds, and whether an approval rests on such (pure).

A person's key is the person's own, and no server has it. An authority may list the keys of its members, and of the country's
coordination point, beside its own keys; then nothing is granted on votes and decisions that these have not signed, each with
the whole history before it (`wire.history`): what a hub makes up, leaves out or shows under another application's name
is signed by nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from cohelix.access.authority import Signer
from cohelix.access.jose import check_token, public_key_of, read_token
from cohelix.core.errors import NotAuthentic, NotPermitted
from cohelix.wire.applications import EVENTS, AppealUpheld, Confirmed, Event, Identity, RenewalAsked, Signed, Suspended
from cohelix.wire.history import STATEMENT_CHARACTERS_MAX, STATEMENT_TYPE, links

_WHAT: Final = "statement"
_BY_COMMITTEE: Final = frozenset({"checked", "voted", "proposed", "decided"})


@dataclass(frozen=True, slots=True)
class Statement:
    """What somebody has signed, and the thumbprint (RFC 7638) of the key that it is signed with, whosever that is."""

    application: str
    after: str
    by: Identity
    event: Mapping[str, Any]
    key: str


def read_statement(token: str) -> Statement:
    """A statement whose signature is by the key that it shows; raises `NotAuthentic`."""
    read = read_token(token, what=_WHAT, characters_max=STATEMENT_CHARACTERS_MAX)
    key = public_key_of(read.header.get("jwk"))
    check_token(token, read, key, what=_WHAT, types=(STATEMENT_TYPE,))
    claims = read.claims
    application, after, event = (claims.get(name) for name in ("application", "after", "event"))
    if not isinstance(application, str) or not isinstance(after, str) or not isinstance(event, dict):
        raise NotAuthentic("the statement does not name an application, what came before, and an event")
    try:
        by = Identity.model_validate(claims.get("by"))
    except ValidationError:
        raise NotAuthentic("the statement does not say who makes it") from None
    return Statement(application, after, by, event, key.thumbprint())


def check_statement(statement: Statement, application: str, event: Event) -> None:
    """Whether a statement is of this event, for this application, by the one who made it happen; raises `NotAuthentic`."""
    try:
        stated = EVENTS.validate_python({**statement.event, "at": event.at, "by": statement.by})
    except ValidationError:
        raise NotAuthentic("the statement is of no event") from None
    if statement.application != application or stated != event:
        raise NotAuthentic("the statement is of another event, or of another application")


def check_signed(
    application: str,
    documents: Sequence[Mapping[str, Any]],
    events: Sequence[Event],
    statements: Mapping[int, str],
    *,
    dataset: str,
    confirmed: int,
    signers: Iterable[Signer],
) -> None:
    """Whether the decision on a dataset was made by people whose keys the authority knows, each of whom has signed it.

    Parameters
    ----------
    documents, events
        The application's, as they were shown, and as they were read.
    statements
        By number of the event, from 1.
    confirmed
        Number of the event that confirmed the approval: the decision is what happened since it was last asked for.
    signers
        Whose keys the authority has listed; of an office of which it lists nobody, nothing is asked.

    Raises
    ------
    NotPermitted
        With the number of the first event that nobody has signed who could.
    """
    by_office: dict[str, dict[tuple[str, str], str]] = {}
    for one in signers:
        by_office.setdefault(one.office, {})[one.subject, one.issuer] = one.key
    chain = links(application, documents)
    begun = max(number for number in range(1, confirmed) if _begins(events[number - 1], dataset))
    for number in range(begun + 1, confirmed + 1):
        event = events[number - 1]
        if getattr(event, "dataset", None) != dataset or event.by is None:
            continue
        office = "committee" if event.event in _BY_COMMITTEE else "country" if isinstance(event, Confirmed) else ""
        keys = by_office.get(office)
        if keys is None:
            continue
        try:
            _check_one(statements.get(number), application, event, chain[number - 1], keys)
        except NotAuthentic as error:
            raise NotPermitted(f"event {number}, {event.event}: {error.detail}") from None


def _begins(event: Event, dataset: str) -> bool:
    if isinstance(event, Signed):
        return True
    return isinstance(event, RenewalAsked | AppealUpheld | Suspended) and event.dataset == dataset


def _check_one(token: str | None, application: str, event: Event, after: str, keys: Mapping[tuple[str, str], str]) -> None:
    assert event.by is not None
    key = keys.get((event.by.subject, event.by.issuer))
    if key is None:
        raise NotAuthentic("the authority lists no key of who did it")
    if token is None:
        raise NotAuthentic("who did it has not signed it")
    statement = read_statement(token)
    check_statement(statement, application, event)
    if statement.key != key:
        raise NotAuthentic("it is signed with another key than the one that the authority lists")
    if statement.after != after:
        raise NotAuthentic("it was signed after another history than the one that is shown")
