"""A variant and its counts as Beacon's genomic variation record.

Frequencies are written in two forms at once: `frequencies`, which the specification requires, and the same list as
`populations` with `numberOfPopulations`, which the consumers of the Genome of Europe read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson

from cohelix.beacon.query import variant_id
from cohelix.core.genome import Assembly, refseq_accession
from cohelix.core.variant import VariantKey, is_sequence
from cohelix.wire.dataset import DatasetRecord
from cohelix.wire.frequency import PopulationCounts

_SEX_LETTERS: Final = {"male": "M", "female": "F", "unknown": "U"}


def variant_record(
    key: VariantKey, end: int, identifier: str, rows: Iterable[PopulationCounts], dataset: DatasetRecord
) -> dict[str, Any]:
    """A record that validates against the default schema of genomic variations.

    Parameters
    ----------
    key, end, identifier
        The variant, the 0-based end of what it covers, the source's ids (`;` between several; empty for none).
    rows
        Its counts, the total first; rows without a frequency are left out.
    """
    record: dict[str, Any] = {
        "variantInternalId": variant_id(dataset.assembly, key),
        "variation": _variation(key, end, Assembly(dataset.assembly)),
    }
    names = [name for name in identifier.split(";") if name]
    if names:
        record["identifiers"] = {"variantAlternativeIds": [{"id": _curie(name)} for name in names]}
    frequencies = [_frequency(row) for row in rows if row.allele_frequency is not None]
    if frequencies:
        once = orjson.Fragment(orjson.dumps(frequencies))
        record["frequencyInPopulations"] = [
            {
                "source": dataset.title,
                "sourceReference": dataset.id,
                "version": f"{dataset.version}.{dataset.release}",
                "frequencies": once,
                "populations": once,
                "numberOfPopulations": len(frequencies),
            }
        ]
    return record


def population_label(row: PopulationCounts) -> str:
    """`Total`, `P`, `M` or `F`, `P_M` or `P_F`."""
    if row.sex == "all":
        return "Total" if row.population == "all" else row.population
    letter = _SEX_LETTERS[row.sex]
    return letter if row.population == "all" else f"{row.population}_{letter}"


def _frequency(row: PopulationCounts) -> dict[str, Any]:
    return {
        "population": population_label(row),
        "alleleFrequency": row.allele_frequency,
        "alleleCount": row.allele_count,
        "alleleNumber": row.allele_number,
        "alleleCountHomozygous": row.homozygotes,
        "alleleCountHeterozygous": row.heterozygotes,
        "alleleCountHemizygous": row.hemizygotes,
    }


def _variation(key: VariantKey, end: int, assembly: Assembly) -> dict[str, Any]:
    """`LegacyVariation`: alleles as letters on a VRS location; a symbolic ALT has no letters, and is named by its type."""
    accession = refseq_accession(key.contig, assembly)
    location = {
        "type": "SequenceLocation",
        "sequence_id": f"refseq:{accession}" if accession else f"{assembly}:{key.contig}",
        "interval": {
            "type": "SequenceInterval",
            "start": {"type": "Number", "value": key.position},
            "end": {"type": "Number", "value": end},
        },
    }
    return {
        "variantType": _type_of(key),
        "alternateBases": key.alt if is_sequence(key.alt) else "",
        "referenceBases": key.ref,
        "location": location,
    }


def _type_of(key: VariantKey) -> str:
    if not is_sequence(key.alt):
        return "BND" if "[" in key.alt or "]" in key.alt else key.alt.strip("<>")
    if len(key.ref) == len(key.alt):
        return "SNP" if len(key.ref) == 1 else "MNP"
    return "INDEL"


def _curie(name: str) -> str:
    return f"dbsnp:{name}" if name[:2] == "rs" and name[2:].isdigit() else f"source:{name}"
