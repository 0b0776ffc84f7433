"""How many public answers a process has taken to write down: a small file that outlives the process, to count losses by.

The file is mapped, so that counting costs no system call; it survives the process's death, though not a power cut. Each
process holds a lock on its own file for as long as it lives.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_LAYOUT: Final = struct.Struct("<QQ16s")  # taken, whether the database counts this writer, the machine's boot
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class Left(NamedTuple):
    """What an ended process left: its name, what it took, whether the database counted it, and whether that is exact."""

    writer: str
    taken: int
    registered: bool
    exact: bool


class Taken:
    """The count of this process.

    Parameters
    ----------
    folder
        Where the files lie; made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.writer = uuid.uuid4().hex
        self._path = folder / self.writer
        draft = folder / f".{self.writer}"
        self._file = draft.open("x+b")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._file.write(_LAYOUT.pack(0, 0, _boot()))
        self._file.flush()
        draft.rename(self._path)  # seen by others only when it is locked
        self._map = mmap.mmap(self._file.fileno(), _LAYOUT.size)
        self.registered = False

    def add(self) -> None:
        """One more answer was taken; the caller holds a lock."""
        self._put(0, self._get(0) + 1)

    def register(self) -> None:
        """The database counts this process from now on."""
        self._put(8, 1)
        self.registered = True

    def close(self) -> None:
        """Everything that was taken has been written."""
        self._path.unlink(missing_ok=True)
        self._map.close()
        self._file.close()

    def _get(self, place: int) -> int:
        return int.from_bytes(self._map[place : place + 8], "little")

    def _put(self, place: int, value: int) -> None:
        self._map[place : place + 8] = value.to_bytes(8, "little")


def left_behind(folder: Path) -> Iterator[Left]:
    """What processes that have ended without closing took; each file is held while the caller looks, and then removed."""
    for path in sorted(folder.glob("[0-9a-f]*")):
        try:
            file = path.open("r+b")
        except FileNotFoundError:
            continue
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its process lives
            content = file.read(_LAYOUT.size)
            if len(content) == _LAYOUT.size and path.exists():
                taken, registered, boot = _LAYOUT.unpack(content)
                yield Left(path.name, taken, bool(registered), boot == _boot())
            path.unlink(missing_ok=True)


def _boot() -> bytes:
    try:
        return uuid.UUID(_BOOT.read_text().strip()).bytes
    except (OSError, ValueError):
        return os.urandom(16)  # no losses are called exact where the machine does not say when it started
