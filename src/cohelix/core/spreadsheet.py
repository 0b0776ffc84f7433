"""Texts in files that spreadsheets open: none of them is taken for a formula."""

from __future__ import annotations

from typing import Any, Final

# A spreadsheet takes a text that begins so for a formula (OWASP ASVS 1.2.10).
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def cell(value: Any) -> Any:
    """A value for a table: a text on one line, with an apostrophe where it would be a formula, which spreadsheets hide."""
    if isinstance(value, str):
        plain = " ".join(value.split())
        return f"'{plain}" if value.startswith(_FORMULA) or plain.startswith(_FORMULA) else plain
    return value
