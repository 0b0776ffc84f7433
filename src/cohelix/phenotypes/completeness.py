"""How complete a dataset is, field by field of the GDI (1+MG) harmonised minimal dataset, version 1 of February 2025."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from cohelix.core.reported import ReportedCall
from cohelix.phenotypes.model import People, TermKind

MINIMAL_DATASET = "1+MG/GDI harmonised minimal dataset v1 (2025-02)"
Requirement = Literal["mandatory", "conditional", "recommended", "optional"]
_M: Final = "mandatory"
_C: Final = "conditional"
_R: Final = "recommended"
_O: Final = "optional"
# Class sheets of the data set, in their order; a conditional field is mandatory for a use case (cancer, common disease).
CHECKLIST: dict[str, dict[str, Requirement]] = {
    "Subject": {
        "subject id": _M,
        "birth date": _M,
        "administrative gender": _M,
        "sex at birth": _O,
        "country of origin": _C,
        "date of last follow-up": _C,
    },
    "Diagnosis": {"diagnosis": _M, "date": _R, "biomarker link": _O, "treatment link": _O},
    "Sample": {
        "organism": _M,
        "anatomical location": _M,
        "pathological state": _M,
        "biospecimen type": _C,
        "id": _R,
        "date": _R,
        "extraction": _R,
        "storage": _R,
        "assayed macromolecule": _R,
        "sampling intent": _R,
    },
    "Sample relation": {"related sample": _M, "relation type": _M, "description": _O},
    "TNM": {
        "pathological or clinical": _M,
        "tumour size": _O,
        "nodes": _O,
        "metastases": _O,
        "stage": _O,
        "version": _O,
        "date": _O,
    },
    "Treatment": {
        "type": _M,
        "treatment code": _C,
        "intent": _O,
        "start": _R,
        "end": _R,
        "dose": _O,
        "cumulative dose": _O,
        "intervals": _O,
        "route": _O,
        "status": _R,
        "response": _O,
        "adverse events": _O,
    },
    "Environmental exposure": {"type": _C, "amount": _O},
    "Biomarker": {"type": _M, "name": _O, "code": _O, "date": _O},
    "Sequence": {
        "target": _M,
        "platform": _M,
        "average depth": _M,
        "initial file format": _M,
        "final file format": _M,
        "alignment genome": _M,
    },
    "Variant": {"HGVS": _M, "type": _O, "origin": _O, "ACMG result": _O, "reported to patient": _O},
    "Digital resource": {"name": _M, "version": _M, "date used": _M},
}


class FieldCompleteness(NamedTuple):
    """Of `of` things of a class (people, samples, treatments …), `known` have the field."""

    group: str
    field: str
    requirement: Requirement
    known: int
    of: int


@dataclass(slots=True)
class Tally:
    """What a reader counts beside what the columns of people tell: things of a class, and who of them has a field."""

    things: Counter[str] = field(default_factory=Counter)
    known: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, group: str, *fields: str, n: int = 1) -> None:
        """`n` more things of a class, which have these fields."""
        self.things[group] += n
        for name in fields:
            self.known[group, name] += n


@dataclass(frozen=True, slots=True)
class Completeness:
    """All fields of the minimal dataset, in its order."""

    fields: tuple[FieldCompleteness, ...]

    def get(self, group: str, name: str) -> FieldCompleteness:
        """One field."""
        return next(item for item in self.fields if (item.group, item.field) == (group, name))

    def document(self) -> dict[str, Any]:
        """As the load report has it; `share` is null for a class of which the dataset has nothing."""
        classes: dict[str, list[dict[str, Any]]] = {}
        for item in self.fields:
            share = round(item.known / item.of, 4) if item.of else None
            entry = {"field": item.field, "requirement": item.requirement, "known": item.known, "of": item.of, "share": share}
            classes.setdefault(item.group, []).append(entry)
        return {"dataset": MINIMAL_DATASET, "classes": classes}

    def lines(self) -> list[str]:
        """For a reader at a terminal: a line for each class, mandatory fields in capitals."""
        found = []
        for group in CHECKLIST:
            items = [item for item in self.fields if item.group == group]
            if not any(item.of for item in items):
                found.append(f"{group}: nothing")
                continue
            told = (
                f"{item.field.upper() if item.requirement == 'mandatory' else item.field} {_percent(item)}"
                for item in items
                if item.known or item.requirement == "mandatory"
            )
            found.append(f"{group} ({max(item.of for item in items):,}): {', '.join(told)}")
        return found


def completeness(people: People, reported: Iterable[ReportedCall], tally: Tally) -> Completeness:
    """Completeness of a dataset from its columns, its reported variants, and what its reader counted besides."""
    things, known = Counter(tally.things), Counter(tally.known)
    n = len(people)
    unknown = {pair for pair in known if pair[1] not in CHECKLIST.get(pair[0], {})}
    assert not unknown, f"not fields of the minimal dataset: {sorted(unknown)}"
    things["Subject"] = n
    known["Subject", "subject id"] = n
    known["Subject", "birth date"] = int((people.birth_year >= 0).sum())
    # One column of sex stands for both: no format read here tells them apart.
    known["Subject", "administrative gender"] = known["Subject", "sex at birth"] = int((people.sex != 0).sum())
    known["Subject", "country of origin"] = sum(map(bool, people.country))
    known["Diagnosis", "diagnosis"] = with_term(people, "disease", n)
    things.setdefault("Diagnosis", _pairs(people, "disease"))
    if things.setdefault("Sample", len(people.biosample_ids)):
        known["Sample", "organism"] = known["Sample", "id"] = things["Sample"]
        known["Sample", "anatomical location"] = with_term(people, "tissue", len(people.biosample_ids))
        known["Sample", "biospecimen type"] = with_term(people, "sample_type", len(people.biosample_ids))
    for group, kinds in (
        ("TNM", ("tumour_stage",)),
        ("Treatment", ("treatment", "procedure")),
        ("Environmental exposure", ("exposure",)),
    ):
        if group not in things:
            things[group] = sum(_pairs(people, kind) for kind in kinds)
            first = {"TNM": "stage", "Treatment": "treatment code", "Environmental exposure": "type"}[group]
            known[group, first] = things[group]
    for call in reported:
        things["Variant"] += 1
        known["Variant", "origin"] += 1
        known["Variant", "HGVS"] += bool(call.hgvs)
        known["Variant", "type"] += bool(call.contig)
        known["Variant", "ACMG result"] += bool(call.significance)
    return Completeness(
        tuple(
            FieldCompleteness(
                group,
                name,
                requirement,
                known[group, name],
                n if (group, name) == ("Diagnosis", "diagnosis") else things[group],
            )
            for group, fields in CHECKLIST.items()
            for name, requirement in fields.items()
        )
    )


def with_term(people: People, kind: TermKind, n: int) -> int:
    """How many of `n` people (biosamples, for their kinds) have a term of a kind."""
    having = np.zeros(n, np.bool_)
    for found in people.terms:
        if found.term.kind == kind:
            having[found.people] = True
    return int(having.sum())


def _pairs(people: People, kind: str) -> int:
    return sum(len(found.people) for found in people.terms if found.term.kind == kind)


def _percent(item: FieldCompleteness) -> str:
    return f"{item.known / item.of:.0%}" if item.of else "-"
