"""A hub dials no address of its own machine or network for a member, however it is written: a canary hears nothing."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from cohelix.core.errors import BadUsage
from cohelix.federation import transport
from cohelix.federation.signing import Identity
from cohelix.federation.transport import HttpTransport, checked_address
from cohelix.wire.federation import Member
from validation.hostile_addresses import NAMES, addresses

BODY = b"{}"


class _Canary:
    """Listens on every loopback address and counts who comes; answers a redirect to another where it is told so."""

    def __init__(self) -> None:
        self.hits = 0
        self.answer = b""
        self._sockets: list[socket.socket] = []
        first = socket.create_server(("127.0.0.1", 0))
        self.port = first.getsockname()[1]
        self._sockets.append(first)
        with suppress(OSError):  # a machine without IPv6
            self._sockets.append(socket.create_server(("::1", self.port), family=socket.AF_INET6))
        self._ended = threading.Event()
        for listener in self._sockets:
            threading.Thread(target=self._run, args=(listener,), daemon=True).start()

    def _run(self, listener: socket.socket) -> None:
        listener.settimeout(0.1)
        while not self._ended.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self.hits += 1
            with connection:
                if self.answer:
                    connection.recv(65536)
                    connection.sendall(self.answer)

    def close(self) -> None:
        self._ended.set()
        for listener in self._sockets:
            listener.close()


@contextmanager
def _canary() -> Iterator[_Canary]:
    made = _Canary()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The attacker's name server; other names as ever."""
    names = dict(NAMES)
    look_up = transport._look_up

    def looked_up(host: str, port: int) -> list[str]:
        if host in names:
            return names[host]
        if host.endswith(".example"):
            raise socket.gaierror("no such name")
        return look_up(host, port)

    monkeypatch.setattr(transport, "_look_up", looked_up)
    return names


def _ask(urls: list[str], hub: Identity, *, private: bool) -> dict[str, str]:
    """What became of a question to a member at each address."""
    found: dict[str, str] = {}

    async def one(road: HttpTransport, url: str) -> None:
        member = Member(id=url, state="active", url=url, key=hub.public)
        try:
            async with asyncio.timeout(5):
                found[url] = (await road.ask(member, "frequency", BODY)).status
        except TimeoutError:
            found[url] = "late"

    async def asking() -> None:
        road = HttpTransport(hub, private_addresses=private)
        await asyncio.gather(*(one(road, url) for url in urls))
        await road.close()

    asyncio.run(asking())
    return found


def test_the_canary_hears_whoever_is_let_through(make_identity: Callable[[str], Identity]) -> None:
    with _canary() as canary:
        _ask([f"http://127.0.0.1:{canary.port}"], make_identity("hub"), private=True)
        assert canary.hits


@pytest.mark.usefixtures("resolver")
def test_no_address_of_the_corpus_reaches_the_canary(make_identity: Callable[[str], Identity]) -> None:
    with _canary() as canary:
        corpus = addresses(canary.port)
        assert len(set(corpus)) >= 200
        taken = []
        for url in corpus:
            with suppress(BadUsage):
                taken.append(checked_address(url, private_addresses=False))
        assert len(taken) < len(corpus) / 2
        # What was written into members.json by other means is not dialled either.
        written = [url for url in corpus if url.startswith("https://") and url.isascii() and "[127" not in url]
        found = _ask(sorted({*taken, *written}), make_identity("hub"), private=False)
        assert set(found.values()) <= {"unreachable", "faulty"}, found
        assert canary.hits == 0


def test_the_connection_goes_to_the_address_that_was_checked(
    resolver: dict[str, list[str]], make_identity: Callable[[str], Identity]
) -> None:
    """A name that is public when it is looked at and private when it is dialled: it is looked up once."""
    looked_at: list[str] = []
    with _canary() as canary:

        class Turning(list[str]):
            """An answer that differs each time it is read."""

            def __iter__(self) -> Iterator[str]:
                looked_at.append("")
                return iter(["192.88.99.1"] if len(looked_at) == 1 else ["127.0.0.1"])

        resolver["turning.attacker.example"] = Turning()
        _ask([f"https://turning.attacker.example:{canary.port}"], make_identity("hub"), private=False)
        assert canary.hits == 0 and len(looked_at) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(make_identity: Callable[[str], Identity], status: int) -> None:
    with _canary() as first, _canary() as second:
        place = f"http://127.0.0.1:{second.port}/"
        first.answer = f"HTTP/1.1 {status} Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()
        url = f"http://127.0.0.1:{first.port}"
        assert _ask([url], make_identity("hub"), private=True) == {url: "faulty"}
        assert first.hits and second.hits == 0


def test_no_proxy_of_the_environment_is_asked(
    monkeypatch: pytest.MonkeyPatch, make_identity: Callable[[str], Identity]
) -> None:
    with _canary() as proxy, _canary() as member:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        _ask([f"http://127.0.0.1:{member.port}"], make_identity("hub"), private=True)
        assert member.hits and proxy.hits == 0
