"""Helpers of the federation's tests: identities, a clock that can be moved, members, real servers on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cohelix.federation.signing import Identity, create_identity
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
