"""A small cohort with everything awkward in it, as files, as loaded datasets, and as a naive twin that counts by hand."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cohelix.bank.bank import Bank
from cohelix.bank.load import LoadRequest, load
from cohelix.core.genome import Assembly
from cohelix.core.ids import DatasetId, NodeId
from cohelix.core.variant import VariantKey, trim

SHAPES = [
    ("A", ["G"]),
    ("C", ["T", "A"]),
    ("AT", ["A"]),
    ("G", ["GTT"]),
    ("CA", ["C", "CAA"]),
    ("T", ["<DEL>"]),
    ("ACG", ["TCG"]),
]
LENGTHS = {"22": 51304566, "X": 155270560}


@dataclass
class Record:
    contig: str
    position: int  # 1-based
    ref: str
    alts: list[str]
    calls: list[str]


@dataclass
class Person:
    id: str
    sample: str | None
    sex: str  # male, female or empty
    population: str
    age: float
    disease: list[str]


@dataclass
class Cohort:
    """Records and people, and what follows from them by counting one by one."""

    records: list[Record]
    people: list[Person]
    columns: list[str]
    extra: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """The VCF and the table of people."""
        folder.mkdir(parents=True, exist_ok=True)
        lines = ["##fileformat=VCFv4.2", *(f"##contig=<ID={name},length={length}>" for name, length in LENGTHS.items())]
        lines += ['##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">']
        lines += ["\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *self.columns])]
        for record in self.records:
            head = [record.contig, str(record.position), ".", record.ref, ",".join(record.alts), ".", "PASS", ".", "GT"]
            lines.append("\t".join(head + record.calls))
        vcf, table = folder / "cohort.vcf", folder / "people.tsv"
        vcf.write_text("\n".join(lines) + "\n")
        rows = ["individual_id\tbiosample_id\tsex\tpopulation\tage\tdisease\tLDL [mmol/L]"]
        for number, person in enumerate(self.people):
            codes = ";".join(person.disease)
            cells = [person.id, person.sample or "", person.sex, person.population, f"{person.age:g}", codes, f"{number / 4}"]
            rows.append("\t".join(cells))
        table.write_text("\n".join(rows) + "\n")
        return vcf, table

    def rows(self) -> list[tuple[VariantKey, list[tuple[int, int, int, bool]]]]:
        """Every biallelic row in store order: its key, and for each column (copies, called alleles, ploidy, complete)."""
        found = []
        for number, record in enumerate(self.records):
            for which, alt in enumerate(record.alts, start=1):
                position, ref, trimmed = trim(record.position - 1, record.ref, alt)
                calls = []
                for call in record.calls:
                    alleles = call.replace("|", "/").split("/")
                    called = [allele for allele in alleles if allele != "."]
                    calls.append((called.count(str(which)), len(called), len(alleles), len(called) == len(alleles)))
                order = (list(LENGTHS).index(record.contig), position, number, which)
                found.append((order, VariantKey(record.contig, position, ref, trimmed), calls))
        return [(key, calls) for _, key, calls in sorted(found, key=lambda item: item[0])]

    def person_of(self, column: int) -> Person | None:
        return next((person for person in self.people if person.sample == self.columns[column]), None)

    def members(self, population: str, sex: str) -> list[int]:
        """Columns of a row of an answer; `all` is a sum."""
        found = []
        for column in range(len(self.columns)):
            person = self.person_of(column)
            if population != "all" and (person is None or person.population != population):
                continue
            if sex != "all" and (person is None or (person.sex or "unknown") != sex):
                continue
            found.append(column)
        return found

    @staticmethod
    def count(calls: list[tuple[int, int, int, bool]], columns: list[int]) -> list[int]:
        """an, ac, het, hom, hemi, missing of some columns, from the words of rule 1."""
        an = ac = het = hom = hemi = missing = 0
        for column in columns:
            copies, called, ploidy, complete = calls[column]
            an += called
            ac += copies
            missing += not complete
            if complete and ploidy == 2:
                het += copies == 1
                hom += copies == 2
            elif complete:
                hemi += copies == 1
        return [an, ac, het, hom, hemi, missing]


def make_cohort(seed: int, n_people: int = 96, n_records: int = 160, *, complete: bool = False) -> Cohort:
    """Two populations; three people of unknown sex, two columns without a person, two people without a column.

    With `complete`, everybody is known and has a column.
    """
    rng = random.Random(seed)
    people = []
    for number in range(n_people):
        sex = "" if number % 32 == 5 and not complete else rng.choice(["male", "female"])
        disease = [code for code, share in (("MONDO:0005148", 0.4), ("OMIM:1", 0.05)) if rng.random() < share]
        people.append(Person(f"P{number}", f"S{number}", sex, "AAA" if number % 2 else "BBB", 20 + number % 50, disease))
    if not complete:
        people[3].sample = people[4].sample = None
    columns = [person.sample for person in people if person.sample] + ([] if complete else ["alone1", "alone2"])
    rng.shuffle(columns)
    cohort = Cohort([], people, columns)
    for number in range(n_records):
        contig = "22" if number < n_records * 3 // 4 else "X"
        position = 20_000_000 + 7 * number
        ref, alts = rng.choice(SHAPES)
        frequency = rng.choice([0.0, 0.01, 0.05, 0.1, 0.3, 0.5, 0.9, 1.0])
        cohort.records.append(Record(contig, position, ref, list(alts), calls_of(rng, cohort, contig, len(alts), frequency)))
    again = cohort.records[10]
    calls = calls_of(rng, cohort, "22", len(again.alts), 0.4)
    cohort.records.insert(11, Record(again.contig, again.position, again.ref, list(again.alts), calls))
    return cohort


def calls_of(rng: random.Random, cohort: Cohort, contig: str, n_alts: int, frequency: float) -> list[str]:
    calls = []
    for column in range(len(cohort.columns)):
        person = cohort.person_of(column)
        ploidy = 1 if contig == "X" and person is not None and person.sex == "male" else 2
        alleles = [str(rng.randint(1, n_alts)) if rng.random() < frequency else "0" for _ in range(ploidy)]
        luck = rng.random()
        if luck < 0.03:
            alleles = ["."] * ploidy
        elif luck < 0.05 and ploidy == 2:
            alleles[rng.randint(0, 1)] = "."
        calls.append(rng.choice("/|").join(alleles))
    return calls


@dataclass(frozen=True)
class Loaded:
    node: Path
    cohort: Cohort
    bank: Bank
    vcf: Path
    table: Path


@pytest.fixture(scope="session")
def complete(tmp_path_factory) -> Loaded:
    """A floored dataset of 200 people of whom all is known, so that every level of an answer can be told."""
    folder = tmp_path_factory.mktemp("complete")
    (folder / "node").mkdir()
    cohort = make_cohort(11, 200, 80, complete=True)
    vcf, table = cohort.write(folder / "input")
    load(folder / "node", LoadRequest(DatasetId("floored"), (vcf,), Assembly.GRCH37, individuals=table))
    return Loaded(folder / "node", cohort, Bank.open(folder / "node", NodeId("FI")), vcf, table)


@pytest.fixture(scope="session")
def loaded(tmp_path_factory) -> Loaded:
    """One node with the same cohort as an open, a floored, a closed and a joint-called (hom_ref) dataset."""
    folder = tmp_path_factory.mktemp("bank")
    node = folder / "node"
    node.mkdir()
    cohort = make_cohort(7)
    vcf, table = cohort.write(folder / "input")
    for dataset, disclosure, absent in (
        ("open", "open", "not_assessed"),
        ("floored", "floored", "not_assessed"),
        ("closed", "closed", "not_assessed"),
        ("joint", "open", "hom_ref"),
    ):
        request = LoadRequest(
            DatasetId(dataset), (vcf,), Assembly.GRCH37, individuals=table, disclosure=disclosure, absent_means=absent
        )
        load(node, request)
    return Loaded(node, cohort, Bank.open(node, NodeId("FI")), vcf, table)
