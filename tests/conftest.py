"""What every room's tests share: the referees that must be there, and the real data that may be."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from validation.postgres import PROGRAMS, running_postgres

# Debian packages of the referees; a program that is its own package needs no entry.
PACKAGES = {"bgzip": "tabix", "tabix": "tabix"}


@pytest.fixture(scope="session")
def referee() -> Callable[[str], str]:
    """`referee("bcftools")` is the program's path; where it is missing the test fails and names the package."""

    def find(program: str) -> str:
        path = shutil.which(program)
        if path is None:
            pytest.fail(f"this test compares with {program}: install the Debian package {PACKAGES.get(program, program)}")
        return path

    return find


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the repository (or below COHELIX_SHARED); without it the test is skipped."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    data = Path(os.environ.get("COHELIX_SHARED", beside)) / "data"
    if not data.is_dir():
        pytest.skip("no real data: there is neither a folder COHELIX_SHARED nor ../shared beside the repository")
    return data


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of an empty database of a PostgreSQL that is started for the tests, on a socket only."""
    if not PROGRAMS:
        pytest.skip("PostgreSQL's server programs are not installed")
    with running_postgres() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each kind of database in turn, as a setting names it."""
    if request.param == "sqlite":
        return str(tmp_path / "cohelix.sqlite")
    return str(request.getfixturevalue("postgres"))
