"""Which sums over people may be told together: no combination of them, added and subtracted, may be about a few people.

A sum Σ vᵢ·fᵢ over a set of people has weights vᵢ that whoever asks may know: 1, or a trait, or a covariate. Who knows several
sums of one unknown f (everybody's yes or no, trait, copies of an allele) knows it for every combination Σ cⱼ·Bⱼ of their rows
of weights, and so of the people where the combination is not zero. These must be none, or at least k.

The proof that this holds is kept with the rows: *witnesses*, k groups of as many people as there are independent rows, nobody
in two groups, such that each group alone shows that the rows are independent: the square matrix of rows by people of the group
can be inverted. A combination that is zero on a whole group is then zero everywhere; so one that is not has, in each of the k
groups, somebody for whom it is not zero: at least k people. Matrices are inverted modulo a prime, in which the binary fractions
that numbers are have exact images: what is independent modulo a prime is independent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from cohelix.core.arrays import FloatArray, IntArray, UintArray

_BITS = 31
_PRIME = 2**_BITS - 1  # products of two residues fit into int64; powers of two repeat after 31
_SAMPLED = 1024  # candidates for witnesses that are looked at together
_PACKING_CELLS_MAX = 2_000_000  # of the matrix of rows by people, when witnesses are chosen anew

Standing = Literal["known", "new", "refused"]


@dataclass(frozen=True, eq=False)
class Row:
    """The weights of a sum: its people, and of each, ascending, the weight modulo the prime, uint32; None where all are 1."""

    people: BitMap
    weights: UintArray | None = None

    @classmethod
    def weighted(cls, people: BitMap, values: FloatArray) -> Row:
        """Weights of ascending people, float64 and finite; who has the weight 0 is not in the row."""
        mantissas, exponents = np.frexp(np.asarray(values, np.float64))
        whole = (mantissas * 2.0**53).astype(np.int64) % _PRIME
        weights = whole * (1 << (exponents - 53) % _BITS).astype(np.int64) % _PRIME
        some = weights != 0
        return cls(BitMap(_array(people)[some].astype(np.uint32)), weights[some].astype(np.uint32))


class Admission(NamedTuple):
    """What became of a row: `known` tells nothing new, `new` may be told, `refused` may not."""

    standing: Standing
    after: Combinations


@dataclass(frozen=True)
class Combinations:
    """Sums that may all be told; immutable.

    Attributes
    ----------
    floor
        k, at least 2.
    rows
        The independent ones, in the order in which they came.
    witnesses
        (k, rows) int64 people, the groups of the proof; (k, 0) where there is no proof and nothing further may be told.
    inverses
        (k, rows, rows) int64, of each group's matrix (rows × people) modulo the prime.
    """

    floor: int
    rows: tuple[Row, ...]
    witnesses: IntArray
    inverses: IntArray

    @classmethod
    def empty(cls, floor: int) -> Combinations:
        """Nothing told yet."""
        return cls.closed((), floor)

    @classmethod
    def closed(cls, rows: Sequence[Row], floor: int) -> Combinations:
        """Rows that were told under a lower floor: they may be told again, and no other."""
        return cls(floor, tuple(rows), np.empty((floor, 0), np.int64), np.empty((floor, 0, 0), np.int64))

    @classmethod
    def kept(cls, rows: Sequence[Row], witnesses: IntArray) -> Combinations | None:
        """What was kept of earlier rows; None where the witnesses do not prove it."""
        floor = len(witnesses)
        if witnesses.shape != (floor, len(rows)) or len(np.unique(witnesses)) != witnesses.size:
            return None
        told = _told(rows, witnesses)
        inverses = [_inverse(told[:, group]) for group in range(floor)]
        found = [inverse for inverse in inverses if inverse is not None]
        if len(found) < floor:
            return None
        return cls(floor, tuple(rows), witnesses, np.array(found, np.int64).reshape(floor, len(rows), len(rows)))

    @classmethod
    def proved(cls, rows: Sequence[Row], floor: int) -> Combinations | None:
        """Independent rows with witnesses chosen anew, people of the commonest kinds first; None where none are found."""
        everybody = _everybody(rows)
        kinds, members = _kinds(rows, everybody)
        if kinds.size > _PACKING_CELLS_MAX:
            return None
        left = [list(who) for who in members]
        groups: list[list[int]] = []
        for _ in range(floor):
            order = sorted((at for at, who in enumerate(left) if who), key=lambda at: (-len(left[at]), at))
            chosen = _independent(kinds[:, order])
            if len(chosen) < len(rows):
                return None
            groups.append([left[order[at]].pop() for at in chosen])
        return cls.kept(rows, np.array(groups, np.int64).reshape(floor, len(rows)))

    def admit(self, row: Row) -> Admission:
        """Whether a further sum may be told, and how things stand after it.

        The answer depends on the rows and their order alone. It errs on the side of refusing: only where the search for
        witnesses fails though there are some, which takes rows that are hardly more than k people apart.
        """
        if not row.people or any(row.people == one.people and _same(row.weights, one.weights) for one in self.rows):
            return Admission("known", self)
        if self.witnesses.shape[1] < len(self.rows):
            return Admission("refused", self)
        everybody = _everybody([row, *self.rows])
        coefficients = _times(_told([row], self.witnesses)[0][:, None, :], self.inverses)[:, 0, :]
        random = np.random.default_rng(len(self.rows))
        sample = np.sort(random.choice(everybody, min(len(everybody), _SAMPLED), replace=False))
        where = [everybody]
        if np.count_nonzero(self._rest(row, coefficients[:1], sample)) < self.floor:
            apart = self._apart(row, coefficients[0], everybody)
            if not apart.size:
                return Admission("known", self)
            if apart.size < self.floor:
                return Admission("refused", self)
            where = [apart, everybody]
        found = self._further_witnesses(row, coefficients, where, random) or self.proved([*self.rows, row], self.floor)
        return Admission("refused", self) if found is None else Admission("new", found)

    def _further_witnesses(
        self, row: Row, coefficients: IntArray, where: Sequence[IntArray], random: np.random.Generator
    ) -> Combinations | None:
        """With one more witness in each group: somebody for whom the row is not what the group makes of the other rows."""
        taken = set(self.witnesses.ravel().tolist())
        chosen = [-1] * self.floor
        columns, rests = np.zeros((self.floor, len(self.rows)), np.int64), [0] * self.floor
        for some in _candidates(where, random):
            told = _told(self.rows, some)
            rest = (_told([row], some)[0] - _times(coefficients, told)) % _PRIME
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
        return Combinations(self.floor, (*self.rows, row), witnesses, inverses)

    def _rest(self, row: Row, coefficients: IntArray, people: IntArray) -> IntArray:
        """(groups, people) what is left of a row once the combination of the others is taken off, modulo the prime."""
        return np.asarray((_told([row], people)[0] - _times(coefficients, _told(self.rows, people))) % _PRIME)

    def _apart(self, row: Row, coefficients: IntArray, everybody: IntArray) -> IntArray:
        """For whom the row is not the combination of the others."""
        rest = _told([row], everybody)[0]
        for one, times in zip(self.rows, coefficients.tolist(), strict=True):
            if times:
                at = np.searchsorted(everybody, _array(one.people))
                rest[at] = (rest[at] - times * (1 if one.weights is None else one.weights.astype(np.int64))) % _PRIME
        return np.asarray(everybody[rest != 0])


def _candidates(where: Sequence[IntArray], random: np.random.Generator) -> Iterator[IntArray]:
    """Everybody of each array in turn, in random order but ascending within a batch; batches grow."""
    for people in where:
        order, start, size = random.permutation(people), 0, _SAMPLED
        while start < len(order):
            yield np.sort(order[start : start + size])
            start, size = start + size, min(4 * size, 64 * _SAMPLED)


def _kinds(rows: Sequence[Row], everybody: IntArray) -> tuple[IntArray, list[list[int]]]:
    """People who have the same weights in all rows: (rows, kinds) weights and the people of each kind."""
    label = np.zeros(len(everybody), np.int64)
    for one in rows:
        weight = np.unique(_told([one], everybody)[0], return_inverse=True)[1]
        label = np.unique(label * (int(weight.max(initial=0)) + 1) + weight, return_inverse=True)[1]
    order = np.argsort(label, kind="stable")
    starts = np.flatnonzero(np.diff(label[order], prepend=-1))
    members = [part.tolist() for part in np.split(everybody[order], starts[1:])]
    return _told(rows, everybody[order[starts]]), members


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
    """Matrix product modulo the prime. The left residues are cut in two, so that sums of products stay below 2^63."""
    high, low = left >> 16, left & 0xFFFF
    return np.asarray(((high @ right % _PRIME << 16) + low @ right) % _PRIME)


def _told(rows: Sequence[Row], people: IntArray) -> IntArray:
    """(rows, *people's shape) everybody's weight in each row, modulo the prime."""
    wanted, where = np.unique(people, return_inverse=True)
    some, told = BitMap(wanted.astype(np.uint32)), np.zeros((len(rows), len(wanted)), np.int64)
    for line, row in zip(told, rows, strict=True):
        here = _array(row.people & some)
        weights = 1 if row.weights is None else row.weights[np.searchsorted(_array(row.people), here)]
        line[np.searchsorted(wanted, here)] = weights
    return told[:, where.reshape(people.shape)]


def _everybody(rows: Sequence[Row]) -> IntArray:
    return _array(BitMap.union(*(row.people for row in rows))).astype(np.int64)


def _same(one: UintArray | None, other: UintArray | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other))


def _array(people: BitMap) -> npt.NDArray[np.uint32]:
    """Ascending people."""
    return np.frombuffer(people.to_array(), np.uint32)
