"""Answers of two equal nodes over HTTP, asked in turn: one writes its entries, one does not."""

from __future__ import annotations

import os
import shutil
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlencode

import httpx
import numpy as np
import orjson

from cohelix.audit.log import FLUSH_SECONDS
from cohelix.federation.joining import write_pinned
from cohelix.federation.signing import Identity, sign_request
from cohelix.wire.federation import PinnedHub
from validation.access_matrix.matrix import BOUNDS, HUB, PURPOSE, Case, served
from validation.processes import Served

_CALLERS: Final = 8
_QUESTION: Final = "rare allele"
_BEACON: Final = ("referenceName", "start", "referenceBases", "alternateBases")
_TURNS: Final = 4


class _Unwritten(Served):
    """A node whose log takes no entries."""

    def __init__(self, kind: str, folder: Path) -> None:
        super().__init__(kind, folder, program="validation.audit.unwritten")


class Answers(NamedTuple):
    """What a node's answers took: seconds of each controlled one, and the server's processor time of one to everybody."""

    controlled: list[float]
    public_cpu: float


def with_and_without(folder: Path, calls: int, calls_a_second: float, public: int) -> tuple[Answers, Answers]:
    """The answers of a node with its audit, and of the same without.

    Parameters
    ----------
    calls, calls_a_second
        How many controlled answers of both together, and how fast; each caller asks both in turn, so that both meet the same
        machine.
    public
        How many questions somebody unknown asks each, one after another.
    """
    folder.mkdir()
    with ExitStack() as stack:
        nodes = stack.enter_context(served(folder))
        case = Case("known", "valid", None, BOUNDS[0])
        asker = nodes.asker(case, 0)
        assert set(nodes.answers(asker, _QUESTION)) == {"open", "floored", "closed"}
        place, other = folder / f"FI-{BOUNDS[0]}", folder / "unwritten"
        shutil.copytree(place, other)
        urls, servers = [], []
        for kind, home in ((Served, place), (_Unwritten, other)):
            servers.append(stack.enter_context(kind("node", home)))
            urls.append(servers[-1].url)
            pinned = PinnedHub(hub_url=HUB, hub_key=nodes.hub.public, node_url=urls[-1], joined_at="2026-01-01T00:00:00Z")
            write_pinned(home, pinned)
        name, document = nodes.questions[asker.case.consent][_QUESTION]
        body = orjson.dumps({**document, "passport": asker.passport, "purpose": PURPOSE})
        time.sleep(4.5)  # a node looks at what it has pinned every other second, and then fetches its first list of revocations
        controlled = _ask([f"{url}/federation/v1/{name}" for url in urls], body, nodes.hub, calls, calls_a_second)
        variant = dict(zip(_BEACON, document["variant"].split("-"), strict=True))
        question = urlencode({**variant, "start": int(variant["start"]) - 1, "assemblyId": "GRCh37"})
        public_cpu = _processor_time(servers, f"/beacon/v2/g_variants?{question}", public)
    return Answers(controlled[0], public_cpu[0]), Answers(controlled[1], public_cpu[1])


def _processor_time(servers: list[Served], path: str, questions: int) -> list[float]:
    """Seconds of processor time that each server spends on an answer, its entry in the log included."""
    spent = [0.0 for _ in servers]
    with httpx.Client(trust_env=False, timeout=30) as client:
        for turn in range(_TURNS + 1):
            for number, server in enumerate(servers):
                assert server.process is not None
                before = cpu_seconds(server.process.pid)
                for _ in range(questions // _TURNS):
                    client.get(f"{server.url}{path}").raise_for_status()
                time.sleep(FLUSH_SECONDS * 2)  # what is on its way is written, too
                if turn:  # the first turn warms up
                    spent[number] += cpu_seconds(server.process.pid) - before
    return [seconds / (questions // _TURNS * _TURNS) for seconds in spent]


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far, its own and the system's for it."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _ask(urls: list[str], body: bytes, hub: Identity, calls: int, calls_a_second: float) -> list[list[float]]:
    found: list[list[float]] = [[] for _ in urls]
    faults: list[str] = []

    def caller(seed: int) -> None:
        dice = np.random.default_rng(seed)
        with httpx.Client(trust_env=False, timeout=30) as client:
            for number, pause in enumerate(dice.exponential(_CALLERS / calls_a_second, calls // _CALLERS)):
                which = (number + seed) % len(urls)
                time.sleep(pause)
                headers = sign_request(hub, method="POST", url=urls[which], body=body)
                start = time.perf_counter()
                answer = client.post(urls[which], content=body, headers=headers)
                seconds = time.perf_counter() - start
                if answer.status_code != 200:
                    faults.append(f"{answer.status_code}: {answer.text[:200]}")
                    return
                if number >= len(urls) * 4:  # the first answers of each wait for what is opened once
                    found[which].append(seconds)

    threads = [threading.Thread(target=caller, args=(seed,)) for seed in range(_CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise RuntimeError(f"a node did not answer: {faults[0]}")
    return found
