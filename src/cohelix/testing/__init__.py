"""Helpers for tests and the demo, shipped so that others can test a backend or a node."""
