"""Real genotypes as plain arrays, and the same as files that plink2 reads: for the proofs of association methods."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_BED_MAGIC = bytes([0x6C, 0x1B, 0x01])
_BED_CODES = np.array([3, 2, 0, 1], np.uint8)  # of 0, 1 and 2 copies of ALT, and of a missing call


class Genotypes(NamedTuple):
    """(variants,) positions (1-based) and `REF>ALT`; (variants, samples) int8 copies of ALT; the samples' names."""

    position: Array
    alleles: list[str]
    copies: Array
    samples: list[str]


def read_genotypes(path: Path, positions: Iterable[int] | None = None) -> Genotypes:
    """Complete diploid calls of biallelic SNVs of a VCF or BCF; at these positions, or all."""
    samples = subprocess.run(["bcftools", "query", "-l", path], check=True, capture_output=True, text=True).stdout.split()
    command = ["bcftools", "query", "-f", "%POS\t%REF>%ALT\t[%GT]\n", "-i", 'N_ALT=1 && TYPE="snp"', path]
    wanted = None if positions is None else set(positions)
    place, alleles, rows = [], [], []
    with subprocess.Popen(command, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        for line in reader.stdout:
            position, change, calls = line.rstrip(b"\n").split(b"\t")
            if len(calls) == 3 * len(samples) and (wanted is None or int(position) in wanted):
                letters = np.frombuffer(calls, np.uint8).reshape(-1, 3)
                place.append(int(position))
                alleles.append(change.decode())
                rows.append((letters[:, 0] == ord("1")).astype(np.int8) + (letters[:, 2] == ord("1")))
    return Genotypes(np.array(place), alleles, np.array(rows, np.int8), samples)


def write_plink(stem: Path, dosages: Array, phenotypes: Mapping[str, Array], covariates: Array) -> None:
    """`stem.bed`, `.bim`, `.fam`, `.pheno` and `.covar` of (variants, people) dosages, NaN where missing; A1 is ALT."""
    variants, people = dosages.shape
    codes = _BED_CODES[np.nan_to_num(dosages, nan=3.0).astype(np.int64)]
    codes = np.concatenate([codes, np.zeros((variants, -people % 4), np.uint8)], axis=1).reshape(variants, -1, 4)
    packed = (codes << np.array([0, 2, 4, 6], np.uint8)).sum(axis=2, dtype=np.uint8)
    stem.with_suffix(".bed").write_bytes(_BED_MAGIC + packed.tobytes())
    stem.with_suffix(".bim").write_text("".join(f"22\tv{row}\t0\t{row + 1}\tA\tC\n" for row in range(variants)))
    stem.with_suffix(".fam").write_text("".join(f"0\tp{person}\t0\t0\t0\t-9\n" for person in range(people)))
    _write_values(stem.with_suffix(".pheno"), list(phenotypes), np.column_stack(list(phenotypes.values())))
    _write_values(stem.with_suffix(".covar"), [f"c{number}" for number in range(covariates.shape[1])], covariates)


def plink_glm(plink2: str, stem: Path, *options: str) -> None:
    """Run `plink2 --glm` with these options over what `write_plink` wrote; `stem.PHENOTYPE.glm.…` hold its lines."""
    command = [plink2, "--bfile", stem, "--pheno", f"{stem}.pheno", "--covar", f"{stem}.covar", "--covar-variance-standardize"]
    command += ["--threads", "1", "--memory", "1000", "--out", stem, "--glm", "omit-ref", "hide-covar", *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"plink2 failed: {done.stderr[-2000:]}")


def read_glm(path: Path) -> dict[str, list[str]]:
    """Columns of a result of `plink2 --glm`, as they are printed."""
    header, *lines = [line.split("\t") for line in path.read_text().splitlines()]
    return {name.lstrip("#"): list(column) for name, column in zip(header, zip(*lines, strict=True), strict=True)}


def printed_alike(ours: Array, printed: Iterable[str]) -> Array:
    """Whether each number is what was printed, to one unit of its sixth digit."""
    theirs = np.array([float(text) for text in printed])
    unit = 10.0 ** (np.floor(np.log10(np.maximum(np.abs(theirs), 1e-320))) - 5)
    return np.abs(ours - theirs) <= np.maximum(unit, 1e-320)


def _write_values(path: Path, names: list[str], values: Array) -> None:
    lines = ["\t".join(["#IID", *names])]
    lines += ["\t".join([f"p{person}", *(f"{value:.17g}" for value in row)]) for person, row in enumerate(values.tolist())]
    path.write_text("\n".join(lines) + "\n")
