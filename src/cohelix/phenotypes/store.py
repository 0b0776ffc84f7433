"""`PeopleStore`: people as memory-mapped Arrow columns, bitmaps of their words and terms, and their documents.

people.arrow, biosamples.arrow     columns
terms.arrow                        the index of words and terms (`terms.TermIndex`)
ontologies/                        those that the index was made with
documents.individuals.arrow,       where there are documents: blocks, compressed
documents.biosamples.arrow
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from cohelix.core.arrays import BoolArray
from cohelix.core.errors import Damaged
from cohelix.phenotypes.lazy import Blocks, Lazy, Words, numbers_of
from cohelix.phenotypes.model import SEX_LABELS, Documents, Measurement, People, Term, TermKind, TermPeople
from cohelix.phenotypes.ontology import FOLDER as ONTOLOGIES
from cohelix.phenotypes.ontology import Ontologies
from cohelix.phenotypes.terms import Coded, TermIndex

PEOPLE_FILE, BIOSAMPLES_FILE, TERMS_FILE = "people.arrow", "biosamples.arrow", "terms.arrow"
INDIVIDUAL_DOCUMENTS_FILE, BIOSAMPLE_DOCUMENTS_FILE = "documents.individuals.arrow", "documents.biosamples.arrow"
_MEASUREMENT = "measurement:"


def write_people(people: People, folder: Path, ontologies: Ontologies | None = None) -> None:
    """Write a dataset's people into an existing folder; the bytes depend on the people and the ontologies only.

    Codes are brought up to date; `ontologies` remembers which were replaced and which it does not know.
    """
    columns: dict[str, pa.Array] = {
        "individual_id": _texts(people.individual_ids),
        "sex": pa.array(people.sex, pa.uint8()),
        "population": _texts(people.population),
        "country": _texts(people.country),
        "birth_year": pa.array(people.birth_year, pa.int32()),
        "age": pa.array(people.age, pa.float64()),
    }
    fields = [pa.field(name, column.type) for name, column in columns.items()]
    for measurement in people.measurements:
        fields.append(pa.field(_MEASUREMENT + measurement.name, pa.float64(), metadata={"unit": measurement.unit}))
    arrays = [*columns.values(), *(pa.array(measurement.values, pa.float64()) for measurement in people.measurements)]
    _write(folder / PEOPLE_FILE, pa.Table.from_arrays(arrays, schema=pa.schema(fields)))
    _write(
        folder / BIOSAMPLES_FILE,
        pa.table(
            {
                "biosample_id": _texts(people.biosample_ids),
                "person": pa.array(people.biosample_person, pa.int64()),
                "germline": pa.array(people.germline, pa.bool_()),
                "preferred": pa.array(people.preferred, pa.bool_()),
            }
        ),
    )
    index = TermIndex.of(_coded(people), ontologies or Ontologies.none())
    _write(folder / TERMS_FILE, index.table)
    index.ontologies.keep(folder / ONTOLOGIES, index.ontology_codes())
    if people.documents is not None:
        Blocks.write(folder / INDIVIDUAL_DOCUMENTS_FILE, people.documents.individuals)
        Blocks.write(folder / BIOSAMPLE_DOCUMENTS_FILE, people.documents.biosamples)


def read_people_store(folder: Path) -> People:
    """The people that `write_people` wrote; columns, bitmaps and documents stay on disk until they are asked for.

    Raises
    ------
    Damaged
        If a file is missing, cut or not of this form.
    """
    table, biosamples, terms = (_read(folder / name) for name in (PEOPLE_FILE, BIOSAMPLES_FILE, TERMS_FILE))
    try:
        people = People(
            individual_ids=Words(table["individual_id"]),
            sex=table["sex"].to_numpy(),
            population=Words(table["population"]),
            country=Words(table["country"]),
            birth_year=table["birth_year"].to_numpy().astype(np.int64),
            age=table["age"].to_numpy(),
            measurements=tuple(_measurements(table)),
            terms=(),
            biosample_ids=Words(biosamples["biosample_id"]),
            biosample_person=biosamples["person"].to_numpy(),
            germline=_booleans(biosamples["germline"]),
            preferred=_booleans(biosamples["preferred"]),
            documents=_documents(folder, len(table), len(biosamples)),
        )
        if "people" in terms.schema.names:  # a store of cohelix 0.1: people listed by term, no ontology
            return _with_index(people, index_of(replace(people, terms=tuple(_listed_terms(terms)))))
        return _with_index(people, TermIndex(terms, Ontologies(folder / ONTOLOGIES)))
    except (KeyError, pa.ArrowException) as error:
        raise Damaged(f"{folder.name}: the stored people are not of the form that this version writes ({error})") from None


def index_of(people: People) -> TermIndex:
    """The index of stored people; of others one made for them, every code standing for itself."""
    return people.index if people.index is not None else TermIndex.of(_coded(people), Ontologies.none())


def _coded(people: People) -> Iterator[Coded]:
    """The words of everybody and the terms, with the numbers of whom they are said."""
    for kind in ("population", "country"):
        words, which = numbers_of(people.population if kind == "population" else people.country)
        for number, word in enumerate(words):
            if word:
                yield Coded(kind, word, word, np.flatnonzero(which == number))
    for sex, label in enumerate(SEX_LABELS):
        whom = np.flatnonzero(people.sex == sex)
        if sex and len(whom):
            yield Coded("sex", label, label, whom)
    for term, whom in people.terms:
        if len(whom):
            yield Coded(term.kind, term.code, term.label, whom)


def _with_index(people: People, index: TermIndex) -> People:
    rows = index.direct_rows()

    def term(place: int) -> TermPeople:
        row = int(rows[place])
        kind, code, label = index.named(row)
        return TermPeople(Term(cast(TermKind, kind), code, label), index.numbers(row))

    return replace(people, index=index, terms=Lazy(len(rows), term))


def _documents(folder: Path, n_people: int, n_biosamples: int) -> Documents | None:
    if not (folder / INDIVIDUAL_DOCUMENTS_FILE).exists():
        return None
    return Documents(
        Blocks(folder / INDIVIDUAL_DOCUMENTS_FILE, n_people), Blocks(folder / BIOSAMPLE_DOCUMENTS_FILE, n_biosamples)
    )


def _measurements(table: pa.Table) -> list[Measurement]:
    found = []
    for field in table.schema:
        if field.name.startswith(_MEASUREMENT):
            unit = (field.metadata or {}).get(b"unit", b"").decode()
            found.append(Measurement(field.name.removeprefix(_MEASUREMENT), unit, table[field.name].to_numpy()))
    return found


def _listed_terms(terms: pa.Table) -> list[TermPeople]:
    named = zip(terms["kind"].to_pylist(), terms["code"].to_pylist(), terms["label"].to_pylist(), strict=True)
    return [
        TermPeople(Term(kind, code, label), people.values.to_numpy(zero_copy_only=False))
        for (kind, code, label), people in zip(named, terms["people"].combine_chunks() if len(terms) else (), strict=True)
    ]


def _texts(words: Sequence[str]) -> pa.Array:
    return words.column if isinstance(words, Words) else pa.array(words, pa.string())


def _booleans(column: pa.ChunkedArray) -> BoolArray:
    return np.asarray(column.to_numpy(), np.bool_)


def _write(path: Path, table: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())


def _read(path: Path) -> pa.Table:
    try:
        with pa.memory_map(str(path)) as source:
            return pa.ipc.open_file(source).read_all().combine_chunks()
    except (OSError, pa.ArrowException) as error:
        raise Damaged(f"{path.name}: cannot be read ({error})") from None
