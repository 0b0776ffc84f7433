"""Processes that the demo starts are stopped with it, and what they say is told."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cohelix.core.errors import BadUsage, CohelixError
from cohelix.testing.commands import run_command
from cohelix.testing.processes import Processes, free_port, port_or_refuse


def test_a_command_gives_its_output(tmp_path: Path) -> None:
    with Processes(tmp_path / "logs") as processes:
        assert processes.run("version", "--version").strip().count(".") == 2


def test_a_failing_command_tells_its_last_words(tmp_path: Path) -> None:
    with Processes(tmp_path / "logs") as processes, pytest.raises(CohelixError, match="No such command"):
        processes.run("nonsense", "no-such-noun")


def test_nothing_starts_after_the_end(tmp_path: Path) -> None:
    with Processes(tmp_path / "logs") as processes:
        pass
    with pytest.raises(CohelixError, match="ending"):
        processes.run("version", "--version")


def test_a_port_in_use_is_refused_politely() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BadUsage, match=f"port {port} is in use"):
            port_or_refuse(port, 8000)
        assert port_or_refuse(None, port) not in (port, 0)
    free = free_port()
    assert port_or_refuse(free, 8000) == free


def test_leaving_by_an_exception_stops_what_was_started(tmp_path: Path) -> None:
    node = tmp_path / "node"
    processes = Processes(tmp_path / "logs")
    with pytest.raises(KeyboardInterrupt), processes:
        processes.run("init", "node", "init", str(node), "--id", "XX", "--name", "Test", "--country", "FI")
        server = processes.serve("node", "node", "serve", str(node), "--port", "0")
        assert server.url.startswith("http://127.0.0.1:")
        assert server.process.poll() is None
        raise KeyboardInterrupt
    assert server.process.poll() is not None
    with pytest.raises(ProcessLookupError):
        os.killpg(server.process.pid, 0)


def test_a_server_that_does_not_come_up_tells_its_last_words(tmp_path: Path) -> None:
    with Processes(tmp_path / "logs") as processes, pytest.raises(CohelixError, match="not a node's folder"):
        processes.serve("node", "node", "serve", str(tmp_path), "--port", "0")


def test_an_end_is_told_to_whoever_waits_however_many_others_look() -> None:
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            multiprocessing.active_children()  # as the library does whenever a process is started

    looker = threading.Thread(target=look)
    looker.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            statuses = list(pool.map(lambda _: run_command("--version").returncode, range(24)))
    finally:
        ended.set()
        looker.join()
    assert statuses == [0] * 24
