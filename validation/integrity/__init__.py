"""Bit flips, truncations and swapped blocks in a store; `python -m validation.integrity` writes RESULTS.md."""
