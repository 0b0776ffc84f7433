"""The quality gate: planted faults, and figures beside plink2, plink 1.9 and bcftools; `python -m validation.quality`."""
