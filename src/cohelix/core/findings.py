"""What a look at a server's set-up found: in order, to look at, or at fault."""

from __future__ import annotations

from typing import Literal, NamedTuple

Level = Literal["ok", "warning", "fault"]


class Finding(NamedTuple):
    """What a check found: slug, level, what is so, and what mends it."""

    slug: str
    level: Level
    says: str
    mend: str = ""

    def document(self) -> dict[str, str]:
        """As JSON has it."""
        return self._asdict()
