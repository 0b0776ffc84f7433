"""Runs the whole corpus: our verdict, the right one, and the referee's."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from validation.tokens import forgeries, meanings, proofs
from validation.tokens.referee import agrees, found_wrong
from validation.tokens.world import KINDS, Case, World, open_world


@dataclass
class Judged:
    """What came out; `wrong` and `disputed` name cases, and are empty where all is well."""

    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    agreed: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    disputed: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    sung: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing was wrongly accepted or refused, nothing is disputed, and only the list's addresses were asked."""
        once = sorted(self.asked) == sorted({"/broker/jwks", "/dac/jwks", "/other/jwks"})
        return not (self.wrong or self.disputed or self.sung) and once


def judge() -> Judged:
    """Judge every case."""
    found = Judged()
    with open_world() as (world, found.asked, found.sung):
        world.holds("passport", world.draft("passport").text)  # a first honest one, with which the keys are fetched
        for case in (*forgeries.cases(world), *meanings.cases(world), *proofs.cases(world)):
            _judge_one(found, world, case)
    return found


def _judge_one(found: Judged, world: World, case: Case) -> None:
    if case.name in found.names or case.kind not in KINDS:
        raise ValueError(f"two cases are called {case.name!r}")
    found.names.add(case.name)
    try:
        verdict: object = case.judge()
    except Exception as error:  # whatever is raised but a refusal is a finding
        verdict = f"{type(error).__name__}: {error}"[:200]
    if verdict is not case.right:
        found.wrong.append(f"{case.name}: {verdict}")
    (found.accepted if case.right else found.refused)[case.kind] += 1
    word = agrees(found_wrong(world, case), case) if case.token else None
    if word is False:
        found.disputed.append(f"{case.name}: {found_wrong(world, case)}")
    found.agreed[case.kind] += word is True
