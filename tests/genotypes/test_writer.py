"""The writer puts rows in order, in bytes that depend on the variants alone, and leaves no store where it does not finish."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pytest

from cohelix.core.errors import Conflict, Damaged, ShapeMismatch
from cohelix.core.genome import Assembly
from cohelix.genotypes.hybrid_store import HybridStore
from cohelix.genotypes.store import open_store
from cohelix.genotypes.writer import StoreWriter
from cohelix.testing.store_suite import NaiveStore, PlainVariant, encode, plain_variants, sample_names

N = 65


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def assert_equal(store: HybridStore, naive: NaiveStore) -> None:
    assert store.info._replace(format_version=1) == naive.info
    for contig in naive.info.contigs:
        rows = naive.contig_rows(contig)
        found, expected = store.table(rows), naive.table(rows)
        for name, column in expected._asdict().items():
            assert list(getattr(found, name)) == list(column), (contig, name)
    rows = range(store.info.n_variants)
    np.testing.assert_array_equal(np.stack(store.allele_counts(rows)), np.stack(naive.allele_counts(rows)))
    np.testing.assert_array_equal(store.calls(rows).alleles, naive.calls(rows).alleles)
    store.verify()


def by_contig(variants: Sequence[PlainVariant]) -> list[list[PlainVariant]]:
    return [list(group) for _, group in groupby(variants, key=lambda v: v.contig)]


def write_in_pieces(folder: Path, variants: Sequence[PlainVariant], seed: int, **limits: int) -> None:
    """Hand variants over in random batches, shuffled within a window of 30 bases, with the promise that goes with it."""
    rng = np.random.default_rng(seed)
    with StoreWriter(folder, assembly=Assembly.GRCH38, samples=sample_names(N), **limits) as writer:
        for of_contig in by_contig(variants):
            order = np.argsort([v.position + rng.integers(0, 30) for v in of_contig], kind="stable").tolist()
            cuts = sorted({0, len(order), *rng.integers(1, len(order), 6).tolist()})
            for start, stop in pairwise(cuts):
                later = [of_contig[i].position for i in order[stop:]]
                writer.add(encode([of_contig[i] for i in order[start:stop]]), min(later, default=1 << 32))


@pytest.mark.parametrize("limits", [{}, {"shard_rows": 10}, {"shard_bytes": 3000}])
def test_bytes_depend_on_the_variants_alone(tmp_path: Path, limits: dict[str, int]) -> None:
    variants = plain_variants(N)
    for seed in range(4):
        write_in_pieces(tmp_path / f"store{seed}", variants, seed, **limits)
        assert contents(tmp_path / f"store{seed}") == contents(tmp_path / "store0")
    assert_equal(HybridStore.open(tmp_path / "store0"), NaiveStore(variants, sample_names(N), Assembly.GRCH38))


def test_shards_close_at_their_limits(tmp_path: Path) -> None:
    write_in_pieces(tmp_path / "rows", plain_variants(N), 0, shard_rows=10)
    write_in_pieces(tmp_path / "bytes", plain_variants(N), 0, shard_bytes=3000)
    rows, sizes = HybridStore.open(tmp_path / "rows"), HybridStore.open(tmp_path / "bytes")
    lengths = [rows.shard(i).n_rows for i in range(len(list((tmp_path / "rows").glob("*.shard"))))]
    assert max(lengths) == 10
    # A last shard of each contig may be shorter.
    assert sum(length < 10 for length in lengths) <= len(rows.info.contigs)
    # The container aligns its sections and has a table of them: about 3 KiB more than the rows.
    files = [path.stat().st_size for path in (tmp_path / "bytes").glob("*.shard")]
    assert len(files) > 2 * len(sizes.info.contigs)
    assert max(files) < 3000 + 4096


def split_by_source(variants: Sequence[PlainVariant], how: str) -> list[list[PlainVariant]]:
    """Three sources: interleaved at random, or one after another; records are numbered source by source."""
    rng = np.random.default_rng(0)
    sources: list[list[PlainVariant]] = [[], [], []]
    for of_contig in by_contig(variants):
        records = sorted({v.record for v in of_contig})
        place = {record: i * 3 // len(records) for i, record in enumerate(records)}
        if how == "interleaved":
            place = {record: int(rng.integers(3)) for record in records}
        for v in of_contig:
            sources[place[v.record]].append(v)
    numbers: dict[tuple[int, int], int] = {}
    for i, of_source in enumerate(sources):
        for v in of_source:
            numbers.setdefault((i, v.record), len(numbers))
    return [[v._replace(record=numbers[i, v.record]) for v in of_source] for i, of_source in enumerate(sources)]


@pytest.mark.parametrize("how", ["interleaved", "one after another"])
@pytest.mark.parametrize("shard_rows", [5, 1 << 16])
def test_sources_of_one_contig_are_merged_by_position_then_file(tmp_path: Path, how: str, shard_rows: int) -> None:
    sources = split_by_source(plain_variants(N), how)
    naive = NaiveStore([v for of_source in sources for v in of_source], sample_names(N), Assembly.GRCH38)

    def write(folder: Path, turns: list[tuple[int, list[PlainVariant]]]) -> None:
        with StoreWriter(folder, assembly=Assembly.GRCH38, samples=sample_names(N), shard_rows=shard_rows) as writer:
            for source, part in turns:
                writer.add(encode(part), source=source)

    in_turn = [(i, part) for i, of_source in enumerate(sources) for part in by_contig(of_source)]
    write(tmp_path / "in-turn", in_turn)
    assert_equal(HybridStore.open(tmp_path / "in-turn"), naive)
    # The sources may also be read side by side; that changes no byte.
    write(tmp_path / "side-by-side", sorted(in_turn, key=lambda turn: turn[1][0].contig))
    assert contents(tmp_path / "in-turn") == contents(tmp_path / "side-by-side")


def test_sources_that_meet_at_one_position_are_in_file_order_there(tmp_path: Path) -> None:
    """The later file covers the earlier stretch, and both have variants where they meet."""
    variants = next(part for part in by_contig(plain_variants(N)) if part[0].contig == "22")
    meet = variants[len(variants) // 2].position
    first = [v._replace(record=v.record + 1000) for v in variants if v.position <= meet]
    second = [v for v in variants if v.position >= meet]
    with StoreWriter(tmp_path / "store", assembly=Assembly.GRCH38, samples=sample_names(N)) as writer:
        writer.add(encode(second), source=0)
        writer.add(encode(first), source=1)
    naive = NaiveStore([*second, *first], sample_names(N), Assembly.GRCH38)
    assert_equal(HybridStore.open(tmp_path / "store"), naive)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    contigs = {part[0].contig: part for part in by_contig(plain_variants(N))}
    writer = StoreWriter(tmp_path / "store", assembly=Assembly.GRCH38, samples=sample_names(N))
    with pytest.raises(ShapeMismatch, match="64 samples"):
        writer.add(encode(plain_variants(64)[:1]))
    writer.add(encode(contigs["22"][10:]))
    with pytest.raises(ShapeMismatch, match="complete"):
        writer.add(encode(contigs["22"][:1]))
    writer.add(encode(contigs["X"]))
    with pytest.raises(ShapeMismatch, match="comes back"):
        writer.add(encode(contigs["22"][-1:]))
    with pytest.raises(Conflict):
        StoreWriter(tmp_path, assembly=Assembly.GRCH38, samples=["a"])


def test_a_finished_source_may_not_come_back_but_others_may(tmp_path: Path) -> None:
    sources = split_by_source(plain_variants(N), "interleaved")
    with StoreWriter(tmp_path / "store", assembly=Assembly.GRCH38, samples=sample_names(N)) as writer:
        for i, of_source in enumerate(sources):
            for part in by_contig(of_source):
                writer.add(encode(part), source=i)
            writer.finish_source(i)
            with pytest.raises(ShapeMismatch, match="comes back"):
                writer.add(encode(of_source[-1:]), source=i)
        info = writer.close()
    assert info == HybridStore.open(tmp_path / "store").info
    naive = NaiveStore([v for of_source in sources for v in of_source], sample_names(N), Assembly.GRCH38)
    assert_equal(HybridStore.open(tmp_path / "store"), naive)


def test_a_failed_load_leaves_no_store(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with (
        pytest.raises(RuntimeError, match="the source broke off"),
        StoreWriter(folder, assembly=Assembly.GRCH38, samples=sample_names(N), shard_rows=3) as writer,
    ):
        writer.add(encode(by_contig(plain_variants(N))[0]))
        raise RuntimeError("the source broke off")
    assert not (folder / "store.json").exists()
    with pytest.raises(Damaged):
        open_store(folder)


def test_a_killed_writer_leaves_no_store(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys
        from itertools import groupby
        from pathlib import Path
        from cohelix.core.genome import Assembly
        from cohelix.genotypes.writer import StoreWriter
        from cohelix.testing.store_suite import encode, plain_variants, sample_names
        variants = [v for v in plain_variants(65) if v.contig == "22"]
        with StoreWriter(Path(sys.argv[1]), assembly=Assembly.GRCH38, samples=sample_names(65), shard_rows=2) as writer:
            shift = 0
            while True:
                moved = [v._replace(position=v.position + shift, end=v.end + shift) for v in variants]
                writer.add(encode(moved))
                shift += 10_000
    """)
    folder = tmp_path / "store"
    writer = subprocess.Popen([sys.executable, "-c", program, str(folder)])
    deadline = time.monotonic() + 120
    while len(list(folder.glob("run-*"))) < 20 and time.monotonic() < deadline:
        assert writer.poll() is None
        time.sleep(0.02)
    os.kill(writer.pid, signal.SIGKILL)
    assert writer.wait() == -signal.SIGKILL
    assert list(folder.glob("run-*"))
    assert not (folder / "store.json").exists()
    with pytest.raises(Damaged):
        open_store(folder)
