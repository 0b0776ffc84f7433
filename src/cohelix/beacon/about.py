"""What this Beacon says of itself: information, configuration, map, entry types, filtering terms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from cohelix.beacon.addresses import DEFAULT
from cohelix.beacon.entry_types import ENTRY_TYPES, EntryType
from cohelix.wire.beacon import API_VERSION
from cohelix.wire.service_info import ServiceInfo, ServiceOrganisation, ServiceType

if TYPE_CHECKING:
    from cohelix.bank.answers import Term

_MODEL: Final = "https://raw.githubusercontent.com/ga4gh-beacon/beacon-v2/main/models/json/beacon-v2-default-model/"
_FRAMEWORK: Final = "https://raw.githubusercontent.com/ga4gh-beacon/beacon-v2/main/framework/json/"
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
_PEOPLE: Final = ("individual", "biosample", "run", "analysis", "genomicVariant")
_BIOSAMPLES: Final = ("biosample", "run", "analysis", "individual")
_COLLECTED: Final = (("genomicVariant", "Genomic Variants"), ("individual", "Individuals"), ("biosample", "Biosamples"))
# What variants may be filtered by: id, text, and the words that it may have.
_VARIANT_TERMS: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    ("consequence", "molecular consequence, as the Sequence Ontology names it", ()),
    ("clinicalSignificance", "clinical significance, as ClinVar words it", ()),
    ("alleleOrigin", "origin of the allele", ("germline", "somatic")),
    ("variantAlternativeIds", "id of the variant in its source, as an rsID", ()),
)


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
        schemas = [{"entityType": entry, "schema": described.schema} for entry, described in ENTRY_TYPES.items()]
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
            "securityAttributes": {"defaultGranularity": DEFAULT, "securityLevels": ["PUBLIC", "REGISTERED", "CONTROLLED"]},
            **entry_types(),
        }


def entry_types() -> dict[str, Any]:
    """The entry types that are answered, each with its default schema."""
    types: dict[str, Any] = {}
    for entry, described in ENTRY_TYPES.items():
        types[entry] = {
            "id": entry,
            "name": described.name,
            "ontologyTermForThisType": {"id": described.code, "label": described.label},
            "partOfSpecification": f"Beacon {API_VERSION}",
            "defaultSchema": {
                "id": described.schema,
                "name": described.schema_name,
                "referenceToSchemaDefinition": f"{_MODEL}{described.folder}/defaultSchema.json",
                "schemaVersion": "v2.0.0",
            },
            "additionallySupportedSchemas": [],
            "nonFilteredQueriesAllowed": True,
        }
        if described.is_collection:
            types[entry]["aCollectionOf"] = [{"id": name, "name": label} for name, label in _COLLECTED]
    return {"entryTypes": types}


def endpoint_map(base: str) -> dict[str, Any]:
    """The addresses that are answered, and no others."""
    sets: dict[str, Any] = {}
    for entry, described in ENTRY_TYPES.items():
        root = f"{base}/{described.path}"
        sets[f"{entry}Endpoints"] = {
            "entryType": entry,
            "openAPIEndpointsDefinition": f"{_MODEL}{described.folder}/endpoints.json",
            "rootUrl": root,
            "singleEntryUrl": f"{root}/{{id}}",
            "filteringTermsUrl": f"{root}/{'{id}/' if described.is_collection else ''}filtering_terms",
            "endpoints": {
                f"{other}Lookup": {"returnedEntryType": other, "url": f"{root}/{{id}}/{ENTRY_TYPES[other].path}"}
                for other in described.related
            },
        }
    return {"$schema": _FRAMEWORK + "configuration/beaconMapSchema.json", "endpointSets": sets}


def filtering_terms(terms: Iterable[Term], entry: EntryType | None = None) -> dict[str, Any]:
    """What may be filtered by, of all datasets together, and the ontologies that the codes are from.

    With an entry type, only the terms whose scope it is.
    """
    words: dict[str, set[str]] = {}
    listed: dict[str, dict[str, Any]] = {}

    from cohelix.phenotypes.model import BIOSAMPLE_KINDS  # the hub's network shows terms, and needs no room of people

    def add(
        kind: str, identifier: str, label: str, scopes: Iterable[str], *, values: Iterable[str] = (), count: int | None = None
    ) -> None:
        known = listed.setdefault(identifier, {"type": kind, "id": identifier, "label": label, "scopes": []})
        if count is not None:
            known["count"] = known.get("count", 0) + count
        known["scopes"] += [scope for scope in scopes if scope not in known["scopes"]]
        if values := list(values):
            known["values"] = values

    for term in terms:
        if term.kind in ("sex", "population", "country"):
            words.setdefault(term.kind, set()).add(term.id)
        elif term.kind in ("age", "birth_year", "measurement"):
            add("alphanumeric", term.id, term.label, _PEOPLE, count=term.held_by)
        else:
            scopes = _BIOSAMPLES if term.kind in BIOSAMPLE_KINDS else _PEOPLE
            if ":" in term.id:
                add(_ontology_name(term.id), term.id, term.label, scopes, count=term.held_by)
            # Any code, one without a prefix too, may be asked for by the name of its kind.
            add("alphanumeric", term.kind, term.kind.replace("_", " "), scopes)
    for kind, values in words.items():
        add("alphanumeric", kind, kind, _PEOPLE, values=sorted(values))
    if "sex" in words:
        for code, label in _SEX_TERMS:
            add(_ontology_name(code), code, label, _PEOPLE)
    for kind, custom in (("sex", "sexFilter"), ("population", "countryFilter")):
        if kind in words:
            rows = ["F", "M"] if kind == "sex" else sorted(words[kind])
            add("custom", custom, f"rows by {kind}", ["population", "individual", "genomicVariant"], values=rows)
    for identifier, label, given in _VARIANT_TERMS:
        add("alphanumeric", identifier, label, ["genomicVariant"], values=given)
    shown = [listed[name] for name in sorted(listed) if entry is None or entry in listed[name]["scopes"]]
    prefixes = sorted({term["id"].partition(":")[0].upper() for term in shown if ":" in term["id"]})
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
    return {"filteringTerms": shown, "resources": resources}


def _ontology_name(code: str) -> str:
    prefix = code.partition(":")[0]
    return _ONTOLOGIES[prefix.upper()][0] if prefix.upper() in _ONTOLOGIES else prefix
