"""The house from outside: its command line and its servers as processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from cohelix.testing.commands import PROGRAM, Command

_INSIDE: ContextVar[bool] = ContextVar("_INSIDE", default=False)
COMMAND = [sys.executable, "-m", "cohelix.cli.main"]


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str
    seconds: float
    peak_bytes: int  # resident, pages of mapped files included
    own_bytes: int  # resident without pages of files


def cohelix(*words: str | Path, seconds: float = 600) -> Ended:
    """Run `cohelix WORDS`; peak memory is that of the process and all its descendants."""
    start = time.perf_counter()
    with (
        subprocess.Popen([*COMMAND, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
        _Watch(process.pid) as watch,
    ):
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            return Ended(-signal.SIGALRM, out, err + "\n(hung: killed)", time.perf_counter() - start, *watch.peak())
    return Ended(process.returncode, out, err, time.perf_counter() - start, *watch.peak())


def done(*words: str | Path, seconds: float = 600) -> Ended:
    """As `cohelix`, where anything but success is a failure of the proof; within `inside`, in this process."""
    ended = said(*words) if _INSIDE.get() else cohelix(*words, seconds=seconds)
    if ended.status:
        raise RuntimeError(f"cohelix {' '.join(map(str, words))} ended with {ended.status}: {ended.err.strip()[-2000:]}")
    return ended


@contextmanager
def inside() -> Iterator[None]:
    """Let `done` run the same command line in this process: no start-up, for samples in the ordinary test run."""
    token = _INSIDE.set(True)
    try:
        yield
    finally:
        _INSIDE.reset(token)


def said(*words: str | Path) -> Ended:
    """How a command ends and what it says, run in this process."""
    from typer.testing import CliRunner

    from cohelix.cli.main import app
    from cohelix.core.errors import CohelixError

    start = time.perf_counter()
    ended = CliRunner().invoke(app, list(map(str, words)))
    status, err = ended.exit_code, ended.stderr
    if isinstance(ended.exception, CohelixError):
        status, err = ended.exception.exit_status, f"{ended.exception.title}: {ended.exception.detail}"
    elif ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return Ended(status, ended.stdout, err, time.perf_counter() - start, 0, 0)


class _Watch:
    """Largest resident memory of a process and its descendants, sampled every 20 ms."""

    def __init__(self, pid: int) -> None:
        import threading

        self._pid, self._peak, self._own, self._stop = pid, 0, 0, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def peak(self) -> tuple[int, int]:
        return self._peak, self._own

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            now = [resident(pid) for pid in (self._pid, *_descendants(self._pid))]
            self._peak = max(self._peak, sum(resident for resident, _ in now))
            self._own = max(self._own, sum(own for _, own in now))


def resident(pid: int) -> tuple[int, int]:
    """Resident bytes of a process now: all, and those that are not pages of files."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0, 0
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith(("VmRSS:", "RssAnon:"))}
    return kilobytes.get("VmRSS", 0) * 1024, kilobytes.get("RssAnon", 0) * 1024


def _descendants(pid: int) -> list[int]:
    """Children, their children, and so on; whoever ends meanwhile is left out."""
    found = []
    try:
        children = [int(c) for task in Path(f"/proc/{pid}/task").iterdir() for c in (task / "children").read_text().split()]
    except OSError:
        return []
    for child in children:
        found += [child, *_descendants(child)]
    return found


class Served:
    """A node or hub that is served by a process of its own; `url` once it is ready, ended with SIGTERM.

    `fresh` starts an interpreter for it, where its memory is measured.
    """

    def __init__(
        self, kind: str, folder: Path, port: int = 0, extra: Sequence[str] = (), *, fresh: bool = False, program: str = PROGRAM
    ) -> None:
        self._words = [kind, "serve", str(folder), "--port", str(port), *extra]
        self._fresh, self._program = fresh, program
        self._log = folder.with_name(folder.name + ".serve.log")
        self.process: Command | None = None
        self.url = ""

    def __enter__(self) -> Served:
        with self._log.open("a") as log:
            self.process = Command(self._words, stderr=log, fresh=self._fresh, program=self._program)
        for line in self.process.stdout:
            if line.startswith("ready "):
                self.url = line.split()[1]
                return self
        raise RuntimeError(f"{' '.join(self._words)} ended with {self.process.wait()}: {self._log.read_text()[-2000:]}")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> int:
        """End it cleanly and give its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                return -9
        self.process.stdout.close()
        return self.process.wait()
