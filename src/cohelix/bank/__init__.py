"""A node's datasets; the only room that opens genotype and phenotype stores."""
