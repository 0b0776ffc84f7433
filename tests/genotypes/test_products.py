"""Sums over people are what the decoded dosages give: rare and common, missing, haploid, any columns in any order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cohelix.analysis.data import ArrayGenotypes
from cohelix.analysis.genotypes import StoreGenotypes
from cohelix.core.arrays import FloatArray, IntArray
from cohelix.core.errors import ShapeMismatch
from cohelix.core.genome import HAPLOID_CONTIGS, Assembly, Region
from cohelix.genotypes import GenotypePart, StoreWriter, load_genotypes
from cohelix.genotypes.hybrid_store import HybridStore
from cohelix.genotypes.kernels import ROW_HIGH, ROW_LOW
from cohelix.genotypes.products import ALL_REFERENCE, NOT_ASSESSED
from cohelix.genotypes.store import open_store
from cohelix.testing.store_suite import NaiveStore, in_batches, plain_variants, sample_names

# Around words and tiles; at 40,000 samples lists are wider than 16 bits.
N_SAMPLES = (1, 33, 65, 500, 40_000)


def pair_of_stores(folder: Path, n_samples: int, seed: int = 0) -> tuple[HybridStore, NaiveStore]:
    variants = plain_variants(n_samples, seed)
    with StoreWriter(folder, assembly=Assembly.GRCH38, samples=sample_names(n_samples), shard_rows=97) as writer:
        for batch in in_batches(variants, np.random.default_rng(n_samples)):
            writer.add(batch)
    return HybridStore.open(folder), NaiveStore(variants, sample_names(n_samples), Assembly.GRCH38)


def naive_dosages(store: NaiveStore, samples: IntArray, rows: IntArray, *, haploid_two: bool) -> FloatArray:
    """(variants, people), by the definition."""
    found = np.empty((len(rows), len(samples)))
    for place, row in enumerate(rows.tolist()):
        if row < 0:
            found[place] = {NOT_ASSESSED: np.nan, ALL_REFERENCE: 0.0}[row]
            continue
        alleles = store.variants[row].alleles[samples]
        found[place] = np.where((alleles == -1).any(axis=1), np.nan, (alleles == 1).sum(axis=1))
        if haploid_two and store.variants[row].contig in HAPLOID_CONTIGS:
            found[place, alleles[:, 1] == -2] *= 2
    return found


def assert_same(found: StoreGenotypes, dosages: FloatArray, variants: IntArray, columns: int, square_columns: int) -> None:
    """Both give the same sums; sums of float64 differ by the order of adding only."""
    naive = ArrayGenotypes(dosages)
    rng = np.random.default_rng(columns)
    table = rng.normal(size=(dosages.shape[1], columns))
    squares = rng.normal(size=(dosages.shape[1], square_columns)) if square_columns else None
    # Relative to the sum of absolute values: a sum that cancels has no digits of its own.
    absolute = [np.abs(one).sum(axis=0).max(initial=1) for one in (table, squares) if one is not None]
    scale = 1e-13 * 4 * max(absolute)
    ours, expected = found.products(variants, table, squares), naive.products(variants, table, squares)
    for name, one, other in zip(ours._fields, ours, expected, strict=True):
        if name in ("n0", "n1", "n2"):
            np.testing.assert_array_equal(one, other, name)
        else:
            np.testing.assert_allclose(one, other, rtol=1e-13, atol=scale, err_msg=name)
    np.testing.assert_allclose(
        found.missing_products(variants, table), naive.missing_products(variants, table), rtol=1e-13, atol=scale
    )
    np.testing.assert_array_equal(found.dosages(variants), dosages[variants])


@pytest.mark.parametrize("haploid_two", [True, False])
@pytest.mark.parametrize("n_samples", N_SAMPLES)
def test_sums_are_those_of_the_dosages(tmp_path: Path, n_samples: int, haploid_two: bool) -> None:
    store, naive = pair_of_stores(tmp_path / "store", n_samples)
    rng = np.random.default_rng(n_samples)
    for share in (1.0, 0.6, 0.05) if n_samples < 10_000 else (0.02,):
        samples = rng.permutation(n_samples)[: max(1, int(share * n_samples))]
        rows = rng.integers(ALL_REFERENCE, store.info.n_variants, 300)
        people = rng.permutation(len(samples))
        dosages = np.empty((len(rows), len(samples)))
        dosages[:, people] = naive_dosages(naive, samples, rows, haploid_two=haploid_two)
        genotypes = StoreGenotypes([GenotypePart(store, samples, people, rows, haploid_two=haploid_two)], len(samples))
        for columns, square_columns in ((1, 0), (8, 1), (29, 9), (0, 3)):
            assert_same(genotypes, dosages, rng.permutation(len(rows)), columns, square_columns)


def test_every_form_of_a_row_is_among_those_compared(tmp_path: Path) -> None:
    store, _ = pair_of_stores(tmp_path / "store", 500)
    forms = np.concatenate(
        [store.shard(at).file.array("flags") & (ROW_LOW | ROW_HIGH) for at in range(len(store.shard_rows()))]
    )
    assert (np.bincount(forms, minlength=4)[[0, ROW_LOW, ROW_LOW | ROW_HIGH]] > 10).all()


def test_people_of_several_stores_are_summed_as_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    order = rng.permutation(33 + 65 + 500)
    parts, dosages, start = [], np.empty((200, len(order))), 0
    for number, n_samples in enumerate((33, 65, 500)):
        store, naive = pair_of_stores(tmp_path / f"store{number}", n_samples, seed=number)
        rows, people = rng.integers(ALL_REFERENCE, store.info.n_variants, 200), order[start : start + n_samples]
        samples = rng.permutation(n_samples)
        parts.append(GenotypePart(store, samples, people, rows, haploid_two=True))
        dosages[:, people] = naive_dosages(naive, samples, rows, haploid_two=True)
        start += n_samples
    assert_same(StoreGenotypes(parts, len(order)), dosages, np.arange(200), 17, 2)


def test_splitting_or_reordering_people_changes_no_count_and_only_the_last_bits_of_sums(tmp_path: Path) -> None:
    store, _ = pair_of_stores(tmp_path / "store", 500)
    rng = np.random.default_rng(5)
    rows, table = np.arange(store.info.n_variants), rng.normal(size=(500, 8))
    whole = StoreGenotypes([GenotypePart(store, np.arange(500), np.arange(500), rows, haploid_two=True)], 500)
    shuffled = rng.permutation(500)
    cut = [GenotypePart(store, part, part, rows, haploid_two=True) for part in np.split(shuffled, [7, 200])]
    one, other = whole.products(rows, table), StoreGenotypes(cut, 500).products(rows, table)
    for name in ("n0", "n1", "n2"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_allclose(one.products, other.products, rtol=1e-13, atol=1e-12)


def test_who_is_not_exactly_one_column_is_refused(tmp_path: Path) -> None:
    store, _ = pair_of_stores(tmp_path / "store", 33)
    rows, first = np.arange(10), np.arange(20)

    def part(samples: IntArray, people: IntArray, of_rows: IntArray = rows) -> GenotypePart:
        return GenotypePart(store, samples, people, of_rows, haploid_two=True)

    with pytest.raises(ShapeMismatch, match="named twice"):
        part(np.array([3, 3]), np.array([0, 1]))
    with pytest.raises(ShapeMismatch, match="outside"):
        part(np.array([33]), np.array([0]))
    with pytest.raises(ShapeMismatch, match="outside the store"):
        part(first, first, np.array([store.info.n_variants]))
    with pytest.raises(ShapeMismatch, match="exactly one part"):
        StoreGenotypes([part(first, first), part(np.array([20]), np.array([19]))], 20)
    with pytest.raises(ShapeMismatch, match="exactly one part"):
        StoreGenotypes([part(first, first)], 21)
    with pytest.raises(ShapeMismatch, match="no row for each"):
        StoreGenotypes([part(first, first)], 20).products(rows, np.zeros((19, 2)))
    with pytest.raises(ShapeMismatch, match="different lengths"):
        StoreGenotypes([part(first, first), part(np.array([20]), np.array([20]), rows[:5])], 21)


def test_real_genotypes_are_summed_as_their_dosages(tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "kg3-chr22-cen" / "kg3.chr22.16.05-16.64Mb.GRCh37.bcf"
    load_genotypes([source], tmp_path / "store", assembly=Assembly.GRCH37)
    store = open_store(tmp_path / "store")
    samples = np.random.default_rng(6).permutation(len(store.info.samples))[:1000]
    rows = np.array(store.rows_starting(Region("22", 16_050_000, 16_350_000)), np.int64)
    genotypes = StoreGenotypes([GenotypePart(store, samples, np.arange(1000), rows, haploid_two=True)], 1000)
    dosages = np.asarray(store.dosages(rows, samples, "float64"), np.float64)
    assert len(rows) > 1000
    assert_same(genotypes, dosages, np.arange(len(rows)), 8, 1)
