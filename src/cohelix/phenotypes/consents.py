"""What a file of people says that they agree to: scopes of consent by name, in a column or in a phenopacket's metadata."""

from __future__ import annotations

import re
from typing import Final, Literal

Scope = Literal["frequencies", "individual-queries", "secondary-use"]
SCOPES: Final[tuple[Scope, ...]] = ("frequencies", "individual-queries", "secondary-use")
REFERENCE: Final = (
    "cohelix:consent"  # the id of the external reference in a phenopacket's metadata; its description has the scopes
)
EXPECTED: Final = f"scopes separated by ; ({', '.join(SCOPES)}), or all, or none; empty where nothing was said"
_SEPARATOR: Final = re.compile(r"[;|,\s]+")


def agreed(text: str) -> frozenset[Scope] | None:
    """The scopes that somebody agrees to, of whom no other is meant then; raises `ValueError` for any other word.

    None where nothing was said. Who agrees to some scopes does not agree to the others.
    """
    words = [word for word in _SEPARATOR.split(text.strip().lower().replace("_", "-")) if word]
    if not words:
        return None
    if words in (["all"], ["none"]):
        return frozenset(SCOPES if words == ["all"] else ())
    if not set(words) <= set(SCOPES):
        raise ValueError(text)
    return frozenset(scope for scope in SCOPES if scope in words)
