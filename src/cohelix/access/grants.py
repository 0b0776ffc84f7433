"""What a server's authorities have granted and revoked: visas in the database of the folder that holds the authority's keys.

Commands write here whether or not the server or the hub is up; the server sends on what the hub has not taken yet.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from cohelix.access.actor import VisaKind
from cohelix.access.authority import GRANT_DAYS_MAX, Authority, stamp
from cohelix.access.gate import visa_value
from cohelix.access.visas import sign_visa
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadUsage, NotFound
from cohelix.db.tables import APPLICATION_HEADS, AUTHORITY_VISAS

# A revoked visa leaves the list when every clock agrees that it has ended anyway.
_LISTED_SECONDS: Final = 300


@dataclass(frozen=True, slots=True)
class Grant:
    """One visa that an authority granted; times are seconds since 1970, None for what has not happened."""

    identifier: str
    authority: str
    dataset: str
    subject: str
    subject_issuer: str
    granted_at: int
    until: int
    revoked_at: int | None
    reason: str
    sent_at: int | None
    visa: str
    application: str | None = None
    episode: int | None = None

    def document(self, now: datetime) -> dict[str, Any]:
        """As commands print it; without the visa itself."""
        ended = self.until <= now.timestamp()
        return {
            "visa": self.identifier,
            "authority": self.authority,
            "dataset": self.dataset,
            "to": self.subject,
            "issuer": self.subject_issuer,
            "granted": stamp(self.granted_at),
            "until": stamp(self.until),
            "state": "revoked" if self.revoked_at is not None else "ended" if ended else "holds",
            "atHub": self.sent_at is not None,
            "application": self.application,
        }


class Grants:
    """The grants of all authorities of one server."""

    def __init__(self, engine: Engine, clock: Clock | None = None) -> None:
        self._engine, self._clock = engine, clock or SystemClock()

    def grant(
        self,
        authority: Authority,
        *,
        hub_url: str,
        dataset: str,
        subject: str,
        subject_issuer: str,
        until: datetime,
        conditions: Sequence[Sequence[dict[str, str]]] | None = None,
        application: str | None = None,
        episode: int | None = None,
        history: str = "",
        first: Callable[[Grant], None] | None = None,
    ) -> Grant:
        """Sign a visa for one person and one dataset (`NODE:DATASET`), and keep it.

        Parameters
        ----------
        application, episode
            What it is granted for, see `access.approval.Approval`.
        history
            What the authority has read: the number of the last event and its link (`wire.history`). The visa says so.
        first
            Called before the visa is kept, to write it down; where that fails, nothing is granted.

        Raises
        ------
        BadUsage
            If the authority does not decide about the dataset, or the grant would last longer than a year.
        """
        now = self._clock.now()
        if not authority.decides(dataset):
            decides = ", ".join(authority.datasets)
            raise BadUsage(f"authority {authority.id} decides about {decides}, and not about {dataset}")
        if not now < until <= now + timedelta(days=GRANT_DAYS_MAX):
            raise BadUsage(f"a grant ends in the future, and lasts at most {GRANT_DAYS_MAX} days")
        # The authority's id comes first, so that nobody else's list can revoke it.
        identifier = f"{authority.id}:{secrets.token_urlsafe(16)}"
        visa = sign_visa(
            authority.keys.current(),
            issuer=authority.issuer,
            jwks=authority.jwks,
            identifier=identifier,
            subject=subject,
            subject_issuer=subject_issuer,
            kind=VisaKind.CONTROLLED_ACCESS_GRANTS,
            value=visa_value(hub_url, dataset),
            source=authority.issuer,
            by="dac",
            asserted=now,
            issued=now,
            expires=until,
            conditions=conditions,
            rests_on={"id": application, "history": history} if application else None,
        )
        found = Grant(
            identifier,
            authority.id,
            dataset,
            subject,
            subject_issuer,
            int(now.timestamp()),
            int(until.timestamp()),
            None,
            "",
            None,
            visa,
            application,
            episode,
        )
        if first is not None:
            first(found)
        with self._engine.begin() as connection:
            connection.execute(
                AUTHORITY_VISAS.insert().values(
                    id=identifier,
                    authority=authority.id,
                    dataset=dataset,
                    subject=subject,
                    subject_issuer=subject_issuer,
                    granted_at=found.granted_at,
                    until=found.until,
                    reason="",
                    visa=visa,
                    application=application,
                    episode=episode,
                )
            )
        return found

    def revoke(self, identifier: str, reason: str = "") -> Grant:
        """Revoke a visa; one that is revoked already stays so. Raises `NotFound` where no authority here granted it."""
        mine = AUTHORITY_VISAS.c.id == identifier
        with self._engine.begin() as connection:
            changed = connection.execute(
                AUTHORITY_VISAS.update()
                .where(mine, AUTHORITY_VISAS.c.revoked_at.is_(None))
                .values(revoked_at=int(self._clock.now().timestamp()), reason=reason[:500])
            )
            row = connection.execute(sa.select(AUTHORITY_VISAS).where(mine)).one_or_none()
        if row is None:
            raise NotFound(f"no authority here has granted a visa {identifier[:100]!r}: see 'cohelix dac list'")
        assert changed.rowcount in (0, 1)
        return _grant(row)

    def all(self) -> tuple[Grant, ...]:
        """Every grant, the newest first."""
        with self._engine.begin() as connection:
            order = (AUTHORITY_VISAS.c.granted_at.desc(), AUTHORITY_VISAS.c.id)
            return tuple(_grant(row) for row in connection.execute(sa.select(AUTHORITY_VISAS).order_by(*order)))

    def of_application(self, application: str) -> tuple[Grant, ...]:
        """What was granted for an application, the oldest first."""
        mine = sa.select(AUTHORITY_VISAS).where(AUTHORITY_VISAS.c.application == application)
        with self._engine.begin() as connection:
            found = connection.execute(mine.order_by(AUTHORITY_VISAS.c.granted_at, AUTHORITY_VISAS.c.id))
            return tuple(_grant(row) for row in found)

    def revoked(self) -> dict[str, frozenset[str]]:
        """By authority, the identifiers of revoked visas that would still hold."""
        since = int(self._clock.now().timestamp()) - _LISTED_SECONDS
        wanted = sa.select(AUTHORITY_VISAS.c.authority, AUTHORITY_VISAS.c.id).where(
            AUTHORITY_VISAS.c.revoked_at.is_not(None), AUTHORITY_VISAS.c.until > since
        )
        found: dict[str, set[str]] = {}
        with self._engine.begin() as connection:
            for authority, identifier in connection.execute(wanted):
                found.setdefault(authority, set()).add(identifier)
        return {authority: frozenset(ids) for authority, ids in found.items()}

    def unsent(self) -> tuple[Grant, ...]:
        """Grants that hold and that the hub has not taken yet, the oldest first."""
        now = int(self._clock.now().timestamp())
        wanted = sa.select(AUTHORITY_VISAS).where(
            AUTHORITY_VISAS.c.sent_at.is_(None), AUTHORITY_VISAS.c.revoked_at.is_(None), AUTHORITY_VISAS.c.until > now
        )
        with self._engine.begin() as connection:
            return tuple(_grant(row) for row in connection.execute(wanted.order_by(AUTHORITY_VISAS.c.granted_at)))

    def head(self, application: str) -> tuple[int, str] | None:
        """How far this server has seen an application's history: events, and the link after the last; None if never."""
        wanted = sa.select(APPLICATION_HEADS).where(APPLICATION_HEADS.c.application == application)
        with self._engine.connect() as connection:
            row = connection.execute(wanted).one_or_none()
        return None if row is None else (row.number, row.link)

    def keep_head(self, application: str, number: int, link: str) -> None:
        """Remember how far an application's history was seen."""
        mine = APPLICATION_HEADS.c.application == application
        with self._engine.begin() as connection:
            changed = connection.execute(APPLICATION_HEADS.update().where(mine).values(number=number, link=link))
            if not changed.rowcount:
                row = {"application": application, "number": number, "link": link}
                connection.execute(APPLICATION_HEADS.insert().values(**row))

    def note_sent(self, identifier: str) -> None:
        """The hub has taken a visa."""
        with self._engine.begin() as connection:
            connection.execute(
                AUTHORITY_VISAS.update()
                .where(AUTHORITY_VISAS.c.id == identifier)
                .values(sent_at=int(self._clock.now().timestamp()))
            )


def _grant(row: sa.Row[Any]) -> Grant:
    return Grant(
        row.id,
        row.authority,
        row.dataset,
        row.subject,
        row.subject_issuer,
        row.granted_at,
        row.until,
        row.revoked_at,
        row.reason,
        row.sent_at,
        row.visa,
        row.application,
        row.episode,
    )
