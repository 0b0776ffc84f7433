"""What may be asked of a bank, as parsed questions; beacon, federation and command line all speak in these."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from cohelix.core.genome import Region
from cohelix.core.reported import Origin
from cohelix.core.variant import VariantKey

Operator = Literal["=", "!", "<", ">", "<=", ">="]
Similarity = Literal["exact", "high", "medium", "low"]


@dataclass(frozen=True, slots=True)
class VariantQuery:
    """Which variants are meant; every criterion given must hold.

    Attributes
    ----------
    contig
        Our contig name; None for any, where annotations name the variant.
    start
        0-based trimmed position in [start[0], start[1]); None for no criterion. An exact position p is (p, p + 1).
    end
        0-based exclusive end of the variant in [end[0], end[1]); None for no criterion.
    overlaps
        Any shared base with this region.
    ref, alt
        Alleles; `N` stands for any base. With both given and no wildcard the pair was trimmed as in storage.
    variant_type
        SNP, INDEL, INS, DEL, DUP, INV, CNV, BND, MNP, SV or a symbolic ALT's own name.
    min_length, max_length
        Bounds of the variant's length in bases: |len(ALT) - len(REF)|, or of a substitution len(REF); of a symbolic
        ALT the reference covered after the base before it.
    gene, amino_acid, hgvs, consequence, significance
        What annotations say of it: a symbol or Ensembl id, `V600E`, an HGVS expression, a Sequence Ontology name, a
        ClinVar word. A gene is, on germline datasets, its place too.
    mate_contig
        Breakends that join the contig to this one.
    source_id
        An id that the source gave the variant, alone or among several (`rs671`).
    origin
        Only variants that somebody carries with this origin.
    """

    contig: str | None
    start: tuple[int, int] | None = None
    end: tuple[int, int] | None = None
    overlaps: Region | None = None
    ref: str | None = None
    alt: str | None = None
    variant_type: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    gene: str | None = None
    amino_acid: str | None = None
    hgvs: str | None = None
    consequence: str | None = None
    significance: str | None = None
    mate_contig: str | None = None
    source_id: str | None = None
    origin: Origin | None = None

    @property
    def exact(self) -> VariantKey | None:
        """The one variant that is meant, where position, REF and ALT are all spelled out; else None."""
        if self.contig is None or self.start is None or self.start[1] != self.start[0] + 1 or not self.ref or not self.alt:
            return None
        if "N" in self.ref or "N" in self.alt or self.variant_type or self.end or self.overlaps:
            return None
        if self.min_length is not None or self.max_length is not None:
            return None
        if (
            self.gene
            or self.amino_acid
            or self.hgvs
            or self.consequence
            or self.significance
            or self.mate_contig
            or self.source_id
            or self.origin
        ):
            return None
        return VariantKey(self.contig, self.start[0], self.ref, self.alt)


def exact_query(key: VariantKey) -> VariantQuery:
    """The question for one variant."""
    return VariantQuery(key.contig, start=(key.position, key.position + 1), ref=key.ref, alt=key.alt)


@dataclass(frozen=True, slots=True)
class Criterion:
    """One condition on a person.

    Attributes
    ----------
    field
        sex, population, country, age, birth_year, a kind of term (`phenotypes.model.TermKind`), or the name of a
        measurement. A biosample's kind is met by people with such a biosample.
    operator, value
        A word may hold `%`, which stands for any text.
    descendants
        Whether a code is met by its descendants in the dataset's ontologies, too.
    similarity
        How close another code of the same ontology may be; `exact` is the code itself (and its descendants).
    """

    field: str
    operator: Operator
    value: str | float
    descendants: bool = True
    similarity: Similarity = "exact"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Entries named by their ids; None for any. `call_set` is a genotype column's name."""

    individual: str | None = None
    biosample: str | None = None
    call_set: str | None = None


@dataclass(frozen=True, slots=True)
class PeopleQuery:
    """A set of people: all criteria hold, and, where given, the person carries a variant that the query describes.

    `chosen` narrows it to one person, or to the person of one biosample or call set.
    """

    criteria: tuple[Criterion, ...] = ()
    carries: VariantQuery | None = None
    chosen: Chosen = Chosen()


@dataclass(frozen=True, slots=True)
class Groups:
    """Which rows of a frequency answer are wanted; empty means all. `all` rows always come."""

    populations: frozenset[str] = field(default_factory=frozenset)
    sexes: frozenset[str] = field(default_factory=frozenset)
