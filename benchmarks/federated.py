"""Whole federated runs over HTTP: a hub and four nodes as processes, beside plink2 on the pooled file.

A run is timed by the hub's own events: from the proposal until its table is whole (`combined`), and until its files are written
(`held`). Servers are started and have computed once before; their start is told apart.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pgenlib

from benchmarks import data
from benchmarks.association import COVARIATES, MEMBERS, THREADS
from benchmarks.measure import Row, duration, size
from benchmarks.scale import FULL, Scale
from cohelix import hub, node
from cohelix.bank.load import LoadRequest, load
from cohelix.core.genome import Assembly, region_1based
from cohelix.core.ids import DatasetId
from cohelix.sdk import connect
from cohelix.testing.analyses import AnalysisFederation, introduce, join_hub
from cohelix.testing.cohorts import simulate_cohort
from cohelix.testing.processes import Processes, free_port

NAMES = tuple(f"N{number}" for number in range(1, MEMBERS + 1))
TRAIT, CASE = "trait0", "case0"
PEAK_MAX = 1 << 30
FIRTH_BASES = 150_000  # plink2's firth-fallback takes minutes for the whole file
_TILED_VARIANTS = 256  # copied at a time


class Pooled(NamedTuple):
    """Everybody's genotypes in one file: what plink2 reads, and what the nodes' files are cut from."""

    pgen: Path
    n_people: int
    n_variants: int


def run(scale: Scale, files: data.CohortFiles, folder: Path) -> list[Row]:
    """All lines."""
    pooled = Pooled(files.pgen, files.n_people, files.n_variants)
    return [*_runs(scale, pooled, folder), *_national(scale, pooled, folder)]


def _national(scale: Scale, files: Pooled, folder: Path) -> list[Row]:
    """The same genotypes for a nation's people, each several times, with traits and covariates of their own."""
    place = folder / "federated-national"
    place.mkdir()
    tiled = _tiled(files, scale.federated_times, place / "pooled")
    start = time.perf_counter()
    with _federation(place, tiled) as made:
        started = time.perf_counter() - start
        _timed(made, _linear())
        linear, referee = [], []
        for number in range(3 if scale is FULL else 1):
            linear.append(_timed(made, _linear())["combined"])
            referee.append(_plink2(tiled, place, f"linear{number}", "--pheno-name", TRAIT))
        peak = max(_peak_bytes(server.process.pid) for name, server in made.servers.items() if name != "hub")
    table, theirs = float(np.median(linear)), float(np.median(referee))
    text = f"{tiled.n_variants:,} variants × {tiled.n_people:,} people (tiled) at {MEMBERS} nodes, {COVARIATES} covariates"
    return [
        Row(
            "Federated linear, secure sum: a nation's people",
            text,
            f"p50 {duration(table)} (data and servers made in {duration(started)})",
            f"plink2 --glm, {THREADS} threads, pooled file: p50 {duration(theirs)}",
            f"{table / theirs:.2f} × plink2",
            "≤ 1.5 × plink2 (goal 1.0 ×)",
            table <= 1.5 * theirs,
        ),
        Row(
            "A node's peak memory over runs of a nation's people",
            text,
            size(peak),
            "–",
            "–",
            f"≤ {size(PEAK_MAX)}",
            peak <= PEAK_MAX,
        ),
    ]


def _tiled(files: Pooled, times: int, stem: Path) -> Pooled:
    """Everybody `times` times, one after the other; the variants are the same."""
    reader = pgenlib.PgenReader(str(files.pgen).encode())
    writer = pgenlib.PgenWriter(
        str(stem.with_suffix(".pgen")).encode(), files.n_people * times, variant_ct=files.n_variants, nonref_flags=False
    )
    rows = np.empty((_TILED_VARIANTS, files.n_people), np.int8)
    for start in range(0, files.n_variants, _TILED_VARIANTS):
        some = rows[: min(_TILED_VARIANTS, files.n_variants - start)]
        reader.read_range(start, start + len(some), some)
        writer.append_biallelic_batch(np.ascontiguousarray(np.tile(some, (1, times))))
    writer.close()
    reader.close()
    shutil.copyfile(files.pgen.with_suffix(".pvar"), stem.with_suffix(".pvar"))
    people = "".join(f"S{number:07d}\tNA\n" for number in range(files.n_people * times))
    stem.with_suffix(".psam").write_text(f"#IID\tSEX\n{people}", encoding="ascii")
    return Pooled(stem.with_suffix(".pgen"), files.n_people * times, files.n_variants)


def _runs(scale: Scale, files: Pooled, folder: Path) -> list[Row]:
    place = folder / "federated"
    place.mkdir()
    start = time.perf_counter()
    with _federation(place, files) as made:
        started = time.perf_counter() - start
        repeats = 3 if scale is FULL else 1
        text = f"{files.n_variants:,} variants × {files.n_people:,} people at {MEMBERS} nodes, {COVARIATES} covariates"
        _timed(made, _linear())  # so that every process has its code and its pages
        linear = [_timed(made, _linear()) for _ in range(repeats)]
        plain = [_timed(made, _linear(options={"summing": "plain"})) for _ in range(repeats)]
        referee = [_plink2(files, place, f"linear{number}", "--pheno-name", TRAIT) for number in range(repeats)]
        empty = _plink2(
            files,
            place,
            "start",
            "--pheno-name",
            TRAIT,
            "--from-bp",
            str(data.START),
            "--to-bp",
            str(data.START + 3000),
            "--chr",
            "22",
        )
        peak = max(_peak_bytes(server.process.pid) for name, server in made.servers.items() if name != "hub")
        region = f"22:{data.START}-{data.START + (FIRTH_BASES if scale is FULL else 3000)}"
        low, high = region.partition(":")[2].split("-")
        binary = _timed(made, _logistic(region))
        firth = _plink2(files, place, "firth", "--pheno-name", CASE, "--1", "--chr", "22", "--from-bp", low, "--to-bp", high)
    table, whole = (float(np.median([one[kind] for one in linear])) for kind in ("combined", "held"))
    in_clear, theirs = float(np.median([one["combined"] for one in plain])), float(np.median(referee))
    return [
        Row(
            "Federated linear, secure sum: a whole run over HTTP until its table is whole",
            text,
            f"p50 {duration(table)} ({duration(whole)} with all files; data and servers made in {duration(started)})",
            f"plink2 --glm, {THREADS} threads, pooled file: p50 {duration(theirs)}, of which start {duration(empty)}",
            f"{table / theirs:.2f} × plink2",
            "≤ 1.5 × plink2",
            table <= 1.5 * theirs,
        ),
        Row(
            "Secure sum beside the plain one: whole runs",
            text,
            f"p50 {duration(table)}",
            f"plain sums p50 {duration(in_clear)}",
            f"{table / in_clear:.2f} ×",
            "≤ 2 ×",
            table <= 2 * in_clear,
        ),
        Row(
            "A node's peak memory over these runs",
            text,
            size(peak),
            "–",
            "–",
            f"≤ {size(PEAK_MAX)}",
            peak <= PEAK_MAX,
        ),
        Row(
            "Federated case/control: score test, saddlepoint and Firth where called for",
            f"{region} of the same",
            f"{duration(binary['combined'])} until the table is whole",
            f"plink2 firth-fallback, {THREADS} threads: {duration(firth)}",
            f"{binary['combined'] / firth:.2f} × plink2",
            "≤ 0.2 × plink2",
            binary["combined"] <= 0.2 * firth,
        ),
    ]


def _linear(**more: Any) -> dict[str, Any]:
    return {
        "project": "bench",
        "assembly": "GRCh37",
        "datasets": [f"{name}:bench" for name in NAMES],
        "trait": {"measurement": TRAIT},
        "covariates": [{"measurement": f"covariate{number}"} for number in range(COVARIATES)],
        "method": "linear",
        **more,
    }


def _logistic(region: str) -> dict[str, Any]:
    plan = _linear(method="logistic", variants={"region": region})
    del plan["trait"]
    return {**plan, "case": {"measurement": CASE, "=": 1}, "control": {"measurement": CASE, "=": 0}}


def _timed(made: AnalysisFederation, plan: dict[str, Any]) -> dict[str, float]:
    """Seconds from the proposal to the states `combined` and `held`."""
    with connect(made.url) as client:
        run = client.analyses.propose(plan).id
        seen: dict[str, datetime] = {}

        def note(event: Any) -> None:
            if event.event == "state":
                seen[event.document["state"]] = datetime.fromisoformat(event.document["at"])

        found = client.analyses.wait(run, say=note)
        assert found.state == "held", found.reason
    return {state: (seen[state] - seen["proposed"]).total_seconds() for state in ("combined", "held")}


def _plink2(files: Pooled, place: Path, out: str, *options: str) -> float:
    command = [
        *("plink2", "--pfile", files.pgen.with_suffix(""), "--threads", THREADS, "--pheno", place / "pheno.tsv"),
        *("--covar", place / "covariates.tsv", "--glm", "hide-covar", "--out", place / out, *options),
    ]
    start = time.perf_counter()
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    return time.perf_counter() - start


@contextmanager
def _federation(place: Path, files: Pooled) -> Iterator[AnalysisFederation]:
    stem = files.pgen.with_suffix("")
    people = [line.split("\t")[0] for line in stem.with_suffix(".psam").read_text().splitlines() if not line.startswith("#")]
    rng = np.random.default_rng(7)
    covariates, trait = rng.normal(size=(len(people), COVARIATES)), rng.normal(size=len(people))
    case = (rng.random(len(people)) < 0.1).astype(int)
    names = [f"covariate{number}" for number in range(COVARIATES)]
    (place / "pheno.tsv").write_text(
        f"#IID\t{TRAIT}\t{CASE}\n"
        + "".join(f"{who}\t{y!r}\t{c}\n" for who, y, c in zip(people, trait.tolist(), case.tolist(), strict=True))
    )
    rows = zip(people, covariates.tolist(), strict=True)
    (place / "covariates.tsv").write_text(
        "\t".join(["#IID", *names]) + "\n" + "".join("\t".join([who, *map(repr, row)]) + "\n" for who, row in rows)
    )
    ports = {name: free_port() for name in ("hub", *NAMES)}
    # The people are those of the files; the federation of tests wants a simulated cohort of its own.
    nobody = simulate_cohort({"nobody": 1}, 1, seed=1, region=region_1based("22", 1, 1000), assembly=Assembly.GRCH37)
    made = AnalysisFederation(place, Processes(place / "logs", fresh=True), nobody, covariates, {}, ports)
    hub.make_hub(place / "hub", url=made.url, name="Benchmark")
    for number, some in enumerate(np.array_split(np.arange(len(people)), MEMBERS)):
        name = NAMES[number]
        made.members[name] = len(some)
        node.init_node(place / name, node=name, name=name, country="FI")
        with (place / name / "node.toml").open("a", encoding="utf-8") as file:
            file.write("aggregator = true\n\n[analysis]\nplain_sums = true\n")
        header = "\t".join(["individual_id", f"{TRAIT} [1]", f"{CASE} [1]", *(f"{name} [1]" for name in names)])
        lines = [
            "\t".join([people[i], repr(float(trait[i])), str(case[i]), *map(repr, covariates[i].tolist())])
            for i in some.tolist()
        ]
        (place / f"{name}.tsv").write_text("\n".join([header, *lines]) + "\n")
        (place / f"{name}.txt").write_text("\n".join(people[i] for i in some.tolist()) + "\n")
        command = [
            "plink2",
            "--pfile",
            stem,
            "--keep",
            place / f"{name}.txt",
            "--make-pgen",
            "--threads",
            THREADS,
            "--out",
            place / name,
        ]
        subprocess.run(list(map(str, command)), check=True, capture_output=True)
        request = LoadRequest(
            dataset=DatasetId("bench"),
            genotypes=((place / name).with_suffix(".pgen"),),
            assembly=Assembly.GRCH37,
            individuals=place / f"{name}.tsv",
            disclosure="open",
            simulated=True,
            quality="off",
        )
        load(place / name, request)
    introduce(made)
    with made.processes:
        for name in ports:
            made.serve(name)
        for name in NAMES:
            join_hub(made, name)
        yield made


def _peak_bytes(process: int) -> int:
    """The largest resident memory so far of a process and those that it started, the mapped files' pages included."""
    children = [
        int(name) for task in Path(f"/proc/{process}/task").iterdir() for name in (task / "children").read_text().split()
    ]
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    own = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    return max([own, *map(_peak_bytes, children)])
