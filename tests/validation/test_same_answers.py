"""A sample of `validation/same_answers`: equal bytes over HTTP; times are compared at full volume only."""

from __future__ import annotations

from pathlib import Path

from validation.processes import inside
from validation.same_answers.measure import KINDS, floored_node, node_serving, pairs, same_bytes


def test_withheld_answers_are_one_and_equal_questions_have_equal_answers(tmp_path: Path) -> None:
    with inside():
        asked = floored_node(tmp_path / "node", each=5)
    assert sorted(asked) == sorted(KINDS)
    with node_serving(tmp_path / "node") as address:
        assert same_bytes(address, asked) == []
        # A difference of the code's, of a branch more, would show as tens; the machine's load moves few pairs little.
        assert abs(pairs(address, asked, "zero", "few", 200).t) < 10
