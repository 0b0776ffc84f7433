"""People from tables: what is recognised, how rows come together, and the bytes that are stored."""

from __future__ import annotations

import gzip
import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cohelix.phenotypes import read_identifiers, read_people
from cohelix.phenotypes.model import SexCode
from cohelix.phenotypes.store import read_people_store, write_people

TEXT = """individual_id\tbiosample_id\tGender\tPop\tCountry of origin\tYear of birth\tage\tLDL [mmol/L]\tdisease\tHPO\tnotes
P1\tS1\tmale\tFIN\tFI\t1961\t\t3.5\tE11.9;I10\tHP:0001250|HP:0000001\tx
P2\tS2\tF\tGBR\tGB\t\t45.5\tNA\t\t\ty
P3\tS3\t0\t.\t\t1990-05-17\t33\t-1e-3\tMONDO:0005148\t\tz
"""


def write(tmp_path, text, name="people.tsv"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(tmp_path, text, name="people.tsv", **options):
    return read_people([write(tmp_path, text, name)], **options)


def check_example(people):
    assert people.individual_ids == ("P1", "P2", "P3")
    assert people.biosample_ids == ("S1", "S2", "S3")
    assert people.sex.tolist() == [SexCode.MALE, SexCode.FEMALE, SexCode.UNKNOWN]
    assert people.population == ("FIN", "GBR", "")
    assert people.country == ("FI", "GB", "")
    assert people.birth_year.tolist() == [1961, -1, 1990]
    np.testing.assert_array_equal(people.age, [np.nan, 45.5, 33])
    assert [(item.name, item.unit) for item in people.measurements] == [("LDL", "mmol/L")]
    np.testing.assert_array_equal(people.measurements[0].values, [3.5, np.nan, -0.001])
    assert {(found.term.kind, found.term.code): found.people.tolist() for found in people.terms} == {
        ("disease", "E11.9"): [0],
        ("disease", "I10"): [0],
        ("disease", "MONDO:0005148"): [2],
        ("phenotype", "HP:0000001"): [0],
        ("phenotype", "HP:0001250"): [0],
    }


@pytest.mark.parametrize("separator", ["\t", ",", ";"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("packed", [False, True])
def test_text_tables(tmp_path, separator, ending, packed):
    text = TEXT if separator != ";" else TEXT.replace(";", "|")
    data = text.replace("\t", separator).replace("\n", ending).encode()
    reading = read(tmp_path, gzip.compress(data) if packed else data, "people.csv")
    check_example(reading.people)
    assert reading.columns_not_taken == ("notes",)
    assert reading.known["sex"] == 2
    assert reading.known["measurement LDL"] == 2


def test_parquet_with_its_own_types(tmp_path):
    table = pa.table(
        {
            "individual_id": ["P1", "P2", "P3"],
            "biosample_id": ["S1", "S2", "S3"],
            "sex": pa.array([1, 2, None], pa.int8()),
            "population": pa.array(["FIN", "GBR", None]).dictionary_encode(),
            "country": ["FI", "GB", ""],
            "birth_year": pa.array([1961, None, 1990], pa.int64()),
            "age": pa.array([None, 45.5, 33.0]),
            "LDL [mmol/L]": pa.array([3.5, None, -0.001]),
            "disease": pa.array([["E11.9", "I10"], [], ["MONDO:0005148"]]),
            "hpo": pa.array([["HP:0001250", "HP:0000001"], None, []]),
        }
    )
    pq.write_table(table, tmp_path / "people.parquet", row_group_size=2)
    check_example(read_people([tmp_path / "people.parquet"]).people)


def test_a_byte_order_mark_quotes_and_blank_lines(tmp_path):
    data = b'\xef\xbb\xbfsample,sex,"country"\n\n"S1",male,"Bosnia, and ""H"""\n\nS2,f,\n\n'
    people = read(tmp_path, data, "people.csv").people
    assert people.individual_ids == ("S1", "S2")
    assert people.country == ('Bosnia, and "H"', "")
    assert people.origins() == people.country


@pytest.mark.parametrize("name", ["IID", "#IID", "sample", "Sample ID", "biosampleId", "individual_id", "Subject"])
def test_names_of_the_id_column(tmp_path, name):
    people = read(tmp_path, f"{name}\tsex\nA\tm\nB\tf\n").people
    assert people.individual_ids == people.biosample_ids == ("A", "B")


@pytest.mark.parametrize(
    ("word", "sex"),
    [("Male", 1), ("M", 1), ("1", 1), ("FEMALE", 2), ("f", 2), ("2", 2), ("0", 0), ("", 0), ("unknown", 0)],
)
def test_sex_words(tmp_path, word, sex):
    assert read(tmp_path, f"iid\tsex\nA\t{word}\n").people.sex.tolist() == [sex]


def test_the_published_panel_header_with_empty_columns(tmp_path):
    people = read(tmp_path, "sample\tpop\tsuper_pop\tgender\t\t\nHG1\tGBR\tEUR\tmale\nHG2\tFIN\tEUR\tfemale\t\t\n").people
    assert people.population == ("GBR", "FIN")


def test_repeated_columns_and_rows_add_codes(tmp_path):
    text = "person\tsample\tdisease 1\tdisease 2\tage\nA\ta1\tE11\tI10\t40\nA\ta2\tE10\t\t\nB\tb1\t\t\t\n"
    reading = read(tmp_path, text)
    people = reading.people
    assert {found.term.code: found.people.tolist() for found in people.terms} == {"E10": [0], "E11": [0], "I10": [0]}
    assert people.biosample_person.tolist() == [0, 0, 1]
    assert people.age.tolist()[0] == 40


def test_several_tables_of_a_folder_are_joined(tmp_path):
    (tmp_path / "in").mkdir()
    write(tmp_path / "in", "sample\tPC1 []\ts\nS2\t0.2\tx\nS1\t0.1\tx\n", "a_components.tsv")
    write(tmp_path / "in", "individual\tsample\tsex\nP1\tS1\tm\nP2\tS2\tf\n", "b_people.tsv")
    write(tmp_path / "in", "individual,age\nP1,50\nP3,60\n", "c_ages.csv")
    people = read_people([tmp_path / "in"]).people
    assert people.individual_ids == ("P1", "P2", "P3")
    assert people.measurements[0].values[:2].tolist() == [0.1, 0.2]
    assert (people.measurements[0].name, people.measurements[0].unit) == ("PC1", "")
    np.testing.assert_array_equal(people.age, [50, np.nan, 60])


def test_a_mapping_says_what_names_do_not(tmp_path):
    mapping = write(
        tmp_path,
        """
separator: comma
biosample: probe
individual: who
sex: {column: g, male: [maennlich], female: [weiblich]}
population: group
measurements:
  - {column: ldl, name: LDL cholesterol, unit: mmol/L}
diseases:
  - {column: t2d, code: "MONDO:0005148", label: type 2 diabetes}
  - {column: dx}
phenotypes:
  - {column: seizures, code: "HP:0001250"}
ignore: [sex]
missing: ["-9"]
""",
        "mapping.yaml",
    )
    text = "probe,who,g,sex,group,ldl,t2d,dx,seizures\np1,A,maennlich,zzz,X,3.1,1,E11,0\np2,B,weiblich,zzz,-9,-9,0,,-9\n"
    reading = read(tmp_path, text, "people.csv", mapping=mapping)
    people = reading.people
    assert people.sex.tolist() == [1, 2]
    assert people.population == ("X", "")
    assert (people.measurements[0].name, people.measurements[0].unit) == ("LDL cholesterol", "mmol/L")
    np.testing.assert_array_equal(people.measurements[0].values, [3.1, np.nan])
    assert [(found.term, found.people.tolist()) for found in people.terms] == [
        (("disease", "E11", ""), [0]),
        (("disease", "MONDO:0005148", "type 2 diabetes"), [0]),
    ]
    assert reading.columns_not_taken == ("sex",)


def test_identical_rows_are_taken_and_counted(tmp_path):
    reading = read(tmp_path, "iid\tsex\tage\nA\tm\t40\nA\tmale\t40.0\n")
    assert (len(reading.people), reading.n_rows, reading.n_repeated_rows) == (1, 2, 1)


def test_what_is_written_is_read_and_its_bytes_depend_on_the_people_alone(tmp_path):
    people = read(tmp_path, TEXT).people
    digests = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_people(people, tmp_path / name)
        check_example(read_people_store(tmp_path / name))
        files = sorted((tmp_path / name).iterdir())
        digests.add(tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in files))
    assert len(digests) == 1


def test_identifiers(tmp_path):
    assert read_identifiers(write(tmp_path, "P1\r\nP2\n\n P3 \nP2\n", "ids.txt")) == ("P1", "P2", "P3")


@pytest.mark.parametrize("n_people", [20_000])
def test_many_people(tmp_path, n_people):
    rows = [f"P{n}\t{'mf'[n % 2]}\tPOP{n % 26}\t{n % 90}\t{n / 7}\tC{n % 50}" for n in range(n_people)]
    people = read(tmp_path, "iid\tsex\tpop\tage\tBMI [kg/m2]\tdisease\n" + "\n".join(rows) + "\n").people
    assert len(people) == n_people
    assert people.measurements[0].values[-1] == (n_people - 1) / 7
    assert sum(len(found.people) for found in people.terms) == n_people
