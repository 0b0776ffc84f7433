"""Q4: sums of a linear association scan over four members' people, beside `plink2 --glm` on the pooled file."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import data
from benchmarks.measure import Row, duration, interleaved
from benchmarks.scale import Scale
from cohelix.analysis.data import LocalData
from cohelix.analysis.genotypes import StoreGenotypes
from cohelix.analysis.steps import Statistic, block_variants
from cohelix.core.arrays import FloatArray
from cohelix.core.genome import Assembly
from cohelix.genotypes import GenotypePart, load_genotypes
from cohelix.genotypes.store import open_store

MEMBERS, THREADS = 4, 2
COVARIATES = 6
TRAITS = 600


@dataclass(frozen=True)
class Study:
    """One simulated study: the members' data in this process, and plink2's files of the same people, traits, covariates."""

    members: tuple[LocalData, ...]
    n_variants: int
    n_people: int
    pgen: Path
    trait_file: Path
    covariate_file: Path

    @property
    def text(self) -> str:
        """Its size."""
        return f"{self.n_variants:,} variants × {self.n_people:,} people in {len(self.members)} stores"


def make_study(files: data.CohortFiles, folder: Path, *, traits: int = 1, seed: int = 7) -> Study:
    """Share a cohort's people out among members, each with a store of its own that has all variants."""
    stem = files.pgen.with_suffix("")
    people = [line.split("\t")[0] for line in stem.with_suffix(".psam").read_text().splitlines() if not line.startswith("#")]
    rng = np.random.default_rng(seed)
    covariates, values = rng.normal(size=(len(people), COVARIATES)), rng.normal(size=(len(people), traits))
    members, n_variants, start = [], 0, 0
    for number, some in enumerate(np.array_split(np.array(people), MEMBERS)):
        keep, part = folder / f"people{number}.txt", folder / f"member{number}"
        keep.write_text("\n".join(some) + "\n")
        command = ["plink2", "--pfile", stem, "--keep", keep, "--make-pgen", "--threads", str(THREADS), "--out", part]
        subprocess.run(list(map(str, command)), check=True, capture_output=True)
        store_folder = folder / f"store{number}"
        load_genotypes([part.with_suffix(".pgen")], store_folder, assembly=Assembly.GRCH37)
        store = open_store(store_folder)
        place, n_variants = slice(start, start + len(some)), store.info.n_variants
        everybody = np.arange(len(some))
        held = GenotypePart(store, everybody, everybody, np.arange(n_variants), haploid_two=True)
        members.append(LocalData(covariates[place], values[place], StoreGenotypes([held], len(some))))
        start += len(some)
    trait_file, covariate_file = folder / "trait.tsv", folder / "covariates.tsv"
    _write_columns(trait_file, "trait", people, values[:, :1])
    _write_columns(covariate_file, "covariate", people, covariates)
    return Study(tuple(members), n_variants, len(people), files.pgen, trait_file, covariate_file)


def linear(scale: Scale, files: data.CohortFiles, folder: Path) -> list[Row]:
    """All sums of one trait beside the whole of plink2, whose start-up is told apart; and 600 traits beside one."""
    traits = TRAITS if scale.name == "full" else 40
    study = make_study(files, folder, traits=traits)
    assert _counts_agree(study, folder)
    one, many = (_scan(study, [_table(member, width) for member in study.members]) for width in (1, traits))
    few = ["--from-bp", str(data.START), "--to-bp", str(data.START + 3000), "--chr", "22"]
    calls: dict[str, Callable[[], object]] = {
        "house": one,
        "plink2": lambda: plink2_linear(study, folder / "plink2"),
        "plink2, start": lambda: plink2_linear(study, folder / "start", *few),
    }
    times = interleaved(calls, scale.repeats)
    house, referee, start = (times[name].p50 for name in calls)
    wide = interleaved({"one": one, "many": many}, min(3, scale.repeats))
    ratio = wide["many"].p50 / wide["one"].p50
    design = f"{COVARIATES} covariates + intercept"
    return [
        Row(
            f"Q4 linear: all sums of one trait, {THREADS} threads, warm",
            f"{study.text}, {design}",
            f"p50 {duration(house)} (no p-values, nothing sent)",
            f"plink2 --glm, whole process, {THREADS} threads: p50 {duration(referee)}, of which start {duration(start)}",
            f"{house / referee:.2f} × plink2",
            "≤ 0.5 × plink2, so that the federated run stays ≤ 1.5 ×",
            house <= 0.5 * referee,
        ),
        Row(
            f"Q4 linear: {traits} traits beside one, all sums, {THREADS} threads",
            f"{study.text}, {design}",
            f"p50 {duration(wide['many'].p50)}",
            f"one trait p50 {duration(wide['one'].p50)}",
            f"{ratio:.1f} ×",
            f"≤ {TRAITS // 10} ×",
            ratio <= TRAITS // 10,
        ),
    ]


def plink2_linear(study: Study, out: Path, *options: str) -> Path:
    """The pooled file's linear regressions by plink2; where the table is."""
    command = [
        *("plink2", "--pfile", study.pgen.with_suffix(""), "--threads", THREADS, "--pheno", study.trait_file),
        *("--covar", study.covariate_file, "--glm", "hide-covar", "--out", out, *options),
    ]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    return out.with_suffix(".trait0.glm.linear")


def _table(member: LocalData, traits: int) -> FloatArray:
    """(people, intercept + covariates + traits): as wide as a linear scan's."""
    return np.column_stack([np.ones(member.n), member.covariates, member.traits[:, :traits]])


def _scan(study: Study, tables: Sequence[FloatArray]) -> Callable[[], None]:
    """A call that computes every member's blocks, as large as those of a run, on all threads."""
    width = tables[0].shape[1]
    length = block_variants([Statistic("counts", (3,)), Statistic("products", (width,))])
    jobs = [
        (member.genotypes, np.arange(start, min(start + length, study.n_variants)), table)
        for start in range(0, study.n_variants, length)
        for member, table in zip(study.members, tables, strict=True)
    ]

    def scan() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            done = [pool.submit(lambda job: job[0].products(job[1], job[2]).products.shape, job) for job in jobs]
            assert all(one.result()[1] == width for one in done)

    return scan


def _counts_agree(study: Study, folder: Path) -> bool:
    """Whether copies of ALT over all members are plink2's, at every variant."""
    command = ["plink2", "--pfile", study.pgen.with_suffix(""), "--freq", "counts", "cols=altfreq", "--out", folder / "counts"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    table = (folder / "counts.acount").read_text().splitlines()
    column = table[0].split("\t").index("ALT_CTS")
    found = np.zeros(study.n_variants, np.int64)
    for member in study.members:
        sums = member.genotypes.products(np.arange(study.n_variants), np.empty((member.n, 0)))
        found += sums.n1 + 2 * sums.n2
    return found.tolist() == [int(line.split("\t")[column]) for line in table[1:]]


def _write_columns(path: Path, name: str, people: Sequence[str], values: FloatArray) -> None:
    """A plink2 table: people and numbered columns, exact."""
    head = "\t".join(["#IID", *(f"{name}{number}" for number in range(values.shape[1]))])
    rows = ("\t".join([who, *map(repr, row)]) for who, row in zip(people, values.tolist(), strict=True))
    path.write_text("\n".join([head, *rows]) + "\n")
