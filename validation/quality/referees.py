"""QC figures of the house beside plink2, plink 1.9 and bcftools, to the digits that these print."""

from __future__ import annotations

import csv
import json
import math
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cohelix.stats import hwe_p_values
from validation import realdata
from validation.naive import samples_of
from validation.processes import done
from validation.quality import simulate as sim


class Compared(NamedTuple):
    """One kind of figure: how many were compared, how many differ, and the first that does."""

    data: str
    figure: str
    referee: str
    compared: int
    differing: int
    first: str = ""


def compare_figures(data: str, genotypes: Path | None, scratch: Path, *, assembly: str = "GRCh37") -> list[Compared]:
    """Every figure per call set and per variant of a file; without one, of a simulated cohort with X and Y."""
    scratch.mkdir(parents=True)
    people = scratch / "people.tsv"
    if genotypes is None:
        chance = np.random.default_rng(19)
        cohort = sim.simulate(160, chance)
        sim.sequence(cohort, chance)
        gaps = chance.random(cohort.calls.shape) < 0.02
        cohort.calls = np.where(gaps, -1, cohort.calls).astype(np.int8)
        genotypes = sim.write_vcf(cohort, scratch / "simulated.vcf.gz")
        sim.write_people(cohort, people)
        sex = dict(zip(cohort.names, cohort.declared_sex, strict=True))
    else:
        panel = realdata.panel()
        samples = samples_of(genotypes)
        realdata.write_people(people, panel, samples)
        sex = {name: panel[name][0] for name in samples}
    split = scratch / "split.bcf"
    norm = ["bcftools", "norm", "-m-any", "-Ou", str(genotypes)]
    with subprocess.Popen(norm, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as first:
        bare = ["bcftools", "annotate", "-x", "INFO,^FORMAT/GT,FORMAT/DP,FORMAT/AD", "-Ob", "-o", str(split), "-"]
        subprocess.run(bare, stdin=first.stdout, check=True, capture_output=True)
    house = _house(genotypes, people, scratch, assembly)
    found = [*_bcftools(data, split, house), *_plink2(data, split, sex, house, scratch)]
    if house["callSets"]["fX"] and any(value is not None for value in house["callSets"]["fX"]):
        found.append(_plink19(data, split, sex, house, scratch))
    return found


def compare_kinship(genotypes: Path, scratch: Path, *, assembly: str = "GRCh37") -> Compared:
    """Related pairs at KING >= 0.0884 over variants with MAF >= 5 %: the same pairs, counts and kinship as plink2's."""
    scratch.mkdir(parents=True)
    people = realdata.write_people(scratch / "people.tsv", realdata.panel(), samples_of(genotypes))
    house = _house(genotypes, people, scratch, assembly)
    ours = {
        frozenset(p["callSets"]): (p["kinship"], p["ibs0"] / p["markers"], p["hetHet"] / p["markers"]) for p in _pairs(house)
    }
    _run(
        "plink2",
        "--bcf",
        genotypes,
        "--maf",
        "0.05",
        "--make-king-table",
        "--king-table-filter",
        "0.0884",
        "--out",
        scratch / "p",
    )
    theirs = {
        frozenset((row["#IID1"], row["IID2"])): (row["KINSHIP"], row["IBS0"], row["HETHET"])
        for row in _table(scratch / "p.kin0")
    }
    wrong = [str(sorted(pair)) for pair in ours.keys() ^ theirs.keys()]
    for pair in ours.keys() & theirs.keys():
        wrong += [str(sorted(pair)) for a, b in zip(ours[pair], theirs[pair], strict=True) if not _same(a, b)]
    return Compared(
        f"{genotypes.parent.name} {assembly}",
        "pairs, kinship, IBS0, HETHET",
        "plink2",
        4 * len(theirs),
        len(wrong),
        _first(wrong),
    )


def _house(genotypes: Path, people: Path, scratch: Path, assembly: str) -> dict[str, Any]:
    node, report = scratch / "node", scratch / "report.json"
    done("node", "init", node, "--id", "A", "--name", "A", "--country", "FI")
    done(
        *("node", "load", node, "--dataset", "d", "--genotypes", genotypes, "--assembly", assembly, "--individuals", people),
        *("--disclosure", "open", "--report", report),
    )
    quality: dict[str, Any] = json.loads(report.read_text())["quality"]
    done("node", "counts", node, "--dataset", "d", "--out", scratch / "counts.tsv")
    return quality


def _bcftools(data: str, split: Path, house: dict[str, Any]) -> list[Compared]:
    text = subprocess.run(["bcftools", "stats", "-s", "-", split], check=True, capture_output=True, text=True).stdout
    rows = {words[2]: words for words in (line.split("\t") for line in text.splitlines()) if words[0] == "PSC"}
    columns = {"homAlt": 4, "het": 5, "transitions": 6, "transversions": 7, "indels": 8, "singletons": 10}
    found = []
    for name, place in columns.items():
        theirs = [rows[sample][place] for sample in house["callSets"]["names"]]
        found.append(_compare(data, f"{name} (stats -s -)", "bcftools", house["callSets"][name], theirs))
    ours = [house["callSets"]["tiTv"][i] for i in range(len(rows))]
    ts, tv = ([int(rows[sample][place]) for sample in house["callSets"]["names"]] for place in (6, 7))
    found.append(
        _compare(data, "Ti/Tv", "bcftools", ours, [f"{a / b:.6g}" if b else "nan" for a, b in zip(ts, tv, strict=True)])
    )
    depths = house["callSets"]["depths"]
    if depths:
        autosomes = ",".join(map(str, range(1, 23)))
        words = ["bcftools", "stats", "-s", "-", "-t", autosomes, str(split)]
        text = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        mean = {words[2]: words[9] for words in (line.split("\t") for line in text.splitlines()) if words[0] == "PSC"}
        theirs = [mean[sample] for sample in house["callSets"]["names"]]
        found.append(_compare(data, "mean depth of autosomes", "bcftools", depths["mean"], theirs))
    return found


def _plink2(data: str, split: Path, sex: dict[str, str], house: dict[str, Any], scratch: Path) -> list[Compared]:
    update = scratch / "sex.tsv"
    update.write_text("#IID\tSEX\n" + "".join(f"{name}\t{'1' if word == 'male' else '2'}\n" for name, word in sex.items()))
    names, sets = house["callSets"]["names"], house["callSets"]
    out = scratch / "p2"
    common = ("--bcf", split, "--update-sex", update, "--split-par", "hg19", "--out", out)
    ids = ("--set-all-var-ids", "@-#-$r-$a", "--new-id-max-allele-len", "9999")
    _run("plink2", *common, *ids, "--missing", "sample-only", "--het", "--freq", "counts", "--hardy", "--sample-counts")
    missing = {row["#IID"]: row["F_MISS"] for row in _table(out.with_name("p2.smiss"))}
    found = [
        _compare(data, "F_MISS (--missing)", "plink2", [1 - rate for rate in sets["callRate"]], [missing[n] for n in names])
    ]
    if out.with_name("p2.het").exists():
        het = {row["#IID"]: row["F"] for row in _table(out.with_name("p2.het"))}
        found.append(_compare(data, "F (--het)", "plink2", sets["fAutosomes"], [het[n] for n in names]))
    rows = {row["#IID"]: row for row in _table(out.with_name("p2.scount"))}
    # A man's X is haploid to plink2 even where the file writes two alleles: he is compared where there is no X.
    chosen = [i for i, name in enumerate(names) if sex[name] == "female" or not any(sets["xSites"])]
    kinds = (("transitions", "DIPLOID_TRANSITION_CT"), ("transversions", "DIPLOID_TRANSVERSION_CT"))
    # plink2 does not see a single-base change where the split record spells neighbours too; bcftools does, as we do.
    for ours, theirs in () if _spelled_out(split) else kinds:
        printed = [rows[names[i]][theirs] for i in chosen]
        found.append(_compare(data, f"{theirs} (--sample-counts)", "plink2", [sets[ours][i] for i in chosen], printed))
    counts = [row for row in _table(scratch / "counts.tsv", "contig") if row["contig"].isdigit()]
    hardy = {row["ID"]: row for row in _table(out.with_name("p2.hardy"))}
    shared = [row for row in counts if f"{row['contig']}-{row['pos']}-{row['ref']}-{row['alt']}" in hardy]
    het_n, hom_n = (np.array([int(row[name]) for row in shared], np.int64) for name in ("het", "hom"))
    called = np.array([int(row["an"]) // 2 for row in shared], np.int64)
    p_values = hwe_p_values(het_n, called - het_n - hom_n, hom_n).tolist()
    theirs = [hardy[f"{row['contig']}-{row['pos']}-{row['ref']}-{row['alt']}"]["P"] for row in shared]
    found.append(_compare(data, "P (--hardy)", "plink2", p_values, theirs))
    freq = {row["ID"]: row for row in _table(out.with_name("p2.acount"))}
    names_of = [f"{row['contig']}-{row['pos']}-{row['ref']}-{row['alt']}" for row in shared]
    found.append(
        _compare(data, "ALT_CTS (--freq)", "plink2", [int(r["ac"]) for r in shared], [freq[n]["ALT_CTS"] for n in names_of])
    )
    return found


def _plink19(data: str, split: Path, sex: dict[str, str], house: dict[str, Any], scratch: Path) -> Compared:
    update = scratch / "sex19.txt"
    update.write_text("".join(f"{name} {name} {'1' if word == 'male' else '2'}\n" for name, word in sex.items()))
    out = scratch / "p19"
    _run("plink1.9", "--bcf", split, "--double-id", "--allow-extra-chr", "--update-sex", update, "--split-x", "b37", "no-fail",
         "--make-bed", "--out", out)  # fmt: skip
    _run("plink1.9", "--bfile", out, "--check-sex", "--out", out)
    f = {row["IID"]: row["F"] for row in (dict(zip(*pair, strict=True)) for pair in _blanks(out.with_name("p19.sexcheck")))}
    sets = house["callSets"]
    return _compare(data, "F (--check-sex)", "plink 1.9", sets["fX"], [f[name] for name in sets["names"]])


def _spelled_out(split: Path) -> bool:
    text = subprocess.run(["bcftools", "query", "-f", "%REF\t%ALT\n", split], check=True, capture_output=True, text=True).stdout
    return any(len(ref) == len(alt) > 1 for ref, alt in (line.split("\t") for line in text.splitlines()))


def _blanks(path: Path) -> list[tuple[list[str], list[str]]]:
    head, *lines = (line.split() for line in path.read_text().splitlines())
    return [(head, line) for line in lines]


def _compare(data: str, figure: str, referee: str, ours: Sequence[float | None], theirs: Sequence[str]) -> Compared:
    wrong = [f"{i}: {a} {b}" for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if not _same(a, b)]
    return Compared(data, figure, referee, len(theirs), len(wrong), _first(wrong))


def _same(ours: float | None, printed: str) -> bool:
    """Whether ours is what was printed, to the digits of the print; ours is kept to six places itself."""
    try:
        theirs = float(printed)
    except ValueError:
        return ours is None
    if ours is None or math.isnan(ours) or math.isnan(theirs):
        return (ours is None or math.isnan(ours)) and math.isnan(theirs)
    mantissa = printed.lower().split("e")[0]
    places = len(mantissa.split(".")[1]) if "." in mantissa else 0
    scale = 10.0 ** int(printed.lower().split("e")[1]) if "e" in printed.lower() else 1.0
    return abs(ours - theirs) <= max(
        0.51 * 10.0**-places * scale, 1.01e-6 if places >= 4 and scale == 1 else 0, 2e-6 * abs(theirs)
    )


def _pairs(house: dict[str, Any]) -> list[dict[str, Any]]:
    pairs: list[dict[str, Any]] = house["relatives"]["pairs"]
    return pairs


def _table(path: Path, first: str = "") -> list[dict[str, str]]:
    del first
    with path.open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _first(wrong: list[str]) -> str:
    return wrong[0] if wrong else ""


def _run(*words: object) -> None:
    ended = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{words[0]} ended with {ended.returncode}: {ended.stdout[-500:]} {ended.stderr[-1500:]}")
