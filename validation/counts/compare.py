"""Loads a genotype file, counts it with the house, plink2 and bcftools, and lists every figure that differs."""

from __future__ import annotations

import csv
import random
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from validation.naive import samples_of, trimmed
from validation.processes import done
from validation.realdata import indexed

Key = tuple[str, int, str, str]
Six = tuple[int, ...]  # an, ac, het, hom, hemi, missing
Table = dict[Key, list[Six]]
FIGURES = ("an", "ac", "het", "hom", "hemi", "missing")


@dataclass
class Outcome:
    """What was compared, and what was found."""

    name: str
    people: int
    variants: int = 0
    groups: int = 0
    figures: int = 0
    differences: list[str] = field(default_factory=list)
    load_seconds: float = 0.0


@dataclass(frozen=True)
class Group:
    """People who are counted together, and how the house is asked for them."""

    name: str
    samples: tuple[str, ...]
    words: tuple[str, ...]


def groups_of(people: Mapping[str, tuple[str, str]], samples: list[str], scratch: Path, seed: int = 1) -> list[Group]:
    """Everybody, each sex, each population, and a random tenth given as a list of individuals."""
    found = [Group("all", tuple(samples), ())]
    for place, option in ((0, "--sex"), (1, "--population")):
        members = defaultdict(list)
        for sample in samples:
            members[people[sample][place]].append(sample)
        found += [Group(name, tuple(of), (option, name)) for name, of in sorted(members.items())]
    chosen = sorted(random.Random(seed).sample(samples, max(1, len(samples) // 10)))
    listed = scratch / "tenth.txt"
    listed.write_text("\n".join(chosen) + "\n")
    return [*found, Group("tenth", tuple(chosen), ("--individuals", str(listed)))]


def compare(
    name: str,
    genotypes: Path,
    people: Mapping[str, tuple[str, str]],
    *,
    assembly: str,
    scratch: Path,
    node: Path,
    individuals: Path,
    groups: list[Group] | None = None,
) -> Outcome:
    """Load `genotypes` as dataset `name` of `node`, and compare every figure of every group with both referees."""
    samples = samples_of(genotypes)
    outcome = Outcome(name, len(samples))
    loaded = done(
        *("node", "load", node, "--dataset", name, "--genotypes", genotypes, "--assembly", assembly),
        *("--individuals", individuals, "--disclosure", "open"),
    )
    outcome.load_seconds = round(loaded.seconds, 2)
    asked = groups if groups is not None else groups_of(people, samples, scratch)
    biallelic = scratch / "split.bcf"
    _split(genotypes, biallelic)
    keys = list(_keys(biallelic))
    by_bcftools = _bcftools(biallelic, asked, scratch)
    for group in asked:
        house = read_counts(_house(node, name, group, scratch))
        for referee, figures in (("bcftools", by_bcftools[group.name]), ("plink2", _plink2(biallelic, group, scratch))):
            outcome.figures += _differ(outcome.differences, f"{name} {group.name} {referee}", keys, figures, house)
        outcome.groups += 1
    outcome.variants = len(keys)
    return outcome


def _split(genotypes: Path, target: Path) -> None:
    """One ALT a record, and nothing but the genotypes (this plink2 stumbles over some INFO strings of BCF)."""
    source = indexed(genotypes, target.parent) if genotypes.name.endswith(".gz") else genotypes
    norm = ["bcftools", "norm", "-m-any", "-Ou", str(source)]
    bare = ["bcftools", "annotate", "-x", "INFO,^FORMAT/GT", "-Ob", "-o", str(target), "-"]
    with subprocess.Popen(norm, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as first:
        subprocess.run(bare, stdin=first.stdout, check=True, capture_output=True)
    if first.returncode:
        raise RuntimeError(f"bcftools norm failed on {genotypes}")


def _house(node: Path, dataset: str, group: Group, scratch: Path) -> Path:
    out = scratch / "house.tsv"
    done("node", "counts", node, "--dataset", dataset, *group.words, "--out", out)
    return out


def read_counts(path: Path) -> Table:
    """The TSV of `cohelix node counts`: rows of one key in file order."""
    table: Table = defaultdict(list)
    with path.open() as file:
        header = file.readline().rstrip("\n")
        if header != "contig\tpos\tref\talt\tan\tac\thet\thom\themi\tmissing":
            raise RuntimeError(f"unexpected header {header!r}")
        last: tuple[str, int] = ("", 0)
        closed: set[str] = set()
        for line in file:
            contig, pos, ref, alt, *figures = line.rstrip("\n").split("\t")
            here = (contig, int(pos))
            if contig != last[0]:
                closed.add(last[0])
            if contig in closed or (contig == last[0] and here < last):
                raise RuntimeError(f"rows are out of order at {contig}:{pos}")
            last = here
            table[contig, int(pos), ref, alt].append(tuple(map(int, figures)))
    return table


def _keys(biallelic: Path) -> Iterator[Key]:
    """House names of the split file's rows, in its order."""
    text = subprocess.run(
        ["bcftools", "query", "-f", "%CHROM\t%POS\t%REF\t%ALT\n", biallelic], check=True, capture_output=True, text=True
    ).stdout
    for line in text.splitlines():
        contig, pos, ref, alt = line.split("\t")
        start, ref, alt = trimmed(int(pos) - 1, ref, alt)
        yield contig.removeprefix("chr"), start + 1, ref, alt


def _bcftools(biallelic: Path, groups: list[Group], scratch: Path) -> dict[str, list[Six]]:
    """Every group's six figures of every row, by `bcftools +fill-tags -S` and `bcftools query`."""
    member_of = defaultdict(list)
    for group in groups:
        for sample in group.samples:
            member_of[sample].append(group.name)
    table = scratch / "groups.txt"
    table.write_text("".join(f"{sample}\t{','.join(names)}\n" for sample, names in member_of.items()))
    tags = "AN,AC,AC_Het,AC_Hom,AC_Hemi,NS"
    filled = scratch / "filled.bcf"
    subprocess.run(
        ["bcftools", "+fill-tags", biallelic, "-Ob", "-o", filled, "--", "-S", table, "-t", tags],
        check=True,
        capture_output=True,
    )
    found = {}
    for group in groups:
        columns = "\t".join(f"%INFO/{tag}_{group.name}" for tag in tags.split(","))
        text = subprocess.run(
            ["bcftools", "query", "-f", columns + "\n", filled], check=True, capture_output=True, text=True
        ).stdout
        rows = ([0 if x == "." else int(x) for x in line.split("\t")] for line in text.splitlines())
        # AC_Het counts one allele a person; AC_Hom counts both; NS is the people with a call.
        found[group.name] = [(an, ac, het, hom // 2, hemi, len(group.samples) - ns) for an, ac, het, hom, hemi, ns in rows]
    return found


def _plink2(biallelic: Path, group: Group, scratch: Path) -> list[Six]:
    """One group's six figures of every row, by plink2 (autosomes: nobody is haploid)."""
    base = scratch / "plink"
    if not base.with_suffix(".pgen").exists() or (scratch / "plink.of").read_text() != str(biallelic.stat().st_mtime_ns):
        _run_plink2("--bcf", biallelic, "--make-pgen", "--out", base, "--max-alleles", "2", "--output-chr", "MT")
        (scratch / "plink.of").write_text(str(biallelic.stat().st_mtime_ns))
    keep = scratch / "keep.txt"
    keep.write_text("#IID\n" + "\n".join(group.samples) + "\n")
    out = scratch / "plink.counted"
    _run_plink2(
        *("--pfile", base, "--keep", keep, "--freq", "counts", "--geno-counts", "--missing", "variant-only", "--out", out)
    )
    frequency = _columns(out.with_name(out.name + ".acount"))
    genotypes = _columns(out.with_name(out.name + ".gcount"))
    missing = _columns(out.with_name(out.name + ".vmiss"))
    rows = []
    for f, g, m in zip(frequency, genotypes, missing, strict=True):
        if int(g["MISSING_CT"]) != int(m["MISSING_CT"]):
            raise RuntimeError("plink2 disagrees with itself")
        het, hom, hemi = int(g["HET_REF_ALT_CTS"]), int(g["TWO_ALT_GENO_CTS"]), int(g["HAP_ALT_CTS"])
        rows.append((int(f["OBS_CT"]), int(f["ALT_CTS"]), het, hom, hemi, int(m["MISSING_CT"])))
    return rows


def _run_plink2(*words: str | Path) -> None:
    ended = subprocess.run(["plink2", "--threads", "2", *map(str, words)], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"plink2 {' '.join(map(str, words))}: {ended.stdout[-500:]}{ended.stderr[-500:]}")


def _columns(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader((line.lstrip("#") for line in file), delimiter="\t"))


def _differ(differences: list[str], what: str, keys: list[Key], referee: list[Six], house: Table) -> int:
    if len(keys) != len(referee):
        raise RuntimeError(f"{what}: the referee has {len(referee)} rows of {len(keys)}")
    expected: Table = defaultdict(list)
    for key, six in zip(keys, referee, strict=True):
        expected[key].append(six)
    for key in expected.keys() | house.keys():
        if expected.get(key) != house.get(key):
            differences.append(f"{what} {key}: referee {expected.get(key)}, house {house.get(key)}")
    return len(keys) * len(FIGURES)


def referees_missing() -> list[str]:
    """Names of the programs that this proof needs and the machine does not have."""
    return [name for name in ("bcftools", "plink2") if not shutil.which(name)]


def new_node(folder: Path) -> Path:
    """A node's folder, made by `cohelix node init`."""
    done("node", "init", folder, "--id", "PROOF", "--name", "Proof", "--country", "FI")
    return folder


__all__ = ["Group", "Outcome", "compare", "groups_of", "new_node", "read_counts", "referees_missing"]
