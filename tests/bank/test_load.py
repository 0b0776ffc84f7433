"""Loading and publishing: the report, versions, refusals, two loads at once, and loads that are killed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cohelix.bank.bank import Bank
from cohelix.bank.load import LoadRequest, load
from cohelix.bank.manifest import read_manifest, verify_files
from cohelix.bank.publish import current_version, open_current, staging
from cohelix.core.errors import BadFile, BadUsage, Conflict, Damaged, NotFound
from cohelix.core.genome import Assembly
from cohelix.core.ids import DatasetId, NodeId

ONE = DatasetId("one")


def files_of(folder: Path) -> dict[str, str]:
    """SHA-256 of every store file; the report holds times and is left out."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "report.json"
    }


def request(loaded, **changes):
    return LoadRequest(
        **({"dataset": ONE, "genotypes": (loaded.vcf,), "assembly": Assembly.GRCH37, "individuals": loaded.table} | changes)
    )


@pytest.fixture
def node(tmp_path):
    folder = tmp_path / "node"
    folder.mkdir()
    return folder


def test_the_report_tells_what_was_met(loaded, node):
    document = load(node, request(loaded, disclosure="open", simulated=True, title="One")).document()
    assert json.loads((current_version(node, ONE) / "report.json").read_text()) == document
    assert document["simulated"]
    genotypes, linkage, people = document["genotypes"], document["linkage"], document["people"]
    assert genotypes["records"] == len(loaded.cohort.records)
    assert genotypes["variants"] == len(loaded.cohort.rows())
    assert genotypes["duplicateVariants"]["count"] >= 1
    assert genotypes["contigs"] == ["22", "X"]
    assert 0.9 < genotypes["callRate"] < 1
    assert linkage["columnsWithoutPerson"] == {
        "count": 2,
        "listed": sorted(["alone1", "alone2"], key=loaded.cohort.columns.index),
    }
    assert linkage["peopleWithoutColumn"] == {"count": 2, "listed": ["P3", "P4"]}
    assert people["completeness"]["sex"] == sum(bool(person.sex) for person in loaded.cohort.people)
    assert any("no person" in warning for warning in document["warnings"])
    record = Bank.open(node, NodeId("FI")).datasets()[0]
    assert (record.title, record.simulated, record.disclosure) == ("One", True, "open")


def test_text_of_the_report_names_what_deserves_a_look(loaded, node):
    text = load(node, request(loaded)).text()
    for word in ("columns without a person: 2", "people without a column: 2", "P3", "Ti/Tv", "call rate", "floored"):
        assert word in text


def test_the_same_input_gives_the_same_bytes_anywhere(loaded, node, tmp_path):
    other = tmp_path / "elsewhere" / "node"
    other.mkdir(parents=True)
    load(node, request(loaded))
    load(other, request(loaded))
    first = files_of(current_version(node, ONE))
    assert first == files_of(current_version(other, ONE))
    manifest = read_manifest(current_version(node, ONE))
    verify_files(manifest, current_version(node, ONE))
    assert set(manifest.files) == set(first) - {"manifest.json"}


def test_versions_follow_each_other_and_a_serving_bank_sees_them(loaded, node):
    load(node, request(loaded, disclosure="open"))
    bank = Bank.open(node, NodeId("FI"))
    before = bank.view(ONE)
    for number in (2, 3, 4):
        load(node, request(loaded, disclosure="closed"))
        # The version before the current one is still there, for whoever holds it.
        assert number > 2 or before.frequency(loaded.cohort.rows()[0][0]).status == "answered"
        bank.refresh()
        assert bank.datasets()[0].version == number
    assert bank.datasets()[0].disclosure == "closed"
    kept = sorted(path.name for path in (node / "datasets" / "one" / "versions").iterdir())
    assert kept == ["000003", "000004"]


@pytest.mark.parametrize(("columns", "disclosure", "waiting"), [(1, "floored", True), (1, "open", False)])
def test_a_version_that_differs_by_few_people_has_a_release_that_differs_by_more(loaded, node, columns, disclosure, waiting):
    load(node, request(loaded, disclosure=disclosure))
    before = open_current(node, ONE)
    lines = loaded.vcf.read_text().splitlines()
    fewer = node.with_name("fewer.vcf")
    fewer.write_text("".join(f"{line if line.startswith('##') else line.rsplit(chr(9), columns)[0]}\n" for line in lines))
    report = load(node, request(loaded, genotypes=(fewer,), disclosure=disclosure))
    now = open_current(node, ONE)
    assert any("leaves out" in warning for warning in report.warnings) == waiting
    assert now.manifest.release == 2
    counted = [{v.call_sets.names[c] for columns in v.atom_columns for c in columns} for v in (before, now)]
    assert len(counted[0] ^ counted[1]) >= (10 if waiting else 1)
    assert now.manifest.n_individuals == now.released.sum() == now.call_sets.n_people - now.manifest.n_waiting


def test_without_a_table_every_column_is_a_person_of_its_own(loaded, node):
    document = load(node, request(loaded, individuals=None, disclosure="open")).document()
    assert document["people"] is None
    assert document["linkage"]["people"] == len(loaded.cohort.columns)
    answer = Bank.open(node, NodeId("FI")).view(ONE).frequency(loaded.cohort.rows()[0][0])
    assert [(row.population, row.sex) for row in answer.populations] == [("all", "all")]


@pytest.mark.parametrize(
    ("broken", "error"),
    [("table", BadFile), ("mapping", BadFile), ("genotypes", BadFile), ("assembly", BadFile), ("mapping alone", BadUsage)],
)
def test_a_refused_load_publishes_nothing_and_keeps_the_version_before(loaded, node, tmp_path, broken, error):
    bad = tmp_path / "bad.tsv"
    bad.write_text("iid\tsex\nA\tpurple\n")
    changes = {
        "table": {"individuals": bad},
        "mapping": {"mapping": bad},
        "genotypes": {"genotypes": (loaded.vcf, bad)},
        "assembly": {"assembly": Assembly.GRCH38},
        "mapping alone": {"individuals": None, "mapping": bad},
    }[broken]
    with pytest.raises(error):
        load(node, request(loaded, **changes))
    assert Bank.open(node, NodeId("FI")).datasets() == ()
    load(node, request(loaded))
    before = files_of(node / "datasets")
    with pytest.raises(error):
        load(node, request(loaded, **changes))
    assert files_of(node / "datasets") == before


def test_two_loads_of_a_dataset_exclude_each_other(loaded, node):
    with staging(node, ONE), pytest.raises(Conflict, match="another load"):
        load(node, request(loaded))
    load(node, request(loaded))
    with staging(node, DatasetId("two")):
        load(node, request(loaded))


def test_damage_is_found(loaded, node):
    load(node, request(loaded))
    folder = current_version(node, ONE)
    manifest = read_manifest(folder)
    for name in ("listed.npy", "people/people.arrow"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(Damaged, match=name):
            verify_files(manifest, folder)
        (folder / name).write_bytes(content)
    (folder / "manifest.json").write_text("{}")
    bank = Bank.open(node, NodeId("FI"))
    assert bank.datasets() == ()
    assert "manifest" in bank.damaged()[ONE]


def test_a_dataset_that_was_never_published(node):
    with pytest.raises(NotFound):
        current_version(node, ONE)


SCRIPT = """
import sys
from pathlib import Path
from cohelix.bank.load import LoadRequest, load
from cohelix.core.genome import Assembly
print("begin", flush=True)
load(Path(sys.argv[1]), LoadRequest("one", (Path(sys.argv[2]),), Assembly.GRCH37, individuals=Path(sys.argv[3])),
     stage=lambda name: print(name, flush=True))
print("published", flush=True)
"""


def start(node, loaded):
    command = [sys.executable, "-c", SCRIPT, str(node), str(loaded.vcf), str(loaded.table)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("stage", ["begin", "people", "genotypes", "counts", "publish"])
def test_a_killed_load_leaves_the_old_version_or_the_complete_new_one(loaded, node, tmp_path, stage):
    """kill -9 as a stage begins and a little later; the next load removes what is left and makes the same bytes."""
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    load(undisturbed, request(loaded))
    expected = files_of(current_version(undisturbed, ONE))
    running = start(node, loaded)
    for line in running.stdout:
        if line.strip() == stage:
            break
    time.sleep(random.Random(stage).uniform(0, 0.02))
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    running.stdout.close()
    for dataset in Bank.open(node, NodeId("FI")).datasets():
        assert dataset.version == 1
        verify_files(read_manifest(current_version(node, ONE)), current_version(node, ONE))
    if not Bank.open(node, NodeId("FI")).datasets():
        load(node, request(loaded))
    assert files_of(current_version(node, ONE)) == expected
    home = node / "datasets" / "one"
    assert sorted(path.name for path in home.iterdir()) == ["current.json", "load.lock", "releases", "versions"]
    assert [path.name for path in (home / "versions").iterdir()] == ["000001"]
