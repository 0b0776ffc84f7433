"""A cohort of which one seeded half is loaded as a floored dataset, and the registered people who ask it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cohelix.access.actor import REGISTERED_ACCESS, Actor, Visa, VisaKind
from cohelix.access.policy import NO_PURPOSE, Terms, decide
from cohelix.bank import Bank
from cohelix.bank.load import LoadRequest, load
from cohelix.bank.membership import charging
from cohelix.bank.version import OpenVersion
from cohelix.bank.view import DatasetView
from cohelix.core.genome import Assembly
from cohelix.core.ids import DatasetId, NodeId
from cohelix.core.variant import parse_variant
from cohelix.db import open_database
from cohelix.disclosure.budget import Budget
from validation.kg3 import read_genotypes

Array = npt.NDArray[Any]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Halves:
    """A cohort whose first half, by a seeded choice, is in the dataset.

    Attributes
    ----------
    copies
        (variants, people) int64 copies of ALT of biallelic SNVs.
    names
        (variants,) as questions name them.
    inside
        (people,) bool.
    view, version
        The dataset, as it tells everybody by its floors alone.
    budget
        The node's.
    """

    copies: Array
    names: list[str]
    inside: Array
    view: DatasetView
    version: OpenVersion
    budget: Budget

    def asker(self, subject: str) -> DatasetView:
        """The dataset as a registered person sees it, who has asked nothing before under this name."""
        actor = registered(subject)
        decision = decide(actor, Terms(self.view.record.id, "floored", 1.0), NO_PURPOSE, NOW)
        assert decision.tier == "registered"
        return self.view.under(decision, charging(lambda: self.budget)(actor, decision))

    def ask(self, asker: DatasetView, row: int) -> tuple[str, int | None]:
        """The status of the answer about a variant, and its AC."""
        answer = asker.frequency(parse_variant(self.names[row]), assembly=self.view.assembly)
        return answer.status, answer.populations[0].allele_count if answer.populations else None


def registered(subject: str) -> Actor:
    """Somebody with registered access."""
    until = NOW + timedelta(days=365)
    kinds = (VisaKind.ACCEPTED_TERMS_AND_POLICIES, VisaKind.RESEARCHER_STATUS)
    visas = tuple(
        Visa(f"{subject}-{kind}", kind, REGISTERED_ACCESS, "https://org.example", "so", "https://issuer", subject, NOW, until)
        for kind in kinds
    )
    return Actor(subject, "https://issuer", visas=visas, expires=until)


def halves(folder: Path, files: list[Path], *, seed: int, people: int | None = None) -> Halves:
    """Load one half of the people of these files (all with the same samples, GRCh37) as a floored dataset.

    Parameters
    ----------
    people
        Takes only so many of the samples, for a quick look.
    """
    folder.mkdir(parents=True, exist_ok=True)
    read = [read_genotypes(path) for path in files]
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(read[0].samples))[:people]
    inside = np.zeros(len(order), np.bool_)
    inside[: len(order) // 2] = True
    chosen = folder / "inside.txt"
    chosen.write_text("".join(f"{read[0].samples[index]}\n" for index in order[inside]))
    parts = []
    for number, path in enumerate(files):
        part = folder / f"{number}.bcf"
        subprocess.run(["bcftools", "view", "-S", chosen, "-Ob", "-o", part, path], check=True, capture_output=True)
        parts.append(part)
    node = folder / "node"
    dataset = DatasetId("half")
    load(node, LoadRequest(dataset, tuple(parts), Assembly.GRCH37, disclosure="floored", quality="off"))
    bank = Bank.open(node, NodeId("XX"))
    copies = np.concatenate([one.copies for one in read])[:, order].astype(np.int64)
    names = [
        f"22-{position}-{change.replace('>', '-')}"
        for one in read
        for position, change in zip(one.position.tolist(), one.alleles, strict=True)
    ]
    budget = Budget(open_database(folder / "budget.sqlite"), bytes(32))
    return Halves(copies, names, inside, bank.view(dataset), bank.stored()[0], budget)
