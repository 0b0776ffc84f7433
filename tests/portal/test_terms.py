"""Features and diseases: their names, what a few words may mean, and the page that counts people."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from cohelix.portal.terms import Term, TermBook


@pytest.fixture(scope="module")
def book() -> TermBook:
    """The names that the package brings, as the hub reads them."""
    program = [sys.executable, "-m", "cohelix.portal.term_names"]
    lines = subprocess.run(program, check=True, capture_output=True, text=True).stdout.splitlines()
    return TermBook(Term(code, name) for code, _, name in (line.partition("\t") for line in lines))


def test_names_of_features_and_diseases(book: TermBook) -> None:
    assert len(book) > 30_000
    assert book.named("  SEIZURE ") == Term("HP:0001250", "Seizure")
    assert book.get("hp:0001250") == book.get("HP_0001250") == Term("HP:0001250", "Seizure")
    assert {one.code.partition(":")[0] for one in book.near("diabetes")} <= {"HP", "OMIM", "ORPHA"}


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("siezure", "Seizure"),
        ("diabetis melitus", "Diabetes mellitus"),
        ("cystic fibros", "Cystic fibrosis"),
        ("seizu", "Seizure"),
    ],
)
def test_words_nearly_spelled_so(book: TermBook, typed: str, name: str) -> None:
    assert name in [one.name for one in book.near(typed)]


@pytest.mark.parametrize("typed", ["", "a", "qqqqzzzz", "<script>", "' or 1=1 --", "x" * 500, "seizure qqqqzzzz"])
def test_words_that_mean_nothing(book: TermBook, typed: str) -> None:
    assert book.near(typed) == ()


def test_a_name_leads_to_the_count_of_people(client: httpx.Client, read: Callable[..., Any]) -> None:
    answer = client.get("/search", params={"q": "Seizure", "assembly": "GRCh37"})
    assert answer.headers["location"] == "/term/HP:0001250"
    page = read(client.get("/term/HP:0001250"))
    assert "Seizure" in page.text
    assert ["FI:geuvadis", "Finland", "20", "answered"] in page.cells()
    assert "80" in page.text
    assert client.get("/term/hp_0001250").headers["location"] == "/term/HP:0001250"
    assert client.get("/term/nothing").status_code == 404


def test_what_was_withheld_and_who_is_absent(client: httpx.Client, read: Callable[..., Any], stage: Any, wire: Any) -> None:
    refused = {"id": "GB:geuvadis", "status": "below_floor", "reason": "fewer than 10", "populations": []}
    stage.play("GB", [refused], [wire.record("GB:geuvadis", **wire.FLOORED)])
    stage.lose("IT", "late", "no answer within 5 s")
    client.get("/datasets")
    page = read(client.get("/term/HP:0001250"))
    assert ["GB:geuvadis", "United Kingdom", "withheld", "fewer than 10, perhaps nobody fewer than 10"] in page.cells()
    assert "3 of 4 members answered" in page.text and "IT Italy did not answer in time" in page.text
    assert "–" not in page.cells()[1]


def test_near_names_are_suggested(client: httpx.Client, read: Callable[..., Any]) -> None:
    page = read(client.get("/search", params={"q": "siezure", "assembly": "GRCh37"}))
    assert "HP:0001250 Seizure" in page.text
