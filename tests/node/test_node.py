"""A node as a process: made, served, stopped; its own addresses, and new versions while it runs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cohelix.node.app import create_app
from cohelix.testing.commands import Command, run_command

SHARED = Path(os.environ.get("COHELIX_SHARED", Path(__file__).parents[2].parent / "shared"))
KG3 = SHARED / "data" / "kg3-chr22-cen" / "kg3.chr22.16.05-16.64Mb.GRCh37.bcf"

HEADER = "##fileformat=VCFv4.3\n##contig=<ID=22,length=51304566>\n"
FORMAT = '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return run_command(*map(str, words), timeout=120)


def write_vcf(path: Path, genotype: str) -> Path:
    columns = "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", "A", "B"])
    record = "\t".join(["22", "50313359", ".", "G", "A", ".", ".", ".", "GT", genotype, "0/0"])
    path.write_text(f"{HEADER}{FORMAT}{columns}\n{record}\n")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = run("node", "init", tmp_path / "node", "--id", "FI", "--name", 'Node "one" äö', "--country", "fi", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["id"] == "FI"
    return tmp_path / "node"


@pytest.fixture
def served(folder: Path) -> Iterator[tuple[Command, str]]:
    process = Command(["node", "serve", str(folder), "--port", "0"])
    line = process.stdout.readline()
    assert line.startswith("ready http://127.0.0.1:"), process.stderr.read() if process.stderr else ""
    yield process, line.split()[1]
    if process.poll() is None:
        process.terminate()
        process.communicate(timeout=15)


def test_init_makes_a_folder_of_its_own_and_no_second_one(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"node.toml", "identity", "datasets"}
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "identity").stat().st_mode & 0o077 == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    again = run("node", "init", folder, "--id", "GB", "--name", "other", "--country", "GB")
    assert again.returncode == 2
    assert "not empty" in again.stderr
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--id", "F I", "--name", "x", "--country", "FI"), "member id"),
        (("--id", "FI", "--name", "x", "--country", "FIN"), "two letters"),
        (("--id", "FI", "--name", " ", "--country", "FI"), "name"),
    ],
)
def test_init_refuses_what_cannot_be_meant(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    refused = run("node", "init", tmp_path / "node", *words)
    assert refused.returncode == 2
    assert told in refused.stderr
    assert not (tmp_path / "node" / "identity").exists()


def test_serve_refuses_a_folder_that_is_none_and_settings_that_are_wrong(tmp_path: Path, folder: Path) -> None:
    none = run("node", "serve", tmp_path / "nothing", "--port", "0")
    assert (none.returncode, "node init" in none.stderr) == (2, True)
    (folder / "node.toml").write_text('id = "FI"\nname = "x"\ncountry = "FI"\nfloor = 0\n')
    wrong = run("node", "serve", folder, "--port", "0")
    assert (wrong.returncode, "floor" in wrong.stderr) == (2, True)


def test_its_own_addresses(served: tuple[Command, str]) -> None:
    process, url = served
    with httpx.Client(base_url=url) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").json() == {"status": "ready"}
        root = client.get("/").json()
        assert (root["node"], root["name"], root["country"]) == ("FI", 'Node "one" äö', "FI")
        info = client.get("/service-info").json()
        assert info["type"]["artifact"] == "node"
        assert {"id", "name", "organization", "version"} <= set(info)
        paths = client.get("/openapi.json").json()["paths"]
        assert {"/beacon/v2/g_variants", "/beacon/v2/map", "/service-info", "/healthz", "/readyz", "/metrics"} <= set(paths)
        assert "cohelix_requests_total" in client.get("/metrics").text
        assert client.get("/beacon/v2").json() == client.get("/beacon/v2/").json()
        missing = client.get("/nowhere")
        assert missing.status_code == 404
        assert missing.headers["content-type"] == "application/problem+json"
        closed = client.post("/federation/v1/frequency", json={})
        assert closed.status_code in (401, 403)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=15)
    assert process.returncode == 0
    assert "Traceback" not in err
    assert "beacon/v2/{" not in err


def test_the_map_names_the_public_address(folder: Path) -> None:
    settings = folder / "node.toml"
    settings.write_text(settings.read_text() + 'url = "https://genomes.example/fi/"\n')

    async def ask() -> dict[str, Any]:
        transport = httpx.ASGITransport(create_app(folder))
        async with httpx.AsyncClient(transport=transport, base_url="http://inside") as client:
            return (await client.get("/beacon/v2/map")).json()  # type: ignore[no-any-return]

    document = asyncio.run(ask())
    roots = {found["rootUrl"] for found in document["response"]["endpointSets"].values()}
    assert "https://genomes.example/fi/beacon/v2/g_variants" in roots


def test_a_new_version_is_answered_at_once_and_a_killed_or_refused_load_changes_nothing(
    folder: Path, served: tuple[Command, str], tmp_path: Path
) -> None:
    _, url = served
    identifier = "/beacon/v2/g_variants/GRCh37-22-50313359-G-A"

    def count() -> list[int]:
        sets = httpx.get(url + identifier).json()["response"]["resultSets"]
        return [found["results"][0]["frequencyInPopulations"][0]["frequencies"][0]["alleleCount"] for found in sets]

    assert count() == []
    load = ("node", "load", folder, "--dataset", "one", "--assembly", "GRCh37", "--disclosure", "open", "--genotypes")
    for genotype, copies in (("0/1", 1), ("1/1", 2)):
        loaded = run(*load, write_vcf(tmp_path / "one.vcf", genotype))
        assert loaded.returncode == 0, loaded.stderr
        assert count() == [copies]
    (tmp_path / "one.vcf").write_text("not a VCF\n")
    assert run(*load, tmp_path / "one.vcf").returncode == 2
    assert count() == [2]


@pytest.mark.skipif(not KG3.is_file(), reason=f"the 1000 Genomes slice is not at {KG3}")
def test_real_multiallelic_and_structural_variants(folder: Path, served: tuple[Command, str]) -> None:
    """Every allele that bcftools counts in a stretch is answered with the same AN and AC."""
    _, url = served
    loaded = run(
        *("node", "load", folder, "--dataset", "cen", "--assembly", "GRCh37", "--disclosure", "open", "--genotypes", KG3)
    )
    assert loaded.returncode == 0, loaded.stderr
    lines = subprocess.run(
        ["bcftools", "query", "-r", "22:16200000-16300000", "-f", "%POS\t%REF\t%ALT\t%INFO/AN\t%INFO/AC\n", str(KG3)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    expected = sorted(
        (int(an), int(ac))
        for position, _, _, an, counts in (line.split("\t") for line in lines)
        for ac in counts.split(",")
        if int(ac) and int(position) >= 16_200_000
    )
    asked = {"assemblyId": "GRCh37", "referenceName": "22", "start": [16_199_999, 16_300_000], "end": [0, 51_304_566]}
    found: list[tuple[int, int]] = []
    for skip in range(100):
        query = {"requestParameters": asked, "requestedGranularity": "record", "pagination": {"limit": 0, "skip": skip}}
        (each,) = httpx.post(f"{url}/beacon/v2/g_variants", json={"query": query}, timeout=60).json()["response"]["resultSets"]
        if not each["results"]:
            break
        for record in each["results"]:
            total = record["frequencyInPopulations"][0]["frequencies"][0]
            found.append((total["alleleNumber"], total["alleleCount"]))
    assert len(found) > 1000
    assert sorted(found) == expected


def test_a_node_starts_without_what_only_analyses_need() -> None:
    heavy = {"scipy.special", "scipy.linalg", "polars", "cohelix.analysis.methods"}
    code = f"import sys, cohelix.node.app; assert not {heavy!r} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
