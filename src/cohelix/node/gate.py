"""The gate of a node: what its settings, the hub that it has joined and its list of trust make of a question."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import anyio.to_thread
from sqlalchemy.engine import Engine
from starlette.requests import Request

from cohelix.access.actor import Actor
from cohelix.access.authority import all_authorities
from cohelix.access.door import TokenDoor, path_of
from cohelix.access.gate import ANYBODY, Asker, Charging, Conditions, Gate, Recording
from cohelix.access.issuers import NODE_AUDIENCE
from cohelix.access.jose import Key
from cohelix.access.keys import Fetch, KeyRing, PassportDesk, fetching
from cohelix.access.oidc import open_issuer
from cohelix.access.policy import Purpose, Revocations
from cohelix.access.sessions import Once
from cohelix.access.trust import TrustList, merged
from cohelix.beacon.routes import Identify
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import NotAuthentic
from cohelix.federation.behalf import stated_purpose
from cohelix.federation.door import Door
from cohelix.node.settings import SETTINGS_FILE, NodeSettings, read_settings
from cohelix.wire.federation import PinnedHub

_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_LOOK_SECONDS: Final = 2.0  # how long a change of settings, or a new authority of the folder, may stay unseen


class _Read(NamedTuple):
    """What was read of the folder: the state that it was in, and what follows from it."""

    seen: object
    conditions: Conditions
    ring: KeyRing
    desk: PassportDesk


class NodeTrust:
    """What a node's folder says of access now: settings, list of trust, its own authorities, the hub that it has joined.

    Safe for many threads; the folder is looked at every other second at most.
    """

    def __init__(self, folder: Path, node: str, door: Door, clock: Clock | None = None) -> None:
        self._folder, self._node, self._door, self._clock = folder, node, door, clock or SystemClock()
        self._lock = threading.Lock()
        self._read: _Read | None = None
        self._looked = 0.0

    def conditions(self) -> Conditions:
        """What the settings say of access."""
        return self._now().conditions

    def verify(self, passport: str, now: datetime) -> Actor:
        """Whom a passport for this node proves; may ask issuers for their keys."""
        return self._now().desk.actor(passport, now)

    def keys(self, named: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], Key]:
        """Keys of trusted issuers, by issuer and `kid`; may ask the issuers that are named."""
        ring = self._now().ring
        ring.make_ready(named)
        return ring.keys()

    def _now(self) -> _Read:
        moment = self._clock.monotonic()
        read = self._read
        if read is not None and moment - self._looked < _LOOK_SECONDS:
            return read
        with self._lock:
            read, seen = self._read, self._state()
            if read is None or read.seen != seen:
                read = self._read = self._opened(seen)
            self._looked = moment
            return read

    def _state(self) -> object:
        pinned, settings = self._door.pinned(), (self._folder / SETTINGS_FILE).stat()
        files = sorted((self._folder / "authorities").glob("*/**/*"))
        own = tuple((str(path), path.stat().st_mtime_ns) for path in files)
        return pinned and pinned.hub_url, settings.st_ino, settings.st_mtime_ns, own

    def _opened(self, seen: object) -> _Read:
        settings, pinned = read_settings(self._folder), self._door.pinned()
        trust = merged(TrustList.of(settings.trust), [one.trusted() for one in all_authorities(self._folder)])
        ring = KeyRing(trust, fetch=keys_fetch(self._folder, settings, trust, pinned.hub_url if pinned else ""))
        conditions = Conditions(
            hub_url=pinned.hub_url if pinned else "",
            anonymous_power_max=settings.disclosure.anonymous_power_max,
            authorities=trust.authorities,
            projects=frozenset(settings.analysis.projects),
        )
        return _Read(seen, conditions, ring, PassportDesk(ring, trust, f"{NODE_AUDIENCE}{self._node}"))


def keys_fetch(folder: Path, settings: NodeSettings, trust: TrustList, hub_url: str) -> Fetch:
    """What fetches the keys of trusted issuers: private authorities of the hub and of issuers are believed there too."""
    private = {one.issuer: one.tls_ca for one in settings.issuers}
    return fetching(folder, trust, private | ({hub_url: settings.tls_ca} if hub_url and settings.tls_ca else {}))


def make_gate(
    trust: NodeTrust, log: Recording, *, revocations: Callable[[], Revocations], charging: Charging | None = None
) -> Gate:
    """The gate of a node."""
    return Gate(trust.conditions, verify=trust.verify, revocations=revocations, charging=charging, log=log)


def identify(
    folder: Path, settings: NodeSettings, gate: Gate, engine: Callable[[], Engine], pinned: Callable[[], PinnedHub | None]
) -> Identify | None:
    """Tells who asks the node itself, by the access token of a request; None where the node knows no issuer of them.

    Proofs of a key name the address that they are for. It is the node's by its settings or by its joining, and not what a
    request calls it: a stranger's server, to which somebody was led, would pass token and proof on under its own name.
    """
    if not settings.issuers:
        return None
    door: TokenDoor | None = None
    lock = threading.Lock()

    def opened() -> TokenDoor:
        nonlocal door
        with lock:
            if door is None:
                hub_url = hub.hub_url if (hub := pinned()) else ""
                issuers = {one.issuer: open_issuer(folder, one, hub_url=hub_url) for one in settings.issuers}
                door = TokenDoor(issuers, f"{NODE_AUDIENCE}{settings.id}", Once(engine()))
            return door

    async def who(request: Request) -> Asker:
        if not request.headers.get("authorization"):
            return ANYBODY
        server = _address(request, settings, pinned())
        tokens = await anyio.to_thread.run_sync(opened)
        passport = await tokens.passport_of(request.headers, request.method, server + path_of(request))
        purpose = Purpose(stated_purpose(request.headers))
        return await anyio.to_thread.run_sync(gate.asker, passport, purpose)

    return who


def _address(request: Request, settings: NodeSettings, hub: PinnedHub | None) -> str:
    """The node's address, as people know it who ask it themselves; raises `NotAuthentic` for one that nobody has given it."""
    if settings.url:
        return settings.url.rstrip("/")
    named = f"{request.url.scheme}://{request.url.netloc}"
    joined = hub.node_url.rstrip("/") if hub else ""
    if named.lower() == joined.lower() or request.url.hostname in _LOOPBACK:
        return named
    raise NotAuthentic(
        "this node is not known by that address: its operator sets `url` in node.toml to the one that people ask"
    )
