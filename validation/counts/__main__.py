"""Counts every real genotype file three ways and writes `validation/counts/RESULTS.md` and `.json`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from validation import realdata
from validation.counts.compare import Outcome, compare, groups_of, new_node
from validation.naive import samples_of

HERE = Path(__file__).parent


def main() -> int:
    """Exit 0 only if no figure differs."""
    people = realdata.panel()
    outcomes: list[Outcome] = []
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="cohelix-counts-") as folder:
        scratch = Path(folder)
        geuvadis = realdata.qtltools_example() / "genotypes.chr22.vcf.gz"
        sets = [realdata.GenotypeSet("geuvadis", geuvadis, "GRCh37"), *realdata.genotype_sets()]
        sets += _by_country(realdata.indexed(geuvadis, scratch), people, scratch)
        for number, one in enumerate(sets):
            work = scratch / f"work{number}"
            work.mkdir()
            samples = samples_of(one.path)
            table = realdata.write_people(work / "people.tsv", people, samples)
            outcome = compare(
                *(one.name, one.path, people),
                assembly=one.assembly,
                scratch=work,
                node=new_node(work / "node"),
                individuals=table,
                groups=groups_of(people, samples, work),
            )
            outcomes.append(outcome)
            print(f"{one.name}: {outcome.figures:,} figures, {len(outcome.differences)} differ", file=sys.stderr, flush=True)
    _write(outcomes, time.perf_counter() - started)
    return 1 if any(o.differences for o in outcomes) else 0


def _by_country(genotypes: Path, people: dict[str, tuple[str, str]], scratch: Path) -> list[realdata.GenotypeSet]:
    """The four nodes' files of the demo: all sites, one population's people each."""
    samples = samples_of(genotypes)
    sets = []
    for population in sorted({people[s][1] for s in samples}):
        path = scratch / f"geuvadis-{population}.bcf"
        chosen = ",".join(s for s in samples if people[s][1] == population)
        subprocess.run(["bcftools", "view", "-I", "-s", chosen, "-Ob", "-o", path, genotypes], check=True, capture_output=True)
        sets.append(realdata.GenotypeSet(f"geuvadis-{population}", path, "GRCh37"))
    return sets


def _write(outcomes: list[Outcome], seconds: float) -> None:
    lines = [
        "# Counts against plink2 and bcftools",
        "",
        "Made by `python -m validation.counts`. Every row of every group is counted by `cohelix node counts`, by",
        "`bcftools norm -m-any | +fill-tags -S` and by `plink2 --freq counts --geno-counts --missing`; six figures each",
        "(AN, AC, het, hom, hemi, missing). Groups: everybody, each sex, each population, a random tenth of the people.",
        "",
        "| dataset | people | variants | groups | figures compared | differences | load, s |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {o.name} | {o.people:,} | {o.variants:,} | {o.groups} | {o.figures:,} | {len(o.differences)} | {o.load_seconds} |"
        for o in outcomes
    ]
    total, wrong = sum(o.figures for o in outcomes), sum(len(o.differences) for o in outcomes)
    lines += ["", f"Together {total:,} figures, {wrong} differences, in {seconds:.0f} s.", ""]
    lines += [f"* {text}" for o in outcomes for text in o.differences[:20]]
    (HERE / "RESULTS.md").write_text("\n".join(lines).rstrip() + "\n")
    record = [{**asdict(o), "differences": len(o.differences), "examples": o.differences[:20]} for o in outcomes]
    (HERE / "results.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
