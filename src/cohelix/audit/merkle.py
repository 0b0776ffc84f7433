"""Merkle trees over entries, hashed as RFC 9162 says: roots, proofs of inclusion and of consistency (pure functions).

A tree over `size` leaves is a row of complete subtrees, the largest first, one for each bit of `size`: its peaks. A
complete subtree is `Node(level, number)`: it covers the leaves `number << level` up to `(number + 1) << level`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256().digest()  # RFC 9162, section 2.1.1


class Node(NamedTuple):
    """A complete subtree over 2**level leaves; level 0 is a leaf."""

    level: int
    number: int


Hashes = Callable[[Node], bytes]
"""Tells the hash of a complete subtree."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry's bytes."""
    return hashlib.sha256(b"\x00" + entry).digest()


def pair_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a subtree whose two halves have these hashes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Peaks:
    """The complete subtrees of a growing tree, from which its root follows; what is kept to add the next leaf.

    Parameters
    ----------
    size, packed
        Leaves so far, and `pack()` of that time.

    Raises
    ------
    ValueError
        If there is not one hash for each bit of the size.
    """

    def __init__(self, size: int = 0, packed: bytes = b"") -> None:
        if len(packed) != HASH_BYTES * size.bit_count():
            raise ValueError("a tree has one peak for each bit of its size")
        self.size = size
        self._peaks = [packed[at : at + HASH_BYTES] for at in range(0, len(packed), HASH_BYTES)]

    def add(self, made: bytes, level: int = 0) -> list[tuple[Node, bytes]]:
        """Add the hash of one more leaf, or of a complete subtree; the larger subtrees that it completes, smallest first.

        Raises
        ------
        ValueError
            If a subtree of that level cannot follow the leaves so far.
        """
        if self.size & (1 << level) - 1:
            raise ValueError(f"no subtree of level {level} follows {self.size} leaves")
        number = self.size
        self.size += 1 << level
        completed = []
        while number >> level & 1:
            made, level = pair_hash(self._peaks.pop(), made), level + 1
            completed.append((Node(level, number >> level), made))
        self._peaks.append(made)
        return completed

    def root(self) -> bytes:
        """The root of the tree so far."""
        return _folded(self._peaks)

    def pack(self) -> bytes:
        """The peaks as bytes, largest first."""
        return b"".join(self._peaks)


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root of the tree over these leaf hashes."""
    peaks = Peaks()
    for leaf in leaves:
        peaks.add(leaf)
    return peaks.root()


def nodes_of(first: int, end: int) -> list[Node]:
    """The fewest complete subtrees over the leaves `first` up to `end`, left to right."""
    found = []
    while first < end:
        level = (end - first).bit_length() - 1
        if first:
            level = min(level, (first & -first).bit_length() - 1)
        found.append(Node(level, first >> level))
        first += 1 << level
    return found


def inclusion_parts(index: int, size: int) -> list[list[Node]]:
    """What a proof that leaf `index` is in the tree of `size` leaves consists of: each hash as subtrees to fold.

    Raises
    ------
    ValueError
        If there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    parts, first, end = [], 0, size
    while end - first > 1:
        middle = first + _half(end - first)
        if index < middle:
            parts.append(nodes_of(middle, end))
            end = middle
        else:
            parts.append(nodes_of(first, middle))
            first = middle
    return parts[::-1]


def consistency_parts(old: int, new: int) -> list[list[Node]]:
    """What a proof that the tree of `old` leaves begins the tree of `new` leaves consists of.

    Raises
    ------
    ValueError
        If not `0 < old <= new`.
    """
    if not 0 < old <= new:
        raise ValueError(f"no tree of {old} leaves begins one of {new}")
    parts, first, end, whole = [], 0, new, True
    while old != end:
        middle = first + _half(end - first)
        if old <= middle:
            parts.append(nodes_of(middle, end))
            end = middle
        else:
            parts.append(nodes_of(first, middle))
            first, whole = middle, False
    if not whole:
        parts.append(nodes_of(first, end))
    return parts[::-1]


def proof_of(parts: Sequence[Sequence[Node]], hashes: Hashes) -> list[bytes]:
    """The hashes of a proof, in the order of RFC 9162."""
    return [_folded([hashes(node) for node in part]) for part in parts]


def inclusion_holds(leaf: bytes, index: int, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a proof shows that the leaf is at `index` in the tree of this size and root (RFC 9162, section 2.1.3.2)."""
    if not 0 <= index < size or any(len(one) != HASH_BYTES for one in proof):
        return False
    at, last, made = index, size - 1, leaf
    for one in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            made = pair_hash(one, made)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            made = pair_hash(made, one)
        at, last = at >> 1, last >> 1
    return last == 0 and made == root


def consistency_holds(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a proof shows that one tree begins the other (RFC 9162, section 2.1.4.2)."""
    if not 0 < old <= new or any(len(one) != HASH_BYTES for one in proof):
        return False
    if old == new:
        return not proof and old_root == new_root
    rest = list(proof)
    if old & (old - 1) == 0:
        rest.insert(0, old_root)
    if not rest:
        return False
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    made_old = made_new = rest[0]
    for one in rest[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            made_old, made_new = pair_hash(one, made_old), pair_hash(one, made_new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            made_new = pair_hash(made_new, one)
        at, last = at >> 1, last >> 1
    return last == 0 and made_old == old_root and made_new == new_root


def _half(leaves: int) -> int:
    """The largest power of two below a number of at least two leaves."""
    return 1 << (leaves - 1).bit_length() - 1


def _folded(hashes: Sequence[bytes]) -> bytes:
    """The hash over neighbouring complete subtrees of descending sizes."""
    if not hashes:
        return EMPTY_ROOT
    made = hashes[-1]
    for one in reversed(hashes[:-1]):
        made = pair_hash(one, made)
    return made
