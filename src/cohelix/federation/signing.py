"""Signs and checks messages between members: Ed25519 keys, RFC 9421 signatures, RFC 9530 digests.

One profile, used in both directions. A request's signature covers method, target, content type and body; an answer's
covers status, content type, body and the signature of the request that it answers, so neither can be used elsewhere.
Why this is our own code, with the PyPI library as its referee in the tests: `docs/decisions/0005-message-signatures.md`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import secrets
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NewType

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import Conflict, Damaged, NotAuthentic, NotFound
from cohelix.core.private_files import check_private

PublicKey = NewType("PublicKey", str)  # the 32 raw bytes, base64url without padding: 43 characters

TOLERANCE_SECONDS = 60  # between two members' clocks; interface and threat T19 of the security note
LABEL = "cohelix"
_KEY_FILE = "key.pem"
NONCES_FILE = "nonces.sqlite"  # in the folder of a node or hub
# A signature input longer than this is no message of ours (ours has about 250 characters).
_INPUT_CHARACTERS_MAX = 1024
_PARAMETER = re.compile(r';(?P<name>[a-z*][a-z0-9_.*-]*)=(?:(?P<number>-?\d{1,15})|"(?P<text>[\x20\x21\x23-\x5b\x5d-\x7e]*)")')
_SIGNATURE = re.compile(LABEL + r"=(?P<value>:(?P<base64>[A-Za-z0-9+/]{86}==):)")
_KNOWN_PARAMETERS = frozenset({"created", "expires", "keyid", "alg", "nonce", "tag"})


class _Profile(NamedTuple):
    """What a signature of one kind covers, and the tag that keeps the kinds apart."""

    covered: str
    tag: str


_REQUEST = _Profile('("@method" "@target-uri" "content-type" "content-digest")', "cohelix-request-1")
_ANSWER = _Profile(f'("@status" "content-type" "content-digest" "signature";req;key="{LABEL}")', "cohelix-answer-1")


class Identity:
    """A member's or the hub's key pair; of one that is kept in a folder always the one that lies there now."""

    def __init__(self, private: Ed25519PrivateKey, public: PublicKey | None = None) -> None:
        self._private = private
        self._public = public or _text_of(private.public_key())

    @property
    def private(self) -> Ed25519PrivateKey:
        """What signs."""
        return self._private

    @property
    def public(self) -> PublicKey:
        """What others know it by."""
        return self._public

    def current(self) -> Identity:
        """The key pair of this moment, which stays as it is: for a signature that names its key."""
        return self

    def holding(self, key: str) -> Identity:
        """The key pair of this public key, which may be a former one; the current one where that key is no longer kept."""
        return self

    def __repr__(self) -> str:
        """Names the public key only."""
        return f"Identity({self.public})"


class _KeptIdentity(Identity):
    """The key pair in a folder, read anew when another has taken its place (`successions.py`)."""

    def __init__(self, folder: Path) -> None:
        self._place = folder / "identity"
        self._kept: tuple[tuple[int, int], Identity] | None = None
        super().__init__(self.current().private)

    @property
    def private(self) -> Ed25519PrivateKey:
        return self.current().private

    @property
    def public(self) -> PublicKey:
        return self.current().public

    def current(self) -> Identity:
        path = self._place / _KEY_FILE
        try:
            state = path.stat()
        except FileNotFoundError:
            folder = self._place.parent
            raise NotFound(f"{folder} has no identity: make one with `cohelix node init` or `cohelix hub init`") from None
        version, kept = (state.st_ino, state.st_mtime_ns), self._kept
        if kept is None or kept[0] != version:
            kept = self._kept = (version, _read_key(path))
        return kept[1]

    def holding(self, key: str) -> Identity:
        now = self.current()
        former = former_key_file(self._place.parent, key)
        return now if key == now.public or not former.is_file() else _read_key(former)


@dataclass(frozen=True, slots=True)
class Signed:
    """What a checked request tells: its key, its nonce, and the signature that an answer must be bound to."""

    key: PublicKey
    nonce: str
    created: int
    signature: str


def create_identity(folder: Path) -> Identity:
    """Make a key pair in `folder/identity/` (0700; the key 0600, PKCS 8 PEM) and return it.

    Parameters
    ----------
    folder
        The node's or the hub's own folder, which exists.

    Raises
    ------
    Conflict
        If the folder has an identity already: a member's key is never overwritten.
    """
    private = Ed25519PrivateKey.generate()
    place = folder / "identity"
    place.mkdir(mode=0o700, exist_ok=True)
    place.chmod(0o700)
    try:
        write_key(place / _KEY_FILE, private)
    except FileExistsError as error:
        raise Conflict(f"{place} holds an identity already") from error
    return Identity(private)


def load_identity(folder: Path) -> Identity:
    """The key pair of a node's or hub's folder, also after it gave way to another.

    Raises
    ------
    NotFound
        If there is none.
    Damaged
        If it is unreadable.
    BadUsage
        If others than its owner may read it.
    """
    return _KeptIdentity(folder)


def write_key(path: Path, private: Ed25519PrivateKey) -> None:
    """Write a private key to a new file (0600, PKCS 8 PEM); `FileExistsError` where there is one."""
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())


def former_key_file(folder: Path, key: str) -> Path:
    """Where a node's or hub's folder keeps the private key of a former public key."""
    return folder / "identity" / "former" / f"{public_key(key)}.pem"


def _read_key(path: Path) -> Identity:
    check_private(path)
    try:
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise Damaged(f"{path} is not a private key") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise Damaged(f"{path} is not an Ed25519 key")
    return Identity(private)


def public_key(text: str) -> PublicKey:
    """Read a public key as members write it; `NotAuthentic` if it is not one."""
    _loaded(text)
    return PublicKey(text)


def new_nonce() -> str:
    """A value that no other request carries."""
    return secrets.token_urlsafe(18)


def content_digest(body: bytes) -> str:
    """The `Content-Digest` field of a body (RFC 9530, sha-256)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def signature_base(components: Sequence[tuple[str, str]], parameters: str) -> bytes:
    """The bytes that are signed (RFC 9421 section 2.5).

    Parameters
    ----------
    components
        Component identifiers as serialized, quotes and parameters included, with their values.
    parameters
        The inner list with its parameters: the value of `@signature-params`.
    """
    lines = [f"{name}: {value}" for name, value in components]
    return "\n".join([*lines, f'"@signature-params": {parameters}']).encode("ascii")


def sign_request(
    identity: Identity,
    *,
    method: str,
    url: str,
    body: bytes,
    content_type: str = "application/json",
    clock: Clock | None = None,
) -> dict[str, str]:
    """Header fields that make a request ours: content type, digest, signature input and signature.

    Parameters
    ----------
    url
        The absolute target, as the receiver's registered address spells it.
    """
    digest = content_digest(body)
    return _signed(identity, _REQUEST, _request_values(method, url, content_type, digest), clock)


def check_request(
    headers: Mapping[str, str],
    *,
    method: str,
    url: str,
    body: bytes | None,
    keys: Sequence[PublicKey],
    clock: Clock | None = None,
) -> Signed:
    """Check that a request was signed by one of `keys`, for this target, over this body, within the last minute.

    Parameters
    ----------
    headers
        Header fields with names in lower case; fields that came several times joined by commas.
    body
        None where it is yet to be read, so that a stranger's large body never is; `check_body` must follow.

    Raises
    ------
    NotAuthentic
        With what does not hold. Replays are the caller's to find: see `NonceCache`.
    """
    digest, kind = headers.get("content-digest", ""), headers.get("content-type", "")
    components = _request_values(method, url, kind, digest)
    return _checked(headers, _REQUEST, components, body=body, keys=keys, clock=clock)


def check_body(headers: Mapping[str, str], body: bytes) -> None:
    """Check that a body is the one whose digest was signed; `NotAuthentic` if not."""
    if not secrets.compare_digest(headers.get("content-digest", "").encode(), content_digest(body).encode()):
        raise NotAuthentic("the body is not the one that was signed")


def sign_answer(
    identity: Identity,
    *,
    status: int,
    body: bytes,
    to: str,
    content_type: str = "application/json",
    clock: Clock | None = None,
) -> dict[str, str]:
    """Header fields that make an answer ours, bound to the request whose `signature` (see `Signed`) is `to`."""
    digest = content_digest(body)
    return _signed(identity, _ANSWER, _answer_values(status, content_type, digest, to), clock)


def check_answer(
    headers: Mapping[str, str],
    *,
    status: int,
    body: bytes,
    to: str,
    keys: Sequence[PublicKey],
    clock: Clock | None = None,
) -> Signed:
    """Check that an answer was signed by one of `keys`, over this body, to the request whose signature is `to`.

    Raises
    ------
    NotAuthentic
        With what does not hold.
    """
    digest, kind = headers.get("content-digest", ""), headers.get("content-type", "")
    components = _answer_values(status, kind, digest, to)
    return _checked(headers, _ANSWER, components, body=body, keys=keys, clock=clock)


def signature_of(headers: Mapping[str, str]) -> str:
    """The serialized signature in header fields that `sign_request` made; what an answer is bound to."""
    found = _SIGNATURE.fullmatch(headers.get("signature", ""))
    if found is None:
        raise NotAuthentic("the message is not signed")
    return found["value"]


def sign_document(identity: Identity, kind: str, content: bytes) -> str:
    """A signature of a document that is kept and passed on, unlike a message: base64url without padding.

    Parameters
    ----------
    kind
        What the document is, with its version: signatures of one kind never hold for another.
    content
        Its canonical bytes.
    """
    return base64.urlsafe_b64encode(identity.private.sign(_document(kind, content))).decode().rstrip("=")


def document_holds(key: str, kind: str, content: bytes, signature: str) -> bool:
    """Whether `key` signed this document as this kind."""
    try:
        _loaded(key).verify(base64.urlsafe_b64decode(signature + "=="), _document(kind, content))
    except (InvalidSignature, NotAuthentic, ValueError):
        return False
    return True


def _document(kind: str, content: bytes) -> bytes:
    return kind.encode("ascii") + b"\n" + content


class NonceCache:
    """Nonces of accepted requests for as long as their signatures hold, so that none is accepted twice.

    Only nonces of requests with a good signature are kept, so that a stranger cannot fill it. Worker processes of one
    server share it through a file, which also outlives a restart.

    Parameters
    ----------
    path
        The file; None keeps the nonces in memory.
    size_max
        Most nonces that are remembered at a time.
    """

    def __init__(self, path: Path | None = None, *, size_max: int = 200_000, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._size_max = size_max
        self._lock = threading.Lock()
        # Losing the last nonces with the machine's power is bearable; waiting for the disk with every question is not.
        self._nonces = sqlite3.connect(path or ":memory:", timeout=5.0, isolation_level=None, check_same_thread=False)
        self._nonces.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;"
            "CREATE TABLE IF NOT EXISTS nonces (number INTEGER PRIMARY KEY, nonce TEXT UNIQUE, forget_at REAL NOT NULL);"
            "CREATE INDEX IF NOT EXISTS by_time ON nonces (forget_at)"
        )

    def spend(self, signed: Signed) -> None:
        """Mark a nonce as used; `NotAuthentic` if it was, or if more requests came than can be remembered."""
        now = self._clock.now().timestamp()
        with self._lock, self._nonces as nonces:
            nonces.execute("BEGIN IMMEDIATE")
            nonces.execute("DELETE FROM nonces WHERE forget_at <= ?", (now,))
            if nonces.execute("SELECT 1 FROM nonces WHERE nonce = ?", (signed.nonce,)).fetchone():
                raise NotAuthentic("this request was already answered once")
            # Numbers are consecutive and forgotten in order, so their span is their count, found without counting.
            (span,) = nonces.execute("SELECT max(number) - (SELECT min(number) FROM nonces) + 1 FROM nonces").fetchone()
            if (span or 0) >= self._size_max:
                raise NotAuthentic("too many requests within two minutes to tell replays from new ones")
            forget_at = now + 2 * TOLERANCE_SECONDS + 1
            nonces.execute("INSERT INTO nonces (nonce, forget_at) VALUES (?, ?)", (signed.nonce, forget_at))


def _request_values(method: str, url: str, content_type: str, digest: str) -> list[tuple[str, str]]:
    return [
        ('"@method"', method),
        ('"@target-uri"', url),
        ('"content-type"', content_type),
        ('"content-digest"', digest),
    ]


def _answer_values(status: int, content_type: str, digest: str, to: str) -> list[tuple[str, str]]:
    return [
        ('"@status"', str(status)),
        ('"content-type"', content_type),
        ('"content-digest"', digest),
        (f'"signature";req;key="{LABEL}"', to),
    ]


def _signed(
    identity: Identity, profile: _Profile, components: Sequence[tuple[str, str]], clock: Clock | None
) -> dict[str, str]:
    created, identity = int((clock or SystemClock()).now().timestamp()), identity.current()
    parameters = (
        f"{profile.covered};created={created};expires={created + TOLERANCE_SECONDS}"
        f';keyid="{identity.public}";alg="ed25519";nonce="{new_nonce()}";tag="{profile.tag}"'
    )
    signature = identity.private.sign(signature_base(components, parameters))
    values = dict(components)
    return {
        "content-type": values['"content-type"'],
        "content-digest": values['"content-digest"'],
        "signature-input": f"{LABEL}={parameters}",
        "signature": f"{LABEL}=:{base64.b64encode(signature).decode()}:",
    }


def _checked(
    headers: Mapping[str, str],
    profile: _Profile,
    components: Sequence[tuple[str, str]],
    *,
    body: bytes | None,
    keys: Sequence[PublicKey],
    clock: Clock | None,
) -> Signed:
    """Signature first, then body, then the time: what an unknown sender writes is never looked into."""
    signature = signature_of(headers)
    parameters = headers.get("signature-input", "").removeprefix(f"{LABEL}=")
    given = _parameters(parameters, profile.covered)
    if given["tag"] != profile.tag or given.get("alg", "ed25519") != "ed25519":
        raise NotAuthentic("the signature is of another kind")
    if given["keyid"] not in keys:
        raise NotAuthentic("the signature is by an unknown key")
    key = PublicKey(str(given["keyid"]))
    try:
        base = signature_base(components, parameters)
        _loaded(key).verify(base64.b64decode(signature.strip(":")), base)
    except (InvalidSignature, UnicodeEncodeError, binascii.Error) as error:
        raise NotAuthentic("the signature does not hold") from error
    if body is not None:
        check_body(headers, body)
    created = int(given["created"])
    _check_fresh(created, int(given.get("expires", created + TOLERANCE_SECONDS)), clock)
    return Signed(key, str(given["nonce"]), created, signature)


def _parameters(text: str, covered: str) -> dict[str, str | int]:
    """The signature's parameters, each once, of a signature that covers exactly what our profile covers."""
    if len(text) > _INPUT_CHARACTERS_MAX or not text.startswith(covered):
        raise NotAuthentic("the signature does not cover what it must")
    found: dict[str, str | int] = {}
    at = len(covered)
    while at < len(text):
        part = _PARAMETER.match(text, at)
        if part is None or part["name"] in found or part["name"] not in _KNOWN_PARAMETERS:
            raise NotAuthentic("the signature's parameters are not understood")
        found[part["name"]] = int(part["number"]) if part["number"] is not None else part["text"]
        at = part.end()
    wanted = {"created": int, "keyid": str, "nonce": str, "tag": str}
    if any(type(found.get(name)) is not kind for name, kind in wanted.items()) or type(found.get("expires", 0)) is not int:
        raise NotAuthentic("the signature lacks a parameter, or one is of the wrong kind")
    return found


def _check_fresh(created: int, expires: int, clock: Clock | None) -> None:
    now = (clock or SystemClock()).now().timestamp()
    off = created - now
    if abs(off) > TOLERANCE_SECONDS + 1:  # `created` is cut to whole seconds
        raise NotAuthentic(f"the signature was made {abs(off):.0f} s {'in the future' if off > 0 else 'ago'}: is a clock off?")
    if now > expires + TOLERANCE_SECONDS:
        raise NotAuthentic("the signature has expired")


def _text_of(key: Ed25519PublicKey) -> PublicKey:
    return PublicKey(base64.urlsafe_b64encode(key.public_bytes_raw()).decode().rstrip("="))


def _loaded(text: str) -> Ed25519PublicKey:
    if not re.fullmatch(r"[A-Za-z0-9_-]{43}", text):
        raise NotAuthentic("not an Ed25519 public key")
    try:
        return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(text + "="))
    except ValueError as error:
        raise NotAuthentic("not an Ed25519 public key") from error
