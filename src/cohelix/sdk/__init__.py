"""The Python client of a hub."""

from cohelix.sdk.client import AsyncClient, Client, Datasets, Frequency, GeneVariants, Members, Variants, connect

__all__ = ["AsyncClient", "Client", "Datasets", "Frequency", "GeneVariants", "Members", "Variants", "connect"]
