"""Random ontologies and people with codes from them, and what follows by the definition alone."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from cohelix.phenotypes.ontology import OntologyTerm


@dataclass
class Tree:
    """A random hierarchy: `parents[i]` are numbers below i, so that there is no circle."""

    parents: list[list[int]]

    @staticmethod
    def code(number: int) -> str:
        return f"T:{number:04d}"

    def terms(self) -> list[OntologyTerm]:
        return [
            OntologyTerm(self.code(number), f"label {number}", tuple(map(self.code, above)))
            for number, above in enumerate(self.parents)
        ]

    def above(self, number: int) -> set[int]:
        """Everything above a term, by walking up."""
        found: set[int] = set()
        waiting = list(self.parents[number])
        while waiting:
            parent = waiting.pop()
            found.add(parent)
            waiting += self.parents[parent]
        return found

    def below(self, number: int) -> set[int]:
        return {other for other in range(len(self.parents)) if number in self.above(other)}


@st.composite
def trees(draw: st.DrawFn, most: int = 14) -> Tree:
    size = draw(st.integers(1, most))
    return Tree([sorted(draw(st.sets(st.integers(0, number - 1), max_size=3))) if number else [] for number in range(size)])
