"""Files that are for their owner alone: keys, tokens, secrets, databases; and who else may read them."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from cohelix.core.errors import BadUsage

_GROUP_OR_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def exposed(path: Path, *, group_may: bool = False) -> str | None:
    """Who may read or change a file or folder beside its owner, in words with what mends it; None where nobody may.

    Parameters
    ----------
    group_may
        Whether the file's group is trusted, as of a certificate's key that a service group reads.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    beyond = stat.S_IMODE(mode) & (stat.S_IRWXO if group_may else _GROUP_OR_OTHERS)
    if not beyond:
        return None
    who = "every user of this machine" if beyond & stat.S_IRWXO else "users of its group"
    wanted = "0700" if stat.S_ISDIR(mode) else "0640" if group_may else "0600"
    return f"{path} is open to {who} (mode {stat.S_IMODE(mode):04o}): mend it with `chmod {wanted} {path}`"


def check_private(path: Path, *, group_may: bool = False) -> None:
    """`BadUsage` where a file is open to others: a secret that others may have read is to be replaced as well."""
    words = exposed(path, group_may=group_may)
    if words is not None:
        raise BadUsage(f"{words}, and replace the secret if somebody may have read it")


def replace_private(path: Path, content: bytes) -> None:
    """Write a file for its owner alone in place of the one before: whole, on the disk, or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the disk know a folder's names."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
