"""The node's register: which genotype column is whose, and who is in several datasets.

A genotype column is a *call set*; its name is a biosample's id, and the biosample is an individual's. A column that no
table names counts as a person of its own, of whom nothing is known. Individual ids are node-wide.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from cohelix.bank.manifest import Atom
from cohelix.core.arrays import BoolArray, IntArray
from cohelix.core.errors import Damaged
from cohelix.core.ids import DatasetId
from cohelix.phenotypes.lazy import numbers_of
from cohelix.phenotypes.model import BIOSAMPLE_KINDS, SEX_LABELS, Documents, Measurement, People, Term, TermPeople

CALL_SETS_FILE = "call_sets.arrow"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CallSets:
    """The genotype columns of a dataset, in column order.

    Attributes
    ----------
    names
        The source's column names.
    person
        (columns,) int64 people number in the dataset's `People`; a column without a person has a number of its own
        from `len(people)` on.
    counted
        (columns,) whether frequencies count it: one germline call set per person (rule 5 of the interface).
    n_registered
        How many people the tables name.
    """

    names: tuple[str, ...]
    person: IntArray
    counted: BoolArray
    n_registered: int

    @property
    def n_people(self) -> int:
        """Everybody: the people of the tables, and the columns without a person."""
        return self.n_registered + int((self.person >= self.n_registered).sum())

    def of_people(self, chosen: BoolArray) -> CallSets:
        """The same columns; only those of the chosen people, (people,) bool, are counted."""
        return CallSets(self.names, self.person, self.counted & chosen[self.person], self.n_registered)


@dataclass(frozen=True, slots=True)
class Linkage:
    """How columns and tables met: what the load report says of it. Names are the operator's, never the public's."""

    call_sets: CallSets
    columns_without_person: tuple[str, ...]
    people_without_column: tuple[str, ...]
    not_counted: tuple[str, ...]

    def without(self, columns: BoolArray) -> Linkage:
        """The same, where these columns do not count: what the quality gate leaves out."""
        call_sets = replace(self.call_sets, counted=self.call_sets.counted & ~columns)
        not_counted = tuple(call_sets.names[number] for number in np.flatnonzero(~call_sets.counted).tolist())
        return replace(self, call_sets=call_sets, not_counted=not_counted)


def link(columns: Sequence[str], people: People, tumours: frozenset[str] = frozenset()) -> Linkage:
    """Join genotype columns to people by biosample id, and choose the one call set of each person that counts.

    A person's first germline column counts, unless the table marks another; a tumour never does, be it one by the table
    or by its own file (`tumours`, column names).
    """
    biosample = {name: number for number, name in enumerate(people.biosample_ids)}
    found = np.array([biosample.get(name, -1) for name in columns], np.int64)
    linked = found >= 0
    person = np.empty(len(columns), np.int64)
    person[linked] = people.biosample_person[found[linked]]
    person[~linked] = len(people) + np.arange(int((~linked).sum()))
    germline, preferred = np.ones(len(columns), np.bool_), np.zeros(len(columns), np.bool_)
    germline[linked], preferred[linked] = people.germline[found[linked]], people.preferred[found[linked]]
    germline &= np.array([name not in tumours for name in columns], np.bool_)
    counted = np.zeros(len(columns), np.bool_)
    candidates = np.flatnonzero(germline)
    candidates = candidates[np.lexsort((candidates, ~preferred[candidates], person[candidates]))]
    counted[candidates[np.unique(person[candidates], return_index=True)[1]]] = True
    call_sets = CallSets(tuple(columns), person, counted, len(people))
    with_column = np.zeros(len(people), np.bool_)
    with_column[person[linked]] = True
    return Linkage(
        call_sets,
        tuple(name for name, known in zip(columns, linked, strict=True) if not known),
        tuple(people.individual_ids[number] for number in np.flatnonzero(~with_column).tolist()),
        tuple(columns[number] for number in np.flatnonzero(~counted).tolist()),
    )


def atoms_of(call_sets: CallSets, people: People) -> tuple[tuple[Atom, IntArray], ...]:
    """The counted columns by origin and sex: each atom with its ascending sample indexes, in order of origin, then sex."""
    words, which = numbers_of(people.origins())
    words, which = (words, which) if words[:1] == ("",) else (("", *words), which + 1)
    columns = np.flatnonzero(call_sets.counted)
    person = call_sets.person[columns]
    registered = person < len(people)
    cells = np.zeros(len(columns), np.int64)  # origin and sex in one number; 0 where nothing is known
    cells[registered] = which[person[registered]] * len(SEX_LABELS) + people.sex[person[registered]]
    order = np.argsort(cells, kind="stable")
    found, starts = np.unique(cells[order], return_index=True)
    return tuple(
        (Atom(population=words[cell // len(SEX_LABELS)], sex=SEX_LABELS[cell % len(SEX_LABELS)], people=len(part)), part)
        for cell, part in zip(found.tolist(), np.split(columns[order], starts[1:]) if len(found) else (), strict=True)
    )


def write_call_sets(call_sets: CallSets, folder: Path) -> None:
    """Write the columns' people into an existing folder."""
    table = pa.table(
        {
            "column": pa.array(call_sets.names, pa.string()),
            "person": pa.array(call_sets.person, pa.int64()),
            "counted": pa.array(call_sets.counted, pa.bool_()),
        }
    ).replace_schema_metadata({"n_registered": str(call_sets.n_registered)})
    with pa.OSFile(str(folder / CALL_SETS_FILE), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def read_call_sets(folder: Path) -> CallSets:
    """What `write_call_sets` wrote; raises `Damaged` if it cannot be read."""
    try:
        with pa.memory_map(str(folder / CALL_SETS_FILE)) as source:
            table = pa.ipc.open_file(source).read_all()
        return CallSets(
            tuple(table["column"].to_pylist()),
            table["person"].to_numpy(),
            np.asarray(table["counted"].to_numpy(), np.bool_),
            int(table.schema.metadata[b"n_registered"]),
        )
    except (OSError, KeyError, TypeError, pa.ArrowException) as error:
        raise Damaged(f"{CALL_SETS_FILE}: cannot be read ({error})") from None


class Register:
    """Who is who over a node's datasets: numbers people node-wide."""

    def __init__(self, datasets: Mapping[DatasetId, tuple[People, CallSets]]) -> None:
        numbers: dict[str, int] = {}
        self._people: dict[DatasetId, IntArray] = {}
        self._columns: dict[DatasetId, IntArray] = {}
        unregistered = 0
        for dataset, (people, call_sets) in datasets.items():
            registered = [numbers.setdefault(individual, len(numbers)) for individual in people.individual_ids]
            alone = -1 - unregistered - np.arange(call_sets.n_people - call_sets.n_registered)
            unregistered += len(alone)
            self._people[dataset] = np.concatenate([np.array(registered, np.int64), alone])
        # People known by no id are numbered after the others, each in one dataset only.
        self.n_people = len(numbers) + unregistered
        for dataset, who in self._people.items():
            self._people[dataset] = np.where(who < 0, len(numbers) - 1 - who, who)
            self._columns[dataset] = self._people[dataset][datasets[dataset][1].person]

    def people(self, dataset: DatasetId) -> IntArray:
        """(people,) int64: the node-wide number of each of the dataset's people, columns without a person included."""
        return self._people[dataset]

    def already_counted(
        self, datasets: Sequence[DatasetId], call_sets: Mapping[DatasetId, CallSets]
    ) -> dict[DatasetId, BoolArray]:
        """For each dataset in turn, (columns,) bool: counted columns whose person one of the datasets before it has counted."""
        seen = np.zeros(self.n_people, np.bool_)
        shared = {}
        for dataset in datasets:
            who, counted = self._columns[dataset], call_sets[dataset].counted
            shared[dataset] = seen[who] & counted
            seen[who[counted]] = True
        return shared


def people_of(people: People, keep: BoolArray) -> People:
    """Some of the people, (people,) bool, numbered anew in their order, with their biosamples."""
    number = np.cumsum(keep) - 1
    kept_samples = keep[people.biosample_person]
    sample_number = np.cumsum(kept_samples) - 1

    def some(column: Iterable[T], chosen: BoolArray) -> tuple[T, ...]:
        return tuple(compress(column, chosen.tolist()))

    terms = []
    for term, whom in people.terms:
        stay, renumbered = (kept_samples, sample_number) if term.kind in BIOSAMPLE_KINDS else (keep, number)
        left = np.asarray(whom, np.int64)
        left = renumbered[left[stay[left]]]
        if left.size:
            terms.append(TermPeople(term, left))
    documents = people.documents
    if documents is not None:
        documents = Documents(some(documents.individuals, keep), some(documents.biosamples, kept_samples))
    return People(
        some(people.individual_ids, keep),
        people.sex[keep],
        some(people.population, keep),
        some(people.country, keep),
        people.birth_year[keep],
        people.age[keep],
        tuple(item._replace(values=item.values[keep]) for item in people.measurements),
        tuple(terms),
        some(people.biosample_ids, kept_samples),
        number[people.biosample_person[kept_samples]],
        people.germline[kept_samples],
        people.preferred[kept_samples],
        documents,
    )


def people_joined(first: People, second: People) -> People:
    """The people of the first, then those of the second; what one does not measure is not known of its people."""
    parts = (first, second)
    names = list(dict.fromkeys((item.name, item.unit) for part in parts for item in part.measurements))
    measured = [{(item.name, item.unit): item.values for item in part.measurements} for part in parts]
    terms: dict[Term, list[IntArray]] = {}
    for part, n_people, n_samples in ((first, 0, 0), (second, len(first), len(first.biosample_ids))):
        for term, whom in part.terms:
            offset = n_samples if term.kind in BIOSAMPLE_KINDS else n_people
            terms.setdefault(term, []).append(np.asarray(whom, np.int64) + offset)
    documents = None
    if any(part.documents is not None for part in parts):
        told = [part.documents or _plain_documents(part) for part in parts]
        documents = Documents(
            tuple(one for part in told for one in part.individuals), tuple(one for part in told for one in part.biosamples)
        )
    return People(
        (*first.individual_ids, *second.individual_ids),
        np.concatenate([first.sex, second.sex]),
        (*first.population, *second.population),
        (*first.country, *second.country),
        np.concatenate([first.birth_year, second.birth_year]),
        np.concatenate([first.age, second.age]),
        tuple(
            Measurement(
                name,
                unit,
                np.concatenate(
                    [of.get((name, unit), np.full(len(part), np.nan)) for of, part in zip(measured, parts, strict=True)]
                ),
            )
            for name, unit in names
        ),
        tuple(TermPeople(term, np.concatenate(terms[term])) for term in sorted(terms)),
        (*first.biosample_ids, *second.biosample_ids),
        np.concatenate([first.biosample_person, second.biosample_person + len(first)]),
        np.concatenate([first.germline, second.germline]),
        np.concatenate([first.preferred, second.preferred]),
        documents,
    )


def _plain_documents(people: People) -> Documents:
    """Documents of people of whom columns and terms say everything."""
    owners = people.biosample_person.tolist()
    return Documents(
        tuple(json.dumps({"id": name}).encode() for name in people.individual_ids),
        tuple(
            json.dumps({"id": name, "individualId": people.individual_ids[owner]}).encode()
            for name, owner in zip(people.biosample_ids, owners, strict=True)
        ),
    )
