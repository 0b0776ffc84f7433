"""A node of a national bank's size: how fast it opens, what memory it keeps, how many exact questions it answers.

The genotypes are random with the frequency spectrum of 100,000 simulated people (`data.spectrum_store`); the questions go
over HTTP, half for alleles that are absent, from wrk on the same cores. `no answer twice` asks more different questions
than are kept, `everybody's` 500 of them again and again.
"""

from __future__ import annotations

import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

import numpy as np

from benchmarks import data
from benchmarks.http_lookup import Targets, open_loop
from benchmarks.measure import Row, Times, duration, size
from benchmarks.scale import Scale
from cohelix.bank.making import Declaration, complete_version
from cohelix.bank.manifest import GENOTYPES
from cohelix.bank.people import link
from cohelix.bank.publish import staging
from cohelix.core.clock import SystemClock
from cohelix.core.genome import Assembly
from cohelix.core.ids import DatasetId
from cohelix.genotypes.store import open_store
from cohelix.node import init_node
from cohelix.phenotypes.model import People
from validation.processes import Served, resident

_KEPT_QUESTIONS = 500
_TURNS = 5
_ANCESTRIES = ("FIN", "GBR", "TSI")
# Opens the node as a server does, asks, and tells seconds and resident bytes (all, and without pages of files).
_OPENER = """
import sys, time
from pathlib import Path
from cohelix.bank import Bank
from cohelix.core.ids import NodeId
start = time.perf_counter()
bank = Bank.open(Path(sys.argv[1]), NodeId("FI"))
assert not bank.damaged()
print(time.perf_counter() - start)
"""


def run(scale: Scale) -> list[Row]:
    """One large dataset, then as many datasets as a large bank has."""
    with TemporaryDirectory(prefix="cohelix-bench-") as folder:
        large, many = Path(folder) / "large", Path(folder) / "many"
        _node(large)
        publish(large, "biobank", people=scale.national_people, variants=scale.national_variants, seed=1)
        _node(many)
        people, variants = max(200, scale.national_people // 50), max(1_000, scale.national_variants // 20)
        for number in range(scale.national_datasets):
            publish(many, f"d{number:02d}", people=people, variants=variants, seed=number)
        text = f"{scale.national_variants:,} variants × {scale.national_people:,} people"
        small = f"{scale.national_datasets} datasets of {variants:,} variants × {people:,} people"
        # The small run asks the many datasets alone: it has the same questions, and starts one server instead of three.
        asked = _asked(scale, large, text) if scale.national_workers > 1 else []
        return [*_opened(large, text), *asked, *_flat(scale, many, small)]


def _node(folder: Path) -> None:
    """A node that answers whoever asks, whatever that would tell: a refusal is no lookup."""
    init_node(folder, node="FI", name=folder.name.title(), country="FI")
    settings = folder / "node.toml"
    settings.write_text(settings.read_text("utf-8") + "\n[disclosure]\nanonymous_power_max = 1.0\n", "utf-8")


def publish(node: Path, name: str, *, people: int, variants: int, seed: int) -> None:
    """Publish a dataset of random genotypes, through the last steps of every load."""
    dataset = DatasetId(name)
    with staging(node, dataset) as place:
        data.spectrum_store(place.folder / GENOTYPES, people=people, variants=variants, seed=seed)
        samples = open_store(place.folder / GENOTYPES).info.samples
        rng = np.random.default_rng(seed)
        ids = tuple(f"{name}-{sample}" for sample in samples)
        registered = replace(
            People.nobody(),
            individual_ids=ids,
            sex=rng.integers(1, 3, people).astype(np.uint8),
            population=tuple(rng.choice(_ANCESTRIES, people).tolist()),
            country=("",) * people,
            birth_year=np.full(people, -1),
            age=np.full(people, np.nan),
            biosample_ids=samples,
            biosample_person=np.arange(people),
            germline=np.ones(people, np.bool_),
            preferred=np.zeros(people, np.bool_),
        )
        declared = Declaration(dataset, name, Assembly.GRCH37, "floored", "not_assessed", "germline", True, None)
        linked = link(samples, registered).call_sets
        complete_version(place, declared, registered, linked, why="load", now=SystemClock().now())
        place.publish()


def _opened(node: Path, text: str) -> list[Row]:
    found = subprocess.run([sys.executable, "-c", _OPENER, str(node)], capture_output=True, text=True, check=True).stdout
    seconds = float(found)
    return [Row("A national node opens", text, duration(seconds), "–", "–", "≤ 1 s", seconds <= 1.0)]


def _asked(scale: Scale, node: Path, text: str) -> list[Row]:
    store = open_store(next((node / "datasets" / "biobank" / "versions").iterdir()) / GENOTYPES)
    rows = []
    fresh = _questions([store], scale.national_questions, seed=1)
    with Served("node", node, fresh=True) as server:
        open_loop(server.url, fresh[: scale.http_rate], scale.http_rate)
        found, failed = open_loop(server.url, fresh[: int(scale.http_rate * scale.http_seconds)], scale.http_rate)
        times = Times(tuple(found))
        assert server.process is not None
        whole, own = resident(server.process.pid)
        rows.append(
            Row(
                f"Exact question over HTTP, open loop at {scale.http_rate} requests/s, one process",
                f"{text}; {len(found):,} requests, {failed} failed",
                f"p50 {duration(times.p50)}, p99 {duration(times.p99)}",
                *("–", "–", "p50 ≤ 2 ms, p99 ≤ 10 ms at 500/s"),
                times.p50 <= 2e-3 and times.p99 <= 10e-3 and not failed,
            )
        )
        rows.append(
            Row(
                "Resident memory of a node that has answered them",
                text,
                f"{size(own)} own, {size(whole)} with pages of mapped files",
                *("–", "–", "≤ 500 MiB"),
                whole <= 500 << 20,
            )
        )
    with Served("node", node, extra=("--workers", str(scale.national_workers))) as server:
        for what, questions in (("no answer twice", fresh), ("everybody's", fresh[:_KEPT_QUESTIONS])):
            rate, p99 = saturated(server.url, questions, scale.http_seconds / 2)
            rows.append(
                Row(
                    f"Exact questions at saturation, {scale.national_workers} processes, {what}",
                    f"{text}; wrk, 16 connections on the same cores",
                    f"{rate:,.0f} requests/s, p99 {duration(p99)}",
                    *("–", "–", "≥ 3,000 requests/s"),
                    rate >= 3_000,
                )
            )
    return rows


def _flat(scale: Scale, node: Path, text: str) -> list[Row]:
    """The same questions put to one of the datasets and to all: every dataset has a fair share of the answers' variants."""
    versions = [next((home / "versions").iterdir()) for home in sorted((node / "datasets").iterdir())]
    stores = [open_store(version / GENOTYPES) for version in versions]
    of_all = _questions(stores, scale.national_questions, seed=2)
    of_one = [f"{question}&datasetIds=d{number % scale.national_datasets:02d}" for number, question in enumerate(of_all)]
    seconds = scale.http_seconds / 2 / _TURNS
    with Served("node", node, extra=("--workers", str(scale.national_workers))) as server:
        # Turn by turn: a machine that others work on, too, is fast in one second and slow in the next.
        turns = [[saturated(server.url, asked, seconds) for asked in (of_one, of_all)] for _ in range(_TURNS)]
        kept, _ = saturated(server.url, of_all[:_KEPT_QUESTIONS], scale.http_seconds / 2)
        slow = [_latency(scale, server.url, asked) for asked in (of_one, of_all)]
    one, every = (statistics.median(turn[which][0] for turn in turns) for which in (0, 1))
    p99 = statistics.median(turn[1][1] for turn in turns)
    ratio = statistics.median(turn[1][0] / turn[0][0] for turn in turns)
    return [
        Row(
            f"Exact questions to all {scale.national_datasets} datasets, beside one of them",
            f"{text}; wrk, {scale.national_workers} processes, {_TURNS} turns each",
            f"{every:,.0f} requests/s, p99 {duration(p99)}; {kept:,.0f} where answers are kept",
            f"one dataset asked: {one:,.0f} requests/s",
            f"{ratio:.2f}",
            "flat from 1 to 20 datasets (≥ 0.8)",
            ratio >= 0.8,
        ),
        Row(
            f"All {scale.national_datasets} datasets beside one, open loop at {scale.http_rate} requests/s",
            f"{text}; open loop",
            f"p50 {duration(slow[1].p50)}, p99 {duration(slow[1].p99)}",
            f"one dataset asked: p50 {duration(slow[0].p50)}, p99 {duration(slow[0].p99)}",
            f"{slow[1].p50 / slow[0].p50:.2f}",
            "p50 ≤ 2 ms, p99 ≤ 10 ms for both",
            all(times.p50 <= 2e-3 and times.p99 <= 10e-3 for times in slow),
        ),
    ]


def _latency(scale: Scale, url: str, asked: Targets) -> Times:
    open_loop(url, asked[: scale.http_rate], scale.http_rate)
    found, failed = open_loop(url, asked[: int(scale.http_rate * scale.http_seconds / 2)], scale.http_rate)
    assert not failed
    return Times(tuple(found))


def _questions(stores: Sequence[object], count: int, seed: int) -> Targets:
    """Different exact questions, half for alleles that are absent."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        store = stores[number % len(stores)]
        key = store.key(rng.randrange(store.info.n_variants))  # type: ignore[attr-defined]
        alt = rng.choice("ACGT".replace(key.ref[0], "")) + "T" * rng.randint(1, 6) if number % 2 else key.alt
        words = {"referenceName": key.contig, "start": key.position, "referenceBases": key.ref, "alternateBases": alt}
        words |= {"assemblyId": "GRCh37", "requestedGranularity": "record"}
        found.append("/beacon/v2/g_variants?" + urlencode(words))
    return found


def saturated(url: str, targets: Targets, seconds: float) -> tuple[float, float]:
    """Requests a second and the 99th percentile in seconds of a closed loop of 16 connections, after a second to warm up."""
    with _script(targets) as script:
        command = ["wrk", "-t1", "-c16", "--latency", "-s", str(script)]
        if seconds >= 1:
            subprocess.run([*command, "-d1s", url], check=True, capture_output=True)
            time.sleep(0.2)
        said = subprocess.run(
            [*command, f"-d{max(1, round(seconds))}s", url], check=True, capture_output=True, text=True
        ).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(said)
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", said).groups()  # type: ignore[union-attr]
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])  # type: ignore[index]
    return rate, float(number) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[unit]


@contextmanager
def _script(targets: Targets) -> Iterator[Path]:
    """What wrk runs: the targets one after another, from a random one on."""
    with TemporaryDirectory(prefix="cohelix-bench-") as folder:
        path = Path(folder) / "ask.lua"
        lines = ",\n".join(f'"{target}"' for target in targets)
        ask = "local n = #asked\nmath.randomseed(os.time())\nlocal at = math.random(n)\n"
        ask += 'request = function() at = at % n + 1 return wrk.format("GET", asked[at]) end\n'
        path.write_text(f"local asked = {{\n{lines}\n}}\n{ask}", encoding="ascii")
        yield path
