"""The conformance tests that every `GenotypeStore` inherits, and the naive store that they compare it with.

A backend's test class is a few lines:

    class TestMyStore(StoreSuite):
        @classmethod
        def make_store(cls, folder, batches, samples):
            return MyStore.write(folder, batches, samples)

Needs pytest (the `test` extra).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from cohelix.core.arrays import AlleleArray, AlleleCounts, BoolArray, FloatArray, IntArray
from cohelix.core.errors import ShapeMismatch
from cohelix.core.genome import Assembly, Region, contig_order
from cohelix.core.variant import VariantKey, trim
from cohelix.genotypes import Calls, Carriers, Cohort, DosageType, EncodedBatch, StoreInfo, VariantTable, encode_calls
from cohelix.genotypes.store import GenotypeStore

# Around the words of 32 and 64, dense at 1, sparse at 500; at 40,000 a listed sample no longer fits 16 bits.
SAMPLE_COUNTS = (1, 31, 32, 33, 63, 64, 65, 500, 40_000)


class PlainVariant(NamedTuple):
    """One ALT of one record, with nothing encoded: alleles (N, 2) int8 as in `Calls`, phased (N,) bool."""

    contig: str
    position: int
    end: int
    ref: str
    alt: str
    id: str
    record: int
    alt_index: int
    n_alts: int
    source: str
    alleles: AlleleArray
    phased: BoolArray


class NaiveStore:
    """A `GenotypeStore` over a list of variants; every operation straight from its definition."""

    def __init__(self, variants: Sequence[PlainVariant], samples: Sequence[str], assembly: Assembly) -> None:
        self.variants = sorted(variants, key=lambda v: (contig_order(v.contig), v.position, v.record, v.alt_index))
        contigs = tuple(dict.fromkeys(v.contig for v in self.variants))
        self.info = StoreInfo(assembly, tuple(samples), len(self.variants), contigs, 1)

    def contig_rows(self, contig: str) -> range:
        """Rows are in contig order, so a contig's are consecutive."""
        rows = [row for row, v in enumerate(self.variants) if v.contig == contig]
        return range(rows[0], rows[-1] + 1) if rows else range(0)

    def rows_starting(self, region: Region) -> range:
        """By position."""
        rows = [r for r in self.contig_rows(region.contig) if region.start <= self.variants[r].position < region.end]
        return range(rows[0], rows[-1] + 1) if rows else range(0)

    def rows_overlapping(self, region: Region) -> IntArray:
        """By position and end."""
        if region.end <= region.start:
            return np.empty(0, np.int64)
        rows = self.contig_rows(region.contig)
        found = [r for r in rows if self.variants[r].position < region.end and self.variants[r].end > region.start]
        return np.array(found, np.int64)

    def rows_of(self, key: VariantKey) -> list[int]:
        """By name."""
        return [row for row in range(len(self.variants)) if self.key(row) == key]

    def rows_named(self, identifier: str) -> IntArray:
        """By the source's id."""
        return np.array([row for row, v in enumerate(self.variants) if identifier in v.id.split(";")], np.int64)

    def key(self, row: int) -> VariantKey:
        """Its name."""
        return VariantKey(*self.variants[row][:2], self.variants[row].ref, self.variants[row].alt)

    def table(self, rows: range) -> VariantTable:
        """The columns, one by one."""
        chosen = [self.variants[row] for row in rows]
        return VariantTable(
            contig=chosen[0].contig if chosen else "",
            position=np.array([v.position for v in chosen], np.uint32),
            end=np.array([v.end for v in chosen], np.uint32),
            ref=[v.ref for v in chosen],
            alt=[v.alt for v in chosen],
            id=[v.id for v in chosen],
            record=np.array([v.record for v in chosen], np.int64),
            alt_index=np.array([v.alt_index for v in chosen], np.int64),
            n_alts=np.array([v.n_alts for v in chosen], np.int64),
            source=[v.source for v in chosen],
        )

    def allele_counts(self, rows: range | IntArray, cohort: Cohort | None = None) -> AlleleCounts:
        """Rule 1 of the interface, person by person."""
        members = np.ones(len(self.info.samples), np.bool_) if cohort is None else cohort.flags == 1
        counts = np.zeros((len(rows), 6), np.int64)
        for i, row in enumerate(rows):
            first, second = self.variants[row].alleles[members].T
            haploid = second == -2
            complete = (first >= 0) & (second != -1)
            copies = (first == 1).astype(int) + (second == 1)
            counts[i, 0] = (first >= 0).sum() + (second >= 0).sum()
            counts[i, 1] = copies.sum()
            counts[i, 2] = (complete & ~haploid & (copies == 1)).sum()
            counts[i, 3] = (complete & (copies == 2)).sum()
            counts[i, 4] = (complete & haploid & (copies == 1)).sum()
            counts[i, 5] = (~complete).sum()
        return AlleleCounts(*counts.T)

    def carriers(self, row: int, cohort: Cohort | None = None) -> Carriers:
        """From the dosages."""
        dosage = np.nan_to_num(self.dosages(np.array([row]), dtype="float64")[0])
        if cohort is not None:
            dosage[cohort.flags == 0] = 0
        samples = np.flatnonzero(dosage)
        return Carriers(samples, dosage[samples].astype(np.uint8))

    def dosages(self, rows: range | IntArray, samples: IntArray | None = None, dtype: DosageType = "float32") -> FloatArray:
        """Copies of ALT where all of a call is called."""
        alleles = self.calls(rows).alleles if samples is None else self.calls(rows).alleles[:, samples]
        copies: FloatArray = (alleles == 1).sum(axis=2).astype(dtype)
        copies[(alleles == -1).any(axis=2)] = np.nan
        return copies

    def calls(self, rows: range | IntArray) -> Calls:
        """As given, but that an unphased het reads 0/1."""
        n_samples = len(self.info.samples)
        alleles = np.array([self.variants[row].alleles for row in rows], np.int8).reshape(-1, n_samples, 2)
        phased = np.array([self.variants[row].phased for row in rows], np.bool_).reshape(-1, n_samples)
        swapped = ~phased & (alleles[:, :, 0] == 1) & (alleles[:, :, 1] == 0)
        alleles[swapped] = (0, 1)
        return Calls(alleles, phased)

    def verify(self) -> None:
        """Nothing is stored."""


# ---- data


@cache
def plain_variants(n_samples: int, seed: int = 0) -> tuple[PlainVariant, ...]:
    """Random variants in file order: contigs one after another, ascending positions within each."""
    rng = np.random.default_rng([n_samples, seed])
    male = rng.random(n_samples) < 0.5
    n_records = 60 if n_samples < 10_000 else 8
    variants: list[PlainVariant] = []
    record = 0
    for contig in ("X", "22", "MT", "GL000191.1", "Y", "2"):
        for position in np.sort(rng.integers(0, 4 * n_records, n_records)).tolist():
            variants += _record(rng, contig, position, record, male)
            record += 1
    return tuple(variants)


def _record(rng: np.random.Generator, contig: str, position: int, record: int, male: BoolArray) -> list[PlainVariant]:
    """One source record: its alleles, who has which, and a variant for each ALT."""
    ref, alts, end = _alleles(rng, position)
    calls, phased = _random_calls(rng, contig, len(alts), male)
    written = f"{position + 1}\t{ref}\t{','.join(alts)}"
    name = str(rng.choice(["", f"rs{rng.integers(1, 1 << 31)}", "rs007", "esv3", f"{contig}-{position + 1}-{ref}-{alts[0]}"]))
    variants = []
    for i, alt in enumerate(alts):
        at, short_ref, short_alt = trim(position, ref, alt)
        source = "" if (f"{at + 1}\t{short_ref}\t{short_alt}", len(alts)) == (written, 1) else written
        alleles = np.where(calls > 0, calls == i + 1, calls).astype(np.int8)
        stop = at + len(short_ref) if end is None else end
        variants.append(
            PlainVariant(contig, at, stop, short_ref, short_alt, name, record, i, len(alts), source, alleles, phased)
        )
    return variants


def _alleles(rng: np.random.Generator, position: int) -> tuple[str, list[str], int | None]:
    """REF, ALTs, and the end of a symbolic one."""
    bases = [str(base) for base in rng.permutation(list("ACGT"))]
    kind = rng.choice(["snv", "insertion", "deletion", "long deletion", "symbolic", "several", "several snvs", "star"])
    tail = "".join(str(base) for base in rng.choice(list("ACGT"), int(rng.integers(1, 40))))
    several = [bases[1], bases[0] + tail] if rng.random() < 0.5 else [bases[0] + tail, bases[1], bases[0] + tail + "A"]
    options: dict[str, tuple[str, list[str], int | None]] = {
        "snv": (bases[0], [bases[1]], None),
        "insertion": (bases[0], [bases[0] + tail], None),
        "deletion": (bases[0] + tail, [bases[0]], None),
        "long deletion": (bases[0] + tail * 5, [bases[0]], None),
        "symbolic": (bases[0], ["<DEL>"], position + int(rng.integers(1, 200))),
        "several": (bases[0], several, None),
        "several snvs": (bases[0], bases[1:4], None),
        "star": (bases[0], [bases[1], "*"], None),
    }
    return options[str(kind)]


def _random_calls(
    rng: np.random.Generator, contig: str, n_alts: int, male: BoolArray
) -> tuple[npt.NDArray[np.int64], BoolArray]:
    """Allele numbers (N, 2) of a record, -1 not called, -2 no second allele, and phase (N,)."""
    n_samples = len(male)
    frequency = rng.choice([0.0, 0.002, 0.02, 0.2, 0.6, 0.99])
    calls = np.where(rng.random((n_samples, 2)) < frequency, rng.integers(1, n_alts + 1, (n_samples, 2)), 0)
    calls[rng.random(n_samples) < rng.choice([0, 0, 0.01, 0.3, 1.0])] = -1  # nothing called
    calls[rng.random((n_samples, 2)) < rng.choice([0, 0, 0.01, 0.2])] = -1  # half-calls
    haploid = {"X": male & (rng.random() < 0.7), "Y": male, "MT": np.ones(n_samples, np.bool_)}.get(contig, male & False)
    calls[haploid, 1] = -2
    phased = rng.random(n_samples) < rng.choice([0.0, 0.5, 1.0])
    return calls, phased & ~haploid & (calls >= 0).any(axis=1)


def encode(variants: Sequence[PlainVariant]) -> EncodedBatch:
    """Variants of one contig as a batch."""
    columns = list(zip(*variants, strict=True))
    contig, (positions, ends, refs, alts, ids, records, alt_indexes, n_alts, sources) = variants[0].contig, columns[1:10]
    alleles, phased = np.stack(columns[10]), np.stack(columns[11])
    return encode_calls(contig, positions, ends, refs, alts, ids, records, alt_indexes, n_alts, sources, alleles, phased)


def in_batches(variants: Sequence[PlainVariant], rng: np.random.Generator) -> list[EncodedBatch]:
    """Variants cut at random into batches of one contig each; positions never descend from one batch to the next."""
    batches = []
    for _, group in groupby(sorted(variants, key=lambda v: (v.contig, v.position)), key=lambda v: v.contig):
        of_contig = list(group)
        cuts = sorted({0, len(of_contig), *rng.integers(0, len(of_contig), 4).tolist()})
        batches += [encode(of_contig[start:stop]) for start, stop in pairwise(cuts)]
    return batches


def sample_names(n_samples: int) -> list[str]:
    """`s0`, `s1`, …"""
    return [f"s{i}" for i in range(n_samples)]


# ---- the examination


class StoreSuite:
    """Inherit, and define `make_store`."""

    @classmethod
    def make_store(cls, folder: Path, batches: Sequence[EncodedBatch], samples: Sequence[str]) -> GenotypeStore:
        """A store in `folder` of these batches (GRCh38); one contig's come one after another, ascending."""
        raise AssertionError("a backend's test class defines make_store")

    @pytest.fixture(scope="class", params=SAMPLE_COUNTS)
    @classmethod
    def pair(cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[GenotypeStore, NaiveStore]:
        """The store under examination and its naive twin, over the same variants."""
        n_samples = int(request.param)
        return cls._both(n_samples, tmp_path_factory.mktemp(f"store-{n_samples}") / "store")

    @classmethod
    def _both(cls, n_samples: int, folder: Path, order: IntArray | None = None) -> tuple[GenotypeStore, NaiveStore]:
        variants: Sequence[PlainVariant] = plain_variants(n_samples)
        if order is not None:
            variants = [v._replace(alleles=v.alleles[order], phased=v.phased[order]) for v in variants]
        samples = sample_names(n_samples)
        batches = in_batches(variants, np.random.default_rng(n_samples))
        return cls.make_store(folder, batches, samples), NaiveStore(variants, samples, Assembly.GRCH38)

    def test_info_names_samples_and_contigs_in_order(self, pair: tuple[GenotypeStore, NaiveStore]) -> None:
        store, naive = pair
        assert store.info._replace(format_version=1) == naive.info
        assert store.info.contigs == ("2", "22", "X", "Y", "MT", "GL000191.1")

    def test_rows_are_in_order_of_contig_position_and_file(self, pair: tuple[GenotypeStore, NaiveStore]) -> None:
        store, naive = pair
        assert [store.key(row) for row in range(store.info.n_variants)] == [naive.key(r) for r in range(len(naive.variants))]
        for row in range(store.info.n_variants):
            table = store.table(range(row, row + 1))
            assert store.name(row) == (store.key(row), int(table.end[0]), table.id[0])
        for contig in (*naive.info.contigs, "7", "chr22"):
            assert store.contig_rows(contig) == naive.contig_rows(contig)

    def test_regions_give_the_rows_that_start_in_them_and_those_that_reach_in(
        self, pair: tuple[GenotypeStore, NaiveStore]
    ) -> None:
        store, naive = pair
        rng = np.random.default_rng(1)
        last = max(v.end for v in naive.variants)
        for _ in range(200):
            start, end = rng.integers(-2, last + 3, 2).tolist()
            region = Region(str(rng.choice([*naive.info.contigs, "7"])), min(start, end), max(start, end))
            assert list(store.rows_starting(region)) == list(naive.rows_starting(region)), region
            assert store.rows_overlapping(region).tolist() == naive.rows_overlapping(region).tolist(), region
            assert store.rows_overlapping(region).dtype == np.int64
        everything = Region("22", 0, 1 << 31)
        assert store.rows_starting(everything) == naive.contig_rows("22")

    def test_exact_lookup_finds_every_variant_and_no_other(self, pair: tuple[GenotypeStore, NaiveStore]) -> None:
        store, naive = pair
        for row in np.random.default_rng(8).permutation(len(naive.variants))[:100].tolist():
            v = naive.variants[row]
            key = VariantKey(v.contig, v.position, v.ref, v.alt)
            assert store.rows_of(key) == naive.rows_of(key)
            for other in (
                key._replace(alt=key.alt + "G"),
                key._replace(ref=key.ref + "G"),
                key._replace(position=key.position + 1),
                key._replace(contig="7"),
            ):
                assert store.rows_of(other) == naive.rows_of(other)
        assert store.rows_of(VariantKey("22", -1, "A", "G")) == []
        assert store.rows_of(VariantKey("22", 1 << 33, "A", "G")) == []

    def test_rows_are_found_by_the_sources_id(self, pair: tuple[GenotypeStore, NaiveStore]) -> None:
        store, naive = pair
        ids = {one for v in naive.variants for one in v.id.split(";") if one and str(v.position + 1) not in one}
        assert ids
        for identifier in [*sorted(ids)[:50], "rs0", "rs", "rs4026531840", "rs99999999999", "no such id", ";"]:
            assert store.rows_named(identifier).tolist() == naive.rows_named(identifier).tolist(), identifier
            assert store.rows_named(identifier).dtype == np.int64
        assert store.rows_named("").tolist() == []

    def test_tables_name_rows_as_the_source_did(self, pair: tuple[GenotypeStore, NaiveStore]) -> None:
        store, naive = pair
        for contig in naive.info.contigs:
            rows = naive.contig_rows(contig)
            for part in (rows, rows[3:], rows[2:5], rows[1:2]):
                found, expected = store.table(part), naive.table(part)
                for name, column in expected._asdict().items():
                    assert list(getattr(found, name)) == list(column), (contig, part, name)
        assert store.table(range(0)).ref == []

    def test_counts_follow_the_definition(self, pair: tuple[GenotypeStore, NaiveStore]) -> None:
        store, naive = pair
        rows = range(store.info.n_variants)
        for cohort in _cohorts(len(store.info.samples)):
            found, expected = store.allele_counts(rows, cohort), naive.allele_counts(rows, cohort)
            for name, column in expected._asdict().items():
                np.testing.assert_array_equal(getattr(found, name), column, name)
        shuffled = np.random.default_rng(2).integers(0, len(rows), 50)
        np.testing.assert_array_equal(np.stack(store.allele_counts(shuffled)), np.stack(naive.allele_counts(shuffled)))
        assert store.allele_counts(range(0)).an.shape == (0,)

    def test_carriers_follow_the_definition(self, pair: tuple[GenotypeStore, NaiveStore]) -> None:
        store, naive = pair
        rows = np.random.default_rng(3).permutation(store.info.n_variants)[:150].tolist()
        for cohort in _cohorts(len(store.info.samples))[:3]:
            for row in rows:
                found, expected = store.carriers(row, cohort), naive.carriers(row, cohort)
                np.testing.assert_array_equal(found.sample_index, expected.sample_index)
                np.testing.assert_array_equal(found.copies, expected.copies)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_dosages_follow_the_definition(self, pair: tuple[GenotypeStore, NaiveStore], dtype: DosageType) -> None:
        store, naive = pair
        rng = np.random.default_rng(4)
        n_samples = len(store.info.samples)
        for rows in (range(store.info.n_variants), rng.permutation(store.info.n_variants)[:20], range(0)):
            for samples in (None, rng.permutation(n_samples)[: n_samples // 2 + 1]):
                found = store.dosages(rows, samples, dtype)
                assert found.dtype == dtype
                np.testing.assert_array_equal(found, naive.dosages(rows, samples, dtype))

    def test_calls_come_back_as_they_were(self, pair: tuple[GenotypeStore, NaiveStore]) -> None:
        store, naive = pair
        for rows in (range(store.info.n_variants), np.arange(store.info.n_variants)[::-7]):
            found, expected = store.calls(rows), naive.calls(rows)
            np.testing.assert_array_equal(found.alleles, expected.alleles)
            # Phase says something of hets and half-calls only.
            first, second = expected.alleles[:, :, 0], expected.alleles[:, :, 1]
            told = (second != -2) & (first != second)
            np.testing.assert_array_equal(found.phased[told], expected.phased[told])

    def test_permuting_samples_changes_no_count(self, tmp_path: Path) -> None:
        order = np.random.default_rng(5).permutation(500)
        plain, _ = self._both(500, tmp_path / "plain")
        permuted, _ = self._both(500, tmp_path / "permuted", order)
        rows = range(plain.info.n_variants)
        chosen = np.random.default_rng(6).random(500) < 0.3
        for one, other in ((None, None), (Cohort.of(500, chosen), Cohort.of(500, chosen[order]))):
            np.testing.assert_array_equal(
                np.stack(plain.allele_counts(rows, one)), np.stack(permuted.allele_counts(rows, other))
            )

    def test_splitting_a_cohort_adds_up(self, pair: tuple[GenotypeStore, NaiveStore]) -> None:
        store, _ = pair
        n_samples = len(store.info.samples)
        part = np.random.default_rng(7).integers(0, 3, n_samples)
        rows = range(store.info.n_variants)
        parts = [np.stack(store.allele_counts(rows, Cohort.of(n_samples, part == k))) for k in range(3)]
        np.testing.assert_array_equal(sum(parts), np.stack(store.allele_counts(rows)))

    def test_many_threads_read_the_same(self, pair: tuple[GenotypeStore, NaiveStore]) -> None:
        store, _ = pair
        rows = range(store.info.n_variants)
        cohorts = _cohorts(len(store.info.samples)) * 4
        alone = [np.stack(store.allele_counts(rows, cohort)) for cohort in cohorts]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda cohort: np.stack(store.allele_counts(rows, cohort)), cohorts))
        np.testing.assert_array_equal(alone, together)

    def test_requests_that_do_not_fit_are_refused(self, pair: tuple[GenotypeStore, NaiveStore]) -> None:
        store, _ = pair
        n_rows, n_samples = store.info.n_variants, len(store.info.samples)
        for ask in (
            lambda: store.allele_counts(range(3), Cohort.of(n_samples + 1)),
            lambda: store.carriers(0, Cohort.of(n_samples + 1)),
            lambda: store.allele_counts(range(n_rows + 1)),
            lambda: store.allele_counts(np.array([-1])),
            lambda: store.carriers(n_rows),
            lambda: store.key(-1),
            lambda: store.calls(np.array([n_rows])),
            lambda: store.dosages(range(2), np.array([n_samples])),
            lambda: store.table(range(n_rows)),
            lambda: store.table(range(n_rows - 1, n_rows + 1)),
        ):
            with pytest.raises(ShapeMismatch):
                ask()

    def test_an_undamaged_store_verifies(self, pair: tuple[GenotypeStore, NaiveStore]) -> None:
        store, _ = pair
        store.verify()

    def test_a_store_may_be_empty(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path / "store", [], sample_names(3))
        assert (store.info.n_variants, store.info.contigs) == (0, ())
        assert store.rows_of(VariantKey("22", 1, "A", "G")) == []
        assert store.rows_overlapping(Region("22", 0, 10)).size == 0
        assert store.allele_counts(store.contig_rows("22")).ac.shape == (0,)
        store.verify()


def _cohorts(n_samples: int) -> list[Cohort | None]:
    """Everybody (both ways), nobody, one person, and random groups."""
    rng = np.random.default_rng(n_samples)
    groups = [Cohort.of(n_samples, rng.random(n_samples) < share) for share in (0.1, 0.5, 0.9)]
    return [None, groups[0], groups[1], groups[2], Cohort.of(n_samples), Cohort.of(n_samples, np.array([n_samples - 1])),
            Cohort.of(n_samples, np.empty(0, np.int64))]  # fmt: skip
