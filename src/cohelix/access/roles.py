"""Who has which role, and what for: duties that an operator gives to people of an issuer, in SQL. None of them opens data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from cohelix.access.actor import Role
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadUsage, NotFound
from cohelix.db.tables import ROLE_SCOPES, ROLES

# What a role is for, where it is for something: a committee, a country, an organisation, a member's data.
SCOPE_OF: Final = {
    Role.DAC_MEMBER: "authority",
    Role.DAC_CHAIR: "authority",
    Role.NATIONAL_COORDINATION_POINT: "country",
    Role.SIGNING_OFFICIAL: "organisation",
    Role.DATA_HOLDER: "node",
}


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

    def grant_for(self, role: Role, what: str, subject: str, issuer: str) -> None:
        """Give a role for something: a committee's id, a country's code, an organisation's name, a member's id.

        Raises
        ------
        BadUsage
            If the role is for nothing in particular, or no name is given.
        """
        kind = SCOPE_OF.get(role)
        if kind is None or not 0 < len(what) <= 300:
            for_what = ", ".join(f"{one}: {name}" for one, name in SCOPE_OF.items())
            raise BadUsage(f"the role {role} is not for one thing in particular; these are: {for_what}")
        self.grant(role, subject, issuer)
        row = {"issuer": issuer, "subject": subject, "role": role.value, "scope": f"{kind}:{what}"}
        named = sa.and_(*(ROLE_SCOPES.c[name] == value for name, value in row.items()))
        with self._engine.begin() as connection:
            if connection.execute(sa.select(ROLE_SCOPES.c.scope).where(named)).first() is None:
                connection.execute(ROLE_SCOPES.insert().values(**row))

    def scopes(self, subject: str, issuer: str) -> frozenset[tuple[Role, str]]:
        """What a person's roles are for: role and name."""
        wanted = sa.select(ROLE_SCOPES.c.role, ROLE_SCOPES.c.scope).where(
            ROLE_SCOPES.c.issuer == issuer, ROLE_SCOPES.c.subject == subject
        )
        with self._engine.begin() as connection:
            return frozenset((Role(row.role), row.scope.partition(":")[2]) for row in connection.execute(wanted))

    def revoke(self, role: Role, subject: str, issuer: str) -> None:
        """Take a role back; `NotFound` where the person does not have it."""
        scopes = ROLE_SCOPES.delete().where(
            ROLE_SCOPES.c.issuer == issuer, ROLE_SCOPES.c.subject == subject, ROLE_SCOPES.c.role == role.value
        )
        gone = ROLES.delete().where(ROLES.c.issuer == issuer, ROLES.c.subject == subject, ROLES.c.role == role.value)
        with self._engine.begin() as connection:
            connection.execute(scopes)
            if not connection.execute(gone).rowcount:
                raise NotFound(f"{subject} of {issuer} does not have the role {role}")

    def all(self) -> tuple[Duty, ...]:
        """Every role of everybody, by person."""
        wanted = sa.select(ROLES).order_by(ROLES.c.issuer, ROLES.c.subject, ROLES.c.role)
        with self._engine.begin() as connection:
            return tuple(Duty(row.subject, row.issuer, Role(row.role), row.granted_at) for row in connection.execute(wanted))
