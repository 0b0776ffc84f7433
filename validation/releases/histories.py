"""Random histories of a dataset's people, their releases, and a naive look at every pair of them."""

from __future__ import annotations

import random
from dataclasses import dataclass

from pyroaring import BitMap

from cohelix.bank.release import everyone, keyed_choice, next_release, too_close

Labels = tuple[str, str]


@dataclass(frozen=True)
class History:
    """One history: k, every release's people by group, and how many people were wanted at each."""

    k: int
    releases: list[dict[Labels, BitMap]]
    wanted: list[int]


def history(seed: int) -> History:
    """Up to 14 steps, each of one or several people who come, or who withdraw; 0 to 120 people in 1 to 8 groups."""
    rng = random.Random(seed)
    k, n_populations = rng.choice([2, 5, 10]), rng.choice([1, 1, 2, 4])
    labels: dict[int, Labels] = {}

    def label(person: int) -> Labels:
        sex = rng.choice(["male", "female"]) if n_populations > 1 else "unknown"
        return labels.setdefault(person, (f"P{rng.randrange(n_populations)}", sex))

    people, following = set(range(n := rng.randint(0, 120))), n
    releases: list[dict[Labels, BitMap]] = []
    wanted_numbers: list[int] = []
    known = BitMap()
    for _ in range(rng.randint(2, 14)):
        wanted: dict[Labels, BitMap] = {}
        for person in people:
            wanted.setdefault(label(person), BitMap()).add(person)
        choose = keyed_choice(b"key of this history", len(releases) + 1)
        made = next_release(releases, known, wanted, k=k, choose=choose)
        if not everyone(made) <= BitMap(people):
            raise AssertionError(f"history {seed}: somebody who withdrew is released")
        if not releases or made != releases[-1]:
            releases.append(made)
            wanted_numbers.append(len(people))
        known = BitMap(people)
        n_changed = rng.choice([1, 1, 1, 2, 3, 12])
        if rng.random() < 0.5:
            people -= set(rng.sample(sorted(people), min(len(people), n_changed)))
        else:
            people |= set(range(following, following + n_changed))
            following += n_changed
    return History(k, releases, wanted_numbers)


def faults(found: History) -> list[str]:
    """Pairs of releases that differ by 1…k - 1 people, as plain sets say; and rows of them that do."""
    sets = [{person for group in release.values() for person in group} for release in found.releases]
    named = []
    for later, one in enumerate(sets):
        for earlier in range(later):
            distance = len(one ^ sets[earlier])
            if 0 < distance < found.k:
                named.append(f"releases {earlier + 1} and {later + 1} differ by {distance} people, k is {found.k}")
            rows = too_close(found.releases[later], found.releases[earlier], k=found.k)
            named += [f"row {row} of releases {earlier + 1} and {later + 1} differs by {far}" for row, far in rows]
    return named
