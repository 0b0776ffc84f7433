"""Variants by samples: sources, the store, and counts for any group of people."""
