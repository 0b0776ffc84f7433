"""The threat model names every threat, and for each a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path("docs") / "security" / "threat-model.md"
THREATS = range(1, 22)


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / PAGE).read_text(encoding="utf-8")


def test_every_threat_has_a_test(page: str) -> None:
    parts = re.split(r"^### (T\d+) ", page, flags=re.MULTILINE)[1:]
    named = dict(zip(parts[::2], parts[1::2], strict=True))
    assert list(named) == [f"T{number}" for number in THREATS]
    assert not [name for name, text in named.items() if "::test_" not in text]


def test_every_named_test_exists(page: str, repository: Path) -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", page))
    assert len(named) >= len(THREATS)
    missing = []
    for path, test in sorted(named):
        file = repository / path
        if not file.is_file() or not re.search(rf"^\s*(async )?def {test}\(", file.read_text(encoding="utf-8"), re.MULTILINE):
            missing.append(f"{path}::{test}")
    assert not missing


def test_what_is_left_out_is_said(page: str) -> None:
    for heading in ("What is protected", "Adversaries", "Where the lines of trust run", "Out of scope"):
        assert f"## {heading}" in page
