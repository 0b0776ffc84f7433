"""Runs an analysis again and again while its hub, aggregators and contributors are killed and started again."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from cohelix.sdk import Client, connect
from cohelix.sdk.analyses import Analysis, Event
from cohelix.testing.analyses import AnalysisFederation
from validation.processes import done, inside

MEMBERS = {"FI": 60, "GB": 70, "IT": 60, "CEU": 50}  # FI, GB and IT add up, too


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

    began = threading.Event()
    disturbing = threading.Thread(target=disturb)

    def say(event: Event) -> None:
        if event.event == "state" and event.document["state"] == "open" and not began.is_set():
            began.set()
            disturbing.start()

    with connect(federation.url) as client:
        found = client.analyses.run(federation.plan(options={"all_nodes": True}), say=say)
        stop.set()
        if began.is_set():
            disturbing.join()
        assert isinstance(found, Analysis)
        exact = found.state == "held" and _table(client, federation, found, folder).equals(expected)
    return Ended(tuple(killed), found.state, found.reason, found.people, exact)


def _table(client: Client, federation: AnalysisFederation, run: Analysis, folder: Path) -> pl.DataFrame:
    with inside():
        done("hub", "review", federation.folder / "hub", run.id, "--by", "proof", "--release")
    return client.analyses.result(run.id, folder / run.id).to_polars()
