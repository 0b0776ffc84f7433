"""Questions at a steady rate, to members as the hub asks them, to the hub as browsers do; answers are kept with their times."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal, NamedTuple

import httpx

from validation.revocation.place import CONTROLLED, DATASET, PROJECT, REGISTERED, Place

Road = Literal["direct", "hub"]
Kind = Literal["rare allele", "people", "Beacon people", "common allele", "analysis"]
_AT_ONCE: Final = 64
_TALL: Final = 170.0


class Ask(NamedTuple):
    """Who asks which member for what, by which road; `person` is the place of the planted one that it is about."""

    who: str
    member: str
    road: Road
    kind: Kind
    person: int = 0


class Seen(NamedTuple):
    """An answer: when it was asked for and came (monotonic), its number where it tells one, else the slug of its reason."""

    ask: Ask
    sent: float
    came: float
    number: int | None
    reason: str

    @property
    def opened(self) -> bool:
        """Whether it tells what only a visa opens."""
        return self.number is not None and self.ask.kind != "common allele"


class Load:
    """Asks in rotation, `rate` questions a second, while the context lasts; what is asked may change meanwhile."""

    def __init__(self, place: Place, rate: float) -> None:
        self._place, self._rate = place, rate
        self.asks: Sequence[Ask] = ()
        self.seen: list[Seen] = []
        self.failed: list[tuple[float, Ask, str]] = []
        self._ended = threading.Event()

    @contextmanager
    def running(self) -> Iterator[Load]:
        """Ask from a thread of its own."""
        thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join(30)

    def wait(self, holds: Callable[[], bool], seconds: float, what: str) -> float:
        """Wait until something holds; the seconds that it took."""
        start = time.monotonic()
        while not holds():
            if time.monotonic() - start > seconds:
                raise RuntimeError(f"after {seconds:.0f} s it does not hold that {what}; last: {self.latest()}")
            time.sleep(0.05)
        return time.monotonic() - start

    def latest(self) -> dict[Ask, Seen]:
        """The newest answer to each question that is asked now."""
        found: dict[Ask, Seen] = {}
        wanted = set(self.asks)
        for one in reversed(self.seen[-50 * max(1, len(wanted)) :]):
            if one.ask in wanted:
                found.setdefault(one.ask, one)
        return found

    def after(self, moment: float) -> list[Seen]:
        """Answers to what was asked from a moment on."""
        return [one for one in self.seen if one.sent >= moment]

    def last(self, holds: Callable[[Seen], bool]) -> float | None:
        """When the last answer came of which something holds."""
        return max((one.came for one in self.seen if holds(one)), default=None)

    async def _run(self) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=20, limits=httpx.Limits(max_connections=_AT_ONCE)) as client:
            start, tasks = time.monotonic(), set[asyncio.Task[None]]()
            for number in itertools.count():
                await asyncio.sleep(max(0.0, start + number / self._rate - time.monotonic()))
                if self._ended.is_set():
                    break
                if not self.asks or len(tasks) >= _AT_ONCE:
                    continue
                task = asyncio.create_task(self._ask(client, self.asks[number % len(self.asks)]))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, client: httpx.AsyncClient, ask: Ask) -> None:
        member = self._place.members[ask.member]
        planted, sent = member.planted[ask.person], time.monotonic()
        variant = member.common if ask.kind == "common allele" else planted.variant
        try:
            if ask.road == "hub":
                answer = await client.get(
                    f"{self._place.url}/api/v1/frequency/{variant}",
                    params={"assembly": "GRCh37"},
                    headers={"cookie": self._place.cookies[ask.who]},
                )
                line = next(one for one in answer.json()["nodes"] if one["node"] == ask.member)
                number, reason = _frequency(line) if line["status"] == "answered" else (None, f"road: {line['status']}")
            else:
                name, document, read = _question(ask, variant, planted.height)
                url, body, headers = self._place.question(ask.who, ask.member, name, document)
                answer = await client.post(url, content=body, headers=headers)
                number, reason = read(answer.raise_for_status().json())
        except (httpx.HTTPError, ValueError, KeyError, StopIteration) as error:
            self.failed.append((sent, ask, f"{type(error).__name__}: {error}"[:120]))
            return
        self.seen.append(Seen(ask, sent, time.monotonic(), number, reason))


_Reading = Callable[[Any], tuple[int | None, str]]


def _question(ask: Ask, variant: str, height: float) -> tuple[str, dict[str, Any], _Reading]:
    """A question's name at a member's door, its message, and what reads the answer."""
    exactly = {"all": [{"measurement": "height", ">": height - 0.5}, {"measurement": "height", "<": height + 0.5}]}
    if ask.kind == "people":
        return "cohort-count", {"expression": exactly, "datasets": []}, _count
    if ask.kind == "analysis":
        expression = {"measurement": "height", ">": _TALL}
        return "cohort-count", {"expression": expression, "datasets": [], "project": PROJECT}, _count
    if ask.kind == "Beacon people":
        contig, position, ref, alt = variant.split("-")
        asked = {"referenceName": contig, "start": [int(position) - 1], "referenceBases": ref, "alternateBases": alt}
        query = {"requestedGranularity": "record", "includeResultsetResponses": "ALL"}
        body = {"meta": {"apiVersion": "v2.0"}, "query": {**query, "requestParameters": {**asked, "assemblyId": "GRCh37"}}}
        return "beacon", {"path": "individuals", "body": body}, _people
    return "frequency", {"variant": variant, "assembly": "GRCh37"}, _frequency


def _line(document: Any) -> Any:
    return next(one for one in document["datasets"] if one["id"].endswith(f":{DATASET}"))


def _frequency(document: Any) -> tuple[int | None, str]:
    line = _line(document)
    told = line["status"] == "answered"
    return (int(line["populations"][0]["alleleCount"]), "") if told else (None, _slug(line))


def _count(document: Any) -> tuple[int | None, str]:
    line = _line(document)
    return (int(line["count"]), "") if line["status"] == "answered" else (None, _slug(line))


def _people(document: Any) -> tuple[int | None, str]:
    """How many single people are shown; they are only where a visa opens the dataset."""
    answer = document["document"]
    line = next(one for one in answer["info"]["datasets"] if one["id"].endswith(f":{DATASET}"))
    sets = [one for one in answer["response"]["resultSets"] if one["id"] == line["id"]]
    if line["status"] != "answered" or answer["meta"]["returnedGranularity"] != "record":
        return None, _slug(line)
    return len(sets[0].get("results") or ()) if sets else 0, ""


def _slug(line: Any) -> str:
    return str(line["reason"] or line["status"]).partition(":")[0]


def everybody(place: Place) -> list[Ask]:
    """The questions of the load: of somebody with visas and of somebody registered, at every member and through the hub."""
    found = []
    for member in place.members:
        found += [Ask(CONTROLLED, member, "direct", "rare allele"), Ask(CONTROLLED, member, "direct", "people")]
        found += [Ask(CONTROLLED, member, "direct", "Beacon people"), Ask(CONTROLLED, member, "hub", "rare allele")]
        found += [Ask(REGISTERED, member, "direct", "common allele"), Ask(REGISTERED, member, "hub", "common allele")]
    return found
