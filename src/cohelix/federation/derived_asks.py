"""What a contributor is asked, derived by itself: it runs the plan's own method over opened sums, and follows no other.

A method is a function of opened sums alone. So a node that gets these sums, each signed by all three aggregators, knows the
next question before the hub puts it: step, statistics, and every number that is broadcast. It computes what it derived, and
only if the hub asks the same; a hub that would weigh one person with one and everybody else with nothing is refused.

The method runs once, in a thread that stands still until the next opening comes. The pass over the genotypes that closes a
method is not followed: nothing but lines follows from its sums, and all its questions have the same broadcast (`Ask.closing`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from cohelix.analysis.steps import AnyArray, Ask, Statistic, Summer, Sums
from cohelix.core.errors import BadQuestion, CohelixError, Conflict, Deviation
from cohelix.federation.asking import alike, block_arrays, pack_ask, same_question, unpack_ask
from cohelix.federation.roster import HUB, FrozenRoster
from cohelix.federation.secure_sum import Header, open_sum, opening_of
from cohelix.stats.secret_sharing import Layout
from cohelix.stats.thresholds import taking

NEEDED_MOST = 256  # openings that are wanted at a time
_HELD = 4  # asks whose arrays are held: of older ones no block is open any more


class Needs(NamedTuple):
    """Openings without which the next ask cannot be derived: numbers of ask and block."""

    blocks: tuple[tuple[int, int], ...]


class ClosingPass(Exception):
    """The method has come to the pass from which nothing follows but lines."""


class DerivedAsks:
    """The asks of one run, as they follow from its opened sums.

    Parameters
    ----------
    method
        Puts all asks of the run to a `Summer`; for `ClosingPass` it goes on with what comes after the method.
    frozen
        The roster that this node computes for.
    listed
        Digest of the run's list of variants as this node holds it.
    side
        On which side of thresholds numbers are taken that lie within rounding of one (`stats.thresholds`).
    """

    def __init__(self, method: Callable[[Summer], object], frozen: FrozenRoster, listed: str, *, side: int = 0) -> None:
        self._method, self._frozen, self._listed, self._side = method, frozen, listed, side
        self._contributors = len(frozen.roster.contributors())
        self._turn = threading.Condition()
        self._asks: dict[int, Ask] = {}
        self._told: dict[int, tuple[Statistic, ...]] = {}
        self._sums: dict[tuple[int, int], Sums] = {}
        self._seen: set[tuple[int, int]] = set()
        self._count = self._next = 0
        self._closing: Ask | None = None
        self._wanted: tuple[int, int] | None = None
        self._over = self._closed = False
        self._thread = threading.Thread(target=self._run, name="derived-asks", daemon=True)
        self._thread.start()

    @property
    def next(self) -> int:
        """The number of the ask that has not been told yet."""
        return self._next

    def match(self, number: int, packed: bytes) -> bytes | Needs:
        """The derived ask in the place of the one that was told, if that is the same but for last digits.

        Raises
        ------
        Deviation
            `foreign-ask` where it is another one, or the method asks nothing more.
        BadQuestion
            If asks are not told in their order.
        """
        told, over_variants = unpack_ask(packed)
        with self._turn:
            if number != self._next:
                raise BadQuestion("asks are told in their order")
            derived = self._derive(number, told)
            if isinstance(derived, Needs):
                return derived
            mine = pack_ask(derived, self._listed)
            if over_variants != (derived.rows is not None) or not same_question(mine, packed):
                raise Deviation("foreign-ask", f"what was asked as {told.step} does not follow from the opened sums", HUB)
            self._asks[number], self._told[number] = derived, told.statistics
            self._next = number + 1
            for old in [one for one in self._asks if one <= number - _HELD]:
                del self._asks[old], self._told[old]
            return mine

    def open(self, body: bytes, own: Header) -> None:
        """Take the opening of a block that this node has signed; one that was taken before is left aside.

        Raises
        ------
        Deviation
            As of `secure_sum.open_sum`; `dropped-contribution` where this node's header is not the one that was added.
        """
        ask, block = own.ask, own.block
        with self._turn:
            asked, statistics = self._asks.get(ask), self._told.get(ask)
            if (
                asked is None
                or statistics is None
                or asked.closing is not None
                or (ask, block) in self._seen | self._sums.keys()
            ):
                return
        stretches = asked.blocks()
        opening = opening_of(body)
        if own not in opening.headers:
            raise Deviation("dropped-contribution", "what was added is not what this node signed", HUB)
        lead = None if asked.rows is None else len(stretches[block])
        sums = open_sum(opening, own.place, Layout.of(statistics, lead, self._contributors), self._frozen)
        with self._turn:
            self._sums[ask, block] = sums
            self._turn.notify_all()

    def block(self, number: int, block: int, arrays: Mapping[str, AnyArray]) -> Mapping[str, AnyArray] | None:
        """The derived arrays of a block in the place of those that came; None where the ask must be told first.

        Raises
        ------
        Deviation
            `foreign-ask` where others came.
        """
        with self._turn:
            if number >= self._next:
                return None
            ask = self._asks.get(number)
        if ask is None:
            raise Conflict("this ask is over")
        if ask.closing is not None:
            if arrays.keys() != {"rows"}:
                raise Deviation("foreign-ask", f"{ask.step} was asked with arrays that the method does not tell", HUB)
            return arrays
        stretches = ask.blocks()
        derived = block_arrays(ask, stretches[block]) if block < len(stretches) else {}
        if not derived or not alike(derived, arrays):
            raise Deviation("foreign-ask", f"rows or arrays of {ask.step} do not follow from the opened sums", HUB)
        return derived

    def close(self) -> None:
        """End the thread."""
        with self._turn:
            self._closed = True
            self._turn.notify_all()

    def sum(self, ask: Ask) -> Sums:
        """The opened sum; called from the method's thread."""
        return self._opened(self._put(ask), 0)

    def blocks(self, ask: Ask) -> Iterator[tuple[range, Sums]]:
        """The opened sums of a step over variants; called from the method's thread."""
        number = self._put(ask)
        if ask.closing is not None:
            raise ClosingPass
        return ((stretch, self._opened(number, block)) for block, stretch in enumerate(ask.blocks()))

    def _run(self) -> None:
        try:
            with taking(self._side):
                self._method(self)
        except (CohelixError, ArithmeticError, ValueError, _Closed):
            return  # a method that stops asks nothing more
        finally:
            with self._turn:
                self._over = True
                self._turn.notify_all()

    def _put(self, ask: Ask) -> int:
        with self._turn:
            # What comes after the closing pass has the number that the hub says it has.
            self._turn.wait_for(lambda: self._closing is None or self._closed)
            self._check_open()
            number = self._count
            self._asks[number] = ask
            self._count += 1
            if ask.closing is not None:
                self._closing = ask
            self._turn.notify_all()
            return number

    def _opened(self, number: int, block: int) -> Sums:
        with self._turn:
            self._wanted = (number, block)
            self._turn.notify_all()
            self._turn.wait_for(lambda: (number, block) in self._sums or self._closed)
            self._check_open()
            self._wanted = None
            self._seen.add((number, block))
            return self._sums.pop((number, block))

    def _check_open(self) -> None:
        if self._closed:
            raise _Closed

    def _derive(self, number: int, told: Ask) -> Ask | Needs:
        """The ask of this number, as soon as the method has come to it; called with the turn taken."""
        while number not in self._asks:
            if self._closing is not None:
                kind = _beside(self._closing, told)
                if kind is not None:
                    return replace(self._closing, step=kind[0], statistics=kind[1])
                self._closing, self._count = None, number
                self._turn.notify_all()
            elif self._wanted is not None and self._wanted not in self._sums:
                return self._needs(*self._wanted)
            elif self._over or self._closed:
                raise Deviation("foreign-ask", f"{told.step} was asked, and the method asks nothing more", HUB)
            self._turn.wait()
        return self._asks[number]

    def _needs(self, number: int, block: int) -> Needs:
        blocks = range(block, max(1, len(self._asks[number].blocks())))
        missing = [(number, one) for one in blocks if (number, one) not in self._sums]
        return Needs(tuple(missing[:NEEDED_MOST]))


class _Closed(Exception):
    """The run is over, and with it the method's thread."""


def _beside(closing: Ask, told: Ask) -> tuple[str, tuple[Statistic, ...]] | None:
    """The kind of the closing pass that was told, if it is one: step and statistics' names."""
    names = [one.name for one in told.statistics]
    kinds = (*(closing.closing or ()), (closing.step, closing.statistics))
    return next((kind for kind in kinds if kind[0] == told.step and [one.name for one in kind[1]] == names), None)
