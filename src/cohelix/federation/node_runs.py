"""What a node keeps of the runs that it takes part in: durable, so that it goes on after any kill with the same answers.

Files of a run lie in `runs/<run>/` of the node's folder, for the owner alone, and go when the run ends: they hold the key of
the run and people's traits. What must never happen twice (another roster, another sum of the same block) is in the node's
database, and stays: a run that has ended never begins again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import orjson
import sqlalchemy as sa
from pydantic import Field, ValidationError

from cohelix.analysis.variants import VariantList
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import Damaged, Deviation, NotPermitted
from cohelix.db import reading, serialised
from cohelix.db.tables import NODE_RUNS, NODE_SIGNED
from cohelix.federation.roster import HUB, Acceptance, FrozenRoster, check_only_roster
from cohelix.federation.worker import ASKS, DERIVED, LOCAL, OWN_FILE, ask_file, forget
from cohelix.wire.analysis import HeldVisa, Refusal, Terms
from cohelix.wire.frequency import Wire
from cohelix.wire.plan import Plan, parse_plan

FOLDER = "runs"
_RECORD, _SESSION, _ROSTER, _FIRST, _VARIANTS = "run.json", "session.key", "roster.json", "first.json", "variants.arrow"
_KEPT = ".kept"
_ASKED = "asked"
# A hub may still be asking at the deadline; after so long what is left of a run goes even where it never said `end`.
_AFTER_DEADLINE = timedelta(hours=1)


class RunRecord(Wire):
    """What the node decided when it was asked to take part.

    `versions` are the frozen ones of its datasets, `people` how many it brings, `booked_to` the project that its ledger
    books them to (empty: the plan's), `visas` those of the proposer that it rests on.
    """

    run: str
    plan: dict[str, Any]
    plan_hash: str
    deadline: str
    acceptance: Acceptance
    terms: Terms
    refusal: Refusal | None = None
    versions: dict[str, int] = Field(default_factory=dict)
    people: int = 0
    booked_to: str = ""
    visas: tuple[HeldVisa, ...] = ()

    @property
    def project(self) -> str:
        """The project that the ledger books the run to."""
        return self.booked_to or str(self.parsed_plan().project)

    def parsed_plan(self) -> Plan:
        """The plan."""
        return parse_plan(self.plan)


class RunFolder:
    """The files of one run; each is there whole or not at all, and never another one afterwards."""

    def __init__(self, path: Path, record: RunRecord) -> None:
        self.path, self.record = path, record
        self._frozen: FrozenRoster | None = None
        self._n_variants: int | None = None

    @property
    def local(self) -> Path:
        """Where the node's part of the study lies (`analysis.local.prepare`)."""
        return self.path / LOCAL

    @property
    def variants(self) -> Path:
        """The run's list of variants, once it is whole."""
        return self.path / _VARIANTS

    def n_variants(self) -> int:
        """How long the list of variants is."""
        if self._n_variants is None:
            self._n_variants = len(VariantList.open(self.variants))
        return self._n_variants

    def session(self) -> bytes:
        """The private key of this run."""
        return self._read(_SESSION)

    def frozen(self) -> FrozenRoster | None:
        """The roster that this node computes or adds up for; None before it was told."""
        if self._frozen is None:
            try:
                self._frozen = FrozenRoster.model_validate_json((self.path / _ROSTER).read_bytes())
            except FileNotFoundError:
                return None
            except ValidationError as error:
                raise Damaged("the run's roster is not what was written", path=str(self.path / _ROSTER)) from error
        return self._frozen

    def freeze(self, frozen: FrozenRoster, own: Mapping[str, Any]) -> None:
        """Keep the checked roster, and what the steps are told of this node."""
        write_private(self.path / OWN_FILE, orjson.dumps(own))
        write_private(self.path / _ROSTER, frozen.model_dump_json().encode())

    def pooled_people(self) -> int | None:
        """How many people take part over all nodes; None before this was checked."""
        try:
            return int(orjson.loads((self.path / _FIRST).read_bytes())["people"])
        except FileNotFoundError:
            return None

    def keep_pooled_people(self, people: int) -> None:
        """Remember the first sum, which this node has checked."""
        write_private(self.path / _FIRST, orjson.dumps({"people": people}))

    def ask(self, number: int) -> bytes | None:
        """An ask as it was told, if it was."""
        try:
            return ask_file(self.path, number).read_bytes()
        except FileNotFoundError:
            return None

    def check_ask(self, number: int, packed: bytes) -> bool:
        """Whether the ask was told before; `Deviation` `second-ask` where it was another one."""
        told = self.ask(number)
        if told is not None and told != packed:
            raise Deviation("second-ask", "another question was told under this number before", HUB)
        return told is not None

    def keep_ask(self, number: int, packed: bytes, *, lasting: bool, derived: bytes | None = None) -> None:
        """Keep an ask; a `lasting` one changes the node's data for all later ones.

        Parameters
        ----------
        derived
            What the node has derived, and computes with: it may differ from what was told in last digits.

        Raises
        ------
        Deviation
            `second-ask` where another was told under this number.
        """
        place = ask_file(self.path, number)
        if self.check_ask(number, packed):
            return
        place.parent.mkdir(mode=0o700, exist_ok=True)
        if lasting:
            write_private(place.with_name(place.name + _KEPT), b"")
        if derived is not None and derived != packed:
            write_private(place.with_name(place.name + DERIVED), derived)
        write_private(place, packed)

    def lasting_asks(self, before: int) -> tuple[int, ...]:
        """Numbers of the asks before this one that changed the node's data."""
        found = sorted(int(one.name.removesuffix(_KEPT)) for one in (self.path / ASKS).glob(f"*{_KEPT}"))
        return tuple(number for number in found if number < before and ask_file(self.path, number).exists())

    def _read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            raise Damaged(f"the run's {name} is gone", path=str(self.path / name)) from None


class NodeRuns:
    """The runs of a node.

    Parameters
    ----------
    folder
        The node's.
    engine
        Gives the node's database; asked when it is first needed.
    """

    def __init__(self, folder: Path, engine: Callable[[], sa.Engine], *, clock: Clock | None = None) -> None:
        self._folder = folder / FOLDER
        self._engine = engine
        self._clock = clock or SystemClock()
        self._known: dict[str, RunFolder] = {}

    def begin(self, record: RunRecord, session: bytes) -> RunFolder:
        """Keep what was decided of a run; the same run again gives what was kept first.

        Raises
        ------
        NotPermitted
            If the run has ended here.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with self._turn(record.run) as (connection, row):
            if row is None:
                values = {"run": record.run, "plan_hash": record.plan_hash, "deadline": record.deadline}
                connection.execute(sa.insert(NODE_RUNS).values(**values))
            elif row.ended is not None:
                raise NotPermitted("this run has ended")
            path = self._folder / record.run
            if not (path / _RECORD).exists():
                path.mkdir(mode=0o700, exist_ok=True)
                write_private(path / _SESSION, session)
                write_private(path / _RECORD, record.model_dump_json().encode())
        found = self.find(record.run)
        assert found is not None
        return found

    def find(self, run: str) -> RunFolder | None:
        """A run that this node takes part in, or None."""
        path = self._folder / run
        known = self._known.get(run)
        if known is not None and (path / _RECORD).exists():
            return known
        try:
            record = RunRecord.model_validate_json((path / _RECORD).read_bytes())
        except FileNotFoundError:
            self._known.pop(run, None)
            return None
        except ValidationError as error:
            raise Damaged("the record of a run is not what was written", path=str(path)) from error
        self._known[run] = RunFolder(path, record)
        return self._known[run]

    def running(self, run: str) -> RunFolder:
        """A run that this node takes part in now.

        Raises
        ------
        NotPermitted
            If it does not, or has left, or the run's time is over.
        """
        return self.standing(run)[0]

    def standing(self, run: str) -> tuple[RunFolder, Refusal | None]:
        """A run that this node accepted and that is not over, and why the node has left it, if it has.

        Raises
        ------
        NotPermitted
            As of `running`.
        """
        found = self.find(run)
        with self._reading() as connection:
            row = connection.execute(sa.select(NODE_RUNS).where(NODE_RUNS.c.run == run)).first()
        if row is None:
            raise NotPermitted("this node does not take part in the run")
        if row.ended is not None or found is None:
            raise NotPermitted("this run has ended here")
        if self._clock.now() > datetime.fromisoformat(found.record.deadline):
            raise NotPermitted("the run's time is over")
        return found, None if row.left is None else Refusal.model_validate_json(row.left)

    def refusal(self, run: str) -> Refusal | None:
        """Why the node has left a run, if it has."""
        with self._reading() as connection:
            left = connection.execute(sa.select(NODE_RUNS.c.left).where(NODE_RUNS.c.run == run)).scalar()
        return None if left is None else Refusal.model_validate_json(left)

    def leave(self, run: str, refusal: Refusal) -> None:
        """Take no further part in a run."""
        with self._turn(run) as (connection, _row):
            change = sa.update(NODE_RUNS).where(NODE_RUNS.c.run == run, NODE_RUNS.c.left.is_(None))
            connection.execute(change.values(left=refusal.model_dump_json()))

    def earlier_roster(self, run: str) -> str | None:
        """Hash of the roster that was signed or accepted in this run before."""
        with self._reading() as connection:
            return connection.execute(sa.select(NODE_RUNS.c.roster).where(NODE_RUNS.c.run == run)).scalar()

    def settle_roster(self, run: str, roster_hash: str) -> None:
        """Sign or accept this roster and no other; durable when it returns.

        Raises
        ------
        Deviation
            `second-roster`.
        """
        with self._turn(run) as (connection, row):
            if row is None or row.ended is not None:
                raise NotPermitted("this run has ended here")
            check_only_roster(roster_hash, row.roster)
            connection.execute(sa.update(NODE_RUNS).where(NODE_RUNS.c.run == run).values(roster=roster_hash))

    def signed(self, run: str, kind: Literal["header", "partial"], ask: int, block: int) -> str | None:
        """The document that this node signed for a block before, as JSON."""
        with self._reading() as connection:
            return connection.execute(sa.select(NODE_SIGNED.c.document).where(*_key(run, kind, ask, block))).scalar()

    def keep_signed(
        self, run: str, kind: Literal["header", "partial"], ask: int, block: int, document: str, *, asked: str | None = None
    ) -> None:
        """Keep what was signed for a block, before it leaves; durable when it returns.

        Parameters
        ----------
        asked
            Name of the step and digest of the ask, kept for ever with its first block.

        Raises
        ------
        Deviation
            `second-data` where something else was signed for it before.
        """
        with self._turn(run) as (connection, row):
            if row is None or row.ended is not None:
                raise NotPermitted("this run has ended here")
            known = connection.execute(sa.select(NODE_SIGNED.c.document).where(*_key(run, kind, ask, block))).scalar()
            if known is None:
                values = {"run": run, "kind": kind, "ask": ask, "block": block, "document": document}
                connection.execute(sa.insert(NODE_SIGNED).values(**values))
                if asked is not None and block == 0:
                    connection.execute(sa.insert(NODE_SIGNED).values(**{**values, "kind": _ASKED, "document": asked}))
            elif known != document:
                raise Deviation("second-data", "something else was signed for this block before")

    def asked(self, run: str) -> list[tuple[int, str, str]]:
        """What the node has answered in a run, for ever: numbers of the asks, their digests, and the steps' names."""
        with self._reading() as connection:
            c = NODE_SIGNED.c
            rows = connection.execute(sa.select(c.ask, c.document).where(c.run == run, c.kind == _ASKED).order_by(c.ask)).all()
        return [(ask, *document.split(" ", 1)) for ask, document in rows]

    def end(self, run: str, outcome: str) -> None:
        """Note that a run is over, and delete what was kept for it, its key first."""
        with self._turn(run) as (connection, row):
            if row is None:
                return
            if row.ended is None:
                connection.execute(sa.update(NODE_RUNS).where(NODE_RUNS.c.run == run).values(ended=outcome))
            over = NODE_SIGNED.c.run == run, NODE_SIGNED.c.kind != _ASKED
            connection.execute(sa.delete(NODE_SIGNED).where(*over))
        self._known.pop(run, None)
        self._delete(self._folder / run)

    def clear(self) -> None:
        """Delete what is left of runs that have ended, or whose time has long been over."""
        for path in sorted(self._folder.glob("*")):
            with self._reading() as connection:
                row = connection.execute(sa.select(NODE_RUNS).where(NODE_RUNS.c.run == path.name)).first()
            if row is None or row.ended is not None:
                self._delete(path)
            elif self._clock.now() > datetime.fromisoformat(row.deadline) + _AFTER_DEADLINE:
                self.end(path.name, "expired")

    def count_running(self) -> int:
        """How many runs are under way here."""
        return sum((path / _RECORD).exists() for path in self._folder.glob("*"))

    def _delete(self, path: Path) -> None:
        (path / _SESSION).unlink(missing_ok=True)
        forget(path)
        shutil.rmtree(path, ignore_errors=True)

    def _reading(self) -> sa.Connection:
        return reading(self._engine()).connect()

    @contextmanager
    def _turn(self, run: str) -> Iterator[tuple[sa.Connection, Any]]:
        """A transaction on one run at a time, and the run's row."""
        with self._engine().begin() as connection:
            serialised(connection, f"node-run/{run}")
            yield connection, connection.execute(sa.select(NODE_RUNS).where(NODE_RUNS.c.run == run)).first()


def write_private(path: Path, content: bytes) -> None:
    """Write a file for its owner alone, whole or not at all, on the disk when this returns."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _key(run: str, kind: str, ask: int, block: int) -> tuple[sa.ColumnElement[bool], ...]:
    c = NODE_SIGNED.c
    return c.run == run, c.kind == kind, c.ask == ask, c.block == block
