"""A variant and its counts as Beacon's genomic variation record.

Frequencies are written in two forms at once: `frequencies`, which the specification requires, and the same list as
`populations` with `numberOfPopulations`, which the consumers of the Genome of Europe read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson

from cohelix.bank.answers import CaseOfVariant, FoundVariant
from cohelix.beacon.filters import CONSEQUENCE_CODES
from cohelix.beacon.query import variant_id
from cohelix.core.genome import Assembly, refseq_accession
from cohelix.core.variant import VariantKey, is_sequence
from cohelix.genotypes.annotations import Annotation
from cohelix.wire.dataset import DatasetRecord
from cohelix.wire.frequency import PopulationCounts

_ORIGINS: Final = {
    "germline": {"id": "SO:0001778", "label": "germline variant"},
    "somatic": {"id": "SO:0001777", "label": "somatic variant"},
}
# Zygosity of the GENO ontology; an unknown one is left out.
_ZYGOSITIES: Final = {
    "heterozygous": {"id": "GENO:0000135", "label": "heterozygous"},
    "homozygous": {"id": "GENO:0000136", "label": "homozygous"},
}
_CONSEQUENCE_IDS: Final = {word: code for code, word in CONSEQUENCE_CODES.items()}
# Beacon v2 default model, genomicVariations: PhenoClinicEffect.clinicalRelevance.
_RELEVANCE: Final = frozenset({"benign", "likely benign", "uncertain significance", "likely pathogenic", "pathogenic"})
_SEX_LETTERS: Final = {"male": "M", "female": "F", "unknown": "U"}


def variant_record(
    found: FoundVariant, annotations: Sequence[Annotation], cases: Sequence[CaseOfVariant], dataset: DatasetRecord
) -> dict[str, Any]:
    """A record that validates against the default schema of genomic variations.

    Parameters
    ----------
    found
        The variant, with its counts; rows without a frequency are left out.
    annotations
        What is known of it.
    cases
        Call sets that have it, each germline or somatic; never those of a dataset that shows no people.
    """
    key = found.key
    record: dict[str, Any] = {
        "variantInternalId": variant_id(dataset.assembly, key),
        "variation": _variation(key, found.end, Assembly(dataset.assembly)),
    }
    identifiers: dict[str, Any] = {}
    names = [name for name in found.id.split(";") if name]
    if names:
        identifiers["variantAlternativeIds"] = [{"id": _curie(name)} for name in names]
    if annotations:
        identifiers |= _listed(
            transcriptHGVSIds=(item.hgvs_c for item in annotations), proteinHGVSIds=(item.hgvs_p for item in annotations)
        )
        genomic = next((item.hgvs_g for item in annotations if item.hgvs_g), "")
        if genomic:
            identifiers["genomicHGVSId"] = genomic
        attributes = _molecular(annotations)
        if attributes:
            record["molecularAttributes"] = attributes
        interpretations = _interpretations(annotations)
        if interpretations:
            record["variantLevelData"] = {"clinicalInterpretations": interpretations}
    if identifiers:
        record["identifiers"] = identifiers
    if cases:
        record["caseLevelData"] = [_case(case, key.contig) for case in cases]
    frequencies = [_frequency(row) for row in found.populations if row.allele_frequency is not None]
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


def _listed(**values: Iterable[str]) -> dict[str, list[str]]:
    """Each list without blanks and repetitions, and without lists that are then empty."""
    lists = {name: list(dict.fromkeys(text for text in texts if text)) for name, texts in values.items()}
    return {name: texts for name, texts in lists.items() if texts}


def _molecular(annotations: Sequence[Annotation]) -> dict[str, Any]:
    attributes: dict[str, Any] = dict(
        _listed(
            geneIds=(text for item in annotations for text in (item.gene, item.gene_id)),
            aminoacidChanges=(item.amino_acid for item in annotations),
        )
    )
    effects = _listed(effects=(word for item in annotations for word in item.consequence.split("&")))
    if effects:
        attributes["molecularEffects"] = [
            {"id": _CONSEQUENCE_IDS.get(word, f"source:{word}"), "label": word} for word in effects["effects"]
        ]
    return attributes


def _interpretations(annotations: Sequence[Annotation]) -> list[dict[str, Any]]:
    """What somebody has said of the variant's effect on health, each once; words that Beacon's enumeration has, as such."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for item in annotations:
        if not item.significance:
            continue
        word = item.significance.replace("_", " ").lower()
        interpretation: dict[str, Any] = {
            "conditionId": item.condition or "not given",
            "effect": {"id": f"source:{item.significance}", "label": item.significance.replace("_", " ")},
        }
        if word in _RELEVANCE:
            interpretation["clinicalRelevance"] = word
        found.setdefault((item.condition, item.significance), interpretation)
    return list(found.values())


def _case(case: CaseOfVariant, contig: str) -> dict[str, Any]:
    document: dict[str, Any] = {
        "biosampleId": case.biosample,
        "individualId": case.individual,
        "runId": case.call_set,
        "analysisId": case.call_set,
        "alleleOrigin": _ORIGINS[case.origin],
    }
    zygosity = _hemizygous(contig) if case.zygosity == "hemizygous" else _ZYGOSITIES.get(case.zygosity)
    if zygosity:
        document["zygosity"] = zygosity
    if case.allele_fraction is not None:
        document["info"] = {"alleleFraction": round(case.allele_fraction, 6)}
    return document


def _hemizygous(contig: str) -> dict[str, str]:
    if contig == "X":
        return {"id": "GENO:0000604", "label": "hemizygous X-linked"}
    if contig == "Y":
        return {"id": "GENO:0000605", "label": "hemizygous Y-linked"}
    return {"id": "GENO:0000134", "label": "hemizygous"}


def _curie(name: str) -> str:
    return f"dbsnp:{name}" if name[:2] == "rs" and name[2:].isdigit() else f"source:{name}"
