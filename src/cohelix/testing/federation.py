"""A hub and its nodes in one process, each behind a real server of its own on loopback, on simulated people."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI

from cohelix import hub, node
from cohelix.bank.load import LoadRequest, load
from cohelix.core.genome import Assembly, region_1based
from cohelix.core.ids import DatasetId
from cohelix.federation.joining import join, write_pinned
from cohelix.federation.registry import Registry
from cohelix.federation.signing import load_identity
from cohelix.hub.app import create_app as create_hub
from cohelix.node.app import create_app as create_node
from cohelix.testing.cohorts import SimulatedCohort, part_of, simulate_cohort, write_vcf
from cohelix.wire.dataset import Disclosure
from cohelix.wire.federation import JoinRequest

START_SECONDS: Final = 60.0
# Enough people that a floored dataset tells something, and few enough that it does not tell all.
PEOPLE: Final = 60
VARIANTS: Final = 300
MEMBERS: Final[Mapping[str, Disclosure]] = {"FI": "open", "GB": "floored", "IT": "closed"}


@dataclass
class RunningApp:
    """An app that answers at `url` until it is stopped."""

    url: str
    server: uvicorn.Server
    thread: threading.Thread

    def stop(self) -> None:
        """End the server; open connections are cut."""
        self.server.should_exit = self.server.force_exit = True
        self.thread.join(START_SECONDS)


@dataclass
class RunningFederation:
    """The hub's address, its folder, and each member's server, folder and simulated people."""

    hub: RunningApp
    folder: Path
    nodes: dict[str, RunningApp] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    cohorts: dict[str, SimulatedCohort] = field(default_factory=dict)


@contextmanager
def running_app(app: FastAPI, listener: socket.socket | None = None) -> Iterator[RunningApp]:
    """Serve an app from a thread, on a free port of loopback or on the socket given."""
    listener = listener or free_listener()
    config = uvicorn.Config(app, log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    running = RunningApp(address_of(listener), server, thread)
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.started, "the server did not start"
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def simulated_federation(
    folder: Path, members: Mapping[str, Disclosure] = MEMBERS, *, deadline_seconds: float = 5.0, hub_toml: str = ""
) -> Iterator[RunningFederation]:
    """A hub and members of `PEOPLE` simulated people each, with one dataset `sim` each, joined and serving.

    All members have the same sites of chromosome 22; the people differ. `hub_toml` is added to the hub's settings.
    """
    listener = free_listener()
    settings = hub.make_hub(folder / "hub", url=address_of(listener), name="Test federation")
    toml = folder / "hub" / "hub.toml"
    text = toml.read_text(encoding="utf-8")
    toml.write_text(
        text.replace(f"deadline_seconds = {settings.deadline_seconds}", f"deadline_seconds = {deadline_seconds}") + hub_toml,
        encoding="utf-8",
    )
    with ExitStack() as stack:
        running = stack.enter_context(running_app(create_hub(folder / "hub"), listener))
        federation = RunningFederation(running, folder / "hub")
        shares = simulate_cohort(
            dict.fromkeys(members, PEOPLE),
            VARIANTS,
            seed=22,
            region=region_1based("22", 20_000_001, 20_030_000),
            assembly=Assembly.GRCH37,
        )
        for place, (name, disclosure) in enumerate(members.items()):
            own = part_of(shares, slice(place * PEOPLE, (place + 1) * PEOPLE))
            place_of = folder / name
            node.init_node(place_of, node=name, name=f"Bank of {name}", country=name)
            let_everybody_ask(place_of)
            _load(place_of, own, disclosure)
            member = stack.enter_context(running_app(create_node(place_of)))
            federation.nodes[name], federation.folders[name], federation.cohorts[name] = member, place_of, own
            join_member(federation, name)
        yield federation


def let_everybody_ask(folder: Path) -> None:
    """Have a node answer everybody about floored data, whatever that would tell of its few simulated people."""
    with (folder / "node.toml").open("a", encoding="utf-8") as settings:
        settings.write("\n[disclosure]\nanonymous_power_max = 1.0\n")


def join_member(federation: RunningFederation, name: str, url: str | None = None) -> None:
    """Invite a member and have its node join, at its own address or another."""
    place = federation.folders[name]
    identity, hub_identity = load_identity(place), load_identity(federation.folder)
    token = Registry(federation.folder).invite(name, hub_url=federation.hub.url, hub_key=hub_identity.public)
    settings = node.read_settings(place)
    request = JoinRequest(
        token=token.secret,
        node=settings.id,
        name=settings.name,
        country=settings.country,
        url=url or federation.nodes[name].url,
        key=identity.public,
    )
    write_pinned(place, join(identity, token, request))


def free_listener() -> socket.socket:
    """A listening socket on a free port of loopback."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(256)
    return listener


def address_of(listener: socket.socket) -> str:
    """The http address of a listening socket."""
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def _load(folder: Path, cohort: SimulatedCohort, disclosure: Disclosure) -> None:
    genotypes, people = folder.with_suffix(".vcf.gz"), folder.with_suffix(".tsv")
    write_vcf(cohort, genotypes)
    rows = zip(cohort.samples, cohort.sexes, cohort.populations, strict=True)
    people.write_text("\n".join(["individual_id\tsex\tpopulation", *map("\t".join, rows)]) + "\n", encoding="utf-8")
    request = LoadRequest(
        dataset=DatasetId("sim"),
        genotypes=(genotypes,),
        assembly=cohort.assembly,
        individuals=people,
        disclosure=disclosure,
        simulated=True,
    )
    load(folder, request)
