"""Lift-over: positions, strands and losses, on chains of a few lines and on real variants of both builds."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import numpy as np
import pytest

from cohelix.bank import Bank
from cohelix.bank.load import LoadRequest, load
from cohelix.bank.publish import open_current
from cohelix.core.errors import AssemblyMismatch, BadFile
from cohelix.core.genome import Assembly
from cohelix.core.ids import DatasetId, NodeId
from cohelix.genotypes.hybrid_store import HybridStore
from cohelix.genotypes.liftover import BROKEN, NO_PLACE, SEVERAL, LiftOver, Place, lift_store
from cohelix.genotypes.load import load_genotypes
from cohelix.node import init_node

CHAIN = """chain 100 chr1 1000 + 100 200 chr1 2000 + 500 605 1
40 10 15
50

chain 90 chr2 1000 + 0 50 chr3 300 - 100 150 2
50
"""


def chain(folder: Path, text: str = CHAIN) -> Path:
    path = folder / "x.chain"
    path.write_text(text, encoding="ascii")
    return path


def test_places_gaps_and_strands(tmp_path: Path) -> None:
    lift = LiftOver.open(chain(tmp_path))
    assert lift.lift("1", 100, "A", "G") == Place("1", 500, "A", "G", False)
    assert lift.lift("1", 150, "A", "G") == Place("1", 555, "A", "G", False)
    assert lift.lift("1", 139, "AC", "A") == BROKEN
    assert lift.lift("1", 145, "A", "G") == NO_PLACE
    assert lift.lift("1", 99, "A", "G") == NO_PLACE
    assert lift.lift("9", 99, "A", "G") == NO_PLACE
    # Base 0 of chr2 is base 100 of chr3's other strand, that is, base 300 - 100 - 1 of chr3.
    assert lift.lift("2", 0, "A", "G") == Place("3", 199, "T", "C", True)
    assert lift.lift("2", 3, "ACC", "AT") == Place("3", 194, "GGT", "AT", True)
    both = CHAIN + "\nchain 1 chr1 1000 + 90 110 chr5 2000 + 0 20 3\n20\n"
    assert LiftOver.open(chain(tmp_path, both)).lift("1", 105, "A", "G") == SEVERAL


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10 1 1\n",
        "chain 1 chr1 10 - 0 5 chr1 10 + 0 5 1\n5\n",
        "chain 1\n",
        CHAIN[:-4],
        "chain 1 chr1 9 + 0 5 chr1 3 + 0 5 1\n5\n",
        f"chain 1 chr1 {10**20} + {10**19} 5 chr1 9 + 0 5 1\n5\n",
        f"chain 1 chr1 9 + 0 5 chr1 9 + 0 5 1\n2 {10**20} 1\n3\n",
    ],
)
def test_what_is_no_chain_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadFile):
        LiftOver.open(chain(tmp_path, text))


def test_real_variants_reach_the_other_build(tmp_path: Path, shared_data: Path) -> None:
    folder, kg3 = shared_data / "reference", shared_data / "kg3-exome-common"
    load_genotypes([kg3 / "kg3.exome-common.GRCh38.bcf"], tmp_path / "b38", assembly=Assembly.GRCH38)
    load_genotypes([kg3 / "kg3.exome-common.GRCh37.bcf"], tmp_path / "b37", assembly=Assembly.GRCH37)
    before = HybridStore.open(tmp_path / "b38")
    over = folder / "hg38ToHg19.over.chain.gz"
    report = lift_store(before, tmp_path / "lifted", chain=over, assembly=Assembly.GRCH37)
    after, expected = HybridStore.open(tmp_path / "lifted"), HybridStore.open(tmp_path / "b37")
    assert report.lifted + sum(report.lost.values()) == before.info.n_variants
    assert after.info.n_variants == report.lifted
    pairs = [(row, found[0]) for row in range(report.lifted) if (found := expected.rows_of(after.key(row)))]
    assert len(pairs) > 0.98 * expected.info.n_variants
    mine, theirs = (np.array(column) for column in zip(*pairs, strict=True))
    order = np.argsort(theirs)
    same = np.stack(after.allele_counts(mine)) == np.stack(expected.allele_counts(theirs[order]))[:, np.argsort(order)]
    assert same.all()
    with pytest.raises(AssemblyMismatch):
        lift_store(expected, tmp_path / "wrong", chain=over, assembly=Assembly.GRCH38)


def test_a_dataset_says_where_its_positions_come_from(tmp_path: Path, shared_data: Path) -> None:
    kg3 = shared_data / "kg3-exome-common" / "kg3.exome-common.GRCh38.bcf"
    part = tmp_path / "part.bcf"
    subprocess.run(["bcftools", "view", "-r", "22", "-Ob", "-o", part, kg3], check=True)
    chain = shared_data / "reference" / "hg38ToHg19.over.chain.gz"
    node = tmp_path / "node"
    init_node(node, node="FI", name="Lifted", country="FI")
    request = LoadRequest(DatasetId("d"), (part,), Assembly.GRCH37, lift_over=chain, quality="off")
    report = load(node, request)
    manifest = open_current(node, DatasetId("d")).manifest
    assert manifest.lift_over is not None
    assert manifest.lift_over["from"] == "GRCh38"
    assert manifest.lift_over["sha256"] == hashlib.sha256(chain.read_bytes()).hexdigest()
    assert manifest.lift_over["lifted"] == manifest.n_variants == report.document()["liftOver"]["lifted"]
    (record,) = Bank.open(node, NodeId("FI")).datasets()
    assert (record.assembly, record.lifted_from) == ("GRCh37", "GRCh38")
