"""What released runs found, for pages and programs: summary, drawing, tiles, lines, pictures, and nodes' own estimates."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from cohelix.access.actor import Actor
from cohelix.access.caller import CallerOf, nobody_calls
from cohelix.core.errors import NotFound
from cohelix.core.genome import Region, parse_region
from cohelix.federation.run_store import StoredRun
from cohelix.federation.runs import Runs
from cohelix.wire.plan import parse_plan

if TYPE_CHECKING:  # plots and tables are loaded when the first is asked for
    from cohelix.analysis.summary import Summary

PictureKind = Literal["manhattan", "qq", "region", "forest"]
TABLE = "results.parquet"
LINES_MOST = 1_000
_JSON = "application/json"
_Trait = Annotated[str | None, Query(max_length=200, description="One of several traits")]
_Locus = Annotated[str | None, Query(max_length=500, description="Of `forest`: a locus of the plan; the first unless named")]


class Findings:
    """The one way to what a released run found; each method asks first whether this person may see it.

    Everything that is made from a table is kept: a released table does not change.
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    async def summary(self, run: str, actor: Actor, trait: str | None = None) -> bytes:
        """The table from afar, as JSON."""
        return await asyncio.to_thread(_summary_text, await self._folder(run, actor), trait)

    async def drawing(self, run: str, actor: Actor, trait: str | None = None) -> bytes:
        """What a browser draws of it, as JSON."""
        return await asyncio.to_thread(_drawing_text, await self._folder(run, actor), trait)

    async def tile(self, run: str, actor: Actor, place: tuple[str, int, int], trait: str | None = None) -> bytes:
        """What a browser draws of a part of it, as JSON; `place` is contig, level and number."""
        return await asyncio.to_thread(_tile_text, await self._folder(run, actor), place, trait)

    async def lines(self, run: str, actor: Actor, region: Region, most: int, trait: str | None = None) -> bytes:
        """The strongest lines of a region, as JSON."""
        return await asyncio.to_thread(_lines_text, await self._folder(run, actor), region, most, trait)

    async def estimates(self, run: str, actor: Actor) -> Mapping[str, Any]:
        """What single nodes estimate at the plan's loci, where that is released, and what they say together."""
        await self._folder(run, actor)
        return await asyncio.to_thread(lambda: _estimates(self._runs.store.get(run)))

    async def picture(
        self,
        run: str,
        actor: Actor,
        kind: PictureKind,
        *,
        trait: str | None,
        region: Region | None,
        locus: str | None,
        form: tuple[str, str],
    ) -> bytes:
        """A plot; `form` is `png` or `svg`, and `light` or `dark`."""
        folder = await self._folder(run, actor)
        if kind == "forest":
            return await asyncio.to_thread(_forest, await self.estimates(run, actor), locus, form)
        return await asyncio.to_thread(_picture, folder, kind, trait, region, form)

    async def _folder(self, run: str, actor: Actor) -> Path:
        return (await self._runs.file(run, TABLE, actor)).parent


def findings_router(findings: Findings, *, caller_of: CallerOf = nobody_calls) -> APIRouter:
    """The endpoints under `/api/v1/analyses/{run}` that tell of a released table."""
    router = APIRouter(prefix="/api/v1/analyses/{run}", tags=["analyses"])

    async def actor_of(request: Request) -> Actor:
        return (await caller_of(request)).actor

    @router.get("/summary", summary="A released table from afar: bins, quantiles, inflation, loci")
    async def summary(request: Request, run: str, trait: _Trait = None) -> Response:
        return Response(await findings.summary(run, await actor_of(request), trait), media_type=_JSON)

    @router.get("/drawing", summary="What a browser draws of a released table: cells, strong lines, leads, quantiles")
    async def drawing(request: Request, run: str, trait: _Trait = None) -> Response:
        return Response(await findings.drawing(run, await actor_of(request), trait), media_type=_JSON)

    @router.get(
        "/tiles/{contig}/{level}/{number}", summary="A part of a released table as a browser draws it when it is zoomed"
    )
    async def tile(  # noqa: PLR0917 - the address has so many parts
        request: Request, run: str, contig: str, level: int, number: int, trait: _Trait = None
    ) -> Response:
        place = (contig[:100], level, number)
        return Response(await findings.tile(run, await actor_of(request), place, trait), media_type=_JSON)

    @router.get("/lines", summary="The strongest lines of a region of a released table")
    async def lines(
        request: Request,
        run: str,
        region: Annotated[str, Query(max_length=200, description="`22:50000000-51000000`, 1-based and inclusive")],
        trait: _Trait = None,
        limit: Annotated[int, Query(ge=1, le=LINES_MOST)] = 100,
    ) -> Response:
        found = await findings.lines(run, await actor_of(request), parse_region(region), limit, trait)
        return Response(found, media_type=_JSON)

    @router.get("/estimates", summary="What single nodes estimate at the plan's loci, where that was released")
    async def estimates(request: Request, run: str) -> Response:
        return Response(orjson.dumps(await findings.estimates(run, await actor_of(request))), media_type=_JSON)

    @router.get(
        "/pictures/{kind}.{suffix}",
        summary="A plot of a released table, as PNG or SVG",
        response_class=Response,
        responses={200: {"content": {"image/png": {}, "image/svg+xml": {}}}},
    )
    async def plotted(
        request: Request,
        run: str,
        kind: PictureKind,
        suffix: Literal["png", "svg"],
        *,
        trait: _Trait = None,
        region: str | None = None,
        locus: _Locus = None,
        scheme: Annotated[Literal["light", "dark"], Query(description="The page that it stands on")] = "light",
    ) -> Response:
        content = await findings.picture(
            run,
            await actor_of(request),
            kind,
            trait=trait,
            region=None if region is None else parse_region(region),
            locus=locus,
            form=(suffix, scheme),
        )
        return Response(content, media_type="image/svg+xml" if suffix == "svg" else "image/png")

    return router


@lru_cache(maxsize=32)
def _summary(folder: Path, trait: str | None) -> Summary:
    from cohelix.analysis.summary import summarise, summary_of

    if trait is None:
        return summary_of(folder)
    found = summarise(folder, trait=trait)
    if not found.lines:
        raise NotFound(f"the table has no line of trait {trait[:80]!r}")
    return found


@lru_cache(maxsize=32)
def _summary_text(folder: Path, trait: str | None) -> bytes:
    return orjson.dumps(_summary(folder, trait).document())


@lru_cache(maxsize=32)
def _drawing_text(folder: Path, trait: str | None) -> bytes:
    return orjson.dumps(_summary(folder, trait).drawing())


@lru_cache(maxsize=1024)  # of at most some 30 kB
def _tile_text(folder: Path, place: tuple[str, int, int], trait: str | None) -> bytes:
    from cohelix.analysis.window import tile

    return orjson.dumps(tile(folder, *place, trait=trait))


@lru_cache(maxsize=64)
def _lines_text(folder: Path, region: Region, most: int, trait: str | None) -> bytes:
    from cohelix.analysis.window import strongest_within

    found = strongest_within(folder, region, most, trait=trait)
    told = {"region": str(region), "lines": found.lines, "tested": found.tested}
    return orjson.dumps({**told, "strongest": [one.document() for one in found.strongest]})


@lru_cache(maxsize=128)
def _picture(
    folder: Path,
    kind: Literal["manhattan", "qq", "region"],
    trait: str | None,
    region: Region | None,
    form: tuple[str, str],
) -> bytes:
    from cohelix.analysis.pictures import picture

    svg, dark = form[0] == "svg", form[1] == "dark"
    return picture(folder, _summary(folder, trait), kind, trait=trait, region=region, svg=svg, dark=dark)


def _estimates(stored: StoredRun) -> dict[str, Any]:
    plan, found = parse_plan(stored.plan), stored.details.get("estimates") or {}
    state = "released" if found else "not-agreed" if plan.release.node_level else "not-asked"
    return {"state": state, "trait": plan.trait_names[0] if plan.trait_names else None, "loci": _loci(stored, found)}


def _loci(stored: StoredRun, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    if not found:
        return []
    from cohelix.analysis.drawing import Estimate
    from cohelix.analysis.estimates import together, told

    loci = []
    for variant, lines in found.items():
        estimates = [Estimate(*line) for line in lines]
        silent = [node for node in stored.details["contributors"] if node not in {one.name for one in estimates}]
        nodes = [{"node": one.name, **told(one)} for one in estimates]
        loci.append({"variant": variant, "nodes": nodes, "silent": silent, "together": together(estimates)})
    return loci


def _forest(found: Mapping[str, Any], locus: str | None, form: tuple[str, str]) -> bytes:
    from cohelix.analysis.drawing import Estimate, forest, rendered

    shown = next((one for one in found["loci"] if one["nodes"] and locus in (None, one["variant"])), None)
    if shown is None:
        raise NotFound("no estimate of a single node is released there")
    lines = [Estimate(one["node"], one["beta"], one["standardError"]) for one in shown["nodes"]]
    lines.append(Estimate("together", shown["together"]["beta"], shown["together"]["standardError"]))
    return rendered(forest(lines, title=shown["variant"]), "svg" if form[0] == "svg" else "png", dark=form[1] == "dark")
