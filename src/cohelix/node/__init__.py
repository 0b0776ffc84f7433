"""The node server: a data holder's datasets, answered to the public and to the hub that the node has joined."""

from cohelix.node.settings import NodeSettings, init_node, read_settings

__all__ = ["NodeSettings", "init_node", "read_settings"]
