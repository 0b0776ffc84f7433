"""The audit log that servers and commands write to: one thread of each process commits what came together as one group.

Two roads (rule 12 of the interface). Who waits gets through only when the entry is on disk, or is refused with
`AuditUnavailable`; public answers do not wait, are on disk within a second, and are counted where a crash takes them.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import sqlalchemy as sql
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cohelix import __version__
from cohelix.audit.entries import By
from cohelix.audit.events import Event, Keyed, LogLost, ServerStarted
from cohelix.audit.names import open_names
from cohelix.audit.store import Batch, Line, LogStore
from cohelix.audit.taken import Left, Taken, left_behind
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import AuditUnavailable

FLUSH_SECONDS: Final = 0.5  # of public answers; rule 12 allows one second, in which the commit must fit too
WAIT_SECONDS: Final = 10.0  # of who waits for an entry, until the answer is refused
GROUP_MAX: Final = 2_000  # entries of one commit
QUEUE_MAX: Final = 100_000  # entries of public answers that wait for a database that is away; more are counted as lost
KEEP_SECONDS: Final = 60.0  # from one kept checkpoint to the next, at most, where entries come
_RETRY_SECONDS: Final = 0.5
WRITERS_FOLDER: Final = "audit-writers"

_log = structlog.get_logger("cohelix.audit")


class _Awaited(NamedTuple):
    """An entry that somebody waits for."""

    line: Line
    done: Future[None]


class _Group(NamedTuple):
    """What is committed together."""

    awaited: list[_Awaited]
    public: list[Line]
    overflow: int


class AuditLog:
    """The log of a node or hub, of one process.

    Parameters
    ----------
    folder
        The node's or hub's folder: the log's secret key lies in `identity/`, counts of what is on its way in
        `audit-writers/`.
    origin
        Whose log: `node/FI` or `hub`.
    database
        Opens the database (`db.open_database`); called by the first entry, and again where that failed.
    signer
        The server's Ed25519 key, asked for with each group, so that a rotation needs no restart.
    """

    def __init__(
        self,
        folder: Path,
        origin: str,
        *,
        database: Callable[[], sql.Engine],
        signer: Callable[[], Ed25519PrivateKey],
        clock: Clock | None = None,
    ) -> None:
        self.origin = origin
        self._folder, self._database, self._signer, self._clock = folder, database, signer, clock or SystemClock()
        self._names = open_names(folder)
        self._awaited: deque[_Awaited] = deque()
        self._public: deque[Line] = deque()
        self._overflow = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._taken: Taken | None = None
        self._closing = self._urgent = self._failing = False
        self._store: LogStore | None = None
        self._store_lock = threading.Lock()
        self._kept_at: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def record(self, event: Event, *, by: By = None, wait: bool = False) -> None:
        """Write down what happened.

        Parameters
        ----------
        by
            Who did it: a person, a server by its name (`node:FI`, `hub`), None for somebody unknown.
        wait
            Return only when the entry is on disk, as a registered or controlled answer needs it. Otherwise it is
            written within a second.

        Raises
        ------
        AuditUnavailable
            Only with `wait`: the entry is not on disk, so that the answer must not be given.
        """
        if not wait:
            self._put_public(Line(event, by, self._clock.now()))
            return
        done = self._put_awaited(Line(event, by, self._clock.now()))
        try:
            done.result(WAIT_SECONDS)
        except TimeoutError:
            done.cancel()
            raise AuditUnavailable("the entry about the answer could not be written in time") from None

    async def recorded(self, event: Event, *, by: By = None) -> None:
        """As `record` with `wait`, for coroutines."""
        done = self._put_awaited(Line(event, by, self._clock.now()))
        try:
            await asyncio.wait_for(asyncio.wrap_future(done), WAIT_SECONDS)
        except TimeoutError:
            raise AuditUnavailable("the entry about the answer could not be written in time") from None

    def keyed(self, *name: str) -> Keyed:
        """The keyed hash by which an entry names a variant, a region, filters or an individual."""
        return self._names.keyed(*name)

    def store(self) -> LogStore:
        """The log as it is on disk, to read.

        Raises
        ------
        AuditUnavailable
            If the database cannot be opened.
        """
        with self._store_lock:
            if self._store is None:
                try:
                    self._store = LogStore(self._database(), self.origin, self._names)
                except (sql.exc.SQLAlchemyError, OSError) as error:
                    raise AuditUnavailable("the audit log's database cannot be opened") from error
            return self._store

    def begin(self) -> None:
        """Open the log as a server does when it starts: what was lost before stands in it before anything else."""
        self.record(ServerStarted(__version__), by=self._server())
        with self._changed:
            self._urgent = True
            self._changed.notify()

    def close(self) -> None:
        """Write what is on its way, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread:
            self._thread.join()
        with self._store_lock:
            if self._store is not None:
                self._store.engine.dispose()  # SQLite moves what it wrote aside into the file; who reads later opens anew

    def _put_awaited(self, line: Line) -> Future[None]:
        done: Future[None] = Future()
        with self._changed:
            if self._closing:
                raise AuditUnavailable("the audit log is closed")
            self._start()
            self._awaited.append(_Awaited(line, done))
            self._changed.notify()
        return done

    def _put_public(self, line: Line) -> None:
        with self._changed:
            if self._closing or len(self._public) >= QUEUE_MAX:
                self._overflow += 1
                return
            self._start()
            if self._taken:
                self._taken.add()
            self._public.append(line)
            if len(self._public) in (1, GROUP_MAX):
                self._changed.notify()

    def _start(self) -> None:
        """The thread begins with the first entry, so that a process that is forked before has its own."""
        if self._thread is None:
            try:
                self._taken = Taken(self._folder / WRITERS_FOLDER)
            except OSError:  # what cannot be counted is said in the server's log; answers that wait still fail closed
                _log.exception("entries on their way cannot be counted")
            self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        recovered = False
        while True:
            group = self._next()
            try:
                if not recovered:
                    self._recover()
                    recovered = True
                self._commit(group)
            except Exception as error:  # whatever it is, nobody may be answered without an entry, and the thread goes on
                self._failed(group, error)
            with self._changed:
                if self._closing and (self._failing or not (self._awaited or self._public)):
                    break
        self._end()

    def _next(self) -> _Group:
        """Wait for the next group: at once where somebody waits, else after a while or when it is large."""
        with self._changed:
            while not (self._closing or self._urgent or self._awaited or self._public):
                self._changed.wait()
            deadline = self._clock.monotonic() + FLUSH_SECONDS
            while not (self._closing or self._urgent or self._awaited or len(self._public) >= GROUP_MAX):
                left = deadline - self._clock.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            self._urgent = False
            awaited = [self._awaited.popleft() for _ in range(min(len(self._awaited), GROUP_MAX))]
            public = [self._public.popleft() for _ in range(min(len(self._public), GROUP_MAX - len(awaited)))]
            overflow, self._overflow = self._overflow, 0
        return _Group([one for one in awaited if one.done.set_running_or_notify_cancel()], public, overflow)

    def _commit(self, group: _Group) -> None:
        lines = [*group.public, *(one.line for one in group.awaited)]
        if group.overflow:
            lines.insert(0, Line(LogLost(group.overflow, "overflow", exact=True), self._server(), self._clock.now()))
        if lines:
            store, taken = self.store(), self._taken
            if group.public and taken and not taken.registered:
                store.register(taken.writer)
                taken.register()
            now = self._clock.monotonic()
            keep = self._kept_at is None or now - self._kept_at >= KEEP_SECONDS
            batch = Batch(lines, taken.writer if taken else "", len(group.public), keep=keep)
            store.append(batch, self._signer(), self._clock.now())
            self._kept_at = now if keep else self._kept_at
        self._failing = False
        for one in group.awaited:
            one.done.set_result(None)

    def _failed(self, group: _Group, error: Exception) -> None:
        """Who waits is refused; public answers stay, in front, until the database is back."""
        if not self._failing:
            _log.error("audit log cannot be written", origin=self.origin, error=type(error).__name__, exc_info=error)
        self._failing = True
        for one in group.awaited:
            one.done.set_exception(AuditUnavailable("the entry about the answer could not be written"))
        with self._changed:
            self._public.extendleft(reversed(group.public))
            self._overflow += group.overflow
            if not self._closing:
                self._changed.wait(_RETRY_SECONDS)

    def _recover(self) -> None:
        """State what processes that ended without closing had taken and not written."""
        store, folder = self.store(), self._folder / WRITERS_FOLDER
        for left in left_behind(folder):
            self._state(store, left)

    def _state(self, store: LogStore, left: Left) -> None:
        written = store.written_by(left.writer)
        if written is None and left.registered:
            return  # it was stated already, by somebody who ended before the file was gone
        lost = left.taken - (written or 0)
        if lost > 0:
            line = Line(LogLost(lost, "crash", exact=left.exact), self._server(), self._clock.now())
            store.append(Batch([line], recovered=[left.writer]), self._signer(), self._clock.now())
        elif written is not None:
            store.forget_writer(left.writer)

    def _end(self) -> None:
        if self._taken and not self._public:
            if self._taken.registered:
                try:
                    self.store().forget_writer(self._taken.writer)
                except Exception:  # the next start finds the file, and nothing lost
                    _log.exception("the end of the audit log's writer could not be written")
                    return
            self._taken.close()

    def _server(self) -> str:
        return self.origin.replace("/", ":")
