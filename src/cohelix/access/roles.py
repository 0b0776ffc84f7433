"""Who has which role: duties that an operator gives to people of an issuer, kept in SQL. None of them opens data."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from cohelix.access.actor import Role
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadUsage, NotFound
from cohelix.db.tables import ROLES


@dataclass(frozen=True, slots=True)
class Duty:
    """One role of one person, and since when (RFC 3339)."""

    subject: str
    issuer: str
    role: Role
    granted_at: str


def role_of_name(text: str) -> Role:
    """A role by its name; `BadUsage` lists them where there is none such."""
    try:
        return Role(text)
    except ValueError:
        raise BadUsage(f"{text!r} is no role: use one of {', '.join(Role)}") from None


class Roles:
    """The roles in one database."""

    def __init__(self, engine: Engine, clock: Clock | None = None) -> None:
        self._engine, self._clock = engine, clock or SystemClock()

    def of(self, subject: str, issuer: str) -> frozenset[Role]:
        """What a person does here."""
        wanted = sa.select(ROLES.c.role).where(ROLES.c.issuer == issuer, ROLES.c.subject == subject)
        with self._engine.begin() as connection:
            return frozenset(Role(name) for name in connection.scalars(wanted))

    def grant(self, role: Role, subject: str, issuer: str) -> bool:
        """Give a role; False where the person has it already."""
        if not (0 < len(subject) <= 255 and 0 < len(issuer) <= 500):
            raise BadUsage("a subject has 1 to 255 characters, and an issuer's address up to 500")
        if role in self.of(subject, issuer):
            return False
        now = self._clock.now().isoformat(timespec="seconds")
        with self._engine.begin() as connection:
            connection.execute(ROLES.insert().values(issuer=issuer, subject=subject, role=role.value, granted_at=now))
        return True

    def revoke(self, role: Role, subject: str, issuer: str) -> None:
        """Take a role back; `NotFound` where the person does not have it."""
        gone = ROLES.delete().where(ROLES.c.issuer == issuer, ROLES.c.subject == subject, ROLES.c.role == role.value)
        with self._engine.begin() as connection:
            if not connection.execute(gone).rowcount:
                raise NotFound(f"{subject} of {issuer} does not have the role {role}")

    def all(self) -> tuple[Duty, ...]:
        """Every role of everybody, by person."""
        wanted = sa.select(ROLES).order_by(ROLES.c.issuer, ROLES.c.subject, ROLES.c.role)
        with self._engine.begin() as connection:
            return tuple(Duty(row.subject, row.issuer, Role(row.role), row.granted_at) for row in connection.execute(wanted))
