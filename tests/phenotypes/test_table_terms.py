"""Tables with more than diseases: excluded codes, treatments, tumours, vital status, onset, follow-up."""

from __future__ import annotations

import numpy as np
import pytest

from cohelix.core.errors import BadFile
from cohelix.phenotypes import read_people

TEXT = """individual\tsample\tHPO\texcluded HPO\tonset [a]\tdrugs\ttissue\thistology\tvital status\tlast follow-up\tgene
P1\tS1\tHP:0001250\tHP:0000252\t7\tATC:N03AG01\tUBERON:1\tICDO:8140/3\talive\t2020-01-01\tSCN1A
P1\tS1\t\tHP:0001250\t3\t\t\t\t\t2021-02-01\t
P2\tS2\t\tHP:0001250\t\t\tUBERON:1\t\tDeceased\t\t
"""


def read(tmp_path, text, mapping=None):
    table, yaml = tmp_path / "people.tsv", tmp_path / "mapping.yaml"
    table.write_text(text)
    yaml.write_text(mapping or "missing: [x]\n")
    return read_people([table], mapping=yaml, year=2026)


def terms(people):
    return {(found.term.kind, found.term.code): found.people.tolist() for found in people.terms}


def test_columns_by_name(tmp_path):
    reading = read(tmp_path, TEXT)
    assert terms(reading.people) == {
        ("phenotype", "HP:0001250"): [0],
        ("excluded_phenotype", "HP:0000252"): [0],
        ("excluded_phenotype", "HP:0001250"): [1],  # P1 has it on another row
        ("treatment", "ATC:N03AG01"): [0],
        ("tissue", "UBERON:1"): [0, 1],
        ("histology", "ICDO:8140/3"): [0],
        ("vital_status", "NCIT:C37987"): [0],
        ("vital_status", "NCIT:C28554"): [1],
        ("gene", "SCN1A"): [0],
    }
    onset, seen = reading.people.measurements
    np.testing.assert_array_equal(onset.values, [3, np.nan])  # the first onset
    np.testing.assert_array_equal(seen.values, [2021, np.nan])  # the last follow-up
    assert reading.columns_not_taken == ()
    assert "1 codes are both present and excluded" in reading.warnings[0]
    assert reading.completeness.get("Subject", "date of last follow-up")[3:] == (1, 2)


def test_prefixes_constants_and_missing_words_by_mapping(tmp_path):
    mapping = (
        'biosample: T\nsample_type: {value: tumour}\nhistologies:\n  - {column: FAB, prefix: "FAB:"}\n'
        'measurements:\n  - {column: days, unit: d}\nmissing: ["-Inf"]\n'
    )
    people = read(tmp_path, "T\tFAB\tdays\nA\tM3\t-Inf\nB\tFAB:M2\t10\n", mapping).people
    assert terms(people) == {("histology", "FAB:M3"): [0], ("histology", "FAB:M2"): [1]}
    assert people.germline.tolist() == [False, False]
    np.testing.assert_array_equal(people.measurements[0].values, [np.nan, 10])


def test_a_biosamples_term_needs_a_biosample(tmp_path):
    with pytest.raises(BadFile, match=r"line 2.*biosample"):
        read(tmp_path, "individual_id\tbiosample_id\ttissue\nP1\t\tUBERON:1\n")
