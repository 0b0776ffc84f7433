"""Keys of trusted issuers: pinned ones, and published ones that are fetched from the list's own addresses and kept."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
import structlog

from cohelix.access.actor import Actor
from cohelix.access.jose import Key, read_key_set
from cohelix.access.passport import Verified, needed_keys, verify_whole
from cohelix.access.trust import Trusted, TrustList
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import NotAuthentic

FRESH_SECONDS: Final = 3600.0  # AAI 1.2.1: keys may be kept, and rotate rarely
AGAIN_SECONDS: Final = 60.0  # a key that is not published, or an address that does not answer, makes us ask once a minute
STALE_SECONDS: Final = 86_400.0  # what was fetched last holds as long, where the issuer does not answer
_SET_BYTES_MAX: Final = 1 << 18
_TIMEOUT_SECONDS: Final = 3.0
_VERIFIED_MAX: Final = 4096
_log = structlog.get_logger()

Fetch = Callable[[str], object]
"""Gets the JSON document at an address; raises `NotAuthentic` where there is none."""


def fetch_json(address: str, authority: Path | None = None) -> object:
    """The JSON document at an address on the list of trust: no redirects, no proxy, no more than a key set may have.

    Parameters
    ----------
    authority
        PEM file of the only authority that is trusted for the address's certificate; None for the system's.

    Raises
    ------
    NotAuthentic
        If there is no such document, or the certificate does not hold.
    """
    try:
        verify = True if authority is None else ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError) as error:
        raise NotAuthentic(f"{authority} does not hold certificates of an authority ({type(error).__name__})") from None
    try:
        with (
            httpx.Client(timeout=_TIMEOUT_SECONDS, follow_redirects=False, trust_env=False, verify=verify) as client,
            client.stream("GET", address, headers={"accept": "application/json"}) as answer,
        ):
            if answer.status_code != 200:
                raise NotAuthentic(f"the issuer's keys could not be fetched: status {answer.status_code}")
            body, clock = b"", SystemClock()
            began = clock.monotonic()
            for part in answer.iter_bytes():
                body += part
                if len(body) > _SET_BYTES_MAX or clock.monotonic() - began > _TIMEOUT_SECONDS:
                    raise NotAuthentic("the issuer's set of keys is too large, or comes too slowly")
        found: object = json.loads(body)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError) as error:
        raise NotAuthentic(f"the issuer's keys could not be fetched ({type(error).__name__})") from None
    return found


def fetching(folder: Path, trust: TrustList, private: Mapping[str, str]) -> Fetch:
    """What fetches keys as a server's settings say whose certificates are believed.

    Parameters
    ----------
    folder
        The server's folder, beneath which the files of authorities lie.
    private
        Files of private authorities by an address of the server that they are of: those of its other settings. An entry's
        own `tls_ca` goes before them.
    """
    files = {_server(address): name for address, name in private.items() if name}
    files |= {entry.jwks: entry.tls_ca for entry in trust.entries if entry.tls_ca}

    def fetch(address: str) -> object:
        name = files.get(address) or files.get(_server(address))
        return fetch_json(address, folder / name if name else None)

    return fetch


def _server(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}".lower()


class KeyRing:
    """The keys of a list of trust; safe for many threads.

    Parameters
    ----------
    trust
        Whose keys; addresses that are not on it are never asked.
    fetch
        How a document is got; only from addresses of `trust`.
    """

    def __init__(self, trust: TrustList, *, fetch: Fetch = fetch_json, clock: Clock | None = None) -> None:
        self._trust, self._fetch, self._clock = trust, fetch, clock or SystemClock()
        self._lock = threading.Lock()
        self._keys: dict[tuple[str, str], Key] = {}
        self._fetched: dict[str, float] = {}
        self._tried: dict[str, float] = {}
        for entry in trust.entries:
            self._keys |= {(entry.issuer, kid): key for kid, key in entry.pinned.items()}

    def keys(self) -> dict[tuple[str, str], Key]:
        """What is known now, by issuer and `kid`; does not change afterwards."""
        return self._keys

    def make_ready(self, named: Iterable[tuple[str, str]]) -> None:
        """Fetch the keys of issuers that are named and not known, or whose keys are old; at most once a minute each."""
        now = self._clock.now().timestamp()
        for issuer, kid in named:
            entry = self._trust.issuer(issuer)
            if entry is None or entry.keys:
                continue
            known = (issuer, kid) in self._keys
            if known and now - self._fetched.get(issuer, 0.0) < FRESH_SECONDS:
                continue
            if now - self._tried.get(issuer, -AGAIN_SECONDS) >= AGAIN_SECONDS:
                self._renew(entry, now)

    def _renew(self, entry: Trusted, now: float) -> None:
        """Take over what an issuer publishes now: keys that it no longer publishes are let go."""
        with self._lock:
            if now - self._tried.get(entry.issuer, -AGAIN_SECONDS) < AGAIN_SECONDS:
                return
            self._tried[entry.issuer] = now
            try:
                published = read_key_set(self._fetch(entry.jwks))
            except NotAuthentic as error:
                _log.warning("keys of an issuer", issuer=entry.issuer, problem=error.detail)
                if now - self._fetched.get(entry.issuer, 0.0) < STALE_SECONDS:
                    return
                published = {}
            else:
                self._fetched[entry.issuer] = now
            others = {name: key for name, key in self._keys.items() if name[0] != entry.issuer}
            self._keys = others | {(entry.issuer, kid): key for kid, key in published.items()}


class PassportDesk:
    """Verifies passports for one audience; one that was verified before is not verified again while it holds.

    What a passport says of times is looked at by whoever decides (`Actor.expires`, `Visa.expires`), and revocations too,
    each time; so only signatures are remembered.
    """

    def __init__(self, ring: KeyRing, trust: TrustList, audience: str | None) -> None:
        self._ring, self._trust, self._audience = ring, trust, audience
        self._lock = threading.Lock()
        self._verified: dict[bytes, tuple[dict[tuple[str, str], Key], Verified]] = {}

    def actor(self, document: str, now: datetime) -> Actor:
        """The person that a passport proves; raises `NotAuthentic`. May ask issuers for their keys, once a minute each."""
        return self.verified(document, now).actor

    def verified(self, document: str, now: datetime) -> Verified:
        """The same, with the visas that were left out."""
        self._ring.make_ready(needed_keys(document, self._trust))
        keys = self._ring.keys()
        name = hashlib.sha256(document.encode("utf-8", "replace")).digest()
        with self._lock:
            found = self._verified.get(name)
        ends = found[1].actor.expires if found else None
        if found is not None and found[0] is keys and ends is not None and now < ends:
            return found[1]
        verified = verify_whole(document, trust=self._trust, keys=keys, audience=self._audience, now=now)
        with self._lock:
            while len(self._verified) >= _VERIFIED_MAX:
                self._verified.pop(next(iter(self._verified)))
            self._verified[name] = (keys, verified)
        return verified
