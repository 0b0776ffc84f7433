"""The published lead variants of GEUVADIS on chromosome 22, by ranks of residuals over four nodes."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from validation import kg3, realdata
from validation.linear.experiment import People, run_split

_GENE, _POSITION, _P, _SLOPE = 0, 9, 15, 16  # columns of the published table


@dataclass(frozen=True)
class Reproduced:
    """How many published slopes were compared, and the largest differences."""

    genes: int
    within: int
    slope: float
    log10_p: float


def reproduce(genotypes: Path, geuvadis: Path, *, tolerance: float = 1e-5) -> Reproduced:
    """All genes whose published lead variant is among the SNVs of `genotypes`, with sums rounded as the secure sum does.

    Parameters
    ----------
    genotypes
        VCF or BCF with the 358 people.
    geuvadis
        The folder `geuvadis-chr22`.
    """
    published = [line.split() for line in (geuvadis / "published_results.dev.chr22.txt").read_text().splitlines()[1:]]
    found = kg3.read_genotypes(genotypes, (int(line[_POSITION]) for line in published))
    row = {int(position): number for number, position in enumerate(found.position)}
    published = [line for line in published if int(line[_POSITION]) in row]
    people, expression = _expression(geuvadis / "expression.dev.chr22.bed.gz")
    column = {name: number for number, name in enumerate(found.samples)}
    dosages = found.copies[:, [column[name] for name in people]].astype(float)
    traits = np.column_stack([expression[line[_GENE]] for line in published])
    panel = realdata.panel()
    node = np.array([panel[name][1] for name in people])
    cohort = People(dosages, traits, _covariates(geuvadis / "genes.covariates.pc50.txt.gz", people))
    lines, _ = run_split(cohort, node, transformation="residual-rank", rank_cell=1)
    wanted = np.array([row[int(line[_POSITION])] * len(published) + gene for gene, line in enumerate(published)])
    slopes = np.abs(lines["beta"][wanted] - [float(line[_SLOPE]) for line in published])
    logs = np.abs(lines["neg_log10_p"][wanted] + np.log10([float(line[_P]) for line in published]))
    return Reproduced(len(published), int((slopes <= tolerance).sum()), float(slopes.max()), float(logs.max()))


def _expression(path: Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """The people, and each gene's values."""
    header, *lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    cells = [line.split("\t") for line in lines]
    return header.split("\t")[6:], {cell[3]: np.array(cell[6:], float) for cell in cells}


def _covariates(path: Path, people: list[str]) -> np.ndarray:
    """(people, covariates) in the order of `people`."""
    header, *lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    place = {name: number for number, name in enumerate(header.split()[1:])}
    values = np.array([line.split()[1:] for line in lines], float)
    return values[:, [place[name] for name in people]].T
