"""The quality of what is published: the gate's look at a dataset's current version, which it leaves as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cohelix.bank.manifest import REPORT_FILE
from cohelix.bank.publish import open_current
from cohelix.bank.quality import Gate, QualityReport, stored_depths
from cohelix.bank.quality_thresholds import read_thresholds
from cohelix.bank.version import OpenVersion
from cohelix.core.ids import DatasetId


def assess_published(node: Path, dataset: DatasetId, thresholds: Path | None) -> tuple[OpenVersion, QualityReport]:
    """The version that the node answers from, and what the gate says of it.

    Depths are those that the load read: the store keeps none.

    Raises
    ------
    NotFound
        If the node has no such dataset.
    BadFile
        If the file of thresholds is refused.
    """
    limits = read_thresholds(thresholds)
    version = open_current(node, dataset)
    gate = Gate(
        version.store,
        version.people,
        version.call_sets,
        limits,
        content=version.manifest.content,
        depths=stored_depths(_loaded(version.folder / REPORT_FILE)),
    )
    return version, gate.close(version.counts, version.manifest.atoms)


def _loaded(report: Path) -> dict[str, Any] | None:
    """What the load's own assessment said; None where there was none, or the report is gone: it is not needed to answer."""
    try:
        found: dict[str, Any] | None = json.loads(report.read_bytes()).get("quality")
    except (OSError, ValueError, AttributeError):
        return None
    return found
