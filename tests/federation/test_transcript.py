"""A run done again from what it left behind: an honest one gives the same result, each dishonest one names its author."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from cohelix.analysis import steps
from cohelix.analysis.data import ArrayGenotypes, LocalData
from cohelix.analysis.pooled import PlainSummer
from cohelix.analysis.steps import Ask, Statistic, Summer, Sums, local_step
from cohelix.core.errors import Deviation
from cohelix.federation.asking import ask_digest, block_arrays, block_digest, pack_ask
from cohelix.federation.roster import FrozenRoster
from cohelix.federation.secure_sum import Opening, Place
from cohelix.federation.transcript import Verdict, verify_transcript
from cohelix.stats.secret_sharing import Layout
from cohelix.testing.sum_parties import KeptOpenings, Parties, SecureTestSummer

VARIANTS, PEOPLE = 90, 12


@pytest.fixture(scope="module", autouse=True)
def three_blocks() -> Iterator[None]:
    """Of the 90 variants."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "BLOCK_VARIANTS", 32)
        yield


@local_step("transcript-test-people")
def _people(data, _broadcast, _rows, _more) -> Sums:  # type: ignore[no-untyped-def]
    return {"n": np.int64(data.n), "y": data.traits.sum(axis=0)}  # type: ignore[dict-item]


@local_step("transcript-test-scores")
def _scores(data, broadcast, rows, _more) -> Sums:  # type: ignore[no-untyped-def]
    found = data.genotypes.products(rows, data.traits - broadcast["mean"])
    return {"n0": found.n0, "n1": found.n1, "n2": found.n2, "gy": found.products}


def run(summer: Summer) -> str:
    """A method in small: the mean first, then scores against what is left, and a digest of both."""
    first = summer.sum(Ask("transcript-test-people", (Statistic("n", (), 1000, True), Statistic("y", (1,), 1e5))))
    n = int(first["n"])
    counts = tuple(Statistic(name, (), n, True) for name in ("n0", "n1", "n2"))
    ask = Ask(
        "transcript-test-scores",
        (*counts, Statistic("gy", (1,), 1e4)),
        {"mean": first["y"] / n},
        np.arange(VARIANTS, dtype=np.int64),
    )
    result = hashlib.sha256()
    for _block, sums in summer.blocks(ask):
        result.update(sums["gy"].tobytes() + sums["n1"].tobytes())
    return result.hexdigest()


class Finished:
    """An honest run, to be spoilt."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.parties = Parties()
        self.data = {
            name: LocalData(
                np.zeros((PEOPLE, 0)),
                rng.normal(size=(PEOPLE, 1)),
                ArrayGenotypes(rng.integers(0, 3, (VARIANTS, PEOPLE)).astype(np.float64)),
            )
            for name in self.parties.contributors
        }
        summer = SecureTestSummer(self.parties, self.data)
        self.result = run(summer)
        self.kept = summer.kept

    def reopened(self, ask: Ask, number: int, block: int, *, spoilt: dict[str, Ask] | None = None) -> Opening:
        """A block asked of all, of some with another ask, as contributors and aggregators would answer."""
        stretch = ask.blocks()[block] if ask.rows is not None else None
        layout = Layout.of(ask.statistics, None if stretch is None else len(stretch), len(self.data))
        sealed = {}
        for name in self.data:
            other = (spoilt or {}).get(name, ask)
            asked = block_digest(ask_digest(pack_ask(other)), block, block_arrays(other, stretch))
            part = {one.name: np.zeros(one.shape, np.int64 if one.integer else np.float64) for one in layout.fields}
            sealed[name] = self.parties.seal(name, part, Place(number, block, asked), layout)
        return self.parties.open(sealed, next(iter(sealed.values())).header.place)

    def verdict(self, replay: Callable[[Summer], str] = run, **more: object) -> Verdict:
        given = {"claimed": self.result, **more}
        return verify_transcript(self.parties.frozen, self.kept, replay, **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def honest() -> Finished:
    return Finished()


@pytest.fixture
def spoilt(honest: Finished) -> Finished:
    """The honest run with openings of its own."""
    copy = object.__new__(Finished)
    copy.__dict__ = dict(honest.__dict__)
    copy.kept = KeptOpenings()
    for ask, block in honest.kept.blocks():
        copy.kept.put(ask, block, honest.kept.opening(ask, block))
    return copy


def test_an_honest_run_is_found_honest(honest: Finished) -> None:
    verdict = honest.verdict()
    assert verdict == Verdict((), honest.result)
    plain = PlainSummer(list(honest.data.values()))
    assert plain.sum(Ask("transcript-test-people", (Statistic("n", (), 1000, True), Statistic("y", (1,), 1e5))))["n"] == 48


def test_a_result_that_does_not_follow_is_the_hubs(honest: Finished) -> None:
    (found,) = honest.verdict(claimed="0" * 64).findings
    assert (found.name, found.member) == ("false-result", "hub")


def test_another_question_than_follows_is_the_hubs(spoilt: Finished) -> None:
    """The hub told a mean of its own: everybody signed it, so it is not anybody else's."""
    ask = _scores_ask(mean=0.5)
    spoilt.kept.put(1, 1, spoilt.reopened(ask, 1, 1))
    (found,) = spoilt.verdict().findings
    assert (found.name, found.member, found.ask, found.block) == ("other-ask", "hub", 1, 1)


def test_last_digits_are_no_other_question(spoilt: Finished) -> None:
    """Where the questions are kept, another processor's rounding is told from another question."""
    mean = _implied_mean(spoilt)
    for distance, expected in ((1e-12, ()), (1e-4, ("other-ask",))):
        ask = _scores_ask(mean=mean * (1 + distance))
        for block in range(3):
            spoilt.kept.put(1, block, spoilt.reopened(ask, 1, block))

        def told(number: int, block: int, ask: Ask = ask) -> tuple[bytes, dict[str, np.ndarray]]:
            assert number == 1
            return pack_ask(ask), block_arrays(ask, ask.blocks()[block])

        verdict = spoilt.verdict(told=told, claimed=None)
        assert tuple(one.name for one in verdict.findings) == expected
        assert verdict.rounded == (0 if expected else 3)


def test_a_contributor_who_was_asked_something_else_is_named(honest: Finished) -> None:
    """Aggregators refuse such headers; here they have colluded, and the transcript still tells."""
    with pytest.raises(Deviation, match="split-ask: GB"):
        honest.reopened(_scores_ask(0.5), 1, 0, spoilt={"GB": _scores_ask(0.7)})


def test_a_header_of_another_question_is_found_in_the_transcript(spoilt: Finished) -> None:
    opening = spoilt.kept.opening(1, 0)
    strange = spoilt.reopened(_scores_ask(0.5), 1, 0).headers
    mixed = tuple(new if new.node == "GB" else old for old, new in zip(opening.headers, strange, strict=True))
    spoilt.kept.put(1, 0, opening._replace(headers=mixed))
    (found,) = spoilt.verdict().findings
    assert found.name == "split-ask" and "GB" in found.detail


def test_a_changed_partial_sum_is_found(spoilt: Finished) -> None:
    opening = spoilt.kept.opening(1, 2)
    words = opening.added[0].words.copy()
    words[7] += np.uint64(1)
    spoilt.kept.put(1, 2, opening._replace(added=(opening.added[0]._replace(words=words), *opening.added[1:])))
    (found,) = spoilt.verdict().findings
    assert (found.name, found.member, found.block) == ("changed-partial", "hub", 2)


def test_a_block_that_is_missing_or_too_much_is_the_hubs(spoilt: Finished) -> None:
    spoilt.kept.put(5, 0, spoilt.kept.opening(0, 0))
    (found,) = spoilt.verdict().findings
    assert (found.name, found.member, found.ask) == ("needless-opening", "hub", 5)
    spoilt.kept.forget(1, 1)
    (found,) = spoilt.verdict().findings
    assert (found.name, found.member, found.block) == ("missing-opening", "hub", 1)


def test_a_roster_that_was_not_signed_is_found(honest: Finished) -> None:
    frozen = FrozenRoster(roster=honest.parties.roster, signatures=honest.parties.frozen.signatures[:2])
    verdict = verify_transcript(frozen, honest.kept, run)
    assert [(one.name, one.member) for one in verdict.findings] == [("unsigned-roster", "hub")]


def test_a_file_that_is_no_opening_is_found(honest: Finished) -> None:
    class Broken(KeptOpenings):
        def get(self, ask: int, block: int) -> tuple[str, bytes] | None:
            return "", b"nothing"

    (found,) = verify_transcript(honest.parties.frozen, Broken(), run).findings
    assert (found.name, found.member) == ("broken-transcript", "hub")


def _scores_ask(mean: float) -> Ask:
    counts = tuple(Statistic(name, (), 48, True) for name in ("n0", "n1", "n2"))
    rows = np.arange(VARIANTS, dtype=np.int64)
    return Ask("transcript-test-scores", (*counts, Statistic("gy", (1,), 1e4)), {"mean": np.array([mean])}, rows)


def _implied_mean(finished: Finished) -> float:
    seen: list[float] = []

    class Spy(SecureTestSummer):
        def blocks(self, ask: Ask):  # type: ignore[no-untyped-def]
            seen.append(float(ask.broadcast["mean"][0]))
            return iter(())

    run(Spy(finished.parties, finished.data))
    return seen[0]
