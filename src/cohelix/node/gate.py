"""The gate of a node: what its settings, the hub that it has joined and its trust list make of a question."""

from __future__ import annotations

from pathlib import Path

from cohelix.access.gate import Conditions, Gate, Recording
from cohelix.federation.door import Door
from cohelix.node.settings import SETTINGS_FILE, read_settings


class NodeConditions:
    """What the node's settings say of access, read again when `node.toml` or the pinned hub changes."""

    def __init__(self, folder: Path, door: Door) -> None:
        self._folder, self._door = folder, door
        self._seen: object = None
        self._conditions = Conditions()

    def __call__(self) -> Conditions:
        pinned, state = self._door.pinned(), (self._folder / SETTINGS_FILE).stat()
        seen = pinned and pinned.hub_url, state.st_ino, state.st_mtime_ns
        if seen != self._seen:
            settings = read_settings(self._folder)
            self._conditions = Conditions(
                hub_url=pinned.hub_url if pinned else "",
                anonymous_power_max=settings.disclosure.anonymous_power_max,
                projects=frozenset(settings.analysis.projects),
            )
            self._seen = seen
        return self._conditions


def make_gate(folder: Path, door: Door, log: Recording) -> Gate:
    """The gate of the node in a folder."""
    return Gate(NodeConditions(folder, door), log=log)
