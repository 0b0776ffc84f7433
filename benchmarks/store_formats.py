"""The decision record's table: one cohort as our store, as pgen, as VCF Zarr and in DuckDB, beside its BCF.

`python -m benchmarks.store_formats [--bcf FILE --pgen FILE]` prints sizes and times; without files it takes the
benchmarks' own simulated cohort. Every format answers the same questions, and the answers are compared first.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import pgenlib
import pyarrow as pa
import zarr

from benchmarks import data
from benchmarks.measure import duration, folder_bytes, size
from benchmarks.scale import FULL
from cohelix.core.arrays import IntArray
from cohelix.core.genome import Assembly
from cohelix.genotypes.load import load_genotypes
from cohelix.genotypes.model import Cohort
from cohelix.genotypes.store import GenotypeStore, open_store

GENE_VARIANTS = 1_335  # 50 kb at the density of the simulation
ZARR_CHUNKS = (1_000, 10_000, 2)  # bio2zarr's defaults
_BLOCK = 500
_TURNS = 3


class Format(NamedTuple):
    """A candidate: bytes on disk, and three questions. ALT copies per row of a range in the cohort; carriers of a row."""

    name: str
    bytes: int
    allele_counts: Callable[[range], IntArray]
    carriers: Callable[[int], IntArray]


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bcf", type=Path)
    parser.add_argument("--pgen", type=Path)
    arguments = parser.parse_args()
    if arguments.bcf is None:
        cohort_files = data.simulated(FULL)
        arguments.bcf, arguments.pgen = cohort_files.bcf, cohort_files.pgen
    with tempfile.TemporaryDirectory() as folder:
        print("\n".join(measure(Path(folder), arguments.bcf, arguments.pgen)))


def measure(folder: Path, bcf: Path, pgen: Path) -> Iterator[str]:
    """Lines of the table, for one cohort that is there as BCF and as pgen, with the same variants in the same order."""
    load_genotypes([bcf], folder / "store", assembly=Assembly.GRCH38, reference=None, progress=None)
    store = open_store(folder / "store")
    n_people, n_variants = len(store.info.samples), store.info.n_variants
    members = np.sort(np.random.default_rng(1).choice(n_people, n_people // 10, replace=False))
    formats = [
        _house(store, folder / "store", members),
        _pgen(pgen, members),
        _zarr(folder / "calls.zarr", pgen, members),
        _duckdb(folder / "calls.duckdb", pgen, members),
    ]
    first = n_variants // 3
    gene, everything = range(first, min(first + GENE_VARIANTS, n_variants)), range(n_variants)
    counts = store.allele_counts(everything).ac
    rare = int(np.flatnonzero((counts > 1) & (counts < 10))[0])
    common = int(np.flatnonzero(counts > n_people // 2)[0])
    for other in formats[1:]:
        np.testing.assert_array_equal(other.allele_counts(gene), formats[0].allele_counts(gene), other.name)
        for row in (rare, common):
            np.testing.assert_array_equal(other.carriers(row), formats[0].carriers(row), other.name)
    yield f"{n_variants:,} variants x {n_people:,} people; cohort of {len(members):,}; warm; BCF {size(bcf.stat().st_size)}"
    yield ""
    yield f"| format | on disk | gene of {len(gene):,} | all {n_variants:,} | carriers, rare | carriers, common |"
    yield "|---|---|---|---|---|---|"
    columns = [
        _medians({f.name: partial(f.allele_counts, gene) for f in formats}),
        _medians({f.name: partial(f.allele_counts, everything) for f in formats}),
        _medians({f.name: partial(f.carriers, rare) for f in formats}),
        _medians({f.name: partial(f.carriers, common) for f in formats}),
    ]
    for each in formats:
        yield f"| {each.name} | {size(each.bytes)} | {' | '.join(duration(column[each.name]) for column in columns)} |"


def _medians(calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds of each call. A turn is 20 calls in a row or half a second, so that each finds its own caches."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(_TURNS):
        for name, call in calls.items():
            call()
            until = time.perf_counter() + 0.5
            for _ in range(20):
                start = time.perf_counter()
                call()
                found[name].append(time.perf_counter() - start)
                if time.perf_counter() > until:
                    break
    return {name: float(np.median(seconds)) for name, seconds in found.items()}


def _house(store: GenotypeStore, folder: Path, members: IntArray) -> Format:
    cohort = Cohort.of(len(store.info.samples), members)
    return Format(
        "this store (all names and samples included)",
        folder_bytes(folder),
        lambda rows: store.allele_counts(rows, cohort).ac,
        lambda row: store.carriers(row).sample_index,
    )


def _pgen(pgen: Path, members: IntArray) -> Format:
    cohort = pgenlib.PgenReader(str(pgen).encode(), sample_subset=members.astype(np.uint32))
    everybody = pgenlib.PgenReader(str(pgen).encode())
    found, calls = np.empty(4, np.uint32), np.empty(everybody.get_raw_sample_ct(), np.int8)

    def allele_counts(rows: range) -> IntArray:
        counts = np.empty(len(rows), np.int64)
        for i, row in enumerate(rows):
            cohort.count(row, found)
            counts[i] = int(found[1]) + 2 * int(found[2])
        return counts

    def carriers(row: int) -> IntArray:
        everybody.read(row, calls)
        return np.flatnonzero(calls > 0)

    names = sum(pgen.with_suffix(end).stat().st_size for end in (".pvar", ".psam"))
    return Format(
        f"pgen, pgenlib (with .pvar and .psam, {size(names)} of it)", pgen.stat().st_size + names, allele_counts, carriers
    )


def _zarr(path: Path, pgen: Path, members: IntArray) -> Format:
    """`call_genotype` of VCF Zarr, in bio2zarr's chunks and zarr's default compression."""
    reader = pgenlib.PgenReader(str(pgen).encode())
    shape = (reader.get_variant_ct(), reader.get_raw_sample_ct(), 2)
    array = zarr.create_array(str(path), shape=shape, chunks=ZARR_CHUNKS, dtype="int8")
    for start in range(0, shape[0], ZARR_CHUNKS[0]):
        stop = min(start + ZARR_CHUNKS[0], shape[0])
        array[start:stop] = _alleles(reader, start, stop)

    def allele_counts(rows: range) -> IntArray:
        counts = [
            np.asarray(array[start : min(start + ZARR_CHUNKS[0], rows.stop)])[:, members].sum(axis=(1, 2), dtype=np.int64)
            for start in range(rows.start, rows.stop, ZARR_CHUNKS[0])
        ]
        return np.concatenate(counts)

    return Format(
        "VCF Zarr (genotype array alone)",
        folder_bytes(path),
        allele_counts,
        lambda row: np.flatnonzero(np.asarray(array[row]).any(axis=1)),
    )


def _duckdb(path: Path, pgen: Path, members: IntArray) -> Format:
    """A table of one row per carrier, sorted by variant."""
    reader = pgenlib.PgenReader(str(pgen).encode())
    base = duckdb.connect(str(path))
    base.execute("create table calls (variant integer, sample integer, copies tinyint)")
    for start in range(0, reader.get_variant_ct(), _BLOCK):
        copies = _alleles(reader, start, min(start + _BLOCK, reader.get_variant_ct())).sum(axis=2, dtype=np.int8)
        variant, sample = np.nonzero(copies)
        columns = [(variant + start).astype(np.int32), sample.astype(np.int32), copies[variant, sample]]
        base.register("block", pa.table(columns, names=["variant", "sample", "copies"]))
        base.execute("insert into calls select * from block")
        base.unregister("block")
    base.execute("checkpoint")
    n_bytes = path.stat().st_size
    base.register("chosen", pa.table([members], names=["sample"]))
    base.execute("create temp table cohort as select sample::integer as sample from chosen")

    def allele_counts(rows: range) -> IntArray:
        counts = np.zeros(len(rows), np.int64)
        found = base.execute(
            "select variant, sum(copies) from calls semi join cohort using (sample) "
            "where variant between ? and ? group by variant",
            [rows.start, rows.stop - 1],
        ).fetchnumpy()
        variant, copies = found.values()
        counts[np.asarray(variant) - rows.start] = np.asarray(copies)
        return counts

    def carriers(row: int) -> IntArray:
        found = base.execute("select sample from calls where variant = ? order by sample", [row]).fetchnumpy()
        return np.asarray(found["sample"]).astype(np.int64)

    return Format("DuckDB (calls alone, a row per carrier)", n_bytes, allele_counts, carriers)


def _alleles(reader: pgenlib.PgenReader, start: int, stop: int) -> np.ndarray:
    """(variants, people, 2) int8."""
    n_people = reader.get_raw_sample_ct()
    alleles = np.empty((stop - start, 2 * n_people), np.int32)
    reader.read_alleles_range(start, stop, alleles)
    return alleles.reshape(-1, n_people, 2).astype(np.int8)


if __name__ == "__main__":
    main()
