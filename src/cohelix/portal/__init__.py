"""The hub's web pages, rendered on the server; `pages.routes` makes them, the hub's app mounts them."""

__all__: list[str] = []
