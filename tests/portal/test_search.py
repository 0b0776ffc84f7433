"""The search box reads what people write, and says what it did not understand."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohelix.core.genome import Assembly, Region
from cohelix.core.variant import VariantKey
from cohelix.portal.search import (
    DatasetQuestion,
    GeneQuestion,
    NotUnderstood,
    RegionQuestion,
    TermQuestion,
    VariantQuestion,
    understand,
)

DATASETS = ("FI:geuvadis", "GB:geuvadis", "IT:biobank-2")
G37, G38 = Assembly.GRCH37, Assembly.GRCH38
KNOWN = VariantKey("22", 50_313_358, "G", "A")


def suggested(question: object) -> list[tuple[str, Assembly]]:
    assert isinstance(question, NotUnderstood)
    return [(suggestion.text, suggestion.assembly) for suggestion in question.suggestions]


@pytest.mark.parametrize(
    "text",
    [
        "22-50313359-G-A",
        "chr22-50313359-G-A",
        "chr22:50313359 G>A",
        "chr22:50313359G>A",
        "22:50313359:G:A",
        "22:50313359-G-A",
        "22:50313359 G/A",
        "22 50313359 G A",
        "22_50313359_G_A",
        "22\t50313359\tG\tA",
        "22-50,313,359-g-a",
        "22–50313359–G–A",
        "CHR22 : 50313359 g → a",
        "22:g.50313359G>A",
        "NC_000022.10:g.50313359G>A",
        "NC_000022.10:50313359:G:A",
        "22-50313359-GT-AT",
        "hg19 22-50313359-G-A",
        "22-50313359-G-A (GRCh37)",
        "２２-50313359-G-A",
    ],
)
def test_every_usual_spelling_of_a_variant(text: str) -> None:
    assert understand(text, G37, DATASETS) == VariantQuestion(KNOWN, G37)


@pytest.mark.parametrize("text", ["22-50313359-G-A hg38", "b38: 22-50313359-G-A", "NC_000022.11:g.50313359G>A"])
def test_a_build_in_the_text_goes_before_the_chosen_one(text: str) -> None:
    assert understand(text, G37, DATASETS) == VariantQuestion(KNOWN, G38)


@pytest.mark.parametrize(
    "text",
    [
        "22:50310000-50320000",
        "chr22:50,310,000-50,320,000",
        "22:50310000..50320000",
        "22 50310000 50320000",
        "22-50310000-50320000",
        "22:50.31M-50.32M",
        "22:50310kb-50320kb",
        "NC_000022.10:50310000-50320000",
    ],
)
def test_every_usual_spelling_of_a_region(text: str) -> None:
    assert understand(text, G37, DATASETS) == RegionQuestion(Region("22", 50_309_999, 50_320_000), G37)


def test_a_position_alone_is_a_region_of_one_base() -> None:
    assert understand("chr22:50313359", G37, DATASETS) == RegionQuestion(Region("22", 50_313_358, 50_313_359), G37)


@pytest.mark.parametrize("text", ["CRELD2", "creld2", "ENSG00000184164", "ensg00000184164.10", " CRELD2 "])
def test_genes_by_symbol_and_ensembl_id(text: str) -> None:
    found = understand(text, G37, DATASETS)
    assert isinstance(found, GeneQuestion) and found.gene.symbol == "CRELD2" and found.gene.region.contig == "22"


@pytest.mark.parametrize("symbol", ["RS1", "NKX2-1", "NKX2-5"])
def test_genes_that_look_like_something_else(symbol: str) -> None:
    found = understand(symbol, G37, DATASETS)
    assert isinstance(found, GeneQuestion) and found.gene.symbol == symbol


def test_datasets_in_any_case() -> None:
    assert understand("fi:GEUVADIS", G37, DATASETS) == DatasetQuestion("FI:geuvadis")
    assert understand("it:biobank-2", G37, DATASETS) == DatasetQuestion("IT:biobank-2")


@pytest.mark.parametrize("text", ["HP:0001250", "hp_0001250", "hp: 0001250"])
def test_features_and_diseases_by_code(text: str) -> None:
    assert understand(text, G37, ()) == TermQuestion("HP:0001250")
    assert understand("Orphanet:558", G37, ()) == TermQuestion("ORPHA:558")


def test_numbers_with_dots_as_much_of_europe_writes_them() -> None:
    assert understand("22:50.310.000-50.320.000", G37, ()) == understand("22:50310000-50320000", G37, ())


def test_a_description_leads_to_its_gene_or_its_place() -> None:
    assert suggested(understand("TP53:c.215C>G", G37, ())) == [("TP53", G37)]
    assert suggested(understand("NM_000546.6(TP53):p.Arg72Pro", G38, ())) == [("TP53", G38)]
    assert suggested(understand("NC_000022.11:g.20000000_20000002del", G37, ())) == [("22:20000000-20000002", G38)]
    assert suggested(understand("NC_000022.11:g.99999999del", G37, ())) == []


def test_symbolic_alleles_as_our_own_answers_name_them() -> None:
    assert understand("22-16050000-A-<DEL>", G37, ()) == VariantQuestion(VariantKey("22", 16_049_999, "A", "<DEL>"), G37)
    assert understand("22-16050000-A-A]17:198982]", G37, ()) == VariantQuestion(
        VariantKey("22", 16_049_999, "A", "A]17:198982]"), G37
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("  \t ", "empty"),
        ("GRCh38", "empty"),
        ("A" * 2001, "too_long"),
        ("rs671", "rs_id"),
        ("RS 1426654", "rs_id"),
        ("BRCA1:c.68_69del", "hgvs"),
        ("NP_000537.3:p.Arg175His", "hgvs"),
        ("NC_000022.10:g.50313359del", "hgvs"),
        ("25-100-A-G", "unknown_contig"),
        ("chr99:1-100", "unknown_contig"),
        ("22-51304567-A-G", "beyond_contig"),
        ("22-0-A-G", "beyond_contig"),
        ("22:0-5", "beyond_contig"),
        ("22-50313359-G", "half_variant"),
        ("22-50313359-G-X", "not_bases"),
        ("22-50313359-GA-.", "not_bases"),
        ("22", "contig_alone"),
        ("chrX:", "contig_alone"),
        ("22:200-100", "reversed_region"),
        ("xyzzy", "nothing_of_that_name"),
        ("'; drop table variants; --", "nothing_of_that_name"),
    ],
)
def test_what_is_not_understood_has_a_reason(text: str, problem: str) -> None:
    found = understand(text, G37, DATASETS)
    assert isinstance(found, NotUnderstood)
    assert found.problem == problem


def test_did_you_mean() -> None:
    assert ("CRELD2", G37) in suggested(understand("CREDL2", G37, DATASETS))
    assert ("BRCA2", G37) in suggested(understand("BRAC2", G37, DATASETS))
    assert ("TP53", G37) in suggested(understand("TP5", G37, DATASETS))
    assert {("FI:geuvadis", G37), ("GB:geuvadis", G37)} <= set(suggested(understand("geuvadis", G37, DATASETS)))
    assert suggested(understand("FI:geuvadsi", G37, DATASETS))[0] == ("FI:geuvadis", G37)
    assert ("22-50313359-G-A", G37) in suggested(understand("22-50313359-G", G37, DATASETS))
    assert suggested(understand("22:200-100", G37, DATASETS)) == [("22:100-200", G37)]
    assert suggested(understand("23-100000-A-G", G37, DATASETS)) == [("X-100000-A-G", G37)]


@pytest.mark.parametrize(
    ("typed", "problem", "meant"),
    [
        ("22.50313359.G.A", "mistyped_variant", ["22-50313359-G-A"]),
        ("22;50313359;G;A", "mistyped_variant", ["22-50313359-G-A"]),
        ("22-5O313359-G-A", "mistyped_variant", ["22-50313359-G-A"]),
        ("chr22-50313359-G-A/T", "mistyped_variant", ["22-50313359-G-A", "22-50313359-G-T"]),
        ("22_50313359_G/A_b37", "mistyped_variant", ["22-50313359-G-A"]),
        ("chr 22 50313359 G A", "mistyped_variant", ["22-50313359-G-A"]),
        ("https://browser.example/variant/22-50313359-G-A?dataset=x", "mistyped_variant", ["22-50313359-G-A"]),
        ("ch22-50313359-G-A", "unknown_contig", ["22-50313359-G-A"]),
        ("50313359-G-A", "no_contig", []),
        ("22-50313359-G-G", "same_alleles", [f"22-50313359-G-{alt}" for alt in "ACT"]),
        ("22-50313359-G-U", "not_bases", ["22-50313359-G-T"]),
        ("22-50313359GA", "half_variant", ["22-50313359-G-A", "22:50313359-50313359"]),
        ("HP:001250", "code_of_other_length", ["HP:0001250"]),
        ("HP0001250", "code_of_other_length", ["HP:0001250"]),
        ("MONDO:123", "code_of_other_length", ["MONDO:0000123"]),
        ("BRAF V600E", "hgvs", ["BRAF:p.Val600Glu"]),
        ("BRAF p.Val600Glu", "hgvs", ["BRAF:p.Val600Glu"]),
    ],
)
def test_what_was_mistyped_is_named_and_mended(typed: str, problem: str, meant: list[str]) -> None:
    found = understand(typed, G37, DATASETS)
    assert isinstance(found, NotUnderstood)
    assert (found.problem, [text for text, _ in suggested(found)]) == (problem, meant)


def test_a_gene_with_a_space_is_no_place() -> None:
    for typed in ("CRELD-2", "creld 2"):
        assert suggested(understand(typed, G37, DATASETS))[0] == ("CRELD2", G37)


def test_rs_ids_have_one_spelling() -> None:
    for typed in ("rs 9616208", "RS9616208", "rs09616208"):
        found = understand(typed, G37, ())
        assert isinstance(found, NotUnderstood) and found.subject == "rs9616208"


def test_a_place_that_exists_on_the_other_build_only() -> None:
    """Chromosome 22 has 51,304,566 bases on GRCh37 and 50,818,468 on GRCh38."""
    found = understand("22-51000000-A-G", G38, DATASETS)
    assert isinstance(found, NotUnderstood)
    assert (found.problem, found.contig_length) == ("beyond_contig", 50_818_468)
    assert suggested(found) == [("22-51000000-A-G", G37)]


@pytest.mark.parametrize("text", ["22-50313359-G", "CREDL2", "geuvadis", "22:200-100", "23-100000-A-G", "22-50313359-G-X"])
def test_what_is_suggested_is_understood(text: str) -> None:
    for meant, assembly in suggested(understand(text, G37, DATASETS)):
        assert not isinstance(understand(meant, assembly, DATASETS), NotUnderstood), meant


@given(
    contig=st.sampled_from(["1", "22", "X", "MT"]),
    position=st.integers(1, 16_000),
    ref=st.text("ACGT", min_size=1, max_size=12),
    alt=st.text("ACGT", min_size=1, max_size=12),
)
def test_a_variants_own_name_is_read_back(contig: str, position: int, ref: str, alt: str) -> None:
    first = understand(f"{contig}-{position}-{ref}-{alt}", G37, ())
    if ref == alt:
        assert isinstance(first, NotUnderstood) and first.problem == "same_alleles"
        return
    assert isinstance(first, VariantQuestion)
    assert understand(str(first.key), G37, ()) == first


@given(st.text(max_size=60))
def test_any_text_has_an_answer(text: str) -> None:
    understand(text, G37, DATASETS)


@pytest.mark.parametrize(
    "text", ["1" * 2000, "1-" * 1000, "A " * 1000, "chr_1_" * 300, "1.1.1." * 300, "22 1 A" + " " * 1900 + "1"]
)
def test_long_nonsense_is_read_quickly(text: str) -> None:
    understand("BRAC2", G37, DATASETS)  # the gene tables are read once
    start = time.perf_counter()
    understand(text, G37, DATASETS)
    assert time.perf_counter() - start < 1.0  # 0.04 s on a quiet machine
