"""Quality figures of a store: per person, between persons, and which markers they are taken from.

Figures are by row, as after splitting multi-allelic records (rule 1 of the interface), so that they equal bcftools' and
plink2's on a file that was split.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from cohelix.core.arrays import BoolArray, ByteArray, FloatArray, IntArray
from cohelix.core.errors import Damaged
from cohelix.core.genome import Assembly
from cohelix.genotypes.hybrid_store import LONG, HybridStore, Shard
from cohelix.genotypes.model import Cohort
from cohelix.genotypes.store import GenotypeStore
from cohelix.genotypes.tallies import (
    AUTOSOME,
    HET,
    HOM,
    INDEL,
    MISSING,
    OTHER,
    OTHER_KIND,
    TRANSITION,
    TRANSVERSION,
    RowKinds,
    Tallies,
    X,
    Y,
    tally,
)
from cohelix.stats import Components, GenotypePlanes, RelatedPairs, fit_components, inbreeding, project, related_pairs

_BLOCK_ROWS = 1 << 14
_MARKER_ROWS = 512  # decoded at a time: 512 rows of 10,000 people are 20 MB
_PLANES_BYTES = 256 << 20  # most memory for the bits of all people at all markers
_WINDOW = 1_000_000  # bases: markers in few windows cannot tell of a whole genome
MALE = 1
# Where men have two copies of X: 0-based, half-open (Genome Reference Consortium, PAR#1 and PAR#2).
_PSEUDOAUTOSOMAL_X = {
    Assembly.GRCH37: ((60_000, 2_699_520), (154_931_043, 155_260_560)),
    Assembly.GRCH38: ((10_000, 2_781_479), (155_701_382, 156_030_895)),
}


@dataclass(frozen=True, slots=True)
class PersonFigures:
    """Figures of each genotype column, (people,) int64 or float64; NaN where a ratio has no denominator.

    `called`, `sites` are calls and rows that count for the call rate: all rows, those of Y for declared men only. `het`, `hom`
    (ALT), `transitions`, `transversions` are of single-base variants, `indels` rows with an inserted or deleted allele, as
    `bcftools stats` counts them. `f_autosomes` and `f_x` are inbreeding coefficients as plink2 `--het` and plink 1.9
    `--check-sex` have them; `x_sites` rows of X outside PAR where the person is called; `y_called` the called ones of `y_rows`.
    """

    sites: IntArray
    called: IntArray
    het: IntArray
    hom: IntArray
    transitions: IntArray
    transversions: IntArray
    indels: IntArray
    singletons: IntArray
    autosome_sites: IntArray
    autosome_hom: IntArray
    autosome_expected_hom: FloatArray
    f_autosomes: FloatArray
    x_sites: IntArray
    f_x: FloatArray
    y_called: IntArray
    y_rows: int
    x_variable_rows: int

    @property
    def call_rate(self) -> FloatArray:
        """Fully called calls over sites."""
        return _ratio(self.called, self.sites)

    @property
    def ti_tv(self) -> FloatArray:
        """Transitions over transversions that a person carries."""
        return _ratio(self.transitions, self.transversions)

    @property
    def het_hom(self) -> FloatArray:
        """Heterozygous over homozygous ALT calls at single-base variants."""
        return _ratio(self.het, self.hom)


@dataclass(frozen=True, slots=True)
class Markers:
    """Common, well called, biallelic single-base variants of the autosomes: `rows`, ascending, and in how many windows."""

    rows: IntArray
    windows: int


@dataclass(frozen=True, slots=True)
class Survey:
    """One look at a whole store; `kinds` are its rows that are transitions, transversions, indels, others."""

    people: PersonFigures
    markers: Markers
    kinds: tuple[int, ...]


def survey(store: GenotypeStore, sex: ByteArray, *, maf_min: float, call_rate_min: float) -> Survey:
    """Figures of every person, and the markers for kinship and ancestry.

    Parameters
    ----------
    sex
        (people,) uint8 of the people's declared sex: 0 unknown, 1 male, 2 female.
    maf_min, call_rate_min
        What makes a marker.
    """
    held = _hybrid(store)
    n_people = len(held.info.samples)
    kinds, biallelic = _row_kinds(held)
    frequency, missing = np.full(held.info.n_variants, np.nan), np.zeros(held.info.n_variants, np.int64)
    everybody, men = Cohort.of(n_people), Cohort.of(n_people, sex == MALE)
    others = Cohort.of(n_people, sex != MALE)
    for stretch in (AUTOSOME, X):
        chosen = np.flatnonzero(kinds.stretch == stretch)
        for start in range(0, len(chosen), _BLOCK_ROWS):
            rows = chosen[start : start + _BLOCK_ROWS]
            counts = held.allele_counts(rows, everybody)
            missing[rows] = counts.missing
            if stretch == AUTOSOME:
                frequency[rows] = _ratio(counts.ac, counts.an)
            else:
                frequency[rows] = _x_frequency(held, rows, men, others)
    known = ~np.isnan(frequency)
    kinds.weight[known] = 2 * frequency[known] * (1 - frequency[known])
    tallies = tally(held, kinds, n_threads())
    maf = np.where(known, np.minimum(frequency, 1 - frequency), 0)
    snv = (kinds.kind == TRANSITION) | (kinds.kind == TRANSVERSION)
    good = (kinds.stretch == AUTOSOME) & snv & biallelic & (maf >= maf_min) & (missing <= (1 - call_rate_min) * n_people)
    rows = np.flatnonzero(good)
    variable = int(((kinds.stretch == X) & (kinds.weight > 0)).sum())
    kinds_of_rows = tuple(tallies.rows.sum(axis=0).tolist())
    return Survey(_figures(tallies, sex, variable), Markers(rows, _n_windows(held, rows)), kinds_of_rows)


def kinship(store: GenotypeStore, markers: Markers, *, kinship_min: float, markers_max: int) -> tuple[RelatedPairs, int]:
    """Pairs of columns at least so closely related, and from how many markers: evenly thinned to what memory bears."""
    n_people = len(store.info.samples)
    most = min(markers_max, _PLANES_BYTES * 8 // (3 * max(n_people, 1)))
    rows = _thinned(markers.rows, most)
    planes = GenotypePlanes(n_people, len(rows))
    for start in range(0, len(rows), _MARKER_ROWS):
        planes.add(store.dosages(rows[start : start + _MARKER_ROWS]))
    return related_pairs(planes, kinship_min=kinship_min, threads=n_threads()), len(rows)


def ancestry(
    store: GenotypeStore, markers: Markers, *, k: int, markers_max: int, people_max: int, left_out: BoolArray, seed: int
) -> tuple[FloatArray, Components]:
    """Places (people, k) of all columns on components fitted on at most `people_max` of those not left out.

    People with few calls, doubles and relatives are better left out of the fit: they would draw axes to themselves.
    """
    chance = np.random.default_rng(seed)
    rows = _thinned(markers.rows, markers_max)
    fitted = np.flatnonzero(~left_out)
    if len(fitted) > people_max:
        fitted = np.sort(chance.choice(fitted, people_max, replace=False))
    axes = fit_components(store.dosages(rows, fitted), k, chance)
    n_people = len(store.info.samples)
    step = max(1, (64 << 20) // (4 * max(1, len(rows))))
    placed = [
        project(store.dosages(rows, np.arange(start, min(start + step, n_people))), axes) for start in range(0, n_people, step)
    ]
    return np.concatenate(placed), axes


def n_threads() -> int:
    """Cores that this process may use, at most eight."""
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _hybrid(store: GenotypeStore) -> HybridStore:
    if not isinstance(store, HybridStore):
        raise Damaged("quality figures are taken from a store of shards")
    return store


def _row_kinds(store: HybridStore) -> tuple[RowKinds, BoolArray]:
    """Stretch and kind of every row, and whether its record has one ALT."""
    n_rows = store.info.n_variants
    stretch, kind = np.full(n_rows, OTHER, np.uint8), np.full(n_rows, OTHER_KIND, np.uint8)
    biallelic = np.ones(n_rows, np.bool_)
    for number, rows in enumerate(store.shard_rows()):
        shard, place = store.shard(number), slice(rows.start, rows.stop)
        kind[place] = _kinds(shard)
        biallelic[place] = shard.column("n_alts", 0, shard.n_rows, default=1) == 1
        contig = shard.record.contig
        if contig.isdigit():
            stretch[place] = AUTOSOME
        elif contig == "Y":
            stretch[place] = Y
        elif contig == "X":
            in_par = np.zeros(shard.n_rows, np.bool_)
            for first, end in _PSEUDOAUTOSOMAL_X[store.info.assembly]:
                in_par |= (shard.position >= first) & (shard.position < end)
            stretch[place] = np.where(in_par, OTHER, X)
    return RowKinds(stretch, kind, np.zeros(n_rows)), biallelic


def _kinds(shard: Shard) -> ByteArray:
    ref, alt = shard.allele >> 2 & 3, shard.allele & 3
    transition = np.abs(ref.astype(np.int8) - alt.astype(np.int8)) == 2  # A C G T: A-G and C-T are two apart
    kind = np.where(shard.allele == LONG, OTHER_KIND, np.where(transition, TRANSITION, TRANSVERSION)).astype(np.uint8)
    bases = frozenset("ACGTN")
    for entry, row in enumerate(shard.long_rows.tolist()):
        first, second = shard.text("long", entry).split("\t")
        if len(first) != len(second) and bases.issuperset(first) and bases.issuperset(second):
            kind[row] = INDEL
    return kind


def _x_frequency(store: HybridStore, rows: IntArray, men: Cohort, others: Cohort) -> FloatArray:
    """ALT frequency on X: one copy for each declared man, two for everybody else, however the file writes their calls.

    A heterozygous man counts for nothing, as in plink 1.9: his call is an error, or his sex is.
    """
    of_men, of_others = store.allele_counts(rows, men), store.allele_counts(rows, others)
    men_called = men.size - of_men.missing - of_men.het
    alts = of_men.hom + of_men.hemi + of_others.het + 2 * (of_others.hom + of_others.hemi)
    return _ratio(alts, men_called + 2 * (others.size - of_others.missing))


def _figures(tallies: Tallies, sex: ByteArray, x_variable_rows: int) -> PersonFigures:
    genotypes, rows = tallies.genotypes, tallies.rows
    missing, n_rows = genotypes[:, :, MISSING].sum(axis=1), rows.sum(axis=1)
    snv = genotypes[:, [TRANSITION, TRANSVERSION]].sum(axis=0)  # (kind, figure, people)
    counts_y = sex == MALE
    sites = np.where(counts_y, n_rows.sum(), n_rows.sum() - n_rows[Y])
    not_called = missing.sum(axis=0) - np.where(counts_y, 0, missing[Y])
    het = genotypes[:, :, HET].sum(axis=1)  # (stretch, people)
    expected = tallies.weight[:, None] - tallies.weight_missing
    autosome_sites = n_rows[AUTOSOME] - missing[AUTOSOME]
    carried = snv[:, HET] + snv[:, HOM]
    indels = genotypes[:, INDEL, HET].sum(axis=0) + genotypes[:, INDEL, HOM].sum(axis=0)
    return PersonFigures(
        sites=sites.astype(np.int64),
        called=sites - not_called,
        het=snv[:, HET].sum(axis=0),
        hom=snv[:, HOM].sum(axis=0),
        transitions=carried[0],
        transversions=carried[1],
        indels=indels,
        singletons=tallies.singletons,
        autosome_sites=autosome_sites,
        autosome_hom=autosome_sites - het[AUTOSOME],
        autosome_expected_hom=autosome_sites - expected[AUTOSOME],
        f_autosomes=inbreeding(het[AUTOSOME], expected[AUTOSOME]),
        x_sites=n_rows[X] - missing[X],
        f_x=inbreeding(het[X], expected[X]),
        y_called=n_rows[Y] - missing[Y],
        y_rows=int(n_rows[Y]),
        x_variable_rows=x_variable_rows,
    )


def _n_windows(store: HybridStore, rows: IntArray) -> int:
    """In how many stretches of a million bases the rows lie."""
    windows = 0
    for number, of_shard in enumerate(store.shard_rows()):
        inside = rows[np.searchsorted(rows, of_shard.start) : np.searchsorted(rows, of_shard.stop)] - of_shard.start
        windows += len(np.unique(store.shard(number).position[inside] // _WINDOW)) if inside.size else 0
    return windows


def _thinned(rows: IntArray, most: int) -> IntArray:
    """At most so many of the rows, evenly spread."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def _ratio(above: IntArray, below: IntArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, above / below, np.nan)
