"""Granted visas in SQL, as their authorities signed them, from when they were handed in until they end."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine, Row

from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import Conflict
from cohelix.db import serialised
from cohelix.db.tables import GRANTED_VISAS

# Beside those of the broker itself they must all fit into a passport (`wire.passport.VISAS_MAX`, 64 kB).
VISAS_OF_PERSON_MAX: Final = 100
PASSPORT_CHARACTERS_MAX: Final = 40_000


@dataclass(frozen=True, slots=True)
class GrantedVisa:
    """A visa of the store.

    Attributes
    ----------
    identifier, issuer
        Its `jti` and `iss`: together its name.
    subject, subject_issuer
        The person: `sub`, and the broker whose `sub` that is.
    dataset
        Which dataset it opens, `NODE:DATASET`.
    expires
        Until when it holds.
    token
        The visa itself.
    """

    identifier: str
    issuer: str
    subject: str
    subject_issuer: str
    dataset: str
    expires: datetime
    token: str = field(repr=False)


class VisaStore:
    """The granted visas in one database; what has ended is forgotten."""

    def __init__(self, engine: Engine, clock: Clock | None = None) -> None:
        self._engine, self._clock = engine, clock or SystemClock()

    def put(self, visa: GrantedVisa) -> bool:
        """Keep a verified visa; gives False where it is kept already.

        Raises
        ------
        Conflict
            If its authority has given its `jti` to another visa, or the person has more visas than a passport holds.
        """
        now = self._now()
        row = {
            "issuer": visa.issuer,
            "identifier": visa.identifier,
            "subject": visa.subject,
            "subject_issuer": visa.subject_issuer,
            "dataset": visa.dataset,
            "token": visa.token,
            "expires_at": int(visa.expires.timestamp()),
            "taken_at": now,
        }
        table = GRANTED_VISAS.c
        with self._engine.begin() as connection:
            serialised(connection, "granted visas")
            connection.execute(GRANTED_VISAS.delete().where(table.expires_at <= now))
            named = sa.and_(table.issuer == visa.issuer, table.identifier == visa.identifier)
            kept = connection.execute(sa.select(table.token).where(named)).scalar_one_or_none()
            if kept is not None and kept != visa.token:
                raise Conflict("the authority has given this visa's identifier to another visa")
            if kept is None:
                theirs = _of(visa.subject, visa.subject_issuer)
                others = connection.execute(sa.select(table.token).where(theirs)).scalars().all()
                if len(others) >= VISAS_OF_PERSON_MAX or sum(map(len, others)) + len(visa.token) > PASSPORT_CHARACTERS_MAX:
                    raise Conflict("the person has as many visas as a passport holds: some have to end first")
                connection.execute(GRANTED_VISAS.insert().values(row))
        return kept is None

    def held(self, subject: str, issuer: str) -> tuple[GrantedVisa, ...]:
        """The visas of a subject of a broker that have not ended, by authority and identifier."""
        table = GRANTED_VISAS.c
        chosen = sa.select(GRANTED_VISAS).where(_of(subject, issuer), table.expires_at > self._now())
        with self._engine.begin() as connection:
            rows = connection.execute(chosen.order_by(table.issuer, table.identifier)).all()
        return tuple(_granted(row) for row in rows)

    def visas_of(self, subject: str, issuer: str) -> tuple[str, ...]:
        """The same as their authorities signed them: what a broker puts into a passport."""
        return tuple(visa.token for visa in self.held(subject, issuer))

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def _of(subject: str, issuer: str) -> sa.ColumnElement[bool]:
    return sa.and_(GRANTED_VISAS.c.subject == subject, GRANTED_VISAS.c.subject_issuer == issuer)


def _granted(row: Row[Any]) -> GrantedVisa:
    return GrantedVisa(
        identifier=row.identifier,
        issuer=row.issuer,
        subject=row.subject,
        subject_issuer=row.subject_issuer,
        dataset=row.dataset,
        expires=datetime.fromtimestamp(row.expires_at, UTC),
        token=row.token,
    )
