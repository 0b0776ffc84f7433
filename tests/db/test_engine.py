"""Both databases take the same migrations up and down, and the same rules hold in them."""

from __future__ import annotations

import multiprocessing
import threading
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
import sqlalchemy as sa

from cohelix.core.errors import BadUsage, Damaged
from cohelix.db import downgrade, open_database, revision, serialised, upgrade
from cohelix.db.tables import METADATA, RUN_EVENTS, RUNS

_RUN = {
    "id": "run00001",
    "state": "proposed",
    "plan": "{}",
    "plan_hash": "0" * 64,
    "proposed_at": "2026-01-01T00:00:00Z",
    "deadline": "2026-01-02T00:00:00Z",
    "cancel_wanted": False,
    "details": "{}",
}


def test_migrations_go_up_and_down_and_up(database: str) -> None:
    engine = open_database(database)
    made = set(sa.inspect(engine).get_table_names())
    assert set(METADATA.tables) <= made
    downgrade(engine, "base")
    assert set(sa.inspect(engine).get_table_names()) <= {"alembic_version"}
    upgrade(engine)
    assert set(sa.inspect(engine).get_table_names()) == made
    engine.dispose()


def test_queries_name_what_migrations_make(database: str) -> None:
    engine = open_database(database)
    inspector = sa.inspect(engine)
    for table in METADATA.sorted_tables:
        found = {column["name"]: column["nullable"] for column in inspector.get_columns(table.name)}
        assert found == {column.name: column.nullable for column in table.columns}
        assert set(inspector.get_pk_constraint(table.name)["constrained_columns"]) == set(table.primary_key.columns.keys())
    engine.dispose()


def test_rows_that_belong_to_no_run_are_refused(database: str) -> None:
    engine = open_database(database)
    event = {"number": 1, "at": "2026-01-01T00:00:00Z", "event": "state", "document": "{}"}
    with pytest.raises(sa.exc.IntegrityError), engine.begin() as connection:
        connection.execute(sa.insert(RUN_EVENTS), {"run": "no-such-run", **event})
    with engine.begin() as connection:
        connection.execute(sa.insert(RUNS), _RUN)
        connection.execute(sa.insert(RUN_EVENTS), {"run": _RUN["id"], **event})
    downgrade(engine, "base")
    engine.dispose()


def test_two_who_count_up_wait_for_each_other(database: str) -> None:
    engine = open_database(database)
    with engine.begin() as connection:
        connection.execute(sa.insert(RUNS), {**_RUN, "details": "0"})

    def count_up() -> None:
        for _ in range(20):
            with engine.begin() as connection:
                serialised(connection, "details")
                found = connection.execute(sa.select(RUNS.c.details)).scalar_one()
                connection.execute(sa.update(RUNS).values(details=str(int(found) + 1)))

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.begin() as connection:
        assert connection.execute(sa.select(RUNS.c.details)).scalar_one() == "80"
    downgrade(engine, "base")
    engine.dispose()


def _open_when_told(where: str, rounds: int, barrier: Barrier, found: Queue[str]) -> None:
    """One process of several that open the same new database at the same moment, as a hub's and its commands do."""
    import alembic.command  # so that nobody is late because Alembic is still being read

    assert alembic.command
    for _ in range(rounds):
        barrier.wait(60)  # the tables are gone
        try:
            open_database(where).dispose()
            found.put("")
        except Exception as error:  # told by the test, with its words
            found.put(f"{type(error).__name__}: {error}")
        barrier.wait(60)


def test_processes_that_start_together_make_the_tables_once(database: str) -> None:
    processes, rounds = 3, 6
    context = multiprocessing.get_context("spawn")
    barrier, found = context.Barrier(processes + 1), context.Queue()
    others = [context.Process(target=_open_when_told, args=(database, rounds, barrier, found)) for _ in range(processes)]
    for other in others:
        other.start()
    engine = open_database(database)
    for _ in range(rounds):
        if engine.dialect.name == "sqlite":  # a file that is not there yet, as at a first start
            for file in Path(database).parent.glob(f"{Path(database).name}*"):
                file.unlink()
        else:
            downgrade(engine, "base")
            with engine.begin() as connection:
                connection.exec_driver_sql("DROP TABLE alembic_version")
        engine.dispose()
        barrier.wait(60)
        barrier.wait(60)
    for other in others:
        other.join()
    assert [found.get(timeout=5) for _ in range(processes * rounds)] == [""] * (processes * rounds)
    with engine.begin() as connection:
        assert revision(connection) is not None
    downgrade(engine, "base")
    engine.dispose()


def test_a_database_of_a_later_version_is_left_alone(database: str) -> None:
    engine = open_database(database)
    with engine.begin() as connection:
        newest = revision(connection)
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999_later'")
    with pytest.raises(Damaged, match="not of this version"):
        open_database(database)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{newest}'")
    downgrade(engine, "base")
    engine.dispose()


@pytest.mark.parametrize("where", ["mysql://x/y", "postgresql+nothing://x/y", "http://x", "postgresql://user@host:port/x"])
def test_other_addresses_are_refused(where: str) -> None:
    with pytest.raises(BadUsage):
        open_database(where)


def test_a_file_is_kept_with_a_journal(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "x.sqlite")
    with engine.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
    engine.dispose()
