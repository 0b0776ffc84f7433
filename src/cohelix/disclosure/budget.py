"""What each registered person has learned of each dataset, kept in SQL: a question is paid for before its answer leaves.

A refusal must not tell anything itself. So everybody in a dataset pays the same for a question, by a price that follows from
the told counts (`membership.price`); one account for each person who asks and each dataset stands for all people in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

import sqlalchemy as sql

from cohelix.core.clock import Clock, SystemClock
from cohelix.db import reading, serialised
from cohelix.db.tables import BUDGET_ACCOUNTS, BUDGET_CHARGES
from cohelix.disclosure.membership import (
    ORGANISATION_POWER_MAX,
    REGISTERED_POWER_MAX,
    Item,
    power_of_spending,
    spending_at,
)

BUDGET_SPENT: Final = "budget-spent"
_SPENT = (
    f"{BUDGET_SPENT}: what you have been told of this dataset would, with this answer, tell who is in it; what was answered "
    "before is answered again, and a visa of its data access committee opens the rest"
)
_ORGANISATION_SPENT = (
    f"{BUDGET_SPENT}: what people of your organisation have been told of this dataset would, with this answer, tell who is in "
    "it; what was answered to you before is answered again, and a visa of its data access committee opens the rest"
)


class Account(NamedTuple):
    """What somebody has been told of a dataset: independent variants for each person of it, and the power of that."""

    spent: float
    power: float


class Budget:
    """The accounts of a node. Safe for many threads and for several processes on one database.

    Parameters
    ----------
    engine
        The node's database (`db.open_database`).
    key
        Secret bytes under which people and questions are hashed: the database names neither.
    """

    def __init__(self, engine: sql.Engine, key: bytes, *, clock: Clock | None = None) -> None:
        self._engine, self._key, self._clock = engine, key, clock or SystemClock()

    def charge(
        self,
        actor: str,
        dataset: str,
        release: str,
        items: Sequence[Item],
        n_people: int,
        *,
        organisations: Sequence[str] = (),
        linked: Sequence[str] = (),
    ) -> str | None:
        """Pay for what is about to be told; durable when it returns. All of it, or nothing.

        Parameters
        ----------
        actor
            Who asks: issuer and subject.
        dataset, release
            What is asked. The same item of the same release costs nothing again; of a later release it tells anew.
        items
            What the answer tells, and what it withholds.
        n_people
            How many people the counts are about.
        organisations
            Domains that the person belongs to. Each has an account, which pays for what it has not been told yet.
        linked
            Other identities of the same person. Each account pays, and each must hold what it pays: together they learn no
            more than one.

        Returns
        -------
        None if it is paid; else the reason, `budget-spent: …`, and nothing was paid.
        """
        names = {self._digest(release, item.name): item.price / max(n_people, 1) for item in items}
        who = self._digest("person", actor)
        payers = [(who, spending_at(REGISTERED_POWER_MAX), _SPENT)]
        payers += [
            (self._digest("person", name), spending_at(REGISTERED_POWER_MAX), _SPENT) for name in sorted({*linked} - {actor})
        ]
        payers += [
            (self._digest("organisation", name), spending_at(ORGANISATION_POWER_MAX), _ORGANISATION_SPENT)
            for name in sorted(set(organisations))
        ]
        with self._turn(dataset) as connection:
            known = self._paid(connection, who, dataset, list(names))
            if len(known) == len(names):
                return None
            new: list[tuple[str, dict[str, float], float]] = []
            for payer, most, reason in payers:
                paid = known if payer == who else self._paid(connection, payer, dataset, list(names))
                owed = {name: cost for name, cost in names.items() if name not in paid}
                spent = self._spent(connection, payer, dataset) + sum(owed.values())
                if owed and spent > most:
                    return reason
                new.append((payer, owed, spent))
            for payer, owed, spent in new:
                self._pay(connection, payer, dataset, owed, spent)
        return None

    def account(self, actor: str, dataset: str) -> Account:
        """What a person has been told of a dataset so far."""
        with reading(self._engine).connect() as connection:
            spent = self._spent(connection, self._digest("person", actor), dataset)
        return Account(spent, power_of_spending(spent))

    def left(self, actor: str, dataset: str) -> float:
        """The share of a person's own budget of a dataset that is left, 0 to 1; an organisation's may end before."""
        return max(0.0, 1.0 - self.account(actor, dataset).spent / spending_at(REGISTERED_POWER_MAX))

    @contextmanager
    def _turn(self, dataset: str) -> Iterator[sql.Connection]:
        """One payment at a time for each dataset, over all processes."""
        with self._engine.begin() as connection:
            serialised(connection, f"budget/{dataset}")
            yield connection

    @staticmethod
    def _paid(connection: sql.Connection, payer: str, dataset: str, names: list[str]) -> set[str]:
        table = BUDGET_CHARGES
        found: set[str] = set()
        for start in range(0, len(names), 500):
            wanted = table.c.item.in_(names[start : start + 500])
            query = sql.select(table.c.item).where(table.c.payer == payer, table.c.dataset == dataset, wanted)
            found.update(connection.execute(query).scalars())
        return found

    @staticmethod
    def _spent(connection: sql.Connection, payer: str, dataset: str) -> float:
        table = BUDGET_ACCOUNTS
        query = sql.select(table.c.spent).where(table.c.payer == payer, table.c.dataset == dataset)
        return float(connection.execute(query).scalar() or 0.0)

    def _pay(self, connection: sql.Connection, payer: str, dataset: str, owed: dict[str, float], spent: float) -> None:
        if not owed:
            return
        connection.execute(
            sql.insert(BUDGET_CHARGES),
            [{"payer": payer, "dataset": dataset, "item": name, "cost": cost} for name, cost in owed.items()],
        )
        table, at = BUDGET_ACCOUNTS, self._clock.now().isoformat(timespec="seconds")
        here = sql.and_(table.c.payer == payer, table.c.dataset == dataset)
        if not connection.execute(sql.update(table).where(here).values(spent=spent, at=at)).rowcount:
            connection.execute(sql.insert(table).values(payer=payer, dataset=dataset, spent=spent, at=at))

    def _digest(self, *parts: str) -> str:
        raw = "\x00".join(parts).encode("utf-8", "surrogateescape")
        return hashlib.blake2b(raw, key=self._key[:64], digest_size=20).hexdigest()
