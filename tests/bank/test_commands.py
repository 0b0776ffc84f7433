"""`cohelix node load`, `counts` and `export` as a data holder calls them."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
from typing import NamedTuple

import pytest

from cohelix.cli.main import main
from cohelix.testing.commands import run_command

HEADER = ["contig", "pos", "ref", "alt", "an", "ac", "het", "hom", "hemi", "missing"]


def in_a_process(*words):
    """The command as a process of its own."""
    return run_command(*map(str, words), timeout=120)


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def cohelix(capfd, monkeypatch):
    """The command in this process: a start of Python less."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["cohelix", *map(str, words)])
        capfd.readouterr()
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code or 0
        return Done(status, *capfd.readouterr())

    return run


@pytest.fixture(scope="module")
def node(loaded, tmp_path_factory):
    """A node's folder, loaded by the command."""
    folder = tmp_path_factory.mktemp("commands") / "node"
    assert in_a_process("node", "init", folder, "--id", "FI", "--name", "Finland", "--country", "FI").returncode == 0
    half = loaded.vcf.with_name("half.vcf")
    lines = loaded.vcf.read_text().splitlines(keepends=True)
    body = [line for line in lines if not line.startswith("#")]
    split = next(number for number, line in enumerate(body) if line.startswith("X"))
    head = "".join(line for line in lines if line.startswith("#"))
    half.write_text(head + "".join(body[split:]))
    other = loaded.vcf.with_name("other.vcf")
    other.write_text(head + "".join(body[:split]))
    done = in_a_process(
        *("node", "load", folder, "--dataset", "one", "--genotypes", other, half, "--assembly", "hg19"),
        *("--individuals", loaded.table, "--disclosure", "open", "--title", "One", "--note", "agreed", "--simulated"),
        *("--report", folder.parent / "report.json", "--json"),
    )
    assert done.returncode == 0, done.stderr
    assert "loading: genotypes" in done.stderr
    document = json.loads(done.stdout)
    assert document == json.loads((folder.parent / "report.json").read_text())
    assert document["genotypes"]["variants"] == len(loaded.cohort.rows())
    return folder


def counts(cohelix, node, *words):
    done = cohelix("node", "counts", node, "--dataset", "one", *words)
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert lines[0] == HEADER
    return [tuple(line[:4]) + tuple(map(int, line[4:])) for line in lines[1:]]


def expected(cohort, columns, rows=None):
    return [
        (key.contig, str(key.position + 1), key.ref, key.alt, *cohort.count(calls, columns))
        for key, calls in (rows if rows is not None else cohort.rows())
    ]


def test_counts_of_everybody_row_by_row(cohelix, loaded, node):
    assert counts(cohelix, node) == expected(loaded.cohort, loaded.cohort.members("all", "all"))


@pytest.mark.parametrize("group", [("AAA", "all"), ("all", "female"), ("BBB", "male")])
def test_counts_of_a_group(cohelix, loaded, node, group):
    population, sex = group
    words = (["--population", population] if population != "all" else []) + (["--sex", sex] if sex != "all" else [])
    assert counts(cohelix, node, *words) == expected(loaded.cohort, loaded.cohort.members(population, sex))


def test_conditions_on_people_and_place_all_hold(cohelix, loaded, node, tmp_path):
    chosen = random.Random(1).sample([person for person in loaded.cohort.people if person.sample], 30)
    (tmp_path / "ids.txt").write_text("".join(f"{person.id}\n" for person in chosen) + "alone1\n")
    names = {person.sample for person in chosen} | {"alone1"}
    columns = [c for c, name in enumerate(loaded.cohort.columns) if name in names]
    assert counts(cohelix, node, "--individuals", tmp_path / "ids.txt") == expected(loaded.cohort, columns)
    men = [column for column in columns if column in loaded.cohort.members("AAA", "male")]
    rows = [(k, c) for k, c in loaded.cohort.rows() if k.contig == "22" and k.position < 20_000_400 and k.end > 20_000_099]
    words = (
        "--individuals",
        tmp_path / "ids.txt",
        "--population",
        "AAA",
        "--sex",
        "male",
        "--region",
        "chr22:20,000,100-20000400",
    )
    assert counts(cohelix, node, *words) == expected(loaded.cohort, men, rows)


def test_counts_into_a_file_and_as_json(cohelix, loaded, node, tmp_path):
    done = cohelix("node", "counts", node, "--dataset", "one", "--out", tmp_path / "counts.tsv", "--json")
    assert json.loads(done.stdout)["rows"] == len(loaded.cohort.rows())
    lines = (tmp_path / "counts.tsv").read_text().splitlines()
    assert lines[0].split("\t") == HEADER
    assert len(lines) == 1 + len(loaded.cohort.rows())
    done = cohelix("node", "counts", node, "--dataset", "one", "--region", "22:1-20000020", "--json")
    document = json.loads(done.stdout)
    assert document["columns"] == HEADER
    assert 0 < len(document["rows"]) < 10


def test_a_reader_that_has_read_enough(node):
    command = f"{sys.executable} -m cohelix.cli.main node counts {node} --dataset one | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == HEADER
    assert "Traceback" not in done.stderr


@pytest.fixture
def paths(loaded, node, tmp_path):
    """What the words in capitals stand for."""
    (tmp_path / "ids.txt").write_text("nobody1\nnobody2\n")
    return {"NODE": node, "TMP": tmp_path, "IDS": tmp_path / "ids.txt", "VCF": loaded.vcf}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["counts", "NODE", "--dataset", "none"], "no dataset none"),
        (["counts", "NODE", "--dataset", "../one"], "not a dataset id"),
        (["counts", "NODE", "--dataset", "one", "--population", "CCC"], "AAA, BBB"),
        (["counts", "NODE", "--dataset", "one", "--individuals", "IDS"], "nobody1, nobody2"),
        (["counts", "NODE", "--dataset", "one", "--individuals", "/nowhere"], "/nowhere"),
        (["counts", "NODE", "--dataset", "one", "--region", "22"], "not a region"),
        (["counts", "NODE", "--dataset", "one", "--region", "99:1-5"], "no contig 99"),
        (["counts", "NODE", "--dataset", "one", "--sex", "other"], "sex"),
        (["counts", "TMP", "--dataset", "one"], "not a node"),
        (["export", "NODE", "--dataset", "one", "--region", "22:1-5", "--out", "x.txt"], ".vcf.gz"),
        (["load", "NODE", "--dataset", "two", "--genotypes", "VCF", "--assembly", "GRCh36"], "GRCh37 or GRCh38"),
        (["load", "NODE", "--dataset", "two", "--genotypes", "VCF", "--assembly", "GRCh38"], "GRCh37"),
        (
            ["load", "NODE", "--dataset", "two", "--genotypes", "VCF", "--assembly", "hg19", "--individuals", "IDS"],
            "line 1",
        ),
        (["load", "NODE", "--dataset", "two", "--assembly", "GRCh37", "--genotypes"], "genotypes"),
        (["load", "NODE", "--dataset", "a b", "--genotypes", "VCF", "--assembly", "GRCh37"], "not a dataset id"),
        (
            ["load", "NODE", "--dataset", "two", "--genotypes", "VCF", "--assembly", "hg19", "--report", "/x/r"],
            "written",
        ),
    ],
)
def test_refusals(cohelix, paths, words, message):
    done = cohelix("node", *(paths.get(word, word) for word in words))
    assert done.returncode == 2, done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (paths["NODE"] / "datasets" / "two" / "current.json").exists()


def test_export_has_the_region_and_the_samples(cohelix, loaded, node, tmp_path):
    words = ("--dataset", "one", "--region", "22:20000000-20000300", "--out", tmp_path / "part.vcf.gz")
    done = cohelix("node", "export", node, *words)
    assert done.returncode == 0, done.stderr
    lines = gzip.decompress((tmp_path / "part.vcf.gz").read_bytes()).decode().splitlines()
    header = next(line for line in lines if line.startswith("#CHROM"))
    assert header.split("\t")[9:] == loaded.cohort.columns
    records = [line.split("\t") for line in lines if not line.startswith("#")]
    wanted = [r for r in loaded.cohort.records if r.contig == "22" and r.position <= 20_000_300]
    assert [(r[1], r[3], r[4]) for r in records] == [(str(w.position), w.ref, ",".join(w.alts)) for w in wanted]
