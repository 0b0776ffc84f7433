"""Who carries a variant, call by call: germline, somatic and reported call sets kept apart.

A germline dataset's people carry what their one counted call set has (rule 5 of the interface); its tumours are asked for
with the origin `somatic`. In a somatic or a reported dataset any call set counts, and the origin is each call's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np

from cohelix.bank.manifest import ANNOTATIONS, CASES
from cohelix.bank.matching import candidate_rows
from cohelix.bank.people import CallSets
from cohelix.bank.questions import VariantQuery
from cohelix.bank.version import OpenVersion
from cohelix.core.arrays import BoolArray, ByteArray, IntArray
from cohelix.core.genes import find_gene
from cohelix.core.reported import Origin, Zygosity
from cohelix.genotypes.annotations import Annotations
from cohelix.genotypes.fractions import CallDetails, UnplacedCall
from cohelix.genotypes.hgvs import amino_acid_short_form
from cohelix.genotypes.store import GenotypeStore
from cohelix.genotypes.structural import Mates
from cohelix.phenotypes.model import People

NOT_COUNTED = {
    "somatic": "the dataset is of tumours: their variants are shown by case, and have no frequency",
    "reported": "only variants that somebody carries are reported: who does not carry one is not known, so it has no frequency",
}


class Carrier(NamedTuple):
    """One call set with a variant: the person's number and the column's, its name, and what is known of the call."""

    person: int
    column: int
    biosample: str
    origin: Origin
    zygosity: Zygosity
    allele_fraction: float | None


class Cases:
    """The carriers of one version; safe for many threads."""

    def __init__(self, version: OpenVersion) -> None:
        self._version = version
        self._details = CallDetails.open(version.folder / CASES)
        self._mates = Mates.open(version.folder / CASES)
        self._by_case = version.manifest.content in NOT_COUNTED

    @cached_property
    def annotations(self) -> Annotations | None:
        """What is known of the version's variants; None where nothing is."""
        folder = self._version.folder / ANNOTATIONS
        return Annotations.open(folder) if folder.is_dir() else None

    def candidates(self, query: VariantQuery) -> IntArray:
        """Rows that the query's place, gene and annotations allow, ascending (see `matching.candidate_rows`)."""
        store = self._version.store
        return candidate_rows(store, query, self.annotations, self._mates, genes_by_place=not self._by_case)

    def of_origin(self, rows: IntArray, origin: Origin | None, *, floor: int = 0) -> IntArray:
        """Those of the rows that somebody released carries with this origin; all of them where none is asked for.

        With a floor, at least so many people have to carry it with this origin, and as many not to.
        """
        if origin is None:
            return rows
        version = self._version
        everybody = int(version.released.sum())

        def may_be_told(row: int) -> bool:
            people = np.unique(version.call_sets.person[self._columns(row, origin)])
            carriers = int(version.released[people].sum())
            return carriers >= max(1, floor) and everybody - carriers >= floor

        return rows[np.array([may_be_told(row) for row in rows.tolist()], np.bool_)]

    def carriers(self, row: int, *, among: BoolArray | None = None, limit: int | None = None) -> tuple[Carrier, ...]:
        """The first `limit` call sets of released people with the variant, in column order, uncounted ones included.

        `among` (columns,) bool: only these call sets. Only those given are looked at one by one.
        """
        call_sets = self._version.call_sets
        columns = self._columns(row, None)
        wanted = self._version.released[call_sets.person[columns]]
        if among is not None:
            wanted = wanted & among[columns]
        chosen = columns[wanted][:limit]
        return tuple(
            Carrier(int(call_sets.person[column]), column, call_sets.names[column], origin, zygosity, fraction)
            for column, origin, zygosity, fraction in self._calls(row, chosen)
        )

    def columns_carrying(self, query: VariantQuery, rows: IntArray) -> BoolArray:
        """(columns,) bool: call sets with one of the rows' variants, of the query's origin where it names one.

        Calls without a place count where the query asks by gene and annotation alone.
        """
        carrying = np.zeros(len(self._version.call_sets.names), np.bool_)
        for row in rows.tolist():
            carrying[self._columns(row, query.origin)] = True
        for call in self._unplaced(query):
            carrying[call.sample] |= query.origin is None or call.origin == query.origin
        return carrying

    def people_carrying(self, query: VariantQuery, rows: IntArray) -> BoolArray:
        """(people,) bool: people with one of the rows' variants; in a germline dataset by their counted call set, or, with
        the origin `somatic`, by their tumours."""
        call_sets = self._version.call_sets
        carrying = self.columns_carrying(query, rows)
        if not self._by_case and query.origin != "somatic":
            carrying &= call_sets.counted
        people = np.zeros(call_sets.n_people, np.bool_)
        people[call_sets.person[carrying]] = True
        return people

    def _columns(self, row: int, origin: Origin | None) -> IntArray:
        """Columns that carry a row's ALT, ascending int64; with an origin, those whose call has it."""
        columns = self._version.store.carriers(row).sample_index
        details = self._details.of(row)
        called = [column for column, detail in details.items() if detail.zygosity]
        if called:
            columns = np.union1d(columns, np.array(called, np.int64))
        if origin is None:
            return columns
        somatic = self._tumours[columns]
        own = {column: detail.origin == "somatic" for column, detail in details.items() if detail.origin}
        if own:
            told = np.flatnonzero(np.isin(columns, np.fromiter(own, np.int64, len(own))))
            somatic[told] = [own[column] for column in columns[told].tolist()]
        return np.asarray(columns[somatic == (origin == "somatic")], np.int64)

    def _calls(self, row: int, columns: IntArray) -> Iterator[tuple[int, Origin, Zygosity, float | None]]:
        """Column, origin, zygosity and allele fraction of the calls that these of a row's carriers have, in their order."""
        found = self._version.store.carriers(row)
        details = self._details.of(row)
        chosen = np.isin(found.sample_index, columns)
        genotype = dict(zip(found.sample_index[chosen].tolist(), found.copies[chosen].tolist(), strict=True))
        haploid = self._haploid(row, genotype) if genotype else frozenset()
        for column in columns.tolist():
            detail = details.get(column)
            zygosity: Zygosity = "homozygous" if genotype.get(column) == 2 else "heterozygous"
            if column in haploid:
                zygosity = "hemizygous"
            origin: Origin = "somatic" if self._tumours[column] else "germline"
            if detail is not None:
                zygosity, origin = detail.zygosity or zygosity, detail.origin or origin
            yield column, origin, zygosity, detail.fraction if detail is not None else None

    def _haploid(self, row: int, genotype: dict[int, int]) -> frozenset[int]:
        """Which of the carriers have a haploid call."""
        if int(self._version.store.allele_counts(range(row, row + 1)).hemi[0]) == 0:
            return frozenset()
        second = self._version.store.calls(range(row, row + 1)).alleles[0, :, 1]
        return frozenset(column for column in genotype if second[column] == -2)

    @cached_property
    def _tumours(self) -> BoolArray:
        return tumour_columns_of(self._version.call_sets, self._version.people, self._details.tumours)

    def _unplaced(self, query: VariantQuery) -> Iterator[UnplacedCall]:
        """Calls without a place that the query describes by what they are annotated with."""
        asked = (query.gene, query.hgvs, query.amino_acid, query.consequence, query.significance)
        placed = (query.contig, query.start, query.end, query.overlaps, query.ref, query.alt, query.variant_type)
        others = (query.min_length, query.max_length, query.mate_contig)
        if not any(asked) or any(item is not None for item in (*placed, *others)):
            return
        genes = {query.gene.upper()} if query.gene else set()
        gene = find_gene(query.gene, self._version.manifest.assembly) if query.gene else None
        genes |= {gene.symbol.upper()} if gene is not None else set()
        wanted = amino_acid_short_form(query.amino_acid) if query.amino_acid else None
        for call in self._details.unplaced:
            if (
                (not genes or call.gene.upper() in genes)
                and _is(query.hgvs, *call.hgvs)
                and _is(wanted, *map(amino_acid_short_form, call.hgvs))
                and _is(query.consequence, call.consequence)
                and _is(query.significance, call.significance)
            ):
                yield call


def tumour_columns_of(call_sets: CallSets, people: People, named: frozenset[str]) -> BoolArray:
    """(columns,) bool: call sets of tumours, as the table of people or their own file says."""
    tumours = named | {
        name for name, germline in zip(people.biosample_ids, people.germline.tolist(), strict=True) if not germline
    }
    return np.array([name in tumours for name in call_sets.names], np.bool_)


def listed_cases(store: GenotypeStore, details: CallDetails, call_sets: CallSets, released: BoolArray, floor: int) -> ByteArray:
    """The bitmap of `OpenVersion.listed` of a somatic or reported dataset; `released` (people,) says who is in the release.

    A variant that somebody released carries in any call set is listed; on a floored dataset where at least `floor` people
    carry it, and as many do not; its second pair of rows is without the floor.
    """
    shown, there = (np.zeros(store.info.n_variants, np.bool_) for _ in range(2))
    for row in range(store.info.n_variants):
        called = [column for column, detail in details.of(row).items() if detail.zygosity]
        columns = np.concatenate([store.carriers(row).sample_index, np.array(called, np.int64)])
        people = np.unique(call_sets.person[columns])
        carriers = int(released[people].sum())
        there[row] = carriers > 0
        shown[row] = carriers >= max(1, floor) and int(released.sum()) - carriers >= floor
    return np.packbits(np.stack([shown, shown, there, there][: 4 if floor else 2]), axis=1, bitorder="little")


def _is(wanted: str | None, *texts: str) -> bool:
    return wanted is None or wanted.lower() in {text.lower() for text in texts}
