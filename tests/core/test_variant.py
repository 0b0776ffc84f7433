"""A variant has one name, however it was written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohelix.core.errors import BadQuestion
from cohelix.core.variant import VariantKey, parse_variant, trim

alleles = st.text("ACGT", min_size=1, max_size=8)


@pytest.mark.parametrize(
    "text", ["22-50313359-G-A", "chr22:50313359:G:A", "chr22-50313359-g-a", "NC_000022.10:50313359-G>A", "22:50313359:G>A"]
)
def test_every_usual_spelling_names_the_same_variant(text: str) -> None:
    assert parse_variant(text) == VariantKey("22", 50313358, "G", "A")


@pytest.mark.parametrize(
    "text", ["", "22", "22-50313359-G", "22-0-G-A", "22-x-G-A", "22-5-Z-A", "22-5-G-", "22-99999999999-A-G", "22-٥-A-G"]
)
def test_other_texts_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadQuestion, match=r"22-50313359-G-A|counts from 1"):
        parse_variant(text)


@pytest.mark.parametrize(
    ("given_alleles", "trimmed"),
    [
        ((99, "G", "A"), (99, "G", "A")),
        ((99, "GCAT", "GTAT"), (100, "C", "T")),
        ((99, "CTT", "CT"), (99, "CT", "C")),
        ((99, "CT", "CTT"), (99, "C", "CT")),
        ((99, "ACACAC", "AC"), (99, "ACACA", "A")),
        ((99, "G", "<DEL>"), (99, "G", "<DEL>")),
        ((99, "GT", "*"), (99, "GT", "*")),
    ],
)
def test_alleles_are_trimmed_right_then_left(given_alleles: tuple[int, str, str], trimmed: tuple[int, str, str]) -> None:
    assert trim(*given_alleles) == trimmed


@given(st.integers(0, 1000), alleles, alleles)
def test_trimming_describes_the_same_change_and_is_final(position: int, ref: str, alt: str) -> None:
    start, short_ref, short_alt = trim(position, ref, alt)
    left = start - position
    right = len(ref) - left - len(short_ref)
    assert short_ref and short_alt
    assert ref[:left] + short_alt + ref[len(ref) - right :] == alt
    assert ref[:left] + short_ref + ref[len(ref) - right :] == ref
    assert trim(start, short_ref, short_alt) == (start, short_ref, short_alt)


def test_the_text_form_counts_from_one() -> None:
    assert str(VariantKey("22", 50313358, "G", "A")) == "22-50313359-G-A"
