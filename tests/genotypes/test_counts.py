"""Tables of counts answer what the store counts, in few bytes, and refuse damaged files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cohelix.core.arrays import IntArray
from cohelix.core.errors import Conflict, Damaged, ShapeMismatch
from cohelix.core.genome import Assembly
from cohelix.genotypes.counts import open_counts, write_counts
from cohelix.genotypes.model import Cohort
from cohelix.genotypes.store import GenotypeStore
from cohelix.testing.store_suite import NaiveStore, PlainVariant, plain_variants, sample_names


def naive_store(n_samples: int) -> GenotypeStore:
    return NaiveStore(plain_variants(n_samples), sample_names(n_samples), Assembly.GRCH38)


def groups_of(n_samples: int, n_groups: int) -> dict[str, Cohort]:
    group = np.random.default_rng(n_samples).integers(0, n_groups, n_samples)
    return {f"group {i}": Cohort.of(n_samples, group == i) for i in range(n_groups)}


def counted(store: GenotypeStore, groups: dict[str, Cohort]) -> IntArray:
    rows = range(store.info.n_variants)
    return np.stack([np.stack(store.allele_counts(rows, cohort), axis=1) for cohort in groups.values()], axis=1)


@pytest.mark.parametrize(("n_samples", "n_groups"), [(1, 4), (33, 52), (500, 1), (500, 52)])
def test_the_table_says_what_the_store_counts(tmp_path: Path, n_samples: int, n_groups: int) -> None:
    store, groups = naive_store(n_samples), groups_of(n_samples, n_groups)
    write_counts(store, groups, tmp_path / "counts")
    table, expected = open_counts(tmp_path / "counts"), counted(store, groups)
    assert table.groups == tuple(groups)
    assert table.sizes == tuple(cohort.size for cohort in groups.values())
    np.testing.assert_array_equal(table.rows(range(store.info.n_variants)), expected)
    np.testing.assert_array_equal(table.rows(range(3, 9)), expected[3:9])
    for row in (0, 7, store.info.n_variants - 1):
        np.testing.assert_array_equal(table.row(row), expected[row])
    assert table.rows(range(5, 5)).shape == (0, n_groups, 6)
    table.verify()


def test_groups_that_cover_everybody_add_up_to_the_whole(tmp_path: Path) -> None:
    store = naive_store(500)
    write_counts(store, groups_of(500, 26), tmp_path / "counts")
    rows = range(store.info.n_variants)
    whole = np.stack(store.allele_counts(rows), axis=1)
    np.testing.assert_array_equal(open_counts(tmp_path / "counts").rows(rows).sum(axis=1), whole)


def test_rare_variants_take_a_few_bytes_however_many_groups(tmp_path: Path) -> None:
    """270 of 300 variants have one carrier in one of 52 groups."""
    rng = np.random.default_rng(0)
    variants = []
    for i in range(300):
        alleles = np.zeros((520, 2), np.int8)
        alleles[rng.integers(520) if i < 270 else slice(0, 520, 2), 0] = 1
        variants.append(PlainVariant("22", i, i + 1, "A", "G", "", i, 0, 1, "", alleles, np.zeros(520, np.bool_)))
    store = NaiveStore(variants, sample_names(520), Assembly.GRCH38)
    write_counts(store, groups_of(520, 52), tmp_path / "counts")
    size = sum(path.stat().st_size for path in (tmp_path / "counts").glob("*.counts"))
    # 4 bytes of offset and 2 of one cell for the rare, 52 cells of 2 bytes for the others; about 2 KiB of frame.
    assert size < 270 * 6 + 30 * (4 + 104) + 2048
    rows = range(300)
    np.testing.assert_array_equal(open_counts(tmp_path / "counts").rows(rows), counted(store, groups_of(520, 52)))


def test_bytes_depend_on_store_and_groups_only(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_counts(naive_store(33), groups_of(33, 4), tmp_path / name)
    one, other = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "other"))
    assert one == other


def test_no_rows_and_no_groups(tmp_path: Path) -> None:
    write_counts(NaiveStore([], ["a"], Assembly.GRCH38), {"all": Cohort.of(1)}, tmp_path / "rows")
    assert open_counts(tmp_path / "rows").rows(range(0)).shape == (0, 1, 6)
    write_counts(naive_store(33), {}, tmp_path / "groups")
    assert open_counts(tmp_path / "groups").row(3).shape == (0, 6)


def test_what_does_not_fit_or_is_damaged_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "counts"
    store = naive_store(33)
    write_counts(store, groups_of(33, 4), folder)
    table = open_counts(folder)
    for ask in (
        lambda: table.row(-1),
        lambda: table.row(store.info.n_variants),
        lambda: table.rows(range(store.info.n_variants + 1)),
    ):
        with pytest.raises(ShapeMismatch):
            ask()
    with pytest.raises(Conflict):
        write_counts(store, groups_of(33, 4), folder)
    rng = np.random.default_rng(0)
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for place in rng.integers(0, len(whole), 8).tolist():
            broken = bytearray(whole)
            broken[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(broken)
            with pytest.raises(Damaged, match=path.name):
                open_counts(folder).verify()
        path.write_bytes(whole[:-1])
        with pytest.raises(Damaged, match=path.name):
            open_counts(folder)
        path.write_bytes(whole)
