"""Tables on a terminal: plain where it is none, and nothing that a member wrote is taken for a command of the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

_WIDTH_WITHOUT_TERMINAL = 200


def show_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "") -> None:
    """Print a table on standard output; numbers to the right, None as nothing."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    found = [tuple(row) for row in rows]
    table = Table(title=Text(plain(title)) if title else None, title_justify="left")
    for place, name in enumerate(columns):
        numeric = any(isinstance(row[place], int | float) for row in found)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in found:
        table.add_row(*(Text(cell(value)) for value in row))
    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH_WITHOUT_TERMINAL)
    console.print(table)


def cell(value: Any) -> str:
    """A value as a table shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return plain(str(value))


def plain(text: str) -> str:
    """Text without anything that a terminal would act on."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)
