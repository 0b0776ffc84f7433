"""A node's folder as one archive that proves itself, and back again."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from cohelix.bank.life import verify
from cohelix.bank.publish import DATASETS, VERSIONS, all_datasets, current_version, locked, to_disk
from cohelix.bank.releases import RELEASES
from cohelix.core.errors import BadFile, Conflict, Damaged
from cohelix.genotypes.sections import sha256_of

FORMAT, FORMAT_VERSION = "cohelix-backup", 1
_LIST = "BACKUP.json"
# What is of the moment only: locks, sockets, what a load is making.
_LEFT_OUT = (".lock", ".sock", ".new", ".part", ".partial", ".sqlite-wal", ".sqlite-shm")
_DATABASE = ".sqlite"
_PROCESSES = "audit-writers"  # what processes that run now have on their way
_PIECE = 1 << 20


def backup(node: Path, out: Path) -> dict[str, Any]:
    """Write everything that a node needs to go on into one archive, identity, keys and release histories included.

    Every dataset is verified and held still meanwhile; of each the current version is taken. The archive is as secret as
    the node's folder: it is for the owner alone.

    Raises
    ------
    Damaged
        If a file of a dataset is damaged: a backup of damage would replace a good one.
    Conflict
        If a dataset is being changed, or the archive's name is taken.
    """
    if out.exists():
        raise Conflict(f"{out} exists: name a new file")
    draft = out.with_name(f".{out.name}.part")
    with ExitStack() as stack:
        datasets = all_datasets(node)
        for dataset in datasets:
            stack.enter_context(locked(node, dataset))
        for dataset, damage in verify(node, datasets).items():
            for name in damage:
                raise Damaged(f"dataset {dataset}: {name} is damaged; mend or delete the dataset before a backup")
        snapshots = Path(stack.enter_context(TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent)))
        sources = {
            path.relative_to(node).as_posix(): _snapshot(path, snapshots) if path.suffix == _DATABASE else path
            for path in _files(node, {DATASETS + "/" + dataset: current_version(node, dataset) for dataset in datasets})
        }
        files = {
            name: {"bytes": path.stat().st_size, "sha256": sha256_of(path), "mode": _mode(node / name)}
            for name, path in sources.items()
        }
        listed = json.dumps({"format": FORMAT, "version": FORMAT_VERSION, "files": files}, indent=1, sort_keys=True).encode()
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as raw, tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
                _put(archive, _LIST, io.BytesIO(listed), len(listed))
                _put(archive, _LIST + ".sha256", io.BytesIO(hashlib.sha256(listed).hexdigest().encode()), 64)
                for name, path in sources.items():
                    with path.open("rb") as file:
                        _put(archive, name, file, path.stat().st_size)
            to_disk(draft)
            draft.replace(out)
        finally:
            draft.unlink(missing_ok=True)
    return {"archive": str(out), "datasets": list(datasets), "files": len(files), "bytes": out.stat().st_size}


def restore(archive: Path, node: Path) -> dict[str, Any]:
    """Make a node's folder from an archive; it appears whole and verified, or not at all.

    Raises
    ------
    Conflict
        If the folder is not empty.
    BadFile
        If the archive is not a backup, or a bit of it differs; names the file.
    """
    if node.exists() and (not node.is_dir() or any(node.iterdir())):
        raise Conflict(f"{node} is not empty: a backup is restored onto a new or an empty folder")
    draft = node.with_name(f".{node.name}.restoring")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True, mode=0o700)
    try:
        n_files = _extract(archive, draft)
        datasets = all_datasets(draft)
        for dataset, damage in verify(draft, datasets).items():
            for name in damage:
                raise _refused(archive, f"dataset {dataset}, {name}", "it is not what was backed up")
        for folder in sorted(path for path in draft.rglob("*") if path.is_dir()):
            folder.chmod(0o700)
        if node.exists():
            node.rmdir()
        draft.rename(node)
        to_disk(node.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return {"node": str(node), "datasets": list(datasets), "files": n_files}


def _files(node: Path, current: dict[str, Path]) -> Iterator[Path]:
    """Every file that belongs to the node, in order; of a dataset the current version, pointer and release history."""
    for path in sorted(node.rglob("*")):
        if not path.is_file() or path.is_symlink() or path.name.endswith(_LEFT_OUT):
            continue
        parts = path.relative_to(node).parts
        if parts[0] == _PROCESSES:
            continue
        if parts[0] == DATASETS and len(parts) > 2:
            version = current.get("/".join(parts[:2]))
            inside = version is not None and version in path.parents
            if len(parts) > 3 and not inside and parts[2] != RELEASES:
                continue
            assert not inside or parts[2] == VERSIONS
        yield path


def _snapshot(database: Path, folder: Path) -> Path:
    """A copy of a database as it is at one moment, though its server goes on writing."""
    copy = folder / f"{len(list(folder.iterdir()))}{_DATABASE}"
    with closing(sqlite3.connect(database, timeout=30)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


def _put(archive: tarfile.TarFile, name: str, content: Any, size: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    archive.addfile(entry, content)


def _extract(archive: Path, folder: Path) -> int:
    try:
        with archive.open("rb") as raw, tarfile.open(fileobj=raw, mode="r:") as tar:
            listed = _read(archive, tar, tar.next(), _LIST)
            if _read(archive, tar, tar.next(), _LIST + ".sha256") != hashlib.sha256(listed).hexdigest().encode():
                raise _refused(archive, _LIST, "its checksum differs")
            document = json.loads(listed)
            if (document.get("format"), document.get("version")) != (FORMAT, FORMAT_VERSION):
                raise _refused(archive, _LIST, "it is of another format")
            files: dict[str, dict[str, Any]] = document["files"]
            for name, facts in files.items():
                _check_name(archive, name)
                entry = tar.next()
                content = tar.extractfile(entry) if entry is not None and entry.isreg() and entry.name == name else None
                if content is None:
                    raise _refused(archive, name, "it is absent or stands elsewhere")
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                if _copy(content, target) != facts["sha256"]:
                    raise _refused(archive, name, "its checksum differs")
                target.chmod(facts["mode"])
            if tar.next() is not None:
                raise _refused(archive, "after its last file", "more files follow than are listed")
            return len(files)
    except (tarfile.TarError, OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise _refused(archive, "", f"it cannot be read ({error})") from None


def _copy(content: Any, target: Path) -> str:
    digest = hashlib.sha256()
    with target.open("wb") as file:
        while piece := content.read(_PIECE):
            digest.update(piece)
            file.write(piece)
        _flush(file)
    return digest.hexdigest()


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _read(archive: Path, tar: tarfile.TarFile, entry: tarfile.TarInfo | None, name: str) -> bytes:
    content = tar.extractfile(entry) if entry is not None and entry.isreg() and entry.name == name else None
    if content is None:
        raise _refused(archive, name, "it is absent")
    return content.read()


def _check_name(archive: Path, name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise _refused(archive, name, "the name leads out of the folder")


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o700


def _refused(archive: Path, place: str, problem: str) -> BadFile:
    return BadFile(str(archive), place, problem, "an archive as 'cohelix node backup' wrote it")
