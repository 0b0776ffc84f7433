"""The node server."""
