"""OMOP tables: counts against a naive count, concepts that the map does not explain, and what is refused."""

from __future__ import annotations

import csv
import random

import numpy as np
import orjson
import polars as pl
import pytest

from cohelix.core.errors import BadFile, BadUsage
from cohelix.phenotypes import read_people

CONCEPTS = """concept_id,code,label,unit,kind
201826,SNOMED:44054006,Type 2 diabetes mellitus,,
4029498,HP:0001250,Seizure,,
1503297,ATC:A10BA02,metformin,,
3004410,LOINC:4548-4,Haemoglobin A1c,%,
4203722,SNOMED:77176002,Smoker,,exposure
4134586,NCIT:C3262,Malignant neoplasm,,
4001225,SNOMED:119297000,Blood,,
"""
TABLES = {
    "person": "person_id,gender_concept_id,year_of_birth,race_concept_id\n1,8507,1960,0\n2,8532,1971,0\n3,8551,,0\n",
    "condition_occurrence": (
        "person_id,condition_concept_id,condition_start_date\n"
        "1,201826,2001-02-03\n1,201826,1999-01-01\n2,4029498,2010-05-05\n2,999,2010-05-05\n3,0,\n"
    ),
    "drug_exposure": "person_id,drug_concept_id,drug_exposure_start_date\n1,1503297,2002-01-01\n",
    "measurement": (
        "person_id,measurement_concept_id,value_as_number,measurement_date\n"
        "1,3004410,7.1,2015-01-01\n1,3004410,6.4,2016-01-01\n2,3004410,,2016-01-01\n"
    ),
    "observation": "person_id,observation_concept_id,observation_date\n2,4203722,2011-01-01\n1,201826,2011-01-01\n",
    "specimen": "specimen_id,person_id,specimen_concept_id,disease_status_concept_id\nB1,1,4001225,\nT1,1,4001225,4134586\n",
    "death": "person_id,death_date\n3,2020-01-01\n",
}


def write(tmp_path, change=None, parquet=False):
    folder = tmp_path / "omop"
    folder.mkdir(exist_ok=True)
    for name, text in {**TABLES, **(change or {})}.items():
        path = folder / f"{name.upper()}.csv"
        path.write_text(text)
        if parquet:
            pl.read_csv(path).write_parquet(folder / f"{name}.parquet")
            path.unlink()
    concepts = tmp_path / "concepts.csv"
    concepts.write_text(CONCEPTS)
    return folder, concepts


@pytest.mark.parametrize("parquet", [False, True])
def test_tables_become_people(tmp_path, parquet):
    folder, concepts = write(tmp_path, parquet=parquet)
    reading = read_people([folder], concepts=concepts, year=2026)
    people = reading.people
    assert (reading.format, people.individual_ids, people.sex.tolist()) == ("omop", ("1", "2", "3"), [1, 2, 0])
    assert people.birth_year.tolist() == [1960, 1971, -1]
    assert {(found.term.kind, found.term.code): found.people.tolist() for found in people.terms} == {
        ("disease", "SNOMED:44054006"): [0],
        ("phenotype", "HP:0001250"): [1],
        ("treatment", "ATC:A10BA02"): [0],
        ("exposure", "SNOMED:77176002"): [1],
        ("vital_status", "NCIT:C28554"): [2],
        ("sample_type", "SNOMED:119297000"): [0, 1],
        ("histology", "NCIT:C3262"): [1],
    }
    (haemoglobin,) = people.measurements
    assert (haemoglobin.name, haemoglobin.unit) == ("LOINC:4548-4", "%")
    np.testing.assert_array_equal(haemoglobin.values, [6.4, np.nan, np.nan])  # the latest
    assert people.biosample_ids == ("B1", "T1", "2", "3")
    assert people.germline.tolist() == [True, False, True, True]
    first = orjson.loads(people.documents.individuals[0])
    assert first["diseases"][0]["ageOfOnset"] == {"iso8601duration": "P39Y"}  # the first occurrence
    assert reading.warnings == (
        "condition_occurrence: 2 rows with 2 concepts that the concept map does not explain: 0 (1), 999 (1)",
        "observation: 1 rows with 1 concepts that the concept map does not explain: 201826 (1)",
    )
    assert reading.completeness.get("Diagnosis", "date")[3:] == (1, 1)


def test_counts_equal_a_naive_count(tmp_path):
    rng = random.Random(7)
    people = "person_id,gender_concept_id,year_of_birth\n" + "".join(
        f"{n},{rng.choice([8507, 8532])},1970\n" for n in range(500)
    )
    rows = [(rng.randrange(500), rng.choice([201826, 4029498, 3, 4])) for _ in range(3_000)]
    conditions = "person_id,condition_concept_id\n" + "".join(f"{who},{what}\n" for who, what in rows)
    folder, concepts = write(tmp_path, {"person": people, "condition_occurrence": conditions})
    for name in ("DRUG_EXPOSURE", "MEASUREMENT", "OBSERVATION", "SPECIMEN", "DEATH"):
        (folder / f"{name}.csv").unlink()
    codes = {int(row["concept_id"]): row["code"] for row in csv.DictReader(CONCEPTS.splitlines())}
    naive = {codes[what]: {who for who, other in rows if other == what} for what in {what for _, what in rows} & codes.keys()}
    found = read_people([folder], concepts=concepts).people.terms
    assert {item.term.code: set(item.people.tolist()) for item in found} == naive


@pytest.mark.parametrize(
    ("table", "text", "place", "word"),
    [
        ("person", "person_id,gender_concept_id,year_of_birth\n1,8507,1960\n1,8507,1960\n", "line 2", "twice"),
        ("person", "person_id,gender_concept_id,year_of_birth\nx,8507,1960\n", "line 2", "whole number"),
        ("person", "person_id,gender_concept_id,year_of_birth\n1,8507,3060\n", "line 2", "year of birth"),
        ("person", "person_id,gender_concept_id,year_of_birth\n", "line 2", "no rows"),
        ("person", "person_id,gender_concept_id\n1,8507\n", "line 1", "year_of_birth"),
        ("condition_occurrence", "person_id,condition_concept_id\n1,201826\n77,201826\n", "line 3", "person"),
        ("condition_occurrence", "person_id,condition_concept_id,condition_start_date\n1,201826,3.2.1999\n", "line 2", "date"),
        ("measurement", "person_id,measurement_concept_id,value_as_number\n1,3004410,high\n", "line 2", "number"),
        ("drug_exposure", "person_id,drug_concept_id\n1,1,1\n", "", "cannot be read"),
        ("specimen", "", "line 1", "empty"),
    ],
)
def test_malformed_tables(tmp_path, table, text, place, word):
    folder, concepts = write(tmp_path, {table: text})
    with pytest.raises(BadFile) as refusal:
        read_people([folder], concepts=concepts, year=2026)
    assert (refusal.value.place.startswith(place), word in str(refusal.value)) == (True, True), str(refusal.value)


def test_concepts_are_needed_and_belong_to_omop(tmp_path):
    folder, concepts = write(tmp_path)
    with pytest.raises(BadFile, match="--concepts"):
        read_people([folder])
    table = tmp_path / "people.tsv"
    table.write_text("iid\tsex\nA\tm\n")
    with pytest.raises(BadUsage, match="OMOP"):
        read_people([table], concepts=concepts)


def test_a_broken_header_of_person_is_named_where_concepts_are_given(tmp_path):
    folder, concepts = write(tmp_path, {"person": "person_i,gender_concept_id\n1,8507\n"})
    with pytest.raises(BadFile, match=r"PERSON\.csv, line 1.*person_id"):
        read_people([folder], concepts=concepts, year=2026)
