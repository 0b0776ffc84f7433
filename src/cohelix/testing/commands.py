"""Cohelix commands as processes of their own that are forked from one prepared process: no start-up for each.

Where one machine runs dozens of commands, most of their time goes into importing the same modules. A fork server of the
standard library imports them once; a command is a fork of it with arguments, environment, folder and output of its own.
"""

from __future__ import annotations

import atexit
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import wait as wait_for_any
from multiprocessing.process import _children  # type: ignore[attr-defined]
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import IO, Any, Final

PROGRAM: Final = "cohelix.cli.main"
_NAME_CHARACTERS: Final = 15  # as many as Linux keeps
_PREPARED: Final = "cohelix.testing.prepared"
_STARTING: Final = threading.Lock()
_Started = tuple[int, Callable[[float | None], None], Callable[[], int | None]]  # id; wait for its end; exit status


class Command:
    """A running `cohelix …`: as much of `subprocess.Popen` as whoever starts commands needs.

    It leads a session of its own, so that Ctrl-C in the terminal does not reach it.

    Parameters
    ----------
    words
        The command line after `cohelix`.
    stderr
        An open file for what it says on standard error; None keeps that for `communicate`.
    environment
        All of its environment; that of this process where None.
    fresh
        Start an interpreter for it instead: for what is to be measured, memory above all.
    program
        A module whose `main` it runs, as the command line's does.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        stderr: IO[Any] | None = None,
        environment: Mapping[str, str] | None = None,
        fresh: bool = False,
        program: str = PROGRAM,
    ) -> None:
        self.args = ["cohelix", *words]
        out, out_end = os.pipe()
        err, err_end = os.pipe() if stderr is None else (None, stderr.fileno())
        given = dict(os.environ if environment is None else environment)
        start = _started if fresh else _forked
        try:
            self.pid, self._join, self._status = start(list(words), given, program, out_end, err_end)
        finally:
            os.close(out_end)
            if err is not None:
                os.close(err_end)
        self.stdout: IO[str] = os.fdopen(out, encoding="utf-8")
        self.stderr: IO[str] | None = None if err is None else os.fdopen(err, encoding="utf-8")

    @property
    def returncode(self) -> int | None:
        """Exit status once it has ended and was waited for; minus a signal's number where one ended it."""
        return self._status()

    def poll(self) -> int | None:
        """Exit status if it has ended, None while it runs."""
        return self._status()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; `subprocess.TimeoutExpired` where it does not end in time (seconds)."""
        self._join(timeout)
        status = self._status()
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return status

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Everything that it says on standard output and error until its end; `subprocess.TimeoutExpired` as of `wait`."""
        said = ["", ""]

        def read(number: int, stream: IO[str]) -> None:
            with stream:
                said[number] = stream.read()

        streams = [(number, stream) for number, stream in enumerate((self.stdout, self.stderr)) if stream is not None]
        readers = [threading.Thread(target=read, args=one, daemon=True) for one in streams]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join()
        return said[0], said[1]

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has ended, and the word of it is on its way
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it without asking."""
        self.send_signal(signal.SIGKILL)


def run_command(
    *words: str | Path, environment: Mapping[str, str] | None = None, timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `cohelix WORDS` to its end, as `subprocess.run` does with its output captured."""
    command = Command([str(word) for word in words], environment=environment)
    try:
        out, err = command.communicate(timeout)
    except subprocess.TimeoutExpired:
        command.kill()
        raise
    assert command.returncode is not None
    return subprocess.CompletedProcess(command.args, command.returncode, out, err)


def _forked(words: list[str], environment: dict[str, str], program: str, out: int, err: int) -> _Started:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", _PREPARED])
    process = context.Process(target=_run, args=(words, environment, str(Path.cwd()), program, (_Passed(out), _Passed(err))))
    # A process's end is told once. The library reads it whenever any thread starts another one, too: whoever reads second
    # would take this one for lost (status 255). So it is taken out of the library's list, and read by one thread at a time.
    with _STARTING:
        process.start()
        _children.discard(process)
    assert process.pid is not None
    reading = threading.Lock()

    def join(timeout: float | None) -> None:
        wait_for_any([process.sentinel], timeout)

    def status() -> int | None:
        with reading:
            return process.exitcode

    return process.pid, join, status


def _started(words: list[str], environment: dict[str, str], program: str, out: int, err: int) -> _Started:
    process = subprocess.Popen(
        [sys.executable, "-m", program, *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        start_new_session=True,
    )

    def join(timeout: float | None) -> None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout)

    return process.pid, join, process.poll


class _Passed:
    """A file descriptor that goes along to the forked process."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __reduce__(self) -> tuple[Callable[[Any], int], tuple[Any]]:
        return _taken, (DupFd(self._number),)


def _taken(passed: Any) -> int:
    return int(passed.detach())


def _run(words: list[str], environment: dict[str, str], folder: str, program: str, ends: tuple[int, int]) -> None:
    """The forked process: become what `cohelix WORDS` would have been, and run it."""
    os.setsid()
    for wanted, number in enumerate(ends, 1):
        os.dup2(number, wanted)
        os.close(number)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    _name_process(f"cohelix {words[0] if words else ''}")
    sys.argv = ["cohelix", *words]
    try:
        importlib.import_module(program).main()
    finally:
        atexit._run_exitfuncs()


def _name_process(name: str) -> None:
    """What `ps` and `top` call this process, where the system has such names."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name[:_NAME_CHARACTERS])
