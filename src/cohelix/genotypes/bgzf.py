"""BGZF and gzip: a file as a stream of inflated pieces, every block checked; and BGZF for writing.

BGZF is a series of gzip members of at most 64 KiB each, whose header says how long the member is (SAM specification,
section 4.1), so members inflate side by side. isal's inflate and checksum release the interpreter's lock.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from isal import igzip_lib, isal_zlib

from cohelix.core.errors import BadFile

# Inflated bytes of one piece: the unit of work of the loader's threads, and what its memory is counted in.
PIECE_BYTES = 8 << 20
BLOCK_BYTES = 0xFF00  # of a block that we write, as htslib does
END_OF_FILE = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_READ_BYTES = 1 << 20
_HEADER_BYTES = 18
_MEMBERS_MAX = 4096  # of a piece: empty blocks weigh nothing inflated
_NOT_DEFLATE = cast(type[Exception], igzip_lib.IsalError)  # isal's stub has it as an instance


def pieces(
    path: Path, pool: ThreadPoolExecutor, ahead: int, on_read: Callable[[int], None], *, first_bytes: int = PIECE_BYTES
) -> Iterator[bytes]:
    """The inflated content of a file (BGZF, gzip or plain) in pieces of about `PIECE_BYTES`, in order.

    Parameters
    ----------
    pool, ahead
        Threads that inflate BGZF, and how many pieces may wait inflated.
    on_read
        Told how many bytes of the file have been read, after each piece.
    first_bytes
        Of BGZF and plain files, about how long the first piece is; each is up to twice the one before. For who wants a
        header only.

    Raises
    ------
    BadFile
        With the byte of the file, where a block is truncated, damaged or not gzip at all.
    """
    with path.open("rb") as file:
        start = file.read(_HEADER_BYTES)
        file.seek(0)
        if _block_length(start) > 0:
            yield from _bgzf(file, path, pool, ahead, on_read, first_bytes)
        elif start[:2] == b"\x1f\x8b":
            yield from _gzip(file, path, on_read)
        else:
            while piece := file.read(first_bytes):
                on_read(file.tell())
                yield piece
                first_bytes = min(2 * first_bytes, PIECE_BYTES)


def compress_block(data: bytes | memoryview) -> bytes:
    """One BGZF block of at most `BLOCK_BYTES` of data."""
    deflated = igzip_lib.compress(data, 1, igzip_lib.COMP_DEFLATE)
    size = len(deflated) + _HEADER_BYTES + 8
    if size > 0x10000:  # incompressible: a stored block
        deflated = b"\x01" + struct.pack("<HH", len(data), len(data) ^ 0xFFFF) + bytes(data)
        size = len(deflated) + _HEADER_BYTES + 8
    header = struct.pack("<4BI2BH2B2H", 31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, size - 1)
    return header + deflated + struct.pack("<2I", isal_zlib.crc32(data), len(data))


def split_blocks(data: bytes | memoryview) -> Iterator[memoryview]:
    """Cut data into what fits a block each."""
    view = memoryview(data).cast("B")
    for start in range(0, len(view), BLOCK_BYTES):
        yield view[start : start + BLOCK_BYTES]


def _block_length(header: bytes | memoryview) -> int:
    """Whole length of the BGZF block that starts so; 0 where this is no BGZF block."""
    if len(header) < _HEADER_BYTES or header[0] != 31 or header[1] != 139 or header[2] != 8 or not header[3] & 4:
        return 0
    if header[12] != 66 or header[13] != 67 or header[14] != 2 or header[15] != 0:
        return 0
    return int(header[16] | header[17] << 8) + 1


class _Member(NamedTuple):
    """A whole BGZF block, and where it stands in the file."""

    at: int
    data: memoryview


def _bgzf(  # noqa: PLR0917 - a stream and what to do with it
    file: BinaryIO, path: Path, pool: ThreadPoolExecutor, ahead: int, on_read: Callable[[int], None], wanted: int
) -> Iterator[bytes]:
    waiting: deque[tuple[Future[bytes], int]] = deque()
    members: list[_Member] = []
    inflated = 0
    last = b""
    for member in _members(file, path):
        members.append(member)
        inflated += int.from_bytes(member.data[-4:], "little")
        last = bytes(member.data[: len(END_OF_FILE) + 1])
        if inflated >= wanted or len(members) >= _MEMBERS_MAX:
            waiting.append((pool.submit(_inflate, path, members), member.at + len(member.data)))
            members, inflated, wanted = [], 0, min(2 * wanted, PIECE_BYTES)
            if len(waiting) > ahead:
                yield _next(waiting, on_read)
    end = file.tell()
    if members:
        waiting.append((pool.submit(_inflate, path, members), end))
    while waiting:
        yield _next(waiting, on_read)
    if file.read(1):  # an ordinary gzip member stands behind BGZF ones
        file.seek(end)
        yield from _gzip(file, path, on_read)
    elif last != END_OF_FILE:
        raise _bad(path, end, "the BGZF end mark is missing: the file is cut off", "the whole file: copy it again")


def _members(file: BinaryIO, path: Path) -> Iterator[_Member]:
    """The BGZF blocks of a file; at the first other gzip member it stops and leaves the file standing there."""
    held, at = b"", 0
    while more := file.read(_READ_BYTES):
        view = memoryview(held + more)
        p = 0
        while len(view) - p >= _HEADER_BYTES:
            length = _block_length(view[p : p + _HEADER_BYTES])
            if length == 0 and bytes(view[p : p + 2]) == b"\x1f\x8b":
                file.seek(at + p)
                return
            if length <= _HEADER_BYTES + 8:
                raise _bad(path, at + p, "these bytes do not begin a BGZF block", "BGZF blocks to the end of the file")
            if p + length > len(view):
                break
            size = int.from_bytes(view[p + length - 4 : p + length], "little")
            if size > 0x10000:
                raise _bad(path, at + p, f"a block of BGZF claims {size} bytes", "at most 65,536 bytes in a block")
            yield _Member(at + p, view[p : p + length])
            p += length
        held, at = bytes(view[p:]), at + p
    if held:
        raise _bad(path, at, "a BGZF block is cut off", "the whole file: copy it again")


def _next(waiting: deque[tuple[Future[bytes], int]], on_read: Callable[[int], None]) -> bytes:
    future, at = waiting.popleft()
    piece = future.result()
    on_read(at)
    return piece


def _inflate(path: Path, members: list[_Member]) -> bytes:
    """Inflate whole blocks, checking length and CRC of each."""
    parts = []
    for at, block in members:
        extra = 12 + int(block[10] | block[11] << 8)
        crc, size = struct.unpack_from("<2I", block, len(block) - 8)
        if extra != _HEADER_BYTES:
            raise _bad(path, at, "a BGZF block has further extra fields", "BGZF as bgzip and htslib write it")
        try:
            # One byte more than promised, so that a block that holds more is found out and never grows.
            data = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_DEFLATE).decompress(block[extra:-8], size + 1)
        except _NOT_DEFLATE as error:
            raise _bad(path, at, f"a block does not inflate ({error})", "an undamaged file: copy it again") from error
        if len(data) != size or isal_zlib.crc32(data) != crc:
            raise _bad(path, at, "a block's length or checksum (CRC-32) is wrong", "an undamaged file: copy it again")
        parts.append(data)
    return b"".join(parts)


def _gzip(file: BinaryIO, path: Path, on_read: Callable[[int], None]) -> Iterator[bytes]:
    """Inflate ordinary gzip members one after the other, a piece at a time."""
    at = file.tell()
    held = b""
    while True:
        held = held or file.read(_READ_BYTES)
        if not held:
            return
        if len(held) < 2:
            held += file.read(_READ_BYTES)
        if held[:2] != b"\x1f\x8b":
            raise _bad(path, file.tell() - len(held), "bytes behind the end of the gzip data", "gzip members and nothing else")
        member_at = at
        member = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_GZIP)
        while not member.eof:
            try:
                piece = member.decompress(held, PIECE_BYTES)
            except _NOT_DEFLATE as error:
                raise _bad(
                    path, member_at, f"the gzip data is damaged ({error})", "an undamaged file: copy it again"
                ) from error
            held = b""
            if piece:
                on_read(file.tell())
                yield piece
            if not member.eof and member.needs_input:
                held = file.read(_READ_BYTES)
                if not held:
                    raise _bad(path, file.tell(), "the gzip data is cut off", "the whole file: copy it again")
        held = member.unused_data
        at = file.tell() - len(held)


def _bad(path: Path, at: int, problem: str, expected: str) -> BadFile:
    return BadFile(str(path), f"byte {at}", problem, expected)
