"""Carries one signed question to one member and brings back its checked answer: the `Transport` protocol, and HTTP.

A member may be broken or hostile. Whatever it does ends in an `Arrival` that says what happened in plain words; the
time limit belongs to `fan_out`, which may cancel a question at any moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import typing
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpcore
from httpcore import AsyncNetworkBackend, AsyncNetworkStream
from pydantic import ValidationError

from cohelix import __version__
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadUsage, NotAuthentic
from cohelix.federation.signing import Identity, PublicKey, check_answer, sign_request, signature_of
from cohelix.wire.federation import Member
from cohelix.wire.frequency import RoadStatus
from cohelix.wire.packed import MEDIA_TYPE as PACKED
from cohelix.wire.problem import Problem

# A node cuts a region's page to fit; Beacon's records are wordier. Bounds the time that reading one answer takes.
ANSWER_BYTES_MAX = 2 * 1024 * 1024
BEACON_BYTES_MAX = 8 * 1024 * 1024
# Blocks of an analysis with many traits, stretches of the list of variants, every contributor's sealed shares of a block:
# both what a node is told and what it answers.
RUN_BYTES_MAX = 128 * 1024 * 1024
RUN_PREFIX = "analysis-"
PATH = "/federation/v1"
# A body in crumbs costs the reader more than its bytes: on average a piece must hold this much.
_PORTION_BYTES = 64 * 1024
_STATUS_BEFORE = b"HTTP/1.1 "
_PIECES_FREE, _PIECE_BYTES_MIN = 1024, 64
# Servers of the house close idle connections after 65 s; we leave them first.
_IDLE_SECONDS = 30.0
_CONNECTIONS_PER_MEMBER = 32
_LOOKUP_SECONDS = 60.0


TlsContexts = Callable[[], ssl.SSLContext]
"""Gives the TLS context of the next connection to a member: whom it trusts, and the certificate that it shows."""


MemberKeys = Callable[[Member], Sequence[PublicKey]]
"""Gives the keys that hold now of a member: one, and during a change of keys two."""


def own_key(member: Member) -> Sequence[PublicKey]:
    """The one key that the member's entry names."""
    return (PublicKey(member.key),)


def fixed_tls() -> TlsContexts:
    """TLS 1.3 to servers whose certificates the system's authorities signed."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return lambda: context


@dataclass(frozen=True, slots=True)
class Arrival:
    """What came of a question on the road: `body` is there, and authentic, where the status is `answered`."""

    status: RoadStatus
    reason: str | None = None
    body: bytes = b""


def address_of(member: Member) -> str:
    """The address for which a member's questions are signed; of one that dials out a name that nobody can dial."""
    return f"dial-out://{member.id}" if member.dials_out else member.url


def answer_bytes_max(question: str) -> int:
    """Most bytes of an answer to a kind of question."""
    if question.startswith(RUN_PREFIX):
        return RUN_BYTES_MAX
    return BEACON_BYTES_MAX if question == "beacon" else ANSWER_BYTES_MAX


def content_type_of(question: str) -> str:
    """The media type of a kind of question's message: those of runs are packed, the others JSON."""
    return PACKED if question.startswith(RUN_PREFIX) else "application/json"


class Transport(Protocol):
    """A road to members. Every implementation passes `tests/federation/transport_suite.py`."""

    async def ask(self, member: Member, question: str, body: bytes) -> Arrival:
        """Put a question (`frequency`, `region`, …; `body` is its message, see `content_type_of`) to a member.

        Never raises for what the member does; may be cancelled at any time, and leaves nothing behind then.
        """

    async def close(self) -> None:
        """End all connections."""


class HttpTransport:
    """The hub dials the node: one pool of kept-alive connections per member, so that none waits for another's.

    No redirects, no proxies, no environment; header and body sizes are capped; where `private_addresses` is False a
    member's name must not resolve to a private, loopback or link-local address (threat T11), and the connection goes
    to the very address that was checked. `tls` says whom connections trust and what certificate they show,
    `keys` by which keys members are known.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        private_addresses: bool,
        tls: TlsContexts | None = None,
        keys: MemberKeys | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._identity = identity
        self._clock = clock or SystemClock()
        self._backend = _GuardedBackend(private_addresses)
        self._tls = tls or fixed_tls()
        self._keys = keys or own_key
        self._pools: dict[tuple[str, str, int], httpcore.AsyncConnectionPool] = {}

    async def ask(self, member: Member, question: str, body: bytes) -> Arrival:
        arrival = await self._ask_once(member, question, body)
        if arrival is None:  # an idle connection that the node had just closed: one fresh try, with a fresh signature
            arrival = await self._ask_once(member, question, body)
        return arrival or Arrival("faulty", "it closed the connection without an answer in HTTP")

    async def close(self) -> None:
        pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            await pool.aclose()
        self._backend.close()

    async def _ask_once(self, member: Member, question: str, body: bytes) -> Arrival | None:
        """One try; None where the connection ended before the first byte of an answer."""
        url, kind = f"{member.url}{PATH}/{question}", content_type_of(question)
        signed = sign_request(self._identity, method="POST", url=url, body=body, content_type=kind, clock=self._clock)
        headers = {
            "host": urlsplit(url).netloc,
            "user-agent": f"cohelix-hub/{__version__}",
            "accept": kind,
            "accept-encoding": "identity",
            "content-length": str(len(body)),
            **signed,
        }
        began = False
        try:
            async with self._pool(member).stream("POST", url, headers=list(headers.items()), content=body) as response:
                began = True
                fields = _headers(response.headers)
                content = refusal(response.status, fields) or await _content(response, answer_bytes_max(question))
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError, ValueError) as error:
            return _broken(error, began=began)
        if isinstance(content, Arrival):
            return content
        keys, to = self._keys(member), signature_of(signed)
        return checked_arrival(response.status, fields, content, to=to, keys=keys, clock=self._clock)

    def _pool(self, member: Member) -> httpcore.AsyncConnectionPool:
        context = self._tls()
        name = (member.id, member.url, id(context))  # of a renewed context with its new certificates new connections
        if name not in self._pools:
            self._pools[name] = httpcore.AsyncConnectionPool(
                ssl_context=context,
                max_connections=_CONNECTIONS_PER_MEMBER,
                max_keepalive_connections=_CONNECTIONS_PER_MEMBER // 2,
                keepalive_expiry=_IDLE_SECONDS,
                network_backend=self._backend,
            )
        return self._pools[name]


def checked_arrival(
    status: int, headers: Mapping[str, str], body: bytes, *, to: str, keys: Sequence[PublicKey], clock: Clock
) -> Arrival:
    """What an answer is worth: its body where a member with one of these keys signed it, with status 200, for the question
    of signature `to`."""
    try:
        check_answer(headers, status=status, body=body, to=to, keys=keys, clock=clock)
    except NotAuthentic as error:
        words = "" if status == 200 else f"it answered HTTP {status}, and "
        return Arrival("faulty", f"{words}its signature was not accepted: {error.detail}")
    if status != 200:
        return Arrival("faulty", f"it refused the question with HTTP {status}{_detail(body)}")
    return Arrival("answered", None, body)


def refusal(status: int, headers: Mapping[str, str]) -> Arrival | None:
    """Why an answer is not worth reading, by its status and headers alone."""
    words = None
    if 300 <= status < 400:
        words = f"it answered with a redirect (HTTP {status})"
    elif status >= 500:
        words = f"it answered HTTP {status}"
    elif headers.get("content-encoding", "identity") != "identity":
        words = "its answer is compressed, which was not asked for"
    elif not headers.get("signature"):
        words = f"it answered HTTP {status} without a signature"
    return Arrival("faulty", words) if words else None


def too_large(bytes_max: int) -> Arrival:
    """An answer that was not read to its end."""
    return Arrival("faulty", f"its answer is larger than {bytes_max} bytes")


def checked_address(url: str, *, private_addresses: bool) -> str:
    """A member's or hub's base address, without a trailing slash, as it is registered.

    Raises
    ------
    BadUsage
        If it is not an http(s) address of a host, or a literal address that the hub must not dial.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadUsage(f"{url!r} is not an address: its host or its port is none") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii() or any(c.isspace() for c in url):
        raise BadUsage(f"{url!r} is not an address: write http://HOST:PORT or https://HOST")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment or port == 0:
        raise BadUsage(f"{url!r} is not an address: no user, query, fragment or port 0 may be in it")
    if not private_addresses:
        if parts.scheme != "https":
            raise BadUsage(f"{url!r} is refused: this hub dials https addresses only")
        with contextlib.suppress(ValueError):
            if not _may_dial(ipaddress.ip_address(parts.hostname)):
                raise BadUsage(f"{url!r} is refused: this hub dials public addresses only")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def is_private(url: str) -> bool:
    """Whether an address is this machine's or a private network's, by what it says (names are not looked up)."""
    host = urlsplit(url).hostname or ""
    try:
        return not _may_dial(ipaddress.ip_address(host))
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))


# RFC 6052 and 8215: addresses that hold an IPv4 address, which a translator on the way connects to.
_TRANSLATED = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
# Not of the open network, whatever a version of Python says: ::/8 with IPv4-compatible addresses, and fec0::/10.
_NEVER = (ipaddress.IPv6Network("::/8"), ipaddress.IPv6Network("fec0::/10"))


def _may_dial(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return _may_dial(address.ipv4_mapped)
        if address.sixtofour is not None:
            return _may_dial(address.sixtofour)
        if any(address in network for network in (*_TRANSLATED, *_NEVER)):
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


class _GuardedBackend(AsyncNetworkBackend):
    """Looks names up, checks every address, and connects to one that was checked."""

    def __init__(self, private_addresses: bool) -> None:
        self._private = private_addresses
        self._inner = httpcore.AnyIOBackend()
        # Threads of our own: a name server that hangs for one member must not hold up another's lookup.
        self._threads = ThreadPoolExecutor(max_workers=32, thread_name_prefix="lookup")
        self._lookups: dict[tuple[str, int], tuple[float, asyncio.Future[list[str]]]] = {}

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 — httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> AsyncNetworkStream:
        failure: Exception = httpcore.ConnectError("no address")
        for address in await self._addresses(host, port):
            if not self._private and not _may_dial(ipaddress.ip_address(address)):
                failure = httpcore.ConnectError("its address is a private one, which this hub does not dial")
                continue
            try:
                return _Stream(await self._inner.connect_tcp(address, port, timeout, local_address, socket_options))
            except (httpcore.ConnectError, OSError) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 — httpcore's signature
        socket_options: Iterable[Any] | None = None,
    ) -> AsyncNetworkStream:
        raise httpcore.UnsupportedProtocol("members are dialled over TCP")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def close(self) -> None:
        """Let the lookup threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _addresses(self, host: str, port: int) -> list[str]:
        with contextlib.suppress(ValueError):
            return [str(ipaddress.ip_address(host))]
        loop = asyncio.get_running_loop()
        known = self._lookups.get((host, port))
        if known is None or (known[1].done() and (loop.time() > known[0] or known[1].exception() is not None)):
            future = loop.run_in_executor(self._threads, _look_up, host, port)
            known = (loop.time() + _LOOKUP_SECONDS, future)
            self._lookups[(host, port)] = known
        try:
            return await asyncio.shield(known[1])
        except OSError as error:
            raise httpcore.ConnectError("its name is not known") from error


class _Stream(AsyncNetworkStream):
    """A connection that is read in small portions, and on which an interim answer (1xx) is a fault.

    The HTTP parser works off a portion in one go, so its size bounds how long the other members wait; and interim
    answers, of which a hostile node could send any number, are for requests that ask for them, which ours do not.
    """

    def __init__(self, inner: AsyncNetworkStream) -> None:
        self._inner = inner
        self._at_head = True

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 — httpcore's signature
        portion = min(max_bytes, _PORTION_BYTES)
        content = await self._inner.read(portion, timeout)
        if self._at_head:
            while content and len(content) <= len(_STATUS_BEFORE):
                more = await self._inner.read(portion, timeout)
                if not more:
                    break
                content += more
            if content[len(_STATUS_BEFORE) :].startswith(b"1"):
                raise httpcore.RemoteProtocolError("an interim answer")
            self._at_head = False
        return content

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 — httpcore's signature
        self._at_head = True
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 — httpcore's signature
    ) -> AsyncNetworkStream:
        return _Stream(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]).split("%", 1)[0] for entry in found))


async def _content(response: httpcore.Response, bytes_max: int) -> bytes | Arrival:
    parts, size, pieces = [], 0, 0
    async with contextlib.aclosing(typing.cast(AsyncGenerator[bytes, None], response.aiter_stream())) as stream:
        async for part in stream:
            size, pieces = size + len(part), pieces + 1
            if size > bytes_max:
                return too_large(bytes_max)
            if pieces > _PIECES_FREE + size // _PIECE_BYTES_MIN:
                return Arrival("faulty", "its answer comes in too many pieces")
            if pieces % 64 == 0:
                await asyncio.sleep(0)  # crumbs that arrived together must not hold up the others
            parts.append(part)
    return b"".join(parts)


def _broken(error: Exception, *, began: bool) -> Arrival | None:
    """What a failure of the connection means; None where it may have been an idle connection's end."""
    if began:
        return Arrival("faulty", "its answer broke off")
    if isinstance(error, httpcore.ConnectError | httpcore.ConnectTimeout | OSError):
        return Arrival("unreachable", _connect_words(error))
    if isinstance(error, httpcore.NetworkError) or "disconnected" in str(error):
        return None
    return Arrival("faulty", "it does not answer in HTTP")


def _detail(body: bytes) -> str:
    """A refusing node's own words, as far as they can be shown."""
    try:
        detail = Problem.model_validate_json(body).detail or ""
    except ValidationError:
        return ""
    words = "".join(sign for sign in detail[:200] if sign.isprintable())
    return f": {words}" if words else ""


def _headers(fields: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip()
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


def _connect_words(error: Exception) -> str:
    text = str(error)
    if isinstance(error, ssl.SSLError) or "SSL" in text or "CERTIFICATE" in text:
        return "no TLS connection could be made"
    return text if text.startswith("its ") else "no connection could be made"
