"""Who used a person's data, read off the node's audit log: for what, by whose decision, with a proof of each line.

What is told to everybody, and floored counts, tell of no single person and are not listed. What is listed is every analysis
that the node took part in, and every answer that a visa opened, of a dataset that holds the person, from when the person has
agreed to that use until it was withdrawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cohelix.access.grants import Grants
from cohelix.audit.bundle import prove
from cohelix.audit.entries import Entry, read_entry
from cohelix.audit.store import LogStore
from cohelix.bank.consent import ConsentMode
from cohelix.bank.life import modes_of
from cohelix.core.errors import NotFound
from cohelix.core.ids import NodeId, federation_dataset_id

_SCOPE_OF: Final = {"frequency": "frequencies", "region": "frequencies", "gene": "frequencies"}  # other questions: of people
_ANALYSIS: Final = "secondary-use"
_PAGE: Final = 500
_ENTRIES_MAX: Final = 20_000  # the newest; older ones are in the log, which the holder can show
_NUMBERS_SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class Use:
    """One line of the ledger: uses of one kind, for one purpose, by one decision.

    Attributes
    ----------
    what
        `analysis`, `counts` or `people`.
    dataset
        Its federation id.
    purpose
        The project, or the purpose as it was stated; empty where none was.
    by
        Who decided: the id of an authority; `holder` where the data holder allowed the project; `everybody` where the data are
        open.
    application
        The application that was approved; empty where there was none.
    first, last
        Times of the first and the last of them, UTC.
    times
        How many.
    numbers
        Places of the newest of them in the node's audit log.
    """

    what: str
    dataset: str
    purpose: str
    by: str
    application: str
    first: str
    last: str
    times: int
    numbers: tuple[int, ...]

    def document(self) -> dict[str, Any]:
        """As JSON tells it."""
        return {
            "what": self.what,
            "dataset": self.dataset,
            "purpose": self.purpose,
            "decidedBy": self.by,
            "application": self.application or None,
            "first": self.first,
            "last": self.last,
            "times": self.times,
            "entries": list(self.numbers),
        }


class Uses:
    """What was done with the data of a node's people.

    Parameters
    ----------
    keyed
        How the log writes an individual's id.
    """

    def __init__(
        self,
        folder: Path,
        node: NodeId,
        store: Callable[[], LogStore],
        grants: Callable[[], Grants],
        keyed: Callable[[str], str],
    ) -> None:
        self._folder, self._node, self._store, self._grants, self._keyed = folder, node, store, grants, keyed

    def of(self, individual: str) -> list[Use]:
        """The ledger of a person, the last used first."""
        modes = modes_of(self._folder, individual)
        held: dict[str, ConsentMode] = {federation_dataset_id(self._node, name): mode for name, mode in modes.items()}
        said = self._said(individual)
        applications = {one.identifier: one.application or "" for one in self._grants().all()}
        found: dict[tuple[str, str, str, str, str], list[Entry]] = {}
        for entry in self._entries():
            for what, scope, decided in _told(entry):
                name = str(decided.get("dataset"))
                if name in held and _agreed(said, scope, entry.number, held[name]):
                    by, application = _decider(decided, applications)
                    purpose = str(entry.data.get("project") or entry.data.get("purpose") or "")
                    found.setdefault((what, name, purpose, by, application), []).append(entry)
        lines = [
            Use(*key, entries[-1].at, entries[0].at, len(entries), tuple(one.number for one in entries[:_NUMBERS_SHOWN]))
            for key, entries in found.items()
        ]
        return sorted(lines, key=lambda line: line.last, reverse=True)

    def proof(self, individual: str, number: int) -> dict[str, Any]:
        """The proof that an entry of a person's ledger is in the log; `NotFound` for any other entry."""
        if not any(number in line.numbers for line in self.of(individual)):
            raise NotFound("there is no such line in your ledger")
        document: dict[str, Any] = prove(self._store(), number).model_dump(mode="json")
        return document

    def _entries(self) -> Iterator[Entry]:
        """Entries that may be about single people, newest first."""
        for events, holding in ((("run:accepted",), ""), (("question:answered",), '"controlled"')):
            before: int | None = None
            for _ in range(_ENTRIES_MAX // _PAGE):
                page = self._store().search(before=before, events=events, holding=holding, limit=_PAGE)
                yield from (read_entry(one.content.encode("ascii")) for one in page)
                if len(page) < _PAGE:
                    break
                before = page[-1].number

    def _said(self, individual: str) -> dict[str, list[tuple[int, bool]]]:
        """What the person has said of each scope: numbers of entries with yes or no, newest first."""
        name = self._keyed(individual)
        found: dict[str, list[tuple[int, bool]]] = {}
        for one in self._store().search(events=("consent:changed",), holding=name, limit=_ENTRIES_MAX):
            data = read_entry(one.content.encode("ascii")).data
            if data.get("individual") == name:
                for scope in data.get("scopes", ()):
                    found.setdefault(str(scope), []).append((one.number, data.get("given") is True))
        return found


def _told(entry: Entry) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """What an entry did with which dataset, and the scope of consent that it falls under."""
    datasets: Sequence[Mapping[str, Any]] = entry.data.get("datasets") or ()
    for decided in datasets:
        if entry.event == "run:accepted":
            if entry.data.get("run"):  # it was not only asked whether it would take part
                yield "analysis", _ANALYSIS, decided
        elif decided.get("tier") == "controlled" and decided.get("outcome") == "answered":
            kind = str(entry.data.get("kind"))
            if kind != "analysis":
                scope = _SCOPE_OF.get(kind, "individual-queries")
                yield ("counts" if scope == "frequencies" else "people"), scope, decided


def _agreed(said: Mapping[str, list[tuple[int, bool]]], scope: str, number: int, mode: ConsentMode) -> bool:
    """Whether the person's word, when an entry was written, was yes."""
    for at, given in said.get(scope, ()):
        if at < number:
            return given
    return mode == "opt-out"


def _decider(decided: Mapping[str, Any], applications: Mapping[str, str]) -> tuple[str, str]:
    visas = [str(one) for one in decided.get("visas") or ()]
    if visas:
        known = next((applications[one] for one in visas if applications.get(one)), "")
        return visas[0].partition(":")[0], known
    return ("everybody" if decided.get("tier") == "public" else "holder"), ""
