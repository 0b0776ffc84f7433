"""What a run leaves behind, and the check of it: anybody who holds the transcript finds out who departed from the method.

A method is a function of opened sums alone, and asks nothing but what follows from them. Each block's question is in the
headers that contributors signed, each partial sum is signed by its aggregator, and both name the frozen roster. So the run can
be done again from its transcript: where the questions are not those that follow, the hub put others; where a signature or
a sum does not hold, its author is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from cohelix.analysis.steps import AnyArray, Ask, Summer, Sums
from cohelix.core.errors import CohelixError, Deviation
from cohelix.federation.asking import alike, ask_digest, block_arrays, block_digest, pack_ask, same_question
from cohelix.federation.roster import HUB, FrozenRoster, check_signatures
from cohelix.federation.secure_sum import Opening, Place, open_sum, opening_of
from cohelix.stats.secret_sharing import Layout


class Finding(NamedTuple):
    """A deviation, whose it is (`hub`, a member, or empty where two are possible), at which ask and block, in words."""

    name: str
    member: str
    ask: int
    block: int
    detail: str


class Verdict(NamedTuple):
    """What a check of a transcript found: nothing, if the run was as the method says.

    `result` is what the replay gave, None where it could not come to its end. `rounded` counts blocks whose question differs
    from the replay's in last digits, as it does on another processor.
    """

    findings: tuple[Finding, ...]
    result: str | None
    rounded: int = 0


class Openings(Protocol):
    """Where a run's opened blocks are kept, by number of the ask in the run and of the block in the ask."""

    def get(self, ask: int, block: int) -> tuple[str, bytes] | None:
        """What was asked (the digest that the hub found) and the packed opening; None where the block was not opened."""

    def blocks(self) -> Iterable[tuple[int, int]]:
        """All that were opened."""


Told = Callable[[int, int], tuple[bytes, Mapping[str, AnyArray]]]
"""What nodes were told for an ask and block: `asking.pack_ask` and `asking.block_arrays`, as the hub or any node kept them."""


def verify_transcript(
    frozen: FrozenRoster,
    openings: Openings,
    replay: Callable[[Summer], str],
    *,
    claimed: str | None = None,
    told: Told | None = None,
    listed: str = "",
) -> Verdict:
    """Do a run again from its transcript, and name who departed from the method.

    Parameters
    ----------
    frozen
        The roster with its signatures. That its keys are those of the members is for the reader to compare.
    replay
        The run's method over the given `Summer`; returns a digest of its result. It puts all asks of the run, that of the
        first count included.
    claimed
        The digest that the hub published, where it is to be compared.
    told
        Where the questions themselves were kept: then a question that differs in last digits only, because the replay runs
        on another processor, is accepted and counted.
    listed
        Digest of the run's list of variants.

    Returns
    -------
    The findings. The replay ends at the first block that does not hold: what comes after it follows from nothing.
    """
    try:
        check_signatures(frozen)
    except Deviation as error:
        return Verdict((_finding(error, -1, -1),), None)
    summer = _Replay(frozen, openings, told, listed)
    result = None
    try:
        result = replay(summer)
    except CohelixError as error:  # of a block that does not hold, or the method's own: a study may be impossible
        if not summer.findings and claimed is not None:
            words = f"a result was published, but the method stops over these sums: {error.detail}"
            summer.findings.append(Finding("false-result", HUB, -1, -1, words))
    if summer.findings:
        return Verdict(tuple(summer.findings), None, summer.rounded)
    needless = sorted(set(openings.blocks()) - summer.seen) if result is not None else []
    findings = [
        Finding("needless-opening", HUB, ask, block, "a block was opened that the method does not ask for")
        for ask, block in needless
    ]
    if claimed is not None and claimed != result:
        words = "the published result does not follow from the opened sums"
        findings.append(Finding("false-result", HUB, -1, -1, words))
    return Verdict(tuple(findings), result, summer.rounded)


class _Replay:
    """A `Summer` that opens kept blocks, each only if its question is the one that follows."""

    def __init__(self, frozen: FrozenRoster, openings: Openings, told: Told | None, listed: str) -> None:
        self.findings: list[Finding] = []
        self.seen: set[tuple[int, int]] = set()
        self.rounded = 0
        self._frozen, self._openings, self._told, self._listed = frozen, openings, told, listed
        self._contributors = len(frozen.roster.contributors())
        self._asks = 0

    def sum(self, ask: Ask) -> Sums:
        return self._opened(ask, self._next(), 0, None)

    def blocks(self, ask: Ask) -> Iterator[tuple[range, Sums]]:
        number = self._next()  # now, not with the first block: methods may ask again in between
        return ((stretch, self._opened(ask, number, block, stretch)) for block, stretch in enumerate(ask.blocks()))

    def _next(self) -> int:
        self._asks += 1
        return self._asks - 1

    def _opened(self, ask: Ask, number: int, block: int, stretch: range | None) -> Sums:
        self.seen.add((number, block))
        try:
            kept = self._openings.get(number, block)
            if kept is None:
                raise Deviation("missing-opening", "the method asks for a block that the transcript lacks", HUB)
            opening = opening_of(kept[1])
            place = self._asked(ask, number, block, stretch, opening)
            lead = None if stretch is None else len(stretch)
            return open_sum(opening, place, Layout.of(ask.statistics, lead, self._contributors), self._frozen)
        except CohelixError as error:
            self.findings.append(_finding(error, number, block))
            raise

    def _asked(self, ask: Ask, number: int, block: int, stretch: range | None, opening: Opening) -> Place:
        """The place of a block, if what was asked there is what follows."""
        arrays = block_arrays(ask, stretch)
        implied = block_digest(ask_digest(pack_ask(ask, self._listed)), block, arrays)
        signed = {one.ask_digest for one in opening.headers}
        if signed == {implied}:
            return Place(number, block, implied)
        if len(signed) > 1:
            others = sorted(one.node for one in opening.headers if one.ask_digest != implied)
            raise Deviation("split-ask", f"{', '.join(others)} signed another question than the one that follows")
        if self._told is not None:
            told, told_arrays = self._told(number, block)
            found = block_digest(ask_digest(told), block, told_arrays)
            if signed == {found} and same_question(pack_ask(ask, self._listed), told) and alike(arrays, told_arrays):
                self.rounded += 1
                return Place(number, block, found)
        raise Deviation("other-ask", "all contributors were asked something that does not follow from the sums", HUB)


def _finding(error: CohelixError, ask: int, block: int) -> Finding:
    if isinstance(error, Deviation):
        return Finding(error.name, error.member, ask, block, error.detail)
    return Finding("broken-transcript", HUB, ask, block, error.detail)
