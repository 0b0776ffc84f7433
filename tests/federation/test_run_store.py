"""What a hub keeps of its runs outlives it, on both databases; reviews need as many different people as the data ask for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from cohelix.core.errors import BadQuestion, Conflict, Damaged, NotFound, NotPermitted
from cohelix.db import downgrade, open_database
from cohelix.federation.run_store import RunStore, StoredRun, SumStore
from cohelix.federation.runs import review, tell

RUN = StoredRun(
    id="a" * 16,
    state="proposed",
    plan={"project": "test"},
    plan_hash="0" * 64,
    proposed_at="2026-01-01T00:00:00.000Z",
    deadline="2026-01-02T00:00:00.000Z",
)


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    """Each kind of database, empty."""
    opened = open_database(database)
    yield opened
    downgrade(opened, "base")
    opened.dispose()


@pytest.fixture
def store(engine: Engine) -> RunStore:
    """A hub's store with one run."""
    made = RunStore(engine)
    made.add(RUN, waiting_max=2)
    return made


def test_states_and_details_are_there_for_whoever_opens_the_store_next(engine: Engine, store: RunStore) -> None:
    store.settle(RUN.id, roster={"run": RUN.id})
    store.move(RUN.id, "checking", details={"asked": ["FI"]})
    found = RunStore(engine).get(RUN.id)
    assert found == replace(RUN, state="checking", details={"roster": {"run": RUN.id}, "asked": ["FI"]})
    store.note(RUN.id, "lost", node="FI", question="analysis-step")
    events = store.events(RUN.id)
    assert [(one.number, one.event, one.node) for one in events] == [(1, "state", None), (2, "state", None), (3, "lost", "FI")]
    assert [one.number for one in store.events(RUN.id, after=2)] == [3]


def test_no_more_runs_are_taken_than_may_wait_and_held_ones_do_not_wait(store: RunStore) -> None:
    store.add(replace(RUN, id="b" * 16), waiting_max=2)
    with pytest.raises(Conflict, match="as many analyses"):
        store.add(replace(RUN, id="c" * 16), waiting_max=2)
    store.move("b" * 16, "held")
    store.add(replace(RUN, id="c" * 16), waiting_max=2)
    assert [one.id[0] for one in store.under_way()] == ["a", "c"]
    assert {one.id[0] for one in store.newest(10)} == {"a", "b", "c"}


def test_what_has_ended_stays_as_it_is(store: RunStore) -> None:
    store.move(RUN.id, "aborted", reason="a node was lost")
    for change in (lambda: store.move(RUN.id, "running"), lambda: store.cancel(RUN.id)):
        with pytest.raises(Conflict, match="aborted"):
            change()
    told = tell(store.get(RUN.id))
    assert (told.state, told.reason) == ("aborted", "a node was lost") and told.ended_at
    with pytest.raises(NotFound):
        store.get("no such run")


def test_two_different_people_release_what_is_not_open(store: RunStore) -> None:
    with pytest.raises(Conflict, match="not held"):
        review(store, RUN.id, role="officer", release=True, reason=None)
    store.move(RUN.id, "held", details={"files": ["results.parquet"], "people": 217})
    assert tell(store.get(RUN.id)).people == 210  # in tens before it is released
    assert review(store, RUN.id, role="officer", release=True, reason=None).state == "held"
    with pytest.raises(Conflict, match="another person"):
        review(store, RUN.id, role="officer", release=True, reason=None)
    assert review(store, RUN.id, role="steward", release=True, reason=None).state == "released"
    assert tell(store.get(RUN.id)).files == ("results.parquet",) and tell(store.get(RUN.id)).people == 217


def test_one_person_suffices_for_open_data_and_one_refusal_ends_it(store: RunStore) -> None:
    openly = {"terms": {"FI": {"openData": True}, "GB": {"openData": True}}, "contributors": ["FI", "GB"]}
    store.move(RUN.id, "held", details=openly)
    with pytest.raises(BadQuestion, match="reason"):
        review(store, RUN.id, role="officer", release=False, reason=None)
    with pytest.raises(NotPermitted, match=r"results\.parquet"):
        review(store, RUN.id, role="officer", release=True, reason=None, failed=["results.parquet"])
    store.add(replace(RUN, id="b" * 16), waiting_max=2)
    store.move("b" * 16, "held", details=openly)
    assert review(store, "b" * 16, role="officer", release=True, reason=None).state == "released"
    refused = review(store, RUN.id, role="officer", release=False, reason="too few people")
    assert refused.state == "refused" and refused.reason == "refused by officer: too few people"


def test_opened_sums_are_found_again_bit_by_bit(engine: Engine, store: RunStore, tmp_path: Path) -> None:
    sums = SumStore(engine, tmp_path, RUN.id)
    sums.put(0, 0, "d0", b"people")
    sums.put(1, 1, "d2", b"second block")
    sums.put(1, 0, "d1", b"first block")
    again = SumStore(engine, tmp_path, RUN.id)
    assert again.get(1, 0) == ("d1", b"first block") and again.get(1, 1) == ("d2", b"second block")
    assert again.get(2, 0) is None and again.blocks() == [(0, 0), (1, 0), (1, 1)]
    with pytest.raises(sa.exc.IntegrityError):
        again.put(1, 0, "d1", b"another one")
    assert again.get(1, 0) == ("d1", b"first block")


def test_a_changed_sum_is_not_taken_for_one(engine: Engine, store: RunStore, tmp_path: Path) -> None:
    sums = SumStore(engine, tmp_path, RUN.id)
    sums.put(0, 0, "d0", b"people")
    (path,) = (tmp_path / "sums").iterdir()
    path.write_bytes(b"People")
    with pytest.raises(Damaged):
        SumStore(engine, tmp_path, RUN.id).get(0, 0)
    path.unlink()
    with pytest.raises(Damaged):
        SumStore(engine, tmp_path, RUN.id).get(0, 0)
