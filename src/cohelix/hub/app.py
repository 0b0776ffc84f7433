"""Wires registry, fan-out, Beacon network and portal into the hub's app; the only place that chooses implementations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio.to_thread
from fastapi import FastAPI

from cohelix import __version__
from cohelix.access.grants import Grants
from cohelix.access.mail import Post
from cohelix.access.outbox import Outbox
from cohelix.access.visa_store import VisaStore
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.genes import find_gene
from cohelix.core.genome import Assembly
from cohelix.db import open_database
from cohelix.federation.audit_log import open_log
from cohelix.federation.audit_routes import audit_router
from cohelix.federation.console import Examine
from cohelix.federation.heralds import Herald, keys_of
from cohelix.federation.polling import PollingTransport, Roads
from cohelix.federation.questions import Federation
from cohelix.federation.registry import Registry
from cohelix.federation.routes import BROUGHT_BYTES_MAX, hub_router, polling_router, successions_router
from cohelix.federation.runs import Runs
from cohelix.federation.signing import load_identity
from cohelix.federation.successions import SuccessionBook
from cohelix.federation.transport import PATH, HttpTransport
from cohelix.federation.witness import HubWitness, keys_at_hub, successions_of
from cohelix.hub.analyses import AllOpen, Proposals, Reviews, analyses_router
from cohelix.hub.api import api_router
from cohelix.hub.application_pages import FederationCatalogue, application_pages
from cohelix.hub.application_routes import applications_router, catalogue_router, five_safes_of, reports_router
from cohelix.hub.applications import ATTACHMENT_BYTES_MAX, Applications
from cohelix.hub.audit import Desk, audit_entries_router, audit_pages
from cohelix.hub.central import CentralGrants
from cohelix.hub.diseases import Diseases
from cohelix.hub.findings import Findings, findings_router
from cohelix.hub.grants import HubGrants
from cohelix.hub.identity import install_identity
from cohelix.hub.network import network_router
from cohelix.hub.notices import Notices, notice_pages, notices_router
from cohelix.hub.operate import OperatorDesk, hub_console, operation_router
from cohelix.hub.revocations import HubRevocations, revocations_router
from cohelix.hub.services import services_router
from cohelix.hub.settings import DATABASE_FILE, HubSettings, read_settings
from cohelix.hub.visas import read_grant, visas_router
from cohelix.portal import browser
from cohelix.portal.checks import check_pages
from cohelix.portal.languages import written
from cohelix.portal.operate import hub_operator_pages
from cohelix.portal.report_page import report_pages
from cohelix.web import install, make_token, member_roads


def create_app(  # noqa: PLR0915 - a line for each wire
    folder: Path, *, desk_clock: Clock | None = None, examine: Examine | None = None
) -> FastAPI:
    """The hub in a folder that `cohelix hub init` made.

    Parameters
    ----------
    desk_clock
        The clock by which applications run; the machine's where nothing is given.
    examine
        The doctor's look at the folder, for the operators' page.
    """
    settings = read_settings(folder)
    identity = load_identity(folder)
    registry = Registry(folder)
    log = open_log(folder, "hub", settings.database)
    book = SuccessionBook(folder)
    keys = keys_of(book)
    polled = PollingTransport(identity, keys=keys, poll_seconds=settings.poll_seconds)
    roads = member_roads(folder, settings)
    dialled = HttpTransport(identity, private_addresses=settings.private_addresses, tls=roads.context, keys=keys)
    transport = Roads(dialled, polled)
    herald = Herald(folder, registry, transport, book, log=log)
    federation = Federation(registry, transport, deadline_seconds=settings.deadline_seconds)
    witness = HubWitness(
        log,
        identity,
        keys_at_hub(registry.members, book),
        members=federation.active,
        transport=transport,
        successions=lambda origin: successions_of(book, origin, settings.url),
        seconds=settings.witness_seconds,
    )
    engine = open_database(settings.database or folder / DATABASE_FILE)
    runs = Runs(
        folder,
        engine,
        transport=transport,
        identity=identity,
        members=registry.members,
        limits=settings.run_limits,
        keys=keys,
    )

    diseases = Diseases(folder)
    catalogue = FederationCatalogue(federation, descends=diseases.descends, called=diseases.called)
    outbox = Outbox(engine, mailing=settings.mail.on)
    post = None
    if settings.mail.on:
        post = Post(settings.mail, folder, hub_url=settings.url, name=settings.name, speaking=written)
    notices = Notices(outbox, post)
    applications = Applications(
        folder,
        engine,
        log,
        rules=settings.applications,
        clock=desk_clock,
        decided_by=catalogue.decided_by,
        outbox=outbox,
    )
    revocations = HubRevocations(folder, engine, transport, federation.active, hub_url=settings.url)
    visas = VisaStore(engine)

    def hand_in(token: str) -> None:
        now = SystemClock().now()
        visas.put(read_grant(token, authorities=revocations.authorities(), hub_url=settings.url, now=now))
        persons.visas_changed()

    central = CentralGrants(
        folder,
        Grants(engine),
        hub_url=settings.url,
        rules=settings.applications,
        note=lambda event: log.record(event, by="hub", wait=True),
        hand_in=hand_in,
    )
    grants = HubGrants(applications.store, transport, federation.active, central=(central, catalogue.decided_by))
    applications.watched_by(grants.wake)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        for assembly in Assembly:  # gene tables are read before the first question, not by it
            await anyio.to_thread.run_sync(find_gene, "", assembly)
        log.begin()
        await runs.start()
        tasks = (herald, witness, revocations, applications, notices, grants)
        async with AsyncExitStack() as stack:
            for task in tasks:
                await stack.enter_async_context(task.running())
            yield
        await runs.close()
        await federation.close()
        await persons.close()
        await anyio.to_thread.run_sync(log.close)

    def figures() -> dict[str, float]:
        return {**applications.figures(), **console.figures()}

    app = FastAPI(title=settings.name, version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    meters = install(
        app,
        service="hub",
        figures=figures,
        metrics_token=make_token(folder),
        large_bodies={
            f"{PATH}/tasks/": BROUGHT_BYTES_MAX,
            "/api/v1/applications/": ATTACHMENT_BYTES_MAX,
            "/applications/": ATTACHMENT_BYTES_MAX + (64 << 10),
        },
        patient=(f"{PATH}/tasks",),
        members_only=(PATH,) if settings.tls_mutual else (),
    )

    console = hub_console(
        folder,
        settings,
        log,
        registry=registry,
        runs=runs.store,
        outbox=outbox,
        applications=applications.figures,
        examine=examine,
        problems=meters.refused,
    )

    def visas_changed() -> None:
        persons.visas_changed()
        grants.wake()  # whoever handed one in has granted: the application is to say so

    persons = install_identity(
        app, folder, settings, engine, log, federation=federation, visas_in_store=visas.visas_of, outbox=outbox
    )
    app.include_router(
        hub_router(registry, identity, folder, hub_url=settings.url, private_addresses=settings.private_addresses)
    )
    app.include_router(polling_router(registry, polled, identity, folder, hub_url=settings.url, keys=keys))
    app.include_router(audit_router(log))
    app.include_router(revocations_router(revocations))
    app.include_router(
        visas_router(
            visas,
            revocations.authorities,
            log,
            hub_url=settings.url,
            caller_of=persons.people.caller_of,
            learn=revocations.learn,
            changed=visas_changed,
        )
    )
    desk = Desk(log)
    app.include_router(audit_entries_router(desk, persons.people.caller_of))
    app.router.routes.extend(audit_pages(desk, persons.people.caller_of))
    operators = OperatorDesk(console)
    app.include_router(operation_router(operators, persons.people.caller_of))
    app.router.routes.extend(hub_operator_pages(operators, persons.people.caller_of))
    app.include_router(successions_router(herald, identity, folder, hub_url=settings.url))
    app.include_router(api_router(federation, hub_url=settings.url, caller_of=persons.people.caller_of))
    caller_of = persons.people.caller_of
    proposals = Proposals(runs, log, caller_of=caller_of, all_open=_all_open(federation, settings))
    reviews = Reviews(runs, folder, log, caller_of=caller_of)
    app.include_router(analyses_router(runs, proposals, reviews, log, caller_of=caller_of))
    findings = Findings(runs)
    app.include_router(findings_router(findings, caller_of=caller_of))
    app.router.routes.extend(check_pages(reviews, caller_of, persons.people.form_of))
    app.include_router(network_router(federation, settings, caller_of=persons.people.caller_of))
    app.include_router(services_router(federation, settings))
    app.include_router(applications_router(applications, persons.people.caller_of))
    app.include_router(catalogue_router(catalogue))
    report_of = five_safes_of(applications, catalogue, runs.store)
    app.include_router(reports_router(report_of, caller_of))
    app.router.routes.extend(report_pages(report_of, caller_of))
    app.include_router(notices_router(notices, persons.people.caller_of))
    app.router.routes.extend(notice_pages(notices, persons.people.caller_of, persons.people.form_of))
    app.router.routes.extend(
        application_pages(applications, catalogue, persons.people.caller_of, persons.people.form_of, desk_clock)
    )
    app.router.routes.extend(
        browser.routes(federation, runs, findings, proposals, caller_of=caller_of, contact=settings.contact)
    )  # last: it takes every address that is left
    return app


def _all_open(federation: Federation, settings: HubSettings) -> AllOpen | None:
    """Tells whether datasets are open, as their members say now; a member that is away has said nothing."""
    if not (settings.broker.embedded or settings.issuers):
        return None

    async def all_open(datasets: Sequence[str]) -> bool:
        told = await federation.datasets()
        known = {one.id for node in told.nodes for one in node.datasets if one.disclosure == "open"}
        return known.issuperset(datasets)

    return all_open
