"""What a registered person pays, and when the node stops: durable, for each person and organisation, on both databases."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sql

from cohelix.db import open_database
from cohelix.db.tables import BUDGET_ACCOUNTS, BUDGET_CHARGES
from cohelix.disclosure.budget import Budget
from cohelix.disclosure.membership import WITHHELD, Item, power_of_spending

KEY = bytes(32)
PEOPLE = 1252  # 39 common variants


@pytest.fixture
def budget(database: str) -> Iterator[Budget]:
    engine = open_database(database)
    with engine.begin() as connection:  # the server of PostgreSQL is the session's
        connection.execute(sql.delete(BUDGET_CHARGES))
        connection.execute(sql.delete(BUDGET_ACCOUNTS))
    yield Budget(engine, KEY)
    engine.dispose()


def _ask(budget: Budget, number: int, who: str = "somebody", price: float = 1.0, **more: object) -> str | None:
    return budget.charge(who, "XX:a", "1", [Item(f"v{number}", price)], PEOPLE, **more)  # type: ignore[arg-type]


def test_an_honest_day_is_answered_and_the_next_questions_are_not(budget: Budget) -> None:
    answers = [_ask(budget, number) for number in range(45)]
    assert answers[:39] == [None] * 39
    assert all(answer is not None and answer.startswith("budget-spent: ") for answer in answers[39:])
    assert len(set(answers[39:])) == 1
    assert budget.account("somebody", "XX:a").power <= 0.55
    assert [_ask(budget, number) for number in range(39)] == [None] * 39  # again: it tells nothing new


def test_a_question_is_paid_once_for_each_release_person_and_dataset(budget: Budget) -> None:
    for _ in range(5):
        assert _ask(budget, 1) is None
    assert budget.account("somebody", "XX:a").spent == pytest.approx(1 / PEOPLE)
    assert budget.charge("somebody", "XX:a", "2", [Item("v1", 1.0)], PEOPLE) is None
    assert budget.account("somebody", "XX:a").spent == pytest.approx(2 / PEOPLE)
    assert budget.account("another", "XX:a").spent == budget.account("somebody", "XX:b").spent == 0


def test_a_region_is_paid_whole_or_not_at_all(budget: Budget) -> None:
    items = [Item(f"v{number}", 1.0) for number in range(40)]
    assert budget.charge("somebody", "XX:a", "1", items, PEOPLE) is not None
    assert budget.account("somebody", "XX:a").spent == 0
    assert budget.charge("somebody", "XX:a", "1", items[:39], PEOPLE) is None
    assert budget.charge("somebody", "XX:a", "1", [*items[:5], items[39]], PEOPLE) is not None


def test_rare_alleles_cost_more_and_small_datasets_tell_less(budget: Budget) -> None:
    answers = [_ask(budget, number, price=WITHHELD) for number in range(4)]
    assert answers.index(answers[-1]) == 2
    assert budget.charge("somebody", "XX:small", "1", [Item("v", 1.0)], 20) is not None


def test_an_organisation_as_a_whole_learns_no_more_than_everybody_might(budget: Budget) -> None:
    told = 0
    for person in range(10):
        for number in range(30):
            told += _ask(budget, 100 * person + number, f"p{person}", organisations=("example.org",)) is None
    assert 150 < told < 170
    assert power_of_spending(told / PEOPLE) <= 0.6
    # What the organisation has been told costs it nothing again; another organisation has its own.
    assert _ask(budget, 0, "newcomer", organisations=("example.org",)) is None
    assert _ask(budget, 5000, "newcomer", organisations=("example.org",)) is not None
    assert _ask(budget, 5000, "stranger", organisations=("example.net",)) is None


def test_one_person_with_two_accounts_learns_no_more_than_with_one(budget: Budget) -> None:
    """Whichever of two linked accounts asks, and even where the second does not say that it is linked."""
    told = sum(_ask(budget, number, "first", linked=("second",)) is None for number in range(20))
    told += sum(_ask(budget, 100 + number, "second") is None for number in range(30))
    told += sum(_ask(budget, 200 + number, "first", linked=("second", "first")) is None for number in range(30))
    assert told == 39
    assert _ask(budget, 5000, "somebody else") is None


def test_many_at_once_spend_no_more_than_one_after_another(budget: Budget) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: _ask(budget, number), range(80)))
    assert sum(answer is None for answer in answers) == 39


def test_another_process_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    where = tmp_path / "node.sqlite"
    first = Budget(open_database(where), KEY)
    for number in range(30):
        assert _ask(first, number) is None
    program = (
        "import sys; from pathlib import Path; from cohelix.db import open_database; "
        "from cohelix.disclosure.budget import Budget; from cohelix.disclosure.membership import Item; "
        "b = Budget(open_database(Path(sys.argv[1])), bytes(32)); "
        "print(sum(b.charge('somebody', 'XX:a', '1', [Item(f'v{n}', 1.0)], 1252) is None for n in range(30, 60)))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(where)], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "9"
    assert _ask(first, 99) is not None


def test_the_database_names_neither_people_nor_variants(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "node.sqlite")
    Budget(engine, KEY).charge("https://issuer\nsubject-77", "XX:a", "1", [Item("22-1-A-G", 1.0)], PEOPLE)
    engine.dispose()
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"subject-77" not in content
    assert b"22-1-A-G" not in content
