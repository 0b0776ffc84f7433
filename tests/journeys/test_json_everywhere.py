"""Every command that ends prints, with `--json`, one JSON document on standard output and nothing else there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from validation import synthetic
from validation.processes import cohelix, said
from validation.town import Town


def test_commands_on_folders(tmp_path: Path) -> None:
    node, hub, out = tmp_path / "node", tmp_path / "hub", tmp_path / "out.bcf"
    cohort = synthetic.make_cohort(20, 9)
    path = synthetic.write_vcf(tmp_path / "made.vcf", cohort, per_contig=10, seed=10, contigs=("22",))
    table = synthetic.write_people(tmp_path / "people.tsv", cohort)
    load = ["node", "load", node, "--dataset", "d", "--genotypes", path, "--assembly", "GRCh37", "--individuals", table]
    commands = [
        ["node", "init", node, "--id", "FI", "--name", "Finland", "--country", "FI"],
        load,
        ["node", "counts", node, "--dataset", "d"],
        ["node", "counts", node, "--dataset", "d", "--sex", "male", "--out", tmp_path / "counts.tsv"],
        ["node", "export", node, "--dataset", "d", "--region", "22:1-40000000", "--out", out],
        ["hub", "init", hub, "--url", "http://127.0.0.1:9"],
        ["hub", "invite", hub, "--member", "FI"],
        ["hub", "members", hub],
    ]
    for words in commands:
        ended = said(*words, "--json")
        assert ended.status == 0, (words, ended.err)
        json.loads(ended.out)


@pytest.mark.parametrize(
    "words",
    [
        *(["datasets"], ["members"], ["beacon", "info"], ["gene", "CRELD2", "--assembly", "GRCh37"]),
        ["region", "22:25000000-26000000", "--assembly", "GRCh37"],
    ],
    ids=lambda words: words[0],
)
def test_questions(town: Town, words: list[str]) -> None:
    ended = said(*words, "--hub", town.hub_url, "--json")
    assert ended.status == 0, ended.err
    json.loads(ended.out)


def test_a_real_process_says_nothing_else_on_standard_output(town: Town) -> None:
    ended = cohelix("datasets", "--hub", town.hub_url, "--json")
    assert ended.status == 0 and json.loads(ended.out)["nodes"]
