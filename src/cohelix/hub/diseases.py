"""Diseases at a hub: whether one is a kind of another, by the ontologies that its operator added and HPO.

The ontologies lie in the hub's folder as a node's do (`cohelix hub ontologies`), and are opened when somebody first asks.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cohelix.core.codes import code_key

if TYPE_CHECKING:
    from cohelix.phenotypes.ontology import Ontologies


class Diseases:
    """What a hub knows of diseases; without an ontology a disease is known to be itself, and of two nothing is known."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def descends(self, one: str, other: str) -> bool | None:
        """Whether a disease is another one or a kind of it; None where no ontology knows both.

        Codes that were replaced are read as those that stand for them today; codes of two ontologies are not compared.
        """
        if code_key(one) == code_key(other):
            return True
        ontology = self._ontologies.holding(one)
        if ontology is None or self._ontologies.holding(other) is not ontology:
            return None
        below, above = ontology.current(one), ontology.current(other)
        if below is None or above is None:
            return None
        return below == above or above in ontology.ancestors(below)

    def called(self, code: str) -> str:
        """A disease as people read it: its code, with its name where an ontology has one."""
        label = self._ontologies.label(code)
        return f"{code} ({label})" if label else code

    @cached_property
    def _ontologies(self) -> Ontologies:
        from cohelix.phenotypes.ontology import Ontologies  # it takes longer to load than a hub does to start

        return Ontologies.of(self._folder)
