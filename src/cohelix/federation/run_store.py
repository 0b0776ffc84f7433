"""What a hub keeps of its runs: states, events, reviews and opened sums, so that a hub that was killed goes on where it stood.

States and events are rows; opened sums lie in files of the run's folder, one file for each ask, and a row says where. A sum
counts once its row is there, which is written after its bytes: what a crash cut off is simply asked again.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, RowMapping

from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import Conflict, Damaged, NotFound
from cohelix.db import serialised
from cohelix.db.tables import RUN_EVENTS, RUN_REVIEWS, RUN_SUMS, RUNS
from cohelix.federation.behalf import EVERYBODY, Behalf
from cohelix.federation.signing import Identity
from cohelix.federation.transport import MemberKeys, Transport, own_key
from cohelix.wire.analysis import ENDED, Review, RunEvent, RunState
from cohelix.wire.federation import Member

_EVENTS_MAX = 1000  # of one reading
_NEWEST_BLOCKS, _NEWEST_BYTES = 64, 32 << 20  # of opened sums, in memory beside the disk


@dataclass(frozen=True)
class StoredRun:
    """A run's row; `details` holds what it has settled so far. Times are RFC 3339, UTC."""

    id: str
    state: RunState
    plan: dict[str, Any]
    plan_hash: str
    proposed_at: str
    deadline: str
    reason: str | None = None
    ended_at: str | None = None
    cancel_wanted: bool = False
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self.state in ENDED


class RunStore:
    """The runs of one hub; safe to use from several processes and threads at once."""

    def __init__(self, engine: Engine, *, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = clock or SystemClock()

    def now(self) -> str:
        """The time as it is kept."""
        return time_text(self._clock.now())

    def close(self) -> None:
        """End the connections."""
        self._engine.dispose()

    def add(self, run: StoredRun, *, waiting_max: int) -> None:
        """Keep a new run; `Conflict` where as many as may wait are under way."""
        with self._engine.begin() as connection:
            serialised(connection, "runs")
            under_way = sa.select(sa.func.count()).select_from(RUNS).where(RUNS.c.state.not_in([*ENDED, "held"]))
            if connection.execute(under_way).scalar_one() >= waiting_max:
                raise Conflict("as many analyses as this hub takes are under way: try again when one has ended")
            row = {**run.__dict__, "plan": _text(run.plan), "details": _text(run.details)}
            connection.execute(sa.insert(RUNS), row)
            self._note(connection, run.id, "state", None, {"state": run.state})

    def get(self, run: str) -> StoredRun:
        """One run; `NotFound` if there is none of that id."""
        with self._engine.begin() as connection:
            return self._read(connection, run)

    def newest(self, limit: int) -> list[StoredRun]:
        """Runs, the newest first."""
        order = sa.select(RUNS).order_by(RUNS.c.proposed_at.desc(), RUNS.c.id).limit(limit)
        with self._engine.begin() as connection:
            return [_stored(row) for row in connection.execute(order).mappings()]

    def under_way(self) -> list[StoredRun]:
        """Runs that somebody must go on with, the oldest first."""
        chosen = sa.select(RUNS).where(RUNS.c.state.not_in([*ENDED, "held"])).order_by(RUNS.c.proposed_at, RUNS.c.id)
        with self._engine.begin() as connection:
            return [_stored(row) for row in connection.execute(chosen).mappings()]

    def count_held(self) -> int:
        """How many runs wait for the check of their output."""
        with self._engine.begin() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(RUNS).where(RUNS.c.state == "held")).scalar_one()

    def move(
        self, run: str, state: RunState, *, reason: str | None = None, details: Mapping[str, Any] | None = None
    ) -> StoredRun:
        """Bring a run into a state, with what was settled; a run that has ended stays as it is (`Conflict`)."""
        with self._engine.begin() as connection:
            serialised(connection, f"run {run}")
            known = self._read(connection, run)
            if known.ended:
                raise Conflict(f"the run has ended: it is {known.state}")
            ended_at = self.now() if state in ENDED else None
            values = {"state": state, "reason": reason, "ended_at": ended_at}
            changed = {**known.details, **(details or {})}
            connection.execute(sa.update(RUNS).where(RUNS.c.id == run).values(**values, details=_text(changed)))
            if state != known.state:
                self._note(connection, run, "state", None, {"state": state, **({"reason": reason} if reason else {})})
            return self._read(connection, run)

    def settle(self, run: str, **details: Any) -> None:
        """Keep what was settled of a run, beside what is known."""
        with self._engine.begin() as connection:
            serialised(connection, f"run {run}")
            known = self._read(connection, run)
            changed = _text({**known.details, **details})
            connection.execute(sa.update(RUNS).where(RUNS.c.id == run).values(details=changed))

    def cancel(self, run: str) -> StoredRun:
        """Ask that a run be cancelled; `Conflict` where it has ended or waits for its reviewers."""
        with self._engine.begin() as connection:
            serialised(connection, f"run {run}")
            known = self._read(connection, run)
            if known.ended or known.state == "held":
                raise Conflict(f"the run cannot be cancelled any more: it is {known.state}")
            connection.execute(sa.update(RUNS).where(RUNS.c.id == run).values(cancel_wanted=True))
            return self._read(connection, run)

    def note(self, run: str, event: str, *, node: str | None = None, **document: Any) -> None:
        """Write down that something happened in a run."""
        with self._engine.begin() as connection:
            serialised(connection, f"run {run}")
            self._note(connection, run, event, node, document)

    def events(self, run: str, after: int = 0) -> list[RunEvent]:
        """What happened in a run after the event of a number, in order."""
        chosen = (
            sa.select(RUN_EVENTS)
            .where(RUN_EVENTS.c.run == run, RUN_EVENTS.c.number > after)
            .order_by(RUN_EVENTS.c.number)
            .limit(_EVENTS_MAX)
        )
        with self._engine.begin() as connection:
            return [
                RunEvent(
                    number=row["number"],
                    at=row["at"],
                    event=row["event"],
                    node=row["node"],
                    document=orjson.loads(row["document"]),
                )
                for row in connection.execute(chosen).mappings()
            ]

    def reviews(self, run: str) -> list[Review]:
        """What reviewers have said, in the order of time."""
        with self._engine.begin() as connection:
            return _reviews(connection, run)

    def review(self, run: str, review: Review, *, needed: int) -> StoredRun:
        """Write down a reviewer's word on a held run: `needed` different reviewers release it, one refuses it.

        Raises
        ------
        Conflict
            If the run is not held, or this role has spoken already.
        """
        with self._engine.begin() as connection:
            serialised(connection, f"run {run}")
            known = self._read(connection, run)
            if known.state != "held":
                raise Conflict(f"the run is not held for review: it is {known.state}")
            said = _reviews(connection, run)
            if any(one.role == review.role for one in said):
                raise Conflict(f"{review.role} has reviewed this run already: another person must")
            row = {"run": run, "role": review.role, "decision": review.decision, "reason": review.reason, "at": review.at}
            connection.execute(sa.insert(RUN_REVIEWS), row)
            self._note(connection, run, "review", None, {"role": review.role, "decision": review.decision})
            released = review.decision == "release" and len(said) + 1 >= needed
            if review.decision == "refuse" or released:
                state: RunState = "released" if released else "refused"
                reason = None if released else f"refused by {review.role}: {review.reason}"
                values = {"state": state, "reason": reason, "ended_at": self.now()}
                connection.execute(sa.update(RUNS).where(RUNS.c.id == run).values(**values))
                self._note(connection, run, "state", None, {"state": state, **({"reason": reason} if reason else {})})
            return self._read(connection, run)

    def _read(self, connection: Connection, run: str) -> StoredRun:
        row = connection.execute(sa.select(RUNS).where(RUNS.c.id == run)).mappings().one_or_none()
        if row is None:
            raise NotFound(f"there is no analysis {run[:60]!r}")
        return _stored(row)

    def _note(self, connection: Connection, run: str, event: str, node: str | None, document: Mapping[str, Any]) -> None:
        last = sa.select(sa.func.coalesce(sa.func.max(RUN_EVENTS.c.number), 0)).where(RUN_EVENTS.c.run == run)
        number = connection.execute(last).scalar_one() + 1
        row = {"run": run, "number": number, "at": self.now(), "event": event, "node": node, "document": _text(document)}
        connection.execute(sa.insert(RUN_EVENTS), row)


class SumStore:
    """The opened sums of one run, by ask and block, with the digest of what was asked; one process writes them."""

    def __init__(self, engine: Engine, folder: Path, run: str) -> None:
        self._engine, self._folder, self._run = engine, folder / "sums", run
        self._lock = threading.Lock()
        self._kept: set[tuple[int, int]] | None = None
        self._newest: OrderedDict[tuple[int, int], tuple[str, bytes]] = OrderedDict()
        self._folder.mkdir(parents=True, exist_ok=True)

    def get(self, ask: int, block: int) -> tuple[str, bytes] | None:
        """The digest of what was asked and the packed opening; None where the block was not opened yet.

        Raises
        ------
        Damaged
            If the bytes are not those that were kept.
        """
        with self._lock:
            if self._kept is None:
                self._kept = set(self.blocks())
            if (ask, block) not in self._kept:
                return None
            if (ask, block) in self._newest:
                return self._newest[ask, block]
        here = (RUN_SUMS.c.run == self._run, RUN_SUMS.c.ask == ask, RUN_SUMS.c.block == block)
        with self._engine.begin() as connection:
            row = connection.execute(sa.select(RUN_SUMS).where(*here)).mappings().one_or_none()
        if row is None:
            return None
        path = self._path(ask)
        try:
            with path.open("rb") as file:
                file.seek(row["place"])
                body = file.read(row["length"])
        except OSError as error:
            raise Damaged(f"an opened sum cannot be read: {error.strerror}", path=str(path)) from None
        if hashlib.sha256(body).hexdigest() != row["sha256"]:
            raise Damaged("an opened sum is not what was kept", path=str(path))
        return row["asked"], body

    def blocks(self) -> list[tuple[int, int]]:
        """Ask and block of everything that is kept, in order."""
        chosen = sa.select(RUN_SUMS.c.ask, RUN_SUMS.c.block).where(RUN_SUMS.c.run == self._run)
        with self._engine.begin() as connection:
            return [(ask, block) for ask, block in connection.execute(chosen.order_by(RUN_SUMS.c.ask, RUN_SUMS.c.block))]

    def put(self, ask: int, block: int, asked: str, body: bytes) -> None:
        """Keep an opened block; it is on disk when this returns."""
        with self._lock:
            with self._path(ask).open("ab") as file:
                place = file.tell()
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            row = {"run": self._run, "ask": ask, "block": block, "asked": asked, "place": place}
            with self._engine.begin() as connection:
                digest = hashlib.sha256(body).hexdigest()
                connection.execute(sa.insert(RUN_SUMS), {**row, "length": len(body), "sha256": digest})
            if self._kept is not None:
                self._kept.add((ask, block))
            # What was opened last is forwarded to all contributors.
            self._newest[ask, block] = (asked, body)
            while len(self._newest) > _NEWEST_BLOCKS or sum(len(one) for _, one in self._newest.values()) > _NEWEST_BYTES:
                self._newest.popitem(last=False)

    def _path(self, ask: int) -> Path:
        return self._folder / f"{ask:06d}"


@dataclass(frozen=True)
class Stagehands:
    """What every run needs: the store, the road to members, the hub's identity, how long members may take to accept, and on
    whose behalf a run was proposed."""

    store: RunStore
    sums: Callable[[str], SumStore]
    transport: Transport
    identity: Identity
    members: Callable[[], Sequence[Member]]
    folder: Path
    clock: Clock
    open_seconds: float
    aggregators: tuple[str, ...]
    keys: MemberKeys = own_key
    behalf: Callable[[str], Behalf] = lambda _run: EVERYBODY


def time_text(moment: datetime) -> str:
    """A time as it is kept and told: RFC 3339, UTC, milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(document: Any) -> str:
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode()


def _stored(row: RowMapping) -> StoredRun:
    return StoredRun(**{**row, "plan": orjson.loads(row["plan"]), "details": orjson.loads(row["details"])})


def _reviews(connection: Connection, run: str) -> list[Review]:
    chosen = (
        connection.execute(sa.select(RUN_REVIEWS).where(RUN_REVIEWS.c.run == run).order_by(RUN_REVIEWS.c.at)).mappings().all()
    )
    return [Review(role=one["role"], decision=one["decision"], reason=one["reason"], at=one["at"]) for one in chosen]
