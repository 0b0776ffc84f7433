"""People who do not exist, genome-wide with X, Y, read depths and allele depths, and faults that are planted in them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

# Lengths in bases of GRCh37 (NCBI assembly report).
LENGTHS = {
    **{"1": 249250621, "2": 243199373, "3": 198022430, "4": 191154276, "5": 180915260, "6": 171115067, "7": 159138663},
    **{"8": 146364022, "9": 141213431, "10": 135534747, "11": 135006516, "12": 133851895, "13": 115169878, "14": 107349540},
    **{"15": 102531392, "16": 90354753, "17": 81195210, "18": 78077248, "19": 59128983, "20": 63025520, "21": 48129895},
    **{"22": 51304566, "X": 155270560, "Y": 59373566},
}
_X_FIRST, _X_LAST = 3_000_000, 154_000_000  # between the pseudoautosomal regions
_PARTNER = {"A": "G", "G": "A", "C": "T", "T": "C"}
READ_ERROR = 0.001
FST = 0.08  # so far apart that a wrong label shows


@dataclass
class Cohort:
    """A simulated cohort: genotypes as they are, then reads and calls as a laboratory would have them.

    `alleles` (variants, people, 2) int8; men have the same allele twice on X, and on Y; women have none on Y (-1).
    `dp`, `ad` (variants, people) reads, and reads of ALT; `calls` (variants, people) copies of ALT, -1 not called.
    """

    contig: np.ndarray
    position: np.ndarray
    ref: np.ndarray
    alt: np.ndarray
    frequency: np.ndarray  # (populations, variants)
    alleles: np.ndarray
    sex: np.ndarray  # 1 male, 2 female: what they are
    population: np.ndarray  # index
    names: list[str]
    declared_sex: list[str] = field(default_factory=list)
    declared_population: list[str] = field(default_factory=list)
    person: list[str] = field(default_factory=list)
    depth: np.ndarray = field(default_factory=lambda: np.zeros(0))
    foreign: dict[int, tuple[int, float]] = field(default_factory=dict)
    dropout: dict[int, float] = field(default_factory=dict)
    calls: np.ndarray = field(default_factory=lambda: np.zeros(0))
    dp: np.ndarray = field(default_factory=lambda: np.zeros(0))
    ad: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def autosomal(self) -> np.ndarray:
        """(variants,) bool."""
        return (self.contig != "X") & (self.contig != "Y")


POPULATIONS = ("NOR", "SUD")


def simulate(n_people: int, chance: np.random.Generator, *, autosomal: int = 3000, on_x: int = 250, on_y: int = 40) -> Cohort:
    """Unrelated people of two populations, half of them men, in Hardy-Weinberg proportions."""
    places: list[tuple[str, int]] = []
    total = sum(length for name, length in LENGTHS.items() if name.isdigit())
    for name, length in LENGTHS.items():
        n = on_x if name == "X" else on_y if name == "Y" else round(autosomal * length / total)
        low, high = (_X_FIRST, _X_LAST) if name == "X" else (3_000_000, length - 1_000_000)
        places += [(name, int(at)) for at in np.sort(chance.choice(np.arange(low, high, 997), n, replace=False))]
    n_variants = len(places)
    contig, position = np.array([name for name, _ in places]), np.array([at for _, at in places])
    ref = chance.choice(list("ACGT"), n_variants)
    transition = chance.random(n_variants) < 2 / 3  # Ti/Tv of 2
    other = {base: [b for b in "ACGT" if b not in (base, _PARTNER[base])] for base in "ACGT"}
    alt = np.array([_PARTNER[r] if t else other[r][chance.integers(2)] for r, t in zip(ref, transition, strict=True)])
    common = chance.uniform(0.1, 0.9, n_variants)
    spread = (1 - FST) / FST
    frequency = chance.beta(common * spread, (1 - common) * spread, (len(POPULATIONS), n_variants)).clip(0.02, 0.98)
    population, sex = np.arange(n_people) % 2, 1 + (np.arange(n_people) // 2) % 2
    alleles = (chance.random((n_variants, n_people, 2)) < frequency[population].T[:, :, None]).astype(np.int8)
    men = sex == 1
    for name in ("X", "Y"):
        rows = np.flatnonzero(contig == name)
        alleles[np.ix_(rows, np.flatnonzero(men), [1])] = alleles[np.ix_(rows, np.flatnonzero(men), [0])]
    alleles[np.ix_(np.flatnonzero(contig == "Y"), np.flatnonzero(~men))] = -1
    names = [f"S{number:04d}" for number in range(n_people)]
    return Cohort(
        contig, position, ref, alt, frequency, alleles, sex, population, names,
        declared_sex=["male" if code == 1 else "female" for code in sex],
        declared_population=[POPULATIONS[number] for number in population],
        person=list(names),
        depth=np.full(n_people, 30.0),
    )  # fmt: skip


def child_of(cohort: Cohort, child: int, mother: int, father: int, chance: np.random.Generator) -> None:
    """Give a person one allele of each parent on the autosomes."""
    rows = np.flatnonzero(cohort.autosomal)
    for place, parent in enumerate((mother, father)):
        drawn = chance.integers(0, 2, len(rows))
        cohort.alleles[rows, child, place] = cohort.alleles[rows, parent, drawn]


def sequence(cohort: Cohort, chance: np.random.Generator) -> None:
    """Draw reads, foreign ones among them, and call genotypes by the share of ALT reads."""
    n_variants, n_people = cohort.alleles.shape[:2]
    on_sex = np.isin(cohort.contig, ("X", "Y"))[:, None] & (cohort.sex == 1)
    present = (cohort.alleles[:, :, 0] >= 0).astype(np.float64)
    cohort.dp = chance.poisson(cohort.depth * np.where(on_sex, 0.5, 1.0) * present)
    share = cohort.alleles.clip(0).sum(axis=2) / 2
    mixed = share.copy()
    for person, (donor, part) in cohort.foreign.items():
        mixed[:, person] = (1 - part) * share[:, person] + part * share[:, donor]
    expected = mixed * (1 - READ_ERROR) + (1 - mixed) * READ_ERROR
    cohort.ad = chance.binomial(cohort.dp, expected)
    seen = cohort.ad / np.maximum(cohort.dp, 1)
    cohort.calls = np.where(cohort.dp < 4, -1, np.where(seen < 0.15, 0, np.where(seen > 0.85, 2, 1))).astype(np.int8)
    single = on_sex & (cohort.calls == 1)  # a caller that knows of one copy takes the more frequent allele
    cohort.calls = np.where(single, np.where(seen > 0.5, 2, 0), cohort.calls).astype(np.int8)
    for person, part in cohort.dropout.items():
        lost = (cohort.calls[:, person] == 1) & (chance.random(n_variants) < part)
        cohort.calls[lost, person] = chance.choice([0, 2], int(lost.sum()))
    assert cohort.calls.shape == (n_variants, n_people)


def write_vcf(cohort: Cohort, path: Path, *, lengths: bool = True, shift: int = 0) -> Path:
    """GT:DP:AD as VCF.gz; `shift` moves every position, as another build would."""
    with path.with_suffix("").open("w") as out:
        out.write("##fileformat=VCFv4.3\n##source=validation.quality: simulated, no such person exists\n")
        for name, length in LENGTHS.items():
            out.write(f"##contig=<ID={name},length={length}>\n" if lengths else f"##contig=<ID={name}>\n")
        out.write('##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n')
        out.write('##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Reads">\n')
        out.write('##FORMAT=<ID=AD,Number=R,Type=Integer,Description="Reads of each allele">\n')
        out.write("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t" + "\t".join(cohort.names) + "\n")
        words = np.array(["0/0", "0/1", "1/1", "./."])
        for row in range(len(cohort.position)):
            haploid = cohort.contig[row] == "Y"
            gt = words[cohort.calls[row]].tolist()  # -1 is the last
            if haploid:
                gt = [word[0] for word in gt]
            reads = zip(gt, cohort.dp[row].tolist(), cohort.ad[row].tolist(), strict=True)
            cells = [f"{g}:{d}:{d - a},{a}" for g, d, a in reads]
            place = (cohort.contig[row], str(int(cohort.position[row]) + shift), ".", cohort.ref[row], cohort.alt[row])
            out.write("\t".join((*place, ".", "PASS", ".", "GT:DP:AD", *cells)) + "\n")
    subprocess.run(["bgzip", "-f", str(path.with_suffix(""))], check=True)
    return path


def write_people(cohort: Cohort, path: Path) -> Path:
    """The table of people, as it was declared."""
    lines = ["individual_id\tbiosample_id\tsex\tpopulation"]
    columns = zip(cohort.person, cohort.names, cohort.declared_sex, cohort.declared_population, strict=True)
    path.write_text("\n".join([*lines, *("\t".join(row) for row in columns)]) + "\n")
    return path


def write_reference(cohort: Cohort, path: Path) -> Path:
    """True frequencies of both populations together, as a reference would publish them."""
    mean = cohort.frequency.mean(axis=0)
    lines = ["contig\tpos\tref\talt\taf"]
    for row in np.flatnonzero(cohort.autosomal).tolist():
        place = f"{cohort.contig[row]}\t{cohort.position[row]}\t{cohort.ref[row]}\t{cohort.alt[row]}"
        lines.append(f"{place}\t{mean[row]:.5f}")
    path.write_text("\n".join(lines) + "\n")
    return path
