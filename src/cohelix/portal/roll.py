"""The members and their datasets as last heard, so that a page does not wait for a member that is slow."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from cohelix.core.clock import Clock
from cohelix.federation.questions import Federation
from cohelix.wire.dataset import DatasetRecord
from cohelix.wire.federation import DatasetsAnswer, Member, NodeDatasetsAnswer

FRESH_SECONDS = 10.0  # a page that is reloaded does not ask every member again
PATIENCE_SECONDS = 1.0  # a page is better without a member's state than late


@dataclass(frozen=True, slots=True)
class Called:
    """One reading of the roll.

    Attributes
    ----------
    members
        All members of the registry, by id.
    heard
        What each said when it was last asked; no entry for one that was not asked or has not answered yet.
    """

    members: tuple[Member, ...]
    heard: dict[str, NodeDatasetsAnswer]

    @property
    def records(self) -> dict[str, DatasetRecord]:
        """All datasets heard of, by federation id."""
        return {record.id: record for answer in self.heard.values() for record in answer.datasets}

    @property
    def dataset_ids(self) -> tuple[str, ...]:
        """Federation ids heard of or declared at joining, in the members' order."""
        declared = (id for member in self.members for id in member.datasets)
        return tuple(dict.fromkeys((*self.records, *declared)))


class Roll:
    """Asks the federation for its datasets at most once in ten seconds, and never keeps a reader waiting long."""

    def __init__(self, federation: Federation, clock: Clock) -> None:
        self._federation = federation
        self._clock = clock
        self._last: DatasetsAnswer | None = None
        self._heard_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def call(self, *, patience_seconds: float = PATIENCE_SECONDS) -> Called:
        """The roll as known now: fresh where all members are done within the patience, else as last heard."""
        if self._clock.monotonic() - self._heard_at > FRESH_SECONDS:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask())
            done, _ = await asyncio.wait({self._asking}, timeout=patience_seconds)
            for task in done:
                task.result()
        heard = {answer.node: answer for answer in self._last.nodes} if self._last else {}
        return Called(self._federation.members(), heard)

    async def _ask(self) -> None:
        self._last = await self._federation.datasets()
        self._heard_at = self._clock.monotonic()
