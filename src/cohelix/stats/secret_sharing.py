"""Fixed-point sums that can be split into shares: numbers as elements of Z_2^64 and Z_2^128, and what adds them up.

A statistic with the public bound B over K contributors is written as an integer, round(x · 2^f), in two's complement. Adding
such elements is exact and knows no order, so any partition of them and any sequence gives the same bits. The only error is
that of writing a part down: at most 2^-(f+1) for each part, K · 2^-(f+1) for the sum. For B = 2^21 and K = 4, f is 39 and the
sum is off by at most 3.7e-12.

A sum is 62 bits wide so that it never wraps. Where fewer than 36 fraction bits would remain, the statistic travels in
Z_2^128, as a low and a high word. Randomness is the caller's: a stream is a vector of uniformly random words.

References
----------
Fixed point, bounds and shares: Bonawitz et al. 2017, Proc CCS:1175; Cho, Wu, Berger 2018, Nat Biotechnol 36:547.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cohelix.core.errors import ShapeMismatch

Words = npt.NDArray[np.uint64]
_NARROW_BITS, _WIDE_BITS = 62, 126  # of |sum|; one bit is the sign's, one is spare
NARROW_FRACTION_MIN = 36  # below, a float64 sum would lose what plink2 and float64 keep: the statistic travels in 128 bits
_FRACTION_MAX = 1000  # 2^f must be a float64
_WORD = 2.0**64


class Ring(NamedTuple):
    """How many elements of each ring a vector of words holds: `narrow` words, then `wide` low words, then `wide` high words."""

    narrow: int
    wide: int

    @property
    def words(self) -> int:
        """Length of the vector."""
        return self.narrow + 2 * self.wide

    def zeros(self) -> Words:
        """The neutral element."""
        return np.zeros(self.words, np.uint64)

    def add(self, total: Words, other: Words) -> None:
        """Add to `total`, in place, modulo 2^64 and 2^128."""
        low, high, other_low, other_high = self._wide(total, other)
        total[: self.narrow] += other[: self.narrow]
        low += other_low
        high += other_high
        high += low < other_low  # the carry

    def subtract(self, total: Words, other: Words) -> None:
        """Take away from `total`, in place, modulo 2^64 and 2^128."""
        low, high, other_low, other_high = self._wide(total, other)
        total[: self.narrow] -= other[: self.narrow]
        high -= other_high
        high -= low < other_low  # the borrow
        low -= other_low

    def words_of(self, content: bytes) -> Words:
        """A share that travelled as words; read-only.

        Raises
        ------
        ShapeMismatch
            If it has another length.
        """
        if len(content) != 8 * self.words:
            raise ShapeMismatch(f"a share has {len(content)} bytes, not {8 * self.words}")
        return np.frombuffer(content, "<u8").astype(np.uint64, copy=False)

    def _wide(self, *vectors: Words) -> list[Words]:
        """Low and high words of each vector."""
        for vector in vectors:
            if vector.shape != (self.words,):
                raise ShapeMismatch(f"a vector has {vector.shape} words, not {self.words}")
        middle = self.narrow + self.wide
        return [part for vector in vectors for part in (vector[self.narrow : middle], vector[middle:])]


def fraction_bits(bound: float, contributors: int, *, integer: bool = False) -> tuple[int, bool]:
    """Fraction bits of a statistic, and whether it travels in Z_2^128.

    Parameters
    ----------
    bound
        No absolute value of a part or of the sum is larger.
    contributors
        K, at least 1.
    integer
        A count: no fraction bits, always in Z_2^64.

    Returns
    -------
    f and whether wide: f = 62 − ceil(log2(K · bound)), or with 126 where that is less than 36.

    Raises
    ------
    ShapeMismatch
        If the bound is not finite, negative, or too large for any sum to be exact.
    """
    if not (0 <= bound < math.inf) or contributors < 1:
        raise ShapeMismatch("a statistic needs a finite bound, and a sum at least one contributor")
    magnitude = math.ceil(math.log2(contributors * bound)) if bound > 0 else -_FRACTION_MAX
    if integer:
        if magnitude > _NARROW_BITS:
            raise ShapeMismatch("a count's bound must be below 2^62")
        return 0, False
    if _NARROW_BITS - magnitude >= NARROW_FRACTION_MIN:
        return min(_NARROW_BITS - magnitude, _FRACTION_MAX), False
    if magnitude > _WIDE_BITS:
        raise ShapeMismatch("a statistic's bound is too large for a sum in 128 bits")
    return _WIDE_BITS - magnitude, True


class _Field(NamedTuple):
    name: str
    shape: tuple[int, ...]
    bound: float
    integer: bool
    fraction: int
    wide: bool
    place: slice  # among the narrow words, or among the low words


@dataclass(frozen=True)
class Layout:
    """Where each number of a sum stands in its vector of words, and how it is written there."""

    fields: tuple[_Field, ...]
    ring: Ring

    @classmethod
    def of(cls, statistics: Iterable[tuple[str, tuple[int, ...], float, bool]], lead: int | None, contributors: int) -> Layout:
        """The layout of one block of a sum.

        Parameters
        ----------
        statistics
            (name, shape, bound, integer) of each, in order.
        lead
            Rows of the block, the first axis of every array; None for a step over people.
        contributors
            K.
        """
        fields: list[_Field] = []
        narrow = wide = 0
        for name, shape, bound, integer in statistics:
            full = tuple(shape) if lead is None else (lead, *shape)
            fraction, is_wide = fraction_bits(bound, contributors, integer=integer)
            start = wide if is_wide else narrow
            stop = start + math.prod(full)
            narrow, wide = (narrow, stop) if is_wide else (stop, wide)
            fields.append(_Field(name, full, bound, integer, fraction, is_wide, slice(start, stop)))
        return cls(tuple(fields), Ring(narrow, wide))

    def error(self, name: str, contributors: int) -> float:
        """Largest absolute error of the opened sum of a statistic: K · 2^-(f+1); 0 for a count."""
        (field,) = (one for one in self.fields if one.name == name)
        return 0.0 if field.integer else contributors * math.ldexp(1.0, -field.fraction - 1)

    def encode(self, parts: Mapping[str, npt.NDArray[Any]]) -> Words:
        """One contributor's numbers as words.

        Raises
        ------
        ShapeMismatch
            If an array is missing, of another shape, not a number somewhere, or beyond its bound.
        """
        words = self.ring.zeros()
        low, high = self._halves(words)
        for field in self.fields:
            array = np.asarray(parts.get(field.name), np.int64 if field.integer else np.float64)
            if array.shape != field.shape:
                raise ShapeMismatch(f"{field.name} has shape {array.shape}, not {field.shape}")
            if array.size and not max(float(array.max()), -float(array.min())) <= field.bound:  # NaN fails, too
                raise ShapeMismatch(f"{field.name} exceeds its bound")
            flat = array.reshape(-1)
            if field.integer:
                words[field.place] = flat.view(np.uint64)
            elif field.wide:
                low[field.place], high[field.place] = _wide_words(flat, field.fraction)
            else:
                scaled = flat * math.ldexp(1.0, field.fraction)
                np.rint(scaled, out=scaled)
                words[field.place].view(np.int64)[:] = scaled
        return words

    def decode(self, words: Words) -> dict[str, npt.NDArray[Any]]:
        """The opened sums: float64, counts int64."""
        low, high = self._halves(words)
        opened: dict[str, npt.NDArray[Any]] = {}
        for field in self.fields:
            array: npt.NDArray[Any]
            if field.wide:
                array = _wide_numbers(low[field.place], high[field.place], field.fraction)
            else:
                array = words[field.place].view(np.int64)
                array = array.copy() if field.integer else array * math.ldexp(1.0, -field.fraction)
            opened[field.name] = array.reshape(field.shape)
        return opened

    def _halves(self, words: Words) -> tuple[Words, Words]:
        if words.shape != (self.ring.words,):
            raise ShapeMismatch(f"a vector has {words.shape} words, not {self.ring.words}")
        middle = self.ring.narrow + self.ring.wide
        return words[self.ring.narrow : middle], words[middle:]


def last_share(ring: Ring, words: Words, streams: Iterable[Words]) -> Words:
    """The share that is left when the others are streams: words − Σ streams.

    Whoever lacks one of the streams sees in it a uniformly random vector, whatever the words are.
    """
    share = words.copy()
    for stream in streams:
        ring.subtract(share, stream)
    return share


def summed(ring: Ring, vectors: Iterable[Words]) -> Words:
    """Sum of vectors in any order."""
    total = ring.zeros()
    for vector in vectors:
        ring.add(total, vector)
    return total


def _wide_words(numbers: npt.NDArray[Any], fraction: int) -> tuple[Words, Words]:
    """round(x · 2^f) in two's complement, low and high words."""
    magnitude = np.rint(np.abs(numbers) * math.ldexp(1.0, fraction))
    top = np.floor(magnitude / _WORD)
    high = top.astype(np.uint64)
    low = (magnitude - top * _WORD).astype(np.uint64)  # exact: what remains are bits of the same float64
    negative = numbers < 0
    low[negative] = ~low[negative] + np.uint64(1)
    high[negative] = ~high[negative] + (low[negative] == 0)
    return low, high


def _wide_numbers(low: Words, high: Words, fraction: int) -> npt.NDArray[np.float64]:
    negative = high >> np.uint64(63) != 0
    low, high = low.copy(), high.copy()
    low[negative] = ~low[negative] + np.uint64(1)
    high[negative] = ~high[negative] + (low[negative] == 0)
    magnitude = high.astype(np.float64) * math.ldexp(1.0, 64 - fraction) + low.astype(np.float64) * math.ldexp(1.0, -fraction)
    return np.where(negative, -magnitude, magnitude)
