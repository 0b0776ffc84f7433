"""The Python client of a hub."""

from cohelix.sdk.client import AsyncClient, Client, Datasets, Frequency, GeneVariants, Members, Variants, connect
from cohelix.sdk.identity import Identity, identity_of, log_in

__all__ = [
    "AsyncClient",
    "Client",
    "Datasets",
    "Frequency",
    "GeneVariants",
    "Identity",
    "Members",
    "Variants",
    "connect",
    "identity_of",
    "log_in",
]
