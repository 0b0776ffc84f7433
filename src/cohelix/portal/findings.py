"""Pages of what a released run found: the run's own section, a region of its table, and what single members estimate."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, urlencode

import orjson
from starlette.requests import Request

from cohelix.access.actor import Actor
from cohelix.access.caller import known_caller
from cohelix.core.errors import NotFound, NotPermitted
from cohelix.core.genes import genes_in
from cohelix.core.genome import Assembly, Region, known_contig, parse_region
from cohelix.wire.analysis import Run

LINES_SHOWN = 100
LEADS_SHOWN, STRONGEST_SHOWN = 60, 20  # of loci; of lines where there is no locus
_GENES_MOST = 60
_EXPECTED = (0.3, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0)
_AROUND_LEAD = 500_000  # bases to each side, as of a locus
_NARROWEST = 1_000
_BASES_MOST = 15_000  # of the alleles on a page, which has each of them in a link


class Findings(Protocol):
    """What the pages need to know of a released run; each method refuses whoever may not see it."""

    async def summary(self, run: str, actor: Actor, trait: str | None = None) -> bytes:
        """The table from afar, as JSON."""

    async def lines(self, run: str, actor: Actor, region: Region, most: int, trait: str | None = None) -> bytes:
        """The strongest lines of a region, as JSON."""

    async def estimates(self, run: str, actor: Actor) -> Mapping[str, Any]:
        """What single members estimate at the plan's loci, where that is released."""


class Steps(NamedTuple):
    """Addresses of the windows next to a region: for whoever does not drag the plot."""

    left: str | None
    right: str
    closer: str | None
    wider: str


class FindingPages:
    """What a run's pages show of its table."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    async def of_run(self, request: Request, run: Run) -> dict[str, Any]:
        """What the run's page shows once it is released; nothing before."""
        assembly, trait = assembly_of(run), _trait(request)
        shown: dict[str, Any] = {"summary": None, "lines": (), "estimates": None, "trait": trait, "assembly": assembly}
        if run.state != "released":
            return shown
        actor = known_caller(request).actor
        summary = orjson.loads(await self._findings.summary(run.id, actor, trait))
        several = len(run.plan.get("traits") or ()) > 1
        return shown | {
            "summary": summary,
            "lines": [
                {**one, "path": lead_path(run.id, one, trait or (one["trait"] if several else None))}
                for one in _fitting(summary["loci"][:LEADS_SHOWN] or summary["top"][:STRONGEST_SHOWN])
            ],
            "curves": curves(summary),
            "estimates": await self._findings.estimates(run.id, actor),
            "query": _query(trait),
        }

    async def region(self, request: Request, run: Run) -> dict[str, Any]:
        """A region of the table: its strongest lines, the genes, and the windows around."""
        _must_be_released(run)
        region, assembly, trait = parse_region(request.path_params["region"]), assembly_of(run), _trait(request)
        found = orjson.loads(await self._findings.lines(run.id, known_caller(request).actor, region, LINES_SHOWN, trait))
        wide = Region(region.contig, max(0, 2 * region.start - region.end), 2 * region.end - region.start)
        return {
            "run": run,
            "assembly": assembly,
            "trait": trait,
            "query": _query(trait),
            "region": region,
            "found": {**found, "strongest": _fitting(found["strongest"])},
            "genes": genes_in(region, assembly)[:_GENES_MOST],
            "drawn_genes": orjson.dumps(
                [[one.symbol, one.region.start + 1, one.region.end] for one in genes_in(wide, assembly)[:_GENES_MOST]]
            ).decode(),
            "steps": _steps(run.id, region, assembly, trait),
        }

    async def forest(self, request: Request, run: Run) -> dict[str, Any]:
        """What single members estimate at one locus, and a line for each of the others."""
        _must_be_released(run)
        estimates = await self._findings.estimates(run.id, known_caller(request).actor)
        wanted = request.query_params.get("locus")
        loci: Sequence[Mapping[str, Any]] = estimates["loci"]
        shown = next((one for one in loci if one["variant"] == wanted), None)
        if wanted and shown is None:
            raise NotFound(f"no estimate of a single member was asked for at {wanted[:80]!r}")
        shown = shown or next((one for one in loci if one["nodes"]), None)
        return {
            "run": run,
            "assembly": assembly_of(run),
            "estimates": estimates,
            "shown": shown,
            "forest": None if shown is None or not shown["nodes"] else forest_of(shown),
        }


def curves(summary: Mapping[str, Any]) -> list[tuple[float, list[float | None]]]:
    """Some expected −log10 p, and what was observed there: of all tests, and of each stratum; None beyond a curve's end."""
    series = [sorted(one["quantiles"]) for one in (summary, *summary.get("strata", ()))]
    rows = [(expected, [_observed(points, expected) for points in series]) for expected in _EXPECTED]
    return [row for row in rows if any(value is not None for value in row[1])]


def _observed(points: Sequence[list[float]], expected: float) -> float | None:
    """Where a curve is, between the points to both sides."""
    at = bisect_left(points, [expected])
    if not 0 < at < len(points):
        return None
    (before, low), (after, high) = points[at - 1], points[at]
    return low + (high - low) * (expected - before) / (after - before)


def forest_of(locus: Mapping[str, Any]) -> dict[str, Any]:
    """Where a forest plot's marks lie, from 0 to 100 across: each member's line, and that of all together."""
    lines = [*locus["nodes"], {**locus["together"], "node": None}]
    low, high = min(0.0, *(one["low"] for one in lines)), max(0.0, *(one["high"] for one in lines))
    width = (high - low) or 1.0
    most = max(1 / one["standardError"] for one in locus["nodes"])

    def across(value: float) -> float:
        return float(round(3 + 94 * (value - low) / width, 3))

    marks = [
        {
            **one,
            "left": across(one["low"]),
            "middle": across(one["beta"]),
            "right": across(one["high"]),
            "size": round(4 + 12 / one["standardError"] / most, 1),  # pixels of a square's side: its area grows with the weight
        }
        for one in lines
    ]
    return {"marks": marks, "zero": across(0.0), "low": low, "high": high, "height": 8 * len(marks)}


def assembly_of(run: Run) -> Assembly:
    """The assembly of a run's plan."""
    return Assembly(run.plan.get("assembly") or Assembly.GRCH38)


def finding_path(run: str, region: Region, trait: str | None = None) -> str:
    """The page of a region of a run's table."""
    return f"/analyses/{run}/region/{quote(str(region), safe=':')}{_query(trait)}"


def lead_path(run: str, line: Mapping[str, Any], trait: str | None = None) -> str:
    """The page of the region around a line of the table."""
    position = line["position"]
    region = Region(line["chromosome"], max(0, position - 1 - _AROUND_LEAD), position + _AROUND_LEAD)
    return finding_path(run, region, trait)


def _steps(run: str, region: Region, assembly: Assembly, trait: str | None) -> Steps:
    width, contig = region.end - region.start, known_contig(region.contig, assembly)
    end = contig.length if contig and contig.length else 1 << 31

    def path(start: int, stop: int) -> str:
        return finding_path(run, Region(region.contig, max(0, start), max(start + 1, stop)), trait)

    closer = path(region.start + width // 4, region.end - width // 4) if width > _NARROWEST else None
    left = path(region.start - width // 2, region.end - width // 2) if region.start else None
    return Steps(
        left,
        path(region.start + width // 2, region.end + width // 2),
        closer,
        path(region.start - width // 2, min(end, region.end + width // 2)),
    )


def _query(trait: str | None) -> str:
    return f"?{urlencode({'trait': trait})}" if trait else ""


def _trait(request: Request) -> str | None:
    return request.query_params.get("trait", "")[:200] or None


def _fitting(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """As many lines, one at least, as a page holds: alleles may be thousands of bases long."""
    bases = 0
    found: list[Mapping[str, Any]] = []
    for one in lines:
        bases += len(one["other_allele"]) + len(one["effect_allele"])
        if found and bases > _BASES_MOST:
            break
        found.append(one)
    return found


def _must_be_released(run: Run) -> None:
    if run.state != "released":
        raise NotPermitted(f"the results are not released: the analysis is {run.state}")
