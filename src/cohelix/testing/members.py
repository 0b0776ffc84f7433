"""The four members of the demo, and each one's share of the example data: its own people, and nobody else's genomes."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from importlib import resources
from operator import itemgetter
from pathlib import Path
from typing import IO, Final, NamedTuple

from isal import igzip

from cohelix.core.errors import BadFile
from cohelix.core.genome import Assembly, Region, known_contig, region_1based
from cohelix.testing.cohorts import simulate_cohort, write_trait, write_vcf
from cohelix.testing.example_data import ExampleData, Kind, Say

FIXED_COLUMNS: Final = 9  # CHROM to FORMAT
SIMULATED_SIZES: Final = {"FIN": 92, "GBR": 86, "TSI": 91, "CEU": 89}
SIMULATED_VARIANTS: Final = 20_000
TAB: Final = "\t"
_KEPT_META = ("##fileformat=", "##contig=", "##FORMAT=", "##FILTER=", "##ALT=", "##INFO=<ID=END,", "##INFO=<ID=SV")
_KEPT_INFO = frozenset({"END", "SVTYPE", "SVLEN"})
_COMPRESSION = 1  # the shares are read once: quick to write matters more than small


class Member(NamedTuple):
    """A member of the demo federation, and the 1000 Genomes population that is its cohort."""

    id: str
    name: str
    country: str
    population: str


MEMBERS: Final = (
    Member("FI", "Finland", "FI", "FIN"),
    Member("GB", "Great Britain", "GB", "GBR"),
    Member("IT", "Italy", "IT", "TSI"),
    Member("CEU", "Utah (CEPH)", "US", "CEU"),
)


class Person(NamedTuple):
    """What the shipped table says of a donor."""

    sex: str
    population: str


def simulated_example(folder: Path) -> tuple[ExampleData, dict[str, Person]]:
    """A simulated stand-in for the real data, of the same people per member: 20,000 variants of chromosome 22."""
    folder.mkdir(parents=True, exist_ok=True)
    region = region_1based("22", 17_000_001, 51_000_000)
    cohort = simulate_cohort(SIMULATED_SIZES, SIMULATED_VARIANTS, seed=1, region=region, assembly=Assembly.GRCH37)
    genotypes, trait = folder / "simulated.vcf.gz", folder / "simulated.trait.txt"
    write_vcf(cohort, genotypes)
    write_trait(cohort, trait)
    people = {
        sample: Person(sex, population)
        for sample, sex, population in zip(cohort.samples, cohort.sexes, cohort.populations, strict=True)
    }
    return ExampleData((genotypes,), None, trait, "simulated: no such person exists", "simulated"), people


class Share(NamedTuple):
    """What one member loads: genotype files of its own people, and a table of them."""

    member: Member
    genotypes: tuple[Path, ...]
    people: Path
    n_people: int


class Shares(NamedTuple):
    """The example data split over the members; `unplaced` people of the source belong to no member.

    `open_release` says that everybody in it is known to have agreed to open release, or does not exist.
    """

    kind: Kind
    shares: tuple[Share, ...]
    assembly: Assembly
    n_people: int
    n_variants: int
    unplaced: int
    open_release: bool


def people_of_1000_genomes() -> dict[str, Person]:
    """Sex and population of the 2,504 people of 1000 Genomes phase 3, by sample name."""
    table = resources.files("cohelix.testing").joinpath("data/people.tsv").read_text(encoding="utf-8")
    return {
        row["individual_id"]: Person(row["sex"], row["population"])
        for row in csv.DictReader(table.splitlines(), delimiter="\t")
    }


def split(data: ExampleData, people: Mapping[str, Person], folder: Path, say: Say) -> Shares:
    """Write each member's genotype files and people table under `folder/<member>/`.

    A person goes to the member whose population the table says; people without a line in it are dealt out evenly in
    file order. INFO, which describes all people of the source, is left out.

    Parameters
    ----------
    people
        Sex and population by sample name.
    """
    samples, assembly = _samples_and_assembly(data.genotypes)
    columns = _columns_of_members(samples, people)
    n_variants = 0
    files: dict[str, list[Path]] = {member.id: [] for member in MEMBERS}
    for source in data.genotypes:
        say(f"splitting {source.name} by country")
        name = f"genotypes.{len(files[MEMBERS[0].id]) + 1}.vcf.gz"
        targets = {member.id: folder / member.id / name for member in MEMBERS if columns[member.id]}
        n_variants += _split_file(source, samples, targets, columns)
        for member_id, path in targets.items():
            files[member_id].append(path)
    measured = [_expression(data.expression)] if data.expression else []
    measured += [_covariates(data.covariates)] if data.covariates else []
    shares = []
    for member in MEMBERS:
        own = [samples[column] for column in columns[member.id]]
        if own:
            table = folder / member.id / "people.tsv"
            _write_people(table, member, own, people, measured)
            shares.append(Share(member, tuple(files[member.id]), table, len(own)))
    n_people = sum(share.n_people for share in shares)
    strangers = any(sample not in people for sample in samples)
    return Shares(
        data.kind,
        tuple(shares),
        assembly,
        n_people,
        n_variants,
        unplaced=len(samples) - n_people,
        open_release=data.kind == "simulated" or not strangers,
    )


def records_of(share: Share) -> Iterator[list[str]]:
    """The records of a member's genotype files, as fields of text."""
    for path in share.genotypes:
        for line in _lines(path):
            if not line.startswith("#"):
                yield line.rstrip("\n").split("\t")


def write_near(share: Share, near: Region, path: Path) -> None:
    """Write the records of a member's genotype files that begin in a region, with the header of the first file, as VCF."""
    with path.open("w", encoding="utf-8") as out:
        for number, file in enumerate(share.genotypes):
            for line in _lines(file):
                if line.startswith("#"):
                    if number == 0:
                        out.write(line)
                    continue
                contig, position, _ = line.split("\t", 2)
                if contig.removeprefix("chr") == near.contig and near.start < int(position) <= near.end:
                    out.write(line)


class _Measured(NamedTuple):
    """Names of measurements, their unit, and per person their values as text, in the order of the names."""

    names: tuple[str, ...]
    unit: str
    values: Mapping[str, tuple[str, ...]]


def _columns_of_members(samples: Sequence[str], people: Mapping[str, Person]) -> dict[str, list[int]]:
    by_population = {member.population: member.id for member in MEMBERS}
    columns: dict[str, list[int]] = {member.id: [] for member in MEMBERS}
    known = [sample in people for sample in samples]
    strangers = 0
    for column, sample in enumerate(samples):
        if known[column]:
            home = by_population.get(people[sample].population)
            if home is not None:
                columns[home].append(column)
        else:
            columns[MEMBERS[strangers % len(MEMBERS)].id].append(column)
            strangers += 1
    return columns


def _samples_and_assembly(files: Sequence[Path]) -> tuple[list[str], Assembly]:
    """The sample names that all files share, and the build that their contig lengths tell (GRCh37 if they tell none)."""
    found: list[str] | None = None
    assembly = None
    for path in files:
        for line in _lines(path):
            if line.startswith("##contig=") and assembly is None:
                assembly = _assembly_of(line)
            elif line.startswith("#CHROM"):
                samples = line.rstrip("\r\n").split("\t")[FIXED_COLUMNS:]
                break
            elif not line.startswith("#"):
                samples = []
                break
        else:
            samples = []
        if not samples:
            raise BadFile(str(path), "header", "it names no samples", "a VCF file with genotypes")
        if found is not None and samples != found:
            raise BadFile(
                str(path), "header", "its samples differ from the first file's", "the same sample columns in each file"
            )
        found = samples
    return found or [], assembly or Assembly.GRCH37


def _assembly_of(line: str) -> Assembly | None:
    fields = dict(part.partition("=")[::2] for part in line.strip()[len("##contig=<") : -1].split(","))
    name, length = fields.get("ID", ""), fields.get("length", "")
    fitting = []
    for assembly in Assembly:
        contig = known_contig(name, assembly)
        if contig is not None and contig.length and str(contig.length) == length:
            fitting.append(assembly)
    return fitting[0] if len(fitting) == 1 else None


def _split_file(source: Path, samples: Sequence[str], targets: Mapping[str, Path], columns: Mapping[str, list[int]]) -> int:
    """Write one source file's records to the members, each with its own columns; returns the number of records."""
    width = FIXED_COLUMNS + len(samples)
    meta: list[str] = []
    n_records = 0
    with ExitStack() as open_files:
        outputs: list[tuple[Callable[[list[str]], tuple[str, ...]], IO[bytes]]] = []
        for number, line in enumerate(_lines(source), 1):
            fields = line.rstrip("\r\n").split("\t")
            if line.startswith("#CHROM"):
                for member_id, path in targets.items():
                    own_samples = [samples[column] for column in columns[member_id]]
                    path.parent.mkdir(parents=True, exist_ok=True)
                    output = open_files.enter_context(igzip.open(path, "wb", compresslevel=_COMPRESSION))  # type: ignore[no-untyped-call]
                    output.write("\n".join([*meta, "\t".join(fields[:FIXED_COLUMNS] + own_samples), ""]).encode())
                    outputs.append((_getter(columns[member_id]), output))
                continue
            if line.startswith("#"):
                if line.startswith(_KEPT_META):
                    meta.append(fields[0])
                continue
            if len(fields) != width:
                raise BadFile(str(source), f"line {number}", f"{len(fields)} columns", f"{width}, as in the header")
            fields[7] = _kept_info(fields[7]) if "<" in fields[4] else "."
            fixed = "\t".join(fields[:FIXED_COLUMNS])
            for own, output in outputs:
                output.write(f"{fixed}\t{TAB.join(own(fields))}\n".encode())
            n_records += 1
    return n_records


def _kept_info(info: str) -> str:
    """What places a symbolic allele, without the figures that were counted over everybody."""
    return ";".join(part for part in info.split(";") if part.partition("=")[0] in _KEPT_INFO) or "."


def _getter(columns: Sequence[int]) -> Callable[[list[str]], tuple[str, ...]]:
    """Picks sample columns, 0-based among samples, out of a record's fields; always a tuple."""
    places = [FIXED_COLUMNS + column for column in columns]
    if len(places) == 1:
        return lambda fields: (fields[places[0]],)
    return itemgetter(*places)


def _lines(path: Path) -> Iterator[str]:
    with ExitStack() as files:
        raw = files.enter_context(path.open("rb"))
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        unpacked = files.enter_context(igzip.open(raw, "rb")) if packed else raw  # type: ignore[no-untyped-call]
        yield from files.enter_context(io.TextIOWrapper(io.BufferedReader(unpacked, 1 << 20), encoding="utf-8"))


def _expression(path: Path) -> _Measured:
    """Genes of a QTLtools BED file: chr, start, end, gene, length, strand, then one column per person."""
    rows = [line.rstrip("\n").split("\t") for line in _lines(path)]
    return _Measured(tuple(row[3] for row in rows[1:]), "RPKM", _by_person(rows[0][6:], [row[6:] for row in rows[1:]], path))


def _covariates(path: Path) -> _Measured:
    """Covariates of QTLtools: the genotypes' components become PC1…, those of the expression expression_PC1…."""
    rows = [line.split() for line in _lines(path)]
    names = tuple(_covariate_name(row[0]) for row in rows[1:])
    return _Measured(names, "1", _by_person(rows[0][1:], [row[1:] for row in rows[1:]], path))


def _covariate_name(name: str) -> str:
    """`…/genotypes_1_1_svd_PC1` and `…/genes_1_1_svd_PC1` of the example; any other name as it is."""
    source, _, component = name.rpartition("/")[2].rpartition("_")
    if not re.fullmatch(r"PC\d+", component):
        return name
    return component if source.startswith("genotypes") else f"expression_{component}"


def _by_person(samples: Sequence[str], rows: Sequence[Sequence[str]], path: Path) -> dict[str, tuple[str, ...]]:
    if any(len(row) != len(samples) for row in rows):
        raise BadFile(str(path), "", "its lines differ in their number of columns", "one value per person")
    return dict(zip(samples, zip(*rows, strict=True), strict=True))


def _write_people(
    path: Path, member: Member, samples: Sequence[str], people: Mapping[str, Person], measured: Sequence[_Measured]
) -> None:
    # A unit in brackets is what makes a column a measurement.
    measurements = [f"{name} [{table.unit}]" for table in measured for name in table.names]
    header = ["individual_id", "biosample_id", "sex", "population", "country", *measurements]
    rows = [header]
    for sample in samples:
        person = people.get(sample)
        row = [
            sample,
            sample,
            person.sex if person else "",
            person.population if person else "",
            member.country if person else "",
        ]
        for table in measured:
            row.extend(table.values.get(sample, ("",) * len(table.names)))
        rows.append(row)
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
