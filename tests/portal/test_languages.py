"""Languages of the pages: the reader's own, chosen by hand, whole, and with nothing left in English that is ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from cohelix.portal.figures import decimal, grouped, milliseconds, place
from cohelix.portal.languages import LANGUAGES, PSEUDO, accepted, gettext, pseudo, speaking

VARIANT = "/variant/22-50313359-G-A?assembly=GRCh37"


@pytest.mark.parametrize(
    ("header", "tag"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("zh-CN, fi;q=0.2", "fi"),
        ("fr;q=0.3, es;q=0.9", "es"),
        ("de;q=0, it;q=0.1", "it"),
        ("tlh, *;q=0.5", "en"),
        ("de;q=two, fr;q=0.1", "fr"),
        ("en-XA", "en"),
        ("<script>;q=1, ../../de", "en"),
        (",".join(["xx"] * 1000 + ["de"]), "en"),
    ],
)
def test_the_browsers_wish_is_heard(header: str, tag: str) -> None:
    assert accepted(header).tag == tag


def test_a_page_says_its_language_and_varies_by_it(client: httpx.Client, read: Callable[..., Any]) -> None:
    for wish, tag in (("de-DE,de;q=0.9", "de"), ("en-GB", "en"), ("pl", "en")):
        answer = client.get("/", headers={"accept-language": wish})
        assert read(answer).all("html") == [{"lang": tag}]
        assert answer.headers["vary"] == "Accept-Language, Cookie"


def test_a_choice_is_kept_and_goes_before_the_browsers_wish(client: httpx.Client, read: Callable[..., Any]) -> None:
    page = read(client.get(VARIANT, headers={"accept-language": "de"}))
    switches = {link["hreflang"]: link["href"] for link in page.all("a") if "hreflang" in link}
    assert set(switches) == {one.tag for one in LANGUAGES} - {"de"}
    answer = client.get(switches["fi"])
    assert answer.status_code == 303
    assert answer.headers["location"] == VARIANT
    assert {"httponly", "samesite=lax", "path=/"} <= set(answer.headers["set-cookie"].lower().split("; "))
    assert read(client.get(VARIANT, headers={"accept-language": "de"})).all("html") == [{"lang": "fi"}]


@pytest.mark.parametrize(
    "path", ["//evil.example", "/\\evil.example", "/%5Cevil.example", "/%2F%2Fevil.example", "/%0d%0aset-cookie:x=y"]
)
def test_a_choice_leads_to_no_other_server(client: httpx.Client, path: str) -> None:
    answer = client.get(f"/de{path}")
    place = answer.headers.get("location", "/")  # an address with a line break is none at all
    assert place.startswith("/") and not place.startswith(("//", "/\\")), place
    assert "x=y" not in answer.headers.get("set-cookie", "")


def test_a_cookie_that_names_no_language_is_nothing(client: httpx.Client, read: Callable[..., Any]) -> None:
    page = read(client.get("/", headers={"cookie": "cohelix_language=../../etc", "accept-language": "de"}))
    assert page.all("html") == [{"lang": "de"}]


def test_figures_are_the_readers_and_positions_are_notation() -> None:
    german = next(one for one in LANGUAGES if one.tag == "de")
    with speaking(german):
        assert (grouped(1_234_567), decimal(0.1685), milliseconds(3.14)) == ("1.234.567", "0,1685", "3,1 ms")
        assert place(50_313_359) == "50,313,359"
    assert (grouped(1_234_567), decimal(0.1685), milliseconds(3.14)) == ("1,234,567", "0.1685", "3.1 ms")


def test_the_pseudo_language_keeps_markup_and_places() -> None:
    assert pseudo('<b title="x">Ask</b> %(who)s &amp; 5 %%') == '⟦<b title="x">Àšķ</b> %(who)s &amp; 5 %%~~⟧'
    with speaking(PSEUDO):
        assert gettext("") == ""
