"""The cohort builder without JavaScript: forms that lead to addresses, words for every kind of answer, and suggestions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import HTTPConnection
from tests.portal.test_hostile import assert_harmless

from cohelix.access.actor import Actor
from cohelix.access.caller import Caller, keep_caller
from validation.portal import hostile as corpus


@pytest.fixture(autouse=True)
def _names_are_read(few_names: None) -> None:
    """No test here is about reading all names."""


@pytest.fixture
def mixed(stage: Any, wire: Any) -> Any:
    """Members that tell, withhold, refuse, have not assessed, and cannot be reached."""
    stage.play(
        "GB", [{"id": "GB:b", "status": "below_floor", "reason": "fewer than 10"}], [wire.record("GB:b", **wire.FLOORED)]
    )
    stage.play(
        "IT",
        [
            {"id": "IT:c", "status": "refused", "reason": "visa-required: this dataset is closed"},
            {"id": "IT:d", "status": "not_assessed", "reason": "the dataset holds no age of anybody"},
        ],
        [wire.record("IT:c", disclosure="closed"), wire.record("IT:d")],
    )
    stage.lose("CEU", "unreachable", "no connection")
    return stage


def test_every_kind_of_answer_has_its_own_words(mixed: Any, client: httpx.Client, read: Callable[..., Any]) -> None:
    page = read(client.get("/cohorts?cohort=sex=female"))
    assert mixed.script["FI"]["cohort-count"]["count"] == 20
    for words in (
        "All members together 20 ",
        "FI:geuvadis 20 of 92",
        "GB:b fewer than 10, perhaps nobody Fewer than 10.",
        "IT:c refused Visa-required: this dataset is closed.",
        "IT:d not assessed The dataset holds no age of anybody.",
        "unreachable CEU could not be reached: no connection.",
    ):
        assert words in page.text, words
    assert "20 person" not in page.text and page.all(
        "div", **{"data-told": "20 people, told by 1 of 4 members. No number from CEU, GB, IT."}
    )


def test_the_page_asks_what_its_address_says(client: httpx.Client, stage: Any) -> None:
    stage.asked.clear()
    client.get("/cohorts?cohort=sex=female+and+disease!=OMIM:1&dataset=GB:geuvadis")
    (asked,) = [(member, message) for member, question, message in stage.asked if question == "cohort-count"]
    assert asked[0] == "GB" and asked[1]["datasets"] == ["GB:geuvadis"]
    assert asked[1]["expression"] == {"all": [{"sex": "female"}, {"not": {"disease": "OMIM:1"}}]}


def test_a_persons_passport_goes_along(
    app: FastAPI, stage: Any, wire: Any, read: Callable[..., Any], serve: Callable[..., Any]
) -> None:
    async def passport_for(node: str) -> str:
        return f"passport for {node}"

    researcher = Caller(Actor("researcher", "https://hub.example/broker"), passport_for=passport_for)

    async def logged_in(scope: Any, receive: Any, send: Any) -> None:
        keep_caller(HTTPConnection(scope), researcher)
        await app(scope, receive, send)

    stage.play(
        "FI",
        [{"id": "FI:geuvadis", "status": "answered", "populations": wire.rows("FI")}],
        [wire.record("FI:geuvadis", **wire.FLOORED)],
    )
    told = stage.script["FI"]["cohort-count"]
    with serve(logged_in) as url:
        for path, count, shown in (
            ("/cohorts", 20, "20+ of 90+"),
            ("/cohorts/counts", 20, "of 90+"),
            ("/cohorts", 23, "23 of 90+"),
        ):
            stage.asked.clear()
            told["count"] = told["datasets"][0]["count"] = count
            answer = httpx.get(f"{url}{path}?cohort=sex=female&dataset=FI:geuvadis")
            assert shown in read(answer).text, "with a visa a count is exact, and not said to be rounded"
            passports = [message["passport"] for _, question, message in stage.asked if question == "cohort-count"]
            assert passports == ["passport for FI"]


def test_forms_lead_to_addresses(client: httpx.Client) -> None:
    for form, leads_to in (
        ({"1.f": "sex", "1.v": "female", "do": "show"}, "/cohorts?cohort=sex=female"),
        ({"1.f": "sex", "1.v": "female", "do": "add@", "new": "age"}, "/cohorts?1.f=sex&1.v=female&2.f=age&2.c=%3E=#c-2"),
        ({"1.f": "sex", "1.v": "female", "do": "remove@1"}, "/cohorts"),
        ({"j": "any", "do": "group@"}, "/cohorts?j=any&1.j=all#c-1"),
        ({"1.f": "phenotype", "1.v": "seizure", "do": "show"}, "/cohorts?cohort=phenotype=HP:0001250"),
        ({"1.f": "phenotype", "1.v": "HP_0001250", "1.b": "only"}, "/cohorts?cohort=phenotype=HP:0001250+only"),
        ({"1.f": "population", "1.v": "fin", "do": "show"}, "/cohorts?cohort=population=FIN"),
        ({"1.f": "disease", "1.v": "siezure", "do": "keep@1"}, "/cohorts?cohort=disease=siezure"),
        ({"1.f": "sex", "1.v": "male", "dataset": "GB:geuvadis"}, "/cohorts?cohort=sex=male&dataset=GB:geuvadis"),
        ({"cohort": "sex = F and (sex=F)"}, "/cohorts?cohort=sex=female"),
    ):
        answer = client.get("/cohorts", params=form)
        assert (answer.status_code, answer.headers["location"]) == (303, leads_to)
        assert client.get(leads_to).status_code == 200, "and the address stays"


def test_what_is_not_filled_in_or_not_known_is_said(client: httpx.Client, read: Callable[..., Any], stage: Any) -> None:
    stage.asked.clear()
    page = read(client.get("/cohorts?1.f=phenotype&1.v=siezure&2.f=age&2.c=%3E&2.v=x&3.f=measurement&4.f=sex&4.v=male"))
    assert "Nothing is known by the name “siezure”. Did you mean: HP:0001250 Seizure" in page.text
    assert "Not understood: 'x' is no number" in page.text and "Fill in a name and a number" in page.text
    assert "Not counted." in page.text and "cohort-count" not in {question for _, question, _ in stage.asked}
    assert page.all("button", value="pick@1@HP:0001250") and len(page.all("input", **{"aria-invalid": "true"})) == 2
    counted = read(client.get("/cohorts?1.f=measurement&2.f=sex&2.v=male"))
    assert "Counted is: sex=male Rows and groups that are not filled in yet are left out." in counted.text


def test_a_bad_address_says_what_is_wrong_and_keeps_the_rest(client: httpx.Client, read: Callable[..., Any]) -> None:
    page = read(client.get("/cohorts?cohort=sex=female+and+diseas=OMIM:1&dataset=FI:geuvadis&dataset=ZZ:x"))
    assert "This address could not be read whole. Character 16: diseas is not a field" in page.text
    assert "What was understood of it stands below" in page.text and "Not counted." in page.text
    assert page.all("option", value="female", selected="") or "selected" in page.all("option", value="female")[0]
    assert "This dataset is not known here, and is left out: ZZ:x" in page.text
    assert "checked" in page.all("input", value="FI:geuvadis")[0]
    assert "No dataset that is known here was chosen." in read(client.get("/cohorts?cohort=sex=male&dataset=ZZ:x")).text


def test_suggestions(client: httpx.Client) -> None:
    def of(field: str, text: str) -> list[dict[str, str]]:
        answer = client.get("/cohorts/terms", params={"field": field, "q": text})
        assert answer.status_code == 200 and answer.headers["cache-control"] == "private, max-age=60"
        return list(answer.json()["terms"])

    assert of("phenotype", "seiz")[0] == {"code": "HP:0001250", "name": "Seizure"}, "the members' own come first"
    assert len(of("phenotype", "seiz")) > 3, "then those of the ontology"
    assert of("disease", "HYPERCHOL")[0]["code"] == "OMIM:143890" and of("disease", "")[0]["code"] == "OMIM:143890"
    assert not [one for one in of("phenotype", "") if one["code"].startswith("OMIM")]
    assert [one["code"] for one in of("population", "")] == ["CEU", "FIN", "GBR", "TSI"]
    assert of("population", "gb") == [{"code": "GBR", "name": ""}]
    assert of("measurement", "ldl") == [{"code": "LDL cholesterol", "name": "mmol/L"}]
    assert of("gene", "creld")[0]["code"].startswith("CRELD") and of("treatment", "zzzz") == []
    for field, text in (("sex", ""), ("nothing", ""), ("disease", "x" * 201)):
        answer = client.get("/cohorts/terms", params={"field": field, "q": text})
        assert answer.status_code == 400 and answer.headers["content-type"] == "application/problem+json"


def test_hostile_text_in_every_field(client: httpx.Client, read: Callable[..., Any]) -> None:
    for text in corpus.CORPUS[::40]:  # all of them: `python -m validation.portal`
        form = {f"{number}.{what}": text for number, what in enumerate("fcvmbkj", 1)}
        form |= {"5.f": "disease", "5.v": text, "6.f": "measurement", "6.m": text, "6.v": text, "7.f": text, "7.v": text}
        for params in ({"cohort": text}, {"cohort": "sex=male", "dataset": text}, form, form | {"do": text, "new": text}):
            answer = client.get("/cohorts", params=params)
            if answer.is_redirect:
                place = answer.headers["location"]
                assert place.startswith("/cohorts") and place.isprintable() and place.isascii(), place
                answer = client.get(place)
            assert answer.status_code == 200, (text, params)
            assert_harmless(answer, read)
        events = client.get("/cohorts/counts", params={"cohort": text})
        assert events.status_code == 200 and all(event.count("\n") == 2 for event in events.text.strip().split("\n\n"))
        assert client.get("/cohorts/terms", params={"field": "disease", "q": text}).status_code in (200, 400)


def test_hostile_terms_of_a_member_stay_text(stage: Any, client: httpx.Client, read: Callable[..., Any]) -> None:
    for text in ('"><script>alert(1)</script>', "<img src=x onerror=alert(1)>", "a\nb", "x" * 9_000):
        terms = [
            {"type": text, "id": f"HP:{text}", "label": text, "scopes": ["individual"], "count": text},
            {"type": "alphanumeric", "id": text, "label": text, "scopes": text},
            {"type": "alphanumeric", "id": "population", "label": None, "values": [text, 1, None]},
        ]
        stage.script["FI"]["beacon"] = {"status": 200, "document": {"response": {"filteringTerms": terms}}}
        assert_harmless(client.get("/cohorts"), read)
        assert client.get("/cohorts/terms?field=population").headers["content-type"] == "application/json"
