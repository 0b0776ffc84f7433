"""A served node with an open, a floored and a closed dataset, made of the same small cohort, and one of the other build.

The cohort stands in plain Python beside its VCF file, so that a test can count again from the definition.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from cohelix.testing.commands import run_command
from validation.processes import Served

CONTIG_LENGTHS = {"22": 51_304_566, "X": 155_270_560}
CONTIG_LENGTHS_38 = {"22": 50_818_468, "X": 156_040_895}
FLOOR = 5


@dataclass(frozen=True)
class Person:
    """One person and genotype column."""

    name: str
    sex: str
    population: str
    age: int
    diseases: tuple[str, ...]
    phenotypes: tuple[str, ...]
    height: float


@dataclass(frozen=True)
class Variant:
    """One ALT: trimmed, 0-based; `copies` per person: called copies of this ALT, None where not (fully) called."""

    contig: str
    position: int
    ref: str
    alt: str
    end: int
    genotypes: tuple[str, ...]  # as in the file
    number: int  # of this ALT in its record, from 1

    @property
    def key(self) -> tuple[str, int, str, str]:
        return self.contig, self.position, self.ref, self.alt

    @property
    def identifier(self) -> str:
        return f"GRCh37-{self.contig}-{self.position + 1}-{self.ref}-{self.alt}"

    def calls(self, person: int) -> list[str]:
        return [allele for allele in self.genotypes[person].replace("|", "/").split("/") if allele != "."]

    def counts(self, people: Iterator[int] | list[int] | range) -> tuple[int, int]:
        """AN and AC of these people."""
        called = [allele for person in people for allele in self.calls(person)]
        return len(called), called.count(str(self.number))

    def tellable(self, people: range) -> bool:
        """The floor: at least five carriers, and five fully called people without the ALT."""
        carriers = sum(str(self.number) in self.calls(person) for person in people)
        without = sum("." not in self.genotypes[p] and str(self.number) not in self.calls(p) for p in people)
        return carriers >= FLOOR and without >= FLOOR


@dataclass(frozen=True)
class Cohort:
    """People, variants, and the files that they are in."""

    people: tuple[Person, ...]
    variants: tuple[Variant, ...]
    genotypes: Path
    individuals: Path

    @property
    def everybody(self) -> range:
        return range(len(self.people))

    def named(self, identifier: str) -> Variant:
        return next(variant for variant in self.variants if variant.identifier == identifier)


def _people(rng: random.Random) -> tuple[Person, ...]:
    return tuple(
        Person(
            f"P{number:03}",
            "female" if number % 2 else "male",
            "FIN" if number < 40 else "SWE",
            rng.randint(5, 90),
            ("MONDO:0005148",) if number % 3 == 0 else ("ORPHA:558",) if number == 7 else (),
            ("HP:0001250",) if number % 5 == 0 else (),
            round(rng.uniform(140, 200), 1),
        )
        for number in range(64)
    )


def _records(rng: random.Random, people: tuple[Person, ...]) -> Iterator[tuple[str, int, str, str, str, list[str]]]:
    """(contig, POS, REF, ALT, INFO, genotypes), in file order."""
    n = len(people)

    def drawn(frequency: float, missing: float = 0.0) -> list[str]:
        calls = []
        for _ in range(n):
            alleles = [str(int(rng.random() < frequency)) for _ in range(2)]
            if rng.random() < missing:
                alleles[rng.randrange(2)] = "."
                if rng.random() < 0.5:
                    alleles = [".", "."]
            calls.append("/".join(alleles))
        return calls

    def exactly(n_carriers: int) -> list[str]:
        return ["0/1" if number < n_carriers else "0/0" for number in range(n)]

    yield "22", 50_313_359, "G", "A", ".", drawn(0.2)
    yield "22", 50_313_400, "C", "T,G", ".", [f"{rng.randrange(3)}/{rng.randrange(3)}" for _ in range(n)]
    yield "22", 50_313_500, "GAT", "G", ".", drawn(0.3)
    yield "22", 50_313_600, "G", "GTT", ".", drawn(0.3, missing=0.1)
    yield "22", 50_313_700, "C", "A", ".", exactly(1)
    yield "22", 50_313_710, "C", "A", ".", exactly(4)
    yield "22", 50_313_720, "C", "A", ".", exactly(5)
    yield "22", 50_313_730, "C", "A", ".", exactly(n - 5)
    yield "22", 50_313_740, "C", "A", ".", exactly(n - 4)
    yield "22", 50_313_800, "T", "C", ".", exactly(0)
    yield "22", 50_314_000, "A", "<DEL>", "SVTYPE=DEL;END=50314500", drawn(0.15)
    yield "22", 50_315_000, "AC", "TG", ".", drawn(0.25)
    position = 50_316_000
    for _ in range(120):
        position += rng.randint(1, 120)
        ref = rng.choice("ACGT")
        alt = rng.choice([base for base in "ACGT" if base != ref])
        if rng.random() < 0.15:
            ref, alt = (ref + "".join(rng.choices("ACGT", k=rng.randint(1, 6))), ref)
        elif rng.random() < 0.15:
            alt = ref + "".join(rng.choices("ACGT", k=rng.randint(1, 6)))
        yield "22", position, ref, alt, ".", drawn(rng.choice((0.0, 0.01, 0.03, 0.1, 0.4, 0.97)), missing=0.02)
    haploid = [
        str(int(rng.random() < 0.4)) if person.sex == "male" else f"{int(rng.random() < 0.4)}|{int(rng.random() < 0.4)}"
        for person in people
    ]
    yield "X", 50_000_001, "T", "C", ".", haploid


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    rng = random.Random(20)
    folder = tmp_path_factory.mktemp("cohort")
    people = _people(rng)
    lines = ["##fileformat=VCFv4.3"]
    lines += [f"##contig=<ID={name},length={length}>" for name, length in CONTIG_LENGTHS.items()]
    lines += [
        '##ALT=<ID=DEL,Description="Deletion">',
        '##INFO=<ID=END,Number=1,Type=Integer,Description="End">',
        '##INFO=<ID=SVTYPE,Number=1,Type=String,Description="Type">',
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
        "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *(p.name for p in people)]),
    ]
    variants = []
    for contig, position, ref, alts, info, calls in _records(rng, people):
        identifier = "rs9616906" if position == 50_313_359 else "."
        lines.append("\t".join([contig, str(position), identifier, ref, alts, ".", ".", info, "GT", *calls]))
        for number, alt in enumerate(alts.split(","), 1):
            end = int(info.rpartition("END=")[2]) if "END=" in info else position - 1 + len(ref)
            variants.append(Variant(contig, position - 1, ref, alt, end, tuple(calls), number))
    genotypes, individuals = folder / "cohort.vcf", folder / "people.tsv"
    genotypes.write_text("\n".join(lines) + "\n")
    rows = ["sample\tindividual_id\tsex\tpopulation\tage\tdisease\tphenotype\theight [cm]"]
    rows += [
        "\t".join(
            [p.name, p.name, p.sex, p.population, str(p.age), ";".join(p.diseases), ";".join(p.phenotypes), str(p.height)]
        )
        for p in people
    ]
    individuals.write_text("\n".join(rows) + "\n")
    return Cohort(people, tuple(variants), genotypes, individuals)


def command(*words: str) -> subprocess.CompletedProcess[str]:
    result = run_command(*words, timeout=120)
    assert result.returncode == 0, result.stderr
    return result


@pytest.fixture(scope="session")
def node(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a served node: ZZ:open, ZZ:floored, ZZ:closed on GRCh37, ZZ:new on GRCh38."""
    folder = tmp_path_factory.mktemp("node") / "zz"
    command("node", "init", str(folder), "--id", "ZZ", "--name", "Test node", "--country", "FI")
    other = cohort.genotypes.with_name("other.vcf")
    text = cohort.genotypes.read_text()
    for name, length in CONTIG_LENGTHS.items():
        text = text.replace(f"ID={name},length={length}", f"ID={name},length={CONTIG_LENGTHS_38[name]}")
    other.write_text(text)
    for dataset, disclosure, assembly, file in (
        ("open", "open", "GRCh37", cohort.genotypes),
        ("floored", "floored", "GRCh37", cohort.genotypes),
        ("closed", "closed", "GRCh37", cohort.genotypes),
        ("new", "open", "GRCh38", other),
    ):
        command(
            *("node", "load", str(folder), "--dataset", dataset, "--genotypes", str(file), "--assembly", assembly),
            *("--individuals", str(cohort.individuals), "--disclosure", disclosure),
        )
    # Sixty-four people and their two hundred variants would tell who is among them: the operator lets everybody ask.
    settings = folder / "node.toml"
    settings.write_text(settings.read_text() + "[disclosure]\nanonymous_power_max = 1.0\n")
    (folder / "cohorts").mkdir()
    (folder / "cohorts" / "diabetic-women.yaml").write_text(
        "name: Women with diabetes\ndatasets: [open, floored]\nfilters: [MONDO:0005148, {id: sex, operator: '=', value: F}]\n"
    )
    (folder / "cohorts" / "broken.yaml").write_text("name: [\n")
    with Served("node", folder) as served:
        yield served.url
        assert served.stop() == 0


class Asking:
    """Asks one Beacon in every form that a client may use."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=f"{url}/beacon/v2", timeout=30)

    def get(self, path: str, **parameters: object) -> httpx.Response:
        flat = {name: ",".join(map(str, value)) if isinstance(value, list) else value for name, value in parameters.items()}
        return self.client.get(path, params=flat)  # type: ignore[arg-type]

    def post(
        self, path: str, parameters: dict[str, object] | None = None, *, nested: bool = False, **query: object
    ) -> httpx.Response:
        given = {"g_variant": parameters} if nested and parameters else parameters
        body: dict[str, object] = {"meta": {}, "query": {**({"requestParameters": given} if given else {}), **query}}
        return self.client.post(path, json=body)

    def records(self, parameters: dict[str, object], *datasets: str, **query: object) -> dict[str, dict[str, object]]:
        """Result sets by dataset, of all datasets that were asked."""
        asked = {**parameters, "datasetIds": list(datasets)} if datasets else parameters
        answer = self.post("/g_variants", asked, requestedGranularity="record", includeResultsetResponses="ALL", **query)
        assert answer.status_code == 200, answer.text
        return {found["id"]: found for found in answer.json()["response"]["resultSets"]}


@pytest.fixture(scope="session")
def beacon(node: str) -> Iterator[Asking]:
    asking = Asking(node)
    yield asking
    asking.client.close()
