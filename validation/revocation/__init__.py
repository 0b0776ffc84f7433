"""Revoked visas, withdrawn consent, a hub and an authority that are gone: until when answers go on, under load."""
