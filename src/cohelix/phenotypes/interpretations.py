"""Interpretations of phenopackets: diseases that are solved, genes, and the variants that a report names."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from cohelix.core.errors import BadQuestion
from cohelix.core.genome import Assembly, assembly_of_refseq, known_contig, parse_assembly, plain_contig
from cohelix.core.reported import Zygosity
from cohelix.phenotypes.documents import Json, Place, term

_STATUSES = ("UNKNOWN_STATUS", "REJECTED", "CANDIDATE", "CONTRIBUTORY", "CAUSATIVE")
_PROGRESS = ("UNKNOWN_PROGRESS", "IN_PROGRESS", "COMPLETED", "SOLVED", "UNSOLVED")
# The ACMG classes of phenopackets, as ClinVar words them.
_ACMG = {
    "NOT_PROVIDED": "",
    "BENIGN": "Benign",
    "LIKELY_BENIGN": "Likely benign",
    "UNCERTAIN_SIGNIFICANCE": "Uncertain significance",
    "LIKELY_PATHOGENIC": "Likely pathogenic",
    "PATHOGENIC": "Pathogenic",
}
_ZYGOSITY: dict[str, Zygosity] = {
    "GENO:0000135": "heterozygous",
    "GENO:0000402": "heterozygous",  # compound heterozygous: one copy of each
    "GENO:0000458": "heterozygous",  # simple heterozygous
    "GENO:0000136": "homozygous",
    "GENO:0000134": "hemizygous",
    "GENO:0000604": "hemizygous",  # X-linked
    "GENO:0000605": "hemizygous",  # Y-linked
}
_INTERPRETATION = frozenset({"id", "progressStatus", "diagnosis", "summary"})
_DIAGNOSIS = frozenset({"disease", "genomicInterpretations"})
_GENOMIC = frozenset({"subjectOrBiosampleId", "interpretationStatus", "gene", "variantInterpretation"})
_GENE = frozenset({"valueId", "symbol", "description", "alternateIds", "alternateSymbols", "xrefs"})
_VARIANT = frozenset({"acmgPathogenicityClassification", "therapeuticActionability", "variationDescriptor"})
_DESCRIPTOR = frozenset(
    {
        *("id", "variation", "label", "description", "geneContext", "expressions", "vcfRecord", "xrefs"),
        *("alternateLabels", "extensions", "moleculeContext", "structuralType", "vrsRefAlleleSeq", "allelicState"),
    }
)
_VCF = frozenset({"genomeAssembly", "chrom", "pos", "id", "ref", "alt", "qual", "filter", "info"})
_ALLELE = re.compile(r"[ACGTNacgtn]+|<[A-Za-z0-9_:]+>|\*|[ACGTNacgtn.]*[\[\]][^\[\]\s]+[\[\]][ACGTNacgtn.]*")
_HGVS_SNV = re.compile(r"(NC_\d+\.\d+):[gm]\.(\d{1,9})([ACGT])>([ACGT])")
_ALLELES_MAX = 1 << 16


class Variant(NamedTuple):
    """A variant that an interpretation names; `of` is the subject's or a biosample's id; `contig` empty without a place.

    `other_assembly` says that the record is of another build than is loaded, so that its place is not taken.
    """

    of: str
    contig: str
    position_0: int
    ref: str
    alt: str
    zygosity: Zygosity
    gene: str
    hgvs: tuple[str, ...]
    significance: str
    allele_fraction: float | None
    other_assembly: bool


class Interpreted(NamedTuple):
    """What the interpretations of a packet say: solved diseases, genes, variants, and a document for answers."""

    diseases: list[Json]
    genes: list[str]
    variants: list[Variant]
    document: list[Json]


def interpretations(place: Place, packet: Json, path: str, assembly: Assembly | None) -> Interpreted:
    """Read a packet's interpretations.

    The disease of one whose progress is SOLVED is a diagnosis; genes are those of interpretations that are not REJECTED;
    a variant counts as carried whatever it was found to mean.
    """
    found = Interpreted([], [], [], [])
    for item, at in place.items(packet, "interpretations", path, _INTERPRETATION):
        progress = place.word(item, "progressStatus", at, _PROGRESS)
        diagnosis = place.object(item.get("diagnosis"), f"{at}.diagnosis", _DIAGNOSIS)
        disease = term(place, diagnosis.get("disease"), f"{at}.diagnosis.disease")
        if disease is not None and progress == "SOLVED":
            found.diseases.append(disease)
        shown: list[Json] = []
        for genomic, where in place.items(diagnosis, "genomicInterpretations", f"{at}.diagnosis", _GENOMIC):
            status = place.word(genomic, "interpretationStatus", where, _STATUSES)
            of = place.text(genomic, "subjectOrBiosampleId", where)
            variant = None
            gene = _gene(place, genomic.get("gene"), f"{where}.gene")
            if genomic.get("variantInterpretation"):
                variant = _variant(place, genomic["variantInterpretation"], f"{where}.variantInterpretation", of, assembly)
                found.variants.append(variant)
                gene = gene or variant.gene
            if gene and status != "REJECTED":
                found.genes.append(gene)
            shown.append(_shown(status, gene, variant))
        if disease is not None or shown:
            document: Json = {"progressStatus": progress}
            if disease is not None:
                document["disease"] = disease
            found.document.append({**document, "genomicInterpretations": shown})
    return found


def _shown(status: str, gene: str, variant: Variant | None) -> Json:
    document: Json = {"interpretationStatus": status}
    if gene:
        document["gene"] = gene
    if variant is not None:
        if variant.contig:
            document["variant"] = f"{variant.contig}-{variant.position_0 + 1}-{variant.ref}-{variant.alt}"
        if variant.hgvs:
            document["hgvs"] = list(variant.hgvs)
        document["zygosity"] = variant.zygosity
        if variant.significance:
            document["clinicalRelevance"] = variant.significance
    return document


def _gene(place: Place, value: Any, path: str) -> str:
    return place.text(place.object(value, path, _GENE), "symbol", path)


def _variant(place: Place, value: Any, path: str, of: str, assembly: Assembly | None) -> Variant:
    given = place.object(value, path, _VARIANT)
    significance = _ACMG[place.word(given, "acmgPathogenicityClassification", path, tuple(_ACMG))]
    at = f"{path}.variationDescriptor"
    described = place.object(given.get("variationDescriptor"), at, _DESCRIPTOR)
    state = term(place, described.get("allelicState"), f"{at}.allelicState")
    hgvs = tuple(
        text
        for item, where in place.items(described, "expressions", at, frozenset({"syntax", "value", "version"}))
        if place.text(item, "syntax", where).lower().startswith("hgvs") and (text := place.text(item, "value", where))
    )
    contig, position, ref, alt, other = "", 0, "", "", False
    if described.get("vcfRecord"):
        build, record = _record(place, described["vcfRecord"], f"{at}.vcfRecord")
        other = assembly is not None and build != assembly
        if not other:
            contig, position, ref, alt = record
    if not contig and assembly is not None:
        contig, position, ref, alt = _from_hgvs(hgvs, assembly) or ("", 0, "", "")
        other = other and not contig
    return Variant(
        of,
        contig,
        position,
        ref,
        alt,
        _ZYGOSITY.get(state["id"], "unknown") if state else "unknown",
        _gene(place, described.get("geneContext"), f"{at}.geneContext"),
        hgvs,
        significance,
        _fraction(place, described, at),
        other,
    )


def _record(place: Place, value: Any, path: str) -> tuple[Assembly | None, tuple[str, int, str, str]]:
    """Assembly (None for one that is not human GRCh37 or GRCh38), contig, 0-based position, alleles."""
    given = place.object(value, path, _VCF)
    text = place.text(given, "genomeAssembly", path, required=True)
    try:
        build = parse_assembly(text)
    except BadQuestion:
        build = None
    name = place.text(given, "chrom", path, required=True)
    position = place.whole(given, "pos", path)
    alleles = [place.text(given, allele, path, required=True) for allele in ("ref", "alt")]
    for allele, spelled in zip(("ref", "alt"), alleles, strict=True):
        if len(spelled) > _ALLELES_MAX or not _ALLELE.fullmatch(spelled):
            raise place.refusal(f"{path}.{allele}", f"{spelled[:40]!r} is not an allele", "bases A, C, G, T, N as VCF has them")
    if build is None:
        return None, ("", 0, "", "")
    contig = known_contig(name, build)
    if contig is None:
        raise place.refusal(f"{path}.chrom", f"{build} has no contig {name[:40]!r}", "chr1 … chr22, chrX, chrY or chrM")
    if position < 1 or (contig.length and position > contig.length):
        raise place.refusal(f"{path}.pos", f"{position} on {contig.name}", f"1 to {contig.length}, the length in {build}")
    ref, alt = (spelled.upper() if spelled.isalpha() else spelled for spelled in alleles)
    return build, (contig.name, position - 1, ref, alt)


def _from_hgvs(hgvs: tuple[str, ...], assembly: Assembly) -> tuple[str, int, str, str] | None:
    """The place of a substitution that a genomic HGVS expression of this assembly names."""
    for expression in hgvs:
        found = _HGVS_SNV.fullmatch(expression)
        if found and assembly_of_refseq(found[1]) == assembly and int(found[2]):
            return plain_contig(found[1]), int(found[2]) - 1, found[3], found[4]
    return None


def _fraction(place: Place, described: Json, path: str) -> float | None:
    """An allele fraction or share of mosaicism from the extensions, as `0.4` or `40.0%`."""
    for item, at in place.items(described, "extensions", path, frozenset({"name", "value"})):
        name = place.text(item, "name", at).lower().replace("_", "-").replace(" ", "-")
        if name not in ("allele-frequency", "allele-fraction", "variant-allele-fraction", "mosaicism"):
            continue
        text = str(item.get("value", "")).strip()
        try:
            fraction = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            continue
        if 0 <= fraction <= 1:
            return fraction
    return None
