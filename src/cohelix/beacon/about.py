"""What this Beacon says of itself: information, configuration, map, entry types, filtering terms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from cohelix.beacon.granularity import DEFAULT, SCHEMAS, EntryType
from cohelix.wire.beacon import API_VERSION
from cohelix.wire.service_info import ServiceInfo, ServiceOrganisation, ServiceType

if TYPE_CHECKING:
    from cohelix.bank.answers import Term

_MODEL: Final = "https://raw.githubusercontent.com/ga4gh-beacon/beacon-v2/main/models/json/beacon-v2-default-model/"
_FRAMEWORK: Final = "https://raw.githubusercontent.com/ga4gh-beacon/beacon-v2/main/framework/json/"
_FOLDERS: Final[Mapping[EntryType, str]] = {
    "genomicVariant": "genomicVariations",
    "individual": "individuals",
    "dataset": "datasets",
}
_ENTRY_TYPES: Final[Mapping[EntryType, tuple[str, str, str, str]]] = {
    "genomicVariant": ("Genomic Variants", "ENSGLOSSARY:0000092", "Variant", "Default schema for a genomic variation"),
    "individual": ("Individual", "NCIT:C25190", "Person", "Default schema for an individual"),
    "dataset": ("Dataset", "NCIT:C47824", "Data set", "Default schema for datasets"),
}
_MATURITY: Final = {"prod": "PROD", "test": "TEST", "staging": "TEST", "dev": "DEV"}
Environment = Literal["prod", "test", "dev", "staging"]
# Ontologies by the prefix of their terms: name, and where a term's page begins.
_ONTOLOGIES: Final[Mapping[str, tuple[str, str]]] = {
    "NCIT": ("NCI Thesaurus", "http://purl.obolibrary.org/obo/NCIT_"),
    "HP": ("Human Phenotype Ontology", "http://purl.obolibrary.org/obo/HP_"),
    "MONDO": ("Mondo Disease Ontology", "http://purl.obolibrary.org/obo/MONDO_"),
    "DOID": ("Human Disease Ontology", "http://purl.obolibrary.org/obo/DOID_"),
    "ORPHA": ("Orphanet", "http://www.orpha.net/ORDO/Orphanet_"),
    "OMIM": ("Online Mendelian Inheritance in Man", "https://omim.org/entry/"),
    "ICD10": ("ICD-10", "https://icd.who.int/browse10/2019/en#/"),
    "SNOMED": ("SNOMED CT", "http://snomed.info/id/"),
}
_SEX_TERMS: Final = (("NCIT:C16576", "Female"), ("NCIT:C20197", "Male"))
_SCOPES: Final = ["individual"]


@dataclass(frozen=True, slots=True)
class About:
    """Whose Beacon it is.

    Attributes
    ----------
    beacon_id
        Reverse domain name, unique among Beacons.
    name, description
        Texts for people.
    organisation_id, organisation, organisation_url
        Who runs it; without a URL the server's own address is shown.
    version
        Of the software.
    """

    beacon_id: str
    name: str
    organisation_id: str
    organisation: str
    version: str
    description: str = "Allele frequencies and counts of people, under each dataset's disclosure rule."
    organisation_url: str | None = None
    environment: Environment = "prod"

    def meta(self) -> dict[str, Any]:
        """`meta` of an informational answer."""
        schemas = [{"entityType": entry, "schema": schema} for entry, schema in SCHEMAS.items()]
        return {"beaconId": self.beacon_id, "apiVersion": API_VERSION, "returnedSchemas": schemas}

    def info(self, base: str) -> dict[str, Any]:
        """The Beacon and its organisation; `base` is the Beacon's own address."""
        organisation = {"id": self.organisation_id, "name": self.organisation, "welcomeUrl": self.organisation_url or base}
        return {
            "id": self.beacon_id,
            "name": self.name,
            "apiVersion": API_VERSION,
            "environment": self.environment,
            "organization": organisation,
            "description": self.description,
            "version": self.version,
            "welcomeUrl": base,
        }

    def service_info(self, base: str) -> ServiceInfo:
        """The Beacon as a GA4GH service."""
        return ServiceInfo(
            id=self.beacon_id,
            name=self.name,
            type=ServiceType(group="org.ga4gh", artifact="beacon", version=API_VERSION),
            description=self.description,
            organization=ServiceOrganisation(name=self.organisation, url=self.organisation_url or base),
            environment=self.environment,
            version=self.version,
        )

    def configuration(self) -> dict[str, Any]:
        """Maturity, security and entry types."""
        return {
            "$schema": _FRAMEWORK + "configuration/beaconConfigurationSchema.json",
            "maturityAttributes": {"productionStatus": _MATURITY[self.environment]},
            "securityAttributes": {"defaultGranularity": DEFAULT, "securityLevels": ["PUBLIC"]},
            **entry_types(),
        }


def entry_types() -> dict[str, Any]:
    """The entry types that are answered, each with its default schema."""
    types: dict[str, Any] = {}
    for entry, (name, code, label, schema) in _ENTRY_TYPES.items():
        types[entry] = {
            "id": entry,
            "name": name,
            "ontologyTermForThisType": {"id": code, "label": label},
            "partOfSpecification": f"Beacon {API_VERSION}",
            "defaultSchema": {
                "id": SCHEMAS[entry],
                "name": schema,
                "referenceToSchemaDefinition": f"{_MODEL}{_FOLDERS[entry]}/defaultSchema.json",
                "schemaVersion": "v2.0.0",
            },
            "additionallySupportedSchemas": [],
            "nonFilteredQueriesAllowed": True,
        }
    types["dataset"]["aCollectionOf"] = [{"id": "genomicVariant", "name": "Genomic Variants"}]
    return {"entryTypes": types}


def endpoint_map(base: str) -> dict[str, Any]:
    """The addresses that are answered, and no others."""
    roots: tuple[tuple[str, EntryType, str, bool], ...] = (
        ("genomicVariantEndpoints", "genomicVariant", "g_variants", True),
        ("individualEndpoints", "individual", "individuals", False),
        ("datasetEndpoints", "dataset", "datasets", True),
    )
    sets: dict[str, Any] = {}
    for name, entry, path, single in roots:
        sets[name] = {
            "entryType": entry,
            "openAPIEndpointsDefinition": f"{_MODEL}{_FOLDERS[entry]}/endpoints.json",
            "rootUrl": f"{base}/{path}",
        }
        if single:
            sets[name]["singleEntryUrl"] = f"{base}/{path}/{{id}}"
    return {"$schema": _FRAMEWORK + "configuration/beaconMapSchema.json", "endpointSets": sets}


def filtering_terms(terms: Iterable[Term]) -> dict[str, Any]:
    """What people may be filtered by, of all datasets together, and the ontologies that the codes are from."""
    words: dict[str, set[str]] = {}
    listed: dict[str, dict[str, Any]] = {}
    for term in terms:
        if term.kind in ("sex", "population", "country"):
            words.setdefault(term.kind, set()).add(term.id)
        elif term.kind in ("disease", "phenotype"):
            listed[term.id] = {"type": _ontology_name(term.id), "id": term.id, "label": term.label, "scopes": _SCOPES}
        else:
            listed[term.id] = {"type": "alphanumeric", "id": term.id, "label": term.label, "scopes": _SCOPES}
    for kind, values in words.items():
        listed[kind] = {"type": "alphanumeric", "id": kind, "label": kind, "scopes": _SCOPES, "values": sorted(values)}
    if "sex" in words:
        for code, label in _SEX_TERMS:
            listed[code] = {"type": _ontology_name(code), "id": code, "label": label, "scopes": _SCOPES}
    for kind, custom in (("sex", "sexFilter"), ("population", "countryFilter")):
        if kind in words:
            listed[custom] = {
                "type": "custom",
                "id": custom,
                "label": f"rows by {kind}",
                "scopes": ["population"],
                "values": ["F", "M"] if kind == "sex" else sorted(words[kind]),
            }
    prefixes = sorted({identifier.partition(":")[0].upper() for identifier in listed if ":" in identifier})
    resources = [
        {
            "id": prefix.lower(),
            "name": _ONTOLOGIES[prefix][0],
            "iriPrefix": _ONTOLOGIES[prefix][1],
            "nameSpacePrefix": prefix,
        }
        for prefix in prefixes
        if prefix in _ONTOLOGIES
    ]
    return {"filteringTerms": [listed[name] for name in sorted(listed)], "resources": resources}


def _ontology_name(code: str) -> str:
    prefix = code.partition(":")[0]
    return _ONTOLOGIES[prefix.upper()][0] if prefix.upper() in _ONTOLOGIES else prefix
