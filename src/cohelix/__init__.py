"""Cohelix: the federation of genome banks; genomes stay, answers travel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cohelix.sdk import AsyncClient, Client, connect

__all__ = ["AsyncClient", "Client", "__version__", "connect"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """The client is loaded when it is first used: `import cohelix` and the command line stay quick."""
    if name in ("AsyncClient", "Client", "connect"):
        from cohelix import sdk

        return getattr(sdk, name)
    raise AttributeError(f"module 'cohelix' has no attribute {name!r}")
