"""Proofs against referees and naive twins; `python -m validation.NAME` runs one at full volume, the tests run a sample."""
