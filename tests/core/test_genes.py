"""Genes by name and by place, against known places and a naive scan of the same table."""

from __future__ import annotations

import csv
import gzip
import random
from importlib import resources
from pathlib import Path

import pytest

from cohelix.core.errors import BadFile, BadUsage
from cohelix.core.genes import COLUMNS, SETTING, find_gene, genes_in, suggest
from cohelix.core.genome import Assembly, Region, parse_region, primary_lengths


@pytest.fixture(autouse=True)
def _shipped_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SETTING, raising=False)


@pytest.mark.parametrize("text", ["CRELD2", "creld2", " CRELD2 ", "ENSG00000184164", "ENSG00000184164.10", "ENSG00000228760"])
def test_a_gene_is_found_by_symbol_id_and_former_id(text: str) -> None:
    gene = find_gene(text, Assembly.GRCH37)
    assert gene is not None
    assert (gene.symbol, gene.ensembl_id) == ("CRELD2", "ENSG00000184164")
    assert str(gene.region) == "22:50312283-50321186"


def test_the_builds_do_not_mix() -> None:
    old, new = find_gene("APOE", Assembly.GRCH37), find_gene("APOE", Assembly.GRCH38)
    assert old is not None and new is not None
    assert str(old.region) == "19:45409039-45412649"
    assert str(new.region) == "19:44905791-44909393"


def test_a_duplicated_gene_stands_where_the_later_build_has_it() -> None:
    # SMN1 (telomeric) and SMN2 (centromeric) are near-identical copies; the source gives both places for each.
    first, second = find_gene("SMN1", Assembly.GRCH37), find_gene("SMN2", Assembly.GRCH37)
    assert first is not None and second is not None
    assert first.region.start == 70_220_767
    assert second.region.start == 69_345_349


def test_no_gene_is_no_gene() -> None:
    assert find_gene("NOSUCHGENE", Assembly.GRCH38) is None
    assert find_gene("", Assembly.GRCH38) is None
    assert genes_in(Region("nowhere", 0, 1_000_000), Assembly.GRCH37) == ()


@pytest.mark.parametrize("assembly", list(Assembly))
def test_regions_equal_a_naive_scan(assembly: Assembly) -> None:
    content = resources.files("cohelix.core").joinpath(f"data/genes.{assembly}.tsv.gz").read_bytes()
    rows = list(csv.DictReader(gzip.decompress(content).decode().splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
    lengths = primary_lengths(assembly)
    assert len(rows) > 20_000
    assert all(1 <= int(row["start"]) <= int(row["end"]) <= lengths[row["contig"]] for row in rows)
    chance = random.Random(11)
    for _ in range(60):
        row = chance.choice(rows)
        start = max(0, int(row["start"]) + chance.randint(-50_000, 50_000))
        region = Region(row["contig"], start, start + chance.choice([1, 1_000, 300_000]))
        expected = {
            (other["symbol"] or other["ensembl_id"], int(other["start"]))
            for other in rows
            if other["contig"] == region.contig and int(other["start"]) <= region.end and int(other["end"]) > region.start
        }
        assert {(gene.symbol, gene.region.start + 1) for gene in genes_in(region, assembly)} == expected


def test_edges_of_a_gene_belong_to_it() -> None:
    def symbols(text: str) -> list[str]:
        return [gene.symbol for gene in genes_in(parse_region(text), Assembly.GRCH37)]

    assert "CRELD2" in symbols("22:50312283-50312283")
    assert "CRELD2" in symbols("chr22:50321186-50321186")
    assert "CRELD2" not in symbols("22:50312282-50312282")
    assert "CRELD2" not in symbols("22:50321187-50321187")


def test_suggestions_are_short_names_first_and_limited() -> None:
    found = [gene.symbol for gene in suggest("brca", Assembly.GRCH38)]
    assert found[:2] == ["BRCA1", "BRCA2"]
    assert len(suggest("A", Assembly.GRCH38, limit=7)) == 7
    assert suggest("  ", Assembly.GRCH38) == ()


def test_the_operators_table_goes_before_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "genes.GRCh38.tsv"
    table.write_text("\t".join(COLUMNS) + "\nchr1\t101\t200\tENSG00000000001.3\tMINE\ta gene of ours\tOURS\n")
    monkeypatch.setenv(SETTING, str(tmp_path))
    gene = find_gene("ours", Assembly.GRCH38)
    assert gene is not None
    assert gene.region == Region("1", 100, 200)
    assert find_gene("APOE", Assembly.GRCH38) is None
    assert find_gene("APOE", Assembly.GRCH37) is not None
    monkeypatch.setenv(SETTING, str(table))
    assert find_gene("ENSG00000000001", Assembly.GRCH38) == gene


def test_a_setting_that_names_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, str(tmp_path / "absent"))
    with pytest.raises(BadUsage, match="does not exist"):
        find_gene("APOE", Assembly.GRCH38)
    other = tmp_path / "my-genes.tsv"
    other.write_text("")
    monkeypatch.setenv(SETTING, str(other))
    with pytest.raises(BadUsage, match=r"genes\.GRCh37\.tsv"):
        find_gene("APOE", Assembly.GRCH38)


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("1\t0\t5\t\tX\t\t", "line 2"),
        ("1\t9\t5\t\tX\t\t", "line 2"),
        ("1\t1\tfive\t\tX\t\t", "line 2"),
        ("1\t1\t5\t\t\t\t", "line 2"),
        ("1\t1\t5\tGENE\tX\t\t", "line 2"),
        ("1\t1\t5", "line 2"),
        ("", "line 1"),
    ],
)
def test_a_malformed_table_is_refused_with_its_line(
    line: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "genes.GRCh37.tsv"
    table.write_text(("\t".join(COLUMNS) if line else "contig\tfrom\tto") + "\n" + line + "\n")
    monkeypatch.setenv(SETTING, str(table))
    with pytest.raises(BadFile) as refused:
        find_gene("X", Assembly.GRCH37)
    assert refused.value.place == place
