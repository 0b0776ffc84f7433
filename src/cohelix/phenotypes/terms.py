"""`TermIndex`: for each code the bitmap of those who have it, and of those who have it or anything below it.

Bitmaps are Roaring, in the portable format, and lie in a memory-mapped Arrow table; one is read when it is asked for, so
that an index of a million people opens at once. The closures over descendants are made once, at load.

Columns, one row a kind and code: kind, code, label; direct, closed (large_binary; `closed` is null where it is the same);
n_direct, n_closed. A code that nobody has, but something below it, has a row with an empty `direct`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import NamedTuple, cast

import numpy as np
import pyarrow as pa
from pyroaring import BitMap

from cohelix.core.arrays import BoolArray, IntArray
from cohelix.core.codes import code_key
from cohelix.core.errors import Damaged
from cohelix.phenotypes.ontology import Level, Ontologies

# Words of everybody that are kept as bitmaps, too; they are no codes and have no spellings.
WORD_KINDS = frozenset({"sex", "population", "country"})
# Symbols: compared without regard to case, never looked up in an ontology.
_SYMBOL_KINDS = frozenset({"gene"})
# "Has no seizures" says that there are no focal seizures either, so these close over ancestors.
_EXCLUDED = "excluded_"
_SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("code", pa.string()),
        ("label", pa.string()),
        ("n_direct", pa.int64()),
        ("n_closed", pa.int64()),
        ("direct", pa.large_binary()),
        ("closed", pa.large_binary()),
    ]
)


class Coded(NamedTuple):
    """Who has a code: ascending numbers of people, or of biosamples for a kind of theirs."""

    kind: str
    code: str
    label: str
    numbers: IntArray


class TermCount(NamedTuple):
    """How many have a code itself, and how many it or anything below it."""

    code: str
    label: str
    direct: int
    closed: int


class TermIndex:
    """Bitmaps by kind and code. Codes may be asked for in any spelling, obsolete ones too. Safe for many threads."""

    def __init__(self, table: pa.Table, ontologies: Ontologies) -> None:
        """From a table of the form above, and the ontologies that it was made with; raises `Damaged` for another form."""
        if table.schema.names != _SCHEMA.names:
            raise Damaged(f"an index of terms has the columns {', '.join(table.schema.names)}")
        self._table, self.ontologies = table.combine_chunks(), ontologies

    @classmethod
    def of(cls, coded: Iterable[Coded], ontologies: Ontologies) -> TermIndex:
        """Bring codes up to date, join those that are one today, and close them over descendants."""
        direct: dict[tuple[str, str], BitMap] = {}
        labels: dict[tuple[str, str], str] = {}
        spelled: dict[tuple[str, str], str] = {}
        for kind, code, label, numbers in coded:
            today = ontologies.current(code) if _is_code(kind) else code
            place = (kind, cls.key(kind, today))
            direct[place] = direct[place] | bitmap_of(numbers) if place in direct else bitmap_of(numbers)
            spelled.setdefault(place, today)
            labels[place] = labels.get(place) or (ontologies.label(today) if _is_code(kind) else "") or label
        closed = _closures(direct, spelled, labels, ontologies)
        places = sorted(closed, key=lambda place: (place[0], spelled[place]))
        nobody = BitMap()
        directs = [direct.get(place, nobody) for place in places]
        closeds = [closed[place] for place in places]
        same = [mine == whole for mine, whole in zip(directs, closeds, strict=True)]
        columns = [
            [kind for kind, _ in places],
            [spelled[place] for place in places],
            [labels[place] for place in places],
            [len(found) for found in directs],
            [len(found) for found in closeds],
            [_bytes(found) for found in directs],
            [None if equal else _bytes(found) for found, equal in zip(closeds, same, strict=True)],
        ]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
        return cls(pa.Table.from_arrays(arrays, schema=_SCHEMA), ontologies)

    @property
    def table(self) -> pa.Table:
        """The index as it is stored."""
        return self._table

    def kinds(self) -> frozenset[str]:
        """The kinds of which anybody has anything."""
        return frozenset(self._rows_of)

    def has(self, kind: str, code: str) -> bool:
        """Whether anybody has a code, or anything below it."""
        return self._row(kind, code) is not None

    def direct(self, kind: str, code: str) -> BitMap:
        """Who has the code itself."""
        row = self._row(kind, code)
        return BitMap() if row is None else self._bitmap("direct", row)

    def closed(self, kind: str, code: str) -> BitMap:
        """Who has the code or anything below it; of what is excluded: who lacks it, or anything above it."""
        if kind.startswith(_EXCLUDED):
            return self._union(self.direct(kind, one) for one in (code, *self._above(code)))
        row = self._row(kind, code)
        return BitMap() if row is None else self._closed_of(row)

    def similar(self, kind: str, code: str, level: Level) -> BitMap:
        """Who has a code that is as similar to this one as the level says; the code itself among them."""
        ontology = self.ontologies.holding(code) if _is_code(kind) else None
        codes = () if ontology is None else ontology.similar(code, level)
        return self._union(self.direct(kind, one) for one in (code, *codes))

    def matching(self, kind: str, pattern: str, *, descendants: bool = True) -> BitMap:
        """Who has a code whose text or label fits a pattern, in which `%` stands for any text; case does not matter."""
        fits = wildcard(pattern)
        counts = self.counts(kind)
        found = [one.code for one in counts if fits(one.code) or (one.label and fits(one.label))]
        who = [(self.closed if descendants else self.direct)(kind, code) for code in found]
        if descendants and kind.startswith(_EXCLUDED):  # without the whole is without each of its parts
            who += [self.direct(kind, one.code) for one in counts if one.direct and self._part_fits(one.code, fits)]
        return self._union(who)

    def _part_fits(self, code: str, fits: Callable[[str], bool]) -> bool:
        """Whether a term below the code, whoever may have it, is called so."""
        ontology = self.ontologies.holding(code)
        return ontology is not None and any(fits(one) or fits(ontology.label(one)) for one in ontology.descendants(code))

    def counts(self, kind: str) -> tuple[TermCount, ...]:
        """Every code of a kind that anybody has, or anything below it, ascending; the numbers are exact."""
        rows = self._rows_of.get(kind)
        if rows is None:
            return ()
        part = self._table.slice(rows.start, len(rows))
        columns = (part[name].to_pylist() for name in ("code", "label", "n_direct", "n_closed"))
        return tuple(TermCount(*row) for row in zip(*columns, strict=True))

    def direct_rows(self) -> IntArray:
        """The rows of codes that somebody has directly, words left out, in the order of the table."""
        said: BoolArray = self._table["n_direct"].to_numpy() > 0
        for kind in WORD_KINDS & self._rows_of.keys():
            rows = self._rows_of[kind]
            said[rows.start : rows.stop] = False
        return np.flatnonzero(said)

    def named(self, row: int) -> tuple[str, str, str]:
        """Kind, code and label of a row."""
        kind, code, label = (str(self._table[name][row]) for name in ("kind", "code", "label"))
        return kind, code, label

    def numbers(self, row: int) -> IntArray:
        """Whose a row's code is directly: ascending numbers, int64."""
        return np.frombuffer(self._bitmap("direct", row).to_array(), np.uint32).astype(np.int64)

    def ontology_codes(self) -> tuple[str, ...]:
        """All codes that an ontology may speak of."""
        return tuple(one.code for kind in sorted(self.kinds()) if _is_code(kind) for one in self.counts(kind))

    def known(self, kind: str) -> BitMap:
        """Who has anything of a kind."""
        return self._union(self._bitmap("direct", row) for row in self._rows_of.get(kind, ()))

    def kinds_of(self, code: str) -> tuple[str, ...]:
        """The kinds under which anybody has a code or anything below it, what is excluded and words left out."""
        kinds = sorted(kind for kind in self.kinds() - WORD_KINDS if not kind.startswith(_EXCLUDED))
        return tuple(kind for kind in kinds if self.has(kind, code))

    def nested(self, kind: str) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
        """The codes of a kind in the order of `counts`, and all pairs (above, below) of them by place."""
        codes = tuple(one.code for one in self.counts(kind))
        places = {self.key(kind, code): place for place, code in enumerate(codes)}
        pairs = [
            (places[key], place)
            for place, code in enumerate(codes)
            for key in (self.key(kind, above) for above in self._above(code))
            if key in places
        ]
        return codes, tuple(pairs)

    @staticmethod
    def key(kind: str, code: str) -> str:
        """What two spellings of a code, or of a gene's symbol, have in common; a word is itself."""
        if kind in WORD_KINDS:
            return code
        return code.upper() if kind in _SYMBOL_KINDS else code_key(code)

    @cached_property
    def _rows_of(self) -> dict[str, range]:
        """The rows of each kind; rows are sorted by kind."""
        kinds = self._table["kind"].to_pylist()
        starts = [row for row, kind in enumerate(kinds) if row == 0 or kind != kinds[row - 1]]
        stops = [*starts[1:], len(kinds)][: len(starts)]
        return {kinds[start]: range(start, stop) for start, stop in zip(starts, stops, strict=True)}

    @cached_property
    def _places(self) -> dict[tuple[str, str], int]:
        kinds, codes = self._table["kind"].to_pylist(), self._table["code"].to_pylist()
        return {(kind, self.key(kind, code)): row for row, (kind, code) in enumerate(zip(kinds, codes, strict=True))}

    def _row(self, kind: str, code: str) -> int | None:
        return self._places.get((kind, self.key(kind, self.ontologies.meaning(code) if _is_code(kind) else code)))

    def _above(self, code: str) -> tuple[str, ...]:
        ontology = self.ontologies.holding(code)
        return () if ontology is None else ontology.ancestors(code)

    def _closed_of(self, row: int) -> BitMap:
        return self._bitmap("closed", row) if self._columns["closed"][row].is_valid else self._bitmap("direct", row)

    @cached_property
    def _columns(self) -> dict[str, pa.LargeBinaryArray]:
        return {name: self._table[name].combine_chunks() for name in ("direct", "closed")}

    def _bitmap(self, column: str, row: int) -> BitMap:
        try:
            packed = np.frombuffer(self._columns[column][row].as_buffer(), np.uint8)
            return BitMap.deserialize(cast(bytes, packed))  # it takes any bytes that lie together
        except (ValueError, IndexError) as error:
            raise Damaged(f"the stored index of terms is damaged ({error})") from None

    @staticmethod
    def _union(bitmaps: Iterable[BitMap]) -> BitMap:
        found = list(bitmaps)
        return BitMap.union(*found) if found else BitMap()


def bitmap_of(numbers: IntArray | BoolArray) -> BitMap:
    """A bitmap of numbers, or of the places where a mask holds."""
    chosen = np.flatnonzero(numbers) if numbers.dtype == np.bool_ else numbers
    return BitMap(array("I", chosen.astype(np.uint32).tobytes()))  # from a NumPy array it takes ten times as long


def mask_of(found: BitMap, length: int) -> BoolArray:
    """(length,) bool: True at the bitmap's numbers."""
    flags = np.zeros(length, np.bool_)
    flags[np.frombuffer(found.to_array(), np.uint32)] = True
    return flags


def wildcard(pattern: str) -> Callable[[str], bool]:
    """A test of whole texts against a pattern in which `%` stands for any text; case does not matter."""
    first, *others = pattern.casefold().split("%")

    def fits(text: str) -> bool:
        plain = text.casefold()
        if not others:
            return plain == first
        *middle, last = others
        if not plain.startswith(first) or not plain.endswith(last) or len(plain) < len(first) + len(last):
            return False
        place, stop = len(first), len(plain) - len(last)
        for part in middle:  # the first place of each part leaves most room to those after it
            place = plain.find(part, place, stop)
            if place < 0:
                return False
            place += len(part)
        return True

    return fits


def _is_code(kind: str) -> bool:
    return kind not in WORD_KINDS and kind not in _SYMBOL_KINDS


def _closures(
    direct: dict[tuple[str, str], BitMap],
    spelled: dict[tuple[str, str], str],
    labels: dict[tuple[str, str], str],
    ontologies: Ontologies,
) -> dict[tuple[str, str], BitMap]:
    """Each code's people and those of everything below it; codes above those of the data are added to all three."""
    parts: dict[tuple[str, str], list[BitMap]] = {place: [found] for place, found in direct.items()}
    for (kind, key), found in direct.items():
        if not _is_code(kind) or kind.startswith(_EXCLUDED):
            continue
        ontology = ontologies.holding(key)
        for above in () if ontology is None else ontology.ancestors(key):
            place = (kind, code_key(above))
            parts.setdefault(place, []).append(found)
            if place not in spelled:
                assert ontology is not None  # it has named the code above
                spelled[place], labels[place] = above, ontology.label(above)
    return {place: found[0] if len(found) == 1 else BitMap.union(*found) for place, found in parts.items()}


def _bytes(found: BitMap) -> bytes:
    packed = found.copy()
    packed.run_optimize()
    packed.shrink_to_fit()
    return bytes(packed.serialize())
