"""Discovery by GA4GH Beacon v2."""
