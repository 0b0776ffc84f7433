"""The hub's own API over real nodes: exact figures, every member by name, streams, problems."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from cohelix.federation.registry import Registry
from cohelix.testing.federation import RunningFederation, join_member, simulated_federation

A = {"assembly": "GRCh37"}


def name_of(federation: RunningFederation, variant: int) -> str:
    cohort = federation.cohorts["FI"]
    return f"22-{cohort.positions[variant] + 1}-{cohort.refs[variant]}-{cohort.alts[variant]}"


def naive(federation: RunningFederation, member: str, variant: int) -> tuple[int, int, int]:
    """AC, AN and homozygotes from the simulated alleles themselves."""
    alleles = federation.cohorts[member].alleles[variant]
    return int(alleles.sum()), int(alleles.size), int((alleles.sum(axis=1) == 2).sum())


def releasable(federation: RunningFederation, variant: int) -> bool:
    """Whether GB, floored at 5 people, may tell a variant's total: both carriers and the others are enough."""
    carriers = int((federation.cohorts["GB"].alleles[variant].sum(axis=1) > 0).sum())
    return 5 <= carriers <= federation.cohorts["GB"].alleles.shape[1] - 5


def test_every_variant_is_pooled_exactly(federation: RunningFederation, client: httpx.Client) -> None:
    seen = set()
    for variant in range(0, 300, 4):
        answer = client.get(f"/api/v1/frequency/{name_of(federation, variant)}", params=A).json()
        assert [(node["node"], node["status"]) for node in answer["nodes"]] == [
            ("FI", "answered"),
            ("GB", "answered"),
            ("IT", "answered"),
        ]
        fi, gb, it = (node["datasets"][0] for node in answer["nodes"])
        told = releasable(federation, variant)
        assert (fi["status"], gb["status"], it["status"]) == ("answered", "answered" if told else "below_floor", "refused")
        members = ("FI", "GB") if told else ("FI",)
        sums = np.sum([naive(federation, member, variant) for member in members], axis=0)
        pooled = answer["pooled"]
        assert (pooled["alleleCount"], pooled["alleleNumber"]) == (sums[0], sums[1])
        assert pooled["alleleFrequency"] == pytest.approx(sums[0] / sums[1])
        assert pooled["nodes"] == list(members)
        assert pooled["homozygotes"] in (sums[2], None) and (told or pooled["homozygotes"] is not None)
        assert gb["reason"] is None if told else gb["reason"]
        assert told or not gb["populations"]
        seen.add(told)
    assert seen == {True, False}


def test_a_stream_tells_node_by_node_and_then_the_pool(federation: RunningFederation, client: httpx.Client) -> None:
    path = f"/api/v1/frequency/{name_of(federation, 8)}"
    whole = client.get(path, params=A).json()
    stream = client.get(path, params=A, headers={"accept": "text/event-stream"})
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.headers["cache-control"] == "no-store"
    blocks = [dict(line.split(": ", 1) for line in block.split("\n")) for block in stream.text.strip().split("\n\n")]
    events = [block for block in blocks if "event" in block]
    assert [event["event"] for event in events] == ["node", "node", "node", "pooled"]
    assert [event["id"] for event in events] == ["1", "2", "3", "pooled"]
    assert json.loads(events[-1]["data"]) == whole["pooled"]
    by_name = {line["node"]: line for line in (json.loads(event["data"]) for event in events[:-1])}
    told = {**whole, "pooled": json.loads(events[-1]["data"]), "nodes": [by_name[name] for name in sorted(by_name)]}
    for answer in (told, whole):
        for line in answer["nodes"]:
            assert line.pop("elapsedMs") >= 0
    assert told == whole, "the stream's parts put together are the whole answer"


def test_a_stream_that_was_told_to_its_end_is_not_told_again(federation: RunningFederation, client: httpx.Client) -> None:
    path = f"/api/v1/frequency/{name_of(federation, 8)}"
    again = {"accept": "text/event-stream", "last-event-id": "pooled"}
    assert client.get(path, params=A, headers=again).status_code == 204
    broken_off = client.get(path, params=A, headers={**again, "last-event-id": "1"})
    assert broken_off.status_code == 200 and broken_off.text.count("event: node") == 3


def test_an_rs_id_stands_for_what_the_members_sources_say(federation: RunningFederation, client: httpx.Client) -> None:
    """The simulated people's variants have their position as rsID; GB tells only of those above its floor."""
    told = {releasable(federation, number): number for number in range(41)}
    for tells, number in told.items():
        position = federation.cohorts["FI"].positions[number] + 1
        answer = client.get("/api/v1/variants", params={"name": f" RS{position}"}).json()
        carried = federation.cohorts["FI"].alleles[number].any()
        datasets = [*(["FI:sim"] if carried else []), *(["GB:sim"] if tells else [])]
        wanted = {"variant": name_of(federation, number), "assembly": "GRCh37", "datasets": datasets}
        assert answer["variants"] == ([wanted] if datasets else [])
        states = {line["node"]: line["datasets"][0]["status"] for line in answer["nodes"]}
        assert states == {"FI": "answered", "GB": "answered" if tells else "below_floor", "IT": "refused"}
    assert set(told) == {True, False}


def test_a_name_that_nobody_annotated_is_named_as_such(client: httpx.Client) -> None:
    answer = client.get("/api/v1/variants", params={"name": "BRAF:p.Val600Glu"}).json()
    assert answer["variants"] == []
    assert {line["datasets"][0]["status"] for line in answer["nodes"]} == {"not_assessed", "refused"}
    asked_as_variant = client.get("/api/v1/frequency/rs671", params=A)
    assert asked_as_variant.status_code == 400 and "/api/v1/variants?name=rs671" in asked_as_variant.json()["detail"]
    for name in ("CRELD2", "rs", "c.5A>G", "x" * 201):
        assert client.get("/api/v1/variants", params={"name": name}).status_code in (400, 422)


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_a_regions_pages_hold_every_variant_once(federation: RunningFederation, client: httpx.Client, limit: int) -> None:
    cohort = federation.cohorts["FI"]
    last = cohort.positions[40] + 1
    found: list[str] = []
    after: dict[str, str] = {}
    while True:
        answer = client.get(f"/api/v1/region/22:1-{last}", params={**A, "limit": limit, **after}).json()
        assert len(answer["variants"]) <= limit
        for one in answer["variants"]:
            variant = [name_of(federation, number) for number in range(41)].index(one["variant"])
            told = releasable(federation, variant)
            assert [dataset["id"] for dataset in one["datasets"]] == (["FI:sim", "GB:sim"] if told else ["FI:sim"])
            members = ("FI", "GB") if told else ("FI",)
            sums = np.sum([naive(federation, member, variant) for member in members], axis=0)
            assert (one["pooled"]["alleleCount"], one["pooled"]["alleleNumber"]) == (sums[0], sums[1])
        found += [one["variant"] for one in answer["variants"]]
        if answer["next"] is None:
            break
        after = {"after": answer["next"]}
    assert found == [name_of(federation, number) for number in range(41)]
    states = {node["node"]: node["datasets"][0]["status"] for node in answer["nodes"]}
    assert states["IT"] == "refused"


def test_a_gene_is_its_region(client: httpx.Client) -> None:
    answer = client.get("/api/v1/gene/creld2", params=A)
    assert answer.status_code == 200
    assert answer.json()["gene"]["symbol"] == "CRELD2"
    assert answer.json()["region"] == answer.json()["gene"]["region"]
    assert client.get("/api/v1/gene/ENSG00000184164.10", params=A).json()["gene"]["symbol"] == "CRELD2"


def test_datasets_and_members(federation: RunningFederation, client: httpx.Client) -> None:
    datasets = client.get("/api/v1/datasets").json()["nodes"]
    assert [[record["id"] for record in node["datasets"]] for node in datasets] == [["FI:sim"], ["GB:sim"], ["IT:sim"]]
    assert all(record["simulated"] for node in datasets for record in node["datasets"])
    members = client.get("/api/v1/members").json()
    assert members["hub"] == federation.hub.url
    assert [(one["id"], one["state"], one["datasets"]) for one in members["members"]] == [
        ("FI", "active", ["FI:sim"]),
        ("GB", "active", ["GB:sim"]),
        ("IT", "active", ["IT:sim"]),
    ]
    assert all(one["lastSeen"] for one in members["members"])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/frequency/22-100-A-G", 400),  # no assembly
        ("/api/v1/frequency/22-100-A-G?assembly=GRCh36", 400),
        ("/api/v1/frequency/22-100-A?assembly=GRCh37", 400),
        ("/api/v1/frequency/77-100-A-G?assembly=GRCh37", 400),
        ("/api/v1/frequency/22-99999999-A-G?assembly=GRCh37", 400),
        ("/api/v1/frequency/22-0-A-G?assembly=GRCh37", 400),
        ("/api/v1/frequency/22-100-A-A?assembly=GRCh37", 400),  # no variant
        ("/api/v1/frequency/NC_000022.11-20000100-A-G?assembly=GRCh37", 400),  # GRCh38's accession
        ("/api/v1/region/NC_000022.11:1-9?assembly=GRCh37", 400),
        ("/api/v1/region/22:9-1?assembly=GRCh37", 400),
        ("/api/v1/region/22:1-9?assembly=GRCh37&limit=0", 400),
        ("/api/v1/region/22:1-9?assembly=GRCh37&limit=100000", 400),
        ("/api/v1/region/22:1-9?assembly=GRCh37&after=nonsense", 400),
        ("/api/v1/region/22:1-9?assembly=GRCh37&after=21-5-A-C", 400),
        ("/api/v1/gene/NOSUCHGENE?assembly=GRCh37", 404),
        ("/api/v1/nothing", 404),
        ("/service-registry/services/nothing", 404),
    ],
)
def test_what_is_not_understood_is_a_problem(client: httpx.Client, path: str, status: int) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert answer.json()["type"].startswith("https://")


def test_an_accession_of_the_assembly_is_its_contig(client: httpx.Client) -> None:
    answer = client.get("/api/v1/frequency/NC_000022.10-20000100-A-G", params=A)
    assert answer.json()["variant"] == "22-20000100-A-G"
    assert client.get("/api/v1/region/NC_000022.10:1-9", params=A).json()["region"] == "22:1-9"


def test_symbolic_alleles_of_our_own_answers_may_be_asked(client: httpx.Client) -> None:
    answer = client.get("/api/v1/frequency/22-20000100-A-%3CDEL%3E", params=A)
    assert answer.status_code == 200
    assert answer.json()["variant"] == "22-20000100-A-<DEL>"


def test_the_registry_of_services(federation: RunningFederation, client: httpx.Client) -> None:
    services = client.get("/service-registry/services").json()
    assert [service["url"] for service in services] == [
        f"{federation.hub.url}/beacon/v2",
        *(f"{federation.nodes[name].url}/beacon/v2" for name in ("FI", "GB", "IT")),
    ]
    required = {"id", "name", "type", "organization", "version", "url"}  # service-info 1.0.0 and registry 1.0.0
    for service in (*services, client.get("/service-info").json(), client.get("/service-registry/service-info").json()):
        assert required <= set(service)
        assert set(service["type"]) == {"group", "artifact", "version"}
        assert {"name", "url"} <= set(service["organization"])
    assert client.get(f"/service-registry/services/{services[1]['id']}").json() == services[1]
    assert services[1]["id"] == httpx.get(f"{services[1]['url']}/service-info").json()["id"]
    assert client.get("/service-registry/services/types").json() == [services[0]["type"]]


@pytest.fixture
def changing(tmp_path: Path) -> Iterator[tuple[RunningFederation, httpx.Client]]:
    with (
        simulated_federation(tmp_path, {"FI": "open", "GB": "open"}, deadline_seconds=1.0) as running,
        httpx.Client(base_url=running.hub.url, trust_env=False) as client,
    ):
        yield running, client


def test_states_and_stopped_members(changing: tuple[RunningFederation, httpx.Client]) -> None:
    federation, client = changing
    registry, path = Registry(federation.folder), f"/api/v1/frequency/{name_of(federation, 3)}"

    def asked() -> list[tuple[str, str]]:
        return [(node["node"], node["status"]) for node in client.get(path, params=A).json()["nodes"]]

    assert asked() == [("FI", "answered"), ("GB", "answered")]
    for state in ("observer", "suspended"):
        registry.set_state("GB", state)
        assert asked() == [("FI", "answered")]
    listed = [service["id"] for service in client.get("/service-registry/services").json()]
    assert "org.cohelix.beacon.GB" not in listed
    registry.set_state("GB", "active")
    federation.nodes["GB"].stop()
    answer = client.get(path, params=A).json()
    assert [(node["node"], node["status"]) for node in answer["nodes"]] == [("FI", "answered"), ("GB", "unreachable")]
    assert answer["nodes"][1]["reason"]
    assert answer["pooled"]["nodes"] == ["FI"]
    join_member(federation, "GB", federation.nodes["FI"].url.replace("127.0.0.1", "localhost"))
    answer = client.get(path, params=A).json()  # now FI's server is asked for GB: the wrong node
    assert answer["nodes"][1]["status"] == "faulty"
    assert answer["pooled"]["nodes"] == ["FI"]
