"""The portal of a real hub over real nodes: FI open, GB floored, IT closed; its figures, its words and its snippets."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import orjson
import polars as pl
import pytest
import yaml

from cohelix.sdk import Frequency
from cohelix.testing.federation import RunningFederation, simulated_federation
from cohelix.wire.expression import read_expression


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFederation]:
    with simulated_federation(tmp_path_factory.mktemp("federation"), deadline_seconds=3.0) as running:
        yield running


@pytest.fixture
def hub(federation: RunningFederation) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=federation.hub.url, headers={"accept": "text/html"}, trust_env=False, timeout=20) as client:
        yield client


@pytest.fixture(scope="module")
def variants(federation: RunningFederation) -> list[dict[str, Any]]:
    """What the hub's API says of the whole simulated region."""
    answer = httpx.get(
        f"{federation.hub.url}/api/v1/region/22:20000001-20030000", params={"assembly": "GRCh37", "limit": 1000}, timeout=20
    )
    found = answer.raise_for_status().json()["variants"]
    assert len(found) > 100
    return list(found)


def test_every_variant_is_reached_page_by_page(
    hub: httpx.Client, variants: list[dict[str, Any]], read: Callable[..., Any]
) -> None:
    path, seen = "/region/22:20000001-20030000?assembly=GRCh37", []
    while path:
        page = read(hub.get(path))
        seen += [cells[0] for cells in page.cells()[1:]]
        following = page.all("a", rel="next")
        path = following[0]["href"] if following else ""
    assert seen == [variant["variant"] for variant in variants]
    assert "IT:sim : Refused." in page.text


def test_a_page_shows_what_the_api_says(hub: httpx.Client, variants: list[dict[str, Any]], read: Callable[..., Any]) -> None:
    for variant in variants[::10]:
        name = variant["variant"]
        answer = hub.get(f"/api/v1/frequency/{name}?assembly=GRCh37").json()
        page = read(hub.get(f"/variant/{name}?assembly=GRCh37"))
        cells = page.cells()
        for dataset in (dataset for node in answer["nodes"] for dataset in node["datasets"]):
            for row in dataset["populations"]:
                shown = "withheld" if row["alleleCount"] is None else f"{row['alleleCount']:,}"
                sex = {"all": "everyone", "unknown": "sex unknown"}.get(row["sex"], row["sex"])
                population = "All populations" if row["population"] == "all" else row["population"]
                said_once = row["population"] == "all" and len({r["population"] for r in dataset["populations"]}) == 2
                assert said_once or [population, sex, shown] in [[c[0], c[1], c[3]] for c in cells if len(c) > 3], (name, row)
        assert f"{answer['pooled']['alleleCount']:,} " in page.text
        assert "IT says:" in page.text and "Refused." in page.text


def test_floored_variants_are_said_in_words(
    hub: httpx.Client, variants: list[dict[str, Any]], read: Callable[..., Any]
) -> None:
    untold = [one["variant"] for one in variants if not any(dataset["node"] == "GB" for dataset in one["datasets"])]
    assert untold, "the simulated people have rare variants"
    for name in untold[:5]:
        text = read(hub.get(f"/variant/{name}?assembly=GRCh37")).text
        assert "Below the floor (0…4). Fewer than 5 people carry this allele, perhaps nobody" in text


def test_each_disclosure_is_said(hub: httpx.Client, read: Callable[..., Any]) -> None:
    home = read(hub.get("/")).text
    assert "FI answered Bank of FI sim 60 people, open" in home
    assert "GB answered Bank of GB sim 60+ people, floored" in home
    assert "IT answered Bank of IT sim closed" in home
    rows = read(hub.get("/datasets")).cells()
    assert [cells[3] for cells in rows[1:]] == ["60", "60+", "withheld"]


def test_an_rs_id_leads_to_its_variant(hub: httpx.Client, variants: list[dict[str, Any]], read: Callable[..., Any]) -> None:
    name = variants[0]["variant"]
    position = name.split("-")[1]
    found = hub.get(f"/search?q=rs{position}&assembly=GRCh37")
    assert (found.status_code, found.headers["location"]) == (303, f"/variant/{name}?assembly=GRCh37")
    other = hub.get(f"/search?q=rs{position}&assembly=GRCh38")
    assert other.status_code == 200 and f"{name} on GRCh37" in read(other).text
    nowhere = hub.get("/search?q=rs99&assembly=GRCh37")
    assert nowhere.status_code == 404
    assert "No dataset that answered tells of a variant with the id rs99" in read(nowhere).text
    assert "IT:sim : refused" in read(nowhere).text
    hgvs = read(hub.get("/search?q=BRAF:p.Val600Glu&assembly=GRCh37")).text
    assert "FI:sim : not assessed (the dataset's variants are not annotated" in hgvs and "BRAF" in hgvs


def test_programs_get_problems_and_browsers_pages(hub: httpx.Client) -> None:
    assert hub.get("/nowhere").headers["content-type"].startswith("text/html")
    program = hub.get("/nowhere", headers={"accept": "application/json"})
    assert program.status_code == 404 and program.headers["content-type"] == "application/problem+json"
    assert hub.get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("/variant/{variant}", ("assembly", "GRCh37")),
        ("/region/22:20000001-20001000", ("assembly", "GRCh37")),
        ("/gene/CRELD2", ("assembly", "GRCh37")),
        ("/term/HP:0001250", ("text", "HP:0001250")),
    ],
)
def test_the_snippets_of_a_page_run(
    hub: httpx.Client, variants: list[dict[str, Any]], tmp_path: Path, page: str, said: tuple[str, str]
) -> None:
    key, value = said
    source = hub.get(page.format(variant=variants[0]["variant"]), params={"assembly": "GRCh37"}).text
    curl, python, cli = (unescape(code) for code in re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", source, re.DOTALL))
    assert shutil.which("curl"), "this test needs the Debian package curl: apt-get install curl"
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "NO_PROXY": "*", "HOME": str(tmp_path)}
    fetched = subprocess.run(["sh", "-c", curl], env=environment, capture_output=True, check=True)
    assert orjson.loads(fetched.stdout)[key] == value
    script = tmp_path / "snippet.py"
    script.write_text(re.sub(r"\nhub\.(.*)$", rf"\nprint(hub.\1.{key})", python), encoding="utf-8")
    ran = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == value
    command = subprocess.run(["sh", "-c", f"{cli} --json"], env=environment, capture_output=True, check=True)
    assert orjson.loads(command.stdout)[key] == value


def test_the_files_of_a_page_say_what_the_api_says(
    hub: httpx.Client, variants: list[dict[str, Any]], read: Callable[..., Any]
) -> None:
    name = variants[0]["variant"]
    answer = Frequency.model_validate(hub.get(f"/api/v1/frequency/{name}?assembly=GRCh37").json())
    links = {
        Path(link["href"].partition("?")[0]).suffix: link["href"]
        for link in read(hub.get(f"/variant/{name}?assembly=GRCh37")).all("a")
        if "download" in link
    }
    assert set(links) == {".csv", ".tsv", ".parquet"}
    told = [tuple(row) for row in answer.rows()]
    parquet = pl.read_parquet(hub.get(links[".parquet"]).content)
    assert parquet.columns == list(answer.columns)
    assert parquet.rows() == told
    for suffix, separator in ((".csv", ","), (".tsv", "\t")):
        file = hub.get(links[suffix])
        assert file.headers["content-disposition"] == f'attachment; filename="{name}.GRCh37{suffix}"'
        assert pl.read_csv(file.content, separator=separator, schema=parquet.schema).rows() == told
    assert any(row[4] == "refused" and row[8] is None for row in told), "what was not told has its row"


@pytest.mark.parametrize("text", ["sex=female", "sex=male and population=FI", "sex=male or sex=female", "disease=OMIM:1"])
def test_a_cohorts_page_counts_as_api_and_command_line_do(hub: httpx.Client, read: Callable[..., Any], text: str) -> None:
    answer = hub.get("/api/v1/cohorts/count", params={"expression": text}).json()
    page = read(hub.get("/cohorts", params={"cohort": text}))
    for one in (one for node in answer["nodes"] for one in node["datasets"]):
        floor = one["id"] == "GB:sim"
        words = {"below_floor": "fewer than 10, perhaps nobody", "not_assessed": "not assessed", "refused": "refused"}
        shown = words.get(one["status"], f"{one['count']}{'+' if floor else ''} of 60{'+' if floor else ''}")
        assert f"{one['id']} {shown}" in page.text, one
        assert (one["reason"] or "")[1:] in page.text
    pooled = answer["pooled"]["count"]
    rounded = "GB" in answer["pooled"]["nodes"]
    total = "No figure" if pooled is None else f"All members together {pooled}{'+' if rounded else ''} "
    assert total in page.text
    events = hub.get("/cohorts/counts", params={"cohort": text}).text.strip().split("\n\n")
    events = [event for event in events if not event.startswith(":")]
    assert [event.split("\n")[1] for event in events] == ["event: part", "event: part", "event: whole"]
    assert total in read(httpx.Response(200, text=orjson.loads(events[-1].partition("data: ")[2]))).text


def main_of(source: str) -> str:
    return source.partition("<main")[2].partition("</main>")[0]


def test_a_cohort_taken_along_is_the_same(hub: httpx.Client, tmp_path: Path) -> None:
    source = hub.get(
        "/cohorts", params={"cohort": "sex=female and population!='x y'".replace("'", '"'), "dataset": "FI:sim"}
    ).text
    pieces = [unescape(code) for code in re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", source, re.DOTALL)]
    link, text, document, curl, python, cli = pieces
    assert text == 'sex=female and population!="x y"' and 'href="/analyses/new?cohort=sex=female' in source
    linked = hub.get(link)
    assert linked.status_code == 200 and str(linked.url) == link and main_of(linked.text) == main_of(source)
    onward = unescape(re.findall(r'href="(/analyses/new\?[^"]*)"', source)[0])
    wizard = unescape(hub.get(onward).text)
    assert text in wizard and re.search(r'value="FI:sim"[^>]*checked', wizard)
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "NO_PROXY": "*", "HOME": str(tmp_path)}
    fetched = subprocess.run(["sh", "-c", curl], env=environment, capture_output=True, check=True)
    script = tmp_path / "snippet.py"
    script.write_text(re.sub(r"\nhub\.(.*)$", r"\nprint(hub.\1.model_dump_json())", python), encoding="utf-8")
    ran = subprocess.run([sys.executable, script], env=environment, capture_output=True, check=True)
    command = subprocess.run(["sh", "-c", f"{cli} --json"], env=environment, capture_output=True, check=True)
    answers = [orjson.loads(one.stdout) for one in (fetched, ran, command)]
    for answer in answers:
        assert answer["text"] == text and [node["node"] for node in answer["nodes"]] == ["FI"]
    counts = {(answer.get("pooled") or {})["count"] for answer in answers}
    assert len(counts) == 1 and f'<p class="lead">{counts.pop()}</p>' in source
    plan = yaml.safe_load(document)
    assert plan["datasets"] == ["FI:sim"] and read_expression(plan["cohort"]) == read_expression(text)


def test_a_node_that_stops_is_named(federation: RunningFederation, hub: httpx.Client, read: Callable[..., Any]) -> None:
    """Last: the federation stays without it."""
    federation.nodes["GB"].stop()
    text = read(hub.get("/variant/22-20000100-A-G?assembly=GRCh37")).text
    assert "2 of 3 members answered." in text
    assert "GB Bank of GB could not be reached" in text
    counted = read(hub.get("/cohorts?cohort=sex=female")).text
    assert "Bank of GB GB unreachable GB could not be reached" in counted and "IT:sim refused" in counted
