"""Damage to stored files: found before an answer leaves, told by name, and no other dataset's concern."""

from __future__ import annotations

import random
import shutil
import time
from types import SimpleNamespace

import pytest

from cohelix.bank.bank import Bank
from cohelix.bank.life import verify
from cohelix.bank.load import LoadRequest, load
from cohelix.bank.manifest import GENOTYPES
from cohelix.bank.publish import current_version
from cohelix.bank.scrub import Scrubber
from cohelix.core.genome import Assembly
from cohelix.core.ids import DatasetId, NodeId
from validation.integrity.damage import KINDS, damage, outcome

ONE, TWO = DatasetId("one"), DatasetId("two")


@pytest.fixture(scope="module")
def stored(loaded, tmp_path_factory):
    node = tmp_path_factory.mktemp("integrity") / "node"
    node.mkdir()
    for dataset in (ONE, TWO):
        load(node, LoadRequest(dataset, (loaded.vcf,), Assembly.GRCH37, individuals=loaded.table, disclosure="open"))
    keys = [key for key, _ in loaded.cohort.rows()[::20]]
    return SimpleNamespace(node=node, keys=keys)


@pytest.fixture
def node(stored, tmp_path):
    shutil.copytree(stored.node, tmp_path / "node")
    return tmp_path / "node"


@pytest.mark.parametrize("kind", KINDS)
def test_damage_of_any_file_is_found_before_an_answer(stored, node, kind):
    rng = random.Random(kind)
    home = node / "datasets" / ONE
    for _ in range(25):
        changed = damage(home, kind, rng)
        found = outcome(node, ONE, stored.keys)
        changed.mend()
        assert found.detected, f"{kind} of {changed.name} at {changed.place}"
        assert changed.name in found.names
    assert not outcome(node, ONE, stored.keys).detected


def test_a_damaged_dataset_leaves_the_others_in_peace(stored, node):
    bank = Bank.open(node, NodeId("FI"))
    shard = min((current_version(node, ONE) / GENOTYPES).glob("*.shard"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 4
    shard.write_bytes(content)
    answer = bank.frequency(stored.keys[0], Assembly.GRCH37)
    status = {found.id: found.status for found in answer.datasets}
    assert status == {"FI:one": "not_assessed", "FI:two": "answered"}
    assert "checksum" in bank.damaged()[ONE]
    again = Bank.open(node, NodeId("FI"))
    assert {found.id: found.status for found in again.frequency(stored.keys[0], Assembly.GRCH37).datasets} == status
    assert verify(node, [ONE, TWO]) == {ONE: [f"versions/000001/genotypes/{shard.name}"], TWO: []}


@pytest.mark.parametrize("name", ["genotypes", "counts", "people"])
def test_a_flip_under_a_serving_bank_is_found_by_the_scrubber(stored, node, name):
    bank = Bank.open(node, NodeId("FI"))
    assert all(found.status == "answered" for found in bank.frequency(stored.keys[0], Assembly.GRCH37).datasets)
    scrubber = Scrubber(bank, node)
    scrubber.start()
    try:
        time.sleep(0.1)
        path = max((current_version(node, TWO) / name).iterdir(), key=lambda found: found.stat().st_size)
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2)
            byte = file.read(1)
            file.seek(-1, 1)
            file.write(bytes([byte[0] ^ 1]))
        end = time.monotonic() + 10
        while not bank.damaged() and time.monotonic() < end:
            time.sleep(0.05)
    finally:
        scrubber.stop()
    assert set(bank.damaged()) == {TWO}
    assert [record.id for record in bank.datasets()] == ["FI:one"]
