"""Ancestry components over nodes, beside plink2 and the singular vectors of the pooled matrix."""
