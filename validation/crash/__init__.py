"""kill -9 at random moments of a load; `python -m validation.crash` writes RESULTS.md."""
