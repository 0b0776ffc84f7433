"""A node's blocks of a linear scan on a Dask cluster of two workers, beside a pool of two processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import orjson

from benchmarks.measure import Row, duration, interleaved
from benchmarks.scale import Scale
from cohelix.analysis.data import Study
from cohelix.analysis.linear import linear
from cohelix.analysis.local import local_data, prepare, sites
from cohelix.analysis.pooled import PlainSummer
from cohelix.analysis.steps import AnyArray, Ask
from cohelix.analysis.variants import VariantList
from cohelix.bank.study import open_study
from cohelix.core.arrays import IntArray
from cohelix.federation.asking import block_arrays, pack_ask
from cohelix.federation.worker import ASKS, LOCAL, OWN_FILE, StepTask, Workers, ask_file
from cohelix.testing.processes import free_port
from cohelix.wire.packed import pack
from cohelix.wire.plan import Plan, parse_plan

COVARIATES = 6
TRAITS = 200  # one trait takes a few milliseconds for a block: nobody needs a cluster for it


def run(scale: Scale, node: Path, folder: Path) -> list[Row]:
    """Every block of the scan, a few times over, on both; workers were started and have opened the data before."""
    tasks = _tasks(node, folder / "workers")
    work = tasks * max(1, 12 // len(tasks))
    with _cluster(folder) as address:
        pool, dask = Workers(2), Workers(dask=address)
        try:
            times = interleaved(
                {"pool": lambda: _compute(pool, work), "dask": lambda: _compute(dask, work)}, min(5, scale.repeats)
            )
        finally:
            pool.close()
            dask.close()
    house, referee = times["dask"].p50, times["pool"].p50
    return [
        Row(
            "A node's blocks on Dask, two workers on loopback",
            f"{len(work)} blocks of a linear scan, {COVARIATES} covariates, {TRAITS} traits",
            f"p50 {duration(house)}",
            f"two processes of the node: p50 {duration(referee)}",
            f"{house / referee:.2f} × the processes",
            "≤ 1.2 ×",
            house <= 1.2 * referee,
        )
    ]


def _compute(workers: Workers, tasks: list[StepTask]) -> None:
    async def go() -> None:
        await asyncio.gather(*(workers.compute(task) for task in tasks))

    asyncio.run(go())


def _tasks(node: Path, folder: Path) -> list[StepTask]:
    """The scan of a simulated trait over all people and variants of a node's dataset, block by block."""
    (folder / LOCAL).mkdir(parents=True)
    (folder / ASKS).mkdir()
    plan = parse_plan({"project": "bench", "datasets": ["BENCH:cohort"], "method": "counts"})
    study = open_study(node, "BENCH", plan)
    variants = VariantList.merged(sites(study))
    prepare(study, variants, folder / LOCAL, nodes=["BENCH"])
    rng = np.random.default_rng(5)
    np.save(folder / LOCAL / "covariates.npy", rng.normal(size=(study.n, COVARIATES)))
    np.save(folder / LOCAL / "traits.npy", rng.normal(size=(study.n, TRAITS)))
    (folder / OWN_FILE).write_bytes(orjson.dumps({}))
    tasks = []
    for number, ask in enumerate(_scan_asks(node, folder, len(variants))):
        ask_file(folder, number).write_bytes(pack_ask(ask))
        blocks = [pack({}, block_arrays(ask, block)) for block in ask.blocks()]
        tasks += [StepTask(str(node), str(folder), number, block) for block in blocks]
    return tasks


def _scan_asks(node: Path, folder: Path, n_variants: int) -> list[Ask]:
    """What the method asks of nodes for its scan."""
    found: list[Ask] = []

    class Watching(PlainSummer):
        def blocks(self, ask: Ask) -> Iterator[tuple[range, dict[str, AnyArray]]]:
            if ask.step == "linear-scan":
                found.append(ask)
            return super().blocks(ask)

    class Nowhere:
        def write(self, rows: IntArray, columns: Mapping[str, AnyArray]) -> None:
            del rows, columns

    data = local_data(node, folder / LOCAL)
    names = tuple(f"covariate{number}" for number in range(COVARIATES))
    study = Study(
        n_variants=n_variants,
        covariates=names,
        traits=tuple(f"trait{number}" for number in range(TRAITS)),
        binary=False,
        nodes=1,
        people_max=data.n,
    )
    plan = Plan.model_validate(
        {
            "project": "bench",
            "datasets": ["BENCH:cohort"],
            "method": "linear",
            "traits": [{"measurement": name} for name in study.traits],
        }
    )
    linear(plan, study, Watching([data]), Nowhere())
    return found


@contextmanager
def _cluster(folder: Path) -> Iterator[str]:
    with ExitStack() as stack:

        def start(*words: str) -> None:
            command = [sys.executable, "-m", *words, "--host", "127.0.0.1", "--no-dashboard"]
            process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(_end, process)

        port = free_port()
        address = f"tcp://127.0.0.1:{port}"
        start("distributed.cli.dask_scheduler", "--port", str(port), "--no-jupyter")
        for _ in range(2):
            start("distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny")
        yield address


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a scheduler or a worker; one that waits for the other to answer is not waited for."""
    process.terminate()
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
