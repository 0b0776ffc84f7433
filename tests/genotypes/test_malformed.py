"""Files that are refused: with file, place and what was expected, within seconds, and nothing else happens."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path

import pytest

from cohelix.core.errors import AssemblyMismatch, BadFile
from cohelix.core.genome import Assembly
from cohelix.genotypes.hybrid_store import INDEX_NAME
from cohelix.genotypes.load import load_genotypes
from cohelix.genotypes.scan import compile_kernels

_spec = importlib.util.spec_from_file_location("malformed", Path(__file__).with_name("malformed.py"))
assert _spec is not None and _spec.loader is not None
malformed = importlib.util.module_from_spec(_spec)
sys.modules["malformed"] = malformed
_spec.loader.exec_module(malformed)

CASES = list(malformed.cases())


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """The kernels are compiled before the clock of a case starts."""
    compile_kernels()


def test_there_are_many_cases_of_different_names() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) > 200


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
@pytest.mark.timeout(30, func_only=True)
def test_a_malformed_file_is_refused_with_its_place(case, tmp_path: Path) -> None:
    paths, reference = malformed.write(case, tmp_path)
    with pytest.raises(BadFile) as refusal:
        load_genotypes(paths, tmp_path / "store", assembly=Assembly.GRCH37, reference=reference)
    error = refusal.value
    assert type(error) is (AssemblyMismatch if case.error == "AssemblyMismatch" else BadFile), error.detail
    assert case.place in error.detail.replace(str(tmp_path) + "/", ""), error.detail
    assert case.says in error.detail, error.detail
    assert error.expected and "expected" in error.detail
    assert not (tmp_path / "store" / INDEX_NAME).exists()


def test_the_file_that_the_cases_start_from_is_taken(tmp_path: Path) -> None:
    files = {
        "a.vcf": malformed.good(),
        "no-newline.vcf": malformed.good()[:-1],
        "crlf.vcf": malformed.good().replace(b"\n", b"\r\n"),
        "b.vcf.gz": malformed.bgzf(malformed.good(), block=77),
        "x.bcf": malformed.bgzf(malformed.bcf(malformed.bcf_record()), block=33),
        "plain.bcf": malformed.bcf(malformed.bcf_record()),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        report = load_genotypes([tmp_path / name], tmp_path / f"store-{name}", assembly=Assembly.GRCH37)
        assert (report.records, report.variants) == ((1, 1) if name.endswith("bcf") else (4, 5)), name


def test_the_plink_files_that_the_cases_start_from_are_taken(tmp_path: Path) -> None:
    for case in (malformed._bed("good", "", ""), malformed._pgen("good", "", "")):
        paths, reference = malformed.write(case, tmp_path)
        report = load_genotypes(paths, tmp_path / case.name, assembly=Assembly.GRCH37, reference=reference)
        assert (report.records, report.variants, len(report.samples)) == (3, 3, 4)


def test_random_damage_to_plink_files_is_refused_or_taken(tmp_path: Path) -> None:
    chooser = random.Random(77)
    outcomes = {"taken": 0, "refused": 0}
    for number in range(300):
        case = malformed._pgen("any", "", "") if number % 2 else malformed._bed("any", "", "")
        name, content = chooser.choice(case.files)
        damaged = bytearray(content)
        for _ in range(chooser.choice([1, 1, 3])):
            damaged[chooser.randrange(len(damaged))] = chooser.choice([chooser.randrange(256), 0, 9, 10, 255])
        case = case._replace(files=tuple((each, bytes(damaged) if each == name else old) for each, old in case.files))
        folder = tmp_path / str(number)
        folder.mkdir()
        paths, reference = malformed.write(case, folder)
        try:
            load_genotypes(paths, folder / "store", assembly=Assembly.GRCH37, reference=reference)
            outcomes["taken"] += 1
        except BadFile as refusal:
            assert refusal.expected, refusal.detail
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 20, outcomes


@pytest.mark.parametrize("form", ["vcf", "bcf"])
def test_random_damage_is_refused_or_taken_and_nothing_else(form: str, tmp_path: Path) -> None:
    """Bytes changed, cut out and doubled: a load ends with a store or with a refusal that has a place."""
    chooser = random.Random(form)
    calls = malformed.GT_CALLS + b"\x02\x02\x02\x04"
    records = [malformed.bcf_record(position=1000 + i, alleles=(b"AC", b"A", b"<DEL>"), calls=calls) for i in range(5)]
    whole = malformed.good() if form == "vcf" else malformed.bcf(*records)
    start = whole.index(b"#CHROM")
    outcomes = {"taken": 0, "refused": 0}
    for number in range(400):
        damaged = bytearray(whole)
        for _ in range(chooser.choice([1, 1, 2, 5])):
            at = chooser.randrange(start if number % 4 else 0, len(damaged))
            kind = chooser.random()
            if kind < 0.6:
                damaged[at] = chooser.choice([chooser.randrange(256), 0, 9, 10, 255, 127, 46, 47])
            elif kind < 0.8:
                del damaged[at : at + chooser.choice([1, 2, 8])]
            else:
                damaged[at:at] = damaged[at : at + chooser.choice([1, 4, 30])]
        path = tmp_path / f"{number}.{form}"
        path.write_bytes(bytes(damaged))
        try:
            load_genotypes([path], tmp_path / f"store-{number}", assembly=Assembly.GRCH37)
            outcomes["taken"] += 1
        except BadFile as refusal:
            assert refusal.place and refusal.expected, refusal.detail
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 20, outcomes
