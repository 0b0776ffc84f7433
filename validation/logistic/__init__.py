"""Proof: case/control tests over several nodes equal pooled ones, plink2's, statsmodels', and exact probabilities."""
