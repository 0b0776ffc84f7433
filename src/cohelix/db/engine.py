"""Opens a database: a SQLite file by default, PostgreSQL where an address is given; always with the newest tables.

Writing transactions of SQLite begin as such (`BEGIN IMMEDIATE`), so that two processes wait for each other instead of
failing half-way; the same statements run on PostgreSQL, where `serialised` makes them wait.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from cohelix.core.errors import BadUsage, Unreachable
from cohelix.db.upgrades import upgrade

BUSY_SECONDS = 30.0


def open_database(where: str | Path) -> Engine:
    """The database at a file's path or an address (`postgresql+psycopg://USER@HOST/NAME`), brought to the newest tables.

    Raises
    ------
    BadUsage
        If the address is not one, or of a kind that is not served.
    Unreachable
        If it cannot be opened.
    """
    engine = _engine(where)
    try:
        upgrade(engine)
    except OperationalError as error:
        shown = engine.url.render_as_string(hide_password=True)
        words = str(error.orig).splitlines()[0]
        raise Unreachable(f"the database {shown} cannot be opened: {words}") from None
    return engine


def connect_database(where: str | Path) -> Engine:
    """The database as it is, its tables of whatever revision: to look at it; `BadUsage` as of `open_database`."""
    return _engine(where)


def serialised(connection: Connection, name: str) -> None:
    """Until the end of this transaction nobody else passes here with the same name; in SQLite every transaction has this."""
    if connection.dialect.name == "postgresql":
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))


def reading(engine: Engine) -> Engine:
    """The same database for long reads: a transaction sees one state of it, and keeps nobody from writing."""
    if engine.dialect.name == "postgresql":
        return engine.execution_options(isolation_level="REPEATABLE READ")
    return engine.execution_options(reading=True)


def _engine(where: str | Path) -> Engine:
    url = _address(where)
    if url.get_backend_name() == "postgresql":
        return sa.create_engine(url, pool_pre_ping=True)
    if url.database and url.database != ":memory:":
        with contextlib.suppress(OSError):  # what is wrong with the place is told by the first statement
            Path(url.database).touch(0o600)  # SQLite gives its journal the same permissions
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _address(where: str | Path) -> URL:
    if isinstance(where, Path) or "://" not in where:
        return URL.create("sqlite", database=str(where))
    try:
        url = make_url(where)
    except (ArgumentError, ValueError) as error:
        raise BadUsage(f"the database's address is not understood: {error}") from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("postgresql+psycopg", "sqlite"):
        raise BadUsage("a database is a file's path, or postgresql+psycopg://USER@HOST/NAME")
    return url


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says so
    cursor = connection.cursor()
    _use_wal(cursor)
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = FULL")  # what a transaction has said stays said when the power goes
    cursor.close()


def _use_wal(cursor: Any) -> None:
    """Write a log ahead; where another process is just changing a new file to that, SQLite does not wait by itself."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get("reading") else "BEGIN IMMEDIATE")
