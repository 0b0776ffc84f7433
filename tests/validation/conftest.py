"""The proofs of `validation/` on seeded samples; a missing referee is a failure that names it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from validation.processes import inside

REFEREES = {"bcftools": "bcftools", "plink2": "plink2", "tabix": "tabix"}


@pytest.fixture(scope="session", autouse=True)
def referees() -> None:
    """`make test` installs them; without them these proofs prove nothing."""
    missing = [package for program, package in REFEREES.items() if not shutil.which(program)]
    if missing:
        pytest.fail(f"the referees {', '.join(missing)} are not installed: run `apt-get install {' '.join(missing)}` as root")


@pytest.fixture(autouse=True)
def _commands_in_this_process() -> Iterator[None]:
    """The samples run the command line in process; killed loads and bombs are processes of their own all the same."""
    with inside():
        yield
