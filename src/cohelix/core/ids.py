"""Identifiers as distinct types, so that one kind cannot be handed where another is meant."""

from __future__ import annotations

import re
from typing import NewType

from cohelix.core.errors import BadUsage

NodeId = NewType("NodeId", str)
DatasetId = NewType("DatasetId", str)  # within one node, without the node's prefix
FederationDatasetId = NewType("FederationDatasetId", str)  # NODE:DATASET
IndividualId = NewType("IndividualId", str)  # node-wide
BiosampleId = NewType("BiosampleId", str)
SampleIndex = NewType("SampleIndex", int)  # a genotype column of a store, 0-based

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def node_id(text: str) -> NodeId:
    """A node's identifier: 1 to 64 of letters, digits, `.`, `_`, `-`, starting with a letter or digit."""
    return NodeId(_plain(text, "a member id"))


def dataset_id(text: str) -> DatasetId:
    """A dataset's identifier within its node, of the same alphabet as a node's."""
    return DatasetId(_plain(text, "a dataset id"))


def federation_dataset_id(node: NodeId, dataset: DatasetId) -> FederationDatasetId:
    """A dataset's name in the federation, `NODE:DATASET` (rule 6 of the interface)."""
    return FederationDatasetId(f"{node}:{dataset}")


def _plain(text: str, what: str) -> str:
    if not _PLAIN.fullmatch(text):
        raise BadUsage(f"{text!r} is not {what}: use 1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit")
    return text
