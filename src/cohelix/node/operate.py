"""The operator's page of a node: what it reads, and how an operator comes in.

Whoever can read the node's folder is its operator: `cohelix node operate` makes a code that is good for one browser, once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from sqlalchemy.engine import Engine

from cohelix.access.accounts import Throttle
from cohelix.access.grants import Grants
from cohelix.access.sessions import Sessions
from cohelix.audit.log import AuditLog
from cohelix.bank import Bank
from cohelix.bank.life import statuses
from cohelix.bank.manifest import REPORT_FILE
from cohelix.bank.publish import all_datasets, current_version, published
from cohelix.core.clock import SystemClock
from cohelix.core.errors import CohelixError
from cohelix.core.ids import DatasetId, dataset_id
from cohelix.federation.console import Console, Examine, Named, Problems, certificate_ending, ending
from cohelix.federation.granting import Granting
from cohelix.federation.node_runs import NodeRuns
from cohelix.node.settings import NodeSettings
from cohelix.portal.code_door import CodeDoor
from cohelix.portal.operate import NODE_PAGE, NodeOperatorPages
from cohelix.wire.operation import DatasetLine, Ending, Waiting

CODE_SECONDS: Final = 15 * 60
_IDLE_SECONDS, _SESSION_SECONDS = 30 * 60, 8 * 3600
_FAILURES_MAX, _PAUSE_SECONDS = 20, 900
_ENDING_DAYS: Final = 30
_ENDING_MOST: Final = 20
_REASONS_MOST: Final = 20


def node_console(
    folder: Path,
    settings: NodeSettings,
    log: AuditLog,
    *,
    bank: Bank,
    engine: Callable[[], Engine],
    granting: Granting,
    examine: Examine | None,
    problems: Problems,
) -> Console:
    """The console of the node in a folder."""
    details = _Details(folder, settings, bank, engine, granting)
    return Console(folder, Named("node", settings.id, settings.name), log, details, examine=examine, problems=problems)


def operator_pages(console: Console, settings: NodeSettings, engine: Callable[[], Engine]) -> NodeOperatorPages:
    """`/operate` of a node."""
    door = CodeDoor(
        NODE_PAGE,
        "operate",
        codes=lambda: codes(engine()),
        sessions=lambda: Sessions(engine(), "operate", idle_seconds=_IDLE_SECONDS, absolute_seconds=_SESSION_SECONDS),
        throttle=lambda: Throttle(engine(), failures_max=_FAILURES_MAX, seconds=_PAUSE_SECONDS),
        url=settings.url or "",
        refusal="this code is not known, was used already, or has ended: make a new one with `cohelix node operate`",
    )
    return NodeOperatorPages(console.state, door, settings.name)


def codes(engine: Engine) -> Sessions:
    """One-time codes of the operator's page."""
    return Sessions(engine, "operate-code", idle_seconds=CODE_SECONDS, absolute_seconds=CODE_SECONDS)


class _Details:
    """What only a node has."""

    def __init__(
        self, folder: Path, settings: NodeSettings, bank: Bank, engine: Callable[[], Engine], granting: Granting
    ) -> None:
        self._folder, self._settings, self._bank, self._engine, self._granting = folder, settings, bank, engine, granting
        self._runs, self._clock = NodeRuns(folder, engine), SystemClock()
        self._seen: object = None
        self._lines: tuple[DatasetLine, ...] = ()

    def __call__(self) -> Mapping[str, Any]:
        grants = Grants(self._engine())
        waiting = {
            "runs": self._runs.count_running(),
            "grants": len(self._granting.pending()),
            "visas": len(grants.unsent()),
        }
        return {
            "datasets": self._datasets(),
            "backlog": tuple(Waiting(what=what, number=number) for what, number in waiting.items()),
            "ending": (*certificate_ending(self._folder, self._settings), *self._visas(grants)),
        }

    def _datasets(self) -> tuple[DatasetLine, ...]:
        """A line for each dataset, read anew when another version is published or one is found damaged."""
        seen = published(self._folder), tuple(all_datasets(self._folder)), dict(self._bank.damaged())
        if seen != self._seen:
            self._lines = tuple(_line(self._folder, status, self._bank.damaged()) for status in statuses(self._folder))
            self._seen = seen
        return self._lines

    def _visas(self, grants: Grants) -> tuple[Ending, ...]:
        """Visas of this node's own committees that end within a month; whose they are stands in `cohelix dac grants`."""
        now = self._clock.now().timestamp()
        near = [one for one in grants.all() if one.revoked_at is None and 0 < one.until - now < _ENDING_DAYS * 86_400]
        near.sort(key=lambda one: one.until)
        return tuple(ending("visa", one.until, now, one.dataset) for one in near[:_ENDING_MOST])


def _line(folder: Path, status: Mapping[str, Any], damaged: Mapping[DatasetId, str]) -> DatasetLine:
    name = dataset_id(status["dataset"])
    line = DatasetLine(id=name, **{key: status[key] for key in _SHOWN if status.get(key) is not None})
    if name in damaged:
        line = line.model_copy(update={"state": "damaged", "reason": damaged[name]})
    try:
        told = json.loads((current_version(folder, name) / REPORT_FILE).read_bytes()).get("quality")
    except (CohelixError, OSError, ValueError, AttributeError):
        told = None
    if not told:
        return line
    return line.model_copy(update={"quality": told["verdict"], "reasons": tuple(told.get("reasons", ())[:_REASONS_MOST])})


_SHOWN: Final = ("title", "state", "version", "release", "disclosure", "people", "waiting", "variants", "bytes", "reason")
