"""What the pages of the governance loop need of the hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cohelix.access.application_store import ApplicationLine
from cohelix.access.applications import Acting, Application, Rules
from cohelix.access.caller import Caller
from cohelix.access.duo import Match, Purpose
from cohelix.wire.applications import Event
from cohelix.wire.dataset import DatasetRecord


class ApplicationDesk(Protocol):
    """The hub's applications, for whoever may read and change them."""

    @property
    def rules(self) -> Rules:
        """What the federation has agreed on."""

    async def acting(self, caller: Caller) -> Acting:
        """The caller's duties, with what they are for."""

    async def create(self, caller: Caller, form: Mapping[str, Any], request: str | None) -> str:
        """Begin an application; gives its id."""

    async def add(self, caller: Caller, identifier: str, event: Mapping[str, Any], request: str | None) -> Application:
        """Make something happen; errors as of `applications.admit`."""

    async def read(self, caller: Caller, identifier: str) -> tuple[Application, Sequence[Event]]:
        """An application and all that happened to it; `NotFound` for whoever may not read it."""

    async def listed(self, caller: Caller) -> Sequence[ApplicationLine]:
        """What the caller may read, the last changed first."""

    async def attach(self, caller: Caller, identifier: str, name: str, content: bytes) -> None:
        """Attach a file to a draft."""

    async def attachment(self, caller: Caller, identifier: str, name: str) -> tuple[bytes, str]:
        """An attached file and its media type."""

    async def draw_agreement(self, caller: Caller, identifier: str, datasets: Sequence[str]) -> None:
        """Write the agreement on confirmed datasets, ready to be signed."""

    async def agreement(self, caller: Caller, identifier: str, sha256: str) -> str:
        """The text of an agreement."""


class Catalogue(Protocol):
    """The datasets that may be applied for."""

    async def records(self) -> Mapping[str, DatasetRecord]:
        """Every dataset's record by its federation id."""

    def advise(self, record: DatasetRecord, purpose: Purpose) -> Match:
        """What a dataset's data-use codes say of a purpose."""
