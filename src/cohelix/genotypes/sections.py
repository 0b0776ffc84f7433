"""One file of named arrays, written once and memory-mapped: the container of genotype shards and count tables.

Layout, little-endian: a header of 64 bytes (magic, format version, number of sections, file size, rows, samples), a
table of sections (name, NumPy dtype, byte offset, elements), then the arrays, each starting at a multiple of 64 bytes.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cohelix.core.arrays import ByteArray, IntArray
from cohelix.core.errors import Damaged

ALIGNMENT = 64  # a cache line, and the widest vector register
_HEADER = np.dtype(
    [
        ("magic", "S8"),
        ("version", "<u4"),
        ("sections", "<u4"),
        ("bytes", "<u8"),
        ("rows", "<u8"),
        ("samples", "<u8"),
        ("pad", "V24"),
    ]
)
_ENTRY = np.dtype([("name", "S20"), ("dtype", "S4"), ("offset", "<u8"), ("count", "<u8")])

AnyArray = npt.NDArray[Any]
# Files that this process has read and found right: device, inode, size and time of the last change to the checksum.
# Files that were found damaged when a question first needed them, and what is wrong: whoever watches over stores looks here.
damage_met: dict[str, str] = {}
_checked: dict[tuple[int, int, int, int, int], str] = {}


class Written(NamedTuple):
    """A finished file: its size in bytes and its checksum."""

    bytes: int
    sha256: str


def write_sections(
    path: Path, arrays: Mapping[str, AnyArray], *, magic: bytes, version: int, n_rows: int, n_samples: int
) -> Written:
    """Write arrays (empty ones are left out) in the order given, and bring them to the disk before returning."""
    kept = {name: np.ascontiguousarray(array).reshape(-1) for name, array in arrays.items() if array.size}
    table = np.zeros(len(kept), _ENTRY)
    place = _aligned(_HEADER.itemsize + table.nbytes)
    for i, (name, array) in enumerate(kept.items()):
        table[i] = (name.encode(), array.dtype.str.lstrip("|").encode(), place, array.size)
        place = _aligned(place + array.nbytes)
    header = np.zeros((), _HEADER)
    header["magic"], header["version"], header["sections"] = magic, version, len(kept)
    header["bytes"], header["rows"], header["samples"] = place, n_rows, n_samples
    digest = hashlib.sha256()
    with path.open("wb") as file:

        def put(block: bytes | memoryview) -> None:
            file.write(block)
            digest.update(block)

        put(header.tobytes() + table.tobytes())
        for array in kept.values():
            put(bytes(_aligned(file.tell()) - file.tell()))
            put(array.view(np.uint8).data)
        put(bytes(_aligned(file.tell()) - file.tell()))
        file.flush()
        os.fsync(file.fileno())
    return Written(place, digest.hexdigest())


class SectionFile:
    """A mapped file of sections; arrays are read-only views that keep the mapping alive.

    Attributes
    ----------
    path, version, n_rows, n_samples
        As written.
    buffer
        The whole file, (bytes,) uint8.
    """

    def __init__(self, path: Path, *, magic: bytes, versions: Sequence[int]) -> None:
        """Map a file.

        Raises
        ------
        Damaged
            If it is not a whole file of this kind and version.
        """
        self.path = path
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < _HEADER.itemsize:
                    raise Damaged(f"{path} ends before its header")
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as problem:
            raise Damaged(f"{path} cannot be read: {problem.strerror}") from problem
        self.buffer: ByteArray = np.frombuffer(mapped, np.uint8)
        header = np.frombuffer(mapped, _HEADER, 1)[0]
        if bytes(header["magic"]) != magic:
            raise Damaged(f"{path} is not a file of this kind")
        self.version = int(header["version"])
        if self.version not in versions:
            raise Damaged(f"{path} has format version {self.version}; this program reads {', '.join(map(str, versions))}")
        if int(header["bytes"]) != size:
            raise Damaged(f"{path} has {size} bytes where its header says {int(header['bytes'])}")
        self.n_rows, self.n_samples = int(header["rows"]), int(header["samples"])
        n_sections = int(header["sections"])
        if _HEADER.itemsize + n_sections * _ENTRY.itemsize > size:
            raise Damaged(f"{path} ends within its table of sections")
        self._places: dict[str, tuple[np.dtype[Any], int, int]] = {}
        for entry in np.frombuffer(mapped, _ENTRY, n_sections, _HEADER.itemsize):
            try:
                dtype = np.dtype(bytes(entry["dtype"]).decode("ascii"))
            except (TypeError, UnicodeDecodeError) as problem:
                raise Damaged(f"{path} names an unknown type of numbers") from problem
            offset, count = int(entry["offset"]), int(entry["count"])
            if offset % ALIGNMENT or offset + count * dtype.itemsize > size:
                raise Damaged(f"{path} has a section outside itself")
            self._places[bytes(entry["name"]).decode("ascii", "replace")] = (dtype, offset, count)

    def array(self, name: str, dtype: npt.DTypeLike = np.uint8) -> AnyArray:
        """The section of that name; empty, of `dtype`, where the file has none."""
        place = self._places.get(name)
        if place is None:
            return np.empty(0, dtype)
        kind, offset, count = place
        return self.buffer[offset : offset + count * kind.itemsize].view(kind)

    def names(self) -> list[str]:
        """The sections that the file has, in its order."""
        return list(self._places)

    def places(self, names: Sequence[str]) -> IntArray:
        """Byte offset and elements of sections, (names, 2) int64, zeros where absent: what compiled loops take."""
        return np.array([self._places.get(name, (None, 0, 0))[1:] for name in names], np.int64).reshape(-1, 2)


def sha256_of(path: Path) -> str:
    """A file's checksum, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_file(path: Path, sha256: str) -> None:
    """Check a file's every byte, once for each state of it that this process meets.

    Raises
    ------
    Damaged
        If it is absent or differs.
    """
    try:
        _check(path, sha256)
    except Damaged as problem:
        damage_met[str(path)] = problem.detail
        raise


def _check(path: Path, sha256: str) -> None:
    try:
        before = state_of(path)
        if _checked.get(before) == sha256:
            return
        if sha256_of(path) != sha256 or state_of(path) != before:
            raise Damaged(f"{path.parent.name}/{path.name} is not what was written: its checksum differs", path=str(path))
    except OSError as problem:
        raise Damaged(f"{path.parent.name}/{path.name} cannot be read: {problem.strerror}", path=str(path)) from problem
    _checked[before] = sha256


def state_of(path: Path) -> tuple[int, int, int, int, int]:
    """What changes when somebody writes to a file: device, inode, size, times of the last changes."""
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def forget_checks() -> None:
    """Let every file be read again when it is next checked."""
    _checked.clear()


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries (new names, renames) to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def smallest(values: AnyArray, *, signed: bool = False) -> AnyArray:
    """The same integers in the narrowest little-endian dtype that holds them all."""
    kinds = ("<i1", "<i2", "<i4", "<i8") if signed else ("<u1", "<u2", "<u4", "<u8")
    if not values.size:
        return values.astype(kinds[0])
    low, high = int(values.min()), int(values.max())
    for kind in kinds:
        limits = np.iinfo(kind)
        if limits.min <= low and high <= limits.max:
            return values.astype(kind)
    raise OverflowError(f"{low}…{high} fits no integer of 64 bits")


def _aligned(place: int) -> int:
    return -(-place // ALIGNMENT) * ALIGNMENT
