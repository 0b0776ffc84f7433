"""A released table of ten million lines on a run's page: the hub's first answer, its later ones, its bytes, and the drawing."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fastapi import FastAPI

from benchmarks.measure import Row, duration, each, size
from benchmarks.scale import FULL, Scale
from cohelix.access.actor import Actor
from cohelix.analysis.summary import keep_summary, summarise
from cohelix.hub.findings import Findings, findings_router
from cohelix.portal.analyses import AnalysisPages
from cohelix.portal.assets import asset
from cohelix.portal.pages import page_route, render
from cohelix.testing.federation import running_app
from cohelix.wire.analysis import Run, RunEvent

# Megabases of the chromosomes, so that the table covers a genome as a scan does.
_LENGTHS = (249, 242, 198, 190, 182, 171, 159, 145, 138, 134, 135, 133, 114, 107, 102, 90, 83, 80, 59, 64, 47, 51, 156)
_PEAK = 40  # lines to each side of a peak's lead
_API = "/api/v1/analyses/benchmark"
_CHROMOSOME_LEVEL = 19  # the level whose first tile is 268 megabases wide
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
        start, worked = time.perf_counter(), time.process_time()
        summary = keep_summary(folder, summarise(folder))
        made = f"{duration(time.perf_counter() - start)} ({duration(time.process_time() - worked)} of processors)"
        text = f"{summary.lines:,} lines, {len(summary.loci)} loci"
        rows = [Row("Manhattan: the table summarised, once, when the run ends", text, made, "–", "–", "–", None)]
        with _served(folder) as url, httpx.Client(base_url=url, timeout=60) as client:

            def seconds(path: str) -> float:
                begun = time.perf_counter()
                client.get(path).raise_for_status()
                return time.perf_counter() - begun

            drawing, wide = f"{_API}/drawing", f"{_API}/tiles/1/{_CHROMOSOME_LEVEL}/0"
            rows.append(Row("Manhattan: the hub's first answer", text, *_within(seconds(drawing), 2)))
            size_drawn = len(client.get(drawing).content)
            rows.append(Row("Manhattan: its bytes", text, size(size_drawn), "–", "–", "≤ 0.15 MB", size_drawn <= 150_000))
            again = each(lambda _: client.get(drawing), scale.repeats, warm=1).p95
            rows.append(Row("Manhattan: later answers, p95", text, *_within(again, 0.05)))
            rows.append(Row("Manhattan: a whole chromosome from nearer, first answer", text, *_within(seconds(wide), 2)))
            near = max(seconds(f"{_API}/tiles/2/{level}/{1 << (17 - level)}") for level in (17, 14, 11, 8))
            rows.append(Row("Manhattan: narrower windows, first answers, the slowest", text, *_within(near, 0.25)))
            later = each(lambda _: client.get(wide), scale.repeats, warm=1).p95
            rows.append(Row("Manhattan: windows again, p95", text, *_within(later, 0.05)))
            page = each(lambda _: client.get("/analyses/benchmark"), scale.repeats, warm=1).p95
            rows.append(Row("Manhattan: the page, p95", text, *_within(page, 0.05)))
            if scale is FULL:
                drawn, frame = _in_a_browser(url)
                rows.append(Row("Manhattan: page opened and drawn", text, *_within(drawn, 1)))
                rows.append(Row("Manhattan: from a key to the window drawn, p95", text, *_within(frame, 0.1)))
    return rows


def _within(seconds: float, most: float) -> tuple[str, str, str, str, bool]:
    return duration(seconds), "–", "–", f"≤ {duration(most)}", seconds <= most


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


class _Runs:
    """The one run of the benchmark."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.store = SimpleNamespace(get=lambda _: SimpleNamespace(plan=_RUN["plan"], details={}))

    async def get(self, run: str) -> Run:
        return Run.model_validate(_RUN)

    async def newest(self, limit: int) -> tuple[Run, ...]:
        return (Run.model_validate(_RUN),)

    async def events(self, run: str, after: int) -> tuple[RunEvent, ...]:
        return ()

    async def file(self, run: str, name: str, actor: Actor) -> Path:
        return self._folder / name


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """A hub's own answers and pages about one run, whose table lies in the folder."""
    runs = _Runs(folder)
    findings = Findings(runs)  # type: ignore[arg-type]
    app = FastAPI()
    app.include_router(findings_router(findings))
    pages = AnalysisPages(runs, findings, render)
    app.router.routes += [
        page_route("/analyses/{run}", pages.one),
        page_route("/analyses/{run}/region/{region}", pages.region),
        page_route("/static/{digest}/{name}", asset),
    ]
    with running_app(app) as served:
        yield served.url


def _in_a_browser(url: str) -> tuple[float, float]:
    """From asking for the page until both plots are drawn, with scripts that are there already; and how long a key takes.

    The keys zoom to a peak, along it, and out again; a window counts as drawn with what the browser has of it by then.
    """
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
        page.locator("figure.manhattan").focus()
        page.keyboard.press("End")
        keys = [("+", False)] * 12 + [("ArrowRight", True)] * 12 + [("-", False)] * 12
        frames = page.evaluate(_PRESS, [{"key": key, "shiftKey": shift} for key, shift in keys])
        browser.close()
    return float(np.median(found[1:])), float(np.percentile(frames, 95)) / 1000


# Presses keys on the plot, one after the other, and tells how many milliseconds each took until the frame after it was drawn.
_PRESS = """async (keys) => {
  const figure = document.querySelector("figure.manhattan"), found = [];
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  for (const key of keys) {
    await frame();
    const begun = performance.now();
    figure.dispatchEvent(new KeyboardEvent("keydown", { ...key, bubbles: true }));
    await frame();
    found.push(performance.now() - begun);
    await new Promise((done) => setTimeout(done, 120));
  }
  return found;
}"""
