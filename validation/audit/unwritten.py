"""`cohelix` with a log that takes no entries: what a node's answers cost without the audit, to measure what it adds."""

from __future__ import annotations

from typing import Any

from cohelix.access.gate import Gate
from cohelix.audit.log import AuditLog
from cohelix.cli import main as command_line


def _nothing(*_words: Any, **_named: Any) -> None:
    """No entry."""


def main() -> None:
    """Run the command line without its log."""
    AuditLog.record = _nothing  # type: ignore[method-assign]
    Gate.told_everybody = _nothing  # type: ignore[method-assign]
    command_line.main()


if __name__ == "__main__":
    main()
