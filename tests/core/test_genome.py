"""Contigs fold to one name, and positions convert at the door only."""

import pytest

from cohelix.core.errors import BadQuestion
from cohelix.core.genome import (
    PRIMARY_CONTIGS,
    Assembly,
    Region,
    assembly_of_refseq,
    contig_order,
    known_contig,
    parse_assembly,
    parse_region,
    plain_contig,
    primary_lengths,
    region_1based,
)


@pytest.mark.parametrize(
    ("spelling", "plain"),
    [
        ("chr22", "22"),
        ("22", "22"),
        ("CHR22", "22"),
        ("NC_000022.10", "22"),
        ("NC_000022.11", "22"),
        ("chrM", "MT"),
        ("M", "MT"),
        ("x", "X"),
        ("NC_012920.1", "MT"),
    ],
)
def test_spellings_of_a_primary_contig_fold(spelling: str, plain: str) -> None:
    assert plain_contig(spelling) == plain


def test_both_builds_have_all_primary_contigs() -> None:
    for assembly in Assembly:
        assert set(primary_lengths(assembly)) == set(PRIMARY_CONTIGS)
    assert primary_lengths(Assembly.GRCH37)["22"] == 51_304_566
    assert primary_lengths(Assembly.GRCH38)["22"] == 50_818_468


@pytest.mark.parametrize(
    ("name", "assembly", "ours"),
    [
        ("GL000191.1", Assembly.GRCH37, "GL000191.1"),
        ("chr1_gl000191_random", Assembly.GRCH37, "GL000191.1"),
        ("hs37d5", Assembly.GRCH37, "hs37d5"),
        ("chrUn_KI270302v1", Assembly.GRCH38, "Un_KI270302v1"),
        ("chrUn_KN707606v1_decoy", Assembly.GRCH38, "Un_KN707606v1_decoy"),
        ("HLA-A*01:01:01:01", Assembly.GRCH38, "HLA-A*01:01:01:01"),
        ("chrEBV", Assembly.GRCH38, "EBV"),
    ],
)
def test_unplaced_alternate_and_decoy_contigs_are_known(name: str, assembly: Assembly, ours: str) -> None:
    found = known_contig(name, assembly)
    assert found is not None
    assert found.name == ours


@pytest.mark.parametrize("name", ["chr23", "23", "chrZ", "", "scaffold_1", "chr1_KI999999v1_random"])
def test_a_contig_that_the_assembly_does_not_have_is_unknown(name: str) -> None:
    assert all(known_contig(name, assembly) is None for assembly in Assembly)


def test_a_refseq_accession_tells_its_assembly_unless_both_have_it() -> None:
    assert assembly_of_refseq("NC_000022.10") is Assembly.GRCH37
    assert assembly_of_refseq("NC_000022.11") is Assembly.GRCH38
    assert assembly_of_refseq("NC_012920.1") is None
    assert assembly_of_refseq("") is None


def test_assemblies_have_their_common_names() -> None:
    assert parse_assembly("hg19") is Assembly.GRCH37
    assert parse_assembly("GRCh38.p14") is Assembly.GRCH38
    with pytest.raises(BadQuestion, match="GRCh37 or GRCh38"):
        parse_assembly("hg18")


def test_regions_are_half_open_inside_and_inclusive_outside() -> None:
    region = parse_region("chr22:50,000,001-51,000,000")
    assert region == Region("22", 50_000_000, 51_000_000)
    assert str(region) == "22:50000001-51000000"
    assert region_1based("22", 5, 5) == Region("22", 4, 5)


@pytest.mark.parametrize("text", ["22", "22:5", "22:10-5", "22:0-5", ":1-2", "22:a-b"])
def test_other_texts_are_no_regions(text: str) -> None:
    with pytest.raises(BadQuestion):
        parse_region(text)


def test_contigs_are_ordered_as_people_expect() -> None:
    assert sorted(["X", "10", "2", "MT", "GL000191.1", "1", "Y"], key=contig_order) == [
        "1",
        "2",
        "10",
        "X",
        "Y",
        "MT",
        "GL000191.1",
    ]
