"""The atomic switch: how a dataset's version comes to be, is found, and goes.

datasets/<id>/current.json        {"version": 3, …}: the one pointer, replaced in one step, with checksums
datasets/<id>/hidden.json         the same pointer of a dataset that the public does not see; retired.json: for good
datasets/<id>/versions/000003/    a complete version; never changed once it is named so
datasets/<id>/releases/           the history of public releases
datasets/<id>/staging/            what a load is making; left over only by a killed load
datasets/<id>/load.lock           held by whatever is changing the dataset
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cohelix.bank.manifest import MANIFEST_FILE, REPORT_FILE
from cohelix.bank.version import OpenVersion
from cohelix.core.errors import Conflict, Damaged, NotFound
from cohelix.core.ids import DatasetId, dataset_id
from cohelix.genotypes.sections import sha256_of

DATASETS = "datasets"
CURRENT_FILE = "current.json"
State = Literal["published", "hidden", "retired"]
_POINTERS: dict[State, str] = {"published": CURRENT_FILE, "hidden": "hidden.json", "retired": "retired.json"}
VERSIONS = "versions"
_STAGING, _LOCK_FILE = "staging", "load.lock"
_OPEN_ATTEMPTS = 5  # a version may be replaced twice, and so be gone, between reading the pointer and opening it
_VERSIONS_KEPT = 2  # the current one, and the one before it for readers that still hold it


class Pointer(NamedTuple):
    """Which version is the current one, the checksums of its manifest and its report, and whether the public sees it."""

    version: int
    manifest: str | None
    report: str | None
    state: State


def published(node: Path) -> dict[DatasetId, tuple[int, int]]:
    """The node's published datasets by id, each with a mark that changes when another version is published."""
    folder = os.path.join(node, DATASETS)  # noqa: PTH118 - looked at before every question: pathlib takes thrice as long
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208
    except FileNotFoundError:
        return {}
    found = {}
    for name in names:
        try:
            status = os.stat(f"{folder}/{name}/{CURRENT_FILE}")  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            continue
        found[DatasetId(name)] = (status.st_ino, status.st_mtime_ns)
    return found


def published_mark(node: Path) -> int:
    """Changes with whatever `published` finds; of a folder that was changed by other hands it may not."""
    try:
        return os.stat(f"{node}/{DATASETS}").st_mtime_ns  # noqa: PTH116 - looked at before every question
    except FileNotFoundError:
        return 0


def all_datasets(node: Path) -> list[DatasetId]:
    """Every dataset that the node holds, hidden and retired ones too, by id."""
    folder = node / DATASETS
    if not folder.is_dir():
        return []
    homes = sorted(path for path in folder.iterdir() if path.is_dir())
    return [DatasetId(home.name) for home in homes if any((home / name).exists() for name in _POINTERS.values())]


def read_pointer(home: Path) -> Pointer | None:
    """A dataset's pointer; None where nothing was ever loaded. Raises `Damaged` where a bit of it is not what was written."""
    for state, name in _POINTERS.items():
        try:
            text = (home / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        except UnicodeDecodeError:
            text = ""
        try:
            found = json.loads(text)
            pointer = Pointer(int(found["version"]), found.get("manifest"), found.get("report"), state)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Damaged(f"{name} of dataset {home.name} does not name a version", path=str(home / name)) from None
        if text != _pointer_text(pointer):
            raise Damaged(f"{name} of dataset {home.name} is not what was written", path=str(home / name))
        return pointer
    return None


def current_version(node: Path, dataset: DatasetId) -> Path:
    """The folder of the dataset's current version, hidden or not.

    Raises
    ------
    NotFound
        If the node has no such dataset.
    """
    return _pointed(node, dataset)[1]


def open_current(node: Path, dataset: DatasetId) -> OpenVersion:
    """The dataset's current version, opened, even while loads replace it."""
    for _ in range(_OPEN_ATTEMPTS - 1):
        pointer, folder = _pointed(node, dataset)
        try:
            return _open(pointer, folder)
        except (Damaged, OSError):
            if _pointed(node, dataset) == (pointer, folder):
                raise
    return _open(*_pointed(node, dataset))


def open_version(node: Path, dataset: DatasetId, number: int) -> OpenVersion:
    """A version that is still kept: the current one or the one before it; raises `NotFound` where it is gone."""
    folder = node / DATASETS / dataset_id(dataset) / VERSIONS / f"{number:06d}"
    if not folder.is_dir():
        raise NotFound(f"dataset {dataset} no longer has a version {number}: the current one and the one before it are kept")
    return OpenVersion.open(folder)


def change_state(node: Path, dataset: DatasetId, state: State) -> None:
    """Hide a dataset from the public, show it again or retire it: one rename."""
    with locked(node, dataset) as home:
        pointer = read_pointer(home)
        assert pointer is not None  # `locked` has looked
        if pointer.state != state:
            (home / _POINTERS[pointer.state]).rename(home / _POINTERS[state])
            note_switch(home)


class Staging:
    """A version in the making: `folder` is its place, `number` the one it will have, `before` the version it replaces."""

    def __init__(self, home: Path, number: int, before: Path | None) -> None:
        self.home, self.number, self.folder, self.before = home, number, home / _STAGING, before

    def publish(self, *, keep_before: bool = True) -> Path:
        """Make the staged folder the current version: everything to disk, one rename, one pointer; then let old ones go."""
        pointer = read_pointer(self.home)
        for path in sorted(self.folder.rglob("*"), reverse=True):
            to_disk(path)
        to_disk(self.folder)
        versions = self.home / VERSIONS
        target = versions / f"{self.number:06d}"
        self.folder.rename(target)
        to_disk(versions)
        write_pointer(self.home, target, pointer.state if pointer is not None else "published")
        kept = _VERSIONS_KEPT if keep_before else 1
        _remove_versions(self.home, keep=range(self.number - kept + 1, self.number + 1))
        return target


def write_pointer(home: Path, folder: Path, state: State) -> None:
    """Name a version's folder the current one, in one step."""
    report = folder / REPORT_FILE
    pointer = Pointer(
        int(folder.name), sha256_of(folder / MANIFEST_FILE), sha256_of(report) if report.exists() else None, state
    )
    draft = home / (CURRENT_FILE + ".new")
    draft.write_text(_pointer_text(pointer), encoding="utf-8")
    to_disk(draft)
    draft.replace(home / _POINTERS[state])
    note_switch(home)


def note_switch(home: Path) -> None:
    """Bring a changed pointer to the disk, and let servers see at a glance that something changed (`published_mark`)."""
    to_disk(home)
    moment = time.time_ns()  # the kernel's own mark is of its last tick: two changes could have the same
    os.utime(home.parent, ns=(moment, moment))


@contextmanager
def staging(node: Path, dataset: DatasetId) -> Iterator[Staging]:
    """The one load of a dataset that may run: an empty staging folder, removed again unless it was published.

    Leftovers of a load that was killed are removed first; a first load that is refused leaves nothing.

    Raises
    ------
    Conflict
        If another load of the dataset is running, or the dataset is retired.
    """
    with locked(node, dataset, make=True) as home:
        pointer = read_pointer(home)
        if pointer is not None and pointer.state == "retired":
            raise Conflict(f"dataset {dataset} is retired: it takes no further version")
        number = pointer.version if pointer is not None else 0
        (home / VERSIONS).mkdir(exist_ok=True)
        _remove_versions(home, keep=range(number - _VERSIONS_KEPT + 1, number + 1))
        shutil.rmtree(home / _STAGING, ignore_errors=True)
        (home / (CURRENT_FILE + ".new")).unlink(missing_ok=True)
        (home / _STAGING).mkdir()
        try:
            yield Staging(home, number + 1, home / VERSIONS / f"{number:06d}" if number else None)
        finally:
            shutil.rmtree(home / _STAGING, ignore_errors=True)
            if read_pointer_or_none(home) is None:
                with suppress(OSError):
                    (home / VERSIONS).rmdir()


@contextmanager
def locked(node: Path, dataset: DatasetId, *, make: bool = False) -> Iterator[Path]:
    """The dataset's folder, for one process at a time; with `make`, a folder that is not there is made.

    Raises
    ------
    Conflict
        If another process holds it.
    NotFound
        If the node has no such dataset and none is to be made.
    """
    home = node / DATASETS / dataset_id(dataset)
    if make:
        home.mkdir(parents=True, exist_ok=True)
    elif read_pointer(home) is None:
        raise NotFound(f"the node has no dataset {dataset}")
    path = home / _LOCK_FILE
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"another load of dataset {dataset} is running; wait until it has ended") from None
        if not path.exists() or path.stat().st_ino != os.fstat(lock.fileno()).st_ino:
            raise Conflict(f"dataset {dataset} was removed just now; try again")
        try:
            yield home
        finally:
            # Nothing but the lock: the dataset was never loaded, or is deleted.
            if home.is_dir() and [entry.name for entry in home.iterdir()] == [_LOCK_FILE]:
                with suppress(OSError):
                    path.unlink()
                    home.rmdir()


def read_pointer_or_none(home: Path) -> Pointer | None:
    """The pointer, or None where there is none or it is damaged."""
    try:
        return read_pointer(home)
    except Damaged:
        return None


def _pointer_text(pointer: Pointer) -> str:
    document = {"version": pointer.version}
    found: dict[str, Any] = document | {
        name: value for name in ("manifest", "report") if (value := getattr(pointer, name)) is not None
    }
    if pointer.manifest is not None:
        found["check"] = hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]
    return json.dumps(found) + "\n"


def _pointed(node: Path, dataset: DatasetId) -> tuple[Pointer, Path]:
    home = node / DATASETS / dataset_id(dataset)
    pointer = read_pointer(home)
    if pointer is None:
        raise NotFound(f"the node has no dataset {dataset}")
    return pointer, home / VERSIONS / f"{pointer.version:06d}"


def _open(pointer: Pointer, folder: Path) -> OpenVersion:
    version = OpenVersion.open(folder, manifest=pointer.manifest)
    if version.manifest.version != pointer.version:
        raise Damaged(f"{CURRENT_FILE} of dataset {version.manifest.dataset} names another version than lies there")
    report = folder / REPORT_FILE
    if pointer.report is not None and (not report.exists() or sha256_of(report) != pointer.report):
        raise Damaged(f"{REPORT_FILE} of version {pointer.version} is not what was written", path=str(report))
    return version


def _remove_versions(home: Path, *, keep: range) -> None:
    for path in (home / VERSIONS).iterdir():
        if not (path.name.isdigit() and int(path.name) in keep):
            shutil.rmtree(path, ignore_errors=True)


def to_disk(path: Path) -> None:
    """Bring a file's content, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
