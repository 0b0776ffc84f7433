"""Nouns that everyone shares; standard library and NumPy only."""
