"""Discovery: GA4GH Beacon v2 over the bank's public answers."""

from cohelix.beacon.about import About
from cohelix.beacon.beacon import Beacon, Reply

__all__ = ["About", "Beacon", "Reply"]
