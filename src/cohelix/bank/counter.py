"""The only way from a question to a node's datasets: asked under the gate's decisions, written down before it leaves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

from cohelix.access.gate import Asker, Gate, Kind
from cohelix.bank.answering import Answers
from cohelix.bank.bank import Bank, decided

T = TypeVar("T")


class Counter:
    """A bank behind its gate. Safe for many threads.

    Parameters
    ----------
    bank
        Opened with the gate's `public`.
    """

    def __init__(self, bank: Bank, gate: Gate) -> None:
        self.bank, self.gate = bank, gate

    def budgets(self, asker: Asker) -> dict[str, float]:
        """The share of the person's own budget that is left, of each dataset that has one for them, in whole hundredths.

        It follows from what the person was told, at prices that everybody knows; of other people it tells nothing, neither of
        those in the dataset nor of those who asked too.
        """
        asking, found = self.gate.asking("datasets", asker), {}
        for view in self.bank.views():
            charge = asking.charge(decided(view, asking.decision))
            if charge is not None:
                found[view.record.id] = math.floor(charge.left() * 100) / 100
        return found

    def ask(
        self,
        kind: Kind,
        asker: Asker,
        asked: str,
        answer: Callable[[Answers], T],
        sizes: Callable[[T], Mapping[str, int]] | None = None,
    ) -> T:
        """An answer for whoever asks; where it rests on who that is, its entry in the log is on disk when this returns.

        Parameters
        ----------
        asked
            What was asked for; the log keeps a keyed hash of it.
        answer
            Answers from the datasets as this person may ask them.
        sizes
            How many items the answer has of each dataset, by federation id; counts of people are never among them.

        Raises
        ------
        AuditUnavailable
            If the answer must be written down and cannot be.
        """
        if asker.unknown:
            found = answer(self.bank)
            self.gate.told_everybody(kind, asker, asked)
            return found
        asking = self.gate.asking(kind, asker)
        found = answer(self.bank.under(asking.decision, asking.charge))
        asking.leave(asked, sizes(found) if sizes else None)
        return found
