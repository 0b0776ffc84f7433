"""What members sign for a secure sum, and what is kept of it: headers of shares, partial sums, and the opening of a block."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pydantic import Field, ValidationError

from cohelix.core.errors import BadQuestion
from cohelix.stats.secret_sharing import Ring, Words
from cohelix.wire.frequency import Wire
from cohelix.wire.packed import pack, unpack
from cohelix.wire.plan import canonical

_HEX = "^[0-9a-f]{64}$"


class Place(NamedTuple):
    """Which sum is meant: the number of the ask in the run, the number of the block in the ask, `Ask.digest()`.

    A step over people has the one block 0.
    """

    ask: int
    block: int
    ask_digest: str


class _Placed(Wire):
    """What every signed document of a sum names."""

    run: str = Field(min_length=1, max_length=64)
    roster_hash: str = Field(pattern=_HEX)
    ask: int = Field(ge=0)
    block: int = Field(ge=0)
    ask_digest: str = Field(pattern=_HEX)
    node: str = Field(min_length=1, max_length=64)
    narrow: int = Field(ge=0, le=2**27)
    wide: int = Field(ge=0, le=2**26)
    signature: str = Field(default="", max_length=100)

    @property
    def place(self) -> Place:
        return Place(self.ask, self.block, self.ask_digest)

    @property
    def ring(self) -> Ring:
        return Ring(self.narrow, self.wide)

    def content(self) -> bytes:
        """What is signed."""
        return canonical(self.model_dump(mode="json", exclude={"signature"}))


class Header(_Placed):
    """What a contributor signs for a block, without telling a figure.

    `salt` is a keyed hash of its figures that only it can make; it enters every key. `payload_digest` is the SHA-256 of the
    one share that travels; `commitments` that of each receiver's key, in the roster's order (empty without aggregators).
    """

    salt: str = Field(pattern=_HEX)
    payload_digest: str = Field(pattern=_HEX)
    commitments: tuple[str, ...] = Field(default=(), max_length=3)


class Partial(_Placed):
    """What an aggregator signs for a block: of which headers it is the sum, and the SHA-256 of its words."""

    headers_digest: str = Field(pattern=_HEX)
    words_digest: str = Field(pattern=_HEX)


class Sealed(NamedTuple):
    """A contributor's answer: its signed header, and by receiver the share that travels (there is one)."""

    header: Header
    payloads: dict[str, bytes]


class Added(NamedTuple):
    """An aggregator's answer: its signed document and its sum."""

    partial: Partial
    words: Words


class Opening(NamedTuple):
    """All that the total of a block is opened from; kept, it is the run's transcript."""

    headers: tuple[Header, ...]
    added: tuple[Added, ...]

    def packed(self) -> bytes:
        """As bytes, to keep or to send."""
        document = {
            "headers": [one.model_dump(mode="json") for one in self.headers],
            "partials": [one.partial.model_dump(mode="json") for one in self.added],
        }
        return pack(document, {str(number): one.words for number, one in enumerate(self.added)})


def opening_of(body: bytes) -> Opening:
    """What `Opening.packed` packed; `BadQuestion` if it is something else. Signatures are not checked yet."""
    try:
        document, arrays = unpack(body)
        headers = tuple(Header.model_validate(one) for one in document["headers"])
        partials = [Partial.model_validate(one) for one in document["partials"]]
        words = [arrays[str(number)] for number in range(len(partials))]
    except (KeyError, TypeError, ValidationError) as error:
        raise BadQuestion("the message is not an opened block") from error
    if any(one.dtype != np.uint64 or one.ndim != 1 for one in words):
        raise BadQuestion("partial sums are vectors of words")
    return Opening(headers, tuple(Added(*pair) for pair in zip(partials, words, strict=True)))


def raw(words: Words) -> memoryview:
    """The bytes of words as they travel, little-endian."""
    return np.ascontiguousarray(words, "<u8").view(np.uint8).data


def words_digest(words: Words) -> str:
    return hashlib.sha256(raw(words)).hexdigest()


def headers_digest(ordered: Sequence[Header]) -> str:
    return hashlib.sha256(canonical([one.model_dump(mode="json") for one in ordered])).hexdigest()
