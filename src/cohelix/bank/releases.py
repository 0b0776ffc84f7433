"""The history of a dataset's releases on disk, and who is who in it: people are keyed hashes there, never ids.

datasets/<id>/releases/key             32 random bytes, for the owner alone; without them nobody can tell who is who
datasets/<id>/releases/people          of each name, its keyed hash and the person's ordinal, which is never given twice
datasets/<id>/releases/000002.release  one release: when and why it was made, and its people by group as Roaring bitmaps
datasets/<id>/releases/withdrawn       ordinals of people who have withdrawn: no later version takes them in again
<version>/standing                     which release a version answers from, who was wanted for it, and who is in it

A release is about three scopes of consent (`bank/consent.py`). Its cells are of the frequencies; the people of another scope
are told beside them where they are others. All scopes' releases keep their distance to one another.

Every file begins with the SHA-256 of the rest.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pyroaring import BitMap

from cohelix.bank.people import CallSets
from cohelix.bank.release import Cells, Choose, everyone, keyed_choice, next_release
from cohelix.core.arrays import BoolArray, IntArray
from cohelix.core.errors import Damaged
from cohelix.phenotypes.consents import SCOPES, Scope
from cohelix.phenotypes.model import SEX_LABELS, People

RELEASES, STANDING_FILE = "releases", "standing"
_KEY_FILE, _PEOPLE_FILE, _WITHDRAWN_FILE, _SUFFIX = "key", "people", "withdrawn", ".release"
_DELETED_FILE = "deleted"
# What people agree to one by one: being counted in frequencies; in counts and records of people; in analyses and exports.
_DIGEST_BYTES = 16
_ENTRY = np.dtype([("digest", f"V{_DIGEST_BYTES}"), ("ordinal", "<u4")])
# Ordinals of people whom only other datasets have: above every ordinal of the dataset itself.
_STRANGERS = 1 << 31


@dataclass(frozen=True, slots=True)
class Release:
    """One numbered release: `facts` says when and why it was made and its sizes; `cells` who is in it.

    `scoped` has the cells of the scopes whose people are others.
    """

    number: int
    facts: dict[str, Any]
    cells: Cells
    scoped: Mapping[Scope, Cells] = field(default_factory=dict)

    def of(self, scope: Scope) -> Cells:
        """Who is in it for one scope."""
        return self.scoped.get(scope, self.cells)

    def tellings(self) -> list[Cells]:
        """Every set of people that answers may have been about."""
        return [self.cells, *self.scoped.values()]


@dataclass(frozen=True, slots=True)
class Standing:
    """What a version knows of its release: the number, everybody who was there (ordinals), who is in it (people numbers).

    `scoped` has the people numbers of the scopes whose people are others, `refused` the ordinals of who had not agreed.
    """

    release: int
    known: BitMap
    released: BitMap
    scoped: Mapping[Scope, BitMap] = field(default_factory=dict)
    refused: Mapping[Scope, BitMap] = field(default_factory=dict)


class Planned(NamedTuple):
    """A release that has been decided: the mask (people,) of who is in it, of who has withdrawn and of who has not agreed to
    be in it, and what is kept of it."""

    standing: Standing
    released: BoolArray
    withdrawn: BoolArray
    refused: BoolArray


class ReleaseHistory:
    """The releases of one dataset; written only by whoever holds the dataset's lock."""

    def __init__(self, home: Path) -> None:
        self._folder = home / RELEASES

    def releases(self, *, upto: int | None = None) -> list[Release]:
        """All releases up to a number, the first one first; raises `Damaged` where one is not what was written."""
        if not self._folder.is_dir():
            return []
        found = [_read_release(path) for path in sorted(self._folder.glob("*" + _SUFFIX))]
        return [release for release in found if upto is None or release.number <= upto]

    def _forget_after(self, number: int) -> None:
        """Remove releases that were planned by a load which did not come to its end: nobody has seen them."""
        for path in self._folder.glob("*" + _SUFFIX) if self._folder.is_dir() else ():
            if int(path.name.removesuffix(_SUFFIX)) > number:
                path.unlink()

    def ordinals(self, people: People, call_sets: CallSets, *, make: bool = True) -> IntArray:
        """(people,) int64: the ordinal of everybody, by id or by the name of a genotype column; -1 of strangers.

        With `make`, strangers get ordinals of their own, which last.
        """
        register = self._register()
        known = {bytes(digest): int(ordinal) for digest, ordinal in zip(register["digest"], register["ordinal"], strict=True)}
        names = names_of(people, call_sets)
        key = self._key(make=make)
        following = int(register["ordinal"].max()) + 1 if len(register) else 0
        ordinals, added, taken = np.empty(len(names), np.int64), [], set()
        for number, of_person in enumerate(names):
            digests = [_digest(key, name) for name in of_person] if key else []
            # Two people never share an ordinal, whatever tables said before.
            ordinal = next((known[d] for d in digests if d in known and known[d] not in taken), -1)
            if ordinal < 0 and make:
                ordinal, following = following, following + 1
            ordinals[number] = ordinal
            if ordinal < 0:
                continue
            taken.add(ordinal)
            for digest in digests:
                if make and digest not in known:
                    known[digest] = ordinal
                    added.append((digest, ordinal))
        if added:
            more = np.array(added, _ENTRY)
            write_sealed(self._folder / _PEOPLE_FILE, np.concatenate([register, more]).tobytes())
        return ordinals

    def plan(
        self,
        people: People,
        call_sets: CallSets,
        *,
        k: int,
        before: Standing | None,
        published: int | None,
        others: Sequence[ReleaseHistory] = (),
        refused: Mapping[Scope, BoolArray] | None = None,
        facts: Mapping[str, Any],
    ) -> Planned:
        """Decide the release of a version in the making, and write it down; it counts once the version is published.

        Parameters
        ----------
        people, call_sets
            Of the version in the making.
        k
            The dataset's largest floor.
        before
            Of the version that is published now; None where there is none, or where it cannot be read.
        published
            Number of the last release that was ever published; None where that is not known. Later ones were planned by
            loads that did not come to their end, and are forgotten.
        others
            Histories of the node's other datasets: what they have told of the same people counts too.
        refused
            Of each scope the (people,) mask of who has not agreed to it; None where all have.
        facts
            What the history says of a new release: why and when.
        """
        self._folder.mkdir(exist_ok=True)
        ordinals = self.ordinals(people, call_sets)
        if published is not None:
            self._forget_after(published)
        history = self.releases()
        withdrawn = self.withdrawn()
        mine = {scope: _ordinals_of(ordinals, mask) for scope, mask in (refused or {}).items()}
        everybody = cells_of(people, call_sets, ordinals, without=withdrawn)
        wanted = {
            scope: cells_of(people, call_sets, ordinals, without=withdrawn | mine[scope]) if mine.get(scope) else everybody
            for scope in SCOPES
        }
        last = history[-1] if history else None
        known = before.known if before is not None else everyone(last.cells) if last is not None else BitMap()
        number = last.number if last is not None else 0
        elsewhere = [
            cells
            for place, other in enumerate(others)
            for cells in other.seen_from(ordinals, people, call_sets, _STRANGERS + (place << 24))
        ]
        back = {
            scope: before.refused.get(scope, BitMap()) - mine.get(scope, BitMap()) if before else BitMap() for scope in SCOPES
        }
        cells = _scopes_released(history, known, wanted, back, elsewhere, k=k, choose=keyed_choice(self._key(), number + 1))
        told = cells["frequencies"]
        scoped: dict[Scope, Cells] = {scope: found for scope, found in cells.items() if found != told}
        if last is None or any(cells[scope] != dict(last.of(scope)) for scope in SCOPES):
            number += 1
            sizes = {"people": len(everyone(told)), "waiting": len(everyone(wanted["frequencies"])) - len(everyone(told))}
            _write_release(self._folder, Release(number, {"release": number, **facts, **sizes, "floor": k}, told, scoped))
        released = np.isin(ordinals, np.array(everyone(told), np.int64))
        standing = Standing(
            number,
            everyone(everybody),
            _numbers_of(released),
            {scope: _numbers_of(np.isin(ordinals, np.array(everyone(found), np.int64))) for scope, found in scoped.items()},
            {scope: who for scope, who in mine.items() if who},
        )
        gone = np.isin(ordinals, np.array(withdrawn, np.int64))
        not_agreed = np.isin(ordinals, np.array(mine.get("frequencies", BitMap()), np.int64))
        return Planned(standing, released, gone, not_agreed & ~gone)

    def seed(self, people: People, call_sets: CallSets, *, k: int, facts: Mapping[str, Any]) -> Standing:
        """Write down the one release of a version that is older than releases: everybody was in it."""
        self._folder.mkdir(exist_ok=True)
        cells = cells_of(people, call_sets, self.ordinals(people, call_sets), without=BitMap())
        if not self.releases():
            sizes = {"people": call_sets.n_people, "waiting": 0, "floor": k}
            _write_release(self._folder, Release(1, {"release": 1, **facts, **sizes}, cells))
        return Standing(1, everyone(cells), BitMap(range(call_sets.n_people)))

    def withdrawn(self) -> BitMap:
        """Ordinals of everybody who has withdrawn."""
        path = self._folder / _WITHDRAWN_FILE
        return BitMap.deserialize(read_sealed(path)) if path.exists() else BitMap()

    def note_deletion(self) -> None:
        """Remember, where a dataset is deleted and its history is kept, how far it had come."""
        releases = self.releases()
        write_sealed(self._folder / _DELETED_FILE, str(releases[-1].number if releases else 0).encode())

    def deleted_at(self) -> int:
        """The last release of a dataset of this name that was deleted; 0 where there was none."""
        path = self._folder / _DELETED_FILE
        return int(read_sealed(path)) if path.exists() else 0

    def withdraw(self, ordinals: IntArray) -> None:
        """People who are in no later release, whatever is loaded."""
        write_sealed(self._folder / _WITHDRAWN_FILE, (self.withdrawn() | BitMap(ordinals.astype(np.uint32))).serialize())

    def seen_from(self, ordinals: IntArray, people: People, call_sets: CallSets, base: int) -> list[Cells]:
        """The floored releases of this dataset in the ordinals of another one, whose people are given.

        People whom the other does not have are numbered from `base` on.
        """
        releases = [release for release in self.releases() if release.facts["floor"] > 1]
        if not releases:
            return []
        mine = self.ordinals(people, call_sets, make=False)
        shared = mine >= 0
        if not shared.any():
            return []
        known = dict(zip(mine[shared].tolist(), ordinals[shared].tolist(), strict=True))
        return [
            {labels: BitMap([known.get(who, base + who) for who in group]) for labels, group in cells.items()}
            for release in releases
            for cells in release.tellings()
        ]

    def verify(self) -> None:
        """Read every file of the history; raises `Damaged` naming the first that is not what was written."""
        for path in sorted(self._folder.iterdir()) if self._folder.is_dir() else ():
            read_sealed(path)

    def _register(self) -> np.ndarray[Any, np.dtype[Any]]:
        path = self._folder / _PEOPLE_FILE
        return np.frombuffer(read_sealed(path), _ENTRY) if path.exists() else np.empty(0, _ENTRY)

    def _key(self, *, make: bool = True) -> bytes:
        path = self._folder / _KEY_FILE
        if path.exists():
            return read_sealed(path)
        if not make:
            return b""
        self._folder.mkdir(exist_ok=True)
        key = secrets.token_bytes(32)
        write_sealed(path, key)
        return key


def names_of(people: People, call_sets: CallSets) -> list[tuple[str, ...]]:
    """The names by which each person may be known again: the individual's id, then the person's genotype columns."""
    names: list[list[str]] = [[individual] for individual in people.individual_ids]
    names += [[] for _ in range(call_sets.n_people - len(names))]
    for column, person in zip(call_sets.names, call_sets.person.tolist(), strict=True):
        if column not in names[person]:
            names[person].append(column)
    return [tuple(of_person) for of_person in names]


def cells_of(people: People, call_sets: CallSets, ordinals: IntArray, *, without: BitMap) -> dict[tuple[str, ...], BitMap]:
    """Everybody by population, sex and whether genotypes count, as ordinals; the withdrawn left out."""
    counted = np.zeros(call_sets.n_people, np.bool_)
    counted[call_sets.person[call_sets.counted]] = True
    origins, members = people.origins(), dict[tuple[str, ...], list[int]]()
    for number, ordinal in enumerate(ordinals.tolist()):
        registered = number < call_sets.n_registered
        sex = SEX_LABELS[int(people.sex[number])] if registered else SEX_LABELS[0]
        labels = (origins[number] if registered else "", sex, "counted" if counted[number] else "uncounted")
        members.setdefault(labels, []).append(ordinal)
    found = {labels: BitMap(who) - without for labels, who in members.items()}
    return {labels: who for labels, who in found.items() if who}


def write_standing(standing: Standing, folder: Path) -> None:
    """Write a version's standing into its folder."""
    bitmaps = [standing.known, standing.released, *standing.scoped.values(), *standing.refused.values()]
    parts = [bitmap.serialize() for bitmap in bitmaps]
    facts: dict[str, Any] = {"release": standing.release, "bytes": [len(part) for part in parts]}
    if len(parts) > 2:
        facts |= {"scoped": list(standing.scoped), "refused": list(standing.refused)}
    write_sealed(folder / STANDING_FILE, _framed(facts, parts))


def read_standing(folder: Path) -> Standing | None:
    """What `write_standing` wrote; None in a version that is older than releases, from which everybody is released."""
    path = folder / STANDING_FILE
    if not path.exists():
        return None
    facts, parts = _unframed(path)
    known, released, *more = (BitMap.deserialize(part) for part in parts)
    scoped, refused = facts.get("scoped", []), facts.get("refused", [])
    return Standing(
        int(facts["release"]),
        known,
        released,
        dict(zip(scoped, more[: len(scoped)], strict=True)),
        dict(zip(refused, more[len(scoped) :], strict=True)),
    )


def write_sealed(path: Path, payload: bytes) -> None:
    """Write a small file whole or not at all, for the owner alone, with its checksum in front."""
    draft = path.with_name(path.name + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(hashlib.sha256(payload).digest() + payload)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read_sealed(path: Path) -> bytes:
    """What `write_sealed` wrote; raises `Damaged` where a bit of it differs."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Damaged(f"{path.name} cannot be read ({error.strerror})") from None
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        raise Damaged(f"{path.parent.name}/{path.name} is not what was written: its checksum differs", path=str(path))
    return content[32:]


def _digest(key: bytes, name: str) -> bytes:
    return hashlib.blake2b(name.encode("utf-8", "surrogateescape"), key=key, digest_size=_DIGEST_BYTES).digest()


def _scopes_released(
    history: Sequence[Release],
    known: BitMap,
    wanted: Mapping[Scope, Cells],
    back: Mapping[Scope, BitMap],
    elsewhere: Sequence[Cells],
    *,
    k: int,
    choose: Choose,
) -> dict[Scope, dict[tuple[str, ...], BitMap]]:
    """The people of the next release for each scope; scopes that were alike and are wanted alike stay alike."""
    found: dict[Scope, dict[tuple[str, ...], BitMap]] = {}
    for scope in SCOPES:
        same = next((one for one in found if _alike(one, scope, history, wanted, back)), None)
        if same is not None:
            found[scope] = found[same]
            continue
        found[scope] = next_release(
            [release.of(scope) for release in history],
            known,
            wanted[scope],
            k=k,
            choose=choose,
            others=[
                *elsewhere,
                *(cells for release in history for cells in release.tellings() if cells is not release.of(scope)),
                *(found[one] for one in found),
            ],
            back=back[scope],
        )
    return found


def _alike(
    one: Scope, other: Scope, history: Sequence[Release], wanted: Mapping[Scope, Cells], back: Mapping[Scope, BitMap]
) -> bool:
    last = history[-1] if history else None
    return (
        wanted[one] == wanted[other]
        and back[one] == back[other]
        and (last is None or dict(last.of(one)) == dict(last.of(other)))
    )


def _ordinals_of(ordinals: IntArray, mask: BoolArray) -> BitMap:
    return BitMap(ordinals[mask].astype(np.uint32))


def _numbers_of(mask: BoolArray) -> BitMap:
    return BitMap(np.flatnonzero(mask).astype(np.uint32))


def _write_release(folder: Path, release: Release) -> None:
    groups, parts = _packed_cells(release.cells)
    scopes: dict[str, list[list[str]]] = {}
    for scope, cells in release.scoped.items():
        scopes[scope], more = _packed_cells(cells)
        parts += more
    facts = {
        **release.facts,
        "groups": groups,
        **({"scopes": scopes} if scopes else {}),
        "bytes": [len(part) for part in parts],
    }
    write_sealed(folder / f"{release.number:06d}{_SUFFIX}", _framed(facts, parts))


def _packed_cells(cells: Cells) -> tuple[list[list[str]], list[bytes]]:
    labels = sorted(cells)
    return [list(name) for name in labels], [cells[name].serialize() for name in labels]


def _read_release(path: Path) -> Release:
    facts, parts = _unframed(path)
    rest = iter(parts)

    def cells_read(groups: list[list[str]]) -> Cells:
        return {tuple(name): BitMap.deserialize(next(rest)) for name in groups}

    cells, scopes = cells_read(facts.pop("groups")), facts.pop("scopes", {})
    scoped: dict[Scope, Cells] = {scope: cells_read(groups) for scope, groups in scopes.items()}
    return Release(int(facts["release"]), facts, cells, scoped)


def _framed(facts: dict[str, Any], parts: Sequence[bytes]) -> bytes:
    return json.dumps(facts, sort_keys=True, ensure_ascii=False).encode() + b"\n" + b"".join(parts)


def _unframed(path: Path) -> tuple[dict[str, Any], list[bytes]]:
    head, _, body = read_sealed(path).partition(b"\n")
    facts = json.loads(head)
    ends = np.cumsum([0, *facts.pop("bytes")]).tolist()
    return facts, [body[start:stop] for start, stop in pairwise(ends)]
