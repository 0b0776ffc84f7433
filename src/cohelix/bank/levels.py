"""How much of a dataset a decision lets out: the levels that a view answers at, and the rows that it may name."""

from __future__ import annotations

from typing import Final, NamedTuple

from cohelix.access.policy import Decision, Level
from cohelix.bank.cases import NOT_COUNTED, listed_cases
from cohelix.bank.manifest import CASES
from cohelix.bank.version import OpenVersion, listed_rows
from cohelix.core.arrays import ByteArray
from cohelix.genotypes.fractions import CallDetails
from cohelix.wire.dataset import Disclosure

REFUSED: Final = "this dataset is closed: it answers nothing without a visa"
_ROWS_WITH_EXACT: Final = 4
_LEVELS: Final[dict[Disclosure, Level]] = {"open": "exact", "floored": "floored", "closed": "refused"}


class Levels(NamedTuple):
    """What may be told of a dataset's variants and of its people, whether records are shown, and why less than everything."""

    genomic: Level
    people: Level
    records: bool
    reason: str = ""

    @classmethod
    def of_disclosure(cls, disclosure: Disclosure) -> Levels:
        """What a dataset's declared disclosure lets out."""
        level = _LEVELS[disclosure]
        return cls(level, level, level == "exact", REFUSED if level == "refused" else "")

    @classmethod
    def of_decision(cls, decision: Decision) -> Levels:
        """What a decision lets out."""
        refused = "refused" in (decision.genomic, decision.people)
        return cls(decision.genomic, decision.people, decision.records, decision.reason if refused else "")


def exact_listing(version: OpenVersion) -> ByteArray:
    """(2, bytes) bitmap of the rows that may be named where no floor holds, as `OpenVersion.listed` has it of open datasets.

    Versions that an earlier Cohelix loaded do not keep it: then it is made here, which takes as long as it did at loading.
    """
    if version.manifest.disclosure == "open":
        return version.listed
    if len(version.listed) == _ROWS_WITH_EXACT:
        return version.listed[2:]
    if version.manifest.content in NOT_COUNTED:
        details = CallDetails.open(version.folder / CASES)
        return listed_cases(version.store, details, version.everybody, version.released, 0)
    given = version.manifest.content == "aggregate"
    return listed_rows(version.store, version.counts, version.layout, 0, given=given)
