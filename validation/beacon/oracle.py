"""A dataset as the naive scan sees it: all variants in memory, every question answered by looking at each of them."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from validation.naive import NaiveVariant, People, Question, Row, count, firsts, floored_rows, matches, open_rows, tellable
from validation.realdata import REPOSITORY


class Oracle:
    """One dataset under one disclosure rule."""

    def __init__(
        self,
        name: str,
        variants: Iterable[NaiveVariant],
        people: People,
        disclosure: Literal["open", "floored"],
        floor: int = 5,
    ) -> None:
        self.name, self.people, self.disclosure, self.floor = name, people, disclosure, floor
        self.variants = firsts(variants)
        self._rows: dict[int, list[Row]] = {}

    @cached_property
    def _places(self) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        by_contig: dict[str, list[int]] = {}
        for number, variant in enumerate(self.variants):
            by_contig.setdefault(variant.contig, []).append(number)
        return {
            contig: (
                np.array(numbers),
                np.array([self.variants[n].position for n in numbers]),
                np.array([self.variants[n].end for n in numbers]),
            )
            for contig, numbers in by_contig.items()
        }

    @cached_property
    def told(self) -> list[bool]:
        """Whether a Beacon says of each variant that it exists: it was observed, and, on a floored dataset, may be told."""
        totals = [count(v.alleles) for v in self.variants]
        return [t.ac >= 1 if self.disclosure == "open" else tellable(t, self.floor) for t in totals]

    def find(self, question: Question) -> list[int]:
        """Variants that are asked for and may be told, by position, REF and ALT."""
        place = self._places.get(question.contig)
        if place is None:
            return []
        numbers, starts, ends = place
        low, high = _window(question)
        near = numbers[(starts < high) & (ends > low)]
        found = [int(n) for n in near if matches(self.variants[int(n)], question) and self.told[int(n)]]
        return sorted(found, key=lambda n: (self.variants[n].position, self.variants[n].ref, self.variants[n].alt))

    def rows(self, number: int) -> list[Row]:
        """The rows of figures of one variant."""
        if number not in self._rows:
            variant = self.variants[number]
            if self.disclosure == "open":
                self._rows[number] = open_rows(variant, self.people)
            else:
                self._rows[number] = floored_rows(variant, self.people, self.floor)
        return self._rows[number]


def _window(question: Question) -> tuple[int, int]:
    """Positions outside which nothing can match; generous, and only there to save time."""
    far = 100_000
    if len(question.start) == 2:
        return question.start[0] - far, question.start[1] + far
    if question.end:
        return question.start[0], question.end[0]
    return question.start[0] - 1, question.start[0] + far


def genes(assembly: str) -> dict[str, tuple[str, int, int]]:
    """{symbol: (contig, 0-based start, end)} of the table that ships with the package; the first place of each symbol."""
    table: Path = REPOSITORY / f"src/cohelix/core/data/genes.{assembly}.tsv.gz"
    found: dict[str, tuple[str, int, int]] = {}
    with gzip.open(table, "rt") as lines:
        next(lines)
        for line in lines:
            contig, start, end, _ensembl, symbol, *_ = line.rstrip("\n").split("\t")
            if symbol:
                found.setdefault(symbol, (contig, int(start) - 1, int(end)))
    return found
