"""The tree is clean: nothing of one machine, no promises in comments, no silent ways out, no dead links."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

# Places of one machine. Written in pieces, so that this file does not find itself.
MACHINE_PATHS = re.compile(
    "|".join(("/" + r"root/", "/" + r"home/(?!user|you|\w+/\.cache)\w+", r"(?<![\w.$}])/" + r"work/", "/tmp/" + "setup"))
)
UNFINISHED = re.compile("|".join((r"\bTO" + r"DO\b", r"\bFIX" + r"ME\b", r"\bXX" + r"X\b", "NotImplemented" + "Error")))
BARE = re.compile(r"^\s*except\s*:", re.MULTILINE)
IGNORE_WITHOUT_CODE = re.compile(r"#\s*type:\s*ig" + r"nore(?!\[)")


def _python(tracked_text: dict[Path, str]) -> dict[Path, str]:
    return {path: text for path, text in tracked_text.items() if path.suffix == ".py"}


def test_no_path_of_this_machine(tracked_text: dict[Path, str], repository: Path) -> None:
    found = [
        f"{path.relative_to(repository)}: {match[0]}"
        for path, text in tracked_text.items()
        for match in MACHINE_PATHS.finditer(text)
    ]
    assert not found


def test_no_registry_of_this_machine(tracked_text: dict[Path, str], repository: Path) -> None:
    """Whatever host this machine's pip asks is its own business."""
    said = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False).stdout
    said += os.environ.get("PIP_INDEX_URL", "")
    hosts = {urlsplit(url).hostname for url in re.findall(r"https?://[^\s'\"]+", said)}
    found = [
        f"{path.relative_to(repository)}: {host}"
        for path, text in tracked_text.items()
        for host in hosts
        if host and host in text
    ]
    assert not found


def test_nothing_is_left_for_later(tracked_text: dict[Path, str], repository: Path) -> None:
    found = [
        f"{path.relative_to(repository)}: {match[0]}"
        for path, text in _python(tracked_text).items()
        for pattern in (UNFINISHED, BARE, IGNORE_WITHOUT_CODE)
        for match in pattern.finditer(text)
    ]
    assert not found


def test_only_absent_real_data_is_skipped(tracked_text: dict[Path, str], repository: Path) -> None:
    """A missing referee fails with its name; only data that is not part of the project may be skipped, with the reason."""
    skip = re.compile(r"pytest\.(?:skip|importorskip)\(|mark\.(?:skip|skipif|xfail)\b")
    allowed = re.compile(r"shared|real data|COHELIX_SHARED|kg3|schemas", re.IGNORECASE)
    found = []
    for path, text in _python(tracked_text).items():
        if "tests" not in path.relative_to(repository).parts or path == Path(__file__):
            continue
        for match in skip.finditer(text):
            nearby = text[max(0, match.start() - 300) : match.end() + 300]
            if not allowed.search(nearby):
                found.append(f"{path.relative_to(repository)}: {match[0]}")
    assert not found


def test_links_between_documents_lead_somewhere(tracked_text: dict[Path, str], repository: Path) -> None:
    link = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s]+?)(?:#[^)]*)?\)")
    dead = []
    for path, text in tracked_text.items():
        if path.suffix == ".md":
            prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
            dead += [
                f"{path.relative_to(repository)} -> {target}"
                for target in link.findall(prose)
                if not (path.parent / target).exists()
            ]
    assert not dead


@pytest.mark.parametrize(
    "name",
    [
        *("README.md", "CONTRIBUTING.md", "LICENSE", "SECURITY.md", "CHANGELOG.md", "Makefile", ".ci/run"),
        *("docs/glossary.md", "docs/concepts", "docs/guides", "docs/reference", "docs/decisions", "docs/problems", "docs/tour"),
    ],
)
def test_the_house_has_its_papers(name: str, repository: Path) -> None:
    assert (repository / name).exists()


def test_both_readme_commands_are_on_its_first_screen(repository: Path) -> None:
    first_screen = "\n".join((repository / "README.md").read_text().splitlines()[:45])
    assert "make demo" in first_screen and "make test" in first_screen


def test_the_licence_is_apache_2(repository: Path) -> None:
    text = (repository / "LICENSE").read_text()
    assert "Apache License" in text and "Version 2.0, January 2004" in text
