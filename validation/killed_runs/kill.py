"""Runs an analysis again and again while its hub, aggregators and contributors are killed and started again."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from cohelix.sdk import Client, connect
from cohelix.sdk.analyses import Analysis, Event
from cohelix.testing.analyses import AnalysisFederation
from validation.processes import done, inside

MEMBERS = {"FI": 60, "GB": 70, "IT": 60, "CEU": 50}  # CEU, FI and GB add up, too
DIALLING_OUT = ("CEU",)
DEADLINE_VARIABLE = "COHELIX_HUB_RUN_DEADLINE_SECONDS"


@dataclass(frozen=True)
class Ended:
    """How one run ended: who was killed and after how many seconds of it, its state, and whether its table is exact."""

    kills: tuple[tuple[str, float], ...]
    state: str
    reason: str | None
    people: int | None
    exact: bool


def undisturbed(federation: AnalysisFederation, folder: Path) -> pl.DataFrame:
    """The table of a run that nobody disturbs."""
    with connect(federation.url) as client:
        found = client.analyses.run(federation.plan())
        assert isinstance(found, Analysis) and found.state == "held", found
        return _table(client, federation, found, folder)


def disturbed(
    federation: AnalysisFederation, expected: pl.DataFrame, kills: int, chance: np.random.Generator, folder: Path
) -> Ended:
    """One run in which `kills` servers are killed with SIGKILL at random moments, each started again at once."""
    stop = threading.Event()
    killed: list[tuple[str, float]] = []
    names = ["hub", *federation.members]

    def disturb() -> None:
        for _ in range(kills):
            wait = float(chance.exponential(1.5))
            if stop.wait(wait):
                return
            name = names[int(chance.integers(len(names)))]
            federation.kill(name)
            killed.append((name, round(wait, 2)))
            federation.serve(name)

    with connect(federation.url) as client:
        begun = client.analyses.propose(federation.plan(options={"all_nodes": True}))
        disturbing = threading.Thread(target=disturb)
        disturbing.start()
        found = client.analyses.wait(begun.id)
        stop.set()
        disturbing.join()
        exact = found.state == "held" and _table(client, federation, found, folder).equals(expected)
    return Ended(tuple(killed), found.state, found.reason, found.people, exact)


def lost_for_good(federation: AnalysisFederation, name: str) -> tuple[Analysis, float]:
    """A run whose contributor is killed while it computes and does not come back; and how many seconds the run took."""

    def say(event: Event) -> None:
        if event.event == "state" and event.document["state"] == "running":
            federation.kill(name)

    start = time.monotonic()
    with connect(federation.url) as client:
        found = client.analyses.run(federation.plan(options={"all_nodes": True}), say=say)
    taken = time.monotonic() - start
    federation.serve(name)
    assert isinstance(found, Analysis)
    return found, taken


def restart_hub(federation: AnalysisFederation, *, deadline_seconds: float | None) -> None:
    """Start the hub again, with another deadline of runs; None for the usual one."""
    federation.kill("hub")
    os.environ.pop(DEADLINE_VARIABLE, None)
    if deadline_seconds is not None:
        os.environ[DEADLINE_VARIABLE] = str(deadline_seconds)
    federation.serve("hub")


def _table(client: Client, federation: AnalysisFederation, run: Analysis, folder: Path) -> pl.DataFrame:
    with inside():
        done("hub", "review", federation.folder / "hub", run.id, "--by", "proof", "--release")
    return client.analyses.result(run.id, folder / run.id).to_polars()
