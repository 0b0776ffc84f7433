"""What the architecture's tests look at: the repository's own files, and every command and error class."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def tracked_files(repository: Path) -> list[Path]:
    """Files under version control; without git, all files outside of hidden folders."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=repository, capture_output=True, text=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        paths = [repository / name for name in listed.stdout.split("\0") if name]
    else:
        paths = [p for p in repository.rglob("*") if not any(part.startswith(".") for part in p.relative_to(repository).parts)]
    return [path for path in paths if path.is_file()]


@pytest.fixture(scope="session")
def tracked_text(tracked_files: list[Path]) -> dict[Path, str]:
    """Text of every tracked file that is text."""
    found = {}
    for path in tracked_files:
        data = path.read_bytes()
        if b"\0" not in data[:8192]:
            try:
                found[path] = data.decode()
            except UnicodeDecodeError:
                continue
    return found
