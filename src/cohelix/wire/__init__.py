"""The documents that travel between node, hub and client, as typed models."""
