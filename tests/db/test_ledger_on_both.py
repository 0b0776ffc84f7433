"""The ledger says the same on both databases, also to several who ask at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from pyroaring import BitMap

from cohelix.db import open_database
from cohelix.disclosure import AnalysisPolicy
from cohelix.disclosure.ledger import Entry, Ledger

POLICY = AnalysisPolicy(projects=("p",))


def test_what_was_booked_is_remembered(database: str) -> None:
    people = BitMap(range(100))
    values = np.random.default_rng(1).normal(size=100)
    first = Ledger(open_database(database), bytes(32))
    assert first.people([["I1"], ["I2"]]).tolist() == first.people([["I1"], ["I2"]]).tolist()
    assert first.book(Entry("both", "analysis", {"cohort": people}, "run-1", columns=[values], traits=("t",)), POLICY).accepts
    assert first.book_members("both", "run-1", ["AT", "BE", "CZ", "DE"]).accepts
    again = Ledger(open_database(database), bytes(32))
    assert again.book(Entry("both", "count", {"cohort": people - BitMap([3])}), POLICY).rule == "ledger"
    assert again.book(Entry("both", "analysis", {"cohort": people}, "run-2", columns=[values], traits=("t",)), POLICY).accepts
    assert again.book_members("both", "run-2", ["AT", "BE", "CZ"]).rule == "participants"


def test_of_close_cohorts_asked_at_once_one_is_told(database: str) -> None:
    engine = open_database(database)

    def accepted(fewer: int) -> bool:
        return Ledger(engine, bytes(32)).book(Entry("once", "count", {"cohort": BitMap(range(100 - fewer))}), POLICY).accepts

    with ThreadPoolExecutor(5) as pool:
        assert sum(pool.map(accepted, range(5))) == 1
