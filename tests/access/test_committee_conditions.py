"""Which of a committee's conditions a visa holds, and which the agreement."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cohelix.access.committee_conditions import check_conditions, enforced
from cohelix.core.errors import BadQuestion


def test_what_a_visa_holds_and_what_the_agreement() -> None:
    said = ("until 2027-06-30", "Until  2027-12-31", "visa ResearcherStatus", "visa affiliationandrole *@a.example", "Publish.")
    found = enforced(said)
    assert found.until == datetime(2027, 7, 1, tzinfo=UTC)
    assert found.clauses == [
        [
            {"type": "ResearcherStatus", "value": "pattern:*"},
            {"type": "AffiliationAndRole", "value": "pattern:*@a.example"},
        ]
    ]
    assert (found.in_visa, found.in_agreement) == (said[:4], said[4:])
    nothing = enforced(["Publish.", "until the study ends"])
    assert (nothing.until, nothing.clauses, nothing.in_visa) == (None, None, ())
    check_conditions([*said, "until the study ends"])


@pytest.mark.parametrize(
    "text",
    ["until 2027-02-30", "until 30.6.2027", "visa Researcher", "visa ControlledAccessGrants *", "visa ResearcherStatus a b"],
)
def test_a_condition_that_only_looks_like_one_of_a_visa_is_refused_when_it_is_proposed(text: str) -> None:
    assert enforced([text]).in_agreement == (text,)
    with pytest.raises(BadQuestion, match="in other words"):
        check_conditions([text])
