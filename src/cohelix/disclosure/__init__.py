"""How much an answer may tell; the one engine, called by the bank alone."""

from cohelix.disclosure.rules import (
    FREQUENCY_FLOOR,
    PEOPLE_FLOOR,
    Told,
    tell_count,
    tell_frequencies,
    tell_given_frequencies,
    tell_parts,
)

__all__ = ["FREQUENCY_FLOOR", "PEOPLE_FLOOR", "Told", "tell_count", "tell_frequencies", "tell_given_frequencies", "tell_parts"]
