"""What each project has been told at this node: its cohorts, and so which further cohort would tell of a few people.

One project's analyses, cohort counts and Beacon counts share the ledger. Checking and booking are one transaction, ended before
the answer leaves: after a crash between the two, what was booked counts as told. People are lasting numbers of keyed hashes of
their names; without the key, `identity/ledger.key`, nobody can tell who is who.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import sqlalchemy as sql
from pyroaring import BitMap

from cohelix.core.arrays import FloatArray, IntArray
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import Conflict, Damaged
from cohelix.db import serialised
from cohelix.db.tables import (
    LEDGER_ENTRIES,
    LEDGER_NAMES,
    LEDGER_PROOFS,
    LEDGER_REFUSALS,
    LEDGER_ROWS,
    LEDGER_TRAITS,
)
from cohelix.disclosure.analysis import AnalysisPolicy, RuleName, Verdict, refused_by
from cohelix.disclosure.combinations import Combinations, Row

SUMS_FLOOR: Final = 3  # DataSHIELD's third of a parameter for each person, read for every combination and whom it is about
MEMBERS_MIN: Final = 3  # no combination of a project's runs is about fewer members than a sum may be opened of
_KEY_FILE: Final = "ledger.key"
_NAME = np.dtype([("digest", "<u8"), ("person", "<u4")])


@dataclass(frozen=True)
class Entry:
    """What is about to be told to a project.

    Attributes
    ----------
    project
        Who asks.
    kind
        `analysis`, `count` or `beacon`.
    sets
        People of each set that sums or counts are about, by lasting numbers (`Ledger.people`): `cohort` first, then cases and
        controls, and the levels of every covariate or trait that has few values.
    question
        The run. Of a count nothing: it is named by its sets.
    columns
        Covariates and traits, each (people of the cohort, ascending) float64: sums over the cohort are told with these weights.
    public
        People of whom everybody is told anyway: each row of the frequencies of the datasets' releases.
    traits
        What is charged (`analysis.charged_traits`); none for a count.
    releases
        Version and release of each dataset.
    """

    project: str
    kind: str
    sets: Mapping[str, BitMap]
    question: str = ""
    columns: Sequence[FloatArray] = ()
    public: Sequence[BitMap] = ()
    traits: Sequence[str] = ()
    releases: Mapping[str, str] = field(default_factory=dict)


class Ledger:
    """The ledger of a node.

    Parameters
    ----------
    engine
        The node's database (`db.open_database`); several processes may use it at a time.
    key
        32 secret bytes under which people are hashed.
    """

    def __init__(self, engine: sql.Engine, key: bytes, *, clock: Clock | None = None) -> None:
        self._engine, self._key, self._clock = engine, key, clock or SystemClock()
        self._known: dict[str, tuple[int, Combinations]] = {}

    def people(self, names: Sequence[Sequence[str]]) -> IntArray:
        """(people,) int64: the lasting number of everybody by names; two of the same call never share one.

        Each person has one or more names that are unique within the node: the individual's id first, then those of genotype
        columns (with their dataset). Who is known by any of them keeps the number; new names are remembered with it.
        """
        owner = np.repeat(np.arange(len(names)), [len(of_person) for of_person in names])
        flat = (name for of_person in names for name in of_person)
        digests = np.fromiter((self._digest(name) for name in flat), np.uint64, len(owner))
        with self._turn("") as connection:
            parts = connection.execute(sql.select(LEDGER_NAMES.c.names).order_by(LEDGER_NAMES.c.part)).scalars().all()
            known = np.concatenate([np.empty(0, _NAME), *(np.frombuffer(part, _NAME) for part in parts)])
            known = known[np.argsort(known["digest"], kind="stable")]
            found = np.full(len(owner), -1, np.int64)
            if len(known):
                at = np.minimum(np.searchsorted(known["digest"], digests), len(known) - 1)
                hit = known["digest"][at] == digests
                found[hit] = known["person"][at[hit]]
            numbers = _numbers(owner, found, len(names), following=int(known["person"].max()) + 1 if len(known) else 0)
            new = np.flatnonzero(found < 0)
            if new.size:
                more = np.empty(len(new), _NAME)
                more["digest"], more["person"] = digests[new], numbers[owner[new]]
                connection.execute(sql.insert(LEDGER_NAMES).values(part=len(parts), names=more.tobytes()))
        return numbers

    def check(self, entry: Entry, policy: AnalysisPolicy) -> Verdict:
        """What `book` would say now; nothing is booked but a refusal, which is an answer, too."""
        return self._decide(entry, policy, book=False)

    def book(self, entry: Entry, policy: AnalysisPolicy) -> Verdict:
        """Book what is about to be told, or refuse it; durable when it returns.

        Refuses by `ledger` where a combination of the sets that the project has been told about, with these, would be about
        1…k − 1 people, where one of weighted sums would be about one or two, or where the sets would be too many; by
        `refusals` after too many such refusals, each of which tells a little; by `traits` where it would have asked too many
        traits of one cohort. What was booked before is accepted.
        """
        return self._decide(entry, policy, book=True)

    def book_members(self, project: str, question: str, members: Sequence[str]) -> Verdict:
        """Book with whom a booked analysis is opened, or refuse it.

        Two runs with the same people of this node and one or two members more or less would tell of those alone; so no
        combination of the sets of members of a project's runs over one cohort may be about fewer than three.

        Raises
        ------
        Conflict
            If the run was not booked.
        """
        with self._turn(project) as connection:
            sets = _found(connection, LEDGER_ENTRIES.c.sets, project, question)
            if not sets:
                raise Conflict("the ledger has no entry of this run")
            scope = f"{project}/members/{next(iter(sets.values()))}"
            numbers = BitMap(int.from_bytes(hashlib.blake2b(one.encode(), digest_size=4).digest()) for one in members)
            admission = self._combinations(connection, scope, MEMBERS_MIN).admit(Row(numbers))
            if len(numbers) < MEMBERS_MIN or admission.standing == "refused":
                return refused_by("participants")
            self._keep(connection, scope, admission.after)
        return Verdict(True, "", "", "guarded")

    def refuse(self, entry: Entry, policy: AnalysisPolicy, verdict: Verdict) -> Verdict:
        """Book that another rule refuses, where that tells of a few people; `refusals` once it has been so too often."""
        with self._turn(entry.project) as connection:
            if self._refusals(connection, entry.project) >= policy.refusals_max:
                return refused_by("refusals")
            self._note_refusal(connection, entry)
        return verdict

    def note_leave(self, project: str, run: str) -> None:
        """Count that the node left a run because of one of its own figures: that tells a little, as a refusal does."""
        with self._turn(project) as connection:
            if _found(connection, LEDGER_REFUSALS.c.question, project, f"left/{run}") is None:
                connection.execute(sql.insert(LEDGER_REFUSALS).values(project=project, question=f"left/{run}"))

    def forgive(self, project: str) -> None:
        """Forget a project's refusals, as when the operator allows it again; what it was told stays booked."""
        with self._turn(project) as connection:
            connection.execute(sql.delete(LEDGER_REFUSALS).where(LEDGER_REFUSALS.c.project == project))

    def _decide(self, entry: Entry, policy: AnalysisPolicy, *, book: bool) -> Verdict:
        told = {name: _set_digest(people) for name, people in entry.sets.items()}
        question, accepted = entry.question or f"{entry.kind}/{_sets_digest(entry)}", Verdict(True, "", "", "guarded")
        with self._turn(entry.project) as connection:
            before = _found(connection, LEDGER_ENTRIES.c.sets, entry.project, question)
            if before is not None and before != told:
                raise Conflict("this run was booked with other people: their data have changed since")
            if before is not None:
                return accepted
            rule, sets, sums = self._refusal(connection, entry, policy, told)
            if rule == "ledger":
                self._note_refusal(connection, entry)
            if rule is not None:
                return refused_by(rule)
            if not book:
                return accepted
            self._keep(connection, _sets_of(entry.project), sets)
            self._keep(connection, _sums_of(entry.project), sums)
            self._charge(connection, entry, told)
            row = {"project": entry.project, "question": question, "kind": entry.kind, "sets": told}
            row |= {"releases": dict(entry.releases), "at": self._clock.now().isoformat(timespec="milliseconds")}
            connection.execute(sql.insert(LEDGER_ENTRIES).values(**row))
        self._known[_sets_of(entry.project)] = (len(sets.rows), sets)
        self._known[_sums_of(entry.project)] = (len(sums.rows), sums)
        return accepted

    def _refusal(
        self, connection: sql.Connection, entry: Entry, policy: AnalysisPolicy, told: Mapping[str, str]
    ) -> tuple[RuleName | None, Combinations, Combinations]:
        """The rule that refuses, if any; the sets and the sums that the project would have been told after this entry."""
        sets = now = self._combinations(connection, _sets_of(entry.project), policy.difference_min)
        sums = before = self._combinations(connection, _sums_of(entry.project), SUMS_FLOOR)
        rows = [Row(people) for people in (*entry.public, *entry.sets.values())]
        for number, row in enumerate(rows):
            standing, sets = sets.admit(row)
            public = number < len(entry.public)
            if standing != "known" and not public and self._refusals(connection, entry.project) >= policy.refusals_max:
                return "refusals", now, before
            if standing == "refused":
                return "ledger", now, before
        everybody = BitMap.union(*(row.people for row in sets.rows)) if sets.rows else BitMap()
        if len(sets.rows) > len(now.rows) and len(sets.rows) > len(entry.public) + policy.sets_share_max * len(everybody):
            return "ledger", now, before
        if entry.traits and self._too_many_traits(connection, entry, policy, next(iter(told.values()))):
            return "traits", now, before
        cohort = next(iter(entry.sets.values()))
        for row in (*rows, *(Row.weighted(cohort, values) for values in entry.columns)):
            standing, sums = sums.admit(row)
            if standing == "refused":
                return "ledger", now, before
        return None, sets, sums

    def _too_many_traits(self, connection: sql.Connection, entry: Entry, policy: AnalysisPolicy, cohort: str) -> bool:
        asked = self._asked(connection, entry.project, cohort)
        wanted = asked | {_text_digest(name) for name in entry.traits}
        n_people = len(next(iter(entry.sets.values())))
        return len(wanted) > len(asked) and len(wanted) > policy.traits_share_max * n_people

    def _charge(self, connection: sql.Connection, entry: Entry, told: Mapping[str, str]) -> None:
        if not entry.traits:
            return
        cohort = next(iter(told.values()))
        new = {_text_digest(name) for name in entry.traits} - self._asked(connection, entry.project, cohort)
        if new:
            rows = [{"project": entry.project, "cohort": cohort, "trait": trait} for trait in sorted(new)]
            connection.execute(sql.insert(LEDGER_TRAITS), rows)

    def _asked(self, connection: sql.Connection, project: str, cohort: str) -> set[str]:
        wanted = sql.select(LEDGER_TRAITS.c.trait).where(LEDGER_TRAITS.c.project == project, LEDGER_TRAITS.c.cohort == cohort)
        return set(connection.execute(wanted).scalars())

    def _note_refusal(self, connection: sql.Connection, entry: Entry) -> None:
        digest = _sets_digest(entry)
        if _found(connection, LEDGER_REFUSALS.c.question, entry.project, digest) is None:
            connection.execute(sql.insert(LEDGER_REFUSALS).values(project=entry.project, question=digest))

    def _refusals(self, connection: sql.Connection, project: str) -> int:
        return _count(connection, LEDGER_REFUSALS.c.project, project)

    def _combinations(self, connection: sql.Connection, scope: str, floor: int) -> Combinations:
        """What was told in a scope, with its proof; made anew where a floor has been raised."""
        count = _count(connection, LEDGER_ROWS.c.scope, scope)
        known = self._known.get(scope)
        if known is not None and known[0] == count and known[1].floor == floor:
            return known[1]
        kept = sql.select(LEDGER_ROWS.c.people, LEDGER_ROWS.c.weights).where(LEDGER_ROWS.c.scope == scope)
        rows = [_row(*one) for one in connection.execute(kept.order_by(LEDGER_ROWS.c.number))]
        proof = connection.execute(
            sql.select(LEDGER_PROOFS.c.witnesses, LEDGER_PROOFS.c.floor).where(LEDGER_PROOFS.c.scope == scope)
        ).first()
        found: Combinations | None = Combinations.empty(floor)
        if proof is not None and proof.floor == floor:
            witnesses = np.frombuffer(proof.witnesses, np.uint32).astype(np.int64).reshape(floor, len(rows))
            found = Combinations.kept(rows, witnesses)
            if found is None:
                raise Damaged("the ledger's rows and their proof do not fit together")
        elif rows:
            found = Combinations.proved(rows, floor) or Combinations.closed(rows, floor)
        assert found is not None
        self._known[scope] = (count, found)
        return found

    def _keep(self, connection: sql.Connection, scope: str, after: Combinations) -> None:
        """Write down what is new in a scope."""
        count = _count(connection, LEDGER_ROWS.c.scope, scope)
        if len(after.rows) == count:
            return
        rows = [
            {
                "scope": scope,
                "number": at,
                "people": row.people.serialize(),
                "weights": None if row.weights is None else row.weights.tobytes(),
            }
            for at, row in enumerate(after.rows[count:], count)
        ]
        connection.execute(sql.insert(LEDGER_ROWS), rows)
        connection.execute(sql.delete(LEDGER_PROOFS).where(LEDGER_PROOFS.c.scope == scope))
        proof = {"scope": scope, "witnesses": after.witnesses.astype(np.uint32).tobytes(), "floor": after.floor}
        connection.execute(sql.insert(LEDGER_PROOFS).values(**proof))

    @contextmanager
    def _turn(self, project: str) -> Iterator[sql.Connection]:
        """One transaction at a time for each project, over all processes."""
        with self._engine.begin() as connection:
            serialised(connection, f"ledger/{project}")
            yield connection

    def _digest(self, name: str) -> int:
        raw = name.encode("utf-8", "surrogateescape")
        return int.from_bytes(hashlib.blake2b(raw, key=self._key, digest_size=8).digest(), "little")


def ledger_key(folder: Path) -> bytes:
    """The key of the ledger of the node in a folder, for the owner alone; made where there is none."""
    path = folder / "identity" / _KEY_FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        key = path.read_bytes()
        if len(key) != 32:
            raise Damaged("the ledger's key is not what was written", path=str(path)) from None
        return key
    with os.fdopen(descriptor, "wb") as file:
        key = secrets.token_bytes(32)
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return key


def _numbers(owner: IntArray, found: IntArray, people: int, *, following: int) -> IntArray:
    """Each person's number: that of the first name that is known, or a new one; two who claim the same do not share it."""
    numbers = np.full(people, -1, np.int64)
    hits = np.flatnonzero(found >= 0)[::-1]  # of several names of a person, the first is written last
    numbers[owner[hits]] = found[hits]
    first_name = np.concatenate([[True], owner[1:] != owner[:-1]]) if len(owner) else np.zeros(0, np.bool_)
    by_first = np.zeros(people, np.bool_)
    by_first[owner[first_name & (found >= 0)]] = True
    order = np.lexsort((np.arange(people), ~by_first, numbers))  # who claims a number by the first name goes first
    claimed = numbers[order]
    again = order[np.concatenate([[False], (claimed[1:] == claimed[:-1]) & (claimed[1:] >= 0)])] if people else order
    numbers[again] = -1
    new = np.flatnonzero(numbers < 0)
    numbers[new] = following + np.arange(len(new))
    return numbers


def _found(connection: sql.Connection, column: sql.Column[Any], project: str, question: str) -> Any:
    """A column of the row of this project and question, None if there is no such row."""
    keys = column.table.c
    return connection.execute(sql.select(column).where(keys.project == project, keys.question == question)).scalar()


def _count(connection: sql.Connection, column: sql.Column[Any], value: str) -> int:
    """How many rows of its table have this value in a column."""
    return int(connection.execute(sql.select(sql.func.count()).where(column == value)).scalar_one())


def _row(people: bytes, weights: bytes | None) -> Row:
    return Row(BitMap.deserialize(people), None if weights is None else np.frombuffer(weights, np.uint32))


def _sets_of(project: str) -> str:
    return f"{project}/"


def _sums_of(project: str) -> str:
    return f"{project}/sums"


def _set_digest(people: BitMap) -> str:
    return hashlib.sha256(np.frombuffer(people.to_array(), np.uint32).tobytes()).hexdigest()


def _sets_digest(entry: Entry) -> str:
    return _text_digest("/".join(_set_digest(people) for people in entry.sets.values()))


def _text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
