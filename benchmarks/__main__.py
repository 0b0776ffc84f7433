"""Runs every benchmark (`--small`: at the size of the test run) and writes `benchmarks/results/VERSION-Ncores.md`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks import (
    analysis_workers,
    association,
    cohort_counts,
    data,
    federated,
    frequency_tables,
    http_lookup,
    load_and_export,
    lookups,
    manhattan,
    national_node,
    people_filters,
    secure_sum,
)
from benchmarks.measure import Row
from benchmarks.scale import FULL, SMALL, Scale
from cohelix import __version__
from cohelix.genotypes.store import open_store

RESULTS = Path(__file__).parent / "results"


def run(scale: Scale, only: Collection[str] = ()) -> list[Row]:
    """Every row, one after another: nothing runs beside a measurement but its own referee; or those of some subjects alone."""
    rows: list[Row] = []

    def note(make: Callable[[], Row | list[Row]], subject: str) -> None:
        if only and subject not in only:
            return
        found = make()
        for measured in found if isinstance(found, list) else [found]:
            # A promise is about the full scale.
            row = measured if scale is FULL else replace(measured, met=None)
            print(row.text(), file=sys.stderr, flush=True)
            rows.append(row)

    files = data.simulated(scale)
    with tempfile.TemporaryDirectory(prefix="cohelix-bench-") as folder:
        scratch = Path(folder)
        loaded = load_and_export.load_node(files, scratch)
        store = open_store(loaded.store_folder)
        keys = [tuple(store.key(row)) for row in range(0, store.info.n_variants, max(1, store.info.n_variants // 5000))]
        text = f"{files.n_variants:,} variants × {files.n_people:,} people"
        note(lambda: http_lookup.run(scale, loaded.node, keys, text), "http_lookup")
        note(lambda: frequency_tables.run(scale, scratch), "frequency_tables")
        note(lambda: cohort_counts.gene(scale, store, loaded.store_folder, files.pgen), "cohort_counts")
        note(lambda: lookups.carriers(scale, store, files.pgen), "lookups")
        note(lambda: load_and_export.export(scale, files, loaded, scratch), "load_and_export")
        note(lambda: load_and_export.disk(files, loaded), "load_and_export")
        note(lambda: load_and_export.sparse_missing(scale, store), "load_and_export")
        note(lambda: load_and_export.load(scale, files, scratch), "load_and_export")
        note(lambda: association.linear(scale, files, scratch), "association")
        note(lambda: analysis_workers.run(scale, loaded.node, scratch), "analysis_workers")
        note(lambda: federated.run(scale, files, scratch), "federated")
    note(lambda: cohort_counts.everything(scale), "cohort_counts")
    note(lambda: lookups.run(scale), "lookups")
    note(lambda: people_filters.run(scale), "people_filters")
    note(lambda: national_node.run(scale), "national_node")
    note(lambda: secure_sum.run(scale), "secure_sum")
    note(lambda: manhattan.run(scale), "manhattan")
    return rows


def _kept(rows: list[Row]) -> list[Row]:
    """These rows in place of the older ones of the same promise, among the rows of the last whole run."""
    known = json.loads(_path().with_suffix(".json").read_text())
    new = {row.promise: row for row in rows}
    older = [new.pop(row["promise"], None) or Row(**row) for row in known]
    return [*older, *new.values()]


def _path() -> Path:
    return RESULTS / f"{__version__}-{os.cpu_count()}cores.md"


def _write(rows: list[Row], scale: Scale, seconds: float, only: Collection[str]) -> Path:
    cores = os.cpu_count()
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "?"
    )
    tools = []
    for name in ("plink2", "bcftools"):
        said = subprocess.run([name, "--version"], capture_output=True, text=True, check=False).stdout.splitlines()
        tools.append(said[0] if said else name)
    missed = [row.promise for row in rows if row.met is False]
    lines = [
        f"# Benchmarks of cohelix {__version__}, {cores} cores",
        "",
        f"Made by `make bench` (scale: {scale.name}) in {seconds:.0f} s, on {cores} cores of {model}, Python "
        f"{platform.python_version()}. Referees in the same run, taking turns: {'; '.join(tools)}. Targets: storage figures of",
        "the project's reference. Load average at the end: " + ", ".join(f"{x:.1f}" for x in os.getloadavg()) + ".",
        *([f"Measured in this run: {', '.join(sorted(only))}; the other rows stand from the last whole run."] if only else []),
        "",
        "| promise | data | house | referee | ratio | target | verdict |",
        "|---|---|---|---|---|---|---|",
        *(row.text() for row in rows),
        "",
        ("Missed: " + "; ".join(missed) + ".") if missed else "No target is missed.",
    ]
    RESULTS.mkdir(exist_ok=True)
    path = _path()
    path.write_text("\n".join(lines) + "\n")
    path.with_suffix(".json").write_text(json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False) + "\n")
    return path


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="the size of the ordinary test run; writes no results")
    parser.add_argument("--only", default="", help="names of modules here, with commas: the other rows stay as they were")
    options = parser.parse_args()
    scale, only = SMALL if options.small else FULL, frozenset(filter(None, options.only.split(",")))
    missing = [name for name in ("plink2", "bcftools", "wrk") if scale is FULL and shutil.which(name) is None]
    if missing:
        parser.error(f"{', '.join(missing)} must be there: apt-get install {' '.join(missing)}")
    start = time.perf_counter()
    rows = run(scale, only)
    if scale is FULL:
        print(_write(_kept(rows) if only else rows, scale, time.perf_counter() - start, only).read_text())
    else:
        print("\n".join(row.text() for row in rows))


if __name__ == "__main__":
    main()
