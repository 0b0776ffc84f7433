"""Q2: allele counts of an arbitrary cohort, over a gene and over everything."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
import pgenlib

from benchmarks import data
from benchmarks.measure import Row, Times, drop_from_cache, duration, folder_bytes, interleaved, size
from benchmarks.scale import Scale
from cohelix.core.genome import Region
from cohelix.genotypes.model import Cohort
from cohelix.genotypes.store import GenotypeStore, open_store

GENE_BASES = 50_000


def gene(scale: Scale, store: GenotypeStore, store_folder: Path, pgen: Path) -> list[Row]:
    """50 kb for a random tenth of the people, beside pgenlib's count loop over the same variants and people."""
    n_people = len(store.info.samples)
    rng = np.random.default_rng(3)
    members = np.sort(rng.choice(n_people, n_people // 10, replace=False))
    cohort = Cohort.of(n_people, members)
    reader = pgenlib.PgenReader(str(pgen).encode(), sample_subset=members.astype(np.uint32))
    middle = data.START + scale.bases // 2
    rows = store.rows_starting(Region("22", middle, middle + min(GENE_BASES, scale.bases // 4)))
    buffer = np.empty(4, np.uint32)

    def referee() -> list[int]:
        found = []
        for row in rows:
            reader.count(row, buffer)
            found.append(int(buffer[1] + 2 * buffer[2]))
        return found

    assert referee() == store.allele_counts(rows, cohort).ac.tolist()
    times = interleaved({"house": lambda: store.allele_counts(rows, cohort), "pgenlib": referee}, scale.repeats * 10, warm=3)
    house, pgenlib_times = times["house"], times["pgenlib"]
    ratio = pgenlib_times.p50 / house.p50
    text = f"{len(rows):,} variants, {len(members):,} of {n_people:,} people"
    beside = f"pgenlib count loop p50 {duration(pgenlib_times.p50)}"
    shown = f"p50 {duration(house.p50)}, p95 {duration(house.p95)}"
    cold = _cold(store_folder, rows, scale)
    return [
        Row("Q2 gene (50 kb), 10 % cohort, warm", text, shown, beside, f"{ratio:.1f} × as fast", "≥ 3 × pgenlib", ratio >= 3),
        Row("Q2 gene, warm, absolute", text, shown, "–", "–", "p50 ≤ 0.5 ms", house.p50 <= 0.5e-3),
        Row(
            "Q2 gene, cold (store out of the page cache, opened anew, compiled code loaded)",
            text,
            f"p50 {duration(cold.p50)}, worst {duration(max(cold.seconds))}",
            *("–", "–", "p50 ≤ 25 ms"),
            cold.p50 <= 25e-3,
        ),
    ]


def _cold(store_folder: Path, rows: range, scale: Scale) -> Times:
    """Opening and one question in fresh processes that have loaded the compiled code with another store before."""
    script = (
        "import sys, time, tempfile; from pathlib import Path; import numpy as np\n"
        "from benchmarks import data; from benchmarks.measure import drop_from_cache\n"
        "from cohelix.genotypes.store import open_store; from cohelix.genotypes.model import Cohort\n"
        "folder, first, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])\n"
        "with tempfile.TemporaryDirectory() as small:\n"
        "    data.spectrum_store(Path(small) / 's', people=320, variants=200)\n"
        "    open_store(Path(small) / 's').allele_counts(range(200), Cohort.of(320, np.arange(32)))\n"
        "drop_from_cache(folder)\n"
        "start = time.perf_counter(); store = open_store(folder); n = len(store.info.samples)\n"
        "store.allele_counts(range(first, last), Cohort.of(n, np.arange(n // 10))); print(time.perf_counter() - start)\n"
    )
    words = [sys.executable, "-c", script, str(store_folder), str(rows.start), str(rows.stop)]
    seconds = [
        float(subprocess.run(words, capture_output=True, text=True, check=True).stdout) for _ in range(min(7, scale.repeats))
    ]
    drop_from_cache(store_folder)
    return Times(tuple(seconds))


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _masked_count(words: np.ndarray, mask: np.ndarray, start: int, stop: int) -> int:
    """Copies of ALT in packed 2-bit rows under a mask: the plain loop that the machine's memory limits."""
    total = 0
    width = len(mask)
    for row in range(start, stop):
        for column in range(width):
            total += _popcount(words[row * width + column] & mask[column])
    return total


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _popcount(word: int) -> int:
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


def everything(scale: Scale) -> list[Row]:
    """All variants of 100,000 people on two threads, beside the time that the machine needs to stream as many bytes."""
    with tempfile.TemporaryDirectory(prefix="cohelix-bench-") as folder:
        store_folder = Path(folder) / "store"
        data.spectrum_store(store_folder, people=scale.big_people, variants=scale.big_variants)
        store = open_store(store_folder)
        n, people = store.info.n_variants, scale.big_people
        cohort = Cohort.of(people, np.random.default_rng(5).random(people) < 0.1)
        touched = _bytes_touched(store_folder)
        width = len(cohort.pairs)
        n_rows = max(2, touched // (8 * width))
        packed = np.random.default_rng(6).integers(0, 1 << 63, n_rows * width, dtype=np.uint64)
        halves = [(0, n_rows // 2), (n_rows // 2, n_rows)]
        parts = [range(0, n // 2), range(n // 2, n)]
        with ThreadPoolExecutor(2) as pool:
            times = interleaved(
                {
                    "house": lambda: store.allele_counts(range(n), cohort),
                    "house, halves": lambda: list(pool.map(lambda part: store.allele_counts(part, cohort), parts)),
                    "floor": lambda: list(pool.map(lambda half: _masked_count(packed, cohort.pairs, *half), halves)),
                },
                scale.repeats * 3,
                warm=3,
            )
        best = min(times["house"].p50, times["house, halves"].p50)
        bandwidth = packed.nbytes / times["floor"].p50
        floor = touched / bandwidth
        return [
            Row(
                "Q2 all variants, 10 % cohort, 2 threads, warm",
                f"{n:,} variants × {people:,} people",
                f"p50 {duration(best)} (one call {duration(times['house'].p50)})",
                f"floor {duration(floor)}: {size(touched)} at {bandwidth / 1e9:.1f} GB/s masked count",
                f"{best / floor:.2f} × the floor",
                "≤ 2.5 × the floor",
                best <= 2.5 * floor,
            )
        ]


def _bytes_touched(store_folder: Path) -> int:
    """Bytes of the store that a count of everything reads: the genotype shards."""
    return folder_bytes(store_folder)
