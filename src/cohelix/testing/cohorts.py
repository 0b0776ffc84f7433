"""Simulated cohorts whose allele frequencies, genotypes and effect sizes are known, because they were chosen.

Nobody in them exists. Everything follows from the seed: the same call gives the same people.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from cohelix.core.arrays import AlleleArray, FloatArray, IntArray
from cohelix.core.genome import Assembly, Region, primary_lengths

BASES: Final = "ACGT"
# Share of variation between populations; close to that between European populations (Fst, 1000 Genomes 2015).
FST: Final = 0.008
TRAIT: Final = "simulated_trait"


class SimulatedCohort(NamedTuple):
    """People of several populations, genotyped at biallelic sites of one contig.

    Attributes
    ----------
    positions
        (variants,) int64, 0-based, ascending.
    refs, alts
        One base each, (variants,) long.
    frequencies
        (populations, variants) float64, in [0, 1]: the ALT frequency that each population's alleles were drawn with.
    alleles
        (variants, samples, 2) int8, 0 or 1, phased; nothing is missing.
    samples, sexes, populations
        (samples,) long: name, `male` or `female`, population.
    trait
        (samples,) float64: a trait with unit residual variance.
    effects
        (variants,) float64: change of the trait per ALT copy, zero for all but a few variants.
    """

    assembly: Assembly
    contig: str
    positions: IntArray
    refs: str
    alts: str
    frequencies: FloatArray
    alleles: AlleleArray
    samples: tuple[str, ...]
    sexes: tuple[str, ...]
    populations: tuple[str, ...]
    trait: FloatArray
    effects: FloatArray


def simulate_cohort(
    sizes: Mapping[str, int], n_variants: int, *, seed: int, region: Region, assembly: Assembly, n_causal: int = 5
) -> SimulatedCohort:
    """Draw a cohort: allele frequencies per population around a common one, then people in Hardy-Weinberg proportions.

    Parameters
    ----------
    sizes
        People per population.
    region
        Where the sites lie; it must hold at least `n_variants` bases of an autosome.

    References
    ----------
    Balding and Nichols 1995, Genetica 96:3, for frequencies that differ between populations.
    """
    assert region.end - region.start >= n_variants
    assert region.end <= primary_lengths(assembly)[region.contig]
    chance = np.random.default_rng(seed)
    positions = np.sort(chance.choice(region.end - region.start, n_variants, replace=False)) + region.start
    ref_index = chance.integers(0, 4, n_variants)
    alt_index = (ref_index + chance.integers(1, 4, n_variants)) % 4
    common = chance.beta(0.4, 1.2, n_variants).clip(0.001, 0.999)
    spread = (1 - FST) / FST
    frequencies = chance.beta(common * spread, (1 - common) * spread, (len(sizes), n_variants))
    alleles = np.concatenate(
        [
            chance.random((n_variants, size, 2)) < own[:, None, None]
            for size, own in zip(sizes.values(), frequencies, strict=True)
        ],
        axis=1,
    ).astype(np.int8)
    populations = tuple(name for name, size in sizes.items() for _ in range(size))
    effects = np.zeros(n_variants)
    effects[chance.choice(n_variants, min(n_causal, n_variants), replace=False)] = 0.5
    trait = alleles.sum(axis=2).T @ effects + chance.standard_normal(len(populations))
    return SimulatedCohort(
        assembly=assembly,
        contig=region.contig,
        positions=positions,
        refs="".join(BASES[index] for index in ref_index),
        alts="".join(BASES[index] for index in alt_index),
        frequencies=frequencies,
        alleles=alleles,
        samples=tuple(f"SIM{number:05d}" for number in range(1, len(populations) + 1)),
        sexes=tuple("female" if draw else "male" for draw in chance.integers(0, 2, len(populations))),
        populations=populations,
        trait=trait,
        effects=effects,
    )


def part_of(cohort: SimulatedCohort, people: slice) -> SimulatedCohort:
    """Some people of a cohort, at the same sites."""
    return cohort._replace(
        alleles=cohort.alleles[:, people],
        samples=cohort.samples[people],
        sexes=cohort.sexes[people],
        populations=cohort.populations[people],
        trait=cohort.trait[people],
    )


def write_vcf(cohort: SimulatedCohort, path: Path) -> None:
    """Write the genotypes as `.vcf.gz`; the header says that they are simulated."""
    length = primary_lengths(cohort.assembly)[cohort.contig]
    header = [
        "##fileformat=VCFv4.3",
        "##source=cohelix.testing.cohorts: simulated, no such person exists",
        f"##contig=<ID={cohort.contig},length={length},assembly={cohort.assembly}>",
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
        "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *cohort.samples]),
    ]
    calls = np.array(["0|0", "0|1", "1|0", "1|1"])[cohort.alleles[:, :, 0] * 2 + cohort.alleles[:, :, 1]]
    with gzip.open(path, "wt", compresslevel=1, encoding="utf-8") as file:
        file.write("\n".join(header) + "\n")
        for position, ref, alt, row in zip(cohort.positions, cohort.refs, cohort.alts, calls, strict=True):
            fixed = f"{cohort.contig}\t{position + 1}\trs{position + 1}\t{ref}\t{alt}\t.\tPASS\t.\tGT\t"
            file.write(fixed + "\t".join(row) + "\n")


def write_trait(cohort: SimulatedCohort, path: Path) -> None:
    """Write the trait as a covariate file: one line per measurement, one column per person, separated by blanks."""
    values = " ".join(f"{value:.6f}" for value in cohort.trait)
    path.write_text(f"SampleID {' '.join(cohort.samples)}\n{TRAIT} {values}\n", encoding="utf-8")
