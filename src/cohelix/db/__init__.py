"""Databases: SQLite in a file of the folder, or PostgreSQL by one setting; tables come from one chain of migrations."""

from cohelix.db.engine import open_database, reading, serialised
from cohelix.db.upgrades import downgrade, revision, upgrade

__all__ = ["downgrade", "open_database", "reading", "revision", "serialised", "upgrade"]
