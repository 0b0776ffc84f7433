"""The benchmarks' own data: a simulated cohort in every format, and stores of a given size made without simulation."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.scale import Scale
from cohelix.core.arrays import BoolArray, IntArray
from cohelix.core.genome import Assembly
from cohelix.genotypes.model import EncodedBatch, Strings
from cohelix.genotypes.writer import StoreWriter

START = 16_000_000
# Carriers per variant and how many variants have them, of 103,562 among 100,000 European-like simulated people
# (Tennessen and others' demography of 2012 by msprime, 2 Mb).
SPECTRUM = (
    (1, 1, 36_939),
    (2, 5, 34_433),
    (6, 20, 18_873),
    (21, 100, 8_234),
    (101, 1_000, 2_672),
    (1_001, 6_249, 706),
)
_DENSE_PER_VARIANT = 1_706 / 103_562


@dataclass(frozen=True)
class CohortFiles:
    """One simulated cohort: the same genotypes as VCF.gz, BCF (indexed) and pgen, and its people table."""

    vcf: Path
    bcf: Path
    pgen: Path
    people: Path
    n_people: int
    n_variants: int


def cache_folder() -> Path:
    """Where made data is kept (`COHELIX_BENCH_DATA`, else the user's cache)."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cohelix" / "benchmarks"
    return Path(os.environ.get("COHELIX_BENCH_DATA") or default)


def simulated(scale: Scale, seed: int = 1) -> CohortFiles:
    """The cohort of this scale, where it is not cached made by msprime: European-like, phased, biallelic SNVs.

    The small scale is drawn at random instead, so that the test run needs no msprime. The full scale
    takes about two minutes; its demography is Tennessen and others' (2012) European deme with recent growth.
    """
    folder = cache_folder() / f"cohort-{scale.people}x{scale.bases}-{seed}"
    stem = folder / "cohort"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make = _drawn if scale.name == "small" else _simulated
        _write_cohort(stem, scale.people, make(scale.people, scale.bases, seed), seed)
        (folder / "complete").touch()
    samples = subprocess.run(
        ["bcftools", "query", "-l", f"{stem}.bcf"], check=True, capture_output=True, text=True
    ).stdout.split()
    rng = np.random.default_rng(seed)
    people = folder / "people.tsv"
    sexes, populations = rng.choice(["male", "female"], len(samples)), rng.choice(["FIN", "GBR", "TSI"], len(samples))
    rows = zip(samples, sexes, populations, strict=True)
    people.write_text("individual_id\tbiosample_id\tsex\tpopulation\n" + "".join(f"{s}\t{s}\t{x}\t{p}\n" for s, x, p in rows))
    n_variants = int(
        subprocess.run(["bcftools", "index", "-n", f"{stem}.bcf"], check=True, capture_output=True, text=True).stdout
    )
    files = (Path(f"{stem}.{end}") for end in ("vcf.gz", "bcf", "pgen"))
    return CohortFiles(*files, people, len(samples), n_variants)


def _simulated(people: int, bases: int, seed: int) -> Iterator[tuple[int, IntArray]]:
    """Offset and haplotypes, (people, 2) of 0 and 1, of every site that varies, by msprime."""
    import msprime

    growth, now = 0.0195, 512_000  # Tennessen et al. 2012, European branch
    demography = msprime.Demography()
    demography.add_population(name="EUR", initial_size=now, growth_rate=growth)
    changes = ((205, 9300.0, 0.00307), (920, 1861.0, 0.0), (2040, 14474.0, 0.0), (5920, 7310.0, 0.0))
    for time, initial, rate in changes:
        demography.add_population_parameters_change(time=time, population="EUR", initial_size=initial, growth_rate=rate)
    demography.sort_events()
    models = [msprime.DiscreteTimeWrightFisher(duration=60), msprime.StandardCoalescent()]
    trees = msprime.sim_ancestry(
        {"EUR": people}, demography=demography, sequence_length=bases, recombination_rate=1e-8, random_seed=seed, model=models
    )
    trees = msprime.sim_mutations(trees, rate=1.25e-8, random_seed=seed + 1, model=msprime.BinaryMutationModel())
    for variant in trees.variants():
        pairs = variant.genotypes.reshape(people, 2)
        if 0 < int(pairs.sum()) < 2 * people and pairs.max() == 1:
            yield int(variant.site.position), pairs


def _drawn(people: int, bases: int, seed: int) -> Iterator[tuple[int, IntArray]]:
    """The same without msprime and without linkage, for the small scale."""
    rng = np.random.default_rng(seed)
    for offset in range(5, bases, 40):
        pairs = (rng.random((people, 2)) < rng.choice([0.002, 0.01, 0.1, 0.4])).astype(np.int64)
        if 0 < int(pairs.sum()) < 2 * people:
            yield offset, pairs


def _write_cohort(stem: Path, people: int, sites: Iterator[tuple[int, IntArray]], seed: int) -> None:
    """VCF.gz, BCF and pgen of the same genotypes."""
    header = (
        "##fileformat=VCFv4.3\n##contig=<ID=22,length=51304566>\n"
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t" + "\t".join(f"S{i:06d}" for i in range(people)) + "\n"
    )
    words = np.array([np.frombuffer(s, "<u4")[0] for s in (b"0|0\t", b"0|1\t", b"1|0\t", b"1|1\t")], "<u4")
    rng = np.random.default_rng(seed)
    with (
        Path(f"{stem}.vcf.gz").open("wb") as raw,
        subprocess.Popen(["bgzip", "-c"], stdin=subprocess.PIPE, stdout=raw) as bgzip,
    ):
        assert bgzip.stdin is not None
        bgzip.stdin.write(header.encode())
        for offset, pairs in sites:
            line = bytearray(words[pairs[:, 0] * 2 + pairs[:, 1]].tobytes())
            line[-1] = 10
            ref, alt = rng.choice(list("ACGT"), 2, replace=False)
            start = f"22\t{START + offset}\t.\t{ref}\t{alt}\t.\tPASS\t.\tGT\t"
            bgzip.stdin.write(start.encode() + line)
        bgzip.stdin.close()
    commands = (
        ["bcftools", "index", "-t", f"{stem}.vcf.gz"],
        ["bcftools", "view", "--no-version", "-Ob", "-o", f"{stem}.bcf", f"{stem}.vcf.gz"],
        ["bcftools", "index", f"{stem}.bcf"],
        ["plink2", "--bcf", f"{stem}.bcf", "--make-pgen", "--out", str(stem), "--threads", "2"],
    )
    for command in commands:
        subprocess.run(command, check=True, capture_output=True)


def spectrum_store(folder: Path, *, people: int, variants: int, seed: int = 1, spacing: int = 20) -> None:
    """Write a store with the frequency spectrum of 100,000 simulated people, by the writer itself, from random carriers.

    There is no linkage in it, which changes no count and no speed of counting: every variant is a list or a row.
    """
    samples = [f"S{i:06d}" for i in range(people)]
    with StoreWriter(folder, assembly=Assembly.GRCH37, samples=samples) as writer:
        for batch in spectrum_batches(people, variants, seed, spacing):
            writer.add(batch, complete_before=int(batch.position[-1]) + 1)


def spectrum_batches(people: int, variants: int, seed: int, spacing: int, batch: int = 20_000) -> Iterator[EncodedBatch]:
    """Batches of random SNVs of chromosomes 1 and following, at most two million each, ascending."""
    rng = np.random.default_rng(seed)
    lows, highs, weights = (np.array(column) for column in zip(*SPECTRUM, strict=True))
    limit = people // 16
    done, contig, position = 0, 1, 10_000
    while done < variants:
        n = min(batch, variants - done, 2_000_000 - done % 2_000_000)
        kinds = rng.choice(len(SPECTRUM), n, p=weights / weights.sum())
        carriers = np.minimum(rng.integers(lows[kinds], highs[kinds] + 1), max(1, limit - 1))
        dense = rng.random(n) < _DENSE_PER_VARIANT
        carriers[dense] = 0
        yield _batch(rng, str(contig), position, spacing, people, carriers, dense)
        done += n
        position += n * spacing
        if done % 2_000_000 == 0:
            contig, position = contig + 1, 10_000


def _batch(  # noqa: PLR0917
    rng: np.random.Generator, contig: str, start: int, spacing: int, people: int, carriers: IntArray, dense: BoolArray
) -> EncodedBatch:
    n = len(carriers)
    owner = np.repeat(np.arange(n, dtype=np.uint64), carriers)
    drawn = np.unique(owner * np.uint64(people) + rng.integers(0, people, len(owner)).astype(np.uint64))
    owner, sample = (drawn // people).astype(np.int64), (drawn % people).astype(np.uint32)
    two = (rng.random(len(sample)) < 0.002).astype(np.uint32)
    rows = np.zeros((int(dense.sum()), -(-people // 32)), np.uint64)
    for row in rows:
        frequency = rng.uniform(0.03, 0.5)
        copies = rng.random((2, people)) < frequency
        codes = np.zeros(len(row) * 32, np.uint64)
        codes[:people] = copies.sum(0)
        row[:] = (codes.reshape(-1, 32) << np.arange(0, 64, 2, dtype=np.uint64)).sum(1, dtype=np.uint64)
    position = (start + np.arange(n) * spacing).astype(np.uint32)
    pairs = rng.choice(np.array([b"A\tG", b"C\tT", b"G\tA", b"T\tC", b"A\tC", b"G\tT"]), n)
    empty = Strings(np.zeros(n + 1, np.int64), b"")
    offsets = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(owner, minlength=n), out=offsets[1:])
    nothing = np.zeros(n + 1, np.int64)
    return EncodedBatch(
        contig=contig,
        n_samples=people,
        position=position,
        end=position + np.uint32(1),
        alleles=Strings(np.arange(0, 3 * n + 1, 3, dtype=np.int64), b"".join(pairs.tolist())),
        ids=empty,
        record=np.arange(n, dtype=np.int64) + start,
        alt_index=np.zeros(n, np.uint16),
        n_alts=np.ones(n, np.uint16),
        source=empty,
        flags=dense.astype(np.uint8),
        pattern=np.zeros(n, np.int32),
        ploidy=np.zeros((1, -(-people // 64)), np.uint64),
        carriers=(sample << np.uint32(1) | two).astype(np.uint32),
        carrier_offsets=offsets,
        rows=rows,
        missing=np.zeros(0, np.uint32),
        missing_offsets=nothing,
        phase=np.zeros(0, np.uint8),
        phase_offsets=nothing,
    )
