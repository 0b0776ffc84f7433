"""Who asks, and what that opens: identity, passports and visas, roles, one policy."""

from cohelix.access.actor import ANONYMOUS, Actor, Role, Visa, VisaKind

__all__ = ["ANONYMOUS", "Actor", "Role", "Visa", "VisaKind"]
