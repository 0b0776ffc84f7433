"""Every event of the audit log has its tag, its paragraph, and fields that cannot tell what must not be told."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest

from cohelix.audit import events
from cohelix.audit.events import EVENTS, Event


@pytest.mark.parametrize("tag", sorted(EVENTS))
def test_an_event_has_its_paragraph(tag: str, repository: Path) -> None:
    assert re.fullmatch(r"[a-z]+:[a-z]+", tag)
    assert EVENTS[tag].__doc__
    page = (repository / "docs" / "concepts" / "audit.md").read_text()
    assert re.search(rf"^- `{tag}`: \S", page, re.MULTILINE), f"docs/concepts/audit.md has no paragraph for {tag}"


def test_every_paragraph_belongs_to_an_event(repository: Path) -> None:
    page = (repository / "docs" / "concepts" / "audit.md").read_text()
    assert set(re.findall(r"^- `([a-z]+:[a-z]+)`:", page, re.MULTILINE)) == set(EVENTS)


def test_the_list_is_closed() -> None:
    defined = {one for one in vars(events).values() if isinstance(one, type) and issubclass(one, Event)} - {Event}
    assert defined == set(EVENTS.values())


@pytest.mark.parametrize("tag", sorted(EVENTS))
def test_fields_have_types_that_the_log_writes(tag: str) -> None:
    hints = get_type_hints(EVENTS[tag])
    for field in fields(EVENTS[tag]):
        written = str(hints[field.name])
        assert re.search(r"str|int|bool|Literal|Keyed|Person|Decided", written), (tag, field.name, written)
        assert not re.search(r"variant|individual_id|sample|email", field.name), "names of these are told by keyed hashes only"
