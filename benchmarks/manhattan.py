"""A released table of ten million lines on a run's page: the hub's first answer, its later ones, its bytes, and the drawing."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.measure import Row, duration, each, size
from benchmarks.scale import FULL, Scale
from cohelix.access.actor import Actor
from cohelix.analysis.summary import keep_summary, summarise, summary_of
from cohelix.core.genome import Region
from cohelix.portal.analyses import AnalysisPages
from cohelix.portal.assets import asset
from cohelix.portal.pages import page_route, render
from cohelix.testing.federation import running_app
from cohelix.wire.analysis import Run, RunEvent

# Megabases of the chromosomes, so that the table covers a genome as a scan does.
_LENGTHS = (249, 242, 198, 190, 182, 171, 159, 145, 138, 134, 135, 133, 114, 107, 102, 90, 83, 80, 59, 64, 47, 51, 156)
_PEAK = 40  # lines to each side of a peak's lead
_NODE = {"node": "FI", "contributor": True, "aggregator": True, "status": "done", "blocks": 1}
_RUN = {
    "id": "benchmark", "state": "released", "planHash": "0" * 64, "nodes": [_NODE], "files": ["results.parquet"],
    "proposedAt": "2026-01-01T00:00:00Z", "deadline": "2026-01-02T00:00:00Z",
    "plan": {"project": "benchmark", "method": "linear", "assembly": "GRCh38", "datasets": ["FI:a"], "traits": [],
             "trait": {"measurement": "height"}},
}  # fmt: skip


def run(scale: Scale) -> list[Row]:
    """All lines; the browser draws at full size alone."""
    with tempfile.TemporaryDirectory(prefix="cohelix-bench-") as scratch:
        folder = Path(scratch)
        _write(folder, scale.lookup_variants)
        start = time.perf_counter()
        keep_summary(folder, summarise(folder))
        made = time.perf_counter() - start
        start = time.perf_counter()
        summary = summary_of(folder)
        drawn = orjson.dumps(summary.drawing())
        first = time.perf_counter() - start
        text = f"{summary.lines:,} lines, {len(summary.loci)} loci"
        rows = [
            Row("Manhattan: the table summarised, once, when the run ends", text, duration(made), "–", "–", "≤ 2 s", made <= 2),
            Row("Manhattan: the hub's first answer", text, duration(first), "–", "–", "≤ 2 s", first <= 2),
            Row("Manhattan: its bytes", text, size(len(drawn)), "–", "–", "≤ 0.15 MB", len(drawn) <= 150_000),
        ]
        with _served(summary.document(), drawn) as url, httpx.Client(base_url=url) as client:
            again = each(lambda _: client.get("/api/v1/analyses/benchmark/drawing"), scale.repeats, warm=1).p95
            page = each(lambda _: client.get("/analyses/benchmark"), scale.repeats, warm=1).p95
            rows.append(Row("Manhattan: later answers, p95", text, duration(again), "–", "–", "≤ 50 ms", again <= 0.05))
            rows.append(Row("Manhattan: the page, p95", text, duration(page), "–", "–", "≤ 50 ms", page <= 0.05))
            if scale is FULL:
                seconds = _seconds_to_draw(url)
                rows.append(Row("Manhattan: page opened and drawn", text, duration(seconds), "–", "–", "≤ 1 s", seconds <= 1))
    return rows


def _write(folder: Path, lines: int) -> None:
    """A table as runs leave it: no association, but for three peaks a chromosome."""
    rng, total, writer = np.random.default_rng(5), sum(_LENGTHS), None
    bases = np.array(list("ACGT"))
    for number, length in enumerate(_LENGTHS, 1):
        count = max(10, lines * length // total)
        strength = -np.log10(rng.random(count))
        for lead in rng.integers(0, count, 3):
            near = slice(max(0, lead - _PEAK), lead + _PEAK)
            strength[near] += 30 * rng.random() * np.exp(-np.abs(np.arange(count)[near] - lead) / 12)
        ref = rng.integers(0, 4, count)
        table = pa.table(
            {
                "chromosome": pa.array(["X" if number == 23 else str(number)] * count),
                "base_pair_location": np.sort(rng.integers(1, length * 1_000_000, count)),
                "effect_allele": bases[(ref + rng.integers(1, 4, count)) % 4],
                "other_allele": bases[ref],
                "beta": rng.normal(size=count),
                "standard_error": rng.random(count),
                "effect_allele_frequency": rng.random(count),
                "neg_log10_p": strength,
                "n": np.full(count, 358),
            }
        )
        writer = writer or pq.ParquetWriter(folder / "results.parquet", table.schema, compression="zstd")
        writer.write_table(table, row_group_size=65_536)
    assert writer is not None
    writer.close()


class _Board:
    """The one run of the benchmark, and what it found."""

    def __init__(self, told: bytes) -> None:
        self._told = told

    async def summary(self, run: str, actor: Actor, trait: str | None = None) -> bytes:
        return self._told

    async def lines(self, run: str, actor: Actor, region: Region, most: int, trait: str | None = None) -> bytes:
        return orjson.dumps({"region": str(region), "lines": 0, "tested": 0, "strongest": []})

    async def estimates(self, run: str, actor: Actor) -> Mapping[str, object]:
        return {"state": "not-asked", "trait": None, "loci": []}

    async def get(self, run: str) -> Run:
        return Run.model_validate(_RUN)

    async def newest(self, limit: int) -> tuple[Run, ...]:
        return (Run.model_validate(_RUN),)

    async def events(self, run: str, after: int) -> tuple[RunEvent, ...]:
        return ()


@contextmanager
def _served(document: dict[str, object], drawn: bytes) -> Iterator[str]:
    board = _Board(orjson.dumps(document))

    async def drawing(_request: Request) -> Response:
        return Response(drawn, media_type="application/json")

    pages = AnalysisPages(board, board, render)
    routes = [
        Route("/api/v1/analyses/benchmark/drawing", drawing),
        page_route("/analyses/{run}", pages.one),
        page_route("/static/{digest}/{name}", asset),
    ]
    with running_app(Starlette(routes=routes)) as served:  # type: ignore[arg-type]
        yield served.url


def _seconds_to_draw(url: str) -> float:
    """From asking for the page until both plots are drawn, in a browser that has its scripts already."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.route("**/pictures/**", lambda route: route.fulfill(status=204))
        found = []
        for _ in range(6):
            start = time.perf_counter()
            page.goto(f"{url}/analyses/benchmark", wait_until="commit")
            page.wait_for_selector("figure[data-drawn]")
            found.append(time.perf_counter() - start)
        browser.close()
    return float(np.median(found[1:]))
