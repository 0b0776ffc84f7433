"""Cohelix commands as processes of their own: run them, serve with them, and stop every one that was started."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Container, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, NamedTuple, Self

from cohelix.core.errors import BadUsage, CohelixError
from cohelix.testing.commands import Command

WORKERS_VARIABLE: Final = "COHELIX_ANALYSIS_WORKERS"
READY_SECONDS: Final = 120.0
STOP_SECONDS: Final = 8.0
_READY = re.compile(r"ready (https?://\S+)")
_LOG_LINES = 12


class Server(NamedTuple):
    """A command that serves: where it answers, and its process."""

    name: str
    url: str
    process: Command


class Processes:
    """Starts `cohelix …` commands in a folder of logs; leaving the context stops all of them, and what they started.

    Each command leads a process group of its own, so that Ctrl-C in the terminal reaches only the demo, which then
    stops the others in order.

    Parameters
    ----------
    logs
        The folder.
    fresh
        Start an interpreter for each, instead of forks of one prepared process: their memory is to be measured.
    """

    def __init__(self, logs: Path, *, fresh: bool = False) -> None:
        self._logs, self._fresh = logs, fresh
        self._running: list[Command] = []
        self._lock = threading.Lock()
        self._closed = False
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.stop_all()

    def run(self, name: str, *arguments: str, ended: Container[int] = (0,)) -> str:
        """Run a command to its end and return its standard output; `CohelixError` with its last words for another status."""
        with (self._logs / f"{name}.log").open("a", encoding="utf-8") as log:
            process = self._start(arguments, log)
        output = process.communicate()[0]
        self._forget(process)
        if process.returncode not in ended:
            raise CohelixError(f"cohelix {' '.join(arguments[:2])} ended with {process.returncode}: {self._said(name)}")
        return output

    def serve(self, name: str, *arguments: str) -> Server:
        """Start a command that serves, and return when it has printed its `ready` line."""
        with (self._logs / f"{name}.log").open("a", encoding="utf-8") as log:
            process = self._start(arguments, log)
        url = _await_ready(process.stdout)
        if url is None:
            self.stop(process)
            raise CohelixError(f"cohelix {' '.join(arguments[:2])} did not become ready: {self._said(name)}")
        return Server(name, url, process)

    def stop(self, process: Command) -> None:
        """End one process and its group: first politely, after some seconds for good."""
        _signal_group(process, signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            _signal_group(process, signal.SIGKILL)
            process.wait()
        _signal_group(process, signal.SIGKILL)  # what it left behind in its group
        process.stdout.close()
        self._forget(process)

    def stop_all(self) -> None:
        """End every process that was started here, all at once; nothing can be started afterwards."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        for process in running:
            _signal_group(process, signal.SIGTERM)
        for process in running:
            self.stop(process)

    def _start(self, arguments: Sequence[str], log: IO[str]) -> Command:
        with self._lock:
            if self._closed:
                raise CohelixError("the demo is ending")
            # Several members share this machine's cores.
            process = Command(arguments, stderr=log, environment={WORKERS_VARIABLE: "1", **os.environ}, fresh=self._fresh)
            self._running.append(process)
            return process

    def _forget(self, process: Command) -> None:
        with self._lock:
            if process in self._running:
                self._running.remove(process)

    def _said(self, name: str) -> str:
        lines = (self._logs / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:]) or "it said nothing"


def free_port() -> int:
    """A port of the loopback address that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_or_refuse(wanted: int | None, usual: int) -> int:
    """The wanted port if it is free; without a wish the usual port, or a free one where that is taken."""
    if wanted is None:
        return usual if _is_free(usual) else free_port()
    if wanted and not _is_free(wanted):
        raise BadUsage(f"port {wanted} is in use on 127.0.0.1: choose another with --port, or leave --port away")
    return wanted or free_port()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _await_ready(stdout: IO[str]) -> str | None:
    """The address in a `ready` line, or None where the output ends or nothing comes in time; then keeps reading along."""
    found: list[str] = []
    told = threading.Event()

    def read() -> None:
        try:
            for line in stdout:
                match = _READY.search(line)
                if match and not found:
                    found.append(match[1])
                    told.set()
        except ValueError:  # the pipe was closed while it was read: the server was stopped
            pass
        told.set()

    threading.Thread(target=read, daemon=True).start()
    told.wait(READY_SECONDS)
    return found[0] if found else None


def _signal_group(process: Command, number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        process.send_signal(number)  # it may have begun so lately that it leads no group yet
    except PermissionError:
        return
