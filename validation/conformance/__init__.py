"""Conformance to Beacon v2.1.1: a running Beacon, walked by its own `/map`, against the official schemas."""
