"""Damages a dataset's files, one at a time, and looks whether an answer leaves."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cohelix.bank.bank import Bank
from cohelix.bank.life import verify
from cohelix.core.genome import Assembly
from cohelix.core.ids import DatasetId, NodeId
from cohelix.core.variant import VariantKey
from cohelix.genotypes.sections import forget_checks

KINDS = ("flip", "truncation", "swap")
_NOT_STORED = ("load.lock",)  # an empty file that is locked, never read


@dataclass(frozen=True)
class Damage:
    """What was done to a file, and how to undo it."""

    path: Path
    name: str
    place: str
    original: bytes
    times: tuple[int, int]

    def mend(self) -> None:
        """Put the file back as it was."""
        self.path.write_bytes(self.original)
        os.utime(self.path, ns=self.times)


@dataclass(frozen=True)
class Outcome:
    """Whether the damage was found, by whom: the bank before it answered, or `verify`; and the files that `verify` names."""

    answered: bool
    names: tuple[str, ...]

    @property
    def detected(self) -> bool:
        """Found by the bank when it opened or was asked, or, in a file that no question needs, by `verify`."""
        return not self.answered or bool(self.names)


def damage(home: Path, kind: str, rng: random.Random) -> Damage:
    """Flip a bit, cut the end off, or swap two blocks of a file of a dataset; larger files are hit more often."""
    files = [path for path in sorted(home.rglob("*")) if path.is_file() and path.name not in _NOT_STORED]
    path = rng.choices(files, [max(64, found.stat().st_size) ** 0.5 for found in files])[0]
    original, status = path.read_bytes(), path.stat()
    content = bytearray(original)
    if kind == "flip":
        bit = rng.randrange(8 * len(content))
        content[bit // 8] ^= 1 << bit % 8
        place = f"bit {bit}"
    elif kind == "truncation":
        left = rng.randrange(len(content))
        del content[left:]
        place = f"{left} of {len(original)} bytes left"
    else:
        while bytes(content) == original:
            size = rng.randint(1, max(1, len(content) // 3))
            first, second = rng.randrange(len(content) - size + 1), rng.randrange(len(content) - size + 1)
            one, other = original[first : first + size], original[second : second + size]
            content[first : first + size], content[second : second + size] = other, one
        place = f"{size} bytes at {first} and {second}"
    path.write_bytes(content)
    return Damage(path, path.relative_to(home).as_posix(), place, original, (status.st_atime_ns, status.st_mtime_ns))


def outcome(node: Path, dataset: DatasetId, keys: Sequence[VariantKey]) -> Outcome:
    """Open the bank anew, ask for variants, people and terms, and verify."""
    forget_checks()
    bank = Bank.open(node, NodeId("FI"))
    answered = dataset not in bank.damaged()
    if answered:
        for key in keys:
            answered &= all(found.status == "answered" for found in bank.frequency(key, Assembly.GRCH37).datasets)
            if not answered:
                break
    forget_checks()
    return Outcome(answered, tuple(verify(node, [dataset])[dataset]))
