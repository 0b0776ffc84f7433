"""Runs every benchmark (`--small`: at the size of the test run) and writes `benchmarks/results/VERSION-Ncores.md`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
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
    national_node,
    people_filters,
    secure_sum,
)
from benchmarks.measure import Row
from benchmarks.scale import FULL, SMALL, Scale
from cohelix import __version__
from cohelix.genotypes.store import open_store

RESULTS = Path(__file__).parent / "results"


def run(scale: Scale) -> list[Row]:
    """Every row, one after another: nothing runs beside a measurement but its own referee."""
    rows: list[Row] = []

    def note(make: Callable[[], Row | list[Row]]) -> None:
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
        note(lambda: http_lookup.run(scale, loaded.node, keys, text))
        note(lambda: frequency_tables.run(scale, scratch))
        note(lambda: cohort_counts.gene(scale, store, loaded.store_folder, files.pgen))
        note(lambda: lookups.carriers(scale, store, files.pgen))
        note(lambda: load_and_export.export(scale, files, loaded, scratch))
        note(lambda: load_and_export.disk(files, loaded))
        note(lambda: load_and_export.sparse_missing(scale, store))
        note(lambda: load_and_export.load(scale, files, scratch))
        note(lambda: association.linear(scale, files, scratch))
        note(lambda: analysis_workers.run(scale, loaded.node, scratch))
        note(lambda: federated.run(scale, files, scratch))
    note(lambda: cohort_counts.everything(scale))
    note(lambda: lookups.run(scale))
    note(lambda: people_filters.run(scale))
    note(lambda: national_node.run(scale))
    note(lambda: secure_sum.run(scale))
    return rows


def _write(rows: list[Row], scale: Scale, seconds: float) -> Path:
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
        "",
        "| promise | data | house | referee | ratio | target | verdict |",
        "|---|---|---|---|---|---|---|",
        *(row.text() for row in rows),
        "",
        ("Missed: " + "; ".join(missed) + ".") if missed else "No target is missed.",
    ]
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{__version__}-{cores}cores.md"
    path.write_text("\n".join(lines) + "\n")
    path.with_suffix(".json").write_text(json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False) + "\n")
    return path


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="the size of the ordinary test run; writes no results")
    scale = SMALL if parser.parse_args().small else FULL
    start = time.perf_counter()
    rows = run(scale)
    if scale is FULL:
        print(_write(rows, scale, time.perf_counter() - start).read_text())
    else:
        print("\n".join(row.text() for row in rows))


if __name__ == "__main__":
    main()
