"""Names of features and diseases: what a code is called, and which codes a few words may mean."""

from __future__ import annotations

import asyncio
import sys
from bisect import bisect_left
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import takewhile
from typing import ClassVar, NamedTuple

import structlog

from cohelix.core.codes import code_key

_PROGRAM = ("-m", "cohelix.portal.term_names")
_PATIENCE_SECONDS = 0.2  # a page with a code is better without its name than late
_BEGUN_ALIKE_MOST = 400  # words of names that one beginning may stand for
_log = structlog.get_logger()


class Term(NamedTuple):
    """A feature or a disease."""

    code: str
    name: str


class TermBook:
    """Terms by code, by name, and by the words of their names (pure)."""

    def __init__(self, terms: Iterable[Term]) -> None:
        self._by_code: dict[str, Term] = {}
        self._by_name: dict[str, Term] = {}
        self._by_word: dict[str, list[Term]] = {}
        for term in terms:
            self._by_code[code_key(term.code)] = term
            self._by_name.setdefault(term.name.casefold(), term)
            for word in set(_words(term.name)):
                self._by_word.setdefault(word, []).append(term)
        self._vocabulary = sorted(self._by_word)

    def __len__(self) -> int:
        return len(self._by_code)

    def get(self, code: str) -> Term | None:
        """The term of a code, however its prefix is spelled."""
        return self._by_code.get(code_key(code))

    def named(self, text: str) -> Term | None:
        """The term of exactly that name."""
        return self._by_name.get(" ".join(text.split()).casefold())

    def near(self, text: str, most: int = 6) -> tuple[Term, ...]:
        """Terms with all the words, or words that begin alike, or words that are nearly spelled so; short names first."""
        words = _words(text)[:8]
        if not any(len(word) > 2 for word in words):
            return ()
        having = [self._having(word) for word in words]
        found = set.intersection(*having) if all(having) else set()
        return tuple(sorted(found, key=lambda term: (len(term.name), term.name, term.code))[:most])

    def _having(self, word: str) -> set[Term]:
        start = bisect_left(self._vocabulary, word)
        begun = takewhile(lambda known: known.startswith(word), self._vocabulary[start : start + _BEGUN_ALIKE_MOST])
        known = [word] if word in self._by_word else list(begun) if len(word) > 3 else []
        if not known and len(word) > 3:
            first = bisect_left(self._vocabulary, word[:1]), bisect_left(self._vocabulary, chr(ord(word[0]) + 1))
            known = get_close_matches(word, self._vocabulary[slice(*first)], n=3, cutoff=0.8)
        return {term for one in known for term in self._by_word[one]}


def _words(text: str) -> list[str]:
    return [word for word in "".join(c if c.isalnum() else " " for c in text.casefold()).split() if len(word) > 1]


class Terms:
    """The book, read by a process of its own when somebody first looks for a feature or a disease; one for all."""

    _book: ClassVar[TermBook | None] = None

    def __init__(self) -> None:
        self._reading: asyncio.Task[TermBook] | None = None

    async def book(self) -> TermBook:
        """The book, whenever it has been read."""
        if Terms._book is None:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(_read())
            Terms._book = await asyncio.shield(self._reading)
        return Terms._book

    async def name(self, code: str) -> str:
        """What a code is called; empty where that is not known, or not known soon."""
        book = await self.book_within(_PATIENCE_SECONDS)
        term = book.get(code) if book else None
        return term.name if term else ""

    async def book_within(self, patience_seconds: float | None) -> TermBook | None:
        """The book where it has been read by then; None otherwise. Without a patience it is waited for."""
        try:
            return await asyncio.wait_for(self.book(), patience_seconds)
        except TimeoutError:
            return None


async def _read() -> TermBook:
    reader = await asyncio.create_subprocess_exec(sys.executable, *_PROGRAM, stdout=-1, stderr=-3)
    output, _ = await reader.communicate()
    if reader.returncode:
        _log.error("names of features and diseases cannot be read", exit_status=reader.returncode)
    lines = (line.partition("\t") for line in output.decode().splitlines())
    return TermBook(Term(code, name) for code, _, name in lines)
