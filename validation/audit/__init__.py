"""Tampered audit logs, proofs and figures of the log: `python -m validation.audit`."""
