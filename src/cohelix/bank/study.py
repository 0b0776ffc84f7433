"""The people of a plan at one node: who takes part, with which genotype column, and their traits and covariates.

Of the plan's datasets here the released people count (rule 4 of the interface), each with the one germline call set that
counts (rule 5), who are in the cohort, have called genotypes enough, and of whom every trait and covariate is known: one set
of people for all traits. Who is in several datasets counts in the first one of the plan where all of this holds.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pyroaring import BitMap

from cohelix.bank.expression import evaluate
from cohelix.bank.people import Register
from cohelix.bank.publish import DATASETS, open_current, open_version, read_pointer
from cohelix.bank.version import OpenVersion
from cohelix.core.arrays import BoolArray, FloatArray, IntArray
from cohelix.core.errors import BadQuestion, Damaged, NotFound, NotSupported
from cohelix.core.genome import Assembly
from cohelix.core.ids import DatasetId, NodeId, federation_dataset_id
from cohelix.phenotypes.model import SexCode
from cohelix.phenotypes.store import index_of
from cohelix.phenotypes.terms import mask_of
from cohelix.wire.expression import Expression
from cohelix.wire.plan import VALUE_MAX, ComponentNumber, Measured, Plan, PopulationLevels, canonical

_ROWS_AT_ONCE = 1 << 16


class Column(NamedTuple):
    """A column of covariates or traits: its name in results, what it is made of, and the level or measurement meant."""

    name: str
    kind: str
    meant: str = ""


@dataclass(frozen=True, slots=True)
class StudyPart:
    """The people of one dataset: (people,) `columns` are sample indexes of its store, ascending, `person` people numbers, and
    `case` who is a case, None where the plan compares none."""

    dataset: DatasetId
    version: OpenVersion
    columns: IntArray
    person: IntArray
    case: BoolArray | None

    @property
    def n(self) -> int:
        """How many people."""
        return len(self.columns)


@dataclass(frozen=True, slots=True)
class StudyPeople:
    """Everybody who takes part at a node, numbered 0…n−1 part by part.

    Attributes
    ----------
    left_out
        How many of the datasets' released people do not take part, by reason: for the operator alone.
    """

    node: str
    plan: Plan
    assembly: Assembly
    parts: tuple[StudyPart, ...]
    left_out: Mapping[str, int]

    @property
    def n(self) -> int:
        """How many people."""
        return sum(part.n for part in self.parts)

    @property
    def cases(self) -> int | None:
        """How many of them are cases; None where the plan compares none."""
        return sum(int(part.case.sum()) for part in self.parts if part.case is not None) if self.plan.binary else None

    @property
    def open_data(self) -> bool:
        """Whether every dataset of the plan at this node is open."""
        return all(part.version.manifest.disclosure == "open" for part in self.parts)

    @property
    def versions(self) -> dict[str, int]:
        """The frozen version of each dataset."""
        return {part.dataset: part.version.manifest.version for part in self.parts}

    @property
    def releases(self) -> dict[str, str]:
        """Version and release of each dataset, in words."""
        manifests = {part.dataset: part.version.manifest for part in self.parts}
        return {name: f"version {one.version}, release {one.release}" for name, one in manifests.items()}

    def fingerprint(self) -> str:
        """Lower-case hexadecimal SHA-256 over what the people and genotypes are read from: versions, releases, checksums."""
        parts = [
            [part.dataset, part.version.manifest.model_dump(mode="json")]  # with the checksum of every file
            for part in self.parts
        ]
        return hashlib.sha256(canonical([self.node, *parts])).hexdigest()

    def fill_covariates(self, out: FloatArray, nodes: Sequence[str]) -> None:
        """Write the covariates into (n, columns of `covariate_columns`) float64."""
        self._fill(out, covariate_columns(self.plan, nodes))

    def fill_traits(self, out: FloatArray) -> None:
        """Write the traits into (n, traits) float64; case and control as 1 and 0."""
        self._fill(out, trait_columns(self.plan))

    def names(self) -> list[tuple[str, ...]]:
        """Of everybody the names that are theirs within the node: the individual's id, if there is one, then the column's."""
        found: list[tuple[str, ...]] = []
        for part in self.parts:
            call_sets = part.version.call_sets
            ids = list(part.version.people.individual_ids)
            for column, person in zip(part.columns.tolist(), part.person.tolist(), strict=True):
                named = (f"{part.dataset}:{call_sets.names[column]}",)
                found.append((ids[person], *named) if person < call_sets.n_registered else named)
        return found

    def sets(self, numbers: IntArray) -> dict[str, BitMap]:
        """The sets of people that the sums are about, by lasting numbers (n,): the cohort, cases and controls, and the levels
        of covariates that have some."""
        found = {"cohort": BitMap(numbers.astype(np.uint32))}
        if self.plan.binary:
            case = np.concatenate([np.zeros(0, np.bool_), *(part.case for part in self.parts if part.case is not None)])
            found["cases"] = BitMap(numbers[case].astype(np.uint32))
            found["controls"] = BitMap(numbers[~case].astype(np.uint32))
        for column in covariate_columns(self.plan, ()):
            if column.kind in ("sex", "population"):
                values = np.concatenate([np.zeros(0), *(_values(part, column) for part in self.parts)])
                found[column.name] = BitMap(numbers[values > 0].astype(np.uint32))
        return found

    def _fill(self, out: FloatArray, columns: Sequence[Column]) -> None:
        at = 0
        for part in self.parts:
            for start in range(0, part.n, _ROWS_AT_ONCE):
                rows = slice(start, min(start + _ROWS_AT_ONCE, part.n))
                for place, column in enumerate(columns):
                    if column.kind == "node":
                        out[at + rows.start : at + rows.stop, place] = column.meant == self.node
                    else:
                        out[at + rows.start : at + rows.stop, place] = _values(part, column, rows)
            at += part.n


def covariate_columns(plan: Plan, nodes: Sequence[str]) -> tuple[Column, ...]:
    """The columns that the plan's covariates become; components, which are made later, have none.

    Parameters
    ----------
    nodes
        Who contributes; the first one in ascending order is the reference of `node`.
    """
    found: list[Column] = []
    for one in plan.covariates:
        if isinstance(one, Measured):
            found.append(Column(one.measurement, "measurement", one.measurement))
        elif isinstance(one, PopulationLevels):
            found += [Column(f"population:{level}", "population", level) for level in one.population]
        elif one == "node":
            found += [Column(f"node:{node}", "node", node) for node in sorted(set(nodes))[1:]]
        elif not isinstance(one, ComponentNumber):
            found.append(Column(one, one))
    return tuple(found)


def trait_columns(plan: Plan) -> tuple[Column, ...]:
    """The columns that the plan's traits become."""
    if plan.binary:
        return (Column("case", "case"),)
    return tuple(Column(name, "measurement", name) for name in plan.measured_traits)


def open_study(folder: Path, node: str, plan: Plan, *, versions: Mapping[str, int] | None = None) -> StudyPeople:
    """Whom the plan means at the node in a folder.

    Parameters
    ----------
    versions
        Of each dataset the version that was frozen; None for the published ones.

    Raises
    ------
    NotFound
        If the plan names a dataset that the node does not publish, or a frozen version that is gone.
    NotSupported
        If a dataset has no germline genotypes.
    BadQuestion
        If the datasets are not of one assembly, or not of the plan's; if open ones do not have a measurement at all; if a
        value is too large.
    """
    named = [DatasetId(name) for name in plan.datasets_of(node)]
    if not named:
        raise NotFound(f"the plan names no dataset of the node {node}")
    opened = {name: _open(folder, node, name, None if versions is None else versions.get(name)) for name in named}
    assembly = _one_assembly(node, opened, plan)
    _check_measurements(opened, plan)
    left_out: Counter[str] = Counter()
    register = Register({name: (one.people, one.call_sets) for name, one in opened.items()}) if len(opened) > 1 else None
    seen = np.zeros(register.n_people if register else 0, np.bool_)
    parts = []
    for name, version in opened.items():
        taken = seen[register.people(name)] if register else None
        part = _part(name, version, plan, taken, left_out)
        if register:
            seen[register.people(name)[part.person]] = True
        parts.append(part)
    return StudyPeople(node, plan, assembly, tuple(parts), dict(left_out))


def _part(name: DatasetId, version: OpenVersion, plan: Plan, taken: BoolArray | None, left_out: Counter[str]) -> StudyPart:
    """Who takes part from one dataset, of those whom no earlier one has."""
    call_sets = version.call_sets
    column_of = np.full(call_sets.n_people, -1, np.int64)
    counted = np.flatnonzero(call_sets.counted)
    column_of[call_sets.person[counted]] = counted
    chosen = version.released.copy()

    def keep(who: BoolArray, reason: str) -> None:
        nonlocal chosen
        lost = int((chosen & ~who).sum())
        if lost:
            left_out[reason] += lost
        chosen &= who

    keep(column_of >= 0, "no germline genotypes that count")
    if plan.cohort is not None:
        keep(_holds(version, plan.cohort), "not in the cohort, or it is not known")
    case = None
    if plan.case is not None and plan.control is not None:
        case, control = _holds(version, plan.case), _holds(version, plan.control)
        keep(~(case & control), "both case and control")
        keep(case | control, "neither case nor control, or it is not known")
    if plan.samples.call_rate_min > 0:
        rates = _call_rates(version)[np.maximum(column_of, 0)]
        keep(np.asarray(rates >= plan.samples.call_rate_min), "call rate")
    everybody = np.arange(call_sets.n_people)
    whole = StudyPart(name, version, everybody, everybody, case)
    complete = np.ones(call_sets.n_people, np.bool_)
    for column in (*covariate_columns(plan, ()), *trait_columns(plan)):
        values = _values(whole, column)
        if (np.abs(values[chosen]) > VALUE_MAX).any():
            raise BadQuestion(f"a value of {column.name} is beyond ±{VALUE_MAX:g}: change its unit")
        complete &= ~np.isnan(values)
    keep(complete, "a trait or covariate is not known")
    if taken is not None:
        keep(~taken, "counted in an earlier dataset")
    person = np.flatnonzero(chosen)
    person = person[np.argsort(column_of[person], kind="stable")]
    return StudyPart(name, version, column_of[person], person, None if case is None else case[person])


def _values(part: StudyPart, column: Column, rows: slice = slice(None)) -> FloatArray:
    """(people of the part,) float64 values of a column; NaN where not known."""
    people, person = part.version.people, part.person[rows]
    if column.kind == "case":
        assert part.case is not None  # the plan has cases
        return part.case[rows].astype(np.float64)
    found = np.full(len(person), np.nan)
    known = np.flatnonzero(person < len(people))
    who = person[known]
    if column.kind == "sex":
        sex = people.sex[who]
        found[known] = np.where(sex == SexCode.UNKNOWN, np.nan, sex == SexCode.MALE)
    elif column.kind == "age":
        found[known] = people.age[who]
    elif column.kind == "population":
        index = index_of(people)
        placed = mask_of(index.known("population"), len(people))[who]
        found[known] = np.where(placed, mask_of(index.closed("population", column.meant), len(people))[who], np.nan)
    else:
        values = next((item.values for item in people.measurements if item.name == column.meant), None)
        if values is not None:
            found[known] = values[who]
    return found


def _holds(version: OpenVersion, expression: Expression) -> BoolArray:
    """(people,) bool: of whom an expression holds; of a column without a person nothing is known."""
    return mask_of(evaluate(expression, version.people).yes, version.call_sets.n_people)


def _open(folder: Path, node: str, name: DatasetId, frozen: int | None) -> OpenVersion:
    pointer = read_pointer(folder / DATASETS / name)
    if pointer is None or pointer.state != "published":
        raise NotFound(f"the node publishes no dataset {federation_dataset_id(NodeId(node), name)}")
    try:
        version = open_current(folder, name) if frozen is None else open_version(folder, name, frozen)
    except Damaged:
        raise Damaged(f"the stored files of dataset {name} are damaged: it takes no part") from None
    if version.manifest.content != "germline":
        raise NotSupported(f"dataset {name} holds no germline genotypes: it takes no part in analyses")
    return version.scoped("secondary-use")


def _one_assembly(node: str, opened: Mapping[DatasetId, OpenVersion], plan: Plan) -> Assembly:
    found = {version.manifest.assembly for version in opened.values()}
    wanted = {Assembly(plan.assembly)} if plan.assembly else found
    if len(found | wanted) > 1:
        builds = ", ".join(f"{node}:{name} of {version.manifest.assembly}" for name, version in opened.items())
        raise BadQuestion(f"assemblies never mix: {builds}" + (f"; the plan is of {plan.assembly}" if plan.assembly else ""))
    return found.pop()


def _check_measurements(opened: Mapping[DatasetId, OpenVersion], plan: Plan) -> None:
    """Refuse a measurement that no dataset has, where all are open: elsewhere it is not told what a dataset measures."""
    if any(version.manifest.disclosure != "open" for version in opened.values()):
        return
    known = {item.name for version in opened.values() for item in version.people.measurements}
    for column in (*covariate_columns(plan, ()), *trait_columns(plan)):
        if column.kind == "measurement" and column.meant not in known:
            raise BadQuestion(f"no dataset of the plan at this node has a measurement {column.meant[:60]!r}")


def _call_rates(version: OpenVersion) -> FloatArray:
    """(columns,) call rate over all rows, as the quality gate has it."""
    from cohelix.genotypes.quality import survey

    sex = np.zeros(len(version.call_sets.names), np.uint8)
    known = version.call_sets.person < version.call_sets.n_registered
    sex[known] = version.people.sex[version.call_sets.person[known]]
    return survey(version.store, sex, maf_min=0.5, call_rate_min=1.0).people.call_rate
