"""Malformed tables and mappings: every one is refused, with the file, the place and what was expected."""

from __future__ import annotations

import gzip
import io
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cohelix.core.errors import BadFile
from cohelix.phenotypes import read_identifiers, read_people

H = "individual_id\tbiosample_id\tsex\tage\tbirth_year\tLDL [mmol/L]\tdisease\tpopulation\n"
OK = "P1\tS1\tmale\t40\t1980\t3.5\tE11\tFIN\n"


def parquet(**columns) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


GOOD_PARQUET = parquet(iid=["A", "B"] * 500, age=[30.0, 40.0] * 500)

# name: (content, where it must say that it is, a word of the message)
TABLES: dict[str, tuple[bytes | str, str, str]] = {
    "empty": ("", "line 1", "empty"),
    "blank lines only": ("\n\n\n", "line 1", "header"),
    "header only": (H, "line 2", "no rows"),
    "no id column": ("sex\tage\nmale\t3\n", "line 1", "id"),
    "names missing": ("\t\t\na\tb\tc\n", "line 1", "name"),
    "two columns of one meaning": ("IID\tsample\nA\tB\n", "line 1", "both"),
    "column twice": ("IID\tsex\tsex\nA\tm\tm\n", "line 1", "twice"),
    "measurement twice": ("IID\tLDL [a]\tLDL [b]\nA\t1\t2\n", "line 1", "LDL"),
    "a unit without an end": (f"IID\tLDL [{'m' * 65}]\nA\t1\n", "line 1", "unit"),
    "blanks between columns": ("IID sex age\nA m 3\n", "line 1", "blanks"),
    "a row too short": (H + OK + "P2\tS2\tmale\n", "line 3", "3 columns"),
    "a row too long": (H + OK.strip() + "\textra\n", "line 2", "9 columns"),
    "individual id missing": (H + OK.replace("P1\tS1", "\t"), "line 2", "missing"),
    "id NA": ("iid\tsex\nNA\tm\n", "line 2", "missing"),
    "id too long": ("iid\tsex\n" + "x" * 300 + "\tm\n", "line 2", "300"),
    "sex word": (H + OK.replace("male", "mal"), "line 2", "mal"),
    "sex number": (H + OK.replace("male", "3"), "line 2", "'3'"),
    "sex contradicts": (H + OK + OK.replace("male", "female"), "line 3", "contradicts"),
    "age contradicts": (H + OK + OK.replace("\t40\t", "\t41\t"), "line 3", "contradicts"),
    "birth year contradicts": (H + OK + OK.replace("1980", "1981"), "line 3", "contradicts"),
    "population contradicts": (H + OK + OK.replace("FIN", "GBR"), "line 3", "contradicts"),
    "measurement contradicts": (H + OK + OK.replace("3.5", "3.6"), "line 3", "contradicts"),
    "biosample of two people": (H + OK + OK.replace("P1", "P2"), "line 3", "another person"),
    "age negative": (H + OK.replace("\t40\t", "\t-1\t"), "line 2", "age"),
    "age 131": (H + OK.replace("\t40\t", "\t131\t"), "line 2", "age"),
    "age word": (H + OK.replace("\t40\t", "\told\t"), "line 2", "age"),
    "age nan spelled": (H + OK.replace("\t40\t", "\t-nan\t"), "line 2", "age"),
    "age with underscore": (H + OK.replace("\t40\t", "\t4_0\t"), "line 2", "age"),
    "birth year 1700": (H + OK.replace("1980", "1700"), "line 2", "year"),
    "birth year to come": (H + OK.replace("1980", "2099"), "line 2", "2026"),
    "birth year two digits": (H + OK.replace("1980", "80"), "line 2", "year"),
    "birth date order": (H + OK.replace("1980", "17.05.1980"), "line 2", "year"),
    "measurement word": (H + OK.replace("3.5", "high"), "line 2", "high"),
    "measurement comma": (H + OK.replace("3.5", "3,5"), "line 2", "decimal point"),
    "measurement infinite": (H + OK.replace("3.5", "inf"), "line 2", "inf"),
    "measurement below detection": (H + OK.replace("3.5", "<0.1"), "line 2", "<0.1"),
    "measurement underscore": (H + OK.replace("3.5", "1_000"), "line 2", "1_000"),
    "measurement with other digits": (H + OK.replace("3.5", "٣"), "line 2", "not a number"),
    "measurement on a later line": (H + OK + "P2\tS2\tm\t1\t1980\tx1\t\tFIN\n", "line 3", "x1"),
    "code with blanks": (H + OK.replace("E11", "type 2 diabetes"), "line 2", "code"),
    "code column of 0 and 1": (H + OK.replace("E11", "1"), "line 2", "mapping"),
    "code too long": (H + OK.replace("E11", "E" * 80), "line 2", "code"),
    "population all": (H + OK.replace("FIN", "all"), "line 2", "sum"),
    "too many populations": ("iid\tpop\n" + "".join(f"P{n}\tQ{n}\n" for n in range(300)), "line 202", "200"),
    "sample type": ("iid\tsample_type\nA\tpurple\n", "line 2", "purple"),
    "sample type contradicts": ("iid\tsample_type\nA\tgermline\nA\ttumour\n", "line 3", "contradicts"),
    "counted word": ("iid\tcounted\nA\tperhaps\n", "line 2", "perhaps"),
    "NUL byte": (H.encode() + b"P1\tS\x001\t\t\t\t\t\t\n", "line 2", "NUL"),
    "control character": (H.encode() + b"P1\tS\x1b1\t\t\t\t\t\t\n", "line 2", "U+001B"),
    "old Mac line ends": ("iid\tsex\rA\tm\r", "line 1", "U+000D"),
    "Latin-1": ("iid\tcountry\nA\tÖsterreich\n".encode("latin-1"), "line 2", "UTF-8"),
    "UTF-16": ("iid\tsex\nA\tm\n".encode("utf-16"), "line 1", "UTF-16"),
    "spreadsheet": (b"PK\x03\x04" + b"\x00" * 60, "byte 0", "spreadsheet"),
    "binary": (bytes(range(256)) * 4, "line 1", ""),
    "open quote": ('iid,country\nA,"Bosnia\nB,x\n', "line 2", "quot"),
    "text after a quote": ('iid,country\nA,"Bosnia" x\n', "line 2", "quot"),
    "cut gzip": (gzip.compress((H + OK * 2000).encode())[:-20], "line", "gzip"),
    "gzip with a wrong checksum": (gzip.compress((H + OK).encode())[:-8] + b"12345678", "line", "gzip"),
    "gzip header only": (b"\x1f\x8b\x08\x00", "line", "gzip"),
    "gzip then garbage": (gzip.compress((H + OK).encode()) + b"garbage", "line", "gzip"),
    "endless line": (b"iid\tsex\n" + b"x" * (17 << 20), "line 2", "bytes"),
    "Parquet magic only": (b"PAR1", "footer", "Parquet"),
    "Parquet cut": (GOOD_PARQUET[:-30], "footer", "Parquet"),
    "Parquet without pages": (GOOD_PARQUET[:4] + b"\x00" * 200 + GOOD_PARQUET[-400:], "", ""),
    "Parquet with a broken page": (GOOD_PARQUET[:8] + b"\xff" * 64 + GOOD_PARQUET[72:], "row 1", "broken"),
    "Parquet without rows": (parquet(iid=pa.array([], pa.string())), "footer", "no rows"),
    "Parquet measurement word": (parquet(iid=["A", "B"], **{"LDL [x]": ["1", "much"]}), "row 2", "much"),
    "Parquet nested": (parquet(iid=["A"], sex=[{"value": "male"}]), "row 1", "sex"),
    "Parquet binary id": (parquet(iid=pa.array([b"\xff\xfe"], pa.binary())), "row 1", "iid"),
    "Parquet control character": (parquet(iid=["A", "B\x00"]), "row 2", "control"),
}

MAPPINGS: dict[str, tuple[str, str]] = {
    "": ("line 1", "mapping"),
    "just a text": ("line 1", "mapping"),
    "[1, 2]": ("line 1", "mapping"),
    "biosample: probe\nsexx: g\n": ("line 2", "sexx"),
    "biosample: probe\nbiosample: iid\n": ("line 2", "twice"),
    "sex:\n  column: g\n  male: m\n": ("line 3", "male"),
    "measurements:\n  - {column: a}\n  - {colum: b}\n": ("line 3", "colum"),
    "diseases:\n  - column: t2d\n    code: has blank\n": ("line 3", "code"),
    "separator: space\n": ("line 1", "separator"),
    "a: [1, 2\nb: 3\n": ("line", "YAML"),
    "a: &x [1]\nb: *x\n": ("line 2", "alias"),
    "biosample: !!python/object:os.system x\n": ("line 1", "YAML"),
    "a: " + "[" * 5000: ("line", "YAML"),
    "biosample: nowhere\n": ("header", "nowhere"),
    "\x00": ("line", "YAML"),
}


@pytest.mark.parametrize("name", TABLES)
def test_malformed_tables(tmp_path, name):
    content, place, word = TABLES[name]
    path = tmp_path / "people.table"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(BadFile) as refusal:
        read_people([path], year=2026)
    assert refusal.value.path == str(path)
    assert refusal.value.place.startswith(place)
    assert refusal.value.expected
    assert word in str(refusal.value)


def test_there_are_enough_of_them():
    assert len(TABLES) + len(MAPPINGS) >= 60


@pytest.mark.parametrize("text", MAPPINGS, ids=lambda text: repr(text[:20]))
def test_malformed_mappings(tmp_path, text):
    place, word = MAPPINGS[text]
    table, mapping = tmp_path / "people.tsv", tmp_path / "mapping.yaml"
    table.write_text("iid\tsex\nA\tm\n")
    mapping.write_text(text)
    with pytest.raises(BadFile) as refusal:
        read_people([table], mapping=mapping)
    assert refusal.value.place.startswith(place)
    assert word in str(refusal.value)


def test_a_flag_column_takes_only_flags(tmp_path):
    table, mapping = tmp_path / "people.tsv", tmp_path / "mapping.yaml"
    mapping.write_text("diseases:\n  - {column: t2d, code: E11}\n")
    for cell in ("2", "E11", "x"):
        table.write_text(f"iid\tt2d\nA\t1\nB\t{cell}\n")
        with pytest.raises(BadFile, match="line 3"):
            read_people([table], mapping=mapping)
    table.write_text("iid\tt2d\nA\t1\nA\t0\n")
    with pytest.raises(BadFile, match=r"line 3.*contradicts"):
        read_people([table], mapping=mapping)


@pytest.mark.parametrize("name", ["missing.tsv", "folder"])
def test_what_is_not_there(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadFile, match="expected"):
        read_people([tmp_path / name])


def test_one_bad_byte_anywhere_in_a_parquet_file_never_crashes(tmp_path):
    """Every flipped byte is refused, or read as other text; nothing else comes out."""
    path = tmp_path / "people.parquet"
    content = parquet(iid=[f"P{n}" for n in range(40)], sex=["m", "f"] * 20)
    refused = 0
    for place in range(4, len(content), 3):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            read_people([path])
        except BadFile:
            refused += 1
    assert refused > len(content) // 12


def test_memory_stays_bounded_whatever_a_table_expands_to(tmp_path):
    """90 MB of the same row, packed to a few hundred kB, is one person."""
    path = tmp_path / "people.tsv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"iid\tsex\tnote\n")
        block = (b"A\tm\t" + b"x" * 30_000 + b"\n") * 100
        for _ in range(30):
            file.write(block)
    tracemalloc.start()
    reading = read_people([path])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(reading.people) == 1
    assert peak < 400 << 20


@pytest.mark.parametrize("text", ["", "P1\tP2\n", "P1\nP2\tP3\n", "P1\nP\x002\n"])
def test_malformed_identifiers(tmp_path, text):
    path = tmp_path / "ids.txt"
    path.write_text(text)
    with pytest.raises(BadFile):
        read_identifiers(path)
