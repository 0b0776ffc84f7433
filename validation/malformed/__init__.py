"""Files that must be refused, broken at random or on purpose; `python -m validation.malformed` writes RESULTS.md."""
