"""Messages of a run between hub, nodes and aggregators, and of the hub's `/api/v1/analyses`.

Questions of a run are packed documents (`wire/packed.py`): the document is one of the models here, arrays beside it are
named in its docstring. What a member must stand by later is a `SignedDocument`: the canonical JSON of a `Statement`,
signed by the member's own key, so that whoever holds it can prove who said it.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from cohelix.wire.federation import Message
from cohelix.wire.frequency import Wire

RunState = Literal[
    "proposed", "checking", "open", "frozen", "running", "combined", "held", "released", "refused", "aborted", "cancelled"
]
ENDED: frozenset[RunState] = frozenset({"released", "refused", "aborted", "cancelled"})
Summing = Literal["shares", "masks", "plain"]
"""How sums are kept secret: shares to three aggregators, pairwise masks under one coordinator, or not (open data only)."""
PEOPLE_BLOCK = -1  # the block number of a step over people


class SignedDocument(Wire):
    """A statement's canonical JSON, the very text that was signed, with its Ed25519 key and signature, both base64url."""

    document: str = Field(max_length=1_000_000)
    key: str
    signature: str


class Statement(Wire):
    """What a member signs; `kind` keeps the kinds apart, so that none passes for another."""

    model_config = ConfigDict(extra="forbid")

    kind: str
    run: str
    node: str


class Acceptance(Statement):
    """A node takes part in a run: in what role, with which data, under which session key.

    `data` is the fingerprint of the frozen dataset versions and releases; `session_key` an X25519 public key of this run
    (base64url); `people_bound` a public bound on how many people the node brings, a power of two, 0 where it contributes
    nothing; `mac_floor` and `policy` what it demands of the result; `open_data` says that all its datasets are open.
    """

    kind: Literal["acceptance"] = "acceptance"
    plan_hash: str
    key: str
    data: str
    session_key: str
    contributor: bool
    aggregator: bool
    people_bound: int = Field(ge=0)
    mac_floor: int = Field(ge=0)
    open_data: bool
    policy: str = ""
    assembly: str = ""


class Roster(Wire):
    """Who takes part in a run, fixed before anything is opened; `federation.roster` gives its hash.

    `acceptances` are those of contributors and aggregators, by node; `aggregators` three ids, or one coordinator's for
    masks, or none for plain sums.
    """

    model_config = ConfigDict(extra="forbid")

    run: str
    plan_hash: str
    summing: Summing
    acceptances: tuple[SignedDocument, ...]
    aggregators: tuple[str, ...]


class RosterPromise(Statement):
    """An aggregator adds up for this roster of the run and for no other."""

    kind: Literal["roster"] = "roster"
    roster: str


class ShareHeader(Statement):
    """A contributor's part of one block: `asked` is the digest of what it was asked (`federation.asking`), `payload` the
    SHA-256 of what it sent (the sealed share, or the part in the clear)."""

    kind: Literal["share"] = "share"
    roster: str
    ask: int = Field(ge=0)
    block: int = Field(ge=PEOPLE_BLOCK)
    asked: str
    payload: str


class PartialHeader(Statement):
    """An aggregator's partial sum of one block: `shares` is the SHA-256 over the contributors' signed headers in the order
    of the roster, `payload` the SHA-256 of the partial sum's bytes."""

    kind: Literal["partial"] = "partial"
    roster: str
    ask: int = Field(ge=0)
    block: int = Field(ge=PEOPLE_BLOCK)
    asked: str
    shares: str
    payload: str


class Refusal(Wire):
    """A node does not do what it was asked: the rule's name and a sentence, never a number that the rule compared."""

    rule: str = Field(max_length=100)
    reason: str = Field(max_length=1000)


class AskCheck(Message):
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


class AskOpen(RunMessage):
    """`analysis-open`: take part. Answered with an `OpenAnswer`; the same run again gives the same acceptance.

    `deadline` (RFC 3339, UTC) is when the hub gives up: what the node keeps of the run may go then.
    """

    plan: dict[str, Any]
    plan_hash: str
    deadline: str


class OpenAnswer(Wire):
    """The signed `Acceptance`, or the refusal."""

    acceptance: SignedDocument | None = None
    refusal: Refusal | None = None


class AskRoster(RunMessage):
    """`analysis-roster`: to aggregators without promises, then to contributors with all of them."""

    roster: Roster
    promises: tuple[SignedDocument, ...] = ()


class RosterAnswer(Wire):
    """An aggregator's signed `RosterPromise`, or a contributor's consent (`agreed`), or the refusal."""

    roster: str
    promise: SignedDocument | None = None
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
    (step, statistics, broadcast). With the first ask after the count of people come, as arrays `partial.<aggregator>`
    and their signed headers, the partial sums of ask 0, from which each node finds how many people take part."""

    ask: int = Field(ge=0)
    digest: str
    opened: tuple[SignedDocument, ...] = ()


class BeginAnswer(Wire):
    """The node holds the ask, or leaves the run (`refusal`)."""

    digest: str
    refusal: Refusal | None = None


class AskStep(RunMessage):
    """`analysis-step`: one block of an ask: arrays `rows` (int64) and `per_variant.<name>`; none for a step over people.

    `asked` is the digest that every contributor must find (`federation.asking.block_digest`).
    """

    roster: str
    ask: int = Field(ge=0)
    block: int = Field(ge=PEOPLE_BLOCK)
    digest: str
    asked: str


class StepAnswer(Wire):
    """A signed `ShareHeader`, beside it the part as `federation.secure_sum` packs it; or `needs` what the node does not hold
    (`ask`: it must be told again), or the refusal."""

    header: SignedDocument | None = None
    needs: Literal["ask"] | None = None
    refusal: Refusal | None = None


class AskAggregate(RunMessage):
    """`analysis-aggregate`: add up one block: all contributors' headers, and as arrays `sealed.<node>` (uint8) the shares
    that are sealed for this aggregator. `statistics` as in the ask: they say how long the sum is."""

    roster: str
    ask: int = Field(ge=0)
    block: int = Field(ge=PEOPLE_BLOCK)
    asked: str
    statistics: tuple[tuple[Any, ...], ...]
    rows: int | None = None
    headers: tuple[SignedDocument, ...]


class AggregateAnswer(Wire):
    """A signed `PartialHeader`, beside it the array `partial` (uint64); or the refusal."""

    header: SignedDocument | None = None
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
    status: Literal["asked", "accepted", "refused", "absent", "computing", "done"] = "asked"
    reason: str | None = None
    blocks: int = 0


class Run(Wire):
    """A run as the hub tells it. Times are RFC 3339, UTC; `seconds_left` is an estimate; `files` are there when released."""

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
    asks: int = 0
    blocks_done: int = 0
    blocks: int | None = None
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


class Review(Wire):
    """One reviewer's word on a held run."""

    role: str
    decision: Literal["release", "refuse"]
    reason: str | None = None
    at: str
