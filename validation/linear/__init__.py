"""Proof: linear regression over several nodes equals naive pooled regressions, plink2's figures and published slopes."""
