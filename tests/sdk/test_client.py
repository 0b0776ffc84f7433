"""The client's answers are typed, become frames of every kind, show themselves safely, and fail in the house's words."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import cohelix
from cohelix.core.errors import BadQuestion, BadUsage, NotFound, Unreachable
from cohelix.sdk.client import Frequency
from cohelix.testing.federation import RunningFederation, running_app
from cohelix.wire.frequency import NodeAnswer, PooledCounts

A = {"assembly": "GRCh37"}


def name_of(federation: RunningFederation, variant: int) -> str:
    cohort = federation.cohorts["FI"]
    return f"22-{cohort.positions[variant] + 1}-{cohort.refs[variant]}-{cohort.alts[variant]}"


def test_a_frequency_becomes_every_kind_of_frame(federation: RunningFederation) -> None:
    with cohelix.connect(federation.hub.url + "/") as client:
        answer = client.frequency(name_of(federation, 7), **A)
    expected = int(federation.cohorts["FI"].alleles[7].sum())
    arrow, polars, pandas = answer.to_arrow(), answer.to_polars(), answer.to_pandas()
    assert isinstance(arrow, pa.Table) and isinstance(polars, pl.DataFrame) and isinstance(pandas, pd.DataFrame)
    assert arrow.schema.field("allele_count").type == pa.int64()
    assert len(arrow) == len(polars) == len(pandas)
    total = polars.filter((pl.col("dataset") == "FI:sim") & (pl.col("population") == "all") & (pl.col("sex") == "all"))
    assert total["allele_count"].to_list() == [expected]
    assert str(pandas["allele_count"].dtype) == "Int64"
    refused = polars.filter(pl.col("dataset") == "IT:sim")
    assert refused["dataset_status"].to_list() == ["refused"] and refused["allele_count"].to_list() == [None]
    assert pandas.loc[pandas["dataset"] == "IT:sim", "allele_count"].isna().all()


def test_pages_are_joined(federation: RunningFederation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cohelix.sdk.client._PAGE", 9)
    with cohelix.connect(federation.hub.url) as client:
        everything = client.region("22:20000001-20030000", **A)
        cut = client.region("22:20000001-20030000", limit=20, **A)
        rest = client.region("22:20000001-20030000", after=cut.next, **A)
    names = [one.variant for one in everything.variants]
    assert names == [name_of(federation, number) for number in range(300)] and everything.next is None
    assert len(cut.variants) == 20 and cut.next == names[19]
    assert [one.variant for one in rest.variants] == names[20:]
    assert everything.to_polars()["variant"].n_unique() == 300


def test_datasets_members_genes_and_beacon(federation: RunningFederation) -> None:
    with cohelix.connect(federation.hub.url) as client:
        datasets = client.datasets().to_polars()
        assert datasets["dataset"].to_list() == ["FI:sim", "GB:sim", "IT:sim"]
        assert datasets["individuals"].to_list() == [60, 60, None]
        assert client.members().to_pandas()["state"].tolist() == ["active"] * 3
        assert client.gene("CRELD2", **A).gene.symbol == "CRELD2"
        assert client.beacon("info")["response"]["id"] == "localhost.beacon"
        count = client.beacon("individuals", body={"query": {"requestedGranularity": "count"}})
        assert count["responseSummary"]["numTotalResults"] == 120


def test_the_stream(federation: RunningFederation) -> None:
    with cohelix.connect(federation.hub.url) as client:
        events = list(client.frequency_stream(name_of(federation, 7), **A))
        whole = client.frequency(name_of(federation, 7), **A)
        with pytest.raises(BadQuestion):
            list(client.frequency_stream("nonsense", **A))
    assert {event.node for event in events[:-1] if isinstance(event, NodeAnswer)} == {"FI", "GB", "IT"}
    assert isinstance(events[-1], PooledCounts) and events[-1] == whole.pooled


def test_the_async_client_gives_the_same(federation: RunningFederation) -> None:
    async def ask() -> None:
        async with cohelix.AsyncClient(federation.hub.url) as client:
            variant = name_of(federation, 7)
            answer = await client.frequency(variant, **A)
            events = [event async for event in client.frequency_stream(variant, **A)]
            region = await client.region("22:20000001-20030000", limit=5, **A)
            members, datasets = await client.members(), await client.datasets()
            info = await client.beacon("info")
            gene = await client.gene("CRELD2", **A)
            with pytest.raises(BadQuestion):
                await client.frequency("nonsense", **A)
        assert events[-1] == answer.pooled
        assert (len(region.variants), len(members.members), len(datasets.nodes)) == (5, 3, 3)
        assert info["response"]["id"] == "localhost.beacon" and gene.gene.symbol == "CRELD2"

    asyncio.run(ask())


def test_errors_are_the_houses_own(federation: RunningFederation) -> None:
    with cohelix.connect(federation.hub.url) as client:
        with pytest.raises(BadQuestion, match="not a variant"):
            client.frequency("22-1-A", **A)
        with pytest.raises(NotFound, match="gene"):
            client.gene("NOSUCHGENE", **A)
        with pytest.raises(BadQuestion):
            client.region("22:1-9", assembly="GRCh36")
        with pytest.raises(BadQuestion, match="referenceName"):
            client.beacon("g_variants", {"start": 5})
        with pytest.raises(BadQuestion) as refused:
            client.beacon("g_variants", body={"query": {"requestParameters": {"geneId": "A" * 2_000_000}}})
        assert refused.value.detail == "a request's body may have 1048576 bytes"
    with pytest.raises(Unreachable):
        cohelix.connect("http://127.0.0.1:9").members()
    for address in ("hub.example", "ftp://hub.example", ""):
        with pytest.raises(BadUsage):
            cohelix.connect(address)


def test_another_server_is_not_taken_for_a_hub() -> None:
    from fastapi import FastAPI

    app = FastAPI()
    app.add_api_route("/api/v1/members", lambda: ["hello"])
    with running_app(app) as running, cohelix.connect(running.url) as client, pytest.raises(Unreachable):
        client.members()


def test_a_notebooks_view_is_escaped_and_fetches_nothing() -> None:
    dataset = {"id": "FI:<script>", "status": "refused", "reason": '"><img src=http://x>'}
    answer = Frequency.model_validate(
        {
            "variant": "22-1-A-<DEL>",
            "assembly": "GRCh37",
            "pooled": dict.fromkeys(("alleleCount", "alleleNumber", "alleleFrequency", "homozygotes")),
            "nodes": [{"node": "FI", "status": "answered", "elapsedMs": 1, "datasets": [dataset]}],
        }
    )
    assert str(answer).startswith("22-1-A-<DEL> (GRCh37): no dataset answered\n") and "refused" in repr(answer)
    shown = answer._repr_html_()
    assert "&lt;script&gt;" in shown and "&lt;DEL&gt;" in shown
    for forbidden in ("<script", "<img", "<link", "<style", "url("):
        assert forbidden not in shown


def test_import_is_quick_and_lazy() -> None:
    code = "import sys, cohelix; assert not {'httpx', 'pydantic', 'polars', 'fastapi'} & set(sys.modules); cohelix.connect"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parent).returncode == 0


def test_a_refusal_of_a_plan_is_shown_whole() -> None:
    from cohelix.disclosure.analysis import SENTENCES
    from cohelix.sdk.analyses import Check

    nodes = [
        {"node": name, "takes_part": False, "aggregator": True, "refusal": {"rule": name, "reason": sentence}}
        for name, sentence in SENTENCES.items()
    ]
    shown = str(Check.model_validate({"plan_hash": "0" * 64, "possible": False, "reason": "none would", "nodes": nodes[:4]}))
    assert all(sentence in shown for sentence in list(SENTENCES.values())[:4])
