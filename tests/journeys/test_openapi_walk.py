"""A seeded sample of `validation/openapi`: requests to every operation as each role meet no fault."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from schemathesis.generation import GenerationMode

from validation.openapi.place import CONTROLLED, Place, served
from validation.openapi.walk import walk

ALL = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with served(tmp_path_factory.mktemp("openapi"), ("operator",)) as made:
        yield made


@pytest.mark.parametrize("role", ["anonymous", CONTROLLED, "operator"])
def test_the_hub_answers_as_it_describes(place: Place, role: str) -> None:
    own = role == "anonymous"
    found = walk(
        place.hub,
        examples=1,
        start=7,
        headers=place.headers(role),
        # With a session, what a session may change the answer of.
        only=lambda path: own or path.startswith("/api/v1"),
        modes=ALL if own else ALL[:1],
    )
    assert not found.faults, found.faults[:5]
    assert found.requests > 20 and found.statuses[200] > 3


def test_a_node_answers_as_it_describes(place: Place) -> None:
    found = walk(place.node, examples=1, start=7, only=lambda path: not path.startswith("/beacon"))
    assert not found.faults, found.faults[:5]
    assert found.requests > 10 and found.statuses[200] > 3


def test_a_node_answers_somebody_with_a_visa_as_it_describes(place: Place) -> None:
    # The Beacon's addresses are one door: a sample of them is enough here.
    found = walk(place.node, examples=1, start=7, headers=place.at_node, only=lambda path: "individuals" in path)
    assert not found.faults, found.faults[:5]
    assert found.requests > 10 and found.statuses[200] > 1 and not found.statuses[401]


def test_an_answer_that_is_not_described_is_found(place: Place) -> None:
    """The judge judges: one operation's answer is measured against a document that promises another."""
    import schemathesis

    from validation.openapi.walk import CHECKS

    document = {
        "openapi": "3.1.0",
        "info": {"title": "x", "version": "1"},
        "paths": {"/healthz": {"get": {"responses": {"200": {"description": "", "content": {"text/plain": {}}}}}}},
    }
    case = schemathesis.openapi.from_dict(document)["/healthz"]["GET"].Case()
    response = case.call(base_url=place.hub)
    with pytest.raises(BaseException, match="Content-Type"):
        case.validate_response(response, checks=CHECKS)
