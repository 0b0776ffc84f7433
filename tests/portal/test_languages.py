"""Languages of the pages: the reader's own, chosen by hand, whole, and with nothing left in English that is ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import pytest
from scripts import translations

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


VIEWS = Path(str(resources.files("cohelix.portal").joinpath("views")))
# Pages that are still in English alone; take a name off when its page is written with messages.
_SPOKEN = re.compile(r'\s(?:aria-label|aria-description|title|alt|placeholder|data-[a-z-]+)="([^"]*)"')
_NAMES = {
    "UTC",
    "Ensembl",
    "log₁₀",
    "Cohelix",
    "API",
    "GA4GH",
    "AcceptedTermsAndPolicies",
    "curl",
    "Python",
    "HP",
    "BCDF",
    "GHJK",
    "MONDO",
    "log",
    "FI",
}


def unspoken(source: str) -> list[str]:
    """Words of a template that are in no message: between its tags, in attributes that are read out, in its expressions."""
    source = re.sub(r"{#.*?#}|{%-?\s*trans\b.*?endtrans\s*-?%}|<code\b.*?</code>", "", source, flags=re.DOTALL)
    pieces: list[str] = []

    def kept(found: re.Match[str]) -> str:
        pieces.append(found[0])
        return f"\x00{len(pieces) - 1}\x01"

    plain = re.sub(r"{{.*?}}|{%.*?%}", kept, source, flags=re.DOTALL)
    between = re.sub(r"<[^>]*>|\s[a-z-]+=\"[^\"]*\"", " ", plain)
    spoken = [between, *(text for text in _SPOKEN.findall(plain) if "/" not in text)]
    shown = [pieces[int(number)] for text in spoken for number in re.findall(r"\x00(\d+)\x01", text)]
    literals = [
        word
        for piece in shown
        if piece.startswith("{{")
        for word in re.findall(
            r'(?:{{-?\s*|\bif\s.*?\belse\s+|\bor\s+)"([^"]*)"|"([^"]*)"\s+if\b', re.sub(r'_\("[^"]*"\)', "", piece)
        )
        for word in word
    ]
    words = re.findall(
        r"[^\W\d_]{2,}", " ".join([re.sub(r"\x00\d+\x01|&\w+;|\S*/\S*", " ", text) for text in spoken] + literals)
    )
    return [word for word in words if word not in _NAMES]


@pytest.mark.parametrize("template", sorted(file.name for file in VIEWS.glob("*.html")))
def test_a_template_has_no_word_outside_of_messages(template: str) -> None:
    words = unspoken((VIEWS / template).read_text(encoding="utf-8"))
    assert not words


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("<p>Ask again</p>", ["Ask", "again"]),
        ("<p>{% trans %}Ask{% endtrans %} <b>{{ name }}</b></p>", []),
        ('<a title="All of it" href="/ask/again">{{ x }}</a>', ["All", "of", "it"]),
        ('<p class="{{ "good" if x else "bad" }}">{{ "one" if n == 1 else "many" }}</p>', ["many", "one"]),
        ('{{ names|join(", ") or "none" }} {{ _("said") }} {{ x or _("not said") }}', ["none"]),
        ("{# a comment #}<code>cohelix demo</code>{% if a > b %}<i>{{ a }}</i>{% endif %}", []),
    ],
)
def test_the_search_for_words_finds_them(source: str, words: list[str]) -> None:
    assert sorted(unspoken(source)) == sorted(words)


def test_no_template_calls_data_a_message() -> None:
    """What `_` gives counts as markup, so it takes nothing but texts of the template itself."""
    for file in VIEWS.glob("*.html"):
        assert not re.findall(r"\b(?:_|gettext|ngettext|pgettext)\((?!\")", file.read_text(encoding="utf-8")), file.name


def _catalogue(tag: str) -> dict[tuple[str | None, str], tuple[tuple[str, ...], tuple[str, ...]]]:
    """A language's messages and what it says for them, by context and first form."""
    known = {}
    for one in translations.catalogue(tag):
        if one.id:
            said = one.string if isinstance(one.string, (tuple, list)) else (one.string,)
            ids = one.id if isinstance(one.id, (tuple, list)) else (one.id,)
            known[one.context, ids[0]] = (tuple(ids), tuple(said))
    return known


def test_german_has_every_message() -> None:
    """After a change of a page: `python scripts/translations.py update`, then German in `locale/de.po`."""
    assert not translations.missing("de")


@pytest.mark.parametrize("tag", sorted(file.stem for file in translations.LOCALE.glob("*.po")))
def test_a_translation_keeps_places_and_markup(tag: str) -> None:
    kept = re.compile(r"%\(\w+\)s|%%|</?\w+(?:\s[^>]*)?>")
    for ids, said in _catalogue(tag).values():
        for form in filter(None, said):
            # A plural's one form may leave its number out, and its other forms may have it.
            wanted = [sorted(kept.findall(one)) for one in ids]
            assert sorted(kept.findall(form)) in wanted, (ids, form)
            assert "&" not in form or re.search(r"&\w+;", form), form


def test_a_german_page_is_german(client: httpx.Client, read: Callable[..., Any]) -> None:
    text = read(client.get(VARIANT, headers={"accept-language": "de"})).text
    assert "Allelhäufigkeit , alle Mitglieder zusammen 0,2207" in text
    assert "Am niedrigsten in FIN (FI) mit 0,1685, am höchsten in CEU (CEU) mit 0,2528." in text
    assert "Position 50,313,359" in text
