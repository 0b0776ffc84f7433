"""A researcher asks one question of the whole federation: by HTTP, by the command line, from a notebook."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

import cohelix
from validation import naive
from validation.town import Town


def _rows(rows: list[naive.Row]) -> dict[tuple[str, str], tuple[Any, ...]]:
    return {(r.population, r.sex): (r.ac, r.an, r.hom, r.het, r.hemi) for r in rows}


def _told(dataset: dict[str, Any]) -> dict[tuple[str, str], tuple[Any, ...]]:
    return {
        (p["population"], p["sex"]): (
            p["alleleCount"], p["alleleNumber"], p["homozygotes"], p["heterozygotes"], p["hemizygotes"],
        )
        for p in dataset["populations"]
    }  # fmt: skip


def test_every_member_answers_by_its_own_rule(town: Town) -> None:
    """Fifty variants: the open node tells all, the floored one what the rule lets out, the closed one refuses."""
    fi, gb = town.nodes["FI"], town.nodes["GB"]
    theirs = {v.key: v for v in gb.variants()}
    asked = [v for v in fi.variants() if not v.alt.startswith("<")]
    seen = set()
    for variant in random.Random(1).sample(asked, 50):
        answer = town.frequency(variant.text)
        assert [n["node"] for n in answer["nodes"]] == ["FI", "GB", "IT"]
        assert all(n["status"] == "answered" for n in answer["nodes"])
        parts = {d["id"]: d for n in answer["nodes"] for d in n["datasets"]}
        assert set(parts) == {"FI:cohort", "GB:cohort", "IT:cohort", "IT:b38"}
        ours = naive.open_rows(variant, fi.people)
        assert parts["FI:cohort"]["status"] == "answered" and _told(parts["FI:cohort"]) == _rows(ours)
        assert parts["FI:cohort"]["populations"][0]["population"] == parts["FI:cohort"]["populations"][0]["sex"] == "all"
        floored = naive.floored_rows(theirs[variant.key], gb.people)
        assert parts["GB:cohort"]["status"] == ("answered" if floored else "below_floor")
        assert _told(parts["GB:cohort"]) == _rows(floored)
        assert parts["IT:cohort"]["status"] == "refused" and not parts["IT:cohort"]["populations"]
        assert parts["IT:b38"]["status"] == "other_assembly"
        assert all(part["reason"] for part in parts.values() if part["status"] != "answered")
        totals = [ours[0], *floored[:1]]
        pooled = answer["pooled"]
        assert pooled["alleleCount"] == sum(r.ac for r in totals)
        assert pooled["alleleNumber"] == sum(r.an for r in totals)
        homs = [r.hom for r in totals]
        assert pooled["homozygotes"] == (None if None in homs else sum(h for h in homs if h is not None))
        assert pooled["nodes"] == (["FI", "GB"] if floored else ["FI"])
        assert pooled["mayOverlap"] is False
        seen.add(parts["GB:cohort"]["status"])
    assert seen == {"answered", "below_floor"}


def test_the_same_answer_by_command_and_notebook(town: Town) -> None:
    variant = next(v for v in town.nodes["FI"].variants() if len(v.ref) == len(v.alt) == 1 and naive.count(v.alleles).ac > 20)

    def timeless(document: Any) -> Any:
        text = json.dumps(document)
        return json.loads(text, object_hook=lambda d: {k: v for k, v in d.items() if k != "elapsedMs"})

    by_http = timeless(town.frequency(variant.text))
    status, by_command = town.command("frequency", variant.text, "--assembly", "GRCh37")
    assert status == 0 and timeless(by_command) == by_http
    with cohelix.connect(town.hub_url) as client:
        answer = client.frequency(variant.text, assembly="GRCh37")
        assert timeless(answer.model_dump(mode="json")) == by_http
        frame = answer.to_polars()
        assert frame.height >= 4
        assert answer.to_pandas().shape[0] == frame.height == answer.to_arrow().num_rows
        assert "<table" in answer._repr_html_()


def test_node_by_node_as_they_answer(town: Town) -> None:
    variant = town.nodes["FI"].variants()[0].text
    headers = {"accept": "text/event-stream"}
    with town.client.stream("GET", f"/api/v1/frequency/{variant}", params={"assembly": "GRCh37"}, headers=headers) as stream:
        text = "".join(stream.iter_text())
    events = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.strip().split("\n\n")]
    assert sorted(json.loads(e["data"])["node"] for e in events if e["event"] == "node") == ["FI", "GB", "IT"]
    assert events[-1]["event"] == "pooled"
    assert json.loads(events[-1]["data"]) == town.frequency(variant)["pooled"]


def test_the_other_assembly_is_another_question(town: Town) -> None:
    """Nothing is lifted over: asked on GRCh38, only the GRCh38 dataset answers (and a closed one refuses whatever is asked)."""
    variant = next(
        v for v in town.nodes["IT"].variants() if v.contig == "22" and not v.alt.startswith("<") and v.position < 3e7
    )
    answer = town.frequency(variant.text, "GRCh38")
    parts = {d["id"]: d["status"] for n in answer["nodes"] for d in n["datasets"]}
    assert parts == {
        "FI:cohort": "other_assembly",
        "GB:cohort": "other_assembly",
        "IT:cohort": "refused",
        "IT:b38": "answered",
    }
    assert answer["pooled"]["nodes"] == ["IT"]


@pytest.mark.parametrize("way", ["http", "command", "sdk"])
def test_a_region_lists_what_each_member_may_tell(town: Town, way: str) -> None:
    variants = [v for v in town.nodes["FI"].variants() if v.contig == "22"]
    first, last = variants[10].position + 1, variants[25].position + 1
    place = f"22:{first}-{last}"
    if way == "http":
        answer = town.client.get(f"/api/v1/region/{place}", params={"assembly": "GRCh37"}).json()
    elif way == "command":
        status, answer = town.command("region", place, "--assembly", "GRCh37")
        assert status == 0
    else:
        with cohelix.connect(town.hub_url) as client:
            answer = client.region(place, assembly="GRCh37").model_dump(mode="json")
    found = {(v["variant"], d["id"]): _told(d) for v in answer["variants"] for d in v["datasets"]}
    expected = {}
    for node in ("FI", "GB"):
        member = town.nodes[node]
        for v in member.variants():
            if v.contig == "22" and v.position < last and v.end > first - 1:
                rows = naive.open_rows(v, member.people) if node == "FI" else naive.floored_rows(v, member.people)
                if rows:
                    expected[v.text, f"{node}:cohort"] = _rows(rows)
    assert found == expected
    assert len(found) > 15


def test_the_catalogue_names_every_member(town: Town) -> None:
    answer = town.client.get("/api/v1/datasets").json()
    records = {d["id"]: d for n in answer["nodes"] for d in n["datasets"]}
    assert set(records) == {"FI:cohort", "GB:cohort", "IT:cohort", "IT:b38"}
    assert records["FI:cohort"]["nIndividuals"] == 130 and records["FI:cohort"]["nVariants"] == len(
        list(naive.read_variants(town.nodes["FI"].genotypes))
    )
    assert records["GB:cohort"]["nIndividuals"] == 130 and records["GB:cohort"]["nVariants"] is None
    assert records["IT:cohort"]["nIndividuals"] is None and records["IT:cohort"]["nVariants"] is None
    status, by_command = town.command("datasets")
    assert status == 0 and {d["id"] for n in by_command["nodes"] for d in n["datasets"]} == set(records)
    registry = town.client.get("/service-registry/services").json()
    assert {service["url"].rstrip("/").split("/beacon")[0] for service in registry} >= {n.url for n in town.nodes.values()}


def test_the_network_beacon_asks_all(town: Town) -> None:
    variant = next(v for v in town.nodes["FI"].variants() if len(v.ref) == len(v.alt) == 1 and naive.count(v.alleles).ac > 20)
    words = {"referenceName": variant.contig, "start": variant.position, "referenceBases": variant.ref}
    words |= {"alternateBases": variant.alt, "assemblyId": "GRCh37", "requestedGranularity": "record"}
    answer = town.client.get("/beacon/v2/g_variants", params={**words, "includeResultsetResponses": "ALL"}).json()
    assert answer["responseSummary"]["exists"] is True
    sets = {one["id"]: one for one in answer["response"]["resultSets"]}
    assert sets["FI:cohort"]["exists"] is True
    assert sets["FI:cohort"]["results"][0]["variantInternalId"] == f"GRCh37-{variant.text}"


@pytest.mark.parametrize(
    ("variant", "assembly"),
    [
        ("22-0-A-G", "GRCh37"),
        ("22-100-A", "GRCh37"),
        ("22-100-A-Z", "GRCh37"),
        ("99-100-A-G", "GRCh37"),
        ("22-100-A-G", "GRCh36"),
    ],
)
def test_a_question_that_cannot_be_meant_is_refused_in_words(town: Town, variant: str, assembly: str) -> None:
    answer = town.client.get(f"/api/v1/frequency/{variant}", params={"assembly": assembly})
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("application/problem+json")
    document = answer.json()
    assert document["type"].endswith("problems/bad-question") and document["detail"]
    status, _ = town.command("frequency", variant, "--assembly", assembly)
    assert status == 2


@pytest.mark.parametrize("name", ["FI", "XX:cohort", "cohort", ":", "FI:"])
def test_a_dataset_that_nobody_has_is_refused_by_the_network(town: Town, name: str) -> None:
    words = {"referenceName": "22", "start": "100", "referenceBases": "A", "alternateBases": "G", "assemblyId": "GRCh37"}
    answer = town.client.get("/beacon/v2/g_variants", params={**words, "datasetIds": name})
    assert answer.status_code in (400, 404) and answer.json()["error"]["errorMessage"]
