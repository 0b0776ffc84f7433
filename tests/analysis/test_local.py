"""A node's part of a run: rows of the run's variants, what may be named, and the same data from disk as from the definition."""

from __future__ import annotations

import gzip
import random
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cohelix.analysis.check import plan_cost
from cohelix.analysis.local import covariate_names, local_data, prepare, prepared, rows_of, sites, study_of
from cohelix.analysis.variants import VariantList
from cohelix.bank.load import LoadRequest, load
from cohelix.bank.publish import open_current
from cohelix.bank.study import open_study
from cohelix.core.errors import Damaged
from cohelix.core.genome import Assembly
from cohelix.core.ids import DatasetId
from cohelix.core.variant import VariantKey
from cohelix.genotypes.names import name_columns, rows_in
from cohelix.genotypes.products import ALL_REFERENCE, NOT_ASSESSED
from cohelix.wire.plan import Plan, parse_plan

PEOPLE = 60
SHAPES = [("A", "G"), ("C", "T"), ("AT", "A"), ("G", "GTT"), ("A", "<DEL>"), ("C", "T,A"), ("T", "."), ("A", "<NON_REF>")]
LENGTHS = {"1": 249250621, "22": 51304566, "X": 155270560}


def write_dataset(folder: Path, seed: int, *, only: Callable[[int], bool] = lambda number: True) -> tuple[Path, Path]:
    """A VCF over three contigs with doubled, symbolic and multi-allelic records, and its people."""
    rng, layout = random.Random(seed), random.Random(0)
    names = [f"S{number}" for number in range(PEOPLE)]
    lines = ["##fileformat=VCFv4.2", *(f"##contig=<ID={name},length={length}>" for name, length in LENGTHS.items())]
    lines.append("\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *names]))
    for contig in LENGTHS:
        position = 20_000_000
        for number in range(80):
            position += layout.choice([0, 1, 3, 500])
            (ref, alts), rate = layout.choice(SHAPES), layout.choice([0.01, 0.4])
            n_alts, calls = len(alts.split(",")) if alts != "." else 0, []
            for person in range(PEOPLE):
                ploidy = 1 if contig == "X" and person % 2 else 2
                alleles = [str(rng.randint(0, n_alts)) if rng.random() < rate else "0" for _ in range(ploidy)]
                calls.append("/".join(["."] * ploidy if rng.random() < 0.03 else alleles))
            if only(number):
                lines.append("\t".join([contig, str(position), ".", ref, alts, ".", ".", ".", "GT", *calls]))
    folder.mkdir(parents=True)
    vcf, table = folder / "d.vcf", folder / "d.tsv"
    vcf.write_text("\n".join(lines) + "\n")
    people = [f"P{n}\tS{n}\t{'male' if n % 2 else 'female'}\t{n % 7}\t{n * 0.5}" for n in range(PEOPLE)]
    table.write_text("\n".join(["individual_id\tbiosample_id\tsex\tT [1]\tC [1]", *people]) + "\n")
    return vcf, table


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One node: the same data open, floored, closed and joint-called, the last one without every third record."""
    folder = tmp_path_factory.mktemp("local")
    home = folder / "node"
    home.mkdir()
    vcf, table = write_dataset(folder / "all", 1)
    some, _ = write_dataset(folder / "some", 1, only=lambda number: number % 3 != 0)
    for name, file, more in (
        ("open", vcf, {"disclosure": "open"}),
        ("floored", vcf, {}),
        ("closed", vcf, {"disclosure": "closed"}),
        ("joint", some, {"disclosure": "open", "absent_means": "hom_ref"}),
    ):
        load(home, LoadRequest(DatasetId(name), (file,), Assembly.GRCH37, individuals=table, **more))
    return home


def plan_of(*datasets: str, **more: object) -> Plan:
    told = {"project": "t", "datasets": [f"FI:{name}" for name in datasets], "trait": {"measurement": "T"}, "method": "linear"}
    return parse_plan({**told, "covariates": [{"measurement": "C"}, "sex"], **more})


def named(node: Path, plan: Plan) -> VariantList:
    return VariantList.merged(sites(open_study(node, "FI", plan)))


def keys_of(version, rows: range | None = None) -> list[VariantKey]:
    return [version.store.key(row) for row in (rows if rows is not None else range(version.store.info.n_variants))]


def listed(variants: VariantList) -> list[VariantKey]:
    return [VariantKey(*key) for key in zip(*variants.names(range(len(variants))), strict=True)]


def test_names_of_rows_are_those_of_the_store(node: Path) -> None:
    store = open_current(node, DatasetId("open")).store
    for contig, rows in rows_in(store, None):
        table = name_columns(store, rows)
        found = zip(table["position"].to_pylist(), table["ref"].to_pylist(), table["alt"].to_pylist(), strict=True)
        assert [VariantKey(contig, *one) for one in found] == [store.key(row) for row in rows]
    assert sum(len(rows) for _, rows in rows_in(store, None)) == store.info.n_variants


def test_rows_of_the_run_are_the_first_of_each_key(node: Path) -> None:
    whole, joint = (open_current(node, DatasetId(name)) for name in ("open", "joint"))
    strangers = [VariantKey("22", 20_000_001, "A", "C"), VariantKey("22", 1, "A", "C"), VariantKey("MT", 5, "A", "C")]
    variants = VariantList.of([*keys_of(whole), *strangers])
    for version, absent in ((whole, NOT_ASSESSED), (joint, ALL_REFERENCE)):
        first: dict[VariantKey, int] = {}
        for row, key in enumerate(keys_of(version)):
            first.setdefault(key, row)
        places = {(key.contig, key.position) for key in first}
        contigs = {key.contig for key in first}
        expected = [
            first.get(key, absent if key.contig in contigs and (key.contig, key.position) not in places else NOT_ASSESSED)
            for key in listed(variants)
        ]
        assert rows_of(version, variants).tolist() == expected
    assert {NOT_ASSESSED, ALL_REFERENCE} < set(rows_of(joint, variants).tolist())


def test_what_a_node_may_name(node: Path) -> None:
    version = open_current(node, DatasetId("open"))
    every = {key for key in keys_of(version) if key.alt not in (".", "<NON_REF>")}
    assert set(listed(named(node, plan_of("open")))) == every
    floored = open_current(node, DatasetId("floored"))
    public = [row for row in range(floored.store.info.n_variants) if floored.is_listed(np.array([row]), observed=False)[0]]
    told = set(listed(named(node, plan_of("floored"))))
    assert told == {floored.store.key(row) for row in public} and told < every
    assert len(named(node, plan_of("closed"))) == 0
    inside = named(node, plan_of("open", variants={"region": ["22:20000003-20001500", "22:20000100-20000600", "X"]}))
    assert set(listed(inside)) == {
        key for key in every if key.contig == "X" or (key.contig == "22" and 20_000_002 <= key.position < 20_001_500)
    }
    assert len(named(node, plan_of("open", variants={"variants": ["22-20000001-A-G"]}))) == 0  # the plan names them itself


@pytest.mark.parametrize("dosage_x", ["haploid-two", "haploid-one"])
def test_what_workers_open_is_what_the_tables_and_files_say(node: Path, tmp_path: Path, dosage_x: str) -> None:
    plan = plan_of(
        "joint", "open", dosage_x=dosage_x, cohort="measurement(C)<20", release={"node_level": True, "loci": ["1-5-A-C"]}
    )
    study = open_study(node, "FI", plan)
    variants = VariantList.of([*keys_of(open_current(node, DatasetId("open"))), VariantKey("MT", 5, "A", "C")])
    assert not prepared(tmp_path)
    prepare(study, variants, tmp_path, nodes=["GB", "FI"], node_level=True, mac_floor=7)
    assert prepared(tmp_path)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    data = local_data(node, tmp_path)
    assert (data.n, data.place, data.node_level, data.mac_floor) == (study.n, 1, True, 7) and study.n == 40
    people = [int(names[0][1:]) for names in study.names()]
    assert data.covariates.tolist() == [[number * 0.5, float(number % 2)] for number in people]
    assert data.traits.tolist() == [[float(number % 7)] for number in people]
    store = open_current(node, DatasetId("joint")).store
    rows = rows_of(open_current(node, DatasetId("joint")), variants)
    columns = [store.info.samples.index(f"S{number}") for number in people]
    expected = np.full((len(variants), study.n), np.nan)
    for at, row in enumerate(rows.tolist()):
        if row >= 0:
            alleles = store.calls(range(row, row + 1)).alleles[0, columns].astype(float)
            haploid, missing = alleles[:, 1] == -2, (alleles == -1).any(axis=1)
            copies = np.where(haploid, alleles[:, 0] * (2 if dosage_x == "haploid-two" else 1), alleles.sum(axis=1))
            expected[at] = np.where(missing, np.nan, copies)
        elif row == ALL_REFERENCE:
            expected[at] = 0.0
    np.testing.assert_array_equal(data.genotypes.dosages(np.arange(len(variants))), expected)
    study_ = study_of(plan, variants, ["FI", "GB", "IT"], people_max=512)
    assert study_.covariates == covariate_names(plan, ["FI", "GB", "IT"]) == ("C", "sex")
    assert study_.n_variants == len(variants) and study_.traits == ("T",) and study_.nodes == 3
    (tmp_path / "rows.0.npy").unlink()
    with pytest.raises(Damaged):
        local_data(node, tmp_path)


def test_nobody_and_no_variants(node: Path, tmp_path: Path) -> None:
    study = open_study(node, "FI", plan_of("open", cohort="measurement(C)<0"))
    prepare(study, VariantList.of([]), tmp_path, nodes=["FI"])
    data = local_data(node, tmp_path)
    assert data.n == 0 and data.covariates.shape == (0, 2) and data.genotypes.dosages(np.arange(0)).shape == (0, 0)
    assert plan_cost(study).seconds == 1.0


def test_components_are_the_last_covariates() -> None:
    plan = plan_of("open", covariates=[{"component": 2}, "sex", {"component": 1}], options={"components": 3})
    assert covariate_names(plan, ["FI"]) == ("sex", "component:2", "component:1")


def test_costs_are_told_in_one_figure(node: Path) -> None:
    cost = plan_cost(open_study(node, "FI", plan_of("open")))
    assert cost.variants >= len(named(node, plan_of("open")))  # later rows of a key are counted, too
    assert cost.seconds >= 1 and float(f"{cost.seconds:.0e}") == cost.seconds
    assert cost.bytes_sent == cost.variants * 8 * (3 + 2 * 4)


def test_real_people_of_a_published_study(shared_data: Path, referee: Callable[[str], str], tmp_path: Path) -> None:
    """GEUVADIS: 92 Finns of 1000 Genomes with expression; dosages against bcftools, values against the published table."""
    with gzip.open(shared_data / "geuvadis-chr22" / "expression.dev.chr22.bed.gz", "rt") as table_of_genes:
        lines = [line.rstrip("\n").split("\t") for line in table_of_genes]
    panel = (shared_data / "kg3-labels" / "integrated_call_samples_v3.20130502.ALL.panel").read_text().splitlines()[1:]
    home = {row.split("\t")[0]: row.split("\t")[1] for row in panel}
    names, gene = lines[0][6:], next(line for line in lines if line[3] == "ENSG00000184164.10")
    finns = [name for name in names if home[name] == "FIN"]
    values = dict(zip(names, gene[6:], strict=True))
    bcf, vcf = shared_data / "kg3-chr22-tel" / "kg3.chr22.50.24-51.24Mb.GRCh37.bcf", tmp_path / "fi.vcf.gz"
    region, bcftools = "22:50300000-50330000", referee("bcftools")
    subprocess.run(
        [bcftools, "view", "-r", region, "-s", ",".join(finns), "-Oz", "-o", vcf, bcf], check=True, capture_output=True
    )
    table = tmp_path / "fi.tsv"
    table.write_text(
        "\n".join(["individual_id\tENSG00000184164.10 [RPKM]", *(f"{one}\t{values[one]}" for one in finns)]) + "\n"
    )
    (tmp_path / "node").mkdir()
    load(tmp_path / "node", LoadRequest(DatasetId("g"), (vcf,), Assembly.GRCH37, individuals=table, disclosure="open"))
    told = {"project": "demo", "datasets": ["FI:g"], "trait": {"measurement": "ENSG00000184164.10"}, "method": "linear"}
    study = open_study(tmp_path / "node", "FI", parse_plan({**told, "variants": {"region": region}}))
    assert study.n == len(finns) == 92 and study.open_data
    run = tmp_path / "run"
    run.mkdir()
    variants = VariantList.merged(sites(study))
    prepare(study, variants, run, nodes=["FI"])
    data = local_data(tmp_path / "node", run)
    assert data.traits[:, 0].tolist() == [float(values[names_[0]]) for names_ in study.names()]
    query = [bcftools, "query", "-r", "22:50313359", "-f", "%REF %ALT[ %GT]\n", vcf]
    subprocess.run([bcftools, "index", vcf], check=True)
    ref, alt, *calls = subprocess.run(query, check=True, capture_output=True, text=True).stdout.split()
    place = listed(variants).index(VariantKey("22", 50_313_358, ref, alt))
    assert data.genotypes.dosages(np.array([place]))[0].tolist() == [float(call.count("1")) for call in calls]
