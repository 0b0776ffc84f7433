"""What is missing is said in words: every status of a road and of a dataset, and never a 0 for a withheld number."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

VARIANT = "/variant/22-50313359-G-A?assembly=GRCh37"
REGION = "/region/22:50310000-50320000?assembly=GRCh37"
UNTOLD = {
    "below_floor": "Below the floor (0…4). Fewer than 5 people carry this allele, perhaps nobody, or fewer than 5 do not.",
    "not_assessed": "Not assessed. There is no record at this position, so nothing is known here. This is not a zero.",
    "refused": "Refused. The data holder answers this question only with permission.",
    "other_assembly": "Other assembly. This dataset is on GRCh37. The same numbers mean another place there",
    "empty": "Nobody in this group. The dataset has no person that the question is about.",
}
IN_THE_PICTURE = {
    "below_floor": "below the floor (0…4)",
    "not_assessed": "not assessed",
    "refused": "refused",
    "other_assembly": "other assembly",
    "empty": "nobody in this group",
}


@pytest.mark.parametrize("status", UNTOLD)
def test_a_dataset_that_tells_nothing_says_why(
    client: httpx.Client, stage: Any, wire: Any, read: Callable[..., Any], status: str
) -> None:
    dataset = {"id": "FI:biobank", "status": status, "reason": "the holder’s own words", "populations": []}
    stage.play("FI", [dataset], [wire.record("FI:biobank", **wire.FLOORED)])
    page = read(client.get(VARIANT))
    assert UNTOLD[status] in page.text
    assert "FI says: the holder’s own words" in page.text
    assert f"FI:biobank FI {IN_THE_PICTURE[status]}" in page.text
    assert "1 without a figure is shown as a dashed line" in page.text
    assert "Members counted" in page.text and "3 of 4" in page.text
    of_finland = page.source[page.source.index(">FI:biobank</a>") : page.source.index(">GB:geuvadis</a>")]
    assert 'class="number"' not in of_finland, "no figure, and no 0, stands where nothing was told"

    region = read(client.get(REGION))
    assert "1 dataset has no column here" in region.text and UNTOLD[status] in region.text


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("unreachable", "could not be reached"),
        ("late", "did not answer in time"),
        ("faulty", "sent an answer that cannot be used"),
    ],
)
def test_an_absent_member_is_named(client: httpx.Client, stage: Any, read: Callable[..., Any], status: str, words: str) -> None:
    stage.lose("IT", status, "what happened on the road")
    for path in (VARIANT, REGION):
        text = read(client.get(path)).text
        assert "3 of 4 members answered." in text
        assert f"IT Italy {words}: what happened on the road." in text
    page = read(client.get(VARIANT))
    assert f"Italy IT {status}" in page.text
    assert "What it would say is not known." in page.text
    assert "112" in page.text and "534" in page.text
    home = read(client.get("/"))
    assert f"IT {status} Italy IT {words}: what happened on the road. geuvadis" in home.text
    datasets = read(client.get("/datasets"))
    assert f"IT Italy {words}" in datasets.text
    dataset = read(client.get("/datasets/IT:geuvadis"))
    assert "No description at the moment." in dataset.text and words in dataset.text


def test_nobody_answers(client: httpx.Client, stage: Any, read: Callable[..., Any]) -> None:
    for node in stage.script:
        stage.lose(node, "unreachable", "connection refused")
    page = read(client.get(VARIANT))
    assert "0 of 4 members answered." in page.text
    assert "No figure: no dataset could tell its count." in page.text
    assert "Frequency by population" not in page.text
    assert "No dataset told of variants here." in read(client.get(REGION)).text
    assert "No dataset is known at the moment." in read(client.get("/datasets")).text


def test_a_slow_member_delays_no_page_beyond_the_deadline(
    stage: Any, make_app: Callable[..., FastAPI], serve: Callable[..., Any], read: Callable[..., Any]
) -> None:
    for question in ("frequency", "datasets", "region"):
        stage.script["GB"][question] = 30.0
    with serve(make_app(stage, deadline_seconds=1.5)) as url, httpx.Client(base_url=url, timeout=20) as client:
        start = time.perf_counter()
        page = read(client.get(VARIANT))
        assert time.perf_counter() - start < 2.5
        assert "GB United Kingdom did not answer in time: no answer within 1.5 s." in page.text
        time.sleep(0.5)
        start = time.perf_counter()
        home = read(client.get("/"))
        assert time.perf_counter() - start < 1.5
        assert "GB late" in home.text and "FI answered" in home.text


def test_home_does_not_wait_for_a_slow_member(
    stage: Any, make_app: Callable[..., FastAPI], serve: Callable[..., Any], read: Callable[..., Any]
) -> None:
    stage.script["GB"]["datasets"] = 30.0
    with serve(make_app(stage, deadline_seconds=8.0)) as url, httpx.Client(base_url=url, timeout=20) as client:
        start = time.perf_counter()
        home = read(client.get("/"))
        assert time.perf_counter() - start < 4.0  # half the deadline: it did not wait for it
        assert "GB no answer yet United Kingdom" in home.text


def test_withheld_is_never_zero(client: httpx.Client, stage: Any, wire: Any, read: Callable[..., Any]) -> None:
    """A floored dataset may tell its total and withhold homozygotes, and a whole row."""
    rows = [
        wire.row("all", "all", 31, 184, None),
        wire.row("all", "male", 14, 72, None),
        wire.row("all", "female", 17, 112, None),
        wire.row("FIN", "all", 31, 184, None),
        wire.row("SWE", "all", None, None, None),
    ]
    stage.play(
        "FI", [{"id": "FI:biobank", "status": "answered", "populations": rows}], [wire.record("FI:biobank", **wire.FLOORED)]
    )
    page = read(client.get(VARIANT))
    cells = page.cells()
    assert ["All populations", "everyone", "0.1685", "31", "184", "withheld", "withheld"] in cells
    assert ["SWE", "everyone", "withheld", "withheld", "withheld", "withheld", "withheld"] in cells
    assert "“Withheld” stands where a number is below the floor (0…4), or would give away one that is." in page.text
    homozygotes = re.search(r"<dt>Homozygotes</dt><dd>(.*?)</dd>", page.source, re.DOTALL)
    assert homozygotes and "withheld" in homozygotes[1], "a sum with a withheld part is no sum"
    assert "SWE FI, biobank withheld" in page.text


def test_a_counted_zero_is_a_zero(client: httpx.Client, stage: Any, wire: Any, read: Callable[..., Any]) -> None:
    rows = [wire.row("all", "all", 0, 184, 0)]
    stage.play("FI", [{"id": "FI:geuvadis", "status": "answered", "populations": rows}], [wire.record("FI:geuvadis")])
    page = read(client.get(VARIANT))
    assert ["All populations", "everyone", "0", "0", "184", "0", "0"] in page.cells()
    assert "4 of 4" in page.text


def test_an_undefined_frequency_is_not_zero(client: httpx.Client, stage: Any, wire: Any, read: Callable[..., Any]) -> None:
    rows = [wire.row("all", "all", 0, 0, 0)]
    for node in stage.script:
        dataset = f"{node}:geuvadis"
        stage.play(node, [{"id": dataset, "status": "answered", "populations": rows}], [wire.record(dataset)])
    page = read(client.get(VARIANT))
    assert "Undefined: no allele was called here." in page.text
    assert ["All populations", "everyone", "no allele called", "0", "0", "0", "0"] in page.cells()


def test_hemizygotes_have_a_column_where_there_are_any(
    client: httpx.Client, stage: Any, wire: Any, read: Callable[..., Any]
) -> None:
    assert "Hemizygotes" not in read(client.get(VARIANT)).text
    rows = [wire.row("all", "all", 12, 140, 1, hemi=4), wire.row("all", "male", 4, 40, 0, hemi=4)]
    stage.play("FI", [{"id": "FI:geuvadis", "status": "answered", "populations": rows}], [wire.record("FI:geuvadis")])
    page = read(client.get("/variant/X-100000-A-G?assembly=GRCh37"))
    assert ["All populations", "male", "0.1000", "4", "40", "0", "0", "4"] in page.cells()


def test_another_assembly_is_not_answered_silently(
    client: httpx.Client, stage: Any, wire: Any, read: Callable[..., Any]
) -> None:
    for node in stage.script:
        dataset = f"{node}:geuvadis"
        stage.play(
            node,
            [{"id": dataset, "status": "other_assembly", "reason": "on GRCh37", "populations": []}],
            [wire.record(dataset)],
        )
    page = read(client.get("/variant/22-50313359-G-A?assembly=GRCh38"))
    assert "No dataset here is on GRCh38." in page.text
    assert page.all("a", href="/variant/22-50313359-G-A?assembly=GRCh37")


def test_a_variant_that_a_region_does_not_tell(client: httpx.Client, stage: Any, read: Callable[..., Any]) -> None:
    stage.script["FI"]["region"]["datasets"][0]["variants"].pop()
    page = read(client.get(REGION))
    assert page.cells()[3][3] == "not told"
    assert "It is not a zero" in page.text


def test_simulated_people_are_labelled_everywhere(
    client: httpx.Client, stage: Any, wire: Any, read: Callable[..., Any]
) -> None:
    dataset = {"id": "FI:geuvadis", "status": "answered", "populations": wire.rows("FI")}
    region = stage.script["FI"]["region"]
    stage.play("FI", [dataset], [wire.record("FI:geuvadis", simulated=True)], region)
    for path in ("/", VARIANT, REGION, "/datasets", "/datasets/FI:geuvadis"):
        page = read(client.get(path))
        assert "Simulated people. FI:geuvadis : made by a computer" in page.text, path
    assert "Simulated" not in read(client.get("/datasets/GB:geuvadis")).text


def test_open_release_is_said_where_open_numbers_are(client: httpx.Client, wire: Any, read: Callable[..., Any]) -> None:
    for path in (VARIANT, REGION, "/datasets/FI:geuvadis"):
        assert f"Open release. {wire.OPEN_NOTE}" in read(client.get(path)).text, path


def test_floored_and_closed_datasets_are_explained(
    client: httpx.Client, stage: Any, wire: Any, read: Callable[..., Any]
) -> None:
    closed = {"disclosure": "closed", "nIndividuals": None, "nVariants": None, "openReleaseNote": None, "populations": []}
    stage.play("FI", [], [wire.record("FI:biobank", **wire.FLOORED), wire.record("FI:clinic", **closed)])
    rows = read(client.get("/datasets")).cells()
    floored = next(cells for cells in rows if cells[0].startswith("FI:biobank"))
    assert floored[3:5] == ["90+", "withheld"]
    assert "Numbers about fewer than 5 people are withheld, and counts of people below 10." in floored[6]
    refused = next(cells for cells in rows if cells[0].startswith("FI:clinic"))
    assert refused[3:6] == ["withheld", "withheld", "not said"]
    assert "Closed. Nothing without permission" in refused[6]
    assert "90 or a few more (rounded down to tens)" in read(client.get("/datasets/FI:biobank")).text
    assert "no figure" not in read(client.get(VARIANT)).text.lower()


def test_members_that_may_overlap(
    stage: Any, make_app: Callable[..., FastAPI], serve: Callable[..., Any], read: Callable[..., Any]
) -> None:
    with serve(make_app(stage, may_overlap=True)) as url, httpx.Client(base_url=url, timeout=20) as client:
        assert (
            "Members may overlap: a member says that some of its people may also be at another"
            in read(client.get(VARIANT)).text
        )


def test_members_that_are_not_asked(client: httpx.Client, app_registry: Any, read: Callable[..., Any]) -> None:
    app_registry.set_state("GB", "observer")
    app_registry.set_state("IT", "suspended")
    app_registry.invite("SE", hub_url="http://hub.example", hub_key="k")
    text = read(client.get("/")).text
    assert "GB observer, is not asked United Kingdom" in text
    assert "IT suspended, is not asked Italy" in text
    assert "SE invited, not joined yet" in text
    assert "2 of 2" in read(client.get(VARIANT)).text


def test_a_federation_without_members(
    make_app: Callable[..., FastAPI], serve: Callable[..., Any], read: Callable[..., Any], stage: Any
) -> None:
    stage.script.clear()
    with serve(make_app(stage)) as url, httpx.Client(base_url=url, timeout=20) as client:
        assert "No member yet." in read(client.get("/")).text
        assert "No figure" in read(client.get(VARIANT)).text
