"""Messages of a run between hub, nodes and aggregators, and of the hub's `/api/v1/analyses`.

Questions of a run are packed documents (`wire/packed.py`): the document is one of the models here, arrays beside it are
named in its docstring. What members sign (acceptances, rosters, headers, partial sums) is defined and checked in
`federation/roster.py` and `federation/secure_sum.py`, and travels here as the JSON object that it is there.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from cohelix.wire.federation import Message, OnBehalf
from cohelix.wire.frequency import Wire

RunState = Literal[
    "proposed", "checking", "open", "frozen", "running", "combined", "held", "released", "refused", "aborted", "cancelled"
]
ENDED: frozenset[RunState] = frozenset({"released", "refused", "aborted", "cancelled"})
NodeStatus = Literal["asked", "accepted", "refused", "absent", "computing", "done"]
Summing = Literal["shares", "masks", "plain"]
"""How sums are kept secret: shares to three aggregators, pairwise masks under one coordinator, or not (open data only)."""
Signed = dict[str, Any]
"""A signed document of `federation.roster` or `federation.secure_sum`, as JSON."""


class Terms(Wire):
    """What a node that takes part makes public of itself beside its acceptance.

    `people_bound` is a bound on how many people it brings, a power of two, 0 where it contributes nothing; `mac_floor` how
    many copies of the rarer allele it demands of a released line; `policy` its policy in words; `open_data` says that all
    its datasets of the plan are open; `node_level` that it agrees to estimates of its own at the plan's loci; `assembly` is
    that of its datasets; `aggregators` are those on its own list of peers.
    """

    people_bound: int = Field(default=0, ge=0)
    mac_floor: int = Field(default=0, ge=0)
    open_data: bool = False
    node_level: bool = False
    aggregators: tuple[str, ...] = ()
    policy: str = Field(default="", max_length=2000)
    assembly: str = ""


class Refusal(Wire):
    """A node does not do what it was asked: the rule's name and a sentence, never a number that the rule compared."""

    rule: str = Field(max_length=100)
    reason: str = Field(max_length=1000)


class HeldVisa(Wire):
    """A visa that a run rests on at a node: when it ends or is revoked, the node leaves the run."""

    identifier: str
    issuer: str
    dataset: str
    expires: str


class AskCheck(OnBehalf):
    """`analysis-check`: what would you say to this plan? Answered with a `CheckAnswer`."""

    plan: dict[str, Any]
    run: str | None = None


class CheckAnswer(Wire):
    """A node's word beforehand: `people` is a floor in tens, `seconds` what it would need; `bytes_sent` what it would send."""

    node: str
    takes_part: bool
    contributor: bool = False
    aggregator: bool = False
    refusal: Refusal | None = None
    people: int | None = None
    seconds: float | None = None
    bytes_sent: int | None = None
    open_data: bool = False


class RunMessage(Message):
    """A message that belongs to a run."""

    run: str = Field(pattern=r"^[0-9a-z]{8,40}$")


class AskOpen(RunMessage, OnBehalf):
    """`analysis-open`: take part. Answered with an `OpenAnswer`; the same run again gives the same acceptance.

    `deadline` (RFC 3339, UTC) is when the hub gives up: what the node keeps of the run may go then.
    """

    plan: dict[str, Any]
    plan_hash: str
    deadline: str


class OpenAnswer(Wire):
    """The signed acceptance with the node's terms, or the refusal."""

    acceptance: Signed | None = None
    terms: Terms = Terms()
    refusal: Refusal | None = None


class AskRoster(RunMessage):
    """`analysis-roster`: to aggregators without signatures, then to contributors, and to them, with all of them."""

    roster: Signed
    signatures: tuple[Signed, ...] = ()


class RosterAnswer(Wire):
    """An aggregator's signature of the roster, or, where signatures were sent along, `agreed`; or the refusal."""

    signature: Signed | None = None
    agreed: bool = False
    refusal: Refusal | None = None


class AskSites(RunMessage):
    """`analysis-sites`: the variants that you may name in the plan's regions, from number `start` on."""

    start: int = Field(default=0, ge=0)


class SitesAnswer(Wire):
    """Beside it the array `stretch` (uint8): what `analysis.variants.pack_stretch` packed. `next` is None at the end."""

    total: int
    next: int | None = None


class AskVariants(RunMessage):
    """`analysis-variants`: a stretch of the run's list of variants (array `stretch`), from number `start` of `total`.

    `digest` names the whole list; the node checks it when it holds all.
    """

    start: int = Field(ge=0)
    total: int = Field(ge=0)
    digest: str


class VariantsAnswer(Wire):
    """How many variants of the list the node holds now: the `start` that it wants next; `total` when done."""

    held: int


class AskBegin(RunMessage):
    """`analysis-ask`: the beginning of an ask, told once: array `ask` (uint8) is what `federation.asking.pack_ask` packed
    (step, statistics, broadcast, digest of the list of variants). Along come, as arrays `opening.<ask>.<block>` (uint8), packed
    openings of earlier blocks: from them the node derives the ask itself, and from that of ask 0 how many people take part.
    Asks are told in their order."""

    ask: int = Field(ge=0)
    digest: str


class BeginAnswer(Wire):
    """The node holds the ask, or leaves the run (`refusal`), or must have further openings first: `needs` are their numbers
    of ask and block, of which as many are sent with the ask once more as one message holds."""

    digest: str
    needs: tuple[tuple[int, int], ...] = ()
    refusal: Refusal | None = None


class AskStep(RunMessage):
    """`analysis-step`: one block of an ask: arrays `rows` (int64) and `per_variant.<name>`; a step over people has none, and
    one block, 0.

    `asked` is the digest that every contributor must find (`federation.asking.block_digest`). An ask of one block is told along
    with it: the arrays of an `AskBegin` come too, and count for nothing in the digest.
    """

    roster: str
    ask: int = Field(ge=0)
    block: int = Field(ge=0)
    digest: str
    asked: str


class StepAnswer(Wire):
    """A signed header, and beside it as arrays `payload.<receiver>` (uint8) what is for those who add up; or `needs` what
    the node does not hold (`ask`: it must be told again), or the refusal."""

    header: Signed | None = None
    needs: Literal["ask"] | None = None
    refusal: Refusal | None = None


class AskAggregate(RunMessage):
    """`analysis-aggregate`: add up one block: all contributors' headers, and as arrays `payload.<contributor>` (uint8) what
    is sealed for this aggregator."""

    roster: str
    ask: int = Field(ge=0)
    block: int = Field(ge=0)
    asked: str
    headers: tuple[Signed, ...]


class AggregateAnswer(Wire):
    """A signed partial sum, its words beside it as array `words` (uint64); or the refusal."""

    partial: Signed | None = None
    refusal: Refusal | None = None


class AskEnd(RunMessage):
    """`analysis-end`: the run is over; what is kept for it may go. Answered with an `EndAnswer`."""

    outcome: RunState
    reason: str | None = None


class EndAnswer(Wire):
    """The node has taken note."""

    run: str


class RunNode(Wire):
    """A member in a run, as everyone may see it: its roles, whether it takes part, and how far it is."""

    node: str
    contributor: bool = False
    aggregator: bool = False
    status: NodeStatus = "asked"
    reason: str | None = None
    blocks: int = 0


class Run(Wire):
    """A run as the hub tells it. Times are RFC 3339, UTC; `fraction` of the table is written and `seconds_left` an estimate;
    `people` are the pooled number, once opened, and in tens before people have released it unless all data are open; `files`
    are there when released."""

    id: str
    state: RunState
    reason: str | None = None
    plan: dict[str, Any]
    plan_hash: str
    summing: Summing = "shares"
    open_data: bool = False
    nodes: tuple[RunNode, ...] = ()
    proposed_at: str
    deadline: str
    ended_at: str | None = None
    variants: int | None = None
    people: int | None = None
    asks: int = 0
    blocks_done: int = 0
    fraction: float = 0.0
    seconds_left: float | None = None
    files: tuple[str, ...] = ()


class RunsAnswer(Wire):
    """Runs, the newest first."""

    runs: tuple[Run, ...]


class RunEvent(Wire):
    """Something that happened in a run; numbers ascend within the run."""

    number: int
    at: str
    event: str
    node: str | None = None
    document: dict[str, Any] = Field(default_factory=dict)


class PlanCheck(Wire):
    """What each node would say to a plan: the answer of `POST /api/v1/analyses/check`.

    `people` is the sum of the nodes' floors; `seconds` the slowest contributor's; `possible` says that at least three would
    contribute and three add up.
    """

    plan_hash: str
    possible: bool
    reason: str | None = None
    people: int | None = None
    seconds: float | None = None
    bytes_sent: int | None = None
    nodes: tuple[CheckAnswer, ...]
    absent: tuple[RunNode, ...] = ()


class ReviewWord(Wire):
    """What a reviewer says of a held run over HTTP; a refusal has its reason."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["release", "refuse"]
    reason: str | None = Field(default=None, min_length=1, max_length=1000)


class Review(Wire):
    """One reviewer's word on a held run."""

    role: str
    decision: Literal["release", "refuse"]
    reason: str | None = None
    at: str


class FileWord(Wire):
    """What the automatic check says of one file of a held run: `fail` is never released, `review` wants a person's look."""

    file: str
    verdict: Literal["pass", "review", "fail"]
    reasons: tuple[str, ...] = ()


class HeldRun(Wire):
    """A run that waits for its reviewers: the automatic verdicts, what was said, and what this reader may still say.

    `needed` different people release it; `mine` says that the reader has proposed it, `spoken` that the reader has reviewed it.
    """

    run: Run
    verdicts: tuple[FileWord, ...] = ()
    reviews: tuple[Review, ...] = ()
    needed: int
    mine: bool = False
    spoken: bool = False


class HeldRuns(Wire):
    """Runs that wait for their reviewers, the oldest first."""

    runs: tuple[HeldRun, ...]
