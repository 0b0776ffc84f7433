"""Servers of an analysis killed at random moments: the exact result, or a clean end, and never anything else."""
