"""Medical actions of phenopackets: treatments, procedures, radiation and regimens, as codes and in Beacon's words."""

from __future__ import annotations

from cohelix.phenotypes.completeness import Tally
from cohelix.phenotypes.documents import Json, Place, procedure, term, terms, time, timestamp, treatment
from cohelix.phenotypes.individual import PeopleBuilder

_ACTION = frozenset(
    {
        *("procedure", "treatment", "radiationTherapy", "therapeuticRegimen", "treatmentTarget", "treatmentIntent"),
        *("responseToTreatment", "adverseEvents", "treatmentTerminationReason"),
    }
)
_RADIATION = frozenset({"modality", "bodySite", "dosage", "fractions"})
_REGIMEN = frozenset({"ontologyClass", "externalReference", "startTime", "endTime", "regimenStatus"})
_REGIMEN_STATUSES = ("UNKNOWN_STATUS", "STARTED", "COMPLETED", "DISCONTINUED")


def medical_actions(
    place: Place, packet: Json, path: str, *, builder: PeopleBuilder, tally: Tally, person: int, document: Json
) -> None:
    """Take in the medical actions of one person: terms to `builder`, records to `document`, counts to `tally`."""
    for item, at in place.items(packet, "medicalActions", path, _ACTION):
        known = ["type"]
        shown: Json
        if item.get("procedure"):
            found = procedure(place, item["procedure"], f"{at}.procedure") or {}
            code, kind, listed = found.get("procedureCode"), "procedure", "interventionsOrProcedures"
            known += ["start"] if "ageAtProcedure" in found else []
            shown = found
        elif item.get("treatment"):
            shown = treatment(place, item["treatment"], f"{at}.treatment")
            code, kind, listed = shown["treatmentCode"], "treatment", "treatments"
            known += ["treatment code"]
            known += ["dose", "intervals", "start", "end"] if "doseIntervals" in shown else []
            known += ["cumulative dose"] if "cumulativeDose" in shown else []
            known += ["route"] if "routeOfAdministration" in shown else []
        elif item.get("radiationTherapy"):
            where = f"{at}.radiationTherapy"
            given = place.object(item["radiationTherapy"], where, _RADIATION)
            code, kind, listed = (
                term(place, given.get("modality"), f"{where}.modality", required=True),
                "treatment",
                "treatments",
            )
            shown = {"treatmentCode": code, "dosage": place.whole(given, "dosage", where)}
            shown["fractions"] = place.whole(given, "fractions", where)
            site = term(place, given.get("bodySite"), f"{where}.bodySite")
            shown |= {"bodySite": site} if site else {}
            known += ["dose"]
        elif item.get("therapeuticRegimen"):
            shown, code = _regimen(place, item, at, known)
            kind, listed = "treatment", "treatments"
        else:
            continue
        for name, field in (("treatmentIntent", "intent"), ("responseToTreatment", "response"), ("treatmentTarget", "")):
            value = term(place, item.get(name), f"{at}.{name}")
            if value is not None:
                shown[name] = value
                known += [field] if field else []
        events = terms(place, item, "adverseEvents", at)
        if events:
            shown["adverseEvents"] = events
            known += ["adverse events"]
        tally.add("Treatment", *known)
        if code is not None:
            builder.add_term(kind, code["id"], code.get("label", ""), person)  # type: ignore[arg-type]  # one of the two
            document.setdefault(listed, []).append(shown)


def _regimen(place: Place, item: Json, at: str, known: list[str]) -> tuple[Json, Json | None]:
    """A regimen; one that an external reference names, and no code, is in no list of codes."""
    where = f"{at}.therapeuticRegimen"
    given = place.object(item["therapeuticRegimen"], where, _REGIMEN)
    code = term(place, given.get("ontologyClass"), f"{where}.ontologyClass")
    if code is None:
        reference = place.object(
            given.get("externalReference"), f"{where}.externalReference", frozenset({"id", "reference", "description"})
        )
        name = place.text(reference, "id", f"{where}.externalReference")
        if ":" in name:
            code = term(place, {"id": name, "label": place.text(reference, "description", where)}, f"{where}.externalReference")
    shown: Json = {"treatmentCode": code, "status": place.word(given, "regimenStatus", where, _REGIMEN_STATUSES)}
    known += ["status"] if shown["status"] != "UNKNOWN_STATUS" else []
    for name, field in (("startTime", "start"), ("endTime", "end")):
        moment = (
            timestamp(place, given, name, where)
            if isinstance(given.get(name), str)
            else time(place, given.get(name), f"{where}.{name}")
        )
        if moment:
            shown[name] = moment
            known.append(field)
    return shown, code
