"""Small genotype files by seed with all that real ones have: indels, several ALTs, missing, half-called, haploid, symbolic."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

# Lengths in bases of GRCh37 (NCBI assembly report), for the contigs that these files use.
LENGTHS = {"21": 48129895, "22": 51304566, "X": 155270560, "Y": 59373566, "MT": 16569}
POPULATIONS = ("FIN", "GBR", "TSI")


@dataclass
class Cohort:
    """Made-up people: names, sexes and populations, some of them unknown."""

    samples: list[str]
    sex: dict[str, str] = field(default_factory=dict)
    population: dict[str, str] = field(default_factory=dict)


def make_cohort(n: int, seed: int, *, unknown: float = 0.0) -> Cohort:
    """`n` people; with `unknown` probability each, sex and population stay out of the table."""
    rng = random.Random(seed)
    cohort = Cohort([f"P{i:05d}" for i in range(n)])
    for sample in cohort.samples:
        cohort.sex[sample] = "" if rng.random() < unknown else rng.choice(("male", "female"))
        cohort.population[sample] = "" if rng.random() < unknown else rng.choice(POPULATIONS)
    return cohort


def write_people(path: Path, cohort: Cohort) -> Path:
    """The individuals table of a cohort."""
    lines = ["individual_id\tbiosample_id\tsex\tpopulation"]
    lines += [f"{s}\t{s}\t{cohort.sex[s]}\t{cohort.population[s]}" for s in cohort.samples]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_vcf(
    path: Path, cohort: Cohort, *, per_contig: int, seed: int, contigs: Sequence[str] = tuple(LENGTHS), clean: bool = False
) -> Path:
    """A sorted VCF 4.3 (`.vcf`; `.vcf.gz` and `.bcf` through bcftools). `clean` leaves out missing and half-called."""
    rng = random.Random(seed)
    plain = path if path.suffix == ".vcf" else path.with_name(path.name + ".plain.vcf")
    with plain.open("w") as out:
        out.write("##fileformat=VCFv4.3\n")
        out.writelines(f"##contig=<ID={c},length={LENGTHS[c]}>\n" for c in contigs)
        out.write('##FILTER=<ID=PASS,Description="All filters passed">\n')
        out.write('##INFO=<ID=END,Number=1,Type=Integer,Description="End position">\n')
        out.write('##INFO=<ID=SVTYPE,Number=1,Type=String,Description="Type of structural variant">\n')
        out.write('##ALT=<ID=DEL,Description="Deletion">\n##ALT=<ID=DUP,Description="Duplication">\n')
        out.write('##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n')
        out.write("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t" + "\t".join(cohort.samples) + "\n")
        for contig in contigs:
            _write_contig(out, contig, cohort, per_contig, rng=rng, clean=clean)
    if plain != path:
        kind = "-Oz" if path.name.endswith(".gz") else "-Ob"
        subprocess.run(["bcftools", "view", "--no-version", kind, "-o", path, plain], check=True, capture_output=True)
        plain.unlink()
    return path


def _write_contig(out: TextIO, contig: str, cohort: Cohort, n: int, *, rng: random.Random, clean: bool) -> None:
    room = LENGTHS[contig] // 2
    step = max(2, min(400, (room - 4000) // (n + 1)))
    position = 3000 if contig == "MT" else room
    for number in range(n):
        position += rng.randint(0 if rng.random() < 0.05 else 1, step)
        ref, alts, info = _alleles(rng, position)
        frequency = rng.choice((0.0, 0.002, 0.01, 0.05, 0.3, 0.6))
        weights = [1 - frequency] + [frequency / len(alts)] * len(alts)
        style = ("|" if rng.random() < 0.5 else "/", 0.0 if clean else rng.choice((0.0, 0.0, 0.01, 0.1)))
        calls = [_call(rng, contig, cohort.sex[s], weights, style) for s in cohort.samples]
        name = f"rs{number + 1}" if rng.random() < 0.5 else "."
        out.write("\t".join((contig, str(position), name, ref, ",".join(alts), ".", "PASS", info, "GT", *calls)) + "\n")


def _alleles(rng: random.Random, position: int) -> tuple[str, list[str], str]:
    """REF, ALTs and INFO: 60 % one base for another, the others longer, several, or symbolic."""
    bases = "ACGT"
    first = rng.choice(bases)
    kind = rng.random()
    if kind < 0.6:
        return first, [rng.choice(bases.replace(first, ""))], "."
    if kind < 0.7:
        return first, [first + _word(rng, rng.randint(1, 30))], "."
    if kind < 0.8:
        return first + _word(rng, rng.randint(1, 30)), [first], "."
    if kind < 0.9:
        ref = first + _word(rng, rng.randint(1, 4))
        alts = {first, ref + _word(rng, 2), rng.choice(bases.replace(first, "")) + ref[1:], first + _word(rng, 6)} - {ref}
        return ref, rng.sample(sorted(alts), rng.randint(2, len(alts))), "."
    if kind < 0.95:
        kind_of = rng.choice(("DEL", "DUP"))
        return first, [f"<{kind_of}>"], f"SVTYPE={kind_of};END={position + rng.randint(50, 3000)}"
    return first, ["*", rng.choice(bases.replace(first, ""))], "."


def _word(rng: random.Random, length: int) -> str:
    return "".join(rng.choices("ACGT", k=length))


def _call(rng: random.Random, contig: str, sex: str, weights: list[float], style: tuple[str, float]) -> str:
    separator, gap = style
    haploid = contig == "MT" or (contig in "XY" and sex == "male")
    if contig == "Y" and sex != "male":
        return "." if sex == "" else "./."
    if rng.random() < gap / 2:
        return "." if haploid else f".{separator}."
    alleles = rng.choices(range(len(weights)), weights, k=1 if haploid else 2)
    if not haploid and rng.random() < gap / 2:
        return f"{alleles[0]}{separator}." if rng.random() < 0.5 else f".{separator}{alleles[0]}"
    return separator.join(map(str, alleles))
