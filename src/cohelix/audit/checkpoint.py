"""Signed checkpoints of a log, as notes: whose log, how many entries, their root, when, and by which key.

The form is that of transparency logs (C2SP `tlog-checkpoint` and `signed-note`, Ed25519), with two lines of our own; a
witness adds its line (C2SP `tlog-cosignature`), which says that what it saw before is continued.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cohelix.audit.merkle import HASH_BYTES
from cohelix.core.errors import NotAuthentic

NOTE_BYTES_MAX: Final = 16 * 1024
_ED25519: Final = 1  # C2SP signed-note: the kinds of signatures
_COSIGNATURE: Final = 4
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_LINE: Final = re.compile("— ([^ +\x00-\x1f]{1,200}) ([A-Za-z0-9+/]{20,200}={0,2})")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log at one moment, and who signed it.

    Attributes
    ----------
    origin
        Whose log: `node/FI` or `hub`, after the address of the project.
    size, root
        Entries, and the root of their tree.
    at
        When it was signed, RFC 3339, UTC.
    key
        The log's public key, base64url.
    signatures
        Lines of the note below its text: the log's own first, then witnesses'.
    """

    origin: str
    size: int
    root: bytes
    at: str
    key: str
    signatures: tuple[str, ...] = ()

    def text(self) -> str:
        """What is signed."""
        root = base64.b64encode(self.root).decode()
        return f"{self.origin}\n{self.size}\n{root}\nat {self.at}\nkey {self.key}\n"

    def note(self) -> str:
        """The checkpoint as it is kept and sent."""
        return self.text() + "\n" + "".join(f"{line}\n" for line in self.signatures)


def public_text(private: Ed25519PrivateKey) -> str:
    """The public key of a private one as members write it: 32 bytes, base64url without padding."""
    return base64.urlsafe_b64encode(private.public_key().public_bytes_raw()).decode().rstrip("=")


def time_text(moment: datetime) -> str:
    """A moment as entries and checkpoints write it: UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def signed(checkpoint: Checkpoint, private: Ed25519PrivateKey) -> Checkpoint:
    """The checkpoint with the signature of its log, of whose key it is the private part."""
    named = replace(checkpoint, key=public_text(private), signatures=())
    return replace(named, signatures=(_line(named.origin, _ED25519, named.key, private.sign(named.text().encode())),))


def cosigned(checkpoint: Checkpoint, name: str, private: Ed25519PrivateKey, now: datetime) -> str:
    """The line of a witness who has seen that this checkpoint continues the last one it saw of this log."""
    seconds = int(now.timestamp())
    signature = private.sign(_witnessed(checkpoint, seconds))
    return _line(name, _COSIGNATURE, public_text(private), seconds.to_bytes(8, "big") + signature)


def cosigned_at(checkpoint: Checkpoint, line: str, name: str, key: str) -> datetime:
    """When a witness of this name and key signed its line; `NotAuthentic` if it did not."""
    number, rest = _parted(line, name, _COSIGNATURE, key)
    if number is None or len(rest) != 8 + 64:
        raise NotAuthentic(f"the witness's line is not of {name}")
    seconds = int.from_bytes(rest[:8], "big")
    _verify(key, rest[8:], _witnessed(checkpoint, seconds), f"the signature of the witness {name} does not hold")
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise NotAuthentic(f"the witness's line of {name} has no time") from None


def read_note(note: str) -> Checkpoint:
    """The checkpoint of a note, signed by the log whose key it names.

    Whether that is the log's key is the reader's to know.

    Raises
    ------
    NotAuthentic
        If it is not a checkpoint, or its signature does not hold.
    """
    if len(note) > NOTE_BYTES_MAX:
        raise NotAuthentic("the checkpoint is longer than one is")
    text, gap, below = note.partition("\n\n")
    lines = text.split("\n")
    if not gap or len(lines) != 5 or not below.endswith("\n"):
        raise NotAuthentic("this is not a checkpoint of an audit log")
    origin, size, root, at, key = lines
    if not re.fullmatch(r"0|[1-9]\d{0,17}", size) or not at.startswith("at ") or not key.startswith("key "):
        raise NotAuthentic("this is not a checkpoint of an audit log")
    if not _TIME.fullmatch(at[3:]) or not origin or len(origin) > 200 or " " in origin or "+" in origin:
        raise NotAuthentic("this is not a checkpoint of an audit log")
    found = Checkpoint(origin, int(size), _decoded(root), at[3:], key[4:], tuple(below[:-1].split("\n")))
    if len(found.root) != HASH_BYTES or found.text() != text + "\n":
        raise NotAuthentic("this is not a checkpoint of an audit log")
    if not all(_LINE.fullmatch(line) for line in found.signatures):
        raise NotAuthentic("a line below the checkpoint is not a signature")
    number, signature = _parted(found.signatures[0], origin, _ED25519, found.key)
    if number is None:
        raise NotAuthentic("the checkpoint is not signed by the key that it names")
    _verify(found.key, signature, found.text().encode(), "the signature of the checkpoint does not hold")
    return found


def _line(name: str, kind: int, key: str, signature: bytes) -> str:
    return f"— {name} {base64.b64encode(_number(name, kind, key) + signature).decode()}"


def _number(name: str, kind: int, key: str) -> bytes:
    """The four bytes by which a line names its key (C2SP signed-note)."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + _raw(key)).digest()[:4]


def _parted(line: str, name: str, kind: int, key: str) -> tuple[bytes | None, bytes]:
    """The key's number, or None where the line is not of this name and key; and what follows it."""
    found = _LINE.fullmatch(line)
    if found is None or found[1] != name:
        return None, b""
    content = _decoded(found[2])
    number = _number(name, kind, key)
    return (number if content[:4] == number else None), content[4:]


def _witnessed(checkpoint: Checkpoint, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{checkpoint.text()}".encode()


def _verify(key: str, signature: bytes, content: bytes, problem: str) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(_raw(key)).verify(signature, content)
    except (InvalidSignature, ValueError) as error:
        raise NotAuthentic(problem) from error


def _raw(key: str) -> bytes:
    """The bytes of a public key; `NotAuthentic` for another text."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{43}", key):
        raise NotAuthentic("the key is not an Ed25519 public key")
    raw = base64.urlsafe_b64decode(key + "=")
    if base64.urlsafe_b64encode(raw).decode().rstrip("=") != key:
        raise NotAuthentic("the key is not an Ed25519 public key")
    return raw


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NotAuthentic("this is not a checkpoint of an audit log") from error


def witnesses_of(checkpoint: Checkpoint) -> Sequence[str]:
    """The names of those whose lines stand below a checkpoint, unchecked."""
    return [found[1] for line in checkpoint.signatures[1:] if (found := _LINE.fullmatch(line))]
