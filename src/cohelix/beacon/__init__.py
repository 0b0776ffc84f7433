"""Discovery: GA4GH Beacon v2 over the bank's public answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cohelix.beacon.about import About

if TYPE_CHECKING:
    from cohelix.beacon.beacon import Beacon, Reply

__all__ = ["About", "Beacon", "Reply"]


def __getattr__(name: str) -> Any:
    """The Beacon of a bank is loaded when it is first used: the hub's network has no bank, and starts without its kernels."""
    if name in ("Beacon", "Reply"):
        from cohelix.beacon import beacon

        return getattr(beacon, name)
    raise AttributeError(f"module 'cohelix.beacon' has no attribute {name!r}")
