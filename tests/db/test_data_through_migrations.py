"""Rows of every table go up and down with the tables, on both databases; what an older table holds is there afterwards."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

import cohelix.db
from cohelix.core.errors import Unreachable
from cohelix.db import downgrade, open_database, revision, upgrade
from cohelix.db.tables import METADATA

ROWS = 3
_VERSIONS = Path(cohelix.db.__file__).parent / "migrations" / "versions"
_REVISIONS = sorted(
    found[1]
    for path in _VERSIONS.glob("[0-9]*.py")
    if (found := re.search(r'^revision\b[^=]*= "(.+)"$', path.read_text(), re.M))
)


def _value(column: sa.Column[Any], number: int) -> Any:
    kind = column.type
    if isinstance(kind, sa.Boolean):
        return bool(number % 2)
    if isinstance(kind, sa.Integer):
        return number + 1
    if isinstance(kind, sa.Float | sa.Numeric):
        return number + 0.5
    if isinstance(kind, sa.LargeBinary):
        return bytes([number, 0, 255])
    if isinstance(kind, sa.JSON):
        return {"number": number}
    return f"{number}-\u00e9"[: getattr(kind, "length", None) or 20]


def _fill(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """A few rows in every table, parents first."""
    with engine.begin() as connection:
        for table in METADATA.sorted_tables:
            connection.execute(table.delete()) if not table.foreign_keys else None
        for table in METADATA.sorted_tables:
            rows = [{column.name: _value(column, number) for column in table.columns} for number in range(ROWS)]
            connection.execute(sa.insert(table), rows)
    return {table.name: _rows(engine, table.name) for table in METADATA.sorted_tables}


def _rows(engine: Engine, table: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        found = sa.Table(table, sa.MetaData(), autoload_with=connection)
        return sorted((tuple(row) for row in connection.execute(sa.select(found))), key=repr)


def _tables(engine: Engine) -> set[str]:
    return set(sa.inspect(engine).get_table_names()) - {"alembic_version"}


def test_data_survive_every_step_down_and_up(database: str) -> None:
    engine = open_database(database)
    downgrade(engine, "base")
    upgrade(engine)
    whole = _fill(engine)
    assert set(whole) == _tables(engine) and all(len(rows) == ROWS for rows in whole.values())
    for step in reversed(_REVISIONS[:-1]):
        downgrade(engine, step)
        with engine.connect() as connection:
            assert revision(connection) == step
        assert {len(_rows(engine, table)) for table in _tables(engine)} == {ROWS}, step
    for step in _REVISIONS[1:]:
        upgrade(engine, step)
        found = sa.MetaData()
        found.reflect(engine, only=sorted(_tables(engine)))
        with engine.begin() as connection:  # what is new is filled, so that the next step meets data everywhere
            for table in found.sorted_tables:
                if not connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one():
                    columns = METADATA.tables[table.name].columns
                    made = [
                        {one: _value(columns[one], number) for one in map(str, table.columns.keys())} for number in range(ROWS)
                    ]
                    connection.execute(sa.insert(table), made)
        assert {len(_rows(engine, table)) for table in _tables(engine)} == {ROWS}, step
    assert _tables(engine) == set(whole)
    downgrade(engine, "base")
    assert not _tables(engine)
    engine.dispose()


def test_both_databases_hold_the_same(tmp_path: Path, postgres: str) -> None:
    engines = [open_database(tmp_path / "x.sqlite"), open_database(postgres)]
    downgrade(engines[1], "base")
    upgrade(engines[1])
    first, second = (_fill(engine) for engine in engines)
    assert first == second
    downgrade(engines[1], "base")
    for engine in engines:
        engine.dispose()


def test_a_database_that_is_not_there_is_said_without_its_password() -> None:
    with pytest.raises(Unreachable) as refused:
        open_database("postgresql+psycopg://ada:very-secret@127.0.0.1:1/cohelix")
    assert "very-secret" not in refused.value.detail and "127.0.0.1" in refused.value.detail
