"""A real PostgreSQL in a temporary folder, on a socket only, where its programs are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of an empty PostgreSQL database."""
    if not _PROGRAMS:
        pytest.skip("PostgreSQL's server programs are not installed")
    programs = _PROGRAMS[-1].parent
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as name:  # a socket's path has at most 107 characters
        folder = Path(name)
        before: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(folder, "nobody")
            before = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]

        def run(*command: str) -> None:
            subprocess.run([*before, *command], check=True, capture_output=True, cwd=folder)

        run(str(programs / "initdb"), "-D", f"{folder}/data", "-U", "cohelix", "--auth=trust", "--no-sync")
        settings = f"-k {folder} -c listen_addresses= -c fsync=off"
        run(str(programs / "pg_ctl"), "-D", f"{folder}/data", "-l", f"{folder}/log", "-w", "-o", settings, "start")
        try:
            run(str(programs / "createdb"), "-h", str(folder), "-U", "cohelix", "cohelix")
            yield f"postgresql+psycopg://cohelix@/cohelix?host={folder}"
        finally:
            run(str(programs / "pg_ctl"), "-D", f"{folder}/data", "-m", "immediate", "stop")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each kind of database in turn, as a setting names it."""
    if request.param == "sqlite":
        return str(tmp_path / "cohelix.sqlite")
    return str(request.getfixturevalue("postgres"))
