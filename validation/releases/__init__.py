"""Random histories of additions and withdrawals; `python -m validation.releases` writes RESULTS.md."""
