"""Cohorts that the operator saves as queries: one YAML file each, in the node's folder `cohorts/`.

The file's name without `.yaml` is the cohort's id in the node. Its keys: `name`, `filters` (a list, as in a Beacon request),
and where wanted `description` and `datasets` (ids; without them, all datasets of the node).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
import yaml

from cohelix.core.errors import BadFile, BadQuestion
from cohelix.wire.beacon import BeaconFilter, read_filter

FOLDER: Final = "cohorts"
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEYS: Final = frozenset({"name", "filters", "description", "datasets"})
_BYTES_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class SavedCohort:
    """One saved query: people of these datasets (all, where none are named) whom all filters hold for."""

    id: str
    name: str
    filters: tuple[BeaconFilter, ...]
    description: str = ""
    datasets: frozenset[str] = frozenset()


class SavedCohorts:
    """The saved queries of a folder, read again when a file changes."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._seen: tuple[tuple[str, int, int], ...] = ()
        self._cohorts: tuple[SavedCohort, ...] = ()

    def read(self) -> tuple[SavedCohort, ...]:
        """All cohorts, by id; a file that is not one is left out, and the log says why."""
        if self._folder is None or not self._folder.is_dir():
            return ()
        files = sorted(self._folder.glob("*.yaml"))
        seen = tuple((path.name, status.st_mtime_ns, status.st_size) for path in files for status in (path.stat(),))
        if seen != self._seen:
            cohorts = []
            for path in files:
                try:
                    cohorts.append(read_cohort(path))
                except BadFile as error:
                    structlog.get_logger().error("cohort left out", cohort=path.name, problem=error.detail)
            self._cohorts, self._seen = tuple(cohorts), seen
        return self._cohorts


def read_cohort(path: Path) -> SavedCohort:
    """Read one saved query.

    Raises
    ------
    BadFile
        If it is not YAML of the form that this module's first lines describe.
    """

    def refuse(problem: str, expected: str) -> BadFile:
        return BadFile(str(path), "", problem, expected)

    if not _ID.fullmatch(path.stem):
        raise refuse("the file's name is no id", "letters, digits, '.', '_' and '-' before .yaml")
    try:
        text = path.read_bytes()[: _BYTES_MAX + 1]
        document: Any = yaml.safe_load(text.decode("utf-8")) if len(text) <= _BYTES_MAX else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise refuse(f"it cannot be read ({str(error).splitlines()[0]})", "a YAML file") from None
    if not isinstance(document, dict) or set(document) - _KEYS or not isinstance(document.get("name"), str):
        raise refuse("it is not a saved query", f"the keys {', '.join(sorted(_KEYS))}, name among them")
    filters, datasets = document.get("filters", []), document.get("datasets", [])
    if not isinstance(filters, list):
        raise refuse("filters is not a list", "filters as in a Beacon request")
    if not isinstance(datasets, list) or not all(isinstance(name, str) for name in datasets):
        raise refuse("datasets is not a list of ids", "datasets: [id, …]")
    try:
        read = tuple(read_filter(wanted) for wanted in filters)
    except BadQuestion as error:
        raise refuse(error.detail, "filters as in a Beacon request") from None
    return SavedCohort(path.stem, document["name"], read, str(document.get("description", "")), frozenset(datasets))
