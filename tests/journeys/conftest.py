"""A small federation of three members, shared by the stories that change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cohelix.testing.federation import let_everybody_ask
from validation import synthetic
from validation.processes import inside
from validation.town import Town, genotypes_text, open_town, split_cohort


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """FI is open, GB floored, IT closed (and has an open dataset of the other assembly); 130 people each."""
    with inside():
        town = _make(tmp_path_factory.mktemp("town"))
    with town.stack:
        yield town


def _make(folder: Path) -> Town:
    whole = synthetic.make_cohort(390, 31)
    genotypes = synthetic.write_vcf(folder / "whole.bcf", whole, per_contig=120, seed=32, contigs=("21", "22", "X"))
    nodes = split_cohort(folder, whole, genotypes, {"FI": slice(0, 130), "GB": slice(130, 260), "IT": slice(260, 390)})
    nodes["FI"].load()
    nodes["GB"].load(disclosure="floored")
    let_everybody_ask(nodes["GB"].folder)
    nodes["IT"].load(disclosure="closed")
    other = folder / "b38.vcf"
    text = genotypes_text(nodes["IT"].genotypes, "22:1-30000000")
    other.write_text(text.replace("length=51304566", "length=50818468"))
    nodes["IT"].load("b38", "open", "--genotypes", other, "--assembly", "GRCh38")
    return open_town(folder, nodes)


@pytest.fixture(autouse=True)
def _commands_in_this_process() -> Iterator[None]:
    """Loads and invitations run the command line in process; servers, and the questions of `Town.command`, do not."""
    with inside():
        yield
