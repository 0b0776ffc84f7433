"""The pages as a reader without JavaScript gets them: what they show, how they are built, what they lead to."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from cohelix.portal.figures import decimal, milliseconds

VARIANT = "/variant/22-50313359-G-A?assembly=GRCh37"
PAGES = [
    "/",
    VARIANT,
    "/region/22:50310000-50320000?assembly=GRCh37",
    "/gene/CRELD2?assembly=GRCh37",
    "/datasets",
    "/datasets/FI:geuvadis",
    "/about",
    "/search?q=xyzzy",
    "/search?q=22-50313359-G&assembly=GRCh37",
    "/variant/22-50313359-G-A",
    "/nowhere",
]
CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_strict_and_whole(client: httpx.Client, read: Callable[..., Any], path: str) -> None:
    answer = client.get(path)
    page = read(answer)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == CSP
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in answer.headers
    for tag, attributes in page.tags:
        assert "style" not in attributes and tag != "style", (tag, attributes)
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        for name in ("href", "src", "action", "srcset"):
            target = attributes.get(name) or ""
            assert not target or (target.startswith(("/", "#")) and not target.startswith("//")), target
    assert all(script.get("src") for script in page.all("script"))
    assert len(answer.content) < 60_000
    identifiers = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))


@pytest.mark.parametrize("path", PAGES)
def test_a_page_can_be_walked_by_ear_and_key(client: httpx.Client, read: Callable[..., Any], path: str) -> None:
    page = read(client.get(path))
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == 1 and len(page.all("main")) == 1
    assert page.all("a")[0]["href"] == "#content" and page.all("main")[0]["id"] == "content"
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels)), levels
    labelled = {label.get("for") for label in page.all("label")}
    for field in page.all("input") + page.all("select"):
        assert field.get("type") in ("radio", "hidden") or field["id"] in labelled
    for heading in page.all("th"):
        assert heading.get("scope") in {"col", "row", "rowgroup"}
    assert len(page.all("caption")) == len(page.all("table"))
    for region in page.all("div", **{"class": "scroll"}):
        assert region["tabindex"] == "0" and region["role"] == "region"
    for drawing in page.all("svg"):
        assert drawing.get("aria-hidden") == "true", "a drawing repeats figures that stand beside it as text"


@pytest.mark.parametrize("path", [*PAGES[:7]])
def test_links_lead_somewhere(client: httpx.Client, read: Callable[..., Any], path: str) -> None:
    for link in {link["href"] for link in read(client.get(path)).all("a")}:
        if link.startswith(("#", "/api/", "/openapi.json")):
            continue
        answer = client.get(link, follow_redirects=True)
        assert answer.status_code == 200, link


def test_home_shows_who_is_there(client: httpx.Client, read: Callable[..., Any]) -> None:
    page = read(client.get("/"))
    for words in (
        "FI answered Finland geuvadis 92 people, open",
        "CEU , US answered Utah residents",
        "GB answered",
        "IT answered",
    ):
        assert words in page.text
    assert page.all("input", type="search")[0]["name"] == "q"
    assert [radio["value"] for radio in page.all("input", type="radio")] == ["GRCh37", "GRCh38"]
    assert [radio["value"] for radio in page.all("input", type="radio") if "checked" in radio] == ["GRCh37"]


@pytest.mark.parametrize(
    ("typed", "place"),
    [
        ("chr22:50313359 G>A", "/variant/22-50313359-G-A?assembly=GRCh37"),
        ("22-50313359-G-A hg38", "/variant/22-50313359-G-A?assembly=GRCh38"),
        ("22:50,310,000-50,320,000", "/region/22:50310000-50320000?assembly=GRCh37"),
        ("creld2", "/gene/CRELD2?assembly=GRCh37"),
        ("ENSG00000184164.10", "/gene/CRELD2?assembly=GRCh37"),
        ("it:geuvadis", "/datasets/IT:geuvadis"),
    ],
)
def test_search_leads_to_the_page(client: httpx.Client, typed: str, place: str) -> None:
    answer = client.get("/search", params={"q": typed, "assembly": "GRCh37"})
    assert (answer.status_code, answer.headers["location"]) == (303, place)
    assert client.get(place).status_code == 200


def test_search_without_an_assembly_takes_that_of_the_datasets(client: httpx.Client) -> None:
    assert client.get("/search?q=22-50313359-G-A").headers["location"].endswith("assembly=GRCh37")


def test_search_says_what_it_did_not_understand(client: httpx.Client, read: Callable[..., Any]) -> None:
    answer = client.get("/search", params={"q": "22-50313359-G", "assembly": "GRCh37"})
    page = read(answer)
    assert answer.status_code == 400
    assert "A variant needs both alleles" in page.text and "Did you mean" in page.text
    assert page.all("input", type="search")[0]["value"] == "22-50313359-G"
    links = [parse_qs(urlsplit(link["href"]).query)["q"][0] for link in page.all("a") if link["href"].startswith("/search")]
    assert "22-50313359-G-A" in links


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("rs671", "No dataset that answered tells of a variant with the id rs671"),
        ("BRCA1:c.68_69del", "No dataset that answered tells of a variant named BRCA1:c.68_69del"),
        ("c.68_69del", "does not say which sequence or gene it is about"),
        ("22-99999999-A-G", "Chromosome 22 has 51,304,566 bases on GRCh37"),
        ("chr99-5-A-G", "GRCh37 has no chromosome or contig chr99"),
        ("22-5-A-Q", "Q is not an allele"),
        ("22", "A whole chromosome is too long for a page"),
        ("22:9-5", "The region ends before it begins"),
        ("zzzz", "No variant, region, gene, disease or dataset is written like zzzz"),
    ],
)
def test_every_misunderstanding_has_its_words(client: httpx.Client, read: Callable[..., Any], typed: str, words: str) -> None:
    answer = client.get("/search", params={"q": typed, "assembly": "GRCh37"})
    assert answer.status_code in (400, 404)
    assert words in read(answer).text


def test_a_variant_in_figures(client: httpx.Client, read: Callable[..., Any]) -> None:
    """The demo's variant: 31/184, 36/172, 46/182 and 45/178 are 158 of 716."""
    page = read(client.get(VARIANT))
    assert "Single-base substitution on GRCh37 22-50313359-G-A" in page.text
    assert "Chromosome 22 , position 50,313,359" in page.text and "CRELD2" in page.text
    assert "all members together 0.2207" in page.text
    for words in ("158 ", "716 ", "18 ", "4 of 4"):
        assert words in page.text
    assert "Lowest in FIN (FI) with 0.1685, highest in CEU (CEU) with 0.2528." in page.text
    assert "Within a member each person counts once." in page.text and "may overlap" not in page.text
    rows = page.cells()
    assert ["FIN", "everyone", "0.1685", "31", "184", "3", "25"] in rows
    assert ["GBR", "male", "0.1951", "16", "82", "3", "10"] in rows
    assert ["TSI", "female", "0.2340", "22", "94", "4", "14"] in rows
    assert not [cells for cells in rows if cells[0] == "All populations"], "one population is not said twice"
    assert len(page.all("rect", **{"class": "fill"})) == 4
    assert [bar["width"] for bar in page.all("rect", **{"class": "fill"})] == ["63.20%", "42.12%", "52.33%", "63.19%"]


def test_a_variant_to_take_along(client: httpx.Client, read: Callable[..., Any]) -> None:
    page = read(client.get(VARIANT))
    base = str(client.base_url).rstrip("/")
    assert f"curl '{base}/api/v1/frequency/22-50313359-G-A?assembly=GRCh37'" in page.text
    assert f"cohelix frequency 22-50313359-G-A --assembly GRCh37 --hub {base}" in page.text
    assert f'hub = cohelix.connect("{base}") hub.frequency("22-50313359-G-A", assembly="GRCh37")' in page.text
    assert page.all("a", href="/api/v1/frequency/22-50313359-G-A?assembly=GRCh37")


def test_a_long_variant_is_shown_in_full_below_its_heading(client: httpx.Client, read: Callable[..., Any]) -> None:
    name = "22-50313359-G-" + "GATTACA" * 60
    page = read(client.get(f"/variant/{name}?assembly=GRCh37"))
    assert f"All {len(name)} letters of its name {name}" in page.text
    assert "Insertion of 419 bases" in page.text and f"{name[:80]}… on GRCh37" in page.text


def test_an_address_of_another_spelling_leads_to_the_one(client: httpx.Client) -> None:
    for path in ("/variant/chr22:50313359:G:A", "/variant/22-50313358-AG-AA", "/variant/22-50313359-g-a"):
        answer = client.get(f"{path}?assembly=GRCh37")
        assert (answer.status_code, answer.headers["location"]) == (303, VARIANT), path
    assert client.get("/gene/ENSG00000184164?assembly=GRCh37").headers["location"] == "/gene/CRELD2?assembly=GRCh37"
    assert client.get("/region/chr22:1-20?assembly=GRCh37").headers["location"] == "/region/22:1-20?assembly=GRCh37"


def test_the_assembly_is_never_guessed(client: httpx.Client, read: Callable[..., Any]) -> None:
    for path in ("/variant/22-50313359-G-A", "/region/22:1-20", "/gene/CRELD2"):
        answer = client.get(path)
        assert answer.status_code == 400 and "Which assembly?" in read(answer).text
        assert [link for link in read(answer).all("a") if "GRCh38" in link["href"]]


def test_a_region_side_by_side(client: httpx.Client, read: Callable[..., Any]) -> None:
    page = read(client.get("/region/22:50310000-50320000?assembly=GRCh37"))
    assert "22:50,310,000–50,320,000 10,001 bases Genes ALG12 , CRELD2" in page.text
    rows = page.cells()
    assert rows[0] == ["Variant", "Together", "CEU:geuvadis", "FI:geuvadis", "GB:geuvadis", "IT:geuvadis"]
    assert rows[1][:4] == ["22-50313359-G-A", "0.2207 158 / 716", "0.2528 45 / 178", "0.1685 31 / 184"]
    assert len(rows) == 4
    assert page.all("a", href="/variant/22-50313500-AT-A?assembly=GRCh37")
    assert page.all("a", href="/region/22:50310000-50320000/variants.json?assembly=GRCh37")


def test_a_gene_has_its_head(client: httpx.Client, read: Callable[..., Any]) -> None:
    page = read(client.get("/gene/CRELD2?assembly=GRCh37"))
    assert "Gene on GRCh37 CRELD2 cysteine rich with EGF like domains 2" in page.text
    assert "22:50,312,283–50,321,186" in page.text and "ENSG00000184164" in page.text
    assert "cohelix gene CRELD2 --assembly GRCh37" in page.text


def test_a_gene_of_nobody(client: httpx.Client, read: Callable[..., Any]) -> None:
    answer = client.get("/gene/CREDL2?assembly=GRCh37")
    assert answer.status_code == 404
    assert "Nothing of that name" in read(answer).text and "CRELD2" in read(answer).text


def test_a_long_region_is_paged_without_loss(client: httpx.Client, stage: Any, wire: Any, read: Callable[..., Any]) -> None:
    names = [f"22-{50_310_000 + 10 * step}-A-G" for step in range(130)] + ["22-50311500-A-<DEL>"]

    def page_of(message: dict[str, Any]) -> dict[str, Any]:
        first = names.index(message["after"]) + 1 if message["after"] else 0
        given = names[first : first + message["limit"]]
        variants = [{"variant": name, "populations": wire.rows("FI")} for name in given]
        dataset = {"id": "FI:geuvadis", "status": "answered", "variants": variants}
        return {"node": "FI", "datasets": [dataset], "more": first + len(given) < len(names)}

    for node in ("GB", "IT", "CEU"):
        del stage.script[node]["region"]
        stage.script[node]["region"] = {"node": node, "datasets": [], "more": False}
    stage.script["FI"]["region"] = page_of
    path, seen, pages = "/region/22:50310000-50320000?assembly=GRCh37", [], 0
    while path:
        page = read(client.get(path))
        seen += [cells[0] for cells in page.cells()[1:]]
        following = page.all("a", rel="next")
        path, pages = (following[0]["href"] if following else ""), pages + 1
    assert seen == names
    assert pages == 3
    symbolic = client.get("/variant/22-50311500-A-%3CDEL%3E?assembly=GRCh37")
    assert symbolic.status_code == 200 and "Structural variant on GRCh37" in read(symbolic).text


def test_a_name_of_several_variants_is_asked_back(client: httpx.Client, stage: Any, read: Callable[..., Any]) -> None:
    def told(*names: str) -> dict[str, Any]:
        sets = [{"id": "FI:geuvadis", "results": [{"variantInternalId": name} for name in names]}]
        lines = [{"id": "FI:geuvadis", "exists": True, "status": "answered"}]
        return {"status": 200, "document": {"response": {"resultSets": sets}, "info": {"datasets": lines}}}

    search = {"q": "BRAF:p.Val600Glu", "assembly": "GRCh37"}
    here, too = "GRCh37-7-140453136-A-T", "GRCh37-7-140453135-CA-TT"
    stage.script["FI"]["beacon"] = told(here, too, "GRCh38-7-140753336-A-T")
    answer = client.get("/search", params=search)
    page = read(answer)
    assert answer.status_code == 200 and "Which variant?" in page.text
    assert "7-140453135-CA-TT FI:geuvadis" in page.text and "GRCh38" not in page.text.partition("Ask again")[0]
    stage.script["FI"]["beacon"] = told(here, "GRCh38-7-140753336-A-T")
    assert client.get("/search", params=search).headers["location"] == "/variant/7-140453136-A-T?assembly=GRCh37"
    stage.script["FI"]["beacon"] = told("GRCh38-7-140753336-A-T")
    assert "7-140753336-A-T on GRCh38" in read(client.get("/search", params=search)).text, "it is not gone to unasked"
    for lie in ("<script>alert(1)</script>", "GRCh37-99-5-A-T", "GRCh37-7"):
        stage.script["FI"]["beacon"] = told(lie)
        page = read(client.get("/search", params=search))
        assert "FI Finland" not in page.text and "FI sent an answer that cannot be used" in page.text


REGION = "/region/22:50310000-50320000"


def test_the_variants_of_a_region_are_sifted_by_the_address(
    client: httpx.Client, stage: Any, wire: Any, read: Callable[..., Any]
) -> None:
    """FI alone tells: 60 common substitutions, rare ones between them, and a deletion at the end."""
    counts = [30 if step % 2 else 1 for step in range(120)] + [30]
    names = [f"22-{50_310_000 + 10 * step}-A-G" for step in range(120)] + ["22-50311500-AT-A"]
    rows = [[wire.row("all", "all", ac, 184, 0)] for ac in counts]
    variants = [{"variant": name, "populations": row} for name, row in zip(names, rows, strict=True)]

    def page_of(message: dict[str, Any]) -> dict[str, Any]:
        first = names.index(message["after"]) + 1 if message["after"] else 0
        given = variants[first : first + message["limit"]]
        datasets = [{"id": "FI:geuvadis", "status": "answered", "variants": given}]
        return {"node": "FI", "datasets": datasets, "more": first + len(given) < len(names)}

    for node in ("GB", "IT", "CEU"):
        stage.script[node]["region"] = {"node": node, "datasets": [], "more": False}
    stage.script["FI"]["region"] = page_of
    common = [name for name, ac in zip(names, counts, strict=True) if ac == 30]

    def seen(query: str) -> list[str]:
        path, found = f"{REGION}?assembly=GRCh37&{query}", []
        while path:
            page = read(client.get(path))
            found += [cells[0] for cells in page.cells()[1:]]
            following = page.all("a", rel="next")
            path = following[0]["href"] if following else ""
            assert not path or query in path, "the choice goes on with the page"
        return found

    assert seen("least=0.05") == common
    assert seen("most=0.05") == [name for name in names if name not in common]
    assert seen("kind=indel") == ["22-50311500-AT-A"]
    assert seen("kind=snv&least=0.05") == common[:-1]
    assert seen("kind=symbolic") == []
    page = read(client.get(f"{REGION}?assembly=GRCh37&least=0.05"))
    assert "50 of the 100 variants looked at, more follow." in page.text
    assert page.all("input", name="least")[0]["value"] == "0.05"
    (file,) = page.all("a", href=f"{REGION}/variants.json?assembly=GRCh37&least=0.05")
    assert [one["variant"] for one in client.get(file["href"]).json()["variants"]] == common[:50]
    lines = client.get(f"{REGION}/variants.tsv?assembly=GRCh37&least=0.05").text.splitlines()
    assert [line.split("\t")[0] for line in lines[1:]] == common[:50]
    empty = client.get(f"{REGION}?assembly=GRCh37&kind=&least=0.1&most=")
    assert empty.headers["location"] == f"{REGION}?assembly=GRCh37&least=0.1", "a form's empty fields are left out"
    for wrong in ("kind=snp", "least=much", "least=2", "least=nan", "least=0.5&most=0.1"):
        assert client.get(f"{REGION}?assembly=GRCh37&{wrong}").status_code == 400
    assert client.get(f"{REGION}/variants.xlsx?assembly=GRCh37").status_code == 404


def test_a_cursor_that_is_none(client: httpx.Client, read: Callable[..., Any]) -> None:
    answer = client.get("/region/22:1-20?assembly=GRCh37&after=nonsense")
    assert answer.status_code == 400
    assert "That question was not understood" in read(answer).text


def test_datasets_in_a_table(client: httpx.Client, read: Callable[..., Any]) -> None:
    rows = read(client.get("/datasets")).cells()
    assert len(rows) == 5
    assert rows[2][:6] == ["FI:geuvadis GEUVADIS genotypes, FIN", "Finland", "GRCh37", "92", "85,485", "FIN"]
    assert rows[2][6].startswith("Open. Exact numbers to everyone")


def test_a_dataset_in_words(client: httpx.Client, read: Callable[..., Any], wire: Any) -> None:
    text = read(client.get("/datasets/FI:geuvadis")).text
    for words in (
        "Federation id FI:geuvadis",
        "Open. Exact numbers",
        wire.OPEN_NOTE,
        "People 92",
        "Variants 85,485",
        "Chromosomes 22",
    ):
        assert words in text
    answer = client.get("/datasets/FI:other")
    assert answer.status_code == 404 and "There is nothing here" in read(answer).text


def test_nothing_here_for_browsers_and_programs(client: httpx.Client, read: Callable[..., Any]) -> None:
    answer = client.get("/nowhere/at/all")
    assert answer.status_code == 404 and "There is nothing here" in read(answer).text
    program = client.get("/nowhere", headers={"accept": "*/*"})
    assert program.status_code == 404
    assert program.headers["content-type"].startswith("application/problem+json")


def test_assets_are_kept_for_ever_under_their_hash(client: httpx.Client, read: Callable[..., Any]) -> None:
    page = read(client.get("/"))
    addresses = [link["href"] for link in page.all("link")] + [script["src"] for script in page.all("script")]
    assert len(addresses) == 3
    for address in addresses:
        answer = client.get(address)
        assert answer.status_code == 200 and "immutable" in answer.headers["cache-control"]
        stale = client.get(re.sub("static/[0-9a-f]+", "static/0000", address))
        assert stale.headers["cache-control"] == "no-store"
    assert client.get("/static/0/../pages.py").status_code == 404
    assert client.get("/static/0/pages.py").status_code == 404


def test_styles_fetch_nothing_and_know_both_schemes(client: httpx.Client, read: Callable[..., Any]) -> None:
    sheet = client.get(read(client.get("/")).all("link", rel="stylesheet")[0]["href"]).text
    assert not re.search(r"url\(|@import|https?:", sheet)
    assert "prefers-color-scheme: dark" in sheet and "color-scheme: light dark" in sheet
    used = set(re.findall(r"var\((--[\w-]+)", sheet))
    assert used <= set(re.findall(r"(--[\w-]+):", sheet))


def test_contrast_passes_in_both_schemes(client: httpx.Client, read: Callable[..., Any]) -> None:
    """WCAG 2.2: text 4.5 : 1, lines of controls and marks 3 : 1."""
    sheet = client.get(read(client.get("/")).all("link", rel="stylesheet")[0]["href"]).text
    light, dark = (
        dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6});", part)) for part in sheet.split("prefers-color-scheme: dark", 1)
    )
    for scheme in (light, dark):
        for text in ("--ink", "--ink-quiet", "--accent"):
            for ground in ("--paper", "--surface", "--accent-wash"):
                assert _contrast(scheme[text], scheme[ground]) >= 4.5, (text, ground)
        assert _contrast(scheme["--warn"], scheme["--warn-wash"]) >= 4.5
        assert _contrast(scheme["--ink"], scheme["--warn-wash"]) >= 4.5
        assert _contrast(scheme["--warn"], scheme["--surface"]) >= 4.5
        assert _contrast(scheme["--on-accent"], scheme["--accent"]) >= 4.5
        assert _contrast(scheme["--ink"], scheme["--sunken"]) >= 4.5
        for mark in ("--line-control", "--bar"):
            for ground in ("--paper", "--surface"):
                assert _contrast(scheme[mark], scheme[ground]) >= 3, (mark, ground)
        assert _contrast(scheme["--bar"], scheme["--bar-track"]) >= 3


def _contrast(one: str, other: str) -> float:
    bright, dim = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2, "relative luminance"."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    ("frequency", "shown"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (31 / 184, "0.1685"),
        (0.5, "0.5000"),
        (0.00042, "0.00042"),
        (4.2e-6, "4.2e-06"),
        (0.99999, "0.999990"),
    ],
)
def test_a_rounded_frequency_never_looks_exact(frequency: float, shown: str) -> None:
    assert decimal(frequency) == shown


def test_milliseconds() -> None:
    assert [milliseconds(elapsed) for elapsed in (3.14, 42.4, 5012.0)] == ["3.1 ms", "42 ms", "5.0 s"]
