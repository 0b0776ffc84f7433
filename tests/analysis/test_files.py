"""Result files: Parquet block by block, GWAS-SSF with its index, and small p-values."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pysam
import pytest

from cohelix.analysis.files import GENOTYPE_COLUMNS, TableWriter, p_value_texts, read_blocks, write_ssf
from cohelix.analysis.variants import VariantList
from cohelix.core.errors import Damaged, ShapeMismatch
from cohelix.core.variant import VariantKey


def _variants() -> VariantList:
    return VariantList.of(VariantKey(contig, 10 * i, "A", "CG"[i % 2]) for contig in ("2", "10", "X") for i in range(50))


def _columns(lines: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(lines)
    return {
        "trait": np.arange(lines) % 2,
        "n": np.full(lines, 300),
        "effect_allele_frequency": rng.random(lines),
        "beta": rng.normal(size=lines),
        "standard_error": rng.random(lines),
        "neg_log10_p": rng.random(lines) * 400,
    }


def test_a_table_is_written_block_by_block_and_read_by_others(tmp_path: Path) -> None:
    variants = _variants()
    writer = TableWriter(tmp_path, variants, ["first", "second"], metadata={"plan": "abc"})
    kept = []
    for start in range(0, len(variants), 40):
        rows = np.repeat(np.arange(start, min(len(variants), start + 40)), 2)
        columns = _columns(len(rows))
        kept.append(columns["beta"])
        writer.write(rows, columns)
        assert not (tmp_path / "results.parquet").exists()
    writer.close()
    frame = pl.read_parquet(tmp_path / "results.parquet")
    assert frame["beta"].to_list() == np.concatenate(kept).tolist()
    assert frame["trait"].to_list()[:3] == ["first", "second", "first"]
    assert frame["base_pair_location"][2] == 11
    write_ssf(tmp_path)
    lines = gzip.decompress((tmp_path / "results.tsv.gz").read_bytes()).decode().splitlines()
    assert lines[0].split("\t")[:8] == [
        "chromosome", "base_pair_location", "effect_allele", "other_allele", "beta", "standard_error",
        "effect_allele_frequency", "p_value",
    ]  # fmt: skip
    assert len(lines) == 2 * len(variants) + 1
    with pysam.TabixFile(str(tmp_path / "results.tsv.gz")) as file:
        assert file.contigs == ["2", "10", "23"]
        assert len(list(file.fetch("23", 0, 100))) == 2 * 10
        assert next(file.fetch("10", 10, 11)).split("\t")[:4] == ["10", "11", "G", "A"]


def test_small_p_values_are_written_from_their_logarithm() -> None:
    logs = np.array([0.0, 0.3010299956639812, 3.9999999, 4.0, 7.999999999, 300.5, 12345.678, np.nan])
    texts = p_value_texts(logs)
    assert texts[-1] == "#NA"
    for text, log in zip(texts[:-1], logs[:-1].tolist(), strict=True):
        assert abs(float(-Decimal(text).log10()) - log) < 5e-6


def test_a_table_without_a_line_is_still_a_table(tmp_path: Path) -> None:
    TableWriter(tmp_path, _variants(), ["first"], metadata={}).close()
    write_ssf(tmp_path)
    assert gzip.decompress((tmp_path / "results.tsv.gz").read_bytes()).decode().count("\n") == 1
    assert pl.read_parquet(tmp_path / "results.parquet").height == 0


def test_faults_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    writer = TableWriter(tmp_path, _variants(), ["first"], metadata={})
    rows = np.arange(3)
    writer.write(rows, {"beta": np.zeros(3)})
    with pytest.raises(ShapeMismatch):
        writer.write(rows, {"beta": np.zeros(2)})
    with pytest.raises(ShapeMismatch):
        writer.write(rows, {"other": np.zeros(3)})
    writer.abandon()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "results.parquet").write_bytes(b"nothing")
    with pytest.raises(Damaged):
        list(read_blocks(tmp_path))


def test_genotype_counts_are_left_out_where_they_must_be(tmp_path: Path) -> None:
    writer = TableWriter(tmp_path, _variants(), ["first"], metadata={}, without=GENOTYPE_COLUMNS)
    more = {name: np.arange(5) for name in ("n0", "n1", "n2", "hwe_p", "n")}
    writer.write(np.arange(5), {"beta": np.zeros(5), **more})
    writer.close()
    assert {"n0", "n1", "n2", "hwe_p"}.isdisjoint(pl.read_parquet(tmp_path / "results.parquet").columns)
    assert "n" in pl.read_parquet(tmp_path / "results.parquet").columns
