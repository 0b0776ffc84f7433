"""A cohort from five filters with descendants, and opening a dataset of a million people."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from benchmarks.measure import Row, Times, duration, each, folder_bytes, interleaved, size
from benchmarks.scale import Scale
from cohelix.bank.criteria import people_bitmap, people_meeting
from cohelix.bank.questions import Criterion
from cohelix.phenotypes.model import Measurement, People, Term, TermPeople
from cohelix.phenotypes.ontology import Ontologies, Ontology
from cohelix.phenotypes.store import read_people_store, write_people

TERMS_EACH = 5  # phenotypes of a person; 20 is usual for a rare disease, 0 to 5 in a biobank
# Organ systems: each has hundreds to thousands of terms below it, and here a tenth to a half of all people.
CODES = ("HP:0000707", "HP:0033127", "HP:0000152", "HP:0001626", "HP:0025031")
MIXED = [
    *(Criterion("phenotype", "=", code) for code in CODES[:2]),
    Criterion("sex", "=", "female"),
    Criterion("age", ">=", 40),
    Criterion("LDL", "<", 4.0),
]


class _Sides(NamedTuple):
    """The same people for the house and for polars: a row for each person and term, and one for each person."""

    people: People
    hpo: Ontology
    terms: pl.DataFrame
    columns: pl.DataFrame


def run(scale: Scale) -> list[Row]:
    """Counts by the house, beside polars with the closures' codes spelled out, over the same people."""
    with tempfile.TemporaryDirectory(prefix="cohelix-bench-") as folder:
        node, store = Path(folder) / "node", Path(folder) / "people"
        known = Ontologies.of(node)
        hpo = known.get("HP")
        assert hpo is not None
        people = simulated(scale.filter_people, hpo)
        store.mkdir()
        write_people(people, store, known)
        frames = _as_frames(people)
        opened = each(lambda _: read_people_store(store), max(5, scale.repeats), warm=1)
        people = read_people_store(store)
        sides = _Sides(people, hpo, *frames)
        return [
            _opening(people, opened, folder_bytes(store)),
            _filters(scale, "5 codes", [Criterion("phenotype", "=", code) for code in CODES], sides),
            _filters(scale, "2 codes, sex, age and a measurement", MIXED, sides),
        ]


def simulated(n_people: int, hpo: Ontology) -> People:
    """People with sex, age, a measurement and HPO terms, whose numbers of people fall off as in disease registers."""
    rng = np.random.default_rng(7)
    codes = sorted(code for code in hpo.descendants("HP:0000118") if not hpo.has_descendants(code))[::3]
    weights = rng.permutation(1 / np.arange(1, len(codes) + 1) ** 0.8)
    which = rng.choice(len(codes), n_people * TERMS_EACH, p=weights / weights.sum())
    whose = np.repeat(np.arange(n_people), TERMS_EACH)
    order = np.lexsort((whose, which))
    which, whose = which[order], whose[order]
    once = np.append(True, (np.diff(which) != 0) | (np.diff(whose) != 0))
    which, whose = which[once], whose[once]
    parts = np.split(whose, np.flatnonzero(np.diff(which)) + 1)
    used = [codes[number] for number in np.unique(which)]
    numbers = np.arange(n_people)
    return People(
        individual_ids=tuple(f"P{number:07d}" for number in range(n_people)),
        sex=rng.integers(1, 3, n_people).astype(np.uint8),
        population=tuple(f"POP{number % 26}" for number in range(n_people)),
        country=("",) * n_people,
        birth_year=rng.integers(1930, 2020, n_people),
        age=rng.integers(0, 90, n_people).astype(np.float64),
        measurements=(Measurement("LDL", "mmol/L", rng.normal(3.4, 1.0, n_people)),),
        terms=tuple(TermPeople(Term("phenotype", code), part) for code, part in zip(used, parts, strict=True)),
        biosample_ids=tuple(f"S{number:07d}" for number in range(n_people)),
        biosample_person=numbers,
        germline=np.ones(n_people, np.bool_),
        preferred=np.zeros(n_people, np.bool_),
    )


def _as_frames(people: People) -> tuple[pl.DataFrame, pl.DataFrame]:
    parts = [(found.term.code, found.people) for found in people.terms]
    terms = pl.DataFrame(
        {
            "code": pl.Series(np.repeat([code for code, _ in parts], [len(whom) for _, whom in parts])),
            "person": np.concatenate([whom for _, whom in parts]).astype(np.uint32),
        }
    ).with_columns(pl.col("code").cast(pl.Categorical))
    columns = {"person": np.arange(len(people), dtype=np.uint32), "sex": people.sex, "age": people.age}
    return terms, pl.DataFrame(columns | {"LDL": people.measurements[0].values})


def _opening(people: People, times: Times, stored: int) -> Row:
    return Row(
        "Cohort: opening the people",
        f"{len(people):,} people, {len(people.terms):,} terms, {size(stored)}",
        f"p50 {duration(times.p50)}, worst {duration(max(times.seconds))}",
        *("–", "–", "p50 ≤ 0.2 s"),
        times.p50 <= 0.2,
    )


def _filters(scale: Scale, text: str, asked: list[Criterion], sides: _Sides) -> Row:
    people, hpo, terms, columns = sides
    codes = [[str(one.value), *hpo.descendants(str(one.value))] for one in asked if one.field == "phenotype"]
    plain = len(codes) < len(asked)

    def referee() -> int:
        found = columns.lazy()
        if plain:
            found = found.filter((pl.col("sex") == 2) & (pl.col("age") >= 40) & (pl.col("LDL") < 4.0))
        for below in codes:
            having = terms.lazy().filter(pl.col("code").cast(pl.String).is_in(below)).select("person").unique()
            found = found.join(having, on="person", how="semi")
        return int(found.select(pl.len()).collect().item())

    def house() -> int:
        return len(people_bitmap(people, asked))

    assert referee() == house() == int(people_meeting(people, asked).sum())
    times = interleaved({"house": house, "polars": referee}, max(3, scale.repeats), warm=2)
    ratio = times["polars"].p50 / times["house"].p50
    return Row(
        f"Cohort of {text}, with descendants",
        f"{len(people):,} people, {terms.height:,} terms of people; {house():,} meet them",
        f"p50 {duration(times['house'].p50)}, p95 {duration(times['house'].p95)}",
        f"polars p50 {duration(times['polars'].p50)}",
        f"{ratio:.1f} × as fast",
        "p50 ≤ 50 ms",
        times["house"].p50 <= 50e-3,
    )
