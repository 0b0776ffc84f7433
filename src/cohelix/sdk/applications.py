"""Applications for data from Python: `client.applications.catalogue`, `advise`, `create`, `act`, with the hub's words.

What is asked, in which order, is written once, as steps that yield requests and take their answers; `ApplicationsClient` and
`AsyncApplicationsClient` send them.
"""

from __future__ import annotations

import secrets
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.parse import quote

import httpx

from cohelix.core.errors import BadUsage
from cohelix.sdk.answers import problem_of, read_answer, unreachable
from cohelix.sdk.frames import Kind, Tabular
from cohelix.sdk.own_key import own_key, sign_event
from cohelix.wire.application_documents import (
    ApplicationDocument,
    ApplicationsDocument,
    CatalogueDocument,
    EventsDocument,
)
from cohelix.wire.history import DECISIONS
from cohelix.wire.identity import Me

_PATH = "/api/v1/applications"
_CATALOGUE = "/api/v1/catalogue"
_SIGNED_ANEW = 5


class CatalogueTable(Tabular, CatalogueDocument):
    """The datasets that one may apply for; as a table one row for each, with the advice where a purpose was stated."""

    columns: ClassVar[dict[str, Kind]] = {
        "dataset": "text",
        "title": "text",
        "country": "text",
        "authority": "text",
        "uses": "text",
        "advice": "text",
        "why": "text",
    }
    text_shown: ClassVar[int] = 1000

    def rows(self) -> Iterable[Sequence[Any]]:
        for one in self.datasets:
            why = "; ".join(found.reason for found in one.findings if found.advice == one.advice) or None
            record = one.record
            yield (record.id, record.title, record.country, record.authority, ", ".join(one.uses), one.advice, why)


class Applications(Tabular, ApplicationsDocument):
    """The applications that one may read; as a table one row for each."""

    columns: ClassVar[dict[str, Kind]] = {
        "id": "text",
        "title": "text",
        "stage": "text",
        "changed_at": "text",
        "due_at": "text",
    }

    def rows(self) -> Iterable[Sequence[Any]]:
        for one in self.applications:
            yield (one.id, one.title, one.stage, one.changed_at, one.due_at)


class Application(Tabular, ApplicationDocument):
    """An application; as a table one row for each of its datasets."""

    columns: ClassVar[dict[str, Kind]] = {
        "dataset": "text",
        "authority": "text",
        "country": "text",
        "stage": "text",
        "since": "text",
        "until": "text",
        "conditions": "text",
    }
    text_shown: ClassVar[int] = 1000

    def rows(self) -> Iterable[Sequence[Any]]:
        if not self.lines:
            for asked in self.form.lines:
                yield (asked.dataset, asked.authority, asked.country, "not handed in", None, None, None)
        for one in self.lines:
            conditions = "; ".join(one.conditions) or None
            yield (one.dataset, one.authority, one.country, one.stage, one.since, one.until, conditions)

    def caption(self) -> str:
        return f"{self.id}, {self.form.title or 'without a title'}: {self.stage}"


@dataclass(frozen=True, slots=True)
class _Request:
    """One request; with a `key`, or as a GET, it is sent again after a broken connection, and happens once."""

    method: str
    path: str
    key: str | None = None
    rest: dict[str, Any] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        return {"idempotency-key": self.key} if self.key else {}

    @property
    def again(self) -> bool:
        return bool(self.key) or self.method == "GET"


_Found = TypeVar("_Found")
_Steps = Generator[_Request, httpx.Response, _Found]


class ApplicationsClient:
    """Applies and decides as whoever has logged in; errors are the house's, with the hub's words.

    What happens is an event: `act(id, "voted", dataset="FI:a", vote="approve")`. `docs/concepts/applications.md` has the
    events, and who may do which when.
    """

    def __init__(self, http: httpx.Client, url: str) -> None:
        self._http, self._url = http, url

    def issuer(self) -> str:
        """Who knows the person who asks."""
        return self._take(_issuer())

    def catalogue(self) -> CatalogueTable:
        """The datasets that members tell of."""
        return self._take(_catalogue())

    def advise(self, *, datasets: Sequence[str] = (), **purpose: Any) -> CatalogueTable:
        """What the data-use codes say of a purpose; a rule's advice, the committee decides.

        Parameters
        ----------
        datasets
            Ids as NODE:DATASET; none for all.
        purpose
            `investigations` (`["genetic"]`), `diseases` (codes), `commercial`, `for_profit`, `country`, `months`.
        """
        return self._take(_advise(datasets, purpose))

    def create(self, datasets: Sequence[str] = (), **form: Any) -> Application:
        """Begin an application for datasets of the catalogue; the other fields are the form's.

        Raises
        ------
        BadUsage
            If nobody decides about a dataset, so that nobody can apply for it.
        """
        return self._take(_create(datasets, form))

    def lines_of(self, datasets: Sequence[str]) -> list[dict[str, str]]:
        """The basket's lines of datasets: who decides about each, and which country may veto, as its holder says."""
        return self._take(_lines_of(datasets))

    def list(self) -> Applications:
        """The applications that one may read, the last changed first."""
        return self._take(_list())

    def get(self, application: str) -> Application:
        """One application."""
        return self._take(_get(application))

    def events(self, application: str) -> tuple[dict[str, Any], ...]:
        """What happened to it, in order."""
        return self._take(_events(application))

    def save(self, application: str, **changed: Any) -> Application:
        """Change fields of a draft's form; `datasets` takes the place of the basket."""
        return self._take(_save(application, changed))

    def act(self, application: str, event: str, **fields: Any) -> Application:
        """Make something happen; a request that is sent again after a broken connection happens once.

        Decisions are signed where this machine has a key of one's own (`cohelix keys own`).
        """
        return self._take(_act(application, event, fields))

    def attach(self, application: str, path: str | Path) -> None:
        """Attach a file to a draft, under its name."""
        self._take(_attach(application, Path(path)))

    def copy(self, application: str) -> Application:
        """Begin a new application with the form of this one."""
        return self._take(_copy(application))

    def draw_agreement(self, application: str, datasets: Sequence[str]) -> Application:
        """Write the agreement on confirmed datasets."""
        return self._take(_draw_agreement(application, datasets))

    def agreement(self, application: str, sha256: str) -> str:
        """The text of an agreement."""
        return self._take(_agreement(application, sha256))

    def _take(self, steps: _Steps[_Found]) -> _Found:
        try:
            request = next(steps)
            while True:
                request = steps.send(self._send(request))
        except StopIteration as end:
            found: _Found = end.value
            return found

    def _send(self, request: _Request) -> httpx.Response:
        for attempt in (1, 2):
            try:
                return self._http.request(request.method, request.path, headers=request.headers, **request.rest)
            except httpx.HTTPError as error:
                if attempt == 2 or not request.again:
                    raise unreachable(self._url, error) from error
        raise AssertionError("the second attempt ends it")


class AsyncApplicationsClient:
    """The same as `ApplicationsClient`, for programs that use asyncio; `AsyncClient.applications` is one."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self._http, self._url = http, url

    async def issuer(self) -> str:
        """As `ApplicationsClient.issuer`."""
        return await self._take(_issuer())

    async def catalogue(self) -> CatalogueTable:
        """As `ApplicationsClient.catalogue`."""
        return await self._take(_catalogue())

    async def advise(self, *, datasets: Sequence[str] = (), **purpose: Any) -> CatalogueTable:
        """As `ApplicationsClient.advise`."""
        return await self._take(_advise(datasets, purpose))

    async def create(self, datasets: Sequence[str] = (), **form: Any) -> Application:
        """As `ApplicationsClient.create`."""
        return await self._take(_create(datasets, form))

    async def lines_of(self, datasets: Sequence[str]) -> list[dict[str, str]]:
        """As `ApplicationsClient.lines_of`."""
        return await self._take(_lines_of(datasets))

    async def list(self) -> Applications:
        """As `ApplicationsClient.list`."""
        return await self._take(_list())

    async def get(self, application: str) -> Application:
        """As `ApplicationsClient.get`."""
        return await self._take(_get(application))

    async def events(self, application: str) -> tuple[dict[str, Any], ...]:
        """As `ApplicationsClient.events`."""
        return await self._take(_events(application))

    async def save(self, application: str, **changed: Any) -> Application:
        """As `ApplicationsClient.save`."""
        return await self._take(_save(application, changed))

    async def act(self, application: str, event: str, **fields: Any) -> Application:
        """As `ApplicationsClient.act`."""
        return await self._take(_act(application, event, fields))

    async def attach(self, application: str, path: str | Path) -> None:
        """As `ApplicationsClient.attach`."""
        await self._take(_attach(application, Path(path)))

    async def copy(self, application: str) -> Application:
        """As `ApplicationsClient.copy`."""
        return await self._take(_copy(application))

    async def draw_agreement(self, application: str, datasets: Sequence[str]) -> Application:
        """As `ApplicationsClient.draw_agreement`."""
        return await self._take(_draw_agreement(application, datasets))

    async def agreement(self, application: str, sha256: str) -> str:
        """As `ApplicationsClient.agreement`."""
        return await self._take(_agreement(application, sha256))

    async def _take(self, steps: _Steps[_Found]) -> _Found:
        try:
            request = next(steps)
            while True:
                request = steps.send(await self._send(request))
        except StopIteration as end:
            found: _Found = end.value
            return found

    async def _send(self, request: _Request) -> httpx.Response:
        for attempt in (1, 2):
            try:
                return await self._http.request(request.method, request.path, headers=request.headers, **request.rest)
            except httpx.HTTPError as error:
                if attempt == 2 or not request.again:
                    raise unreachable(self._url, error) from error
        raise AssertionError("the second attempt ends it")


def _issuer() -> _Steps[str]:
    return read_answer(Me, (yield _Request("GET", "/api/v1/me"))).issuer


def _catalogue() -> _Steps[CatalogueTable]:
    return read_answer(CatalogueTable, (yield _Request("GET", _CATALOGUE)))


def _advise(datasets: Sequence[str], purpose: Mapping[str, Any]) -> _Steps[CatalogueTable]:
    wanted = {"datasets": list(datasets), **_camel(purpose)}
    return read_answer(CatalogueTable, (yield _Request("POST", f"{_CATALOGUE}/advice", rest={"json": wanted})))


def _create(datasets: Sequence[str], form: Mapping[str, Any]) -> _Steps[Application]:
    filled = {**form, "lines": (yield from _lines_of(datasets))}
    return read_answer(Application, (yield _Request("POST", _PATH, _fresh(), {"json": {"form": filled}})))


def _lines_of(datasets: Sequence[str]) -> _Steps[list[dict[str, str]]]:
    if not datasets:
        return []
    records = {one.record.id: one.record for one in (yield from _catalogue()).datasets}
    lines = []
    for name in datasets:
        record = records.get(name)
        if record is None:
            raise BadUsage(f"no member tells of a dataset {name[:120]}: see `cohelix apply catalogue`")
        if not record.authority or not record.country:
            raise BadUsage(f"nobody can apply for {name}: its holder has not said who decides")
        lines.append({"dataset": name, "authority": record.authority, "country": record.country})
    return lines


def _list() -> _Steps[Applications]:
    return read_answer(Applications, (yield _Request("GET", _PATH)))


def _get(application: str) -> _Steps[Application]:
    return read_answer(Application, (yield _Request("GET", _one(application))))


def _events(application: str) -> _Steps[tuple[dict[str, Any], ...]]:
    return read_answer(EventsDocument, (yield _Request("GET", _one(application, "events")))).events


def _save(application: str, changed: dict[str, Any]) -> _Steps[Application]:
    form = (yield from _get(application)).form.model_dump(mode="json")
    if "datasets" in changed:
        changed = {**changed, "lines": (yield from _lines_of(changed["datasets"]))}
        del changed["datasets"]
    whole = {"json": {**form, **changed}}
    return read_answer(Application, (yield _Request("PUT", _one(application, "form"), rest=whole)))


def _act(application: str, event: str, fields: Mapping[str, Any]) -> _Steps[Application]:
    key = own_key() if event in DECISIONS else None
    if key is None:
        wanted = {"json": {"event": event, **fields}}
        return read_answer(Application, (yield _Request("POST", _one(application, "events"), _fresh(), wanted)))
    me, request = read_answer(Me, (yield _Request("GET", "/api/v1/me"))), _fresh()
    by = {"subject": me.subject, "issuer": me.issuer}
    seen = yield from _get(application)
    for _ in range(_SIGNED_ANEW):  # a clock, or somebody else, was faster: what is signed has to say so
        told = {"event": event, **fields}
        statement = sign_event(key, application=application, after=seen.head, by=by, event=told)
        signed = {"json": {**told, "statement": statement}}
        answer = yield _Request("POST", _one(application, "events"), request, signed)
        before = seen.head
        if answer.status_code != httpx.codes.CONFLICT or (seen := (yield from _get(application))).head == before:
            break
    return read_answer(Application, answer)


def _attach(application: str, file: Path) -> _Steps[None]:
    content = {"content": file.read_bytes()}
    answer = yield _Request("PUT", _one(application, "attachments", file.name), rest=content)
    if answer.status_code != httpx.codes.NO_CONTENT:
        raise problem_of(answer)


def _copy(application: str) -> _Steps[Application]:
    return read_answer(Application, (yield _Request("POST", _one(application, "copy"), _fresh())))


def _draw_agreement(application: str, datasets: Sequence[str]) -> _Steps[Application]:
    wanted = {"json": {"datasets": list(datasets)}}
    return read_answer(Application, (yield _Request("POST", _one(application, "agreements"), rest=wanted)))


def _agreement(application: str, sha256: str) -> _Steps[str]:
    answer = yield _Request("GET", _one(application, "agreements", sha256))
    if answer.status_code != httpx.codes.OK:
        raise problem_of(answer)
    return answer.text


def _one(application: str, *steps: str) -> str:
    return "/".join([_PATH, *(quote(step, safe="") for step in (application, *steps))])


def _fresh() -> str:
    return secrets.token_hex(16)


def _camel(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"forProfit" if name == "for_profit" else name: value for name, value in fields.items()}
