"""A question whose answers are still arriving: a page shows what has come, and goes on with the same question.

Nobody is asked twice for one page. A question is known to its page by an unguessable name, and to the person for whom it
was asked; it is forgotten a minute after its end.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from cohelix.core.clock import Clock
from cohelix.core.genome import Assembly
from cohelix.core.variant import VariantKey
from cohelix.federation.behalf import Behalf
from cohelix.federation.questions import Federation
from cohelix.wire.frequency import FrequencyAnswer, NodeAnswer, PooledCounts

PATIENCE_SECONDS: Final = 0.25  # a page that can go on arriving does not wait longer for the slowest member
KEPT_SECONDS: Final = 60.0
_MOST: Final = 500  # questions kept; a page beyond them waits for its whole answer
_NOTHING_YET: Final = PooledCounts(allele_count=None, allele_number=None, allele_frequency=None, homozygotes=None)


class Arriving:
    """One question about one variant, under way or answered."""

    def __init__(self, federation: Federation, key: VariantKey, assembly: Assembly, behalf: Behalf) -> None:
        self._key, self._assembly = key, assembly
        self._members = [member.id for member in federation.active()]
        self._nodes: dict[str, NodeAnswer] = {}
        self._pooled: PooledCounts | None = None
        self._news = asyncio.Event()
        self.whose = _whose(behalf)
        self._asking = asyncio.create_task(self._ask(federation, behalf))

    @property
    def waiting(self) -> tuple[str, ...]:
        """Members that have not answered and are not given up, by id; empty when the answer is whole."""
        return () if self._pooled else tuple(name for name in self._members if name not in self._nodes)

    @property
    def whole(self) -> bool:
        """Whether every member has answered or is named as absent."""
        return self._asking.done()

    def answer(self) -> FrequencyAnswer:
        """What has come; there is no sum until the answer is whole."""
        return FrequencyAnswer(
            variant=str(self._key),
            assembly=self._assembly,
            pooled=self._pooled or _NOTHING_YET,
            nodes=tuple(self._nodes[name] for name in sorted(self._nodes)),
        )

    async def wait(self, seconds: float | None = None) -> FrequencyAnswer:
        """What has come when the answer is whole, or after so many seconds."""
        done, _ = await asyncio.wait({self._asking}, timeout=seconds)
        for task in done:
            task.result()
        return self.answer()

    async def news(self) -> AsyncGenerator[FrequencyAnswer, None]:
        """What has come, now and after each arrival; the last one is whole."""
        while True:
            self._news.clear()
            if self.whole:
                self._asking.result()  # a question that failed is no whole answer
                yield self.answer()
                return
            yield self.answer()
            arrival = asyncio.ensure_future(self._news.wait())
            await asyncio.wait({arrival, self._asking}, return_when=asyncio.FIRST_COMPLETED)
            arrival.cancel()

    async def _ask(self, federation: Federation, behalf: Behalf) -> None:
        async with aclosing(federation.frequency_stream(self._key, self._assembly, behalf)) as answers:
            async for one in answers:
                if isinstance(one, PooledCounts):
                    self._pooled = one
                else:
                    self._nodes[one.node] = one
                self._news.set()


class Arrivals:
    """The questions of pages that have been shown before all members had answered."""

    def __init__(self, federation: Federation, clock: Clock) -> None:
        self._federation, self._clock = federation, clock
        self._kept: dict[str, tuple[Arriving, float]] = {}

    def ask(self, key: VariantKey, assembly: Assembly, behalf: Behalf) -> Arriving:
        """Put a question to all members."""
        return Arriving(self._federation, key, assembly, behalf)

    def keep(self, question: Arriving) -> str | None:
        """A name under which its page finds the question again; None where too many are kept."""
        now = self._clock.monotonic()
        for name in [name for name, (_, until) in self._kept.items() if until < now]:
            del self._kept[name]
        if len(self._kept) >= _MOST:
            return None
        name = secrets.token_urlsafe(16)
        self._kept[name] = (question, now + self._federation.deadline_seconds + KEPT_SECONDS)
        return name

    def get(self, name: str, key: VariantKey, assembly: Assembly, behalf: Behalf) -> Arriving | None:
        """The question of that name, if it is about this variant and was asked for this person."""
        question, until = self._kept.get(name, (None, 0.0))
        if question is None or until < self._clock.monotonic() or question.whose != _whose(behalf):
            return None
        answer = question.answer()
        return question if (answer.variant, answer.assembly) == (str(key), assembly) else None


def _whose(behalf: Behalf) -> tuple[str, str]:
    return behalf.caller.actor.issuer, behalf.caller.actor.subject
