"""Things that happen: a node stops, a node loads a newer version while it serves, a folder is full, a file is refused."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import cohelix
from validation import naive, synthetic
from validation.processes import done
from validation.processes import said as command
from validation.town import MemberNode, Served, Town, free_port


def _well_known(town: Town) -> naive.NaiveVariant:
    return next(v for v in town.nodes["FI"].variants() if len(v.ref) == len(v.alt) == 1 and naive.count(v.alleles).ac > 20)


def test_a_node_that_stops_is_named_and_the_others_answer(town: Town) -> None:
    variant = _well_known(town).text
    before = town.frequency(variant)
    gb = town.nodes["GB"]
    assert gb.served is not None and gb.served.stop() == 0, "SIGTERM ends it cleanly"
    try:
        start = time.perf_counter()
        after = town.frequency(variant)
        assert time.perf_counter() - start < 5.1
        roads = {n["node"]: n for n in after["nodes"]}
        assert {name: n["status"] for name, n in roads.items()} == {"FI": "answered", "GB": "unreachable", "IT": "answered"}
        assert roads["GB"]["reason"] and roads["GB"]["datasets"] == []
        untouched = next(n for n in before["nodes"] if n["node"] == "FI")
        assert roads["FI"]["datasets"] == untouched["datasets"]
        assert after["pooled"]["nodes"] == ["FI"]
        status, document = town.command("frequency", variant, "--assembly", "GRCh37")
        assert status == 0 and [n["status"] for n in document["nodes"]] == ["answered", "unreachable", "answered"]
        strict, _ = town.command("frequency", variant, "--assembly", "GRCh37", "--strict")
        assert strict == 4
        with cohelix.connect(town.hub_url) as client:
            assert {n.node: n.status for n in client.frequency(variant, assembly="GRCh37").nodes}["GB"] == "unreachable"
        page = town.client.get("/", params={"q": variant, "assembly": "GRCh37"}, follow_redirects=True).text
        assert ("GB" in page and "could not be reached" in page.lower()) or "unreachable" in page.lower()
    finally:
        gb.served = town.stack.enter_context(Served("node", gb.folder, gb.port))
    again = town.frequency(variant)
    assert {n["node"]: n["datasets"] for n in again["nodes"]} == {n["node"]: n["datasets"] for n in before["nodes"]}


def test_a_newer_version_is_answered_without_a_restart(town: Town, tmp_path: Path) -> None:
    fi = town.nodes["FI"]
    variant = _well_known(town)
    old = town.dataset(variant.text, "FI:cohort")
    fewer = tmp_path / "fewer.vcf.gz"
    half = fi.cohort.samples[:100]
    subprocess.run(
        ["bcftools", "view", "--no-version", "-I", "-s", ",".join(half), "-Oz", "-o", fewer, fi.genotypes],
        check=True,
        capture_output=True,
    )
    smaller = synthetic.Cohort(half, {s: fi.cohort.sex[s] for s in half}, {s: fi.cohort.population[s] for s in half})
    table = synthetic.write_people(tmp_path / "fewer.tsv", smaller)
    fi.load("cohort", "open", "--genotypes", fewer, "--individuals", table)
    try:
        new = town.dataset(variant.text, "FI:cohort")
        assert new["populations"][0]["alleleCount"] == naive.count(variant.alleles[:100]).ac
        assert new["populations"][0]["alleleNumber"] == naive.count(variant.alleles[:100]).an
        words = {"referenceName": variant.contig, "start": variant.position, "referenceBases": variant.ref}
        words |= {
            "alternateBases": variant.alt,
            "assemblyId": "GRCh37",
            "requestedGranularity": "record",
            "datasetIds": "cohort",
        }
        with cohelix.connect(town.hub_url) as client:
            records = {d.id: d for n in client.datasets().nodes for d in n.datasets}
        assert records["FI:cohort"].n_individuals == 100
    finally:
        fi.load()
    assert town.dataset(variant.text, "FI:cohort") == old


def test_a_token_is_good_once_and_for_its_member(town: Town, tmp_path: Path) -> None:
    stranger = tmp_path / "SE"
    done("node", "init", stranger, "--id", "SE", "--name", "Sweden", "--country", "SE")
    token = json.loads(done("hub", "invite", town.folder / "hub", "--member", "NO", "--json").out)["token"]
    wrong = command("node", "join", stranger, token, "--url", "http://127.0.0.1:9")
    assert wrong.status in (2, 3) and "Traceback" not in wrong.err
    other = tmp_path / "NO"
    done("node", "init", other, "--id", "NO", "--name", "Norway", "--country", "NO")
    with Served("node", other) as served:
        done("node", "join", other, token, "--url", served.url)
        try:
            again = command("node", "join", other, token, "--url", served.url)
            assert again.status in (2, 3) and "Traceback" not in again.err
        finally:
            done("hub", "suspend", town.folder / "hub", "--member", "NO")
    answer = town.frequency(_well_known(town).text)
    assert "NO" not in [n["node"] for n in answer["nodes"]], "a suspended member is not asked"


def test_what_a_data_holder_meets_at_the_command_line(tmp_path: Path) -> None:
    """init refuses a used folder; a load without people, with people too many, and of a broken file."""
    node = tmp_path / "node"
    done("node", "init", node, "--id", "FI", "--name", "Finland", "--country", "FI")
    used = command("node", "init", node, "--id", "FI", "--name", "Finland", "--country", "FI")
    assert used.status == 2 and str(node) in used.err
    cohort = synthetic.make_cohort(40, 9)
    path = synthetic.write_vcf(tmp_path / "made.vcf", cohort, per_contig=20, seed=10, contigs=("22",))
    fewer = synthetic.Cohort(
        [*cohort.samples[:30], "NOBODY"], cohort.sex | {"NOBODY": "male"}, cohort.population | {"NOBODY": "FIN"}
    )
    table = synthetic.write_people(tmp_path / "people.tsv", fewer)
    report_path = tmp_path / "report.json"
    member = MemberNode("FI", node, 0, cohort, path, table)
    member.load("d", "open", "--report", report_path)
    report = json.loads(report_path.read_text())
    text = json.dumps(report)
    assert cohort.samples[35] in text, "a genotype column without a person is reported"
    assert "NOBODY" in text, "a person without a genotype column is reported"
    assert "ti" in text.lower() and "call" in text.lower()
    broken = tmp_path / "broken.vcf"
    broken.write_text(path.read_text().replace("\t22\t", "\t22", 1).replace("GT\t", "GT\t9/9\t", 1))
    refused = command("node", "load", node, "--dataset", "d", "--genotypes", broken, "--assembly", "GRCh37", "--json")
    assert refused.status == 2 and "broken.vcf, line" in refused.err and "expected" in refused.err
    out = tmp_path / "counts.tsv"
    done("node", "counts", node, "--dataset", "d", "--out", out)
    assert len(out.read_text().splitlines()) > 20, "the old version stays"
    other_build = command("node", "load", node, "--dataset", "d", "--genotypes", path, "--assembly", "GRCh38")
    assert other_build.status == 2 and "GRCh3" in other_build.err
    unknown = command("node", "counts", node, "--dataset", "nothing")
    assert unknown.status == 2 and "Traceback" not in unknown.err
    nobody = command("frequency", "22-100-A-G", "--assembly", "GRCh37", "--hub", f"http://127.0.0.1:{free_port()}")
    assert nobody.status == 5


def test_an_exported_region_is_the_source(tmp_path: Path) -> None:
    """Export gives back what was loaded: positions, alleles, IDs, sample names and genotypes of every record."""
    node = tmp_path / "node"
    done("node", "init", node, "--id", "FI", "--name", "Finland", "--country", "FI")
    cohort = synthetic.make_cohort(50, 19)
    path = synthetic.write_vcf(tmp_path / "made.vcf.gz", cohort, per_contig=80, seed=20)
    table = synthetic.write_people(tmp_path / "people.tsv", cohort)
    MemberNode("FI", node, 0, cohort, path, table).load("d", "closed")
    first, last = 24_000_000, 24_070_000
    query = ["bcftools", "query", "-f", "%CHROM %POS %ID %REF %ALT[ %GT]\n"]
    positions = subprocess.run(
        ["bcftools", "query", "-f", "%CHROM\t%POS\n", path], capture_output=True, text=True, check=True
    ).stdout
    of_21 = [int(line.split("\t")[1]) for line in positions.splitlines() if line.startswith("21\t")]
    first, last = of_21[5], of_21[-5]
    for name in ("out.vcf.gz", "out.bcf"):
        out = tmp_path / name
        done("node", "export", node, "--dataset", "d", "--region", f"21:{first}-{last}", "--out", out)
        subprocess.run(["bcftools", "index", "-f", out], check=True, capture_output=True)
        assert naive.samples_of(out) == cohort.samples
        ours = subprocess.run([*query, out], check=True, capture_output=True, text=True).stdout.splitlines()
        wanted = subprocess.run(
            [*query, "-t", f"21:{first}-{last}", path], check=True, capture_output=True, text=True
        ).stdout.splitlines()
        inside = [line for line in ours if first <= int(line.split()[1]) <= last]
        assert inside == [_without_order(line) for line in wanted]


def _without_order(line: str) -> str:
    """An unphased heterozygote reads 0/1, whichever way the source wrote it; what is not called has no phase."""
    site, genotypes = line.split(" ")[:5], line.split(" ")[5:]
    both = ["./." if g == ".|." else g if "|" in g or "." in g else "/".join(sorted(g.split("/"), key=int)) for g in genotypes]
    return " ".join([*site, *both])
