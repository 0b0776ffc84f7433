"""Cohelix: the federation of genome banks; genomes stay, answers travel."""

__version__ = "0.1.0"
