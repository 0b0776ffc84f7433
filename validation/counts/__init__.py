"""`cohelix node counts` against plink2 and bcftools, on real genomes; `python -m validation.counts` writes RESULTS.md."""
