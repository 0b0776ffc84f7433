"""Proof: the meta-analysis over nodes equals the nodes' own regressions combined by plink 1.9 and by statsmodels."""
