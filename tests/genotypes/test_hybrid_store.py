"""The hybrid store passes the suite, comes back as it was written, and refuses damaged files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from cohelix.core.errors import Damaged
from cohelix.core.genome import Assembly
from cohelix.genotypes import kernels
from cohelix.genotypes.hybrid_store import HybridStore
from cohelix.genotypes.model import Cohort, EncodedBatch, Strings
from cohelix.genotypes.store import GenotypeStore, open_store
from cohelix.genotypes.writer import StoreWriter
from cohelix.testing.store_suite import (
    SAMPLE_COUNTS,
    NaiveStore,
    PlainVariant,
    StoreSuite,
    encode,
    in_batches,
    plain_variants,
    sample_names,
)


def write_store(folder: Path, batches: Sequence[EncodedBatch], samples: Sequence[str]) -> HybridStore:
    with StoreWriter(folder, assembly=Assembly.GRCH38, samples=samples) as writer:
        for batch in batches:
            writer.add(batch)
    return HybridStore.open(folder)


class TestHybridStore(StoreSuite):
    @classmethod
    def make_store(cls, folder: Path, batches: Sequence[EncodedBatch], samples: Sequence[str]) -> HybridStore:
        return write_store(folder, batches, samples)


class TestManyShards(StoreSuite):
    """Where rows of one position, and long deletions, reach over the borders of shards."""

    @pytest.fixture(scope="class", params=[33, 500])
    @classmethod
    def pair(cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[GenotypeStore, NaiveStore]:
        return cls._both(int(request.param), tmp_path_factory.mktemp("shards") / "store")

    @classmethod
    def make_store(cls, folder: Path, batches: Sequence[EncodedBatch], samples: Sequence[str]) -> HybridStore:
        with StoreWriter(folder, assembly=Assembly.GRCH38, samples=samples, shard_rows=7) as writer:
            for batch in batches:
                writer.add(batch)
        return HybridStore.open(folder)


def test_the_naive_twin_counts_as_rule_1_says() -> None:
    # 0/1  1|1  ./1  .|0  ./.  1 (haploid)  0 (haploid)  . (haploid)  0/0
    calls = [[0, 1], [1, 1], [-1, 1], [-1, 0], [-1, -1], [1, -2], [0, -2], [-1, -2], [0, 0]]
    alleles, phased = np.array(calls, np.int8), np.zeros(9, np.bool_)
    variant = PlainVariant("X", 5, 6, "A", "G", "", 0, 0, 1, "", alleles, phased)
    naive = NaiveStore([variant], sample_names(9), Assembly.GRCH38)
    counts = {name: int(column[0]) for name, column in naive.allele_counts(range(1))._asdict().items()}
    assert counts == {"an": 2 + 2 + 1 + 1 + 1 + 1 + 2, "ac": 1 + 2 + 1 + 1, "het": 1, "hom": 1, "hemi": 1, "missing": 4}
    assert naive.carriers(0).sample_index.tolist() == [0, 1, 5]


@pytest.mark.parametrize("n_samples", SAMPLE_COUNTS[:-1])
def test_a_shard_gives_back_the_batch_that_it_was_made_from(tmp_path: Path, n_samples: int) -> None:
    variants = [v for v in plain_variants(n_samples) if v.contig == "X"]
    batch = encode(sorted(variants, key=lambda v: (v.position, v.record, v.alt_index)))
    back = write_store(tmp_path / "store", [batch], sample_names(n_samples)).shard(0).batch(0, len(batch))
    for name in EncodedBatch.__dataclass_fields__:
        before, after = getattr(batch, name), getattr(back, name)
        if isinstance(before, Strings):
            assert before.heap == after.heap, name
            np.testing.assert_array_equal(before.offsets, after.offsets, name)
        elif name not in ("pattern", "ploidy"):  # numbered anew
            np.testing.assert_array_equal(before, after, name)
    np.testing.assert_array_equal(batch.ploidy[batch.pattern], back.ploidy[back.pattern])


def test_every_form_of_row_is_examined(tmp_path: Path) -> None:
    variants = plain_variants(500)
    store = write_store(tmp_path / "store", in_batches(variants, np.random.default_rng(0)), sample_names(500))
    flags = np.concatenate([store.shard(i).file.array("flags") for i in range(len(store.info.contigs))])
    assert set((flags & (kernels.ROW_LOW | kernels.ROW_HIGH)).tolist()) == {
        0,
        kernels.ROW_LOW,
        kernels.ROW_LOW | kernels.ROW_HIGH,
    }
    assert set((flags >> kernels.ROW_PHASE_SHIFT & 3).tolist()) == {0, 1, 2}
    for form in (0, kernels.ROW_LOW, kernels.ROW_LOW | kernels.ROW_HIGH):
        of_form = flags[(flags & 3) == form]
        assert (of_form & kernels.ROW_HALF).any(), form
        assert form & kernels.ROW_HIGH or (of_form & kernels.ROW_MISSING).any()


def test_fully_phased_variants_come_back_phased(tmp_path: Path) -> None:
    variants = [v for v in plain_variants(64) if v.contig == "22"]
    complete = [v._replace(alleles=np.abs(v.alleles), phased=np.ones(64, np.bool_)) for v in variants]
    store = write_store(tmp_path / "store", [encode(complete)], sample_names(64))
    assert store.calls(range(len(complete))).phased.all()


def test_cohorts_may_be_read_only(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", in_batches(plain_variants(65), np.random.default_rng(0)), sample_names(65))
    cohort = Cohort.of(65, np.arange(10))
    expected = np.stack(store.allele_counts(range(20), cohort))
    for array in (cohort.flags, cohort.bits, cohort.pairs):
        array.flags.writeable = False
    np.testing.assert_array_equal(np.stack(store.allele_counts(range(20), cohort)), expected)
    assert len(store.carriers(0, cohort).copies) <= 10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_store(tmp_path / "store", in_batches(plain_variants(33), np.random.default_rng(0)), sample_names(33))
    return tmp_path / "store"


def test_a_flipped_bit_anywhere_is_found_and_its_file_named(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for place in (0, len(whole) - 1, *rng.integers(0, len(whole), 6).tolist()):
            broken = bytearray(whole)
            broken[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(broken)
            with pytest.raises(Damaged, match=path.name):
                open_store(folder).verify()
        path.write_bytes(whole)
    open_store(folder).verify()


def test_a_truncated_or_absent_file_is_refused_at_open(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for size in (0, 10, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:size])
            with pytest.raises(Damaged, match=path.name):
                open_store(folder)
        path.unlink()
        with pytest.raises(Damaged, match=path.name):
            open_store(folder)
        path.write_bytes(whole)


def test_another_files_shard_or_version_is_refused(folder: Path) -> None:
    path = folder / "0000-00000.shard"
    whole = bytearray(path.read_bytes())
    for place, value in ((0, b"OTHERFMT"), (8, b"\x63\x00\x00\x00"), (24, b"\x01\x00\x00\x00")):
        path.write_bytes(bytes(whole[:place]) + value + bytes(whole[place + len(value) :]))
        with pytest.raises(Damaged, match=path.name):
            open_store(folder).key(0)
