"""A seeded sample of the matrix of people, visas, consent, datasets and questions: each state of a visa, with some role."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from validation.access_matrix.matrix import (
    BOUNDS,
    CONSENTS,
    QUESTIONS,
    SCOPE_OF,
    TIERS,
    VISAS,
    Case,
    Nodes,
    cases,
    keeps_consent,
    matches,
    mismatches,
    served,
)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with served(tmp_path_factory.mktemp("matrix")) as found:
        yield found


def sample() -> list[Case]:
    """Somebody unknown under each bound, and each tier with each visa, of some role, about somebody who has said something."""
    chance, everything = random.Random(5), list(cases())
    chosen = [case for case in everything if case.tier == "nobody"][: len(BOUNDS)]
    for tier in TIERS[1:]:
        for visa in VISAS:
            chosen.append(chance.choice([case for case in everything if (case.tier, case.visa) == (tier, visa)]))
    return chosen


def test_nodes_answer_as_the_policy_says(nodes: Nodes) -> None:
    tried, found = mismatches(nodes, sample())
    assert not found, "\n".join(found)
    assert tried == (len(BOUNDS) + 2 * len(VISAS)) * len(QUESTIONS) * 3


def test_a_visa_shows_people_as_far_as_they_agree(nodes: Nodes) -> None:
    """Whom a visa would show is not shown where the person does not agree; and the comparison can fail."""
    for number, consent in enumerate(CONSENTS):
        bound = BOUNDS[number % len(BOUNDS)]
        case = Case("registered", "valid", None, bound, consent)
        asker = nodes.asker(case, 8_000 + number)
        for question in ("rare allele", "person", "analysis"):
            seen = nodes.answers(asker, question)["closed"]
            assert keeps_consent(case, question, seen), (str(case), question, seen)
            assert seen.person is case.agrees(SCOPE_OF[question])
            assert not keeps_consent(case, question, seen._replace(person=not seen.person))


def test_the_comparison_can_fail_and_every_level_is_seen(nodes: Nodes) -> None:
    asker = nodes.asker(Case("registered", "valid", None, BOUNDS[0]), 9_000)
    stranger = nodes.asker(Case("nobody", "none", None, BOUNDS[0]), 9_001)
    researcher = nodes.asker(Case("registered", "none", None, BOUNDS[0]), 9_002)
    seen = set()
    for question in QUESTIONS:
        told, others = nodes.answers(asker, question), nodes.answers(stranger, question)
        seen |= {one.level for one in (*told.values(), *others.values(), *nodes.answers(researcher, question).values())}
        assert told["closed"].level == "exact" and others["closed"].level == "refused", question
        assert not matches(nodes.expected(stranger, "closed"), question, told["closed"]), question
        assert not matches(nodes.expected(asker, "closed"), question, others["closed"]), question
    assert seen == {"exact", "floored", "refused"}
