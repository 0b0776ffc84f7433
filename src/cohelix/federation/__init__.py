"""Members, signed messages, and questions to all of them at once."""
