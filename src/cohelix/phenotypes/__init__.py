"""Individuals, biosamples, and what is known of them."""
