"""A PostgreSQL of its own, on a socket only, for tests and proofs that run on both databases."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


@contextmanager
def running_postgres(*, fsync: bool = False) -> Iterator[str]:
    """The address of an empty database, while the context lasts; the newest server that is installed is started."""
    programs = PROGRAMS[-1].parent
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as name:  # a socket's path has at most 107 characters
        folder = Path(name)
        before: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(folder, "nobody")
            before = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]

        def run(*command: str) -> None:
            subprocess.run([*before, *command], check=True, capture_output=True, cwd=folder)

        run(str(programs / "initdb"), "-D", f"{folder}/data", "-U", "cohelix", "--auth=trust", "--no-sync")
        settings = f"-k {folder} -c listen_addresses= -c fsync={'on' if fsync else 'off'}"
        run(str(programs / "pg_ctl"), "-D", f"{folder}/data", "-l", f"{folder}/log", "-w", "-o", settings, "start")
        try:
            run(str(programs / "createdb"), "-h", str(folder), "-U", "cohelix", "cohelix")
            yield f"postgresql+psycopg://cohelix@/cohelix?host={folder}"
        finally:
            run(str(programs / "pg_ctl"), "-D", f"{folder}/data", "-m", "immediate", "stop")
