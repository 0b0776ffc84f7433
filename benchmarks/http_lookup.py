"""Q1 over HTTP: exact Beacon questions at a fixed rate, whether or not the last one is answered (open loop)."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from benchmarks.measure import Row, Times, duration
from benchmarks.scale import Scale
from validation.processes import Served

CONNECTIONS = 32
Targets = Sequence[str]


async def _one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, target: str) -> int:
    """One request on an open connection; the status."""
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(length)
    return int(head.split(b" ", 2)[1])


async def _open_loop(url: str, targets: Targets, rate: float) -> tuple[list[float], int]:
    """Seconds from the moment that each request was due to its answer's last byte, and how many failed."""
    place = urlsplit(url)
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection(place.hostname, place.port))
    seconds: list[float] = []
    failed = 0

    async def ask(target: str, due: float) -> None:
        nonlocal failed
        connection = await free.get()
        try:
            failed += await _one(*connection, place.netloc, target) != 200
        finally:
            free.put_nowait(connection)
        seconds.append(time.perf_counter() - due)

    start = time.perf_counter() + 0.05
    async with asyncio.TaskGroup() as group:
        for number, target in enumerate(targets):
            due = start + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(ask(target, due))
    while not free.empty():
        free.get_nowait()[1].close()
    return seconds, failed


def open_loop(url: str, targets: Targets, rate: float) -> tuple[list[float], int]:
    """Ask at a fixed rate whether or not the last is answered: seconds from each request's due moment, and failures."""
    return asyncio.run(_open_loop(url, targets, rate))


def run(scale: Scale, node: Path, variants: Sequence[tuple[str, int, str, str]], text: str) -> list[Row]:
    """Half the questions are for variants that are there, half for absent alleles; record granularity."""
    rng = random.Random(4)
    targets = []
    for number in range(int(scale.http_rate * scale.http_seconds)):
        contig, position, ref, alt = rng.choice(variants)
        if number % 2:
            alt = rng.choice("ACGT".replace(ref[0], "")) + "T"
        words = {"referenceName": contig, "start": position, "referenceBases": ref, "alternateBases": alt}
        words |= {"assemblyId": "GRCh37", "requestedGranularity": "record"}
        targets.append("/beacon/v2/g_variants?" + urlencode(words))
    with Served("node", node) as server:
        open_loop(server.url, targets[: scale.http_rate], scale.http_rate)
        found, failed = open_loop(server.url, targets, scale.http_rate)
    times = Times(tuple(found))
    if failed:
        raise RuntimeError(f"{failed} of {len(targets)} requests failed")
    return [
        Row(
            f"Q1 exact Beacon question over HTTP, open loop at {scale.http_rate} requests/s",
            f"{text}; {len(targets):,} requests, client on the same cores",
            f"p50 {duration(times.p50)}, p99 {duration(times.p99)}",
            *("–", "–", "p50 ≤ 2 ms, p99 ≤ 10 ms at 500/s"),
            times.p50 <= 2e-3 and times.p99 <= 10e-3,
        )
    ]
