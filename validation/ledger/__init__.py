"""Sequences of plans and counts, and linear algebra over the answers; `python -m validation.ledger` writes RESULTS.md."""
