"""Bad and borderline tokens, visas and proofs: what is accepted and refused, with PyJWT as referee and a canary."""
