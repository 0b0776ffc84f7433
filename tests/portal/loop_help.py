"""A hub's pages of applying and deciding over a real store, for people who are logged in by role; time is set by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastapi import FastAPI
from starlette.requests import HTTPConnection, Request
from starlette.routing import Route

from cohelix import web
from cohelix.access.actor import Actor, Role
from cohelix.access.application_store import ApplicationLine, ApplicationStore
from cohelix.access.applications import Acting, Application, Rules
from cohelix.access.caller import NOBODY, Caller, keep_caller
from cohelix.access.duo import Match, Purpose, match
from cohelix.core.errors import NotFound, NotPermitted
from cohelix.db import open_database
from cohelix.hub.application_pages import application_pages, clauses_of, only_itself
from cohelix.portal.assets import asset
from cohelix.testing.federation import address_of, free_listener, running_app
from cohelix.web.forms import read_form
from cohelix.wire.applications import Event
from cohelix.wire.dataset import DatasetRecord, DataUseClause, Floors
from validation.applications.walks import PEOPLE

KEY = "f" * 64
WHO: dict[str, Acting] = {acting.who.subject: acting for acting in PEOPLE}


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 2, 2, 9, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()


def record(identifier: str, **changes: Any) -> DatasetRecord:
    """A dataset that may be applied for."""
    node = identifier.partition(":")[0]
    given: dict[str, Any] = {
        "id": identifier,
        "title": f"Cohort of {node}",
        "assembly": "GRCh38",
        "disclosure": "floored",
        "floors": Floors(frequency=5, people=10),
        "absent_means": "hom_ref",
        "version": 1,
        "release": 1,
        "n_individuals": 2000,
        "country": node,
        "dataset_type": "1mg-compliant",
        "authority": f"{node}-dac",
        "duo": (DataUseClause(code="HMB"), DataUseClause(code="IRB"), DataUseClause(code="NCU")),
        "description": "Adults who were recruited in primary care, with genotypes and blood pressure.",
    }
    return DatasetRecord(**(given | changes))


RECORDS = {
    one.id: one
    for one in (
        record("FI:a"),
        record("FI:b", duo=(DataUseClause(code="DS", diseases=("MONDO:0004992",)),)),
        record("IT:c", duo=(DataUseClause(code="POA"),), dataset_type="1mg-cohort"),
        record("GB:open", disclosure="open", authority=None, duo=()),
    )
}


@dataclass
class Shelf:
    """A catalogue that a test writes down."""

    held: dict[str, DatasetRecord] = field(default_factory=lambda: dict(RECORDS))

    async def records(self) -> Mapping[str, DatasetRecord]:
        return self.held

    def advise(self, record: DatasetRecord, purpose: Purpose) -> Match:
        return match(clauses_of(record), purpose, descends=only_itself, today=date(2026, 2, 2))


class StoreDesk:
    """A desk over the real store; whoever has a duty reads everything, an applicant the own."""

    def __init__(self, store: ApplicationStore) -> None:
        self.store, self.files, self.texts = store, dict[tuple[str, str], bytes](), dict[str, str]()

    @property
    def rules(self) -> Rules:
        return self.store.rules

    async def acting(self, caller: Caller) -> Acting:
        return WHO[caller.actor.subject]

    async def create(self, caller: Caller, form: Mapping[str, Any], request: str | None) -> str:
        return self.store.create(await self.acting(caller), dict(form), request=request)[0]

    async def add(self, caller: Caller, identifier: str, event: Mapping[str, Any], request: str | None) -> Application:
        return self.store.add(identifier, await self.acting(caller), dict(event), request=request)

    async def read(self, caller: Caller, identifier: str) -> tuple[Application, Sequence[Event]]:
        state, acting = self.store.get(identifier), await self.acting(caller)
        if acting.roles <= {Role.RESEARCHER} and acting.who not in (state.applicant, *state.form.members):
            raise NotFound("there is no such application")
        return state, self.store.events(identifier)

    async def listed(self, caller: Caller) -> Sequence[ApplicationLine]:
        acting = await self.acting(caller)
        return self.store.listed(applicant=acting.who if acting.roles <= {Role.RESEARCHER} else None)

    async def attach(self, caller: Caller, identifier: str, name: str, content: bytes) -> None:
        form = self.store.get(identifier).form.model_dump()
        form["attachments"] = {**form["attachments"], name: hashlib.sha256(content).hexdigest()}
        await self.add(caller, identifier, {"event": "edited", "form": form}, None)
        self.files[identifier, name] = content

    async def attachment(self, caller: Caller, identifier: str, name: str) -> tuple[bytes, str]:
        await self.read(caller, identifier)
        return self.files[identifier, name], "application/pdf"

    async def draw_agreement(self, caller: Caller, identifier: str, datasets: Sequence[str]) -> None:
        self.draw(identifier, await self.acting(caller), datasets)

    def draw(self, identifier: str, acting: Acting, datasets: Sequence[str]) -> str:
        text = f"AGREEMENT\n\nThe user may use {', '.join(datasets)}.\n" + "Clause. " * 200
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        self.texts[sha256] = text
        self.store.add(identifier, acting, {"event": "agreement-drawn", "datasets": datasets, "sha256": sha256})
        return sha256

    async def agreement(self, caller: Caller, identifier: str, sha256: str) -> str:
        await self.read(caller, identifier)
        return self.texts[sha256]


@dataclass
class Loop:
    """The running pages."""

    url: str
    desk: StoreDesk
    clock: Hands
    shelf: Shelf

    def make(self, subject: str, name: str, **event: Any) -> Application:
        """Make something happen past the pages."""
        return self.desk.store.add(name, WHO[subject], event)


async def caller_of(request: HTTPConnection) -> Caller:
    """Whoever the cookie names; a stranger has none."""
    acting = WHO.get(request.cookies.get("who", ""))
    if acting is None:
        return keep_caller(request, replace(NOBODY, may_log_in=True))
    actor = Actor(acting.who.subject, acting.who.issuer, acting.roles)
    return keep_caller(request, Caller(actor, "session", acting.who.subject, "handle", KEY, may_log_in=True))


async def form_of(request: Request) -> dict[str, str]:
    """A form with the session's key, as the hub's `People.form_of`."""
    fields = await read_form(request)
    if fields.get("form_key") != KEY or not (await caller_of(request)).actor.known:
        raise NotPermitted("the form is not of your present session: open its page again")
    return fields


@cache
def _empty_database() -> bytes:
    """A database with all its tables, made once for all tests."""
    with TemporaryDirectory() as place:
        path = Path(place) / "empty.sqlite"
        open_database(path).dispose()  # the last connection to close puts everything into the one file
        return path.read_bytes()


@contextmanager
def loop_over(folder: Path) -> Iterator[Loop]:
    """Pages over an empty store."""
    clock, shelf = Hands(), Shelf()
    (folder / "loop.sqlite").write_bytes(_empty_database())
    store = ApplicationStore(open_database(folder / "loop.sqlite"), clock=clock)
    desk, app = StoreDesk(store), FastAPI()
    web.install(app, service="hub")
    app.router.routes.extend(application_pages(desk, shelf, caller_of, form_of, clock))
    app.router.routes.append(Route("/static/{digest}/{name}", asset))
    listener = free_listener()
    with running_app(app, listener):
        yield Loop(address_of(listener), desk, clock, shelf)


FORM: dict[str, Any] = {
    "title": "Blood pressure and rare variants",
    "summary": "We ask whether rare variants raise the blood pressure of adults.",
    "organisation": "institute",
    "lines": [
        {"dataset": f"{n}:{d}", "authority": f"{n}-dac", "country": n} for n, d in (("FI", "a"), ("FI", "b"), ("IT", "c"))
    ],
    "investigations": ["genetic", "biomedical"],
    "commercial": False,
    "for_profit": False,
    "country": "FI",
    "months": 24,
}


def submitted(loop: Loop, **changes: Any) -> str:
    """An application before its committees."""
    name, _ = loop.desk.store.create(WHO["researcher"], {**FORM, **changes})
    loop.make("researcher", name, event="signing-asked")
    loop.make("official", name, event="signed")
    return name


def approved(loop: Loop, dataset: str = "FI:a", **changes: Any) -> str:
    """One of whose datasets its committee has approved."""
    name, dac = submitted(loop, **changes), f"dac-{dataset[:2]}"
    for number in (0, 1):
        loop.make(f"{dac}-{number}", name, event="voted", dataset=dataset, vote="approve", comment="Sound.")
    loop.make(f"{dac}-0", name, event="checked", dataset=dataset, points={"The ethics approval is there": True})
    loop.make(
        f"{dac}-0", name, event="proposed", dataset=dataset, decision="approve", reason="Sound.", conditions=("Publish.",)
    )
    loop.make(f"{dac}-1", name, event="decided", dataset=dataset, decision="approve")
    return name
