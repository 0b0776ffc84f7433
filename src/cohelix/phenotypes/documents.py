"""Elements of phenopackets, checked, in the words of Beacon v2's default schemas of individuals and biosamples.

Each function takes the element as JSON gave it and its JSON path, refuses what the standard does not allow, and gives
Beacon's form, or None where nothing is given (protobuf writes empty messages as `{}`).
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, NamedTuple

from cohelix.core.errors import BadFile
from cohelix.phenotypes.model import SexCode

Json = dict[str, Any]
# Beacon v2, default schema of an individual: NCIT general qualifiers.
SEX_TERMS: dict[SexCode, Json] = {
    SexCode.MALE: {"id": "NCIT:C20197", "label": "male"},
    SexCode.FEMALE: {"id": "NCIT:C16576", "label": "female"},
    SexCode.UNKNOWN: {"id": "NCIT:C17998", "label": "unknown"},
}
# Beacon v2, default schema of a biosample: required, with these examples; for samples of which no more is known.
REFERENCE_SAMPLE: Json = {"id": "EFO:0009654", "label": "reference sample"}
NEOPLASTIC_SAMPLE: Json = {"id": "EFO:0009656", "label": "neoplastic sample"}
SPECIMEN: Json = {"id": "OBI:0001479", "label": "specimen from organism"}
VITAL_STATUS: dict[str, Json] = {
    "ALIVE": {"id": "NCIT:C37987", "label": "Alive"},
    "DECEASED": {"id": "NCIT:C28554", "label": "Dead"},
}
_TEXT_MAX = 1 << 16
_NUMBER_MAX = 1e300
_CURIE = re.compile(r"\w[^:\s]*:[^\s\x00-\x1f\x7f]{1,200}")
_DURATION = re.compile(
    r"P(?=[\dT])(?:(?P<y>\d{1,4}(?:\.\d+)?)Y)?(?:(?P<m>\d{1,4}(?:\.\d+)?)M)?(?:(?P<w>\d{1,4}(?:\.\d+)?)W)?"
    r"(?:(?P<d>\d{1,5}(?:\.\d+)?)D)?(?:T(?=\d)(?:\d+(?:\.\d+)?H)?(?:\d+(?:\.\d+)?M)?(?:\d+(?:\.\d+)?S)?)?"
)
_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2}))?")
_DAYS_OF_YEAR = 365.25
_NUMBERS = re.compile(r"\[\d+\]")


class Place(NamedTuple):
    """Where a packet stands, for refusals; `unknown` counts the fields that are not of the standard, by path."""

    file: str
    place: str
    unknown: Counter[str]

    def refusal(self, path: str, problem: str, expected: str) -> BadFile:
        """A refusal at a JSON path of the packet."""
        return BadFile(self.file, f"{self.place}, {path}", problem, expected)

    def object(self, value: Any, path: str, known: frozenset[str]) -> Json:
        """A JSON object, `{}` where none is given; fields besides `known` are counted."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.refusal(path, f"{_kind(value)} is here", "a JSON object")
        if not value.keys() <= known:
            for name in value.keys() - known:
                self.unknown[f"{_NUMBERS.sub('[]', path)}.{name}"[:200]] += 1
        return value

    def items(self, parent: Json, name: str, path: str, known: frozenset[str]) -> list[tuple[Json, str]]:
        """The objects of a list with their paths; empty where it is not given."""
        found = parent.get(name)
        if found is None:
            return []
        if not isinstance(found, list):
            raise self.refusal(f"{path}.{name}", f"{_kind(found)} is here", "a JSON array")
        listed = []
        for number, item in enumerate(found):
            at = f"{path}.{name}[{number}]"
            listed.append((self.object(item, at, known), at))
        return listed

    def text(self, parent: Json, name: str, path: str, *, required: bool = False) -> str:
        """A string, empty where it is not given and not required."""
        found = parent.get(name)
        if found is None:
            found = ""
        if not isinstance(found, str) or len(found) > _TEXT_MAX:
            raise self.refusal(f"{path}.{name}", f"{_kind(found)} is here", f"a string of at most {_TEXT_MAX} characters")
        if required and not found.strip():
            raise self.refusal(f"{path}.{name}", "nothing is given", "a string")
        return found.strip()

    def flag(self, parent: Json, name: str, path: str) -> bool:
        """True or false; false where it is not given."""
        found = parent.get(name, False)
        if found is None or isinstance(found, bool):
            return bool(found)
        raise self.refusal(f"{path}.{name}", f"{_kind(found)} is here", "true or false")

    def word(self, parent: Json, name: str, path: str, words: tuple[str, ...]) -> str:
        """A word of an enumeration, by name or number; the first where it is not given."""
        found = parent.get(name)
        if found is None:
            return words[0]
        if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < len(words):
            return words[found]
        if isinstance(found, str) and found in words:
            return found
        raise self.refusal(f"{path}.{name}", f"{_shown(found)} is here", f"one of {', '.join(words)}")

    def number(self, parent: Json, name: str, path: str) -> float:
        """A finite number; 0 where it is not given, as protobuf leaves out zeros."""
        found = parent.get(name, 0)
        if isinstance(found, str):
            try:
                found = float(found) if found.isascii() and "_" not in found else found
            except ValueError:
                found = str(found)
        if isinstance(found, bool) or not isinstance(found, int | float) or not abs(found) <= _NUMBER_MAX:
            raise self.refusal(f"{path}.{name}", f"{_shown(parent.get(name))} is here", "a number")
        return float(found)

    def whole(self, parent: Json, name: str, path: str) -> int:
        """A whole number, also as a string, which is how protobuf writes 64-bit integers."""
        found = self.number(parent, name, path)
        if found != int(found):
            raise self.refusal(f"{path}.{name}", f"{_shown(parent.get(name))} is here", "a whole number")
        return int(found)


TERM_FIELDS = frozenset({"id", "label"})
_QUANTITY = frozenset({"unit", "value", "referenceRange"})
_RANGE = frozenset({"unit", "low", "high"})
_TIME = frozenset({"age", "ageRange", "gestationalAge", "ontologyClass", "timestamp", "interval"})
_INTERVAL = frozenset({"start", "end"})
_FEATURE = frozenset({"description", "type", "excluded", "severity", "modifiers", "onset", "resolution", "evidence"})
_EVIDENCE, _REFERENCE = frozenset({"evidenceCode", "reference"}), frozenset({"id", "reference", "description"})
_PROCEDURE = frozenset({"code", "bodySite", "performed"})
_MEASUREMENT = frozenset({"description", "assay", "value", "complexValue", "timeObserved", "procedure"})
_DISEASE = frozenset(
    {
        *("term", "excluded", "onset", "resolution", "diseaseStage", "clinicalTnmFinding"),
        *("primarySite", "laterality"),
    }
)
_DOSE = frozenset({"quantity", "scheduleFrequency", "interval"})
_TREATMENT = frozenset({"agent", "routeOfAdministration", "doseIntervals", "drugType", "cumulativeDose"})


def term(place: Place, value: Any, path: str, *, required: bool = False) -> Json | None:
    """An ontology class: a code with its prefix, and a label."""
    given = value if type(value) is dict and value.keys() <= TERM_FIELDS else place.object(value, path, TERM_FIELDS)
    if not given:
        if required:
            raise place.refusal(path, "nothing is given", "a term with an id such as HP:0001250")
        return None
    code = given.get("id")
    if not isinstance(code, str) or not _CURIE.fullmatch(code):
        problem = "there is none" if code is None else f"{_shown(code)} is not a code"
        raise place.refusal(f"{path}.id", problem, "a code with its prefix, such as HP:0001250")
    label = place.text(given, "label", path)
    return {"id": code, "label": label} if label else {"id": code}


def terms(place: Place, parent: Json, name: str, path: str) -> list[Json]:
    """A list of ontology classes."""
    found = (term(place, item, at) for item, at in place.items(parent, name, path, TERM_FIELDS))
    return [item for item in found if item is not None]


def duration(place: Place, value: Any, path: str) -> Json | None:
    """An age as an ISO 8601 duration."""
    given = place.object(value, path, frozenset({"iso8601duration"}))
    if not given:
        return None
    text = place.text(given, "iso8601duration", path, required=True)
    if not _DURATION.fullmatch(text):
        raise place.refusal(f"{path}.iso8601duration", f"{_shown(text)} is not a duration", "ISO 8601 such as P3Y6M")
    return {"iso8601duration": text}


def years(iso8601duration: str) -> float:
    """An ISO 8601 duration in years of 365.25 days."""
    found = _DURATION.fullmatch(iso8601duration)
    if found is None:
        return float("nan")
    y, m, w, d = (float(found[name] or 0) for name in "ymwd")
    return y + m / 12 + (7 * w + d) / _DAYS_OF_YEAR


def timestamp(place: Place, parent: Json, name: str, path: str) -> str:
    """A date or a moment; empty where it is not given."""
    text = place.text(parent, name, path)
    if text and not _TIMESTAMP.fullmatch(text):
        raise place.refusal(f"{path}.{name}", f"{_shown(text)} is not a moment", "RFC 3339 such as 2021-04-23T12:00:00Z")
    return f"{text}T00:00:00Z" if len(text) == len("2021-04-23") else text


def interval(place: Place, value: Any, path: str) -> Json | None:
    """From one moment to another; None where either is missing."""
    given = place.object(value, path, _INTERVAL)
    start, end = timestamp(place, given, "start", path), timestamp(place, given, "end", path)
    return {"start": start, "end": end} if start and end else None


def time(place: Place, value: Any, path: str) -> Json | None:
    """A time element: an age, a range of ages, a gestational age, a term such as "childhood onset", or a moment."""
    given = place.object(value, path, _TIME)
    if not given:
        return None
    if "age" in given:
        return duration(place, given["age"], f"{path}.age")
    if "ontologyClass" in given:
        return term(place, given["ontologyClass"], f"{path}.ontologyClass")
    if "ageRange" in given:
        ages = place.object(given["ageRange"], f"{path}.ageRange", _INTERVAL)
        start, end = (duration(place, ages.get(name), f"{path}.ageRange.{name}") for name in ("start", "end"))
        return {"start": start, "end": end} if start and end else None
    return _other_time(place, given, path)


def _other_time(place: Place, given: Json, path: str) -> Json | None:
    if "gestationalAge" in given:
        at = f"{path}.gestationalAge"
        weeks = place.object(given["gestationalAge"], at, frozenset({"weeks", "days"}))
        return {"weeks": place.whole(weeks, "weeks", at), "days": place.whole(weeks, "days", at)}
    if "interval" in given:
        return interval(place, given["interval"], f"{path}.interval")
    moment = timestamp(place, given, "timestamp", path)
    # Beacon's schema asks for an object, in which a moment alone is an interval that ends as it begins.
    return {"start": moment, "end": moment} if moment else None


def quantity(place: Place, value: Any, path: str) -> Json | None:
    """A number with its unit, and a range of reference where it is whole."""
    given = place.object(value, path, _QUANTITY)
    if not given:
        return None
    found: Json = {
        "unit": term(place, given.get("unit"), f"{path}.unit", required=True),
        "value": place.number(given, "value", path),
    }
    limits = place.object(given.get("referenceRange"), f"{path}.referenceRange", _RANGE)
    if limits:
        at = f"{path}.referenceRange"
        unit = term(place, limits.get("unit"), f"{at}.unit") or found["unit"]
        found["referenceRange"] = {
            "unit": unit,
            "low": place.number(limits, "low", at),
            "high": place.number(limits, "high", at),
        }
    return found


def feature(place: Place, given: Json, path: str) -> Json:
    """A phenotypic feature; `excluded` says that it was looked for and is not there."""
    found: Json = {"featureType": term(place, given.get("type"), f"{path}.type", required=True)}
    if "excluded" in given:
        found["excluded"] = place.flag(given, "excluded", path)
    _put(found, "severity", term(place, given.get("severity"), f"{path}.severity") if "severity" in given else None)
    for name in ("onset", "resolution"):
        if name in given:
            _put(found, name, time(place, given[name], f"{path}.{name}"))
    if "modifiers" in given:
        _put(found, "modifiers", terms(place, given, "modifiers", path))
    if "evidence" in given:
        _put(found, "evidence", _evidence(place, given, path))
    if "description" in given:
        _put(found, "notes", place.text(given, "description", path))
    return found


def features(place: Place, parent: Json, path: str) -> list[Json]:
    """All phenotypic features of a subject or a biosample."""
    return [feature(place, item, at) for item, at in place.items(parent, "phenotypicFeatures", path, _FEATURE)]


def disease(place: Place, given: Json, path: str) -> Json:
    """A disease, with stages and TNM findings; `excluded` is ours, Beacon's schema has no such word."""
    found: Json = {"diseaseCode": term(place, given.get("term"), f"{path}.term", required=True)}
    if place.flag(given, "excluded", path):
        found["excluded"] = True
    for name, ours in (("onset", "ageOfOnset"), ("resolution", "resolution")):
        _put(found, ours, time(place, given.get(name), f"{path}.{name}"))
    stages = terms(place, given, "diseaseStage", path)
    _put(found, "stage", stages[0] if stages else None)
    _put(found, "stages", stages if len(stages) > 1 else None)
    _put(found, "clinicalTnmFinding", terms(place, given, "clinicalTnmFinding", path))
    for name in ("primarySite", "laterality"):
        _put(found, name, term(place, given.get(name), f"{path}.{name}"))
    return found


def diseases(place: Place, parent: Json, path: str) -> list[Json]:
    """All diseases of a packet, the excluded among them."""
    return [disease(place, item, at) for item, at in place.items(parent, "diseases", path, _DISEASE)]


def measurement(place: Place, given: Json, path: str) -> Json:
    """A measured or observed value."""
    found: Json = {"assayCode": term(place, given.get("assay"), f"{path}.assay", required=True)}
    value = place.object(given.get("value"), f"{path}.value", frozenset({"quantity", "ontologyClass"}))
    several = place.object(given.get("complexValue"), f"{path}.complexValue", frozenset({"typedQuantities"}))
    result: Json | None
    if several:
        at = f"{path}.complexValue"
        result = {
            "typedQuantities": [
                {
                    "quantityType": term(place, item.get("type"), f"{where}.type", required=True),
                    "quantity": quantity(place, item.get("quantity"), f"{where}.quantity"),
                }
                for item, where in place.items(several, "typedQuantities", at, frozenset({"type", "quantity"}))
            ]
        }
        if any(item["quantity"] is None for item in result["typedQuantities"]):
            raise place.refusal(at, "a quantity is missing", "a value and its unit for each")
    elif "quantity" in value:
        result = quantity(place, value["quantity"], f"{path}.value.quantity")
    else:
        result = term(place, value.get("ontologyClass"), f"{path}.value.ontologyClass")
    if not result:
        raise place.refusal(f"{path}.value", "nothing was measured", "value.quantity, value.ontologyClass or complexValue")
    found["measurementValue"] = result
    _put(found, "observationMoment", time(place, given.get("timeObserved"), f"{path}.timeObserved"))
    _put(found, "procedure", procedure(place, given.get("procedure"), f"{path}.procedure"))
    _put(found, "notes", place.text(given, "description", path))
    return found


def measurements(place: Place, parent: Json, path: str) -> list[Json]:
    """All measurements of a subject or a biosample."""
    return [measurement(place, item, at) for item, at in place.items(parent, "measurements", path, _MEASUREMENT)]


def procedure(place: Place, value: Any, path: str) -> Json | None:
    """A clinical procedure."""
    given = place.object(value, path, _PROCEDURE)
    if not given:
        return None
    found: Json = {"procedureCode": term(place, given.get("code"), f"{path}.code", required=True)}
    _put(found, "bodySite", term(place, given.get("bodySite"), f"{path}.bodySite"))
    _put(found, "ageAtProcedure", time(place, given.get("performed"), f"{path}.performed"))
    return found


def treatment(place: Place, value: Any, path: str) -> Json:
    """A drug, its route and doses."""
    given = place.object(value, path, _TREATMENT)
    found: Json = {"treatmentCode": term(place, given.get("agent"), f"{path}.agent", required=True)}
    route = term(place, given.get("routeOfAdministration"), f"{path}.routeOfAdministration")
    _put(found, "routeOfAdministration", route)
    _put(found, "cumulativeDose", quantity(place, given.get("cumulativeDose"), f"{path}.cumulativeDose"))
    doses = []
    for item, at in place.items(given, "doseIntervals", path, _DOSE):
        dose = {
            "quantity": quantity(place, item.get("quantity"), f"{at}.quantity"),
            "scheduleFrequency": term(place, item.get("scheduleFrequency"), f"{at}.scheduleFrequency"),
            "interval": interval(place, item.get("interval"), f"{at}.interval"),
        }
        if all(dose.values()):  # Beacon's schema wants all three
            doses.append(dose)
    _put(found, "doseIntervals", doses)
    return found


def _evidence(place: Place, given: Json, path: str) -> Json | None:
    """The first piece of evidence; Beacon's schema holds one."""
    for item, at in place.items(given, "evidence", path, _EVIDENCE):
        code = term(place, item.get("evidenceCode"), f"{at}.evidenceCode")
        reference = place.object(item.get("reference"), f"{at}.reference", _REFERENCE)
        if code is None:
            continue
        found: Json = {"evidenceCode": code}
        shown = {
            ours: place.text(reference, name, f"{at}.reference")
            for name, ours in (("id", "id"), ("reference", "reference"), ("description", "notes"))
        }
        _put(found, "reference", {name: text for name, text in shown.items() if text})
        return found
    return None


def _put(found: Json, name: str, value: Any) -> None:
    if value:
        found[name] = value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"


def _kind(value: Any) -> str:
    names = {str: "a string", bool: "true or false", int: "a number", float: "a number", list: "an array", dict: "an object"}
    return names.get(type(value), "null")
