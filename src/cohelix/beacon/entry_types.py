"""Beacon's seven entry types: their addresses, schemas and names, and which of them lead on to which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from cohelix.core.errors import NotSupported

EntryType = Literal["analysis", "biosample", "cohort", "dataset", "genomicVariant", "individual", "run"]


@dataclass(frozen=True, slots=True)
class Described:
    """One entry type.

    Attributes
    ----------
    path
        Its address under the Beacon's.
    folder
        Where the default model keeps its schema.
    schema
        Published id of its default schema: models/json/beacon-v2-default-model/beaconConfiguration.json.
    name, code, label, schema_name
        Words of the model's entry types.
    lookup
        The key of `/map` for the addresses that lead to it.
    related
        Entry types at `/{id}/…`.
    is_collection
        Answered in `collections`, not in result sets.
    """

    path: str
    folder: str
    schema: str
    name: str
    code: str
    label: str
    schema_name: str
    related: tuple[EntryType, ...]
    is_collection: bool = False


_OF_PEOPLE: Final[tuple[EntryType, ...]] = ("analysis", "biosample", "genomicVariant", "individual", "run")
# As the default model's beaconMap.json has them, with what its endpoints.json files add.
ENTRY_TYPES: Final[Mapping[EntryType, Described]] = {
    "analysis": Described(
        *("analyses", "analyses", "ga4gh-beacon-analysis-v2.0.0", "Bioinformatics analysis", "edam:operation_2945"),
        *("Analysis", "Default schema for a bioinformatics analysis", ("genomicVariant",)),
    ),
    "biosample": Described(
        *("biosamples", "biosamples", "ga4gh-beacon-biosample-v2.0.0", "Biological Sample", "NCIT:C70699"),
        *("Biospecimen", "Default schema for a biological sample", ("analysis", "genomicVariant", "run")),
    ),
    "cohort": Described(
        *("cohorts", "cohorts", "ga4gh-beacon-cohort-v2.0.0", "Cohort", "NCIT:C61512"),
        *("Cohort", "Default schema for cohorts", _OF_PEOPLE, True),
    ),
    "dataset": Described(
        *("datasets", "datasets", "ga4gh-beacon-dataset-v2.0.0", "Dataset", "NCIT:C47824"),
        *("Data set", "Default schema for datasets", _OF_PEOPLE, True),
    ),
    "genomicVariant": Described(
        *("g_variants", "genomicVariations", "ga4gh-beacon-variant-v2.0.0", "Genomic Variants", "ENSGLOSSARY:0000092"),
        *("Variant", "Default schema for a genomic variation", ("analysis", "biosample", "individual", "run")),
    ),
    "individual": Described(
        *("individuals", "individuals", "ga4gh-beacon-individual-v2.0.0", "Individual", "NCIT:C25190"),
        *("Person", "Default schema for an individual", ("analysis", "biosample", "genomicVariant", "run")),
    ),
    "run": Described(
        *("runs", "runs", "ga4gh-beacon-run-v2.0.0", "Sequencing run", "NCIT:C148088"),
        *("Sequencing run", "Default schema for a sequencing run", ("analysis", "genomicVariant")),
    ),
}
ENTRY_OF_PATH: Final[Mapping[str, EntryType]] = {described.path: entry for entry, described in ENTRY_TYPES.items()}
# Other names under which clients ask for an entry type.
_SPELLINGS: Final[Mapping[str, EntryType]] = {
    **{entry.lower(): entry for entry in ENTRY_TYPES},
    **{described.path: entry for entry, described in ENTRY_TYPES.items()},
    **{described.folder.lower(): entry for entry, described in ENTRY_TYPES.items()},
    "genomicvariation": "genomicVariant",
    "genomicvariants": "genomicVariant",
    "g_variant": "genomicVariant",
    "variant": "genomicVariant",
    "variants": "genomicVariant",
}


def entry_named(text: str) -> EntryType | None:
    """The entry type that a scope or a requested schema names (`individuals`, `g_variant`), or None."""
    return _SPELLINGS.get(text.lower())


def check_schemas(schemas: tuple[tuple[str | None, str | None], ...], entry: EntryType) -> None:
    """Refuse a requested schema that is not given here; among several for this entry type one suffices.

    Raises
    ------
    NotSupported
        Naming the schema that is given.
    """
    ours = [schema for entity, schema in schemas if schema and (entity is None or entry_named(entity) == entry)]
    if ours and not any(_is_default(schema, entry) for schema in ours):
        given = ENTRY_TYPES[entry].schema
        raise NotSupported(f"the schema {ours[0][:80]!r} is not given here: {ENTRY_TYPES[entry].path} are shown as {given}")


def _is_default(schema: str, entry: EntryType) -> bool:
    """Whether a schema is the entry type's default one: by its id in any 2.x version, or by the address of its file."""
    described = ENTRY_TYPES[entry]
    wanted = schema.strip().lower()
    if wanted.endswith("/defaultschema.json") or wanted.endswith("/defaultschema.yaml"):
        return f"/{described.folder.lower()}/" in f"/{wanted}"
    stem, version, rest = wanted.removeprefix("ga4gh-").partition("-v2")
    if version and (not rest or rest[0] == "."):
        wanted = stem
    return entry_named(wanted.removeprefix("beacon-")) == entry and wanted.startswith("beacon-")
