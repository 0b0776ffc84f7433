"""The scrubber: reads a serving node's files again and again, slowly, and sets a damaged dataset aside before it answers."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cohelix.bank.bank import Bank
from cohelix.core.errors import Damaged
from cohelix.genotypes.sections import check_file, damage_met, state_of

BYTES_PER_SECOND = 16 << 20  # a small share of what any disk gives; a store of 100 GB takes two hours
PAUSE_SECONDS = 600.0  # between the end of one round and the next
_WATCH_SECONDS = 1.0
_PIECE = 1 << 20
_LOCK_FILE = "scrub.lock"
_log = logging.getLogger("cohelix.bank")


class Scrubber(threading.Thread):
    """Watches over the files that a bank answers from, until stopped.

    Every second it looks whether a file was touched since it was found right, and reads those that were. Beside that, one
    process of a node reads all files through, `bytes_per_second` of them, and begins again after a pause.
    """

    def __init__(
        self, bank: Bank, folder: Path, *, bytes_per_second: int = BYTES_PER_SECOND, pause_seconds: float = PAUSE_SECONDS
    ) -> None:
        super().__init__(name="scrubber", daemon=True)
        self._bank, self._folder = bank, folder
        self._rate, self._pause = bytes_per_second, pause_seconds
        self._ended = threading.Event()
        self._seen: dict[Path, tuple[int, ...]] = {}
        self._next_look = 0.0

    def stop(self) -> None:
        """End the thread, and wait for it."""
        self._ended.set()
        self.join()

    def run(self) -> None:
        """Scrub until stopped."""
        while not self._ended.is_set():
            with self._alone() as mine:
                if mine:
                    self._round()
                self._wait(self._pause if mine else _WATCH_SECONDS)

    def watch(self) -> None:
        """Look once whether a file was touched, or was found damaged by a question."""
        for name, detail in list(damage_met.items()):
            self._set_aside(Damaged(detail, path=name))
            damage_met.pop(name, None)
        present: dict[Path, tuple[int, ...]] = {}
        for path, sha256 in self._files():
            try:
                state = state_of(path)
                if self._seen.get(path, state) != state:
                    check_file(path, sha256)
                present[path] = state
            except OSError as error:
                self._set_aside(Damaged(f"{path.name} cannot be read ({error.strerror})", path=str(path)))
            except Damaged as error:
                self._set_aside(error)
        self._seen = present

    def _round(self) -> None:
        for path, sha256 in list(self._files()):
            digest = hashlib.sha256()
            try:
                with path.open("rb") as file:
                    while piece := file.read(_PIECE):
                        digest.update(piece)
                        self._wait(len(piece) / self._rate)
                        if self._ended.is_set():
                            return
            except OSError as error:
                self._set_aside(Damaged(f"{path.name} cannot be read ({error.strerror})", path=str(path)))
                continue
            if digest.hexdigest() != sha256:
                self._set_aside(Damaged(f"{path.name} is not what was written: its checksum differs", path=str(path)))

    def _files(self) -> Iterator[tuple[Path, str]]:
        for version in self._bank.stored():
            for name, sha256 in version.manifest.files.items():
                yield version.folder / name, sha256

    def _set_aside(self, error: Damaged) -> None:
        replaced = Path(error.path or "")
        if not any(version.folder in replaced.parents for version in self._bank.stored()):
            return
        self._bank.note_damage(error)
        if error.detail in self._bank.damaged().values():
            _log.error("a dataset is damaged and set aside: %s", error.detail, extra={"file": error.path})

    def _wait(self, seconds: float) -> None:
        """Let time pass, watching."""
        end = time.monotonic() + seconds
        while not self._ended.is_set():
            if time.monotonic() >= self._next_look:
                self.watch()
                self._next_look = time.monotonic() + _WATCH_SECONDS
            left = end - time.monotonic()
            if left <= 0:
                return
            self._ended.wait(min(left, _WATCH_SECONDS))

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether no other process of the node scrubs; where the folder cannot be written, everybody may."""
        try:
            with (self._folder / _LOCK_FILE).open("a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield False
                    return
                yield True
        except PermissionError:
            yield True
