"""Which sets of people may be told about together: no combination of them, added and subtracted, may be about a few people.

Whoever knows a sum over each of several sets (their people, a trait, the copies of an allele) knows it for every combination
Σ cⱼ·1(Bⱼ) of their indicators, and so of the people where it is not zero. These must be none, or at least k.

The proof that this holds is kept with the sets: *witnesses*, k groups of as many people as there are independent sets, nobody
in two groups, such that each group alone shows that the sets are independent: the square 0/1 matrix of sets by people of the
group can be inverted. A combination that is zero on a whole group is then zero everywhere; so one that is not has, in each of
the k groups, somebody for whom it is not zero: at least k people. Matrices are inverted modulo a prime: what is independent
modulo a prime is independent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import lcm
from typing import Literal, NamedTuple

import numpy as np
from pyroaring import BitMap

from cohelix.core.arrays import IntArray

_PRIME = 2**31 - 1  # products of two residues fit into int64
_SAMPLED = 1024  # candidates for witnesses that are looked at together
_PACKING_CELLS_MAX = 2_000_000  # of the matrix of sets by atoms, when witnesses are chosen anew

Standing = Literal["known", "new", "refused"]


class Admission(NamedTuple):
    """What became of a set: `known` tells nothing new, `new` may be told, `refused` may not."""

    standing: Standing
    after: Combinations


@dataclass(frozen=True)
class Combinations:
    """Sets of people that may all be told about; immutable.

    Attributes
    ----------
    floor
        k, at least 2.
    sets
        The independent ones, in the order in which they came.
    witnesses
        (k, sets) int64 people, the groups of the proof.
    inverses
        (k, sets, sets) int64, of each group's matrix (sets × people) modulo the prime.
    """

    floor: int
    sets: tuple[BitMap, ...]
    witnesses: IntArray
    inverses: IntArray

    @classmethod
    def empty(cls, floor: int) -> Combinations:
        """Nothing told yet."""
        return cls(floor, (), np.empty((floor, 0), np.int64), np.empty((floor, 0, 0), np.int64))

    @classmethod
    def kept(cls, sets: Sequence[BitMap], witnesses: IntArray) -> Combinations | None:
        """What was kept of earlier sets; None where the witnesses do not prove it."""
        floor = len(witnesses)
        if witnesses.shape != (floor, len(sets)) or len(np.unique(witnesses)) != witnesses.size:
            return None
        told = _told(sets, witnesses)
        inverses = [_inverse(told[:, group]) for group in range(floor)]
        found = [inverse for inverse in inverses if inverse is not None]
        if len(found) < floor:
            return None
        return cls(floor, tuple(sets), witnesses, np.array(found, np.int64).reshape(floor, len(sets), len(sets)))

    @classmethod
    def proved(cls, sets: Sequence[BitMap], floor: int) -> Combinations | None:
        """Independent sets with witnesses of a floor of their own; None where none are found."""
        return _pack(sets, _array(BitMap.union(*sets)), floor)

    @classmethod
    def closed(cls, sets: Sequence[BitMap], floor: int) -> Combinations:
        """Sets that were told about under a lower floor: they may be told about again, and no other."""
        return cls(floor, tuple(sets), np.empty((floor, 0), np.int64), np.empty((floor, 0, 0), np.int64))

    def admit(self, people: BitMap) -> Admission:
        """Whether a further set may be told about, and how things stand after it.

        The answer depends on the sets and their order alone. It errs on the side of refusing: only where the search for
        witnesses fails though there are some, which takes sets that are hardly more than k people apart.
        """
        if not people or people in self.sets:
            return Admission("known", self)
        if self.witnesses.shape[1] < len(self.sets):
            return Admission("refused", self)
        everybody = _array(BitMap.union(people, *self.sets))
        mine = _told([people], self.witnesses)[0]
        coefficients = _times(mine[:, None, :], self.inverses)[:, 0, :]
        combination = _fractions(coefficients[0])
        apart = everybody if combination is None else self._apart(people, *combination, everybody)
        if not apart.size:
            return Admission("known", self)
        if apart.size < self.floor:
            return Admission("refused", self)
        found = self._further_witnesses(people, coefficients, [apart, everybody] if combination else [everybody])
        if found is None:
            found = _pack([*self.sets, people], everybody, self.floor)
        return Admission("refused", self) if found is None else Admission("new", found)

    def _further_witnesses(self, people: BitMap, coefficients: IntArray, where: Sequence[IntArray]) -> Combinations | None:
        """With one more witness in each group: somebody for whom the set is not what the group makes of the other sets."""
        taken = set(self.witnesses.ravel().tolist())
        chosen = [-1] * self.floor
        columns, rests = np.zeros((self.floor, len(self.sets)), np.int64), [0] * self.floor
        for some in self._candidates(where):
            told, mine = _told(self.sets, some), _told([people], some)[0]
            rest = (mine - _times(coefficients, told)) % _PRIME
            for group in range(self.floor):
                if chosen[group] >= 0:
                    continue
                fit = next((at for at in np.flatnonzero(rest[group]).tolist() if int(some[at]) not in taken), None)
                if fit is not None:
                    chosen[group] = int(some[fit])
                    taken.add(chosen[group])
                    columns[group], rests[group] = told[:, fit], int(rest[group, fit])
            if min(chosen) >= 0:
                break
        else:
            return None
        each = zip(self.inverses, columns, coefficients, rests, strict=True)
        inverses = np.array([_bordered(*one) for one in each], np.int64)
        witnesses = np.column_stack([self.witnesses, np.array(chosen, np.int64)])
        return Combinations(self.floor, (*self.sets, people), witnesses, inverses)

    def _candidates(self, where: Sequence[IntArray]) -> Iterator[IntArray]:
        """Everybody of each array in turn, in random order but ascending within a batch; batches grow."""
        random = np.random.default_rng(len(self.sets))
        for people in where:
            order, start, size = random.permutation(people), 0, _SAMPLED
            while start < len(order):
                yield np.sort(order[start : start + size])
                start, size = start + size, min(4 * size, 64 * _SAMPLED)

    def _apart(self, people: BitMap, numerators: IntArray, denominator: int, everybody: IntArray) -> IntArray:
        """For whom `denominator` × the set is not the combination of the others: exact, over the integers."""
        rest = np.zeros(len(everybody), np.int64)
        rest[np.searchsorted(everybody, _array(people))] = denominator
        for one, times in zip(self.sets, numerators.tolist(), strict=True):
            if times:
                rest[np.searchsorted(everybody, _array(one))] -= times
        return np.asarray(everybody[rest != 0])


def _pack(sets: Sequence[BitMap], everybody: IntArray, floor: int) -> Combinations | None:
    """Witnesses chosen anew: group by group an independent set of people, of the commonest kinds first; None if it fails."""
    kinds, members = _kinds(sets, everybody)
    if kinds.size > _PACKING_CELLS_MAX:
        return None
    left = [list(who) for who in members]
    groups: list[list[int]] = []
    for _ in range(floor):
        order = sorted((at for at, who in enumerate(left) if who), key=lambda at: (-len(left[at]), at))
        chosen = _independent(kinds[:, order])
        if len(chosen) < len(sets):
            return None
        groups.append([left[order[at]].pop() for at in chosen])
    return Combinations.kept(sets, np.array(groups, np.int64).reshape(floor, len(sets)))


def _kinds(sets: Sequence[BitMap], everybody: IntArray) -> tuple[IntArray, list[list[int]]]:
    """People who are in the same sets: (sets, kinds) 0/1 and the people of each kind."""
    label = np.zeros(len(everybody), np.int64)
    for one in sets:
        label = np.unique(label * 2 + _told([one], everybody)[0], return_inverse=True)[1]
    order = np.argsort(label, kind="stable")
    starts = np.flatnonzero(np.diff(label[order], prepend=-1))
    members = [part.tolist() for part in np.split(everybody[order], starts[1:])]
    first = everybody[order[starts]]
    return _told(sets, first) if len(first) else np.zeros((len(sets), 0), np.int64), members


def _independent(columns: IntArray) -> list[int]:
    """The first columns, from the left, that together have the rank of all, modulo the prime."""
    rest, chosen = columns % _PRIME, list[int]()
    free = np.ones(len(rest), np.bool_)
    for at in range(rest.shape[1]):
        rows = np.flatnonzero(free & (rest[:, at] != 0))
        if not rows.size:
            continue
        pivot = int(rows[0])
        free[pivot] = False
        chosen.append(at)
        if not free.any():
            break
        factors = rest[:, at] * pow(int(rest[pivot, at]), -1, _PRIME) % _PRIME
        factors[~free] = 0
        below = np.flatnonzero(factors)
        rest[below, at:] = (rest[below, at:] - factors[below, None] * rest[pivot, at:] % _PRIME) % _PRIME
    return chosen


def _inverse(matrix: IntArray) -> IntArray | None:
    """The inverse modulo the prime; None of a singular matrix."""
    size = len(matrix)
    both = np.concatenate([matrix % _PRIME, np.eye(size, dtype=np.int64)], axis=1)
    for at in range(size):
        rows = np.flatnonzero(both[at:, at])
        if not rows.size:
            return None
        pivot = at + int(rows[0])
        both[[at, pivot]] = both[[pivot, at]]
        both[at] = both[at] * pow(int(both[at, at]), -1, _PRIME) % _PRIME
        factors = both[:, at].copy()
        factors[at] = 0
        others = np.flatnonzero(factors)
        both[others] = (both[others] - factors[others, None] * both[at] % _PRIME) % _PRIME
    return both[:, size:]


def _bordered(inverse: IntArray, column: IntArray, coefficients: IntArray, rest: int) -> IntArray:
    """The inverse of a matrix with one more row and column: `column` of the new person, `coefficients` = new row × inverse,
    `rest` the new corner less what they make of the column."""
    size = len(inverse)
    one = pow(rest, -1, _PRIME)
    across = _times(inverse, column[:, None])[:, 0] * one % _PRIME
    larger = np.empty((size + 1, size + 1), np.int64)
    larger[:size, :size] = (inverse + across[:, None] * coefficients[None, :] % _PRIME) % _PRIME
    larger[:size, size] = -across % _PRIME
    larger[size, :size] = -coefficients * one % _PRIME
    larger[size, size] = one
    return larger


def _times(left: IntArray, right: IntArray) -> IntArray:
    """Matrix product modulo the prime. Residues are cut in halves, so that sums of products stay below 2^63 and float-free."""
    high, low = left >> 16, left & 0xFFFF
    return ((high @ right % _PRIME << 16) + low @ right) % _PRIME


def _fractions(residues: IntArray) -> tuple[IntArray, int] | None:
    """Residues as fractions with one denominator: the numerators and it; None where they are no small fractions."""
    pairs = list(_small_fractions(residues.tolist()))
    if len(pairs) < len(residues):
        return None
    denominator = lcm(*(below for _, below in pairs)) if pairs else 1
    if denominator > _PRIME:
        return None
    numerators = [above * (denominator // below) for above, below in pairs]
    if any(abs(number) > _PRIME for number in numerators):
        return None
    return np.array(numerators, np.int64), denominator


def _small_fractions(residues: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Wang's rational reconstruction, residue by residue; ends early at one that is no small fraction."""
    most = int((_PRIME // 2) ** 0.5)
    for residue in residues:
        before, now, above, last = _PRIME, residue, 1, 0
        while now > most:
            quotient = before // now
            before, now = now, before - quotient * now
            last, above = above, last - quotient * above
        if not 0 < abs(above) <= most:
            return
        yield (now, above) if above > 0 else (-now, -above)


def _told(sets: Sequence[BitMap], people: IntArray) -> IntArray:
    """(sets, *people's shape) 0/1: who is in which set."""
    wanted, where = np.unique(people, return_inverse=True)
    some, told = BitMap(wanted.astype(np.uint32)), np.zeros((len(sets), len(wanted)), np.int64)
    for row, one in zip(told, sets, strict=True):
        row[np.searchsorted(wanted, _array(one & some))] = 1
    return told[:, where.reshape(people.shape)]


def _array(people: BitMap) -> IntArray:
    """Ascending people."""
    return np.frombuffer(people.to_array(), np.uint32).astype(np.int64)
