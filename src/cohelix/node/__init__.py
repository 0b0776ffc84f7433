"""The node server: a data holder's datasets, answered to the public and to the hub that the node has joined."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cohelix.core.later import faces

if TYPE_CHECKING:
    from cohelix.node.settings import NodeSettings, init_node, read_settings

__all__ = ["NodeSettings", "init_node", "read_settings"]

__getattr__ = faces(
    __name__,
    {
        "settings": ("NodeSettings", "init_node", "read_settings"),
    },
)
