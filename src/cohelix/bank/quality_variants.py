"""The quality gate's look at variants: call rate, Hardy-Weinberg equilibrium by population, frequencies of a reference."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cohelix.bank.manifest import Atom
from cohelix.bank.quality_thresholds import Thresholds
from cohelix.core.arrays import BoolArray, FloatArray, IntArray
from cohelix.core.errors import BadFile, BadUsage
from cohelix.core.genome import plain_contig
from cohelix.core.variant import VariantKey
from cohelix.genotypes import CountTable
from cohelix.genotypes.store import GenotypeStore
from cohelix.stats import hwe_p_values

_BLOCK_ROWS = 1 << 13
_LISTED_MOST = 100
_QUANTILES = 200
_SCATTER_MOST = 1500
_REFERENCE_MOST = 500_000
_AN, _AC, _HET, _HOM, _HEMI, _MISSING = range(6)


class WorstVariant(NamedTuple):
    """A variant that fails, and by what."""

    variant: str
    check: str
    group: str
    value: float


@dataclass(slots=True)
class VariantFigures:
    """What is known of a dataset's variants.

    `hwe_tested`, `hwe_failed` are tests of one variant in one population; `hwe_excess` of the failed ones those with too many
    heterozygotes. `quantiles` (2, n) are expected and observed -log10 p. `reference` is None where none was given.
    """

    n_variants: int = 0
    low_call_rate: int = 0
    mean_call_rate: float = float("nan")
    hwe_tested: int = 0
    hwe_failed: int = 0
    hwe_excess: int = 0
    hwe_groups: tuple[str, ...] = ()
    hwe_by_population: bool = False
    quantiles: FloatArray = field(default_factory=lambda: np.zeros((2, 0)))
    worst: list[WorstVariant] = field(default_factory=list)
    reference: ReferenceFigures | None = None


@dataclass(slots=True)
class ReferenceFigures:
    """The dataset's ALT frequencies beside a reference's: sites given, found, and differing; points (2, n) of some of them."""

    given: int
    found: int
    differing: int
    correlation: float
    swapped: int
    points: FloatArray


def look_at_variants(
    store: GenotypeStore, counts: CountTable, atoms: tuple[Atom, ...], thresholds: Thresholds, *, people: bool
) -> VariantFigures:
    """Figures of every variant, from the table of counts: only call sets that count are in it.

    Without `people` (a table of sites with counts) only frequencies are looked at: others' missing calls are not known.
    """
    limits, look = thresholds.variants, _Look(store, thresholds, VariantFigures(n_variants=store.info.n_variants))
    found, groups = look.found, _groups(atoms, limits.hwe_people_min)
    found.hwe_groups, found.hwe_by_population = tuple(groups), bool(groups) and set(groups) != {""}
    women = np.array([atom.sex == "female" for atom in atoms], np.bool_)
    men = np.array([atom.sex == "male" for atom in atoms], np.bool_)
    sizes = np.array([atom.people for atom in atoms], np.int64)
    called, calls = 0, 0
    for contig, rows in _blocks(store) if people else ():
        block = counts.rows(rows)
        who = men if contig == "Y" and men.any() else np.ones(len(atoms), np.bool_)
        n_people = int(sizes[who].sum())
        missing = block[:, who, _MISSING].sum(axis=1)
        called, calls = called + int(n_people * len(rows) - missing.sum()), calls + n_people * len(rows)
        look.call_rates(rows, 1 - missing / max(n_people, 1))
        for label, members in groups.items() if contig.isdigit() or contig == "X" else ():
            chosen = members & women if contig == "X" else members
            n = int(sizes[chosen].sum())
            if n >= limits.hwe_people_min:
                look.hwe(rows, block[:, chosen].sum(axis=1), n, label)
    found.mean_call_rate = called / calls if calls else float("nan")
    found.quantiles = _quantiles(np.concatenate(look.p_values) if look.p_values else np.zeros(0))
    found.worst = [item for _, _, item in sorted(look.worst, reverse=True)]
    if limits.reference_frequencies is not None and atoms:
        found.reference = _compare(store, counts, atoms, limits.reference_frequencies, thresholds)
    return found


@dataclass(slots=True)
class _Look:
    """The look in progress: p-values so far, and the worst variants as a heap of (-value, number, variant)."""

    store: GenotypeStore
    thresholds: Thresholds
    found: VariantFigures
    p_values: list[FloatArray] = field(default_factory=list)
    worst: list[tuple[float, int, WorstVariant]] = field(default_factory=list)
    _pushed: int = 0

    def call_rates(self, rows: range, rate: FloatArray) -> None:
        """Note the block's rows with too few calls."""
        low = np.flatnonzero(rate < self.thresholds.variants.call_rate_min)
        self.found.low_call_rate += len(low)
        for index in low[np.argsort(rate[low], kind="stable")][:_LISTED_MOST].tolist():
            self._push(float(rate[index]), rows[index], "call rate", "")

    def hwe(self, rows: range, counts: IntArray, n: int, label: str) -> None:
        """Test the block's rows in a group of n people; rows with haploid calls in it are not tested."""
        limits = self.thresholds.variants
        het, hom = counts[:, _HET], counts[:, _HOM]
        reference = n - counts[:, _MISSING] - counts[:, _HEMI] - het - hom
        # By these counts a haploid REF call differs from two copies in AN alone.
        diploid = counts[:, _AN] >= 2 * (n - counts[:, _MISSING])
        called = het + hom + reference
        frequency = (het + 2 * hom) / np.maximum(2 * called, 1)
        tested = np.flatnonzero(diploid & (np.minimum(frequency, 1 - frequency) >= limits.hwe_maf_min))
        p = hwe_p_values(het[tested], reference[tested], hom[tested])
        self.p_values.append(p)
        failed = np.flatnonzero(p < limits.hwe_p_min)
        expected = (2 * frequency * (1 - frequency) * called)[tested]
        self.found.hwe_tested += len(tested)
        self.found.hwe_failed += len(failed)
        self.found.hwe_excess += int((het[tested][failed] > expected[failed]).sum())
        for index in failed[np.argsort(p[failed], kind="stable")][:_LISTED_MOST].tolist():
            self._push(float(p[index]), rows[int(tested[index])], "HWE", label)

    def _push(self, value: float, row: int, check: str, group: str) -> None:
        """Keep the variants with the smallest values."""
        if len(self.worst) >= _LISTED_MOST and -value <= self.worst[0][0]:
            return
        contig, position, ref, alt = self.store.key(row)
        self._pushed += 1
        item = (-value, -self._pushed, WorstVariant(f"{contig}-{position + 1}-{ref}-{alt}", check, group, value))
        if len(self.worst) < _LISTED_MOST:
            heapq.heappush(self.worst, item)
        else:
            heapq.heapreplace(self.worst, item)


def _groups(atoms: tuple[Atom, ...], people_min: int) -> dict[str, BoolArray]:
    """Populations with enough people, each with its atoms; everybody where none is known."""
    labels = sorted({atom.population for atom in atoms if atom.population})
    masks = {label: np.array([atom.population == label for atom in atoms]) for label in labels}
    large = {
        label: mask
        for label, mask in masks.items()
        if sum(atom.people for atom, inside in zip(atoms, mask, strict=True) if inside) >= people_min
    }
    if labels:
        return large
    return {"": np.ones(len(atoms), np.bool_)} if atoms else {}


def _blocks(store: GenotypeStore) -> Iterator[tuple[str, range]]:
    for contig in store.info.contigs:
        rows = store.contig_rows(contig)
        for start in range(rows.start, rows.stop, _BLOCK_ROWS):
            yield contig, range(start, min(start + _BLOCK_ROWS, rows.stop))


def _quantiles(p: FloatArray) -> FloatArray:
    """Expected and observed -log10 p, closer together towards the small ones."""
    if not p.size:
        return np.zeros((2, 0))
    ordered = np.sort(p)
    ranks = np.unique(np.round(np.geomspace(1, len(p), min(_QUANTILES, len(p)))).astype(np.int64)) - 1
    observed = -np.log10(np.maximum(ordered[ranks], 1e-300))
    return np.stack([-np.log10((ranks + 0.5) / len(p)), observed])


def _compare(
    store: GenotypeStore, counts: CountTable, atoms: tuple[Atom, ...], path: Path, thresholds: Thresholds
) -> ReferenceFigures:
    limits = thresholds.variants
    wanted = limits.reference_population
    chosen = np.array([wanted is None or atom.population == wanted for atom in atoms])
    if not chosen.any():
        raise BadUsage(f"variants.reference_population: nobody of the dataset is of {wanted!r}")
    given, swapped = 0, 0
    ours: list[float] = []
    theirs: list[float] = []
    for contig, position, ref, alt, frequency in _reference_sites(path):
        given += 1
        rows = store.rows_of(VariantKey(contig, position, ref, alt))
        if not rows:
            swapped += bool(store.rows_of(VariantKey(contig, position, alt, ref)))
            continue
        cell = counts.row(rows[0])[chosen].sum(axis=0)
        if cell[_AN]:
            ours.append(cell[_AC] / cell[_AN])
            theirs.append(frequency)
    mine, reference = np.array(ours), np.array(theirs)
    differing = int((np.abs(mine - reference) > limits.frequency_difference_max).sum())
    varied = len(mine) > 2 and mine.std() > 0 and reference.std() > 0
    correlation = float(np.corrcoef(mine, reference)[0, 1]) if varied else float("nan")
    shown = np.linspace(0, len(mine) - 1, min(len(mine), _SCATTER_MOST)).astype(np.int64)
    return ReferenceFigures(given, len(mine), differing, correlation, swapped, np.stack([reference[shown], mine[shown]]))


def _reference_sites(path: Path) -> Iterator[tuple[str, int, str, str, float]]:
    """Contig, 0-based position, REF, ALT and ALT frequency of each site, at most `_REFERENCE_MOST`."""
    reader = _from_vcf if path.name.endswith((".vcf", ".vcf.gz", ".bcf")) else _from_table
    for number, site in enumerate(reader(path)):
        if number == _REFERENCE_MOST:
            return
        yield site


def _from_vcf(path: Path) -> Iterator[tuple[str, int, str, str, float]]:
    import pysam

    try:
        with pysam.VariantFile(str(path)) as file:
            for record in file:
                for alt, frequency in zip(record.alts or (), _listed(record.info.get("AF")), strict=False):
                    if frequency is not None:
                        yield plain_contig(record.chrom), record.pos - 1, record.ref or "", alt, float(frequency)
    except (OSError, ValueError) as error:
        raise BadFile(str(path), "", f"it cannot be read ({error})", "a VCF of sites with INFO/AF") from None


def _listed(value: object) -> tuple[float | None, ...]:
    return tuple(value) if isinstance(value, tuple) else (value,)  # type: ignore[return-value]


def _from_table(path: Path) -> Iterator[tuple[str, int, str, str, float]]:
    expected = "a table with the columns contig, pos, ref, alt and af, separated by tabs"
    try:
        with path.open(encoding="utf-8") as file:
            names = file.readline().rstrip("\n").split("\t")
            if not {"contig", "pos", "ref", "alt", "af"} <= set(names):
                raise BadFile(str(path), "line 1", "a column is missing", expected)
            places = [names.index(name) for name in ("contig", "pos", "ref", "alt", "af")]
            for number, line in enumerate(file, 2):
                words = line.rstrip("\n").split("\t")
                try:
                    contig, pos, ref, alt, af = (words[place] for place in places)
                    yield plain_contig(contig), int(pos) - 1, ref, alt, float(af)
                except (ValueError, IndexError):
                    raise BadFile(str(path), f"line {number}", "a value is missing or not a number", expected) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(str(path), "", f"it cannot be read ({error})", expected) from None
