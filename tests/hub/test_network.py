"""The Beacon network: members' answers merged, absent and refusing ones named, everything valid by the published schemas."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from cohelix.core.errors import BadInput
from cohelix.federation.registry import Registry as Members
from cohelix.hub.network import read_entries
from cohelix.testing.federation import RunningFederation, simulated_federation
from cohelix.wire.federation import BeaconReply, Member
from validation.conformance.schemas import Schemas
from validation.conformance.validator import Validator

SHARED = Path(os.environ.get("COHELIX_SHARED", Path(__file__).parents[3] / "shared"))
SCHEMAS = SHARED / "vectors" / "beacon-v2-schemas"
with_schemas = pytest.mark.skipif(not SCHEMAS.is_dir(), reason="the published Beacon schemas are not on this machine")
RESPONSES = "framework/json/responses"
OF_GRANULARITY = {"boolean": "beaconBooleanResponse", "count": "beaconCountResponse", "record": "beaconResultsetsResponse"}
BOTH = {"assemblyId": "GRCh37", "referenceName": "22"}


@cache
def schemas() -> Registry:
    def find(uri: str) -> Resource[Any]:
        path = Path(uri.removeprefix("file://"))
        if not path.exists():  # a known defect of the framework: a reference to a file that is in the framework
            path = SCHEMAS / "framework/json/common" / path.name
        return DRAFT202012.create_resource(json.loads(path.read_text()))

    return Registry(retrieve=find)


def check(document: dict[str, Any], name: str) -> None:
    path = (SCHEMAS / RESPONSES / f"{name}.json").resolve()
    validator = Draft202012Validator({"$ref": f"file://{path}"}, registry=schemas())
    errors = [f"{list(error.absolute_path)}: {error.message}" for error in validator.iter_errors(document)]
    assert not errors, errors[:3]


def exact(federation: RunningFederation, variant: int) -> dict[str, str]:
    cohort = federation.cohorts["FI"]
    return {
        **BOTH,
        "start": str(cohort.positions[variant]),
        "referenceBases": cohort.refs[variant],
        "alternateBases": cohort.alts[variant],
    }


def common(federation: RunningFederation) -> int:
    """A variant that GB may tell of."""
    carriers = (federation.cohorts["GB"].alleles.sum(axis=2) > 0).sum(axis=1)
    return int(abs(carriers - 30).argmin())


@with_schemas
@pytest.mark.parametrize("granularity", ["boolean", "count", "record"])
@pytest.mark.parametrize("include", ["ALL", "HIT", "MISS", "NONE"])
def test_variants_of_all_members(federation: RunningFederation, client: httpx.Client, granularity: str, include: str) -> None:
    parameters = exact(federation, common(federation))
    more = {"requestedGranularity": granularity, "includeResultsetResponses": include}
    got = client.get("/beacon/v2/g_variants", params={**parameters, **more})
    nested = {"requestParameters": {"g_variant": {**parameters, "start": [int(parameters["start"])]}}, **more}
    posted = client.post("/beacon/v2/g_variants", json={"meta": {"apiVersion": "v2.0"}, "query": nested})
    for answer in (got, posted):
        assert answer.status_code == 200, answer.text
        document = answer.json()
        check(document, OF_GRANULARITY[granularity])
        assert document["meta"]["beaconId"] == "localhost.beacon"
        assert document["responseSummary"]["exists"] is True
        assert [(node["node"], node["status"]) for node in document["info"]["nodes"]] == [
            ("FI", "answered"),
            ("GB", "answered"),
            ("IT", "answered"),
        ]
        assert {line["id"]: line["status"] for line in document["info"]["datasets"]} == {
            "FI:sim": "answered",
            "GB:sim": "answered",
            "IT:sim": "refused",
        }
        if granularity != "boolean":
            assert document["responseSummary"]["numTotalResults"] == 2
            shown = {one["id"]: one["resultsCount"] for one in document["response"]["resultSets"]}
            hits, misses = {"FI:sim": 1, "GB:sim": 1}, {"IT:sim": 0}
            assert shown == {"HIT": hits, "MISS": misses, "ALL": {**hits, **misses}, "NONE": {}}[include]


@with_schemas
def test_the_networks_records_are_the_members_own(federation: RunningFederation, client: httpx.Client) -> None:
    question = {**exact(federation, common(federation)), "requestedGranularity": "record"}
    merged = client.get("/beacon/v2/g_variants", params=question).json()["response"]["resultSets"]
    for one in merged:
        member = one["id"].partition(":")[0]
        own = httpx.get(f"{federation.nodes[member].url}/beacon/v2/g_variants", params=question).json()
        assert own["response"]["resultSets"] == [one]
        assert own["response"]["resultSets"][0]["results"]


@with_schemas
def test_people_and_datasets(client: httpx.Client) -> None:
    people = client.get("/beacon/v2/individuals", params={"requestedGranularity": "count"}).json()
    check(people, "beaconCountResponse")
    assert people["responseSummary"]["numTotalResults"] == 120  # FI's 60, and GB's 60 rounded to tens
    datasets = client.get("/beacon/v2/datasets").json()
    check(datasets, "beaconCollectionsResponse")
    assert [one["id"] for one in datasets["response"]["collections"]] == ["FI:sim", "GB:sim", "IT:sim"]
    one = client.get("/beacon/v2/datasets/GB:sim").json()
    check(one, "beaconCollectionsResponse")
    assert [entry["id"] for entry in one["response"]["collections"]] == ["GB:sim"]
    assert [node["node"] for node in one["info"]["nodes"]] == ["GB"]


@with_schemas
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("", "beaconInfoResponse"),
        ("/", "beaconInfoResponse"),
        ("/info", "beaconInfoResponse"),
        ("/configuration", "beaconConfigurationResponse"),
        ("/map", "beaconMapResponse"),
        ("/entry_types", "beaconEntryTypesResponse"),
        ("/filtering_terms", "beaconFilteringTermsResponse"),
    ],
)
def test_what_the_network_says_of_itself(client: httpx.Client, path: str, name: str) -> None:
    answer = client.get(f"/beacon/v2{path}")
    assert answer.status_code == 200
    check(answer.json(), name)


def test_filtering_terms_are_those_of_all_members(client: httpx.Client) -> None:
    terms = {term["id"]: term for term in client.get("/beacon/v2/filtering_terms").json()["response"]["filteringTerms"]}
    assert {"FI", "GB"} <= set(terms["population"]["values"])
    assert "NCIT:C16576" in terms


def test_only_the_members_whose_datasets_are_named_are_asked(federation: RunningFederation, client: httpx.Client) -> None:
    question = {**exact(federation, common(federation)), "requestedGranularity": "count"}
    document = client.get("/beacon/v2/g_variants", params={**question, "datasetIds": "GB:sim"}).json()
    assert [node["node"] for node in document["info"]["nodes"]] == ["GB"]
    assert document["responseSummary"]["numTotalResults"] == 1
    for unknown in ("XX:sim", "sim", "GB:other"):
        assert client.get("/beacon/v2/g_variants", params={**question, "datasetIds": unknown}).status_code == 400


@with_schemas
@pytest.mark.parametrize(
    ("method", "path", "given", "status"),
    [
        ("GET", "g_variants", {"start": "5"}, 400),
        ("GET", "g_variants", {"nonsense": "5"}, 400),
        ("GET", "g_variants", {**BOTH, "aminoacidChange": "600"}, 400),
        ("GET", "individuals", {"filters": "NOSUCH:1234"}, 400),
        ("GET", "g_variants", {**BOTH, "limit": "-1"}, 400),
        ("GET", "samples", {}, 404),
        ("GET", "g_variants/nonsense", {}, 400),
        ("POST", "g_variants", "not json", 400),
        ("POST", "g_variants", {"query": {"filters": "x"}}, 400),
        ("POST", "g_variants?referenceName=22", {}, 400),
        ("POST", "g_variants", '{"query": {"requestParameters": {"start": ' + "[" * 250 + "]" * 250 + "}}}", 400),
        ("POST", "individuals", '{"query": {"requestParameters": ' + '{"g_variant": ' * 600 + "1" + "}" * 602, 400),
        ("POST", "g_variants", '{"query": {"requestParameters": {"start": 1e400}}}', 400),
        ("POST", "g_variants", " " * 2_000_000, 413),
        ("PUT", "g_variants", {}, 405),
        ("OPTIONS", "info", {}, 405),
        ("DELETE", "", {}, 405),
    ],
)
def test_what_is_not_understood_is_a_beacon_error(
    client: httpx.Client, method: str, path: str, given: Any, status: int
) -> None:
    if method == "GET":
        answer = client.get(f"/beacon/v2/{path}", params=given)
    else:
        content = given if isinstance(given, str) else json.dumps(given)
        answer = client.request(method, f"/beacon/v2/{path}", content=content)
    assert answer.status_code == status, answer.text
    assert answer.headers.get("allow") == ("GET, POST" if status == 405 else None)
    check(answer.json(), "beaconErrorResponse")


SET = {"id": "FI:a", "setType": "dataset", "exists": True, "resultsCount": 1, "results": [{}]}
LIES: dict[str, dict[str, Any]] = {
    "another member's dataset": {"sets": [{**SET, "id": "GB:a"}]},
    "a dataset without a name": {"sets": [{**SET, "id": "FI:"}]},
    "a dataset twice": {"sets": [SET, SET]},
    "a negative count": {"sets": [{**SET, "resultsCount": -1}]},
    "a count that is no number": {"sets": [{**SET, "resultsCount": True}]},
    "there, and none of it": {"sets": [{**SET, "resultsCount": 0}]},
    "not there, and one of it": {"sets": [{**SET, "exists": False}]},
    "no results": {"sets": [{**SET, "results": None}]},
    "results that are none": {"sets": [{**SET, "results": [1]}]},
    "no total": {"summary": {"exists": True}},
    "a negative total": {"summary": {"exists": True, "numTotalResults": -1}},
    "an unknown granularity": {"granularity": "all"},
}


def _reply(
    sets: Sequence[object] = (SET,),
    summary: Mapping[str, object] = {"exists": True, "numTotalResults": 1},
    granularity: str = "record",
) -> BeaconReply:
    meta = {"returnedGranularity": granularity}
    return BeaconReply(status=200, document={"meta": meta, "responseSummary": summary, "response": {"resultSets": list(sets)}})


@pytest.mark.parametrize("lie", LIES)
def test_a_members_result_sets_are_checked(lie: str) -> None:
    member = Member(id="FI", state="active")
    assert read_entries(member, _reply()).total == 1
    with pytest.raises(BadInput):
        read_entries(member, _reply(**LIES[lie]))


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[tuple[RunningFederation, httpx.Client]]:
    with (
        simulated_federation(tmp_path, {"FI": "open", "GB": "open"}, deadline_seconds=1.0) as running,
        httpx.Client(base_url=running.hub.url, trust_env=False) as client,
    ):
        yield running, client


@with_schemas
def test_a_stopped_member_is_named_and_nobody_is_an_error(broken: tuple[RunningFederation, httpx.Client]) -> None:
    federation, client = broken
    question = {**exact(federation, common(federation)), "requestedGranularity": "record"}
    federation.nodes["GB"].stop()
    document = client.get("/beacon/v2/g_variants", params=question).json()
    check(document, "beaconResultsetsResponse")
    assert {node["node"]: node["status"] for node in document["info"]["nodes"]} == {"FI": "answered", "GB": "unreachable"}
    assert [one["id"] for one in document["response"]["resultSets"]] == ["FI:sim"]
    Members(federation.folder).set_state("FI", "suspended")
    answer = client.get("/beacon/v2/g_variants", params=question)
    assert answer.status_code == 503
    check(answer.json(), "beaconErrorResponse")


@with_schemas
def test_the_network_conforms(federation: RunningFederation) -> None:
    validator = Validator(f"{federation.hub.url}/beacon/v2", Schemas(SCHEMAS), ids=1, terms=4, records=2)
    assert "\n".join(validator.run()) == ""
    assert validator.checks > 800


def test_entries_are_found_wherever_they_are(client: httpx.Client) -> None:
    (individual,) = client.get("/beacon/v2/individuals?requestedGranularity=record&limit=1").json()["response"]["resultSets"][
        0
    ]["results"]
    answer = client.get(f"/beacon/v2/individuals/{individual['id']}").json()
    assert answer["response"]["resultSets"][0]["results"] == [individual]
    roads = {road["node"]: road for road in answer["info"]["nodes"]}
    assert roads["FI"]["reason"] is None and "no individual of this id" in roads["IT"]["reason"]
    runs = client.get("/beacon/v2/datasets/FI:sim/runs?requestedGranularity=record&limit=1").json()
    (run,) = runs["response"]["resultSets"][0]["results"]
    again = client.get(f"/beacon/v2/runs/{run['id']}").json()
    assert [road["node"] for road in again["info"]["nodes"]] == ["FI"]
    assert client.get("/beacon/v2/runs/XX:sim:S1").status_code == 404
    assert client.get("/beacon/v2/individuals/nobody").status_code == 404
    cohorts = client.get("/beacon/v2/cohorts").json()["response"]["collections"]
    assert [one["id"] for one in cohorts] == ["FI:sim", "GB:sim", "IT:sim"]
