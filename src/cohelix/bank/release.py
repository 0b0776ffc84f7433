"""Who is in a dataset's next public release, so that no two releases differ by a few people: a pure function.

A release is a set of people, told apart by the labels that answers are broken down by (population, sex, whether genotypes
count). Every sum over labels is a *row* that an answer may show, so each row is guarded as the whole is: between any two
releases it differs by nobody or by at least k people. A row of fewer than k people is never told, and stands for nobody.
The empty release is therefore always possible, and the search below always ends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product

from pyroaring import BitMap

# The people of each finest group, by its labels; groups share nobody.
Cells = Mapping[tuple[str, ...], BitMap]
# (people, n) to n of them, or to all where they are fewer.
Choose = Callable[[BitMap, int], BitMap]
_Rows = dict[tuple[str | None, ...], BitMap]


def next_release(
    history: Sequence[Cells],
    known: BitMap,
    wanted: Cells,
    *,
    k: int,
    choose: Choose,
    others: Sequence[Cells] = (),
    back: BitMap | None = None,
) -> dict[tuple[str, ...], BitMap]:
    """The people of the next release (rule 4 of the interface).

    Parameters
    ----------
    history
        All releases of the dataset so far, the last one last.
    known
        Everybody who was there when the last release was made: those who are in it, those who wait, and those who had not
        agreed.
    wanted
        Who may be in the next one.
    k
        The dataset's largest floor; below 2 nobody is left out.
    choose
        Picks people by a keyed hash, so that nobody outside can tell who is left out.
    others
        Releases of other datasets about the same people, and of the dataset's other scopes, which are kept at the same
        distance.
    back
        Those of `known` who may be in again, having agreed: they wait like the others, and are a reason to look who may return.

    Returns
    -------
    Some of `wanted`. It is the last release, unchanged, where nobody came and nobody went who was in it.

    Notes
    -----
    Who comes or goes takes up to k - 1 further people of the same group out, and those wait until at least k of the group do.
    """
    if k < 2:
        return {labels: people for labels, people in wanted.items() if people}
    if not history:
        return _settle({labels: people.copy() for labels, people in wanted.items()}, others, k, choose)
    last, everybody = everyone(history[-1]), everyone(wanted)
    before = {labels: people & everybody for labels, people in history[-1].items()}
    moved = everyone({labels: people - wanted.get(labels, BitMap()) for labels, people in before.items()})
    gone, new = last - everybody, everybody - known
    held = (everybody & known) - last
    if not (gone or new or moved or (back and any(len(people & held) >= k for people in wanted.values()))):
        return {labels: people for labels, people in history[-1].items() if people}
    chosen: dict[tuple[str, ...], BitMap] = {}
    changed: dict[tuple[str, ...], int] = {}
    for labels, people in wanted.items():
        waiting = people & held
        returned = waiting if len(waiting) >= k else BitMap()
        chosen[labels] = people - waiting | returned
        left = history[-1].get(labels, BitMap()) - people
        n_changed = len(left) + len(people & (new | moved)) + len(returned)
        if n_changed:
            changed[labels] = n_changed
    fresh = 0
    for labels, n_changed in sorted(changed.items()):
        fresh += _leave_out(chosen, labels, max(0, k - n_changed), last, choose)
    # Rule 4 leaves out k - 1 further people in all, however many came or went: of groups that change by k anyway.
    for labels, n_changed in sorted(changed.items()):
        if n_changed >= k and fresh < k - 1:
            fresh += _leave_out(chosen, labels, k - 1 - fresh, last, choose)
    return _settle(chosen, [*history, *others], k, choose)


def everyone(cells: Cells) -> BitMap:
    """All people of a release."""
    return BitMap.union(*cells.values()) if cells else BitMap()


def rows_of(cells: Cells) -> _Rows:
    """Every sum over labels that an answer may show: None stands for any label."""
    rows: _Rows = {}
    for labels, people in cells.items():
        for kept in product((True, False), repeat=len(labels)):
            row = tuple(label if keep else None for label, keep in zip(labels, kept, strict=True))
            found = rows.get(row)
            rows[row] = people if found is None else found | people
    return rows


def too_close(one: Cells, other: Cells, *, k: int) -> Iterator[tuple[tuple[str | None, ...], int]]:
    """Rows in which two releases differ by 1…k - 1 people, and by how many; none of two releases that may both be told."""
    mine, theirs = rows_of(one), rows_of(other)
    for row in mine.keys() | theirs.keys():
        distance = len(_told(mine, row, k) ^ _told(theirs, row, k))
        if 0 < distance < k:
            yield row, distance


def keyed_choice(key: bytes, number: int) -> Choose:
    """A choice of people by a keyed hash: the same for the same key and release, unforeseeable without the key."""

    def choose(people: BitMap, n: int) -> BitMap:
        rest, picked = people.copy(), BitMap()
        salt = f"{number}/{len(people)}/".encode()
        for counter in range(min(n, len(people))):
            digest = hashlib.blake2b(salt + str(counter).encode(), key=key, digest_size=8).digest()
            person = rest[int.from_bytes(digest) % len(rest)]
            picked.add(person)
            rest.remove(person)
        return picked

    return choose


def _leave_out(chosen: dict[tuple[str, ...], BitMap], labels: tuple[str, ...], n: int, last: BitMap, choose: Choose) -> int:
    """Take up to n people of a group out who were in the last release; how many."""
    picked = choose(chosen[labels] & last, n)
    chosen[labels] -= picked
    return len(picked)


def _settle(
    chosen: dict[tuple[str, ...], BitMap], earlier: Sequence[Cells], k: int, choose: Choose
) -> dict[tuple[str, ...], BitMap]:
    """Take more people out until every row keeps its distance to every earlier release; each turn leaves fewer."""
    known = [rows_of(release) for release in earlier]
    while True:
        rows = rows_of(chosen)
        close = None
        for theirs in known:
            for row in rows:
                mine, other = _told(rows, row, k), _told(theirs, row, k)
                distance = mine.symmetric_difference_cardinality(other)
                if 0 < distance < k and (close is None or len(mine) < len(close[0])):
                    close = (mine, other, k - distance)
        if close is None:
            break
        mine, other, n = close
        # People of both make the two more unlike; where there are too few, the row is let go altogether.
        out = choose(mine & other, n) if len(mine & other) >= n else mine
        chosen = {labels: people - out for labels, people in chosen.items()}
    if len(everyone(chosen)) < k:
        return {}
    return {labels: people for labels, people in chosen.items() if people}


def _told(rows: _Rows, row: tuple[str | None, ...], k: int) -> BitMap:
    people = rows.get(row)
    return people if people is not None and len(people) >= k else BitMap()
