"""A dataset's life: people come and go, versions and releases follow, files are hidden, kept, moved and mended."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from cohelix.bank import life
from cohelix.bank.backup import backup, restore
from cohelix.bank.bank import Bank
from cohelix.bank.load import LoadRequest, load
from cohelix.bank.operator_counts import OperatorCounts
from cohelix.bank.publish import DATASETS, change_state, current_version, open_current
from cohelix.bank.release import too_close
from cohelix.bank.releases import ReleaseHistory
from cohelix.core.errors import BadFile, BadUsage, Conflict, NotFound
from cohelix.core.genome import Assembly
from cohelix.core.ids import DatasetId, NodeId
from validation.releases.histories import faults, history

ONE, TWO = DatasetId("one"), DatasetId("two")
PEOPLE = [f"PERSON{number:03d}" for number in range(80)]
OLD_STORE = Path(__file__).parent / "old_store"


def write(folder, people, name):
    """A VCF and a table of some of the people; a person's calls are the same in every file."""
    folder.mkdir(exist_ok=True)
    lines = ["##fileformat=VCFv4.2", "##contig=<ID=22,length=51304566>"]
    lines += ['##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">']
    lines.append("\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *people]))
    for number in range(50):
        calls = [random.Random(f"{person}{number}").choice(["0|0", "0|1", "1|1", "0|0"]) for person in people]
        lines.append("\t".join(["22", str(20_000_000 + 5 * number), ".", "A", "G", ".", ".", ".", "GT", *calls]))
    vcf, table = folder / f"{name}.vcf", folder / f"{name}.tsv"
    vcf.write_text("\n".join(lines) + "\n")
    rows = [f"{person}\t{'male' if int(person[-3:]) % 2 else 'female'}\tAAA" for person in people]
    table.write_text("\n".join(["individual_id\tsex\tpopulation", *rows]) + "\n")
    return vcf, table


def loaded_node(tmp_path, people, dataset=ONE, disclosure="floored"):
    node = tmp_path / "node"
    node.mkdir(exist_ok=True)
    vcf, table = write(tmp_path / "input", people, dataset)
    load(node, LoadRequest(dataset, (vcf,), Assembly.GRCH37, individuals=table, disclosure=disclosure, quality="off"))
    return node


def exact(node, dataset=ONE):
    return [row for frame in OperatorCounts(node, dataset).blocks() for row in frame.iter_rows()]


def in_release(node, dataset=ONE):
    version = open_current(node, dataset)
    return {name for name, released in zip(version.people.individual_ids, version.released, strict=True) if released}


def no_close_pair(node, dataset=ONE, k=10):
    found = ReleaseHistory(node / DATASETS / dataset).releases()
    return not [fault for one in found for two in found for fault in too_close(one.cells, two.cells, k=k)]


@pytest.mark.parametrize("seed", range(0, 1000, 10))
def test_no_two_releases_differ_by_a_few_people(seed):
    assert not faults(history(seed))


def test_added_people_make_the_dataset_of_all_of_them(tmp_path):
    node = loaded_node(tmp_path, PEOPLE[:60])
    vcf, table = write(tmp_path / "input", PEOPLE[60:], "new")
    step = life.add(node, ONE, (vcf,), individuals=table)
    assert (step.version, step.release, step.people) == (2, 2, 80)
    whole = tmp_path / "whole"
    whole.mkdir()
    assert exact(node) == exact(loaded_node(whole, PEOPLE))
    assert no_close_pair(node)
    assert len(in_release(node)) == step.released <= 80 - 9
    answer = Bank.open(node, NodeId("FI")).datasets()[0]
    assert (answer.version, answer.release, answer.n_individuals) == (2, 2, step.released // 10 * 10)
    difference = life.diff(node, ONE)
    assert difference["people"] == {"added": 20, "removed": 0, "same": 60}
    assert difference["variants"]["added"] == 0
    with pytest.raises(BadUsage, match="already"):
        life.add(node, ONE, (vcf,), individuals=table)


@pytest.mark.parametrize("disclosure", ["floored", "open"])
def test_withdrawn_people_leave_no_byte(tmp_path, disclosure):
    node = loaded_node(tmp_path, PEOPLE, disclosure=disclosure)
    gone = ["PERSON003", "PERSON042"]
    [step] = life.withdraw(node, gone)
    assert (step.version, step.release, step.people) == (3, 2, 78)
    assert not in_release(node) & set(gone)
    assert len(in_release(node)) == (78 if disclosure == "open" else step.released)
    assert no_close_pair(node, k=1 if disclosure == "open" else 10)
    home = node / DATASETS / ONE
    assert [path.name for path in (home / "versions").iterdir()] == ["000003"]
    for path in home.rglob("*"):
        assert not (path.is_file() and any(name.encode() in path.read_bytes() for name in gone)), path
    rest = tmp_path / "rest"
    rest.mkdir()
    assert exact(node) == exact(loaded_node(rest, [person for person in PEOPLE if person not in gone]))
    # Loaded again with everybody, the withdrawn are in no release.
    vcf, table = write(tmp_path / "input", PEOPLE, "again")
    report = load(node, LoadRequest(ONE, (vcf,), Assembly.GRCH37, individuals=table, disclosure=disclosure, quality="off"))
    assert any("2 people of these files have withdrawn" in warning for warning in report.warnings)
    assert not in_release(node) & set(gone)
    with pytest.raises(BadUsage, match="STRANGER"):
        life.withdraw(node, ["STRANGER"])


def test_a_history_of_real_versions(tmp_path):
    node = loaded_node(tmp_path, PEOPLE[:50])
    for number, person in enumerate(("PERSON001", "PERSON002", "PERSON004")):
        life.withdraw(node, [person])
        vcf, table = write(tmp_path / "input", PEOPLE[50 + number : 51 + number], f"new{number}")
        life.add(node, ONE, (vcf,), individuals=table)
    assert no_close_pair(node)
    found = life.history(node, ONE)
    assert [item["release"] for item in found] == list(range(1, len(found) + 1))
    assert {item["why"] for item in found} == {"load", "withdrawal", "addition"}


def test_two_datasets_of_nearly_the_same_people_keep_their_distance(tmp_path):
    node = loaded_node(tmp_path, PEOPLE[:60])
    loaded_node(tmp_path, PEOPLE[2:60], TWO)
    assert len(in_release(node, ONE) ^ in_release(node, TWO)) >= 10
    loaded_node(tmp_path, PEOPLE[:60], DatasetId("three"))
    assert in_release(node, DatasetId("three")) == in_release(node, ONE)


def test_hidden_retired_deleted(tmp_path):
    node = loaded_node(tmp_path, PEOPLE)
    bank = Bank.open(node, NodeId("FI"))
    for state, seen in (("hidden", 0), ("published", 1), ("retired", 0)):
        change_state(node, ONE, state)
        bank.refresh()
        assert len(bank.datasets()) == seen
        assert life.statuses(node)[0]["state"] == state
        assert exact(node)
    vcf, _ = write(tmp_path / "input", PEOPLE, "more")
    with pytest.raises(Conflict, match="retired"):
        load(node, LoadRequest(ONE, (vcf,), Assembly.GRCH37))
    life.delete(node, ONE)
    assert life.statuses(node) == []
    with pytest.raises(NotFound):
        current_version(node, ONE)
    # What was told stays told: under the same name, fewer people still keep their distance.
    loaded_node(tmp_path, PEOPLE[1:])
    assert no_close_pair(node)
    assert open_current(node, ONE).manifest.release == 2
    life.delete(node, ONE, keep_history=False)
    assert not (node / DATASETS / ONE).exists()


def test_a_backup_comes_back_and_proves_itself(tmp_path):
    node = loaded_node(tmp_path, PEOPLE)
    life.withdraw(node, ["PERSON001"])
    (node / "node.toml").write_text("id = 'FI'\n")
    archive = tmp_path / "node.tar"
    backup(node, archive)
    assert archive.stat().st_mode & 0o077 == 0
    done = restore(archive, tmp_path / "again")
    assert done["datasets"] == [ONE]
    assert exact(tmp_path / "again") == exact(node)
    assert in_release(tmp_path / "again") == in_release(node)
    assert (tmp_path / "again" / "node.toml").exists()
    with pytest.raises(Conflict):
        restore(archive, tmp_path / "again")
    content, rng = archive.read_bytes(), random.Random(1)
    for _ in range(20):
        place = rng.randrange(len(content) - 10_240)  # tar ends with a record of zeros
        archive.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        target = tmp_path / "damaged"
        try:
            restore(archive, target)
        except BadFile:
            assert not target.exists()
        else:  # a byte of a header that says nothing, or padding
            assert exact(target) == exact(node)
            shutil.rmtree(target)
    archive.write_bytes(content[: len(content) // 2])
    with pytest.raises(BadFile):
        restore(archive, tmp_path / "cut")


def test_the_format_of_the_first_version_is_read_and_brought_up_to_date(tmp_path):
    node, old = tmp_path / "node", DatasetId("old")
    shutil.copytree(OLD_STORE, node)
    manifest = json.loads((current_version(node, old) / "manifest.json").read_text())
    assert manifest["format"] == 1
    before = exact(node, old)
    bank = Bank.open(node, NodeId("FI"))
    assert (bank.damaged(), len(bank.datasets())) == ({}, 1)
    step = life.upgrade(node, old)
    assert step is not None
    assert (step.version, step.release, step.people, step.released) == (2, 1, 40, 40)
    assert exact(node, old) == before
    assert life.upgrade(node, old) is None
    assert life.verify(node, [old]) == {old: []}
    life.withdraw(node, ["OLD03"])
    assert no_close_pair(node, old)
