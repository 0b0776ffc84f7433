"""Federated analyses from Python: `client.analyses.check`, `run`, `status`, `result`, with the words of the command line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import httpx

from cohelix.core.errors import BadUsage, NotPermitted, Unreachable
from cohelix.sdk.answers import problem_of, read_answer, unreachable
from cohelix.sdk.frames import Kind, Tabular, shown
from cohelix.wire.analysis import ENDED, PlanCheck, Run, RunsAnswer
from cohelix.wire.plan import Plan, parse_plan, read_plan

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

_PATH = "/api/v1/analyses"
_TABLE = "results.parquet"
_AWAY_SECONDS = 120.0  # how long a hub that was there may be away while it is waited for
_PAUSE_SECONDS = 1.0
_CHECK_SECONDS = 90.0
_SHOWN = 20

PlanLike = Plan | str | Path | Mapping[str, Any]
"""A plan: read already, the name of its YAML or JSON file, or its document."""


class Event(NamedTuple):
    """Something that happened in a run: its number, what, and what is told of it."""

    number: int
    event: str
    document: Mapping[str, Any]


class Check(Tabular, PlanCheck):
    """What every node would say to a plan; as a table one row for each."""

    columns: ClassVar[dict[str, Kind]] = {
        "node": "text",
        "takes_part": "yes or no",
        "contributes": "yes or no",
        "adds_up": "yes or no",
        "people_at_least": "whole",
        "seconds": "ratio",
        "rule": "text",
        "reason": "text",
    }
    text_shown: ClassVar[int] = 1000  # reasons are sentences, and the longest says most

    def rows(self) -> Iterable[Sequence[Any]]:
        for one in self.nodes:
            rule, reason = (one.refusal.rule, one.refusal.reason) if one.refusal else (None, None)
            yield (one.node, one.takes_part, one.contributor, one.aggregator, one.people, one.seconds, rule, reason)
        for absent in self.absent:
            yield (absent.node, False, False, False, None, None, absent.status, absent.reason)

    def caption(self) -> str:
        if not self.possible:
            return f"This plan cannot run: {self.reason}"
        people = "" if self.people is None else f", {self.people} people at least"
        seconds = "" if self.seconds is None else f", about {self.seconds:.0f} s at the slowest node"
        return f"This plan can run{people}{seconds}"


class Analysis(Tabular, Run):
    """A run as the hub tells it; as a table one row for each node."""

    columns: ClassVar[dict[str, Kind]] = {
        "node": "text",
        "contributes": "yes or no",
        "adds_up": "yes or no",
        "status": "text",
        "blocks": "whole",
        "reason": "text",
    }
    text_shown: ClassVar[int] = 1000

    def rows(self) -> Iterable[Sequence[Any]]:
        for one in self.nodes:
            yield (one.node, one.contributor, one.aggregator, one.status, one.blocks, one.reason)

    def caption(self) -> str:
        reason = f": {self.reason}" if self.reason else ""
        left = "" if self.seconds_left is None or self.state in ENDED else f", about {self.seconds_left:.0f} s left"
        done = f", {self.fraction:.0%} of the table{left}" if self.state == "running" else ""
        people = "" if self.people is None else f", {self.people} people"
        return f"Analysis {self.id} is {self.state}{reason}{people}{done}"


class Analyses(Tabular, RunsAnswer):
    """Runs, the newest first."""

    columns: ClassVar[dict[str, Kind]] = {
        "analysis": "text",
        "state": "text",
        "project": "text",
        "method": "text",
        "proposed_at": "text",
        "reason": "text",
    }

    def rows(self) -> Iterable[Sequence[Any]]:
        for one in self.runs:
            yield (one.id, one.state, one.plan.get("project"), one.plan.get("method"), one.proposed_at, one.reason)


class Result:
    """The files of a released run in a folder; shown with its strongest lines."""

    def __init__(self, run: Analysis, folder: Path) -> None:
        self.run, self.folder = run, folder

    def __repr__(self) -> str:
        return f"Result({self.run.id!r}, {str(self.folder)!r})\n{self.strongest()}"

    def to_arrow(self) -> pa.Table:
        """The whole table."""
        import pyarrow.parquet as pq

        return pq.read_table(self.folder / _TABLE)

    def to_polars(self) -> pl.DataFrame:
        """The whole table as a `polars.DataFrame`."""
        import polars as pl

        frame = pl.from_arrow(self.to_arrow())
        assert isinstance(frame, pl.DataFrame)
        return frame

    def strongest(self, lines: int = _SHOWN) -> pl.DataFrame:
        """The lines with the smallest p-values, or the first ones of a table without."""
        frame = self.to_polars()
        if "neg_log10_p" not in frame.columns:
            return frame.head(lines)
        return frame.sort("neg_log10_p", descending=True, nulls_last=True).head(lines)

    def _repr_html_(self) -> str:
        """The strongest lines for a notebook: everything escaped, nothing fetched."""
        frame = self.strongest()
        head = "".join(f"<th>{escape(name)}</th>" for name in frame.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(shown(value))}</td>" for value in row) + "</tr>" for row in frame.iter_rows()
        )
        caption = escape(f"{self.run.caption()}; files in {self.folder}")
        return f"<p>{caption}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


class AnalysesClient:
    """The analyses of a hub; `Client.analyses` is one."""

    def __init__(self, http: httpx.Client, url: str) -> None:
        self._http, self._url = http, url

    def check(self, plan: PlanLike) -> Check:
        """What every node would say to a plan; begins nothing."""
        body = plan_of(plan).model_dump(mode="json")
        return read_answer(Check, self._send("POST", f"{_PATH}/check", json=body, timeout=_CHECK_SECONDS))

    def propose(self, plan: PlanLike) -> Analysis:
        """Begin a run, without waiting for it."""
        return read_answer(Analysis, self._send("POST", _PATH, json=plan_of(plan).model_dump(mode="json")))

    def run(
        self, plan: PlanLike, out: str | Path | None = None, *, say: Callable[[Event], None] = lambda _event: None
    ) -> Analysis | Result:
        """Begin a run, wait until it ends or is held for review, and fetch its files where it is released.

        Parameters
        ----------
        out
            A folder for the files: new, or empty.
        say
            Is told of each event.

        Returns
        -------
        The result where it is released and `out` is given; otherwise the run in its last state: look at `state`.
        """
        folder = None if out is None else checked_folder(out)
        found = self.wait(self.propose(plan).id, say=say)
        if found.state == "released" and folder is not None:
            return self.result(found.id, folder)
        return found

    def status(self, run: str) -> Analysis:
        """A run: its state, its nodes, how far it is."""
        return read_answer(Analysis, self._send("GET", f"{_PATH}/{_safe(run)}"))

    def list(self, limit: int = 100) -> Analyses:
        """Runs, the newest first."""
        return read_answer(Analyses, self._send("GET", _PATH, params={"limit": limit}))

    def cancel(self, run: str) -> Analysis:
        """End a run that is under way."""
        return read_answer(Analysis, self._send("POST", f"{_PATH}/{_safe(run)}/cancel", timeout=_CHECK_SECONDS))

    def wait(self, run: str, *, say: Callable[[Event], None] = lambda _event: None) -> Analysis:
        """The run when it has ended or is held; a hub that restarts meanwhile is waited for."""
        last, away_since = 0, None
        while True:
            try:
                for event in self._events(run, last):
                    last, away_since = event.number, None
                    say(event)
                found = self.status(run)
                if found.state in ENDED or found.state == "held":
                    return found
            except Unreachable:
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > _AWAY_SECONDS:
                    raise
            time.sleep(_PAUSE_SECONDS)

    def result(self, run: str, out: str | Path) -> Result:
        """Fetch the files of a released run into a folder that is new or empty.

        Raises
        ------
        NotPermitted
            If the run is not released.
        """
        found = self.status(run)
        if found.state != "released":
            raise NotPermitted(found.caption())
        folder = checked_folder(out)
        folder.mkdir(parents=True, exist_ok=True)
        for name in found.files:
            self._fetch(f"{_PATH}/{_safe(run)}/files/{_safe(name)}", folder / _safe(name))
        return Result(found, folder)

    def _fetch(self, path: str, target: Path) -> None:
        part = target.with_name(f".{target.name}.part")
        try:
            with self._http.stream("GET", path) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise problem_of(answer)
                with part.open("wb") as file:
                    for piece in answer.iter_bytes():
                        file.write(piece)
        except httpx.HTTPError as error:
            part.unlink(missing_ok=True)
            raise unreachable(self._url, error) from error
        part.replace(target)

    def _events(self, run: str, after: int) -> Iterator[Event]:
        headers = {"accept": "text/event-stream", "last-event-id": str(after)}
        reader = _EventReader()
        try:
            with self._http.stream("GET", f"{_PATH}/{_safe(run)}/events", headers=headers) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise problem_of(answer)
                for line in answer.iter_lines():
                    yield from reader.take(line)
        except httpx.HTTPError as error:
            raise unreachable(self._url, error) from error

    def _send(self, method: str, path: str, **rest: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **rest)
        except httpx.HTTPError as error:
            raise unreachable(self._url, error) from error


class AsyncAnalysesClient:
    """The same as `AnalysesClient`, for programs that use asyncio; `AsyncClient.analyses` is one."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self._http, self._url = http, url

    async def check(self, plan: PlanLike) -> Check:
        """As `AnalysesClient.check`."""
        body = plan_of(plan).model_dump(mode="json")
        return read_answer(Check, await self._send("POST", f"{_PATH}/check", json=body, timeout=_CHECK_SECONDS))

    async def propose(self, plan: PlanLike) -> Analysis:
        """As `AnalysesClient.propose`."""
        return read_answer(Analysis, await self._send("POST", _PATH, json=plan_of(plan).model_dump(mode="json")))

    async def run(
        self, plan: PlanLike, out: str | Path | None = None, *, say: Callable[[Event], None] = lambda _event: None
    ) -> Analysis | Result:
        """As `AnalysesClient.run`."""
        folder = None if out is None else checked_folder(out)
        begun = await self.propose(plan)
        found = await self.wait(begun.id, say=say)
        if found.state == "released" and folder is not None:
            return await self.result(found.id, folder)
        return found

    async def status(self, run: str) -> Analysis:
        """As `AnalysesClient.status`."""
        return read_answer(Analysis, await self._send("GET", f"{_PATH}/{_safe(run)}"))

    async def list(self, limit: int = 100) -> Analyses:
        """As `AnalysesClient.list`."""
        return read_answer(Analyses, await self._send("GET", _PATH, params={"limit": limit}))

    async def cancel(self, run: str) -> Analysis:
        """As `AnalysesClient.cancel`."""
        return read_answer(Analysis, await self._send("POST", f"{_PATH}/{_safe(run)}/cancel", timeout=_CHECK_SECONDS))

    async def wait(self, run: str, *, say: Callable[[Event], None] = lambda _event: None) -> Analysis:
        """As `AnalysesClient.wait`."""
        last, away_since = 0, None
        while True:
            try:
                async for event in self._events(run, last):
                    last, away_since = event.number, None
                    say(event)
                found = await self.status(run)
                if found.state in ENDED or found.state == "held":
                    return found
            except Unreachable:
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > _AWAY_SECONDS:
                    raise
            await asyncio.sleep(_PAUSE_SECONDS)

    async def result(self, run: str, out: str | Path) -> Result:
        """As `AnalysesClient.result`."""
        found = await self.status(run)
        if found.state != "released":
            raise NotPermitted(found.caption())
        folder = checked_folder(out)
        folder.mkdir(parents=True, exist_ok=True)
        for name in found.files:
            target = folder / _safe(name)
            part = target.with_name(f".{target.name}.part")
            try:
                async with self._http.stream("GET", f"{_PATH}/{_safe(run)}/files/{_safe(name)}") as answer:
                    if answer.status_code != 200:
                        await answer.aread()
                        raise problem_of(answer)
                    with part.open("wb") as file:
                        async for piece in answer.aiter_bytes():
                            file.write(piece)
            except httpx.HTTPError as error:
                part.unlink(missing_ok=True)
                raise unreachable(self._url, error) from error
            part.replace(target)
        return Result(found, folder)

    async def _events(self, run: str, after: int) -> AsyncIterator[Event]:
        headers = {"accept": "text/event-stream", "last-event-id": str(after)}
        reader = _EventReader()
        try:
            async with self._http.stream("GET", f"{_PATH}/{_safe(run)}/events", headers=headers) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    raise problem_of(answer)
                async for line in answer.aiter_lines():
                    for event in reader.take(line):
                        yield event
        except httpx.HTTPError as error:
            raise unreachable(self._url, error) from error

    async def _send(self, method: str, path: str, **rest: Any) -> httpx.Response:
        try:
            return await self._http.request(method, path, **rest)
        except httpx.HTTPError as error:
            raise unreachable(self._url, error) from error


class _EventReader:
    """Server-sent events with their numbers, line by line."""

    def __init__(self) -> None:
        self._fields: dict[str, str] = {}

    def take(self, line: str) -> Iterator[Event]:
        name, _, value = line.partition(":")
        if line and name:
            self._fields[name] = self._fields.get(name, "") + value.strip()
        elif not line:
            fields, self._fields = self._fields, {}
            with contextlib.suppress(ValueError, KeyError):
                yield Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))


def plan_of(plan: PlanLike) -> Plan:
    """A plan, whichever way it is given; `BadFile` or `BadQuestion` with the place of the first mistake."""
    if isinstance(plan, Plan):
        return plan
    if isinstance(plan, Mapping):
        return parse_plan(dict(plan))
    return read_plan(Path(plan))


def checked_folder(out: str | Path) -> Path:
    """A folder that is new or empty; `BadUsage` otherwise."""
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadUsage(f"{folder} is not an empty folder: name a new one for the results")
    return folder


def _safe(name: str) -> str:
    """A run's id or a file's name, which never leads elsewhere."""
    if not name or any(sign in name for sign in "/\\?#%") or name.startswith("."):
        raise BadUsage(f"{name!r} is not the id of an analysis")
    return name
