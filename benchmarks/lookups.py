"""Q1 and Q3: one exact variant with its counts, and the carriers of a rare one, from a store of ten million variants."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pgenlib

from benchmarks import data
from benchmarks.measure import Row, duration, each
from benchmarks.scale import Scale
from cohelix.genotypes.counts import open_counts, write_counts
from cohelix.genotypes.model import Cohort
from cohelix.genotypes.store import GenotypeStore, open_store

PEOPLE = 512  # whole-cohort counts are looked up, so the number of people does not matter to Q1
POPULATIONS = ("FIN", "GBR", "TSI")


@contextmanager
def _big_store(scale: Scale) -> Iterator[tuple[GenotypeStore, Path]]:
    with tempfile.TemporaryDirectory(prefix="cohelix-bench-") as folder:
        store_folder, counts_folder = Path(folder) / "store", Path(folder) / "counts"
        data.spectrum_store(store_folder, people=PEOPLE, variants=scale.lookup_variants)
        store = open_store(store_folder)
        rng = np.random.default_rng(1)
        sex, population = rng.integers(0, 2, PEOPLE), rng.integers(0, len(POPULATIONS), PEOPLE)
        groups = {"all": Cohort.of(PEOPLE)}
        groups |= {name: Cohort.of(PEOPLE, sex == number) for number, name in enumerate(("male", "female"))}
        groups |= {name: Cohort.of(PEOPLE, population == number) for number, name in enumerate(POPULATIONS)}
        write_counts(store, groups, counts_folder)
        yield store, counts_folder


def run(scale: Scale) -> list[Row]:
    """Look up random variants by name with all their groups' counts; then list carriers of rare ones."""
    with _big_store(scale) as (store, counts_folder):
        counts = open_counts(counts_folder)
        n = store.info.n_variants
        rng = random.Random(1)
        chosen = [rng.randrange(n) for _ in range(scale.lookups)]
        keys = [store.key(row) for row in chosen]

        def look_up(number: int) -> object:
            return counts.row(store.rows_of(keys[number])[0])

        found = each(look_up, scale.lookups, warm=scale.lookups // 4)
        text = f"{n:,} variants, {len(counts.groups)} groups"
        q1 = Row(
            "Q1 exact variant, counts of all groups, in process, warm",
            text,
            f"p50 {duration(found.p50)}, p95 {duration(found.p95)}",
            "–",
            "–",
            "p50 ≤ 10 µs at 10^7 variants",
            found.p50 <= 10e-6 and n >= 10_000_000,
        )
        absent = [key._replace(position=key.position + 1) for key in keys]
        missed = each(lambda number: store.rows_of(absent[number]), scale.lookups, warm=scale.lookups // 4)
        q1_absent = Row(
            "Q1 the same for an absent allele",
            text,
            f"p50 {duration(missed.p50)}, p95 {duration(missed.p95)}",
            "–",
            "–",
            "–",
            None,
        )
    return [q1, q1_absent]


def carriers(scale: Scale, store: GenotypeStore, pgen: Path) -> Row:
    """Carriers of random variants with 1 to 100 of them, beside pgenlib's difflist of the same variants."""
    n = store.info.n_variants
    counted = store.allele_counts(np.arange(n))
    rare = np.flatnonzero((counted.ac >= 1) & (counted.ac <= 100))
    rng = np.random.default_rng(2)
    chosen = rng.choice(rare, scale.lookups)
    reader = pgenlib.PgenReader(str(pgen).encode())
    for row in chosen[:50]:
        _same_carriers(store, reader, int(row))
    house = each(lambda number: store.carriers(int(chosen[number])), scale.lookups)
    listed = [int(row) for row in chosen if reader.has_sparse(int(row))]
    referee = each(lambda number: reader.read_sparse32(listed[number]), len(listed)) if listed else None
    return Row(
        "Q3 carriers of a rare variant (AC 1 to 100), in process, warm",
        f"{n:,} variants × {len(store.info.samples):,} people",
        f"p50 {duration(house.p50)}, p95 {duration(house.p95)}",
        f"pgenlib read_sparse32 p50 {duration(referee.p50)}" if referee else "–",
        f"{referee.p50 / house.p50:.2g} × as fast" if referee else "–",
        "p50 ≤ 20 µs",
        house.p50 <= 20e-6,
    )


def _same_carriers(store: GenotypeStore, reader: pgenlib.PgenReader, row: int) -> None:
    buffer = np.empty(reader.get_raw_sample_ct(), np.int8)
    reader.read(row, buffer, allele_idx=1)
    assert np.array_equal(np.flatnonzero(buffer > 0), store.carriers(row).sample_index)
