"""Who asks, on the asker's side: a login by device flow, kept in a file of one's own, and proofs of its key (DPoP).

A login is bound to a key that is made for it and never leaves this machine: its tokens are of no use to anybody else.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import httpx

from cohelix.core.errors import BadUsage, IssuerRefused, NotAuthentic, Unreachable

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

CONFIG_VARIABLE: Final = "COHELIX_CONFIG"
SCOPES: Final = "openid profile ga4gh_passport_v1 offline_access"
_DEVICE: Final = "urn:ietf:params:oauth:grant-type:device_code"
_LEFT_SECONDS: Final = 30  # an access token is renewed when it has less than this left
_TIMEOUT_SECONDS: Final = 30.0
_AGAIN: Final = "run `cohelix login --hub {hub}` to log in again"


def config_folder() -> Path:
    """Where logins are kept: `$COHELIX_CONFIG`, else `~/.config/cohelix`."""
    given = os.environ.get(CONFIG_VARIABLE)
    return Path(given) if given else Path.home() / ".config" / "cohelix"


@dataclass(frozen=True, slots=True)
class Asked:
    """A login that has begun: the address to open and the code to type there."""

    address: str
    complete_address: str
    code: str
    seconds: int


class Identity(httpx.Auth):
    """A login at one hub, to be given to `Client(..., identity=…)`; renews its tokens by itself.

    Raises, when it is used, `NotAuthentic` where the login has ended.
    """

    requires_request_body = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._document: dict[str, Any] = _read(path)
        self._key: ECKey | None = None

    @property
    def hub(self) -> str:
        """The hub's address."""
        return str(self._document["hub"])

    @property
    def issuer(self) -> str:
        """Who has said who this is."""
        return str(self._document["issuer"])

    @property
    def subject(self) -> str:
        """The issuer's name for the person."""
        return str(self._document["subject"])

    @property
    def name(self) -> str:
        """What the issuer calls the person."""
        return str(self._document["name"])

    def __repr__(self) -> str:
        """Tells no token."""
        return f"Identity({self.name!r} at {self.hub!r})"

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign a request to the hub, and only to the hub."""
        if _origin(str(request.url)) == _origin(self.hub):
            self._sign(request, self.access_token())
        yield request

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """As `sync_auth_flow`."""
        if _origin(str(request.url)) == _origin(self.hub):
            self._sign(request, await asyncio.to_thread(self.access_token))
        yield request

    def access_token(self, resource: str = "") -> str:
        """An access token that holds: for the hub, or for a node that is asked directly (`urn:cohelix:node:ID`).

        Raises
        ------
        NotAuthentic
            If the login has ended.
        Unreachable
            If the issuer does not answer.
        """
        now = time.time()
        kept = self._document["access"].get(resource or self.hub)
        if kept and kept["ends_at"] - _LEFT_SECONDS > now:
            return str(kept["token"])
        with _locked(self._path):  # one refresh token is good for one program at a time
            self._document = _read(self._path)
            kept = self._document["access"].get(resource or self.hub)
            if kept and kept["ends_at"] - _LEFT_SECONDS > now:
                return str(kept["token"])
            return self._renew(resource)

    def proof(self, method: str, url: str, token: str | None = None) -> str:
        """A proof of this login's key for one request (RFC 9449)."""
        if self._key is None:
            from joserfc.jwk import ECKey

            self._key = ECKey.import_key(self._document["key"])
        return make_proof(self._key, method, url, token)

    def authorization(self, method: str, url: str, resource: str = "") -> dict[str, str]:
        """The headers of a request to a node that is asked directly."""
        token = self.access_token(resource)
        return {"authorization": f"DPoP {token}", "dpop": self.proof(method, url, token)}

    def log_out(self) -> None:
        """End the login, here and at its issuer where that answers."""
        form = {"client_id": self._document["client"], "token": self._document["refresh"], "token_type_hint": "refresh_token"}
        try:
            if self._document.get("revocation_endpoint"):
                _post(self._document["revocation_endpoint"], form, {})
        except (Unreachable, IssuerRefused):
            pass  # it ends there by itself; here it ends now
        finally:
            self._path.unlink(missing_ok=True)

    def _sign(self, request: httpx.Request, token: str) -> None:
        request.headers["authorization"] = f"DPoP {token}"
        request.headers["dpop"] = self.proof(request.method, str(request.url), token)

    def _renew(self, resource: str) -> str:
        address = self._document["token_endpoint"]
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self._document["refresh"],
            "client_id": self._document["client"],
        }
        if resource:
            form["resource"] = resource
        try:
            answer = _post(address, form, {"dpop": self.proof("POST", address)})
        except IssuerRefused as error:
            if error.error != "invalid_grant":
                raise
            raise NotAuthentic(f"your login at {self.hub} has ended; {_AGAIN.format(hub=self.hub)}") from error
        token = str(answer["access_token"])
        held = {"token": token, "ends_at": time.time() + int(answer.get("expires_in", 60))}
        access = {**self._document["access"], resource or self.hub: held}
        self._document = {**self._document, "refresh": str(answer["refresh_token"]), "access": access}
        _write(self._path, self._document)
        return token


def identity_of(hub: str) -> Identity | None:
    """The login at a hub that this machine's person has, if there is one."""
    path = _path_of(hub)
    return Identity(path) if path.is_file() else None


def log_in(hub: str, show: Callable[[Asked], None], *, sleep: Callable[[float], None] = time.sleep) -> Identity:
    """Log in at a hub's issuer by device flow; `show` tells the person the address and the code.

    Raises
    ------
    IssuerRefused
        If the login is denied, or nobody allows it in time.
    Unreachable
        If the hub or its issuer does not answer.
    """
    from joserfc.jwk import ECKey

    hub = hub.rstrip("/")
    client, metadata = _metadata(hub)
    if "device_authorization_endpoint" not in metadata:
        raise BadUsage(f"the issuer of {hub} does not offer logins of programs (device flow)")
    key = ECKey.generate_key("P-256")
    address, token_address = metadata["device_authorization_endpoint"], metadata["token_endpoint"]
    begun = _post(address, {"client_id": client, "scope": SCOPES}, {"dpop": make_proof(key, "POST", address)})
    seconds, interval = int(begun.get("expires_in", 600)), float(begun.get("interval", 5))
    complete = str(begun.get("verification_uri_complete") or begun["verification_uri"])
    show(Asked(str(begun["verification_uri"]), complete, str(begun["user_code"]), seconds))
    form = {"grant_type": _DEVICE, "device_code": str(begun["device_code"]), "client_id": client}
    deadline = time.monotonic() + seconds + interval
    while True:
        sleep(interval)
        try:
            answer = _post(token_address, form, {"dpop": make_proof(key, "POST", token_address)})
            break
        except IssuerRefused as error:
            if error.error not in ("authorization_pending", "slow_down") or time.monotonic() > deadline:
                raise
            interval += 5 if error.error == "slow_down" else 0
    claims = _claims(str(answer.get("id_token", "")))
    held = {"token": str(answer["access_token"]), "ends_at": time.time() + int(answer.get("expires_in", 60))}
    document = {
        "hub": hub,
        "issuer": metadata["issuer"],
        "client": client,
        "token_endpoint": token_address,
        "revocation_endpoint": metadata.get("revocation_endpoint", ""),
        "subject": str(claims.get("sub", "")),
        "name": str(claims.get("name") or claims.get("sub", "")),
        "key": key.as_dict(private=True),
        "refresh": str(answer["refresh_token"]),
        "access": {hub: held},
    }
    path = _path_of(hub)
    _write(path, document)
    return Identity(path)


def make_proof(key: ECKey, method: str, url: str, token: str | None = None) -> str:
    """A DPoP proof of a key for one request, and for one access token where it goes with one."""
    from joserfc import jwt

    parts = urlsplit(url)
    claims: dict[str, Any] = {
        "jti": secrets.token_urlsafe(16),
        "htm": method,
        "htu": f"{parts.scheme}://{parts.netloc}{parts.path}",
        "iat": int(time.time()),
    }
    if token is not None:
        claims["ath"] = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
    return jwt.encode(header, claims, key, algorithms=["ES256"])


def _metadata(hub: str) -> tuple[str, dict[str, Any]]:
    """As whom a program asks the issuer that the hub names, and its discovery document."""
    told = _ask("GET", f"{hub}/api/v1/identity")
    issuer, client = told.get("issuer"), told.get("clientId")
    if not isinstance(issuer, str) or not isinstance(client, str) or not issuer or not client:
        raise BadUsage(f"nobody can log in at {hub} from a program: its operator has named no issuer that offers this")
    metadata = _ask("GET", issuer.rstrip("/") + "/.well-known/openid-configuration")
    if metadata.get("issuer") != issuer:
        raise NotAuthentic(f"{issuer} calls itself by another name")
    return client, metadata


def _post(address: str, form: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, Any]:
    return _ask("POST", address, form=form, headers=headers)


def _ask(
    method: str, address: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    loopback = (urlsplit(address).hostname or "") in ("127.0.0.1", "::1", "localhost")
    try:
        with httpx.Client(timeout=_TIMEOUT_SECONDS, trust_env=not loopback) as client:
            answer = client.request(method, address, data=form, headers={"accept": "application/json", **(headers or {})})
        found = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unreachable(f"nobody answers at {address} ({type(error).__name__})") from error
    except ValueError:
        found = None
    if not isinstance(found, dict) or answer.status_code >= 500:
        raise Unreachable(f"{address} answered with HTTP {answer.status_code}, and not as an issuer does")
    if answer.status_code != 200:
        words = str(found.get("error_description") or found.get("detail") or f"HTTP {answer.status_code}")
        raise IssuerRefused(str(found.get("error", "")), words)
    return found


def _claims(token: str) -> dict[str, Any]:
    """What the id token says, which came from the issuer itself over a connection of ours."""
    try:
        part = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, IndexError):
        return {}
    return found if isinstance(found, dict) else {}


def _path_of(hub: str) -> Path:
    """One file for each hub."""
    hub = hub.rstrip("/")
    host = "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in urlsplit(hub).netloc)[:80]
    return config_folder() / "logins" / f"{host}-{hashlib.sha256(hub.encode()).hexdigest()[:12]}.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_mode & 0o077:
            raise BadUsage(f"{path} holds your login and may be read by others: chmod 600 {path}")
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict) or not {"hub", "key", "refresh", "access", "issuer"} <= found.keys():
            raise ValueError("something is missing")
    except FileNotFoundError:
        raise NotAuthentic("you are logged out") from None
    except ValueError as error:
        raise NotAuthentic(f"{path} is not a login ({error}): delete it and log in again") from None
    return found


def _write(path: Path, document: Mapping[str, Any]) -> None:
    """Replace the file at once, readable by its owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(f".{os.getpid()}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Only one program at a time renews a login."""
    descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if sys.platform != "win32":
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()
