"""How much an answer may tell."""
