"""What people of a node have agreed to, scope by scope: one sealed file that every step which makes a version reads.

consent/choices    for the owner alone: of each individual who has said anything, yes or no by scope
consent/lock       held while it is changed

Who has said nothing is in, where a dataset is `opt-out`, and out, where it is `opt-in`. A choice is about the person, and
acts on every dataset of the node; it outlives versions, and people may choose before their data are loaded.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import numpy as np

from cohelix.bank.releases import names_of, read_sealed, write_sealed
from cohelix.bank.version import OpenVersion
from cohelix.core.arrays import BoolArray
from cohelix.core.errors import BadFile, BadUsage
from cohelix.phenotypes.consents import SCOPES, Scope

ConsentMode = Literal["opt-out", "opt-in"]
CONSENT: Final = "consent"
_CHOICES_FILE, _LOCK_FILE = "choices", "lock"
_YES: Final = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Consents:
    """What everybody has said: `choices` by individual, then scope; a scope that is not named was not spoken of."""

    choices: Mapping[str, Mapping[Scope, bool]] = field(default_factory=dict)

    def given(self, individual: str, scope: Scope, mode: ConsentMode) -> bool:
        """Whether a person's data may be used so, in a dataset of this mode."""
        return self.choices.get(individual, {}).get(scope, mode == "opt-out")

    def refused(self, names: Sequence[Sequence[str]], mode: ConsentMode) -> dict[Scope, BoolArray]:
        """Of each scope the (people,) mask of who is not in it; people are given by their names (`releases.names_of`)."""
        if mode == "opt-out" and not self.choices:
            return {scope: np.zeros(len(names), np.bool_) for scope in SCOPES}
        return {scope: np.array([not self.given(of[0], scope, mode) for of in names], np.bool_) for scope in SCOPES}


class ConsentBook:
    """The choices of a node's people, in its folder; safe for many processes."""

    def __init__(self, node: Path) -> None:
        self._folder = node / CONSENT

    def read(self) -> Consents:
        """What was said up to now; raises `Damaged` where the file is not what was written."""
        path = self._folder / _CHOICES_FILE
        if not path.exists():
            return Consents()
        return Consents(json.loads(read_sealed(path)))

    def change(self, individuals: Iterable[str], scopes: Iterable[Scope], *, given: bool) -> tuple[str, ...]:
        """Write down what people say of some scopes; the individuals of whom that is something new."""
        scopes = tuple(scopes)
        return self.take({name: dict.fromkeys(scopes, given) for name in individuals})

    def take(self, said: Mapping[str, Mapping[Scope, bool]], *, over: bool = True) -> tuple[str, ...]:
        """Write down what each of these people says; without `over`, only of what was not spoken of before.

        Returns
        -------
        The individuals of whom something has changed.
        """
        with self._locked():
            known = {name: dict(choices) for name, choices in self.read().choices.items()}
            changed = []
            for name, choices in said.items():
                before = known.get(name, {})
                after = {**before, **choices} if over else {**choices, **before}
                if after != before:
                    known[name] = after
                    changed.append(name)
            if changed:
                write_sealed(self._folder / _CHOICES_FILE, json.dumps(known, sort_keys=True).encode())
        return tuple(changed)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with (self._folder / _LOCK_FILE).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def agreed_columns(node: Path, version: OpenVersion, scope: Scope) -> BoolArray:
    """(columns,) bool: genotype columns of everybody who agrees to a scope now, those who wait for a release included."""
    refused = ConsentBook(node).read().refused(names_of(version.people, version.everybody), version.manifest.consent)
    return np.asarray(~refused[scope][version.everybody.person])


def read_choices(path: Path) -> dict[str, dict[Scope, bool]]:
    """The choices in a table: a column `individual_id` and a column for each scope, yes, no or empty; tabs between them.

    Raises
    ------
    BadFile
        If a column is unknown or missing, somebody stands there twice, or a cell is something else.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(str(path), "", f"it cannot be read ({error})", "a table with tabs between its columns") from None
    head = [name.strip() for name in lines[0].split("\t")] if lines else []
    unknown = [name for name in head if name not in ("individual_id", *SCOPES)]
    if "individual_id" not in head or len(head) < 2 or unknown or len(set(head)) < len(head):
        said = f"its columns are {', '.join(head) or 'none'}"
        raise BadFile(str(path), "line 1", said, f"individual_id, and one or more of {', '.join(SCOPES)}")
    found: dict[str, dict[Scope, bool]] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = dict(zip(head, (cell.strip() for cell in line.split("\t")), strict=False))
        name = cells.get("individual_id", "")
        if not name or name in found:
            raise BadFile(str(path), f"line {number}", "no individual, or one for the second time", "one line for each")
        found[name] = {}
        for scope in SCOPES:
            word = cells.get(scope, "").lower()
            if word and word not in _YES:
                raise BadFile(str(path), f"line {number}", f"{word[:20]!r} is neither yes nor no", "yes, no, or nothing")
            if word:
                found[name][scope] = _YES[word]
    return found


def scope_named(name: str) -> Scope:
    """A scope by its name; raises `BadUsage` for any other word."""
    for scope in SCOPES:
        if scope == name:
            return scope
    raise BadUsage(f"{name[:40]!r} is no scope of consent: {', '.join(SCOPES)}")
