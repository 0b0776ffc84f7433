"""RFC 9162 hashing against published vectors of Certificate Transparency, and against the definition written out."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

import pytest

from cohelix.audit.merkle import (
    Node,
    Peaks,
    consistency_holds,
    consistency_parts,
    inclusion_holds,
    inclusion_parts,
    leaf_hash,
    nodes_of,
    proof_of,
    root_of,
)

# The eight leaves, roots and proofs that implementations of RFC 6962 and 9162 test with (transparency-dev/merkle, testonly).
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
A, B, C = (
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
)
D, E = (
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
)
INCLUSION = {(0, 1): [], (0, 8): [A, B, C], (5, 8): [D, E, ROOTS[4]], (2, 3): [ROOTS[2]], (1, 5): [ROOTS[1], B, D]}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [A, B, C],
    (6, 8): ["0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a", E, ROOTS[4]],
    (2, 5): [B, D],
}


def _naive_root(entries: Sequence[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, word by word."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = 1
    while 2 * k < len(entries):
        k *= 2
    return hashlib.sha256(b"\x01" + _naive_root(entries[:k]) + _naive_root(entries[k:])).digest()


def _naive_path(m: int, entries: Sequence[bytes]) -> list[bytes]:
    """PATH of section 2.1.3.1."""
    if len(entries) == 1:
        return []
    k = 1
    while 2 * k < len(entries):
        k *= 2
    if m < k:
        return [*_naive_path(m, entries[:k]), _naive_root(entries[k:])]
    return [*_naive_path(m - k, entries[k:]), _naive_root(entries[:k])]


def _naive_proof(m: int, entries: Sequence[bytes], whole: bool = True) -> list[bytes]:
    """SUBPROOF of section 2.1.4.1."""
    if m == len(entries):
        return [] if whole else [_naive_root(entries)]
    k = 1
    while 2 * k < len(entries):
        k *= 2
    if m <= k:
        return [*_naive_proof(m, entries[:k], whole), _naive_root(entries[k:])]
    return [*_naive_proof(m - k, entries[k:], False), _naive_root(entries[:k])]


def _hashes(entries: Sequence[bytes]):
    return lambda node: _naive_root(entries[node.number << node.level : (node.number + 1) << node.level])


def _published() -> list[bytes]:
    return [bytes.fromhex(leaf) for leaf in LEAVES]


@pytest.mark.parametrize("size", range(9))
def test_roots_are_the_published_ones(size: int) -> None:
    assert root_of(map(leaf_hash, _published()[:size])).hex() == ROOTS[size]


@pytest.mark.parametrize(("place", "proof"), INCLUSION.items())
def test_proofs_of_inclusion_are_the_published_ones(place: tuple[int, int], proof: list[str]) -> None:
    index, size = place
    made = proof_of(inclusion_parts(index, size), _hashes(_published()[:size]))
    assert [one.hex() for one in made] == proof
    assert inclusion_holds(leaf_hash(_published()[index]), index, size, bytes.fromhex(ROOTS[size]), made)


@pytest.mark.parametrize(("sizes", "proof"), CONSISTENCY.items())
def test_proofs_of_consistency_are_the_published_ones(sizes: tuple[int, int], proof: list[str]) -> None:
    old, new = sizes
    made = proof_of(consistency_parts(old, new), _hashes(_published()[:new]))
    assert [one.hex() for one in made] == proof
    assert consistency_holds(old, new, bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new]), made)


def test_trees_of_every_size_follow_the_definition() -> None:
    entries = [bytes([number]) * (number % 5) + b"entry" for number in range(70)]
    leaves = [leaf_hash(entry) for entry in entries]
    peaks = Peaks()
    for size in range(1, len(entries) + 1):
        for node, made in peaks.add(leaves[size - 1]):
            assert made == _hashes(entries)(node)
        some, root = entries[:size], _naive_root(entries[:size])
        assert peaks.root() == root == Peaks(size, peaks.pack()).root()
        for index in range(size):
            proof = proof_of(inclusion_parts(index, size), _hashes(some))
            assert proof == _naive_path(index, some)
            assert inclusion_holds(leaves[index], index, size, root, proof)
        for old in range(1, size + 1):
            proof = proof_of(consistency_parts(old, size), _hashes(some))
            assert proof == _naive_proof(old, some)
            assert consistency_holds(old, size, _naive_root(entries[:old]), root, proof)


def test_a_false_proof_does_not_hold() -> None:
    dice = random.Random(5)
    entries = [bytes([number]) for number in range(40)]
    for _ in range(400):
        size = dice.randrange(2, 41)
        old, index = dice.randrange(1, size), dice.randrange(size)
        some, root = entries[:size], _naive_root(entries[:size])
        leaf, wrong = leaf_hash(entries[index]), bytes([dice.randrange(256)] * 32)
        path, proof = _naive_path(index, some), _naive_proof(old, some)
        at = dice.randrange(len(path))
        assert not inclusion_holds(leaf, index, size, root, [*path[:at], wrong, *path[at + 1 :]])
        assert not inclusion_holds(leaf, index, size, root, path[:-1])
        assert not inclusion_holds(leaf, index, size, root, [*path, wrong])
        assert not inclusion_holds(leaf, index, size, root, [*path, b"short"])
        assert not inclusion_holds(leaf, (index + 1) % size, size, root, path)
        assert not inclusion_holds(wrong, index, size, root, path)
        was = _naive_root(entries[:old])
        assert not consistency_holds(old, size, wrong, root, proof)
        assert not consistency_holds(old, size, was, wrong, proof)
        assert not consistency_holds(old, size, was, root, proof[:-1])
        assert not consistency_holds(old, size, was, root, [*proof, wrong])
        assert not consistency_holds(size, old, root, was, proof)
    assert not consistency_holds(0, 3, ROOTS[0].encode(), _naive_root(entries[:3]), [])


def test_ranges_are_the_fewest_complete_subtrees() -> None:
    assert nodes_of(0, 7) == [Node(2, 0), Node(1, 2), Node(0, 6)]
    assert nodes_of(5, 5) == []
    for first in range(20):
        for end in range(first, 40):
            covered = [leaf for level, number in nodes_of(first, end) for leaf in range(number << level, (number + 1) << level)]
            assert covered == list(range(first, end))


@pytest.mark.parametrize(("index", "size"), [(0, 0), (3, 3), (-1, 3)])
def test_there_is_no_proof_of_what_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_parts(index, size)
    assert not inclusion_holds(b"\0" * 32, index, size, b"\0" * 32, [])


@pytest.mark.parametrize(("old", "new"), [(0, 3), (4, 3)])
def test_no_tree_begins_a_smaller_one(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="begins"):
        consistency_parts(old, new)


def test_peaks_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="one peak for each bit"):
        Peaks(3, b"\0" * 32)
