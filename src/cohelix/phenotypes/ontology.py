"""Ontologies: what a code is called today, what stands above and below it, and how alike two codes are.

An ontology is one Arrow file, opened by memory map. HPO comes with the package (hpo3) and is brought into this form when it
is first needed; every other one from a file that the operator names (`ontology_files`). Codes are compared without regard
to case and to the spellings of a prefix: `orphanet:558`, `ORPHA:558` and `http://www.orpha.net/ORDO/Orphanet_558` are one.

Columns of the file, one row a code, ascending by code in capitals:

code, label        string; the label of an alternative id is that of the term it stands for
current            int32, the row of the term that the code means today: its own; another's where it was replaced or is an
                   alternative id; -1 where it is obsolete and nothing replaces it
ancestors          list of int32, ascending rows of all terms above it, itself left out
descendants        list of int32, likewise below it
"""

from __future__ import annotations

import math
import os
import re
import shutil
import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc

from cohelix.core.arrays import FloatArray
from cohelix.core.codes import canonical, code_key, prefix_of
from cohelix.core.errors import BadInput, Damaged

FOLDER, _SUFFIX = "ontologies", ".arrow"
FORMAT_VERSION = "1"
Level = Literal["high", "medium", "low"]
# Beacon v2 names three levels and defines none. Ours are of Lin's similarity (Lin 1998, Proc ICML 15:296) on the intrinsic
# information content of Seco et al. 2004 (Proc ECAI 16:1089), the same for every ontology. To "seizure", "focal seizure" is
# high (0.95), "status epilepticus" medium (0.77), "atypical behaviour" low (0.59).
SIMILARITY_LEAST: Mapping[Level, float] = {"high": 0.8, "medium": 0.65, "low": 0.5}
_PREFIX = re.compile(r"[A-Z0-9][A-Z0-9.-]{0,31}")  # also the name of the ontology's file
RowArray = npt.NDArray[np.int32]


class OntologyTerm(NamedTuple):
    """A term as its source has it: `parents` are codes; `replaced_by` names another code, `alternatives` mean this one."""

    code: str
    label: str
    parents: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    obsolete: bool = False
    replaced_by: str | None = None


class CodeReport(NamedTuple):
    """What became of the codes of a load.

    `versions` are of the ontologies that spoke of them, by prefix; `replaced` says which code stands for an obsolete or
    alternative one; `unknown` are codes that their ontology does not have, or has given up; `alone` prefixes without an
    ontology, whose codes stand for themselves.
    """

    versions: dict[str, str]
    replaced: dict[str, str]
    unknown: tuple[str, ...]
    alone: tuple[str, ...]


class Ontology:
    """One ontology, memory-mapped. Codes may be given in any spelling; answers are in its own. Safe for many threads."""

    def __init__(self, table: pa.Table, name: str) -> None:
        """From a table of the form above; `name` is the file's, for errors."""
        metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        try:
            if metadata["format"] != FORMAT_VERSION:
                raise Damaged(f"{name}: an ontology of format {metadata['format']}; this version reads {FORMAT_VERSION}")
            self.prefix, self.version, self.source = (metadata[key] for key in ("prefix", "version", "source"))
            self._bare = metadata["bare"] == "1"
            self._codes, self._labels = table["code"].chunk(0), table["label"].chunk(0)
            self._current: RowArray = table["current"].chunk(0).to_numpy()
            self._above, self._below = (_Lists.of(table[column].chunk(0)) for column in ("ancestors", "descendants"))
        except (KeyError, IndexError, pa.ArrowException) as error:
            raise Damaged(f"{name}: not an ontology of the form that this version writes ({error!r})") from None
        self._keys = _Keys(self._codes)

    @classmethod
    def open(cls, path: Path) -> Ontology:
        """Open a file; raises `Damaged` where it is missing, cut or of another form."""
        try:
            with pa.memory_map(str(path)) as source:
                return cls(pa.ipc.open_file(source).read_all(), path.name)
        except (OSError, pa.ArrowException) as error:
            raise Damaged(f"{path.name}: cannot be read ({error})") from None

    def __len__(self) -> int:
        """How many terms are current."""
        return int((self._current == np.arange(len(self._current))).sum())

    @property
    def n_replaced(self) -> int:
        """How many further codes mean a current term: alternative ids, and obsolete ones that were replaced."""
        return int((self._current >= 0).sum()) - len(self)

    @property
    def n_obsolete(self) -> int:
        """How many codes mean nothing any more."""
        return int((self._current < 0).sum())

    def state(self, code: str) -> Literal["current", "replaced", "obsolete", "unknown"]:
        """What has become of a code; `replaced` is said of alternative ids, too."""
        row = self._row(code)
        if row is None:
            return "unknown"
        target = int(self._current[row])
        return "current" if target == row else ("replaced" if target >= 0 else "obsolete")

    def current(self, code: str) -> str | None:
        """The code in use today; None where the code is not known, or obsolete and not replaced."""
        row = self._term(code)
        return None if row is None else str(self._codes[row])

    def label(self, code: str) -> str:
        """The label of the current term; of an obsolete one its last; empty where the code is not known."""
        row = self._row(code)
        if row is None:
            return ""
        target = int(self._current[row])
        return str(self._labels[target if target >= 0 else row])

    def ancestors(self, code: str) -> tuple[str, ...]:
        """All terms above a code, itself left out; empty where it is not known."""
        row = self._term(code)
        return () if row is None else self._named(self._above[row])

    def descendants(self, code: str) -> tuple[str, ...]:
        """All terms below a code, itself left out; empty where it is not known."""
        row = self._term(code)
        return () if row is None else self._named(self._below[row])

    def has_descendants(self, code: str) -> bool:
        """Whether any term stands below a code."""
        row = self._term(code)
        return row is not None and len(self._below[row]) > 0

    def information_content(self, code: str) -> float:
        """Seco's content, 1 - log(descendants + 1) / log(terms): 0 of a root of all, 1 of a leaf; NaN if not known."""
        row = self._term(code)
        return math.nan if row is None else float(self._content[row])

    def lin(self, first: str, second: str) -> float:
        """Lin's similarity: twice the content of the best common ancestor over the sum of both contents; in [0, 1]."""
        row, other = self._term(first), self._term(second)
        return 0.0 if row is None or other is None else float(self._lin_to_all(row)[other])

    def resnik(self, first: str, second: str) -> float:
        """Resnik's similarity (1995, Proc IJCAI 14:448): the content of the best common ancestor, themselves included."""
        row, other = self._term(first), self._term(second)
        return 0.0 if row is None or other is None else float(self._shared_content(row)[other])

    def similar(self, code: str, level: Level) -> tuple[str, ...]:
        """The codes whose similarity to this one reaches the level, itself among them; empty where it is not known."""
        row = self._term(code)
        if row is None:
            return ()
        return self._named(np.flatnonzero(self._lin_to_all(row) >= SIMILARITY_LEAST[level]).astype(np.int32))

    def codes(self) -> Iterator[str]:
        """The codes of all current terms."""
        return iter(self._named(np.flatnonzero(self._current == np.arange(len(self._current))).astype(np.int32)))

    @cached_property
    def _content(self) -> FloatArray:
        below = np.diff(self._below.offsets).astype(np.float64)
        terms = max(2, len(self))
        return np.asarray(1 - np.log(below + 1) / math.log(terms))

    def _shared_content(self, row: int) -> FloatArray:
        """(rows,) the content of the best ancestor that each term shares with this one; 0 where they share none."""
        shared = np.zeros(len(self._current))
        above = np.append(self._above[row], np.int32(row))
        for ancestor in above[np.argsort(self._content[above], kind="stable")].tolist():
            shared[self._below[ancestor]] = self._content[ancestor]
            shared[ancestor] = self._content[ancestor]
        return shared

    def _lin_to_all(self, row: int) -> FloatArray:
        both = self._content + self._content[row]
        found = np.divide(2 * self._shared_content(row), both, out=np.zeros_like(both), where=both > 0)
        found[self._current != np.arange(len(found))] = 0.0
        found[row] = 1.0
        return np.asarray(found)

    def _row(self, code: str) -> int | None:
        key = code_key(code)
        if self._bare and ":" not in key:
            key = f"{self.prefix}:{key}"
        place = bisect_left(self._keys, key)
        return place if place < len(self._keys) and self._keys[place] == key else None

    def _term(self, code: str) -> int | None:
        row = self._row(code)
        target = -1 if row is None else int(self._current[row])
        return target if target >= 0 else None

    def _named(self, rows: RowArray) -> tuple[str, ...]:
        return tuple(self._codes.take(pa.array(rows)).to_pylist())


class Ontologies:
    """The ontologies of a node, or those that a stored dataset was made with; each is opened when it is first needed.

    What it was asked to bring up to date is remembered, for the report of a load.
    """

    def __init__(self, folder: Path | None, *, with_hpo: bool = False) -> None:
        self._folder, self._with_hpo = folder, with_hpo
        self._opened: dict[str, Ontology] = {}
        self._current: dict[str, str] = {}

    @classmethod
    def of(cls, node: Path) -> Ontologies:
        """A node's own: those that its operator added, and HPO, which comes with the package."""
        return cls(node / FOLDER, with_hpo=True)

    @classmethod
    def none(cls) -> Ontologies:
        """No ontology: every code stands for itself."""
        return cls(None)

    def prefixes(self) -> tuple[str, ...]:
        """Prefixes of all ontologies, in alphabetical order."""
        there = self._folder.glob(f"*{_SUFFIX}") if self._folder is not None else ()
        return tuple(sorted({path.stem for path in there} | ({"HP"} if self._with_hpo else set())))

    def get(self, prefix: str) -> Ontology | None:
        """The ontology of a prefix (in any spelling), or None."""
        wanted = prefix_of(f"{prefix}:")
        if wanted not in self._opened:
            found = self._open(wanted)
            if found is None:
                return None
            self._opened[wanted] = found
        return self._opened[wanted]

    def holding(self, code: str) -> Ontology | None:
        """The ontology that speaks of a code: that of its prefix; of a code without one, the only one that has it."""
        prefix = prefix_of(code)
        if prefix:
            return self.get(prefix)
        others = (self.get(other) for other in self.prefixes() if other != "HP")  # HPO's codes are never without
        found = [one for one in others if one is not None and one.state(code) != "unknown"]
        return found[0] if len(found) == 1 else None

    def meaning(self, code: str) -> str:
        """The code in use today; the code itself, in our spelling of its prefix, where nothing better is known."""
        plain = canonical(code)
        ontology = self.holding(plain)
        return plain if ontology is None else ontology.current(plain) or plain

    def current(self, code: str) -> str:
        """As `meaning`, for the codes of a load, which are remembered."""
        known = self._current.get(code)
        if known is None:
            known = self._current[code] = self.meaning(code)
        return known

    @property
    def replaced(self) -> dict[str, str]:
        """Obsolete and alternative codes that `current` was asked for, with today's."""
        return self.report().replaced

    @property
    def unknown(self) -> tuple[str, ...]:
        """Codes that `current` was asked for and their ontology does not have, or has given up."""
        return self.report().unknown

    def report(self) -> CodeReport:
        """What became of the codes that `current` was asked for."""
        versions, replaced, unknown, alone = {}, {}, set(), set()
        for code in map(canonical, self._current):
            ontology = self.holding(code)
            if ontology is None:
                alone.add(prefix_of(code))
                continue
            versions[ontology.prefix] = ontology.version
            state = ontology.state(code)
            if state == "replaced":
                replaced[code] = self.meaning(code)
            elif state != "current":
                unknown.add(code)
        return CodeReport(
            dict(sorted(versions.items())), dict(sorted(replaced.items())), tuple(sorted(unknown)), tuple(sorted(alone - {""}))
        )

    def label(self, code: str) -> str:
        """The label of a code; empty where no ontology has it."""
        ontology = self.holding(code)
        return "" if ontology is None else ontology.label(code)

    def keep(self, folder: Path, codes: Iterable[str]) -> None:
        """Copy the ontologies that speak of these codes into a folder, so that a stored dataset keeps its own."""
        prefixes = {one.prefix for one in map(self.holding, {*codes}) if one is not None}
        for prefix in sorted(prefixes):
            assert self._folder is not None  # it holds the ontology that was found
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._folder / (prefix + _SUFFIX), folder / (prefix + _SUFFIX))

    def _open(self, prefix: str) -> Ontology | None:
        if self._folder is None or not _PREFIX.fullmatch(prefix):
            return None
        path = self._folder / (prefix + _SUFFIX)
        if self._with_hpo and prefix == "HP":
            _make_hpo_current(path)
        return Ontology.open(path) if path.exists() else None


def write_ontology(
    path: Path, terms: Iterable[OntologyTerm], *, prefix: str, version: str, source: str, bare: bool = False
) -> Ontology:
    """Write an ontology, in one step, and open it. Terms of other prefixes and doubled ones are left out.

    `bare` says that data write its codes without the prefix, too.

    Raises
    ------
    BadInput
        If no term has the prefix, or the terms' parents run in a circle.
    """
    wanted = prefix_of(f"{prefix}:")
    known: dict[str, OntologyTerm] = {}
    for term in terms:
        if prefix_of(term.code) == wanted:
            known.setdefault(code_key(term.code), term)
    if not known:
        raise BadInput(f"no term has the prefix {wanted}")
    targets = {key: (key if not term.obsolete else None) for key, term in known.items()}
    for key, term in known.items():
        if term.obsolete and term.replaced_by is not None:
            targets[key] = code_key(term.replaced_by)
    for key, term in known.items():
        for alternative in term.alternatives if not term.obsolete else ():
            # HPO lists some codes as alternatives that stand there as obsolete, too, without saying what replaced them.
            if prefix_of(alternative) == wanted and targets.get(code_key(alternative)) is None:
                targets[code_key(alternative)] = key
    keys = sorted(targets)
    rows = {key: row for row, key in enumerate(keys)}
    current = np.array([_last_target(key, targets, rows) for key in keys], np.int32)
    parents = [
        sorted({rows[code_key(code)] for code in known[key].parents if code_key(code) in known})
        if key in known and current[row] == row
        else []
        for row, key in enumerate(keys)
    ]
    above = _closure(parents, keys)
    codes = [canonical(known[key].code) if key in known else key for key in keys]
    labels = [known[key].label if key in known else known[keys[current[row]]].label for row, key in enumerate(keys)]
    table = pa.table(
        {
            "code": pa.array(codes, pa.string()),
            "label": pa.array(labels, pa.string()),
            "current": pa.array(current, pa.int32()),
            "ancestors": above.array(),
            "descendants": above.turned().array(),
        }
    ).replace_schema_metadata(
        {"format": FORMAT_VERSION, "prefix": wanted, "version": version, "source": source, "bare": "1" if bare else "0"}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as draft:
        try:
            with pa.ipc.new_file(draft, table.schema) as writer:
                writer.write_table(table.combine_chunks())
            draft.flush()
            os.fsync(draft.fileno())
            Path(draft.name).chmod(0o644)
            Path(draft.name).replace(path)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise
    return Ontology.open(path)


def _make_hpo_current(path: Path) -> None:
    """Bring the HPO that hpo3 carries into our form, unless that was done; an HPO that the operator added stays."""
    from importlib.metadata import version

    source = f"hpo3 {version('hpo3')}"
    if path.exists():
        known = Ontology.open(path).source
        if known == source or not known.startswith("hpo3 "):
            return
    import pyhpo  # takes a second

    try:
        len(pyhpo.Ontology)
    except NameError:  # so it says that it has not been built in this process
        pyhpo.Ontology()
    terms = [
        OntologyTerm(
            code=term.id,
            label=term.name,
            parents=tuple(f"HP:{number:07d}" for number in term.parent_ids()),
            obsolete=term.is_obsolete,
            replaced_by=term.replaced_by,
        )
        for term in pyhpo.Ontology
    ]
    write_ontology(path, terms, prefix="HP", version=pyhpo.Ontology.version(), source=source)


def _last_target(key: str, targets: Mapping[str, str | None], rows: Mapping[str, int]) -> int:
    """The row that a code ends at, replacement after replacement; -1 where that is no current term."""
    seen = {key}
    target = targets[key]
    while target is not None and target != key:
        if target in seen or target not in targets:
            return -1
        if targets[target] == target:
            return rows[target]
        seen.add(target)
        key, target = target, targets[target]
    return rows[key] if target == key else -1


class _Lists:
    """Lists of rows, one after another: list i is `values[offsets[i] : offsets[i + 1]]`."""

    def __init__(self, offsets: RowArray, values: RowArray) -> None:
        self.offsets, self._values = offsets, values

    @classmethod
    def of(cls, column: pa.ListArray) -> _Lists:
        """From an Arrow column, without copying."""
        return cls(column.offsets.to_numpy(), column.values.to_numpy())

    def __getitem__(self, row: int) -> RowArray:
        return self._values[self.offsets[row] : self.offsets[row + 1]]

    def array(self) -> pa.ListArray:
        """As an Arrow column."""
        return pa.ListArray.from_arrays(pa.array(self.offsets, pa.int32()), pa.array(self._values, pa.int32()))

    def turned(self) -> _Lists:
        """Who has i in its list, for each i."""
        holders = np.repeat(np.arange(len(self.offsets) - 1, dtype=np.int32), np.diff(self.offsets))
        order = np.argsort(self._values, kind="stable")
        counts = np.bincount(self._values, minlength=len(self.offsets) - 1)
        return _Lists(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32), holders[order])


def _closure(parents: Sequence[Sequence[int]], keys: Sequence[str]) -> _Lists:
    """All rows above each row, ascending; parents before their children, so that each is made of its parents' lists."""
    children: list[list[int]] = [[] for _ in parents]
    waiting = [len(above) for above in parents]
    for row, above in enumerate(parents):
        for parent in above:
            children[parent].append(row)
    ready = [row for row, count in enumerate(waiting) if not count]
    found: list[RowArray] = [np.zeros(0, np.int32)] * len(parents)
    for row in ready:  # grows while it is walked
        if parents[row]:
            found[row] = np.unique(np.concatenate([np.array(parents[row], np.int32), *(found[p] for p in parents[row])]))
        for child in children[row]:
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    if len(ready) < len(parents):
        circle = next(keys[row] for row, count in enumerate(waiting) if count)
        raise BadInput(f"the parents of {circle} run in a circle")
    offsets = np.concatenate([[0], np.cumsum([len(above) for above in found])]).astype(np.int32)
    return _Lists(offsets, np.concatenate(found) if found else np.zeros(0, np.int32))


class _Keys(Sequence[str]):
    """A column of codes as a sequence of their keys, read one at a time."""

    def __init__(self, codes: pa.StringArray) -> None:
        self._codes = codes

    def __len__(self) -> int:
        return len(self._codes)

    def __getitem__(self, row: int) -> str:  # type: ignore[override]  # rows only
        return str(self._codes[row].as_py()).upper()
