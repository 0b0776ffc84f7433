"""The audit log of a folder, for commands: what an operator does at the machine is written down before the command ends."""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cohelix.audit.events import Event, Person
    from cohelix.audit.log import AuditLog


def node_log(folder: Path) -> AuditLog:
    """The log of the node in a folder; a context that is closed when the command has written."""
    from cohelix.federation.audit_log import open_log
    from cohelix.node.settings import database_of, read_settings

    settings = read_settings(folder)
    return open_log(folder, f"node/{settings.id}", database_of(folder, settings))


def hub_log(folder: Path) -> AuditLog:
    """The log of the hub in a folder; a context that is closed when the command has written."""
    from cohelix.federation.audit_log import open_log
    from cohelix.hub.settings import read_settings

    return open_log(folder, "hub", read_settings(folder).database)


def server_log(folder: Path) -> AuditLog:
    """The log of the node or hub in a folder, whichever it is; `NotFound` for another folder."""
    return hub_log(folder) if (folder / "hub.toml").exists() else node_log(folder)


def operator() -> Person:
    """Who types: the account of the machine, which the log keeps as a pseudonym."""
    from cohelix.audit.events import Person

    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = str(os.getuid())
    return Person(name, "os")


def note(log: AuditLog, events: Sequence[Event]) -> None:
    """Write down what an operator did, and end only when it is on disk."""
    with log:
        for event in events:
            log.record(event, by=operator(), wait=True)


def note_dataset(folder: Path, dataset: str, change: str, version: str = "") -> None:
    """Write down what became of a node's dataset, in the words of the command that did it."""
    from cohelix.audit.events import DatasetChanged

    note(node_log(folder), [DatasetChanged(_federation_id(folder, dataset), version, change)])


def note_export(folder: Path, dataset: str, what: str) -> None:
    """Write down that data are taken out, before they are: where that cannot be written, they stay."""
    from cohelix.audit.events import DatasetExported

    note(node_log(folder), [DatasetExported(_federation_id(folder, dataset), what)])


def _federation_id(folder: Path, dataset: str) -> str:
    from cohelix.node.settings import read_settings

    return f"{read_settings(folder).id}:{dataset}"
