"""Each member of the demo gets its own people's genotypes, all of them, and nobody else's."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from cohelix.core.errors import BadFile
from cohelix.core.genome import Assembly, region_1based
from cohelix.testing.cohorts import simulate_cohort, write_vcf
from cohelix.testing.example_data import ExampleData
from cohelix.testing.members import MEMBERS, Person, people_of_1000_genomes, simulated_example, split

HEADER = """##fileformat=VCFv4.2
##contig=<ID=22,length=51304566>
##INFO=<ID=AC,Number=A,Type=Integer,Description="over everybody">
##INFO=<ID=END,Number=1,Type=Integer,Description="end">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tNA1\tHG1\tNA2\tX1\tX2\tAF1
"""
RECORDS = """22\t100\trs1\tA\tC\t.\tPASS\tAC=7\tGT\t0|1\t1|1\t0|0\t./.\t0/1\t1|0
22\t200\t.\tA\t<DEL>\t.\tPASS\tAC=7;END=250;SVTYPE=DEL\tGT\t0|0\t0|1\t1|1\t0/0\t0/0\t0|0
"""
PEOPLE = {
    "NA1": Person("female", "TSI"),
    "HG1": Person("male", "FIN"),
    "NA2": Person("male", "TSI"),
    "AF1": Person("male", "YRI"),
}


def written(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in gzip.decompress(path.read_bytes()).decode().splitlines() if not line.startswith("##")]


def example(folder: Path, text: str = HEADER + RECORDS) -> ExampleData:
    vcf = folder / "all.vcf"
    vcf.write_text(text)
    expression = folder / "expression.bed"
    expression.write_text("#chr\tstart\tend\tgene\tlength\tstrand\tHG1\tNA2\nchr22\t1\t2\tENSG00000000001.5\t9\t+\t1.25\t0\n")
    covariates = folder / "covariates.txt"
    covariates.write_text("id NA1 HG1\n/x/genotypes_1_svd_PC2 -3.5 7\n/x/genes_1_svd_PC50 0.1 0.2\n")
    return ExampleData((vcf,), expression, covariates, "test", "example")


def test_each_member_holds_its_own_people_only(tmp_path: Path) -> None:
    result = split(example(tmp_path), PEOPLE, tmp_path / "out", print)
    columns = {share.member.id: written(share.genotypes[0])[0][9:] for share in result.shares}
    # X1 and X2 are in no table and are dealt out; AF1 is of a population that no member has.
    assert columns == {"FI": ["HG1", "X1"], "GB": ["X2"], "IT": ["NA1", "NA2"]}
    assert (result.n_people, result.n_variants, result.unplaced, result.open_release) == (5, 2, 1, False)
    assert result.assembly == Assembly.GRCH37
    italy = written(next(share.genotypes[0] for share in result.shares if share.member.id == "IT"))
    assert italy[1] == ["22", "100", "rs1", "A", "C", ".", "PASS", ".", "GT", "0|1", "0|0"]
    assert italy[2][7:] == ["END=250;SVTYPE=DEL", "GT", "0|0", "1|1"]


def test_counts_over_everybody_do_not_travel(tmp_path: Path) -> None:
    result = split(example(tmp_path), PEOPLE, tmp_path / "out", print)
    for share in result.shares:
        assert b"AC=" not in gzip.decompress(share.genotypes[0].read_bytes())


def test_people_come_with_their_measurements(tmp_path: Path) -> None:
    result = split(example(tmp_path), PEOPLE, tmp_path / "out", print)
    rows = {
        row["individual_id"]: row
        for share in result.shares
        for row in csv.DictReader(share.people.read_text().splitlines(), delimiter="\t")
    }
    finn = {
        key: rows["HG1"][key]
        for key in ("sex", "population", "country", "ENSG00000000001.5 [RPKM]", "PC2 [1]", "expression_PC50 [1]")
    }
    assert list(finn.values()) == ["male", "FIN", "FI", "1.25", "7", "0.2"]
    assert (rows["NA1"]["ENSG00000000001.5 [RPKM]"], rows["NA1"]["PC2 [1]"]) == ("", "-3.5")
    assert (rows["X1"]["sex"], rows["X1"]["population"], rows["X1"]["country"]) == ("", "", "")


def test_the_build_is_read_from_the_header(tmp_path: Path) -> None:
    text = (HEADER + RECORDS).replace("length=51304566", "length=50818468")
    assert split(example(tmp_path, text), PEOPLE, tmp_path / "out", print).assembly == Assembly.GRCH38


@pytest.mark.parametrize("text", [HEADER.splitlines()[0], HEADER + "22\t100\trs1\tA\tC\t.\tPASS\t.\tGT\t0|1\n", RECORDS])
def test_a_file_that_is_no_vcf_with_genotypes_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(BadFile):
        split(example(tmp_path, text), PEOPLE, tmp_path / "out", print)


def test_the_shipped_table_holds_the_four_cohorts() -> None:
    people = people_of_1000_genomes()
    assert len(people) == 2504
    found = Counter(person.population for person in people.values())
    assert [found[member.population] for member in MEMBERS] == [99, 91, 107, 99]
    assert people["HG00096"] == Person("male", "GBR")
    assert Counter(person.sex for person in people.values()) == {"female": 1271, "male": 1233}


def test_a_simulated_cohort_is_what_it_says(tmp_path: Path) -> None:
    region = region_1based("22", 17_000_001, 18_000_000)
    sizes = {"FIN": 4_000, "TSI": 3_000}
    cohort = simulate_cohort(sizes, 300, seed=5, region=region, assembly=Assembly.GRCH37)
    again = simulate_cohort(sizes, 300, seed=5, region=region, assembly=Assembly.GRCH37)
    assert np.array_equal(cohort.alleles, again.alleles) and np.array_equal(cohort.trait, again.trait)
    assert np.all(np.diff(cohort.positions) > 0)
    assert all(ref != alt for ref, alt in zip(cohort.refs, cohort.alts, strict=True))
    observed = cohort.alleles[:, :4_000].mean(axis=(1, 2))
    # Five standard errors of a frequency from 8,000 alleles: 300 draws stay inside with near certainty.
    bound = 5 * np.sqrt(cohort.frequencies[0] * (1 - cohort.frequencies[0]) / 8_000) + 1e-9
    assert np.all(np.abs(observed - cohort.frequencies[0]) <= bound)
    dosage = cohort.alleles.sum(axis=2).astype(float)
    causal = np.flatnonzero(cohort.effects)
    design = np.column_stack([np.ones(7_000), dosage[causal].T])
    estimated = np.linalg.lstsq(design, cohort.trait, rcond=None)[0][1:]
    polymorphic = dosage[causal].var(axis=1) > 0.05
    assert np.allclose(estimated[polymorphic], cohort.effects[causal][polymorphic], atol=0.25)
    write_vcf(cohort, tmp_path / "sim.vcf.gz")
    rows = written(tmp_path / "sim.vcf.gz")
    assert len(rows) == 301
    assert rows[1][9] == f"{cohort.alleles[0, 0, 0]}|{cohort.alleles[0, 0, 1]}"


def test_the_stand_in_says_that_it_is_simulated(tmp_path: Path) -> None:
    data, people = simulated_example(tmp_path)
    assert data.kind == "simulated" and "simulated" in data.source
    assert Counter(person.population for person in people.values()) == {"FIN": 92, "GBR": 86, "TSI": 91, "CEU": 89}
    assert b"simulated" in gzip.decompress(data.genotypes[0].read_bytes())[:200]
