"""What a project has been told, and what it is not told after that: durable, over processes, over releases."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sql
from pyroaring import BitMap

from cohelix.core.errors import Conflict
from cohelix.db import open_database
from cohelix.disclosure.analysis import AnalysisPolicy
from cohelix.disclosure.ledger import Entry, Ledger, ledger_key

POLICY = AnalysisPolicy(projects=("p",))
KEY = bytes(32)


def _engine(folder: Path) -> sql.Engine:
    return open_database(folder / "ledger.sqlite")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(_engine(tmp_path), KEY)


def _count(people: BitMap, project: str = "p") -> Entry:
    return Entry(project, "count", {"cohort": people})


def _analysis(run: str, people: BitMap, *traits: str, **more: BitMap) -> Entry:
    return Entry("p", "analysis", {"cohort": people, **more}, run, traits=traits)


def test_a_cohort_of_one_person_less_is_refused_by_the_rule_and_without_a_number(ledger: Ledger) -> None:
    assert ledger.book(_count(BitMap(range(100))), POLICY).accepts
    for fewer in (1, 5, 9):
        verdict = ledger.book(_count(BitMap(range(100 - fewer))), POLICY)
        assert (verdict.accepts, verdict.rule) == (False, "ledger")
        assert not any(character.isdigit() for character in verdict.sentence)
    assert ledger.book(_count(BitMap(range(90))), POLICY).accepts


def test_analyses_and_counts_share_the_ledger_and_projects_do_not(ledger: Ledger) -> None:
    assert ledger.book(_analysis("run-1", BitMap(range(100)), "height"), POLICY).accepts
    close = BitMap(range(1, 100))
    assert not ledger.book(_count(close), POLICY).accepts
    assert ledger.book(_count(close, "another"), POLICY).accepts


def test_a_difference_of_differences_is_refused(ledger: Ledger) -> None:
    """A and B are told, and A or B; then A and B together is their sum less it: known, though it were of three people."""
    first, second = BitMap(range(60)), BitMap(range(57, 120))
    for told in (first, second):
        assert ledger.book(_count(told), POLICY).accepts
    assert not ledger.book(_count(first | second), POLICY).accepts


def test_the_same_question_is_free_and_what_was_booked_stays(tmp_path: Path, ledger: Ledger) -> None:
    people = BitMap(range(100))
    for _ in range(3):
        assert ledger.book(_analysis("run-1", people, "height"), POLICY).accepts
    again = Ledger(_engine(tmp_path), KEY)
    assert again.book(_analysis("run-1", people, "height"), POLICY).accepts
    assert again.book(_analysis("run-2", people, "height"), POLICY).accepts
    assert not again.book(_count(BitMap(range(99))), POLICY).accepts
    with pytest.raises(Conflict):
        again.book(_analysis("run-1", BitMap(range(50)), "height"), POLICY)


def test_everybody_less_one_person_is_refused_where_everybodys_frequencies_are_public(ledger: Ledger) -> None:
    everybody = BitMap(range(500))
    entry = Entry("p", "analysis", {"cohort": BitMap(range(499))}, "run-1", public=(everybody,))
    assert ledger.book(entry, POLICY).rule == "ledger"
    assert ledger.book(Entry("p", "analysis", {"cohort": everybody}, "run-2", public=(everybody,)), POLICY).accepts


def test_cases_tell_of_controls(ledger: Ledger) -> None:
    cohort, cases = BitMap(range(200)), BitMap(range(40))
    assert ledger.book(_analysis("run-1", cohort, "asthma", cases=cases, controls=cohort - cases), POLICY).accepts
    assert not ledger.book(_analysis("run-2", cohort, "asthma", cases=BitMap(range(41))), POLICY).accepts


def test_traits_of_two_cohorts_that_differ_by_ten_people_tell_of_none_of_the_ten(ledger: Ledger) -> None:
    """Sums weighted by nine traits over both cohorts are ten equations about the ten people: three of them are too many."""
    random = np.random.default_rng(6)
    columns = random.normal(size=(9, 300))
    entries = [
        Entry("p", "analysis", {"cohort": BitMap(range(n))}, f"run-{n}-{trait}", columns=[columns[trait, :n]])
        for n in (300, 290)
        for trait in range(9)
    ]
    verdicts = [ledger.book(entry, POLICY) for entry in entries]
    assert all(verdict.accepts for verdict in verdicts[:11])
    assert [verdict.rule for verdict in verdicts[11:]] == ["ledger"] * 7


def test_a_trait_that_was_mended_for_one_person_is_not_told_again(tmp_path: Path, ledger: Ledger) -> None:
    people, values = BitMap(range(100)), np.random.default_rng(7).normal(size=100)
    assert ledger.book(Entry("p", "analysis", {"cohort": people}, "run-1", columns=[values]), POLICY).accepts
    mended = values.copy()
    mended[17] += 0.5
    entry = Entry("p", "analysis", {"cohort": people}, "run-2", columns=[mended])
    assert Ledger(_engine(tmp_path), KEY).book(entry, POLICY).rule == "ledger"
    assert ledger.book(Entry("p", "analysis", {"cohort": people}, "run-3", columns=[values]), POLICY).accepts


def test_a_projects_traits_of_one_cohort_are_charged_for_good(ledger: Ledger) -> None:
    people = BitMap(range(100))
    assert ledger.book(_analysis("run-1", people, "a", "b", "c"), POLICY).accepts
    assert ledger.book(_analysis("run-2", people, "a", "c", "d", "e"), POLICY).accepts
    assert ledger.book(_analysis("run-3", people, "f"), POLICY).rule == "traits"
    assert ledger.book(_analysis("run-4", people, "b", "e"), POLICY).accepts
    assert ledger.book(_analysis("run-5", BitMap(range(100, 300)), "f"), POLICY).accepts


def test_who_is_refused_too_often_is_told_nothing_new_until_forgiven(ledger: Ledger) -> None:
    policy = AnalysisPolicy(refusals_max=3)
    assert ledger.book(_count(BitMap(range(100))), policy).accepts
    assert [ledger.check(_count(BitMap(range(99 - n))), policy).rule for n in (0, 0, 1, 2, 3)] == [
        *("ledger", "ledger", "ledger", "ledger", "refusals")
    ]
    assert ledger.book(_count(BitMap(range(200, 300))), policy).rule == "refusals"
    assert ledger.book(_count(BitMap(range(100))), policy).accepts, "what was told before is told again"
    ledger.forgive("p")
    assert ledger.book(_count(BitMap(range(200, 300))), policy).accepts
    assert not ledger.book(_count(BitMap(range(99))), policy).accepts, "forgiving forgets no answer"


def test_too_many_sets_are_refused(ledger: Ledger) -> None:
    random = np.random.default_rng(4)
    verdicts = []
    for _ in range(40):
        people = BitMap(np.flatnonzero(random.random(200) < 0.5).astype(np.uint32))
        verdicts.append(ledger.book(_count(people), AnalysisPolicy(refusals_max=1000)).accepts)
    assert sum(verdicts) <= 20 and verdicts[:5] == [True] * 5 and not any(verdicts[-10:])


def test_a_check_books_nothing(ledger: Ledger) -> None:
    assert ledger.check(_count(BitMap(range(100))), POLICY).accepts
    assert ledger.book(_count(BitMap(range(99))), POLICY).accepts


def test_a_raised_floor_holds_for_what_was_told_before(tmp_path: Path) -> None:
    engine = _engine(tmp_path)
    for people in (BitMap(range(100)), BitMap(range(85))):
        assert Ledger(engine, KEY).book(_count(people), POLICY).accepts
    stricter = AnalysisPolicy(difference_min=20)
    assert Ledger(engine, KEY).book(_count(BitMap(range(100))), stricter).accepts
    assert not Ledger(engine, KEY).book(_count(BitMap(range(200, 400))), stricter).accepts, "what was told is too close already"
    wider = AnalysisPolicy(difference_min=15)
    assert Ledger(engine, KEY).book(_count(BitMap(range(200, 400))), wider).accepts
    assert not Ledger(engine, KEY).book(_count(BitMap(range(200, 386))), wider).accepts


def test_members_of_two_runs_differ_by_nobody_or_three(ledger: Ledger) -> None:
    people, members = BitMap(range(100)), ["AT", "BE", "CZ", "DE", "EE", "FI"]
    for run in ("one", "two", "three", "four", "five"):
        assert ledger.book(_analysis(run, people, "height"), POLICY).accepts
    assert ledger.book_members("p", "one", members).accepts
    assert ledger.book_members("p", "two", members).accepts
    assert ledger.book_members("p", "three", members[:5]).rule == "participants"
    assert ledger.book_members("p", "three", members[:4]).rule == "participants"
    assert ledger.book_members("p", "four", members[:3]).accepts
    assert ledger.book_members("p", "five", members[:2]).rule == "participants"
    with pytest.raises(Conflict):
        ledger.book_members("p", "six", members)


def test_people_keep_their_numbers_by_any_name(tmp_path: Path, ledger: Ledger) -> None:
    first = ledger.people([["I1", "d/a"], ["d/b"], ["I3"]])
    assert sorted(first.tolist()) == [0, 1, 2]
    again = Ledger(_engine(tmp_path), KEY).people([["I9"], ["I3", "e/x"], ["I2", "d/b"], ["I1", "d/a"]])
    assert again[1:].tolist() == [first[2], first[1], first[0]] and again[0] == 3
    # A column that turns out to be somebody else's: both keep apart, and for good.
    moved = ledger.people([["I7", "d/a"], ["I1"]])
    assert moved[1] == first[0] and moved[0] == 4
    assert ledger.people([["I7", "d/a"], ["I1"]]).tolist() == moved.tolist()
    assert ledger.people([]).tolist() == []


def test_numbers_need_the_key(tmp_path: Path) -> None:
    engine = _engine(tmp_path)
    mine = Ledger(engine, KEY).people([["I1"], ["I2"]])
    assert not set(mine.tolist()) & set(Ledger(engine, bytes([1]) * 32).people([["I1"], ["I2"]]).tolist())
    raw = (tmp_path / "ledger.sqlite").read_bytes()
    assert b"I1" not in raw


def test_the_key_is_the_owners_alone_and_lasts(tmp_path: Path) -> None:
    (tmp_path / "identity").mkdir()
    key = ledger_key(tmp_path)
    assert len(key) == 32 and ledger_key(tmp_path) == key
    assert (tmp_path / "identity" / "ledger.key").stat().st_mode & 0o777 == 0o600


def test_of_close_cohorts_asked_at_the_same_time_one_is_told(tmp_path: Path) -> None:
    Ledger(_engine(tmp_path), KEY)
    cohorts = [BitMap(range(100 - n)) for n in range(9)]
    with ThreadPoolExecutor(9) as pool:
        verdicts = list(pool.map(lambda people: Ledger(_engine(tmp_path), KEY).book(_count(people), POLICY).accepts, cohorts))
    assert sum(verdicts) == 1


def test_what_was_booked_outlives_a_killed_process(tmp_path: Path) -> None:
    script = (
        "import os, sys\nfrom cohelix.db import open_database\nfrom pyroaring import BitMap\n"
        "from cohelix.disclosure.analysis import AnalysisPolicy\nfrom cohelix.disclosure.ledger import Entry, Ledger\n"
        "ledger = Ledger(open_database(sys.argv[1]), bytes(32))\n"
        "entry = Entry('p', 'count', {'cohort': BitMap(range(100))})\n"
        "assert ledger.book(entry, AnalysisPolicy()).accepts\nos.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path / "ledger.sqlite")], env=dict(os.environ), check=False)
    assert ended.returncode == -9
    assert not Ledger(_engine(tmp_path), KEY).book(_count(BitMap(range(99))), POLICY).accepts
