"""Questions of four kinds to a floored node over HTTP: their bytes, and Welch's t of their times."""

from __future__ import annotations

import gc
import http.client
import json
import math
import random
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from validation.processes import Served, done

# What a floored dataset knows of a variant: nobody has it; one to four people do; there is no record; it may be told.
KINDS: Final = ("zero", "few", "absent", "answered")
_VARYING: Final = re.compile(rb'"(elapsedMs|requestId|responseId|created|updateDateTime)": ?("[^"]*"|[0-9.]+),?')
_POSITION: Final = re.compile(rb"\b\d{5,9}\b")
_CUT: Final = 0.05  # of the slowest: pauses of the machine, not of the code


class Pair(NamedTuple):
    """Times of two kinds of questions, asked in turn: means in microseconds, Welch's t, and how many of each."""

    first: str
    second: str
    mean_first: float
    mean_second: float
    t: float
    n: int


def floored_node(folder: Path, *, people: int = 200, each: int = 50) -> dict[str, list[str]]:
    """Make a node with a floored dataset whose variants of all kinds alternate, which answers everybody above the floor.

    Returns
    -------
    Beacon questions (paths with query) of each kind.
    """
    rng, lines, asked = random.Random(1), [], {kind: [] for kind in KINDS}
    header = "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT"])
    samples = [f"s{number}" for number in range(people)]
    for number in range(len(KINDS) * each):
        kind, position = KINDS[number % len(KINDS)], 20_000_000 + 1_000 * number
        asked[kind].append(
            f"/beacon/v2/g_variants?assemblyId=GRCh37&referenceName=22&start={position - 1}"
            "&referenceBases=A&alternateBases=G&requestedGranularity=count"
        )
        if kind == "absent":
            continue
        carriers = set(rng.sample(range(people), {"zero": 0, "few": 1 + number % 4, "answered": 80}[kind]))
        calls = "\t".join("0/1" if one in carriers else "0/0" for one in range(people))
        lines.append(f"22\t{position}\t.\tA\tG\t.\tPASS\t.\tGT\t{calls}")
    vcf = folder.parent / f"{folder.name}.vcf"
    head = ["##fileformat=VCFv4.2", '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">', "##contig=<ID=22>"]
    vcf.write_text("\n".join([*head, f"{header}\t" + "\t".join(samples), *lines]) + "\n")
    done("node", "init", folder, "--id", "XX", "--name", "Node", "--country", "FI")
    load = ("--dataset", "d", "--genotypes", vcf, "--assembly", "GRCh37", "--disclosure", "floored", "--quality", "off")
    done("node", "load", folder, *load)
    with (folder / "node.toml").open("a", encoding="utf-8") as settings:
        settings.write("\n[disclosure]\nanonymous_power_max = 1.0\n")
    return asked


@contextmanager
def node_serving(folder: Path) -> Iterator[tuple[str, int]]:
    """The node as a process of its own: host and port."""
    with Served("node", folder) as server:
        host, port = server.url.removeprefix("http://").split(":")
        yield host, int(port)


def pairs(address: tuple[str, int], asked: dict[str, list[str]], first: str, second: str, n: int) -> Pair:
    """Ask n pairs on one connection, in random order within each, and compare times without the slowest of each kind."""
    connection, rng = http.client.HTTPConnection(*address), random.Random(n)
    times: dict[str, list[float]] = {first: [], second: []}
    for path in [*asked[first], *asked[second]] * 2:
        _ask(connection, path)
    gc.disable()
    try:
        for _ in range(n):
            for kind in rng.sample((first, second), 2):
                path = rng.choice(asked[kind])
                start = time.perf_counter_ns()
                _ask(connection, path)
                times[kind].append((time.perf_counter_ns() - start) / 1_000)
    finally:
        gc.enable()
        connection.close()
    # One threshold for both kinds: cutting each at its own would hide a difference.
    limit = sorted(times[first] + times[second])[int(2 * n * (1 - _CUT)) - 1]
    kept = [[value for value in times[kind] if value <= limit] for kind in (first, second)]
    means, errors = zip(*(_mean(values) for values in kept), strict=True)
    return Pair(first, second, means[0], means[1], (means[0] - means[1]) / math.sqrt(sum(errors)), n)


def same_bytes(address: tuple[str, int], asked: dict[str, list[str]], turns: int = 3) -> list[str]:
    """What differs: an equal question's answers over turns; withheld answers among themselves, positions apart."""
    connection, wrong = http.client.HTTPConnection(*address), []
    try:
        withheld = set()
        for kind in KINDS:
            for path in asked[kind]:
                found = {_VARYING.sub(b"", _ask(connection, path)) for _ in range(turns)}
                if len(found) != 1:
                    wrong.append(f"{kind}: an equal question had {len(found)} answers")
                if (b'"exists":true' in next(iter(found))) is not (kind == "answered"):
                    wrong.append(f"{kind}: the answer says the contrary")
                if kind != "answered":
                    withheld |= {_POSITION.sub(b"N", one) for one in found}
        if len(withheld) != 1:
            wrong.append(f"withheld answers are of {len(withheld)} forms")
    finally:
        connection.close()
    return wrong


def _ask(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {json.loads(body)}")
    return body


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and the square of its standard error."""
    mean = sum(values) / len(values)
    return mean, sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values)
