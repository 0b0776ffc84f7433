"""Splits the people of the 1000 Genomes panel over nodes, makes components, and writes `RESULTS.md` beside the referees."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pgenlib

from cohelix.analysis.components import fit_ancestry, local_scores
from cohelix.analysis.data import ArrayGenotypes, LocalData
from cohelix.analysis.pooled import PlainSummer
from validation import realdata
from validation.linear.experiment import FixedPointSummer

HERE = Path(__file__).parent
K, MAF, MARKERS = 6, 0.05, 4_000
TOLERANCE = 1e-10  # of 1 − |cos|; plink2 prints six digits, whose rounding stays below it
Array = npt.NDArray[Any]


class Compared(NamedTuple):
    """The worst of the separated components: 1 − |cos| to the referee."""

    split: str
    referee: str
    components: int
    worst: float
    iterations: int


def read_genotypes(source: Path, scratch: Path) -> tuple[Array, list[str]]:
    """(markers, people) dosages of common variants of a BCF, evenly many, by plink2; and the people."""
    words = ["plink2", "--bcf", source, "--maf", str(MAF), "--max-alleles", "2", "--autosome", "--make-pgen", "--threads", "2"]
    subprocess.run([*words, "--out", scratch / "common"], check=True, capture_output=True)
    names = [line.split("\t")[2] for line in (scratch / "common.pvar").read_text().splitlines() if not line.startswith("#")]
    samples = [line.split()[0] for line in (scratch / "common.psam").read_text().splitlines()[1:]]
    chosen = np.linspace(0, len(names) - 1, min(MARKERS, len(names))).round().astype(np.uint32)
    reader = pgenlib.PgenReader(str(scratch / "common.pgen").encode())
    dosages = np.empty((len(chosen), len(samples)), np.int8)
    reader.read_list(chosen, dosages)
    lines = (scratch / "common.pvar").read_text().splitlines()
    head = [line for line in lines if line.startswith("#")]
    body = lines[len(head) :]
    # Names of our own, by number: the file has variants without one.
    named = [[*line.split("\t")] for line in body]
    for number, line in enumerate(named):
        line[2] = f"v{number}"
    (scratch / "common.pvar").write_text("\n".join([*head, *("\t".join(line) for line in named)]) + "\n")
    (scratch / "used.txt").write_text("\n".join(f"v{number}" for number in chosen.tolist()) + "\n")
    return dosages.astype(np.float64), samples


def referee_plink2(scratch: Path) -> Array:
    """(people, K) eigenvectors as plink2 prints them."""
    words = ["plink2", "--pfile", scratch / "common", "--extract", scratch / "used.txt", "--pca", str(K), "--threads", "2"]
    subprocess.run([*words, "--out", scratch / "pca"], check=True, capture_output=True)
    lines = [line.split() for line in (scratch / "pca.eigenvec").read_text().splitlines()]
    first = lines[0].index("PC1")
    return np.array([[float(value) for value in line[first:]] for line in lines[1:]])


def compare(dosages: Array, samples: list[str], groups: dict[str, str], plink2: Array | None) -> list[Compared]:
    """Components over several splits, beside the pooled singular vectors and plink2."""
    mean = dosages.mean(axis=1)
    Z = (dosages - mean[:, None]) / np.sqrt(mean * (1 - mean / 2))[:, None]
    values, U = np.linalg.eigh(Z.T @ Z)
    pooled = U[:, ::-1][:, :K]
    del Z, values
    rng = np.random.default_rng(1)
    of_group = np.unique([groups[name] for name in samples], return_inverse=True)[1]
    splits = {
        "superpopulations": of_group % 5,
        "3 by chance": rng.integers(0, 3, len(samples)),
        "20 by chance": rng.integers(0, 20, len(samples)),
    }
    found = []
    for name, node in splits.items():
        pieces = [np.flatnonzero(node == one) for one in np.unique(node)]
        parts = [LocalData(np.zeros((len(p), 0)), np.zeros((len(p), 1)), ArrayGenotypes(dosages[:, p])) for p in pieces]
        summer = FixedPointSummer(parts) if name != "20 by chance" else PlainSummer(parts)
        made = fit_ancestry(summer, np.arange(len(dosages)), mean, n=len(samples), k=K)
        told = {"rows": made.rows, "mean": mean, "scale": made.scale, "loadings": made.loadings}
        scores = np.empty((len(samples), K))
        for piece, part in zip(pieces, parts, strict=True):
            scores[piece] = local_scores(part, told)
        scores /= np.linalg.norm(scores, axis=0)
        apart = np.flatnonzero(made.separated)
        for referee, vectors in (("eigenvectors of Z'Z (NumPy)", pooled), ("plink2 --pca", plink2)):
            if vectors is not None:
                unit = vectors / np.linalg.norm(vectors, axis=0)
                cosine = np.abs((unit[:, apart] * scores[:, apart]).sum(axis=0))
                found.append(Compared(name, referee, len(apart), float((1 - cosine).max()), made.iterations))
        print(found[-1], file=sys.stderr, flush=True)
    return found


def main() -> int:
    """Exit 0 only if every separated component agrees with every referee."""
    source = next(one for one in realdata.genotype_sets() if one.name == "kg3-exome-common")
    groups = {name: population for name, (_, population) in realdata.panel().items()}
    with tempfile.TemporaryDirectory(prefix="cohelix-components-") as folder:
        scratch = Path(folder)
        dosages, samples = read_genotypes(source.path, scratch)
        compared = compare(dosages, samples, groups, referee_plink2(scratch))
    lines = [
        "# Ancestry components",
        "",
        f"Made by `python -m validation.components`: {len(samples):,} people of the 1000 Genomes panel, {len(dosages):,}",
        f"common exonic variants (MAF at least {MAF}), {K} components; sums rounded as the secure sum does, but for the split",
        "into 20. Compared are people's scores, of the components whose eigenvalue stands apart from its neighbours'.",
        "",
        "| split over nodes | referee | separated components | worst 1 − abs(cos) | rounds of sums |",
        "|---|---|---|---|---|",
        *(f"| {one.split} | {one.referee} | {one.components} | {one.worst:.1e} | {one.iterations} |" for one in compared),
        "",
        f"Promised: at most {TOLERANCE:.0e}.",
    ]
    (HERE / "RESULTS.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 1 if any(one.worst > TOLERANCE or one.components < 2 for one in compared) else 0


if __name__ == "__main__":
    sys.exit(main())
