"""The node's ASGI app: the only place that chooses the node's implementations and mounts its routes."""

from __future__ import annotations

import functools
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio.to_thread
from fastapi import FastAPI
from sqlalchemy.engine import Engine
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cohelix import __version__, web
from cohelix.access.gate import Gate
from cohelix.access.grants import Grants
from cohelix.bank import Bank, Scrubber
from cohelix.bank.counter import Counter
from cohelix.bank.membership import charging
from cohelix.beacon import About, Beacon
from cohelix.beacon.routes import PREFIX, BeaconApp, openapi_paths
from cohelix.db import open_database
from cohelix.disclosure import telling
from cohelix.disclosure.budget import Budget
from cohelix.disclosure.ledger import Ledger, ledger_key
from cohelix.federation.audit_log import open_log
from cohelix.federation.audit_routes import audit_router
from cohelix.federation.console import Examine
from cohelix.federation.dial_out import DialOut
from cohelix.federation.door import Door
from cohelix.federation.granting import Granting, NodeData, granting_door
from cohelix.federation.heralds import noting
from cohelix.federation.node_runs import NodeRuns
from cohelix.federation.revocations import RevocationWatch, open_signing
from cohelix.federation.roster import Peer
from cohelix.federation.routes import node_router, open_doors
from cohelix.federation.run_access import RunAccess
from cohelix.federation.run_doors import RunDoors
from cohelix.federation.run_party import Party, Stance
from cohelix.federation.signing import public_key
from cohelix.federation.transport import PATH, RUN_BYTES_MAX, RUN_PREFIX
from cohelix.federation.witness import QUESTION, Witness, keys_at_node, witnessing
from cohelix.federation.worker import Workers, workers_wanted
from cohelix.genotypes.kernels import warm
from cohelix.node.consent import ConsentFollower, consent_pages
from cohelix.node.gate import NodeTrust, identify, make_gate
from cohelix.node.operate import node_console, operator_pages
from cohelix.node.settings import NodeSettings, database_of, read_settings
from cohelix.stats.compiled import compile_all
from cohelix.wire.grants import QUESTION as GRANTS_QUESTION
from cohelix.wire.service_info import ServiceInfo, ServiceOrganisation, ServiceType

T = TypeVar("T")


def create_app(folder: Path, *, dask: str | None = None, examine: Examine | None = None) -> FastAPI:
    """The app of the node in a folder.

    Parameters
    ----------
    dask
        Address of the Dask scheduler that computes the node's part of analyses; None for workers of its own.
    examine
        The doctor's look at the folder, for the operator's page.

    Raises
    ------
    NotFound
        If the folder is not a node's.
    """
    settings = read_settings(folder)
    door = Door(folder)
    log = open_log(folder, f"node/{settings.id}", database_of(folder, settings))
    engine = once(lambda: open_database(database_of(folder, settings)))
    roads = web.member_roads(folder, settings)
    trust = NodeTrust(folder, settings.id, door)
    grants = once(lambda: Grants(engine()))
    watch = RevocationWatch(folder, grants, trust.keys, door.pinned, tls=roads.context)
    budget = once(lambda: Budget(engine(), ledger_key(folder)))
    gate = make_gate(trust, log, revocations=watch.known, charging=charging(budget))
    counter = Counter(Bank.open(folder, settings.node, gate.public), gate)
    bank = counter.bank
    consent = ConsentFollower(folder, settings.node, bank, log)
    runs = _run_doors(folder, settings, door, gate, engine, dask=dask)

    granting = Granting(
        folder,
        NodeData(folder, settings.id, settings.country),
        grants=grants,
        hub_url=lambda: hub.hub_url.rstrip("/") if (hub := door.pinned()) else "",
        note=lambda event: log.record(event, by=f"node:{settings.id}", wait=True),
        rules=lambda: read_settings(folder).applications,
    )

    def figures() -> dict[str, float]:
        return {**_figures(bank), **console.figures()}

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # Compiled code is loaded before the first question, not by it.
        warm()
        compile_all(vars(telling))
        scrubber = Scrubber(bank, folder)
        scrubber.start()
        log.begin()
        async with DialOut(folder, door, tls=roads.context).running(), runs.serving(), watch.running(), consent.running():
            yield
        scrubber.stop()
        await anyio.to_thread.run_sync(log.close)

    app = FastAPI(
        title=f"Cohelix node {settings.id}",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    meters = web.install(
        app,
        service="node",
        ready=lambda: _missing(bank),
        figures=figures,
        metrics_token=web.make_token(folder),
        large_bodies={f"{PATH}/{RUN_PREFIX}": RUN_BYTES_MAX},
        members_only=(PATH,) if settings.tls_mutual else (),
    )
    console = node_console(
        folder, settings, log, bank=bank, engine=engine, granting=granting, examine=examine, problems=meters.refused
    )
    beacon = Beacon(counter, _about(settings), folder / "cohorts")
    open_doors(
        door,
        counter,
        node=settings.node,
        name=settings.name,
        country=settings.country,
        may_overlap=settings.may_overlap,
        beacon=beacon.door,
        project_count=runs.project_count,
    )
    runs.open()
    open_signing(door, folder, grants, watch)
    door.open(GRANTS_QUESTION, granting_door(granting, watch.visas_wait))
    door.open("successions", noting(door, lambda: {peer.id: peer.key for peer in read_settings(folder).peers}))
    keys = keys_at_node(door, lambda: {peer.id: peer.key for peer in read_settings(folder).peers})
    door.open(QUESTION, witnessing(Witness(log, door.identity, keys)))
    app.include_router(node_router(door))
    app.include_router(audit_router(log))
    app.router.routes.extend(
        consent_pages(folder, settings.node, engine, log, name=settings.name, url=settings.url or "").routes()
    )
    # Most questions are the Beacon's.
    web.answer_first(app, PREFIX, BeaconApp(beacon, settings.url, who=identify(folder, settings, gate, engine, door.pinned)))
    app.router.routes.extend(operator_pages(console, settings, engine).routes())
    _own_addresses(app, settings)
    web.describe(app, openapi_paths())
    return app


def once(make: Callable[[], T]) -> Callable[[], T]:
    """What is made by whoever needs it first, and is the same for all threads: a database, for one."""
    made, lock = functools.cache(make), threading.RLock()

    def one() -> T:
        with lock:
            return made()

    return one


def _run_doors(
    folder: Path, settings: NodeSettings, door: Door, gate: Gate, engine: Callable[[], Engine], *, dask: str | None
) -> RunDoors:
    """What answers the questions of analyses; the database is opened by the first of them."""

    def stance() -> Stance:
        now = read_settings(folder)  # what commands change holds from the next question on
        peers = {}
        for peer in now.peers:
            key, *former = door.successions.keys(public_key(peer.key), peer.id)
            peers[peer.id] = Peer(key, peer.aggregator, tuple(former))
        return Stance(now.analysis, peers, now.aggregator)

    party = Party(
        folder,
        settings.id,
        door,
        NodeRuns(folder, engine),
        stance=stance,
        ledger=once(lambda: Ledger(engine(), ledger_key(folder))),
        access=RunAccess(gate, settings.id),
    )
    return RunDoors(party, Workers(workers_wanted(), dask=dask))


def _own_addresses(app: FastAPI, settings: NodeSettings) -> None:
    async def root(_request: Request) -> Response:
        """Where to go from here."""
        return JSONResponse(
            {
                "node": settings.id,
                "name": settings.name,
                "country": settings.country,
                "version": __version__,
                "links": {"beacon": PREFIX, "serviceInfo": "/service-info", "openapi": "/openapi.json", "health": "/healthz"},
            }
        )

    async def service_info(request: Request) -> Response:
        """GA4GH service-info of the node."""
        base = settings.url or str(request.base_url).rstrip("/")
        return JSONResponse(
            ServiceInfo(
                id=f"org.cohelix.node.{settings.id}",
                name=settings.name,
                type=ServiceType(group="org.cohelix", artifact="node", version=__version__),
                description="A node of a federation of genome banks.",
                organization=ServiceOrganisation(name=_organisation(settings), url=settings.organisation_url or base),
                environment=settings.environment,
                version=__version__,
            ).body()
        )

    app.add_api_route("/", root, methods=["GET"], summary="The node", tags=["node"])
    app.add_api_route("/service-info", service_info, methods=["GET"], summary="GA4GH service-info", tags=["node"])


def _about(settings: NodeSettings) -> About:
    return About(
        beacon_id=f"org.cohelix.beacon.{settings.id}",
        name=f"{settings.name} Beacon",
        organisation_id=f"org.cohelix.{settings.id}",
        organisation=_organisation(settings),
        organisation_url=settings.organisation_url,
        version=__version__,
        environment=settings.environment,
    )


def _organisation(settings: NodeSettings) -> str:
    return settings.organisation or settings.name


def _missing(bank: Bank) -> str | None:
    """Why no question can be answered: every dataset is damaged. One that is sound is enough; the others say so themselves."""
    return "no dataset can be opened" if bank.damaged() and not bank.datasets() else None


def _figures(bank: Bank) -> dict[str, float]:
    return {"cohelix_datasets": len(bank.datasets()), "cohelix_damaged_datasets": len(bank.damaged())}
