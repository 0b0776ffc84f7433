"""The official schemas of Beacon v2.1.1, and whether a document is what one of them says."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from referencing import Registry, Resource
from referencing.exceptions import NoSuchResource
from referencing.jsonschema import DRAFT202012

RAW = "https://raw.githubusercontent.com/ga4gh-beacon/beacon-v2/main/"
ROOT = "https://schemas.test/"
RESPONSES = "framework/json/responses/"
MODELS = "models/json/beacon-v2-default-model/"
INFORMATIONAL = {
    "/": "beaconInfoResponse.json",
    "/info": "beaconInfoResponse.json",
    "/service-info": "ga4gh-service-info-1-0-0-schema.json",
    "/configuration": "beaconConfigurationResponse.json",
    "/map": "beaconMapResponse.json",
    "/entry_types": "beaconEntryTypesResponse.json",
    "/filtering_terms": "beaconFilteringTermsResponse.json",
}
FOLDERS = {
    "analysis": "analyses",
    "biosample": "biosamples",
    "cohort": "cohorts",
    "dataset": "datasets",
    "genomicVariant": "genomicVariations",
    "individual": "individuals",
    "run": "runs",
}
COLLECTIONS = frozenset({"dataset", "cohort"})


class Schemas:
    """The schemas in a folder, all under one root; a reference that leads nowhere is an error."""

    def __init__(self, folder: Path) -> None:
        @cache  # the validator asks anew for every reference that it follows
        def retrieve(uri: str) -> Resource[Any]:
            path = uri.removeprefix(RAW).removeprefix(ROOT)
            # Defect D3: five entry types refer to a file that is in the framework, not in the model.
            path = path.replace(f"{MODELS}common/info.json", "framework/json/common/info.json")
            if "vrs.json" in uri:
                path = "external/vrs-1.3/vrs.json"
            if not (folder / path).is_file():
                raise NoSuchResource(uri)
            return Resource.from_contents(json.loads((folder / path).read_text()), default_specification=DRAFT202012)

        registry: Registry[Any] = Registry(retrieve=retrieve)  # type: ignore[call-arg]
        checker = Draft202012Validator.FORMAT_CHECKER
        self._validator = cache(
            lambda path: Draft202012Validator({"$ref": ROOT + path}, registry=registry, format_checker=checker)
        )

    def faults(self, document: object, path: str) -> list[str]:
        """What in the document is not as the schema at a path says."""
        return [f"{error.json_path}: {error.message[:300]}" for error in self._validator(path).iter_errors(document)]

    def record_faults(self, record: object, entry: str) -> list[str]:
        """What in a record is not as its entry type's default schema says."""
        return self.faults(record, f"{MODELS}{FOLDERS[entry]}/defaultSchema.json")

    def answer_faults(self, document: dict[str, Any], entry: str, records: int = 1_000) -> list[str]:
        """What in an answer is not as its granularity's envelope and its records' schema say; of its records so many."""
        granularity = document.get("meta", {}).get("returnedGranularity")
        if granularity == "boolean":
            return self.faults(document, RESPONSES + "beaconBooleanResponse.json")
        if granularity == "count":
            return self.faults(document, RESPONSES + "beaconCountResponse.json")
        kind = "Collections" if entry in COLLECTIONS else "Resultsets"
        faults = self.faults(document, f"{RESPONSES}beacon{kind}Response.json")
        found = records_of(document)
        looked_at = found if len(found) <= records else [*found[: records - 1], found[-1]]
        return faults + [fault for record in looked_at for fault in self.record_faults(record, entry)]

    def error_faults(self, document: object) -> list[str]:
        """What in an error's body is not as the framework says."""
        return self.faults(document, RESPONSES + "beaconErrorResponse.json")


def records_of(document: dict[str, Any]) -> list[Any]:
    """The records of an answer, whatever it collects them in."""
    response = document.get("response") or {}
    return [*response.get("collections", []), *(one for each in response.get("resultSets", []) for one in each["results"])]
