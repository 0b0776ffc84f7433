"""Helpers of the federation's tests: identities, a clock that can be moved, members, real servers on loopback."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cohelix.federation.signing import Identity, create_identity
from cohelix.testing.processes import free_port
from cohelix.wire.federation import Member


class MovableClock:
    """The machine's clock, off by as much as a test wants."""

    def __init__(self) -> None:
        self.off = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.off

    def monotonic(self) -> float:
        return self.now().timestamp()


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def make_identity(tmp_path: Path) -> Callable[[str], Identity]:
    def make(name: str) -> Identity:
        folder = tmp_path / f"identity-{name}"
        folder.mkdir()
        return create_identity(folder)

    return make


@pytest.fixture
def make_member() -> Callable[..., Member]:
    def make(name: str, url: str, key: str, **more: object) -> Member:
        return Member(id=name, state="active", name=name, country="FI", url=url, key=key, **more)

    return make


Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def raw_server() -> Callable[[Behaviour], object]:
    """A TCP server on loopback that does to each connection whatever it is told; gives its address."""

    @asynccontextmanager
    async def serve(behaviour: Behaviour) -> AsyncIterator[str]:
        running: set[asyncio.Task[None]] = set()

        async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            running.add(task)
            try:
                await behaviour(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                running.discard(task)
                writer.close()

        server = await asyncio.start_server(one, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.close()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    return serve


@pytest.fixture(scope="session")
def dask_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Dask scheduler on loopback with two worker processes."""
    folder = tmp_path_factory.mktemp("dask")
    with ExitStack() as stack:

        def start(*words: str) -> None:
            process = subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:]],
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)

        port = free_port()
        start("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard", "--no-jupyter")
        address = f"tcp://127.0.0.1:{port}"
        for _ in range(2):
            start("worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny", "--host", "127.0.0.1")
        yield address
