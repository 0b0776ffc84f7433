"""An applicant's own word does not choose the committee, nor the country that may veto."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from cohelix.access.actor import Actor
from cohelix.access.applications import Stage
from cohelix.access.caller import Caller
from cohelix.core.errors import Conflict
from cohelix.db import open_database
from cohelix.hub.applications import Applications

KNOWN = {"FI:a": ("FI-dac", "FI"), "FI:away": (None, "FI")}
CALLER = Caller(Actor("researcher", "https://hub.example/broker"), "session")


async def decided_by(datasets: Sequence[str]) -> Mapping[str, tuple[str | None, str | None]]:
    return {name: KNOWN[name] for name in datasets if name in KNOWN}


@pytest.mark.parametrize(
    ("line", "handed_in"),
    [
        ({"dataset": "FI:a", "authority": "FI-dac", "country": "FI"}, True),
        ({"dataset": "FI:a", "authority": "friends-dac", "country": "FI"}, False),
        ({"dataset": "FI:a", "authority": "FI-dac", "country": "GB"}, False),
        ({"dataset": "FI:away", "authority": "FI-dac", "country": "FI"}, True),
        ({"dataset": "FI:away", "authority": "FI-dac", "country": "GB"}, False),
    ],
)
def test_lines_are_held_against_what_members_say(tmp_path: Path, line: dict[str, str], handed_in: bool) -> None:
    form: dict[str, Any] = {"title": "t", "summary": "s", "organisation": "o", "investigations": ["genetic"], "lines": [line]}
    desk = Applications(tmp_path, open_database(tmp_path / "hub.sqlite"), decided_by=decided_by)

    async def ask() -> Stage:
        name = await desk.create(CALLER, form, None)
        return (await desk.add(CALLER, name, {"event": "signing-asked"}, None)).stage

    if handed_in:
        assert asyncio.run(ask()) is Stage.SIGNING
    else:
        with pytest.raises(Conflict, match="is decided by FI-dac, and FI may veto"):
            asyncio.run(ask())
