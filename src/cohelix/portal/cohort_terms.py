"""What criteria may name: codes and words of the members' filtering terms, and the names that ontologies bring."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from typing import Any, Final

from cohelix.core.clock import Clock
from cohelix.core.codes import canonical, code_key
from cohelix.core.errors import BadInput
from cohelix.core.genes import suggest as suggest_genes
from cohelix.core.genome import Assembly
from cohelix.federation.questions import Federation, Member
from cohelix.portal.terms import Term, TermBook, Terms
from cohelix.wire.expression import CODES, NUMBERS, WORDS
from cohelix.wire.federation import AskBeacon, BeaconReply
from cohelix.wire.filter_names import CODE_FIELDS, NUMBER_FIELDS, SEX_CODES, WORD_FIELDS, kind_by_prefix

FRESH_SECONDS = 60.0
PATIENCE_SECONDS = 0.5  # a page is better without suggestions than late
TERMS_MAX, TEXT_MAX, MOST = 20_000, 200, 12  # of one member; signs of one text; suggestions at once
_OWN_NAMES: Final = frozenset({*WORDS, *NUMBERS, *CODES, *WORD_FIELDS, *NUMBER_FIELDS, *CODE_FIELDS})
# Sexes have a field of their own; everybody with any code at all has these roots.
_NOT_OFFERED: Final = frozenset({*SEX_CODES, "HP:0000001", "HP:0000118", "MONDO:0000001", "MONDO:0700096"})
_COMPARED_MAX: Final = 1_000  # names that a text is compared with letter by letter
_OF_VARIANTS: Final = "genomicVariant"


@dataclass(frozen=True, slots=True)
class Known:
    """What the members' filtering terms name, all members together.

    Attributes
    ----------
    codes
        Names of codes, by code; those that most people have come first.
    words
        Values by field: populations and countries; names of measurements, with their unit as name.
    """

    codes: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, tuple[Term, ...]] = field(default_factory=dict)
    book: TermBook = field(default_factory=lambda: TermBook(()))

    def name(self, code: str) -> str:
        """What the members call a code; empty where none lists it."""
        term = self.book.get(code)
        return term.name if term and term.name != term.code else ""

    def lists(self, kind: str, text: str) -> bool:
        """Whether a member lists the value."""
        return any(term.code == text for term in self.words.get(kind, ())) or self.book.get(text) is not None


class CohortTerms:
    """The members' terms as last heard, at most a minute old, and the book of names."""

    def __init__(self, federation: Federation, terms: Terms, clock: Clock) -> None:
        self._federation, self._terms, self._clock = federation, terms, clock
        self._known = Known()
        self._heard_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def known(self) -> Known:
        """What is known now; where that is old, the members are asked, and waited for a moment."""
        if self._clock.monotonic() - self._heard_at > FRESH_SECONDS:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask())
            done, _ = await asyncio.wait({self._asking}, timeout=PATIENCE_SECONDS)
            for task in done:
                task.result()
        return self._known

    async def name(self, known: Known, code: str) -> str:
        """What a code is called by a member, or by an ontology."""
        return known.name(code) or await self._terms.name(code)

    async def suggest(
        self, kind: str, text: str, assembly: Assembly, most: int = MOST, *, patience_seconds: float | None = None
    ) -> tuple[tuple[Term, ...], bool]:
        """Values of a field that begin like the text, hold it, or are spelt nearly so; the members' own come first.

        Also says whether these are all: the ontologies' names are left out where they are not read within the patience.
        """
        known = await self.known()
        book: TermBook | None = TermBook(())
        plain = " ".join(text.split())[:TEXT_MAX]
        if kind == "gene":
            found = [*_within(known.words.get(kind, ()), plain)]
            found += [Term(gene.symbol, gene.name) for gene in suggest_genes(plain, assembly, limit=most)]
        elif kind in known.words:
            found = [*(_within(known.words[kind], plain) or _alike(known.words[kind], plain))]
        elif kind in CODES or kind == "term":
            own = [Term(code, name) for code, name in known.codes.items() if fits(kind, code)]
            found = [*_within(own, plain)]
            if plain:
                found += [term for term in known.book.near(plain, most) if fits(kind, term.code)]
                book = await self._terms.book_within(patience_seconds)
                whole = book.get(plain) if book and ":" in plain else None
                found += [whole] if whole else []
                found += [term for term in book.near(plain, 4 * most) if fits(kind, term.code)] if book else []
        else:
            found = []
        first = {code_key(term.code): term for term in reversed(found)}
        return tuple(dict.fromkeys(first[code_key(term.code)] for term in found))[:most], book is not None

    async def meant(self, kind: str, text: str, assembly: Assembly) -> tuple[str, tuple[Term, ...]]:
        """The value that a text stands for, and what else may be meant where nothing is of that name.

        A code, and what a member lists, is what it is; a name becomes its code; of another text nothing is known: it is
        given back with what is spelt like it.
        """
        known = await self.known()
        plain = " ".join(text.split())
        if kind in CODES or kind == "term":
            if kind != "gene" and ":" in canonical(plain):
                return canonical(plain), ()
            if "%" in plain or known.lists(kind, plain):
                return plain, ()
            books = (known.book, await self._terms.book()) if kind != "gene" else (known.book,)
            named = next((term for term in (book.named(plain) for book in books) if term and fits(kind, term.code)), None)
            if named:
                return named.code, ()
            near, _ = await self.suggest(kind, plain, assembly, 6)
            return (plain, ()) if any(term.code == plain for term in near) else (plain, near)
        values = known.words.get(kind, ())
        same = next((term.code for term in values if term.code.casefold() == plain.casefold()), None)
        return (same, ()) if same else (plain, _alike(values, plain) or _within(values, plain)[:6])

    async def _ask(self) -> None:
        everybody = {member.id: AskBeacon(path="filtering_terms") for member in self._federation.active()}
        asked = await self._federation.beacon(everybody, _read)
        self._known = known_of(one.answer for one in asked if one.answer)
        self._heard_at = self._clock.monotonic()


def fits(kind: str, code: str) -> bool:
    """Whether a code can be of a field: by its prefix, as far as that says something."""
    about = kind_by_prefix(code)
    if kind in ("phenotype", "excluded_phenotype"):
        return about == "phenotype"
    if kind in ("disease", "excluded_disease"):
        return about == "disease"
    return kind == "term" or about != "phenotype"


def known_of(answers: Iterable[list[dict[str, Any]]]) -> Known:
    """What the members' filtering terms name, of all of them together (pure)."""
    held: dict[str, int] = {}
    names: dict[str, str] = {}
    words: dict[str, dict[str, str]] = {"population": {}, "country": {}, "measurement": {}}
    for terms in answers:
        for term in terms[:TERMS_MAX]:
            name, label = term["id"], term.get("label")
            said = label if isinstance(label, str) and label.isprintable() else ""
            if term.get("scopes") == [_OF_VARIANTS] or name in _NOT_OFFERED or not name.isprintable() or len(name) > TEXT_MAX:
                continue
            if name in ("population", "country"):
                values = term.get("values")
                words[name] |= {one: "" for one in values if isinstance(one, str)} if isinstance(values, list) else {}
            elif term.get("type") == "alphanumeric":
                if name not in _OWN_NAMES:
                    words["measurement"].setdefault(name, _unit(name, said))
            elif term.get("type") != "custom":
                count = term.get("count")
                held[name] = held.get(name, 0) + (count if isinstance(count, int) else 0)
                names[name] = names.get(name) or ("" if said == name else said[:TEXT_MAX])
    codes = {code: names[code] for code in sorted(names, key=lambda code: (-held[code], code))}
    listed = {kind: tuple(Term(one, name) for one, name in sorted(found.items())) for kind, found in words.items()}
    return Known(codes, listed, TermBook(Term(code, name or code) for code, name in codes.items()))


def _unit(name: str, label: str) -> str:
    """`LDL [mmol/l]` as `mmol/l`."""
    return label.removeprefix(name).strip().removeprefix("[").removesuffix("]") if label.startswith(name) else label


def _within(terms: Iterable[Term], text: str) -> tuple[Term, ...]:
    """Terms that begin with the text, then those with a word that does, then those that hold it, in their own order."""
    if not text:
        return tuple(terms)
    wanted = text.casefold()

    def rank(term: Term) -> int | None:
        code, name = term.code.casefold(), term.name.casefold()
        if code.startswith(wanted) or name.startswith(wanted):
            return 0
        return 1 if f" {wanted}" in f" {name}" else 2 if wanted in name or wanted in code else None

    ranked = [(rank(term), term) for term in terms]
    return tuple(term for _, term in sorted(((r, t) for r, t in ranked if r is not None), key=lambda one: one[0]))


def _alike(terms: Iterable[Term], text: str) -> tuple[Term, ...]:
    """Terms whose code begins alike and is nearly spelt so."""
    begin = text[:1].casefold()
    alike = islice((term for term in terms if term.code.casefold().startswith(begin)), _COMPARED_MAX)
    by_code = {term.code.casefold(): term for term in alike}
    return tuple(by_code[close] for close in get_close_matches(text.casefold(), by_code, n=6, cutoff=0.6))


def _read(_member: Member, reply: BeaconReply) -> list[dict[str, Any]]:
    if reply.status != 200:
        return []
    response = reply.document.get("response")
    terms = response.get("filteringTerms") if isinstance(response, dict) else None
    if not isinstance(terms, list) or not all(isinstance(one, dict) and isinstance(one.get("id"), str) for one in terms):
        raise BadInput("its filtering terms are none")
    return terms
