"""A JSON document and named arrays in one body: how tasks, shares and sums travel between members.

Layout: 8 bytes little-endian length of the header, the header (JSON: the document, and name, dtype and shape of each
array), then the arrays' bytes one after another, little-endian and in C order.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from cohelix.core.errors import BadQuestion

MEDIA_TYPE = "application/vnd.cohelix.packed"
AnyArray = npt.NDArray[Any]
_HEADER_BYTES_MAX = 16 * 1024 * 1024
_LENGTH = struct.Struct("<Q")
_DTYPES = frozenset({"<f8", "<f4", "<i8", "<u8", "<u4", "|u1", "|b1", "|i1"})


class Packed(NamedTuple):
    """What a body holds; arrays are read-only views of it."""

    document: dict[str, Any]
    arrays: dict[str, AnyArray]


def pack(document: Mapping[str, Any], arrays: Mapping[str, AnyArray] | None = None) -> bytes:
    """One body of a document and its arrays; deterministic, so that it may be hashed and signed."""
    given = {name: np.asarray(array, order="C") for name, array in (arrays or {}).items()}  # a number stays one
    given = {name: array.astype(array.dtype.newbyteorder("<"), copy=False) for name, array in given.items()}
    places = [[name, array.dtype.str, list(array.shape)] for name, array in given.items()]
    header = orjson.dumps({"document": dict(document), "arrays": places}, option=orjson.OPT_SORT_KEYS)
    return b"".join([_LENGTH.pack(len(header)), header, *(array.tobytes() for array in given.values())])


def unpack(body: bytes) -> Packed:
    """What `pack` packed.

    Raises
    ------
    BadQuestion
        If the body is anything else: cut off, too long, or of a dtype that is not among those that travel.
    """
    try:
        (length,) = _LENGTH.unpack_from(body)
        if length > min(_HEADER_BYTES_MAX, len(body) - _LENGTH.size):
            raise ValueError("the header is longer than the body")
        header = orjson.loads(memoryview(body)[_LENGTH.size : _LENGTH.size + length])
        arrays, at = {}, _LENGTH.size + length
        for name, kind, shape in header["arrays"]:
            if kind not in _DTYPES or any(not isinstance(size, int) or size < 0 for size in shape):
                raise ValueError("an array of a kind that does not travel")
            count = math.prod(shape)
            size = count * np.dtype(kind).itemsize
            if at + size > len(body):
                raise ValueError("an array is cut off")
            arrays[str(name)] = np.frombuffer(body, kind, count, at).reshape(shape)
            at += size
        if at != len(body) or not isinstance(header["document"], dict):
            raise ValueError("something is left over")
        return Packed(header["document"], arrays)
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise BadQuestion(f"the message is not a packed document ({error})") from None
