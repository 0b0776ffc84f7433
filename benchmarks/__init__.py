"""Benchmarks: one file per promise of speed or size, each with its referee beside it; `python -m benchmarks` runs all."""
