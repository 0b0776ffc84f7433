"""People from tables of the OMOP common data model (5.x), with the operator's map from concepts to codes."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from cohelix.core.arrays import IntArray
from cohelix.core.errors import BadFile
from cohelix.phenotypes.completeness import Tally, completeness
from cohelix.phenotypes.consents import EXPECTED as SCOPES_EXPECTED
from cohelix.phenotypes.consents import Scope, agreed
from cohelix.phenotypes.documents import NEOPLASTIC_SAMPLE, REFERENCE_SAMPLE, SEX_TERMS, SPECIMEN, VITAL_STATUS, Json
from cohelix.phenotypes.individual import Reading, known_columns
from cohelix.phenotypes.mapping import Mapping
from cohelix.phenotypes.model import (
    BIOSAMPLE_KINDS,
    Documents,
    Measurement,
    People,
    PersonTermKind,
    SexCode,
    Term,
    TermKind,
    TermPeople,
)
from cohelix.phenotypes.ontology import Ontologies

_ENDINGS = (".parquet", ".csv", ".tsv", ".csv.gz", ".tsv.gz")
_EXPECTED = "a table of the OMOP common data model as CSV, TSV or Parquet"
_BYTES_MAX = 8 << 30
_MALE, _FEMALE = 8507, 8532  # OMOP's standard concepts of gender
_BIRTH_YEAR_MIN = 1850
_MEASUREMENTS_MAX = 64_000_000  # measured values, people times assays
# Table, column of the concept, column of the date, and what its codes are unless the concept map says otherwise.
_EVENTS: tuple[tuple[str, str, str, PersonTermKind | None], ...] = (
    ("condition_occurrence", "condition_concept_id", "condition_start_date", "disease"),
    ("drug_exposure", "drug_concept_id", "drug_exposure_start_date", "treatment"),
    ("procedure_occurrence", "procedure_concept_id", "procedure_date", "procedure"),
    ("observation", "observation_concept_id", "observation_date", None),
)
_TABLES = frozenset({"person", "measurement", "specimen", "death", "concept", *(table for table, *_ in _EVENTS)})
_KINDS = frozenset(
    {
        *("disease", "phenotype", "excluded_disease", "excluded_phenotype", "disease_stage", "treatment", "procedure"),
        *("exposure", "ethnicity", "tissue", "sample_type", "histology", "tumour_grade", "tumour_stage"),
    }
)
# Vocabulary names of OMOP's own table `concept`, as prefixes of codes.
_VOCABULARIES = {"SNOMED": "SNOMED", "RxNorm": "RxNorm", "LOINC": "LOINC", "UCUM": "UCUM", "ICDO3": "ICDO", "HPO": "HP"}
_CODE = re.compile(r"[^\s\x00-\x1f\x7f;|]{1,64}")
_TUMOUR = re.compile(r"neoplas|tumou?r|malignan|metasta|carcinoma|cancer", re.IGNORECASE)
# Parquet is read by Arrow: a broken file makes Polars panic, or end the process.
_UNREADABLE = (
    *(OSError, EOFError, zlib.error, UnicodeDecodeError),
    *(pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException),
)
_CURIE = re.compile(r"\w[^:]+:.+")


def omop_tables(folder: Path) -> dict[str, Path]:
    """The OMOP tables of a folder by name; empty where it has no table `person`."""
    if not folder.is_dir():
        return {}
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        name = path.name.lower()
        ending = next((ending for ending in _ENDINGS if name.endswith(ending)), None)
        if ending is not None and name.removesuffix(ending) in _TABLES and path.is_file():
            table = name.removesuffix(ending)
            if table in found and "person" in found:
                raise BadFile(str(path), "", f"{found[table].name} is the same table", "one file for each table")
            found[table] = path
    if "person" not in found:
        return {}
    header = _header(found["person"])
    return found if {"person_id", "gender_concept_id"} <= header else {}


def read_omop(
    folder: Path,
    *,
    concepts: Path | None = None,
    meaning: Mapping | None = None,
    ontologies: Ontologies | None = None,
    year: int = 2100,
) -> Reading:
    """Read people from a folder of OMOP tables: `person`, and of the others those that are there.

    Parameters
    ----------
    folder
        Files named after their tables, `condition_occurrence.csv`, capitals or not.
    concepts
        CSV or TSV with the columns `concept_id`, `code`, and if wished `label`, `unit`, `kind`; by default the folder's own
        table `concept`. Concepts that are not in it are counted, and not taken.
    meaning
        `individual`, `consent` and `biosample` of a mapping may name columns of `person` and `specimen` that hold the ids, and
        what people agree to; a column `consent` that is ignored says nothing.
    year
        The present year: nobody was born after it.

    Raises
    ------
    BadFile
        Naming file, line, and what was expected.
    """
    tables = omop_tables(folder)
    return _Omop(
        tables, folder, concepts, meaning=meaning or Mapping(), ontologies=ontologies or Ontologies.none(), year=year
    ).reading()


class _Omop:
    """One folder of tables on its way to people."""

    def __init__(
        self,
        tables: dict[str, Path],
        folder: Path,
        concepts: Path | None,
        *,
        meaning: Mapping,
        ontologies: Ontologies,
        year: int,
    ) -> None:
        self._tables, self._meaning, self._ontologies, self._year = tables, meaning, ontologies, year
        own = tables.get("concept")
        if concepts is None and own is None:
            raise BadFile(
                str(folder),
                "",
                "concepts have no codes",
                "--concepts FILE with the columns concept_id and code, or a table concept",
            )
        self._concepts = _read_concepts(concepts) if concepts is not None else _own_concepts(own) if own else pl.DataFrame()
        self._not_mapped: list[str] = []
        self._n_rows = 0
        self._tally = Tally()
        self._terms: dict[tuple[TermKind, str], list[IntArray]] = {}
        self._labels: dict[str, str] = {}
        self._documents: list[Json] = []

    def reading(self) -> Reading:
        """Everything read."""
        person = self._person()
        for table, concept, date, kind in _EVENTS:
            if table in self._tables:
                self._events(table, concept, date, kind)
        measurements = self._measurements() if "measurement" in self._tables else ()
        if "death" in self._tables:
            rows = self._rows("death", ("person_id",))
            dead = VITAL_STATUS["DECEASED"]
            self._add("vital_status", dead["id"], dead["label"], rows["person"].to_numpy())
        biosamples, owners, germline, samples = self._specimens()
        ids = tuple(person["id"].to_list())
        people = People(
            individual_ids=ids,
            sex=person["sex"].to_numpy(),
            population=("",) * len(ids),
            country=("",) * len(ids),
            birth_year=self._birth_years,
            age=np.full(len(ids), np.nan),
            measurements=measurements,
            terms=self._term_people(),
            biosample_ids=biosamples,
            biosample_person=owners,
            germline=germline,
            preferred=np.zeros(len(biosamples), np.bool_),
            documents=Documents(
                [orjson.dumps({"id": name, **shown}) for name, shown in zip(ids, self._documents, strict=True)],
                [orjson.dumps({"id": name, "individualId": ids[owner], **shown})
                 for name, owner, shown in zip(biosamples, owners.tolist(), samples, strict=True)],
            ),
        )  # fmt: skip
        return Reading(
            people,
            self._n_rows,
            0,
            (),
            known_columns(people),
            completeness(people, (), self._tally),
            (),
            "omop",
            tuple(self._not_mapped),
            self._consents,
        )

    def _person(self) -> pl.DataFrame:
        path = self._tables["person"]
        wanted = ["person_id", "gender_concept_id", "year_of_birth"]
        named = self._meaning.individual or "person_id"
        said = self._meaning.consent or ("" if "consent" in self._meaning.ignore else "consent")
        needed = (*wanted, *(name for name in (named, self._meaning.consent) if name and name not in wanted))
        frame = _read(path, needed, ("race_concept_id", "ethnicity_concept_id", *({said} - {*needed, ""})))
        if not len(frame):
            raise BadFile(str(path), "line 2", "the table has no rows", "a row for each person")
        self._n_rows += len(frame)
        numbers = _whole(path, frame, "person_id")
        _refuse_first(path, numbers.is_duplicated(), "the person comes twice", "every person_id once")
        years = _whole(path, frame, "year_of_birth", missing=True)
        wrong = years.is_not_null() & ~years.is_between(_BIRTH_YEAR_MIN, self._year)
        _refuse_first(path, wrong, "not a year of birth", f"a year from {_BIRTH_YEAR_MIN} to {self._year}")
        gender = _whole(path, frame, "gender_concept_id", missing=True).to_numpy()
        sex = np.select([gender == _MALE, gender == _FEMALE], [SexCode.MALE, SexCode.FEMALE], SexCode.UNKNOWN).astype(np.uint8)
        names = frame[named]
        _refuse_first(path, names.is_null() | (names.str.len_chars() > 256), f"no {named}", "an id for each person")
        _refuse_first(path, names.is_duplicated(), f"{named} comes twice", "every person's id once")
        self._consents = _consents(path, names, frame[said]) if said in frame.columns else {}
        self._people = pl.DataFrame({"person_id": numbers, "person": np.arange(len(frame))})
        self._birth_years = years.fill_null(-1).to_numpy().astype(np.int64)
        self._documents = [{"sex": SEX_TERMS[SexCode(code)]} for code in sex.tolist()]
        for column in ("race_concept_id", "ethnicity_concept_id"):
            if column in frame.columns:
                concept = _whole(path, frame, column, missing=True)
                rows = pl.DataFrame({"person": np.arange(len(frame)), "concept": concept}).filter(pl.col("concept") > 0)
                for kind, code, label, whom in self._coded("person", rows, "ethnicity"):
                    self._add(kind, code, label, whom)
        return pl.DataFrame({"id": names, "sex": sex})

    def _rows(self, table: str, wanted: tuple[str, ...], optional: tuple[str, ...] = ()) -> pl.DataFrame:
        """A table with its people's numbers as `person`; a person that `person` does not have is refused."""
        path = self._tables[table]
        frame = _read(path, wanted, optional)
        self._n_rows += len(frame)
        numbers = _whole(path, frame, "person_id")
        joined = pl.DataFrame({"person_id": numbers}).join(self._people, on="person_id", how="left", maintain_order="left")
        _refuse_first(path, joined["person"].is_null(), "a person whom the table person does not have", "a person_id of it")
        return frame.with_columns(joined["person"])

    def _events(self, table: str, concept: str, date: str, kind: PersonTermKind | None) -> None:
        frame = self._rows(table, ("person_id", concept), (date,))
        path = self._tables[table]
        rows = frame.select("person").with_columns(concept=_whole(path, frame, concept, missing=True).fill_null(0))
        dates = frame[date] if date in frame.columns else pl.Series([None] * len(frame), dtype=pl.String)
        rows = rows.with_columns(year=_years(path, dates, date))
        for found, code, label, whom in self._coded(table, rows, kind):
            if found in BIOSAMPLE_KINDS:
                raise BadFile(
                    str(path), "", f"{code} is a {found} in the concept map", "a kind of a person's code in this table"
                )
            self._add(found, code, label, whom)
        self._record(rows.join(self._concepts, on="concept", how="inner"), kind)

    def _record(self, rows: pl.DataFrame, kind: PersonTermKind | None) -> None:
        """Records for answers: each code of a person once, with the age at which it first came."""
        rows = rows.with_columns(kind=_kind_of(kind)).filter(pl.col("kind").is_not_null())
        first = rows.group_by("person", "kind", "code", maintain_order=True).agg(pl.col("year").min(), pl.col("label").first())
        lists = {"disease": "diseases", "treatment": "treatments", "procedure": "interventionsOrProcedures"}
        names = {"disease": "diseaseCode", "treatment": "treatmentCode", "procedure": "procedureCode"}
        ages = {"disease": "ageOfOnset", "treatment": "ageAtOnset", "procedure": "ageAtProcedure"}
        group = {"disease": "Diagnosis", "treatment": "Treatment", "procedure": "Treatment"}
        for person, found, code, year, label in first.iter_rows():
            term = _term(code, label)
            born = int(self._birth_years[person])
            age = {"iso8601duration": f"P{year - born}Y"} if year is not None and born >= 0 and year >= born else None
            if found in lists:
                entry = {names[found]: term} | ({ages[found]: age} if age else {})
                self._documents[person].setdefault(lists[found], []).append(entry)
                known = ("date",) if found == "disease" else ("treatment code", "start") if found == "treatment" else ("start",)
                self._tally.add(group[found], *(known if age else known[:1] if found == "treatment" else ()))
            elif found in ("phenotype", "excluded_phenotype"):
                entry = {"featureType": term, "excluded": found == "excluded_phenotype"} | ({"onset": age} if age else {})
                self._documents[person].setdefault("phenotypicFeatures", []).append(entry)
            else:
                info = self._documents[person].setdefault("info", {})
                info.setdefault(found, []).append(term)

    def _coded(self, table: str, rows: pl.DataFrame, kind: TermKind | None) -> list[tuple[TermKind, str, str, IntArray]]:
        """Rows (`person`, `concept`) by code; concepts without one, or without a kind, are counted for the report."""
        joined = rows.join(self._concepts, on="concept", how="left").with_columns(kind=_kind_of(kind))
        self._report_unmapped(table, joined.filter(pl.col("code").is_null() | pl.col("kind").is_null()))
        taken = joined.filter(pl.col("code").is_not_null() & pl.col("kind").is_not_null())
        grouped = taken.group_by("kind", "code").agg(pl.col("label").first(), pl.col("person").unique().sort())
        return [
            (found, code, label or "", whom.to_numpy()) for found, code, label, whom in zip(*grouped.get_columns(), strict=True)
        ]

    def _report_unmapped(self, table: str, rows: pl.DataFrame) -> None:
        if not len(rows):
            return
        by_concept = rows.group_by("concept").len().sort("len", "concept", descending=[True, False])
        some = ", ".join(f"{concept} ({times:,})" for concept, times in by_concept.head(10).iter_rows())
        self._not_mapped.append(
            f"{table}: {len(rows):,} rows with {len(by_concept):,} concepts that the concept map does not explain: {some}"
        )

    def _measurements(self) -> tuple[Measurement, ...]:
        path = self._tables["measurement"]
        optional = ("value_as_number", "unit_concept_id", "measurement_date", "value_as_concept_id")
        frame = self._rows("measurement", ("person_id", "measurement_concept_id"), optional)
        rows = frame.select("person").with_columns(
            concept=_whole(path, frame, "measurement_concept_id", missing=True).fill_null(0),
            value=_numbers(path, frame, "value_as_number"),
            unit_concept=_whole(path, frame, "unit_concept_id", missing=True),
            year=_years(path, _optional(frame, "measurement_date"), "measurement_date"),
            date=_optional(frame, "measurement_date"),
        )
        mapped = rows.join(self._concepts, on="concept", how="left", maintain_order="left")
        self._report_unmapped("measurement", mapped.filter(pl.col("code").is_null()))
        units = self._concepts.select(unit_concept="concept", own_unit="code")
        mapped = mapped.join(units, on="unit_concept", how="left", maintain_order="left").with_columns(
            unit=pl.coalesce(pl.col("own_unit").str.strip_prefix("UCUM:"), "unit").fill_null("")
        )
        valued = mapped.filter(pl.col("code").is_not_null() & pl.col("value").is_not_null())
        # Of several values of a person the latest stands, and of one day the last in the table.
        latest = valued.sort("date", nulls_last=False, maintain_order=True).unique(
            ["person", "code", "unit"], keep="last", maintain_order=True
        )
        several = latest.group_by("code").agg(pl.col("unit").n_unique())
        ambiguous = set(several.filter(pl.col("unit") > 1)["code"].to_list())
        if len(several) * len(self._documents) > _MEASUREMENTS_MAX:
            raise BadFile(
                str(path), "", f"{len(several)} kinds of measurement", f"at most {_MEASUREMENTS_MAX} values of people"
            )
        found = []
        for (code, unit), group in sorted(latest.group_by("code", "unit"), key=lambda item: item[0]):
            values = np.full(len(self._documents), np.nan)
            values[group["person"].to_numpy()] = group["value"].to_numpy()
            found.append(Measurement(f"{code} [{unit}]" if code in ambiguous else str(code), str(unit), values))
        for person, code, label, unit, value, year in latest.select(
            "person", "code", "label", "unit", "value", "year"
        ).iter_rows():
            quantity = {"unit": _term(f"UCUM:{unit or '1'}", ""), "value": value}
            shown: Json = {"assayCode": _term(code, label), "measurementValue": quantity}
            born = int(self._birth_years[person])
            if year is not None and 0 <= born <= year:
                shown["observationMoment"] = {"iso8601duration": f"P{year - born}Y"}
            self._documents[person].setdefault("measures", []).append(shown)
        return tuple(found)

    def _specimens(self) -> tuple[tuple[str, ...], IntArray, np.ndarray[Any, np.dtype[np.bool_]], list[Json]]:
        """Biosample ids, their people, whether germline, and documents; a person without one has one by the own id."""
        ids: list[str] = []
        owners = np.zeros(0, np.int64)
        tumour = np.zeros(0, np.bool_)
        shown: list[Json] = []
        if "specimen" in self._tables:
            path = self._tables["specimen"]
            named = self._meaning.biosample or "specimen_id"
            concepts = {
                "specimen_concept_id": ("sample_type", "sampleOriginDetail"),
                "anatomic_site_concept_id": ("tissue", "sampleOriginDetail"),
                "disease_status_concept_id": ("histology", "histologicalDiagnosis"),
            }
            frame = self._rows("specimen", ("person_id", named), tuple(concepts))
            names = frame[named]
            _refuse_first(path, names.is_null() | (names.str.len_chars() > 256), f"no {named}", "an id for each specimen")
            _refuse_first(path, names.is_duplicated(), f"{named} comes twice", "every specimen once")
            ids, owners = names.to_list(), frame["person"].to_numpy()
            tumour = np.zeros(len(ids), np.bool_)
            shown = [{} for _ in ids]
            codes: dict[int, tuple[str, str | None]] = {}
            codes = {
                number: (code, label) for number, code, label in self._concepts.select("concept", "code", "label").iter_rows()
            }
            for column, (kind, place) in concepts.items():
                if column not in frame.columns:
                    continue
                concept = _whole(path, frame, column, missing=True).fill_null(0)
                rows = pl.DataFrame({"person": np.arange(len(ids)), "concept": concept}).filter(pl.col("concept") > 0)
                for found, code, label, whom in self._coded("specimen", rows, kind):  # type: ignore[arg-type]
                    self._add(found, code, label, whom)
                for number, item in enumerate(concept.to_list()):
                    if item in codes:
                        shown[number][place] = _term(*codes[item])
                        tumour[number] |= kind == "histology" and bool(_TUMOUR.search(codes[item][1] or ""))
        self._tally.add("Sample", n=len(ids))
        self._tally.known["Sample", "pathological state"] = int(tumour.sum())
        taken = set(ids)
        with_germline = np.zeros(len(self._documents), np.bool_)
        with_germline[owners] = True
        further = np.flatnonzero(~with_germline)
        own = self._own_ids()
        for number in further.tolist():
            if own[number] in taken:
                raise BadFile(
                    str(self._tables["specimen"]),
                    "",
                    f"{own[number]!r} is a specimen of another person, and the id of a person without one",
                    "ids that differ; a mapping may name another column for `biosample`",
                )
            ids.append(own[number])
            shown.append({})
        owners = np.concatenate([owners, further]).astype(np.int64)
        germline = np.concatenate([~tumour, np.ones(len(further), np.bool_)])
        documents = [
            {"biosampleStatus": REFERENCE_SAMPLE if normal else NEOPLASTIC_SAMPLE, "sampleOriginType": SPECIMEN, **item}
            for normal, item in zip(germline.tolist(), shown, strict=True)
        ]
        return tuple(ids), owners, germline, documents

    def _own_ids(self) -> list[str]:
        named = self._meaning.individual or "person_id"
        return _read(self._tables["person"], (named,), ())[named].to_list()

    def _add(self, kind: TermKind, code: str, label: str, whom: IntArray) -> None:
        current = self._ontologies.current(code)
        self._terms.setdefault((kind, current), []).append(whom)
        self._labels.setdefault(current, self._ontologies.label(current) or label)

    def _term_people(self) -> tuple[TermPeople, ...]:
        return tuple(
            TermPeople(Term(kind, code, self._labels[code]), np.unique(np.concatenate(whom)).astype(np.int64))
            for (kind, code), whom in sorted(self._terms.items())
            if any(len(part) for part in whom)
        )


def _kind_of(kind: TermKind | None) -> pl.Expr:
    """The map's own word; else a phenotype for HPO's codes among conditions and observations; else the table's kind."""
    usual = pl.lit(kind, dtype=pl.String)
    if kind in (None, "disease"):
        usual = pl.when(pl.col("code").str.starts_with("HP:")).then(pl.lit("phenotype")).otherwise(usual)
    return pl.coalesce(pl.col("map_kind"), usual)


def _term(code: str, label: str | None) -> Json:
    """A term for answers, whose schema wants a prefix."""
    term = {"id": code if _CURIE.fullmatch(code) else f"local:{code}"}
    return term | {"label": label} if label else term


def _read_concepts(path: Path) -> pl.DataFrame:
    frame = _read(path, ("concept_id", "code"), ("label", "unit", "kind"))
    return _concept_frame(path, frame, frame["code"])


def _own_concepts(path: Path) -> pl.DataFrame:
    """OMOP's own table `concept`: the vocabulary's name is the code's prefix."""
    frame = _read(path, ("concept_id", "concept_name", "vocabulary_id", "concept_code"), ())
    vocabulary = frame["vocabulary_id"].replace(_VOCABULARIES)
    given = frame["concept_code"]
    prefixed = pl.select(pl.when(given.str.contains(":", literal=True)).then(given).otherwise(vocabulary + ":" + given))
    frame = frame.with_columns(label="concept_name")
    return _concept_frame(path, frame, prefixed.to_series().str.replace_all(r"[\s;|]", "_"))


def _concept_frame(path: Path, frame: pl.DataFrame, codes: pl.Series) -> pl.DataFrame:
    numbers = _whole(path, frame, "concept_id")
    _refuse_first(path, numbers.is_duplicated(), "the concept comes twice", "every concept once")
    wrong = codes.is_null() | ~codes.str.contains(f"^(?:{_CODE.pattern})$")
    _refuse_first(path, wrong, "not a code", "a code of at most 64 signs, such as SNOMED:44054006")
    kinds = _optional(frame, "kind")
    _refuse_first(path, kinds.is_not_null() & ~kinds.is_in(list(_KINDS)), "not a kind", f"one of {', '.join(sorted(_KINDS))}")
    return pl.DataFrame(
        {
            "concept": numbers,
            "code": codes,
            "label": _optional(frame, "label"),
            "unit": _optional(frame, "unit"),
            "map_kind": kinds,
        }
    ).filter(pl.col("concept") != 0)


def _header(path: Path) -> set[str]:
    try:
        if path.name.lower().endswith(".parquet"):
            return {name.lower() for name in pq.read_schema(path).names}
        with (gzip.open if path.name.lower().endswith(".gz") else open)(path, "rb") as file:
            line = file.readline(1 << 20).decode("utf-8-sig", errors="replace")
        return {name.strip().strip('"').lower() for name in re.split(r"[\t,;]", line)}
    except _UNREADABLE:
        return set()


def _read(path: Path, wanted: tuple[str, ...], optional: tuple[str, ...]) -> pl.DataFrame:
    """The named columns of a table as text, blanks stripped, empty as null."""
    try:
        frame = _frame(path)
    except _UNREADABLE as error:
        first = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise BadFile(str(path), "", f"cannot be read ({first})", _EXPECTED) from None
    names = [name.strip().lower() for name in frame.columns]
    if len(set(names)) < len(names):
        raise BadFile(str(path), "line 1", "a column comes twice", "every column name once")
    frame.columns = names
    for name in wanted:
        if name.lower() not in names:
            raise BadFile(str(path), "line 1", f"no column {name}", f"the columns {', '.join(wanted)}")
    taken = [name.lower() for name in (*wanted, *optional) if name.lower() in names]
    plain = frame.select(pl.col(name).cast(pl.String).str.strip_chars() for name in taken)
    return plain.select(pl.when(pl.col(name) != "").then(pl.col(name)) for name in taken).rename(
        {name.lower(): name for name in (*wanted, *optional) if name.lower() in taken}
    )


def _frame(path: Path) -> pl.DataFrame:
    name = path.name.lower()
    if path.stat().st_size == 0:
        raise BadFile(str(path), "line 1", "the file is empty", _EXPECTED)
    if name.endswith(".parquet"):
        table = pq.read_table(path)
        table.validate(full=True)  # text that is not UTF-8 makes Polars panic
        return pl.DataFrame(table)
    opened = gzip.open if name.endswith(".gz") else open
    with opened(path, "rb") as file:
        size, head = 0, b""
        while chunk := file.read(1 << 20):  # a small archive may hold a large file
            head = head or chunk
            size += len(chunk)
            if size > _BYTES_MAX:
                raise BadFile(str(path), "", f"more than {_BYTES_MAX} bytes", "a smaller table")
    first = head.split(b"\n", 1)[0]
    separator = next((sign for sign in "\t;" if sign.encode() in first), ",")
    return pl.read_csv(path, separator=separator, infer_schema=False, truncate_ragged_lines=False)


def _consents(path: Path, names: pl.Series, said: pl.Series) -> dict[str, frozenset[Scope]]:
    """What people agree to, by their ids: a column that the data model does not have, as other tables of people do."""
    found: dict[str, frozenset[Scope]] = {}
    for number, (name, words) in enumerate(zip(names.to_list(), said.to_list(), strict=True)):
        try:
            scopes = agreed(words or "")
        except ValueError:
            wrong = pl.Series(np.arange(len(names)) == number)
            _refuse_first(path, wrong, f"{words[:60]!r} in the column of consent", SCOPES_EXPECTED)
            raise
        if scopes is not None:
            found[name] = scopes
    return found


def _optional(frame: pl.DataFrame, name: str) -> pl.Series:
    return frame[name] if name in frame.columns else pl.Series(name, [None] * len(frame), dtype=pl.String)


def _whole(path: Path, frame: pl.DataFrame, name: str, *, missing: bool = False) -> pl.Series:
    """A column of whole numbers; a missing one is refused unless it may be."""
    given = _optional(frame, name).cast(pl.String)
    numbers = given.str.strip_suffix(".0").cast(pl.Int64, strict=False)
    wrong = numbers.is_null() & (given.is_not_null() if missing else True)
    _refuse_first(path, wrong, f"{name} is not a whole number", "a whole number")
    return numbers


def _numbers(path: Path, frame: pl.DataFrame, name: str) -> pl.Series:
    given = _optional(frame, name)
    numbers = given.cast(pl.Float64, strict=False)
    _refuse_first(path, given.is_not_null() & (numbers.is_null() | ~numbers.is_finite()), f"{name} is not a number", "a number")
    return numbers


def _years(path: Path, dates: pl.Series, name: str) -> pl.Series:
    """The years of ISO 8601 dates."""
    years = dates.str.extract(r"^(\d{4})-\d{2}-\d{2}").cast(pl.Int64)
    _refuse_first(path, dates.is_not_null() & years.is_null(), f"{name} is not a date", "a date such as 2021-04-23")
    return years


def _refuse_first(path: Path, wrong: pl.Series, problem: str, expected: str) -> None:
    """Refuse the first row that is marked, by its line (row of a Parquet file)."""
    found = wrong.fill_null(value=True).arg_true() if wrong.len() else pl.Series([], dtype=pl.UInt32)
    if len(found):
        number = int(found[0])
        place = f"row {number + 1}" if path.name.lower().endswith(".parquet") else f"line {number + 2}"
        raise BadFile(str(path), place, problem, expected)
