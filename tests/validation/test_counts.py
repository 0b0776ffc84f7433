"""`cohelix node counts` equals plink2 and bcftools on real genomes, and the naive twin where those have no say."""

from __future__ import annotations

import random
import subprocess
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from cohelix.core.errors import Unreachable
from validation import naive, realdata, synthetic
from validation.counts.compare import Group, compare, groups_of, new_node, read_counts
from validation.processes import done

SETS = realdata.genotype_sets()


def _some(groups: list[Group], seed: int) -> list[Group]:
    """Everybody, one sex, two populations and the listed tenth."""
    populations = [g for g in groups if "--population" in g.words]
    chosen = random.Random(seed).sample(populations, min(2, len(populations)))
    return [groups[0], groups[1 + seed % 2], *chosen, groups[-1]]


@pytest.mark.skipif(not SETS, reason="the shared folder with real data (kg3-*) is not present: set COHELIX_SHARED")
@pytest.mark.parametrize("one", SETS, ids=lambda one: one.name)
def test_real_genomes_are_counted_as_the_referees_count(one: realdata.GenotypeSet, tmp_path: Path) -> None:
    """A sample of consecutive records of every set; the whole sets are `python -m validation.counts`."""
    seed = len(one.name)
    sample = tmp_path / "sample.bcf"
    _take(one.path, sample, 900, seed)
    people = realdata.panel()
    samples = naive.samples_of(sample)
    table = realdata.write_people(tmp_path / "people.tsv", people, samples)
    outcome = compare(
        *(one.name, sample, people),
        assembly=one.assembly,
        scratch=tmp_path,
        node=new_node(tmp_path / "node"),
        individuals=table,
        groups=_some(groups_of(people, samples, tmp_path), seed),
    )
    assert outcome.figures >= 5 * 2 * 6 * min(55, outcome.variants)
    assert outcome.differences == []


def _take(source: Path, target: Path, records: int, seed: int) -> None:
    """A run of consecutive records of a file, at a random place, multi-allelic ones included."""
    positions = subprocess.run(
        ["bcftools", "query", "-f", "%CHROM\t%POS\t%ALT\n", source], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    several = [i for i, line in enumerate(positions) if "," in line.split("\t")[2]]
    rng = random.Random(seed)
    middle = rng.choice(several) if several else rng.randrange(len(positions))
    first = max(0, min(middle - records // 2, len(positions) - records))
    chosen = positions[first : first + records]
    targets = target.with_suffix(".txt")
    targets.write_text("".join("\t".join(line.split("\t")[:2]) + "\n" for line in chosen))
    subprocess.run(["bcftools", "view", "-T", targets, "-Ob", "-o", target, source], check=True, capture_output=True)


def test_the_demo_genomes_are_counted_as_the_referees_count(tmp_path: Path) -> None:
    """One megabase of `qtltools-example`, four populations."""
    try:
        genotypes = realdata.qtltools_example() / "genotypes.chr22.vcf.gz"
        people = realdata.panel()
    except (Unreachable, FileNotFoundError) as error:
        pytest.skip(f"real data: qtltools-example or the shared panel cannot be had here ({error})")
    sample = tmp_path / "sample.vcf.gz"
    subprocess.run(
        ["bcftools", "view", "-t", "chr22:50200000-50500000", "-Oz", "-o", sample, genotypes], check=True, capture_output=True
    )
    samples = naive.samples_of(sample)
    table = realdata.write_people(tmp_path / "people.tsv", people, samples)
    node = new_node(tmp_path / "node")
    outcome = compare("geuvadis", sample, people, assembly="GRCh37", scratch=tmp_path, node=node, individuals=table)
    assert outcome.groups == 8 and outcome.variants > 700
    assert outcome.differences == []
    out = tmp_path / "one.tsv"
    expected = {"FIN": (31, 184), "GBR": (36, 172), "TSI": (46, 182), "CEU": (45, 178)}
    for population, (ac, an) in expected.items():
        region = "22:50313359-50313359"
        done("node", "counts", node, "--dataset", "geuvadis", "--population", population, "--region", region, "--out", out)
        [(found_an, found_ac, *_)] = read_counts(out)["22", 50313359, "G", "A"]
        assert (found_ac, found_an) == (ac, an)


@pytest.mark.parametrize("form", ["vcf", "vcf.gz", "bcf"])
def test_missing_half_called_and_haploid_calls_are_counted_by_rule_1(form: str, tmp_path: Path) -> None:
    """Plain Python from the definition, on X, Y and MT too, for everybody, each sex, each population, and a list."""
    cohort = synthetic.make_cohort(90, 11)
    path = synthetic.write_vcf(tmp_path / f"made.{form}", cohort, per_contig=60, seed=12)
    table = synthetic.write_people(tmp_path / "people.tsv", cohort)
    node = new_node(tmp_path / "node")
    done(
        *("node", "load", node, "--dataset", "d", "--genotypes", path, "--assembly", "GRCh37", "--individuals", table),
        *("--disclosure", "floored"),
    )
    listed = tmp_path / "listed.txt"
    listed.write_text("\n".join(cohort.samples[10:40]) + "\n")
    sex, population = (
        np.array([cohort.sex[s] for s in cohort.samples]),
        np.array([cohort.population[s] for s in cohort.samples]),
    )
    members = {
        (): np.ones(90, bool),
        ("--sex", "male"): sex == "male",
        ("--population", "GBR"): population == "GBR",
        ("--sex", "female", "--population", "TSI"): (sex == "female") & (population == "TSI"),
        ("--individuals", str(listed)): np.isin(cohort.samples, cohort.samples[10:40]),
    }
    variants = sorted(naive.read_variants(path), key=lambda v: v.position)
    for words, mask in members.items():
        expected = defaultdict(list)
        for v in variants:
            expected[v.contig, v.position + 1, v.ref, v.alt].append(naive.count(v.alleles, mask).six)
        done("node", "counts", node, "--dataset", "d", *words, "--out", tmp_path / "out.tsv")
        assert read_counts(tmp_path / "out.tsv") == expected, words
