"""`PeopleStore`: people as memory-mapped Arrow columns, and for each term the list of its people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from cohelix.core.arrays import BoolArray
from cohelix.core.errors import Damaged
from cohelix.phenotypes.model import Measurement, People, Term, TermPeople

PEOPLE_FILE, BIOSAMPLES_FILE, TERMS_FILE = "people.arrow", "biosamples.arrow", "terms.arrow"
_MEASUREMENT = "measurement:"


def write_people(people: People, folder: Path) -> None:
    """Write a dataset's people into an existing folder; the bytes depend on the people only."""
    columns: dict[str, pa.Array] = {
        "individual_id": pa.array(people.individual_ids, pa.string()),
        "sex": pa.array(people.sex, pa.uint8()),
        "population": pa.array(people.population, pa.string()),
        "country": pa.array(people.country, pa.string()),
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
                "biosample_id": pa.array(people.biosample_ids, pa.string()),
                "person": pa.array(people.biosample_person, pa.int64()),
                "germline": pa.array(people.germline, pa.bool_()),
                "preferred": pa.array(people.preferred, pa.bool_()),
            }
        ),
    )
    _write(
        folder / TERMS_FILE,
        pa.table(
            {
                "kind": pa.array([found.term.kind for found in people.terms], pa.string()),
                "code": pa.array([found.term.code for found in people.terms], pa.string()),
                "label": pa.array([found.term.label for found in people.terms], pa.string()),
                "people": pa.array([found.people for found in people.terms], pa.large_list(pa.int64())),
            }
        ),
    )


def read_people_store(folder: Path) -> People:
    """The people that `write_people` wrote; numbers stay memory-mapped.

    Raises
    ------
    Damaged
        If a file is missing, cut or not of this form.
    """
    table, biosamples, terms = (_read(folder / name) for name in (PEOPLE_FILE, BIOSAMPLES_FILE, TERMS_FILE))
    try:
        return People(
            individual_ids=tuple(table["individual_id"].to_pylist()),
            sex=table["sex"].to_numpy(),
            population=tuple(table["population"].to_pylist()),
            country=tuple(table["country"].to_pylist()),
            birth_year=table["birth_year"].to_numpy().astype(np.int64),
            age=table["age"].to_numpy(),
            measurements=tuple(_measurements(table)),
            terms=tuple(_terms(terms)),
            biosample_ids=tuple(biosamples["biosample_id"].to_pylist()),
            biosample_person=biosamples["person"].to_numpy(),
            germline=_booleans(biosamples["germline"]),
            preferred=_booleans(biosamples["preferred"]),
        )
    except (KeyError, pa.ArrowException) as error:
        raise Damaged(f"{folder.name}: the stored people are not of the form that this version writes ({error})") from None


def _measurements(table: pa.Table) -> list[Measurement]:
    found = []
    for field in table.schema:
        if field.name.startswith(_MEASUREMENT):
            unit = (field.metadata or {}).get(b"unit", b"").decode()
            found.append(Measurement(field.name.removeprefix(_MEASUREMENT), unit, table[field.name].to_numpy()))
    return found


def _terms(terms: pa.Table) -> list[TermPeople]:
    named = zip(terms["kind"].to_pylist(), terms["code"].to_pylist(), terms["label"].to_pylist(), strict=True)
    return [
        TermPeople(Term(kind, code, label), people.values.to_numpy(zero_copy_only=False))
        for (kind, code, label), people in zip(named, terms["people"].combine_chunks() if len(terms) else (), strict=True)
    ]


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
