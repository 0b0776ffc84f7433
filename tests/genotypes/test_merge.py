"""Stores made of stores: the naive twin is the joined file, loaded as one."""

from __future__ import annotations

import random

import numpy as np
import pytest

from cohelix.core.errors import BadUsage
from cohelix.core.genome import Assembly
from cohelix.genotypes import load_genotypes
from cohelix.genotypes.merge import join_samples, keep_samples
from cohelix.genotypes.store import open_store

SITES = [("A", "G"), ("C", "T,A"), ("AT", "A"), ("G", "GTT"), ("T", "<DEL>"), ("CA", "C,CAA")]


def write_vcf(path, samples, rows):
    lines = ["##fileformat=VCFv4.2", "##contig=<ID=22,length=51304566>", "##contig=<ID=X,length=155270560>"]
    lines += ['##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">']
    lines += ["\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *samples])]
    for contig, position, ref, alts, calls in rows:
        lines.append(
            "\t".join([contig, str(position), ".", ref, alts, ".", ".", ".", "GT", *(calls[name] for name in samples)])
        )
    path.write_text("\n".join(lines) + "\n")
    return path


def make(seed, samples, n=120):
    rng = random.Random(seed)
    rows = []
    for number in range(n):
        ref, alts = rng.choice(SITES)
        haploid = number >= n - 30
        calls = {}
        for place, name in enumerate(samples):
            ploidy = 1 if haploid and place % 2 else 2
            n_alts = alts.count(",") + 1
            alleles = [str(rng.randint(0, n_alts)) if rng.random() < 0.3 else rng.choice("000.") for _ in range(ploidy)]
            calls[name] = rng.choice("/|").join(alleles)
        rows.append(("X" if haploid else "22", 10_000_000 + 11 * number, ref, alts, calls))
    return rows


def opened(tmp_path, name, samples, rows):
    vcf = write_vcf(tmp_path / f"{name}.vcf", samples, rows)
    load_genotypes([vcf], tmp_path / name, assembly=Assembly.GRCH37)
    return open_store(tmp_path / name)


def same(one, other):
    assert one.info == other.info
    for contig in one.info.contigs:
        rows = one.contig_rows(contig)
        mine, theirs = one.table(rows), other.table(other.contig_rows(contig))
        for name in ("ref", "alt", "source"):
            assert getattr(mine, name) == getattr(theirs, name)
        for name in ("position", "end", "alt_index", "n_alts"):
            assert (getattr(mine, name) == getattr(theirs, name)).all()
        assert (one.calls(rows).alleles == other.calls(rows).alleles).all()
        # Whether a homozygous call was written with | is kept of wholly phased rows only.
        het = (one.calls(rows).alleles == 1).sum(axis=2) == 1
        assert (one.calls(rows).phased == other.calls(rows).phased)[het].all()


def test_a_store_without_some_samples_is_the_file_without_them(tmp_path):
    samples = [f"S{number}" for number in range(40)]
    rows = make(1, samples)
    keep = np.array([number for number in range(40) if number % 7], np.int64)
    keep_samples(opened(tmp_path, "all", samples, rows), keep, tmp_path / "kept")
    same(open_store(tmp_path / "kept"), opened(tmp_path, "few", [samples[number] for number in keep], rows))


def test_two_stores_side_by_side_are_the_joined_file(tmp_path):
    samples = [f"S{number}" for number in range(50)]
    rows = make(2, samples)
    first, second = opened(tmp_path, "a", samples[:30], rows), opened(tmp_path, "b", samples[30:], rows)
    joined = join_samples(first, second, tmp_path / "joined")
    same(open_store(tmp_path / "joined"), opened(tmp_path, "both", samples, rows))
    assert (joined.first == np.arange(first.info.n_variants)).all()
    assert (joined.second == joined.first).all()


@pytest.mark.parametrize("declared", [False, True])
def test_rows_of_one_store_alone(tmp_path, declared):
    calls_a, calls_b = {"A1": "0/1", "A2": "./."}, {"B1": "1|1", "B2": "./0"}
    shared, alone = ("22", 100, "C", "T"), ("22", 300, "G", "A")
    first = opened(tmp_path, "a", ["A1", "A2"], [(*shared, calls_a), ("22", 200, "A", "G", calls_a), (*alone, calls_a)])
    second = opened(tmp_path, "b", ["B1", "B2"], [(*shared, calls_b), ("22", 200, "A", "T,G", calls_b)])
    ploidy = (lambda _contig, _position: np.array([2, 1])) if declared else None
    joined = join_samples(first, second, tmp_path / "joined", absent=(None, ploidy))
    store = open_store(tmp_path / "joined")
    names = store.table(range(store.info.n_variants))
    found = {
        (p, alt): store.calls(range(r, r + 1)).alleles[0].tolist()
        for r, (p, alt) in enumerate(zip(names.position.tolist(), names.alt, strict=True))
    }
    assert found[99, "T"] == [[0, 1], [-1, -1], [1, 1], [-1, 0]]
    # The second store's record has A>G too, as its second ALT; its A>T says that the first store's people are called there.
    assert found[199, "G"] == [[0, 1], [-1, -1], [0, 0], [-1, 0]]
    assert found[199, "T"] == [[0, 0], [-1, -1], [1, 1], [-1, 0]]
    assert found[299, "A"][2:] == ([[0, 0], [0, -2]] if declared else [[-1, -1], [-1, -1]])
    assert sorted(names.n_alts.tolist()) == [1, 1, 1, 1]
    assert sorted(joined.second.tolist()) == [-1, 0, 1, 2]


def test_a_sample_is_added_once(tmp_path):
    rows = make(3, ["S1", "S2"], 40)
    store = opened(tmp_path, "a", ["S1", "S2"], rows)
    with pytest.raises(BadUsage, match="S1"):
        join_samples(store, store, tmp_path / "joined")
