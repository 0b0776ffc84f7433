"""Every error class is one situation that a caller can act on, and has its page."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import cohelix
from cohelix.core import errors
from cohelix.core.errors import CohelixError


def _all_classes() -> list[type[CohelixError]]:
    for module in pkgutil.walk_packages(cohelix.__path__, "cohelix."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: list[type[CohelixError]] = []
    waiting: list[type[CohelixError]] = [CohelixError]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting += one.__subclasses__()
    return found


CLASSES = _all_classes()


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_an_error_names_its_situation(error: type[CohelixError], repository: Path) -> None:
    assert error.__module__ == "cohelix.core.errors", "the tree stands in one file"
    assert {"slug", "title", "status"} <= set(vars(error)), "slug, title and status are the class's own"
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", error.slug)
    assert error.title and not error.title.endswith(".")
    assert 400 <= error.status <= 599
    assert error.exit_status in (1, 2, 3, 5)
    assert error.__doc__
    assert f"{error.__name__} " in (errors.__doc__ or ""), "the module's docstring draws the tree"
    page = repository / "docs" / "problems" / f"{error.slug}.md"
    assert page.is_file(), f"{error.slug} has no page in docs/problems"
    text = page.read_text()
    assert error.title in text and str(error.status) in text


def test_slugs_and_titles_are_unique() -> None:
    assert len({error.slug for error in CLASSES}) == len(CLASSES)
    assert len({error.title for error in CLASSES}) == len(CLASSES)


def test_every_problem_page_belongs_to_an_error(repository: Path) -> None:
    slugs = {error.slug for error in CLASSES} | {"README", "index"}
    extra = [page.name for page in (repository / "docs" / "problems").glob("*.md") if page.stem not in slugs]
    assert not extra


def test_exit_statuses_are_those_of_the_interface() -> None:
    """1 our fault; 2 input or usage refused; 3 refused by policy; 5 nothing could be reached."""
    assert errors.CohelixError.exit_status == 1
    assert errors.BadInput.exit_status == errors.NotFound.exit_status == errors.Conflict.exit_status == 2
    assert errors.NotPermitted.exit_status == 3
    assert errors.Unreachable.exit_status == 5
