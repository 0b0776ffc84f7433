"""Membership attacks on floored data, with and without protection."""
