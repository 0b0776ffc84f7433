"""Messages between hub, nodes and clients, beside the frequency answer: joining, questions, members, merged answers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from cohelix.wire.dataset import DatasetRecord
from cohelix.wire.frequency import DatasetStatus, PooledCounts, PopulationCounts, RoadStatus, Wire

PROTOCOL = 1
PASSPORT_CHARACTERS_MAX = 64 * 1024
PURPOSE_CHARACTERS_MAX = 500
# Rule 8 of the interface: this version reads the last two; there was none before the first.
PROTOCOLS_READ = range(max(1, PROTOCOL - 1), PROTOCOL + 1)

MemberState = Literal["invited", "active", "observer", "suspended"]


class Member(Wire):
    """A member as everyone may see it.

    `state` is `invited` until it joined; an `active` one is asked everything; an `observer` sees catalogue and
    aggregates and is asked nothing; a `suspended` one is neither asked nor answered. `key` is its Ed25519 public key,
    base64url; `protocol` the number that it spoke when it joined. One that `dials_out` has no `url`: it fetches its
    questions from the hub. `datasets` are the federation ids that it last declared. Times are RFC 3339, UTC.
    """

    id: str
    state: MemberState
    name: str = ""
    country: str = ""
    url: str = ""
    key: str = ""
    may_overlap: bool = False
    dials_out: bool = False
    protocol: int = PROTOCOL
    datasets: tuple[str, ...] = ()
    joined_at: str | None = None
    last_seen: str | None = None


class MembersAnswer(Wire):
    """All members of the federation, by id."""

    hub: str
    members: tuple[Member, ...]


class Road(Wire):
    """How the question to one member went; `reason` is given for every status but `answered`."""

    node: str
    status: RoadStatus
    reason: str | None = None
    elapsed_ms: float


class DatasetState(Wire):
    """What a dataset said of a region, without its variants."""

    id: str
    status: DatasetStatus
    reason: str | None = None


class NodeRegionState(Road):
    """A member's line in a region answer."""

    datasets: tuple[DatasetState, ...] = ()


class DatasetVariant(Wire):
    """A dataset's rows for one variant of a region answer."""

    node: str
    id: str
    populations: tuple[PopulationCounts, ...]


class RegionVariant(Wire):
    """One variant of a region, with every dataset that tells of it.

    `pooled` sums their total rows; it is None where a node has the variant in several datasets, because a person may
    be in several: the variant's frequency answer counts each once.
    """

    variant: str
    pooled: PooledCounts | None
    datasets: tuple[DatasetVariant, ...]


class RegionAnswer(Wire):
    """The federation's variants in a region (1-based, inclusive text), by position; `next` asks for those after them."""

    region: str
    assembly: str
    variants: tuple[RegionVariant, ...]
    nodes: tuple[NodeRegionState, ...]
    next: str | None = None


class NodeDatasets(Wire):
    """What a node declares of itself and its datasets."""

    node: str
    name: str = ""
    country: str = ""
    may_overlap: bool = False
    datasets: tuple[DatasetRecord, ...]


class NodeDatasetsAnswer(Road):
    """A member's datasets in a federated answer."""

    name: str = ""
    country: str = ""
    datasets: tuple[DatasetRecord, ...] = ()


class DatasetsAnswer(Wire):
    """The federation's datasets, member by member."""

    nodes: tuple[NodeDatasetsAnswer, ...]


class Message(Wire):
    """A message between hub and node; it names the protocol's number."""

    protocol: int = PROTOCOL


class OnBehalf(Message):
    """A question that may be a person's: with a `passport` for this node, and the `purpose` as the person states it.

    Neither is sent where there is none, so that nodes of before them read what everybody asks.
    """

    passport: str | None = Field(default=None, max_length=PASSPORT_CHARACTERS_MAX, repr=False)
    purpose: str | None = Field(default=None, max_length=PURPOSE_CHARACTERS_MAX)

    @model_serializer(mode="wrap")
    def _only_what_there_is(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A passport and a purpose are written only where there are any."""
        document: dict[str, Any] = write(self)
        for name in ("passport", "purpose"):
            if document.get(name) is None:
                document.pop(name, None)
        return document


class AskFrequency(OnBehalf):
    """Hub to node: `POST /federation/v1/frequency`, answered with a `NodeFrequency`."""

    variant: str = Field(max_length=10_000)
    assembly: str = Field(max_length=20)


class AskRegion(OnBehalf):
    """Hub to node: `POST /federation/v1/region`, answered with a `NodeRegion`."""

    region: str = Field(max_length=100)
    assembly: str = Field(max_length=20)
    limit: int = Field(ge=1, le=10_000)
    after: str | None = Field(default=None, max_length=10_000)


class AskDatasets(OnBehalf):
    """Hub to node: `POST /federation/v1/datasets`, answered with a `NodeDatasets`."""


class AskBeacon(OnBehalf):
    """Hub to node: `POST /federation/v1/beacon`, one Beacon question, answered with a `BeaconReply`.

    `path` is what follows `/beacon/v2/`; `parameters` are those of a GET, `body` that of a POST.
    """

    path: str = Field(max_length=300)
    parameters: tuple[tuple[str, str], ...] = ()
    body: dict[str, Any] | None = None


class BeaconReply(Message):
    """Node to hub: the status and the document of the node's own Beacon."""

    status: int
    document: dict[str, Any]


class JoinRequest(Message):
    """Node to hub: `POST /federation/v1/join`, signed with the node's key; answered with `JoinConfirmed`."""

    token: str = Field(max_length=200)
    node: str = Field(max_length=64)
    name: str = Field(max_length=200)
    country: str = Field(max_length=2)
    url: str = Field(max_length=500)
    key: str = Field(max_length=64)
    may_overlap: bool = False
    dials_out: bool = False
    datasets: tuple[str, ...] = ()


class JoinConfirmed(Message):
    """Hub to node, signed with the hub's key: the member as the hub keeps it, and the hub's own address and key."""

    hub_url: str
    hub_key: str
    member: Member


class Succession(Wire):
    """A key gives way to another (rule 6 of the interface): signed by both, kept by everybody who knows the old one.

    `who` is a member's id or the hub's address; both keys hold until `until`, the new one from when somebody knows of it.
    """

    who: str = Field(max_length=500)
    old: str = Field(max_length=64)
    new: str = Field(max_length=64)
    at: str = Field(max_length=40)
    until: str = Field(max_length=40)
    by_old: str = Field(default="", max_length=100)
    by_new: str = Field(default="", max_length=100)


class AnnounceSuccession(Message):
    """Node to hub: `POST /federation/v1/successions`, signed with the old key; answered with a `SuccessionTaken`."""

    succession: Succession


class SuccessionTaken(Message):
    """Hub to node: the new key is taken; which members were told of it, and which are told when they are there again."""

    told: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()


class TellSuccessions(Message):
    """Hub to node: `POST /federation/v1/successions`, all that the hub knows; answered with a `SuccessionsNoted`."""

    successions: tuple[Succession, ...] = Field(default=(), max_length=1000)


class SuccessionsNoted(Message):
    """Node to hub: how many of them are of somebody whom this node knows."""

    noted: int


class PollTasks(Message):
    """Node to hub: `POST /federation/v1/tasks`, signed with the node's key; answered with packed questions.

    `poller` names the process that asks, `received` the questions that came with its last poll, `room` how many it takes
    now.
    """

    poller: str = Field(min_length=8, max_length=64)
    received: tuple[str, ...] = Field(default=(), max_length=1000)
    room: int = Field(default=1, ge=0, le=1000)


class Done(Message):
    """Hub to node: what was posted has been taken."""


class PinnedHub(Wire):
    """What a node keeps of the hub it joined (`hub.json`): where it is, its key, and the address it dials us at.

    Of a node that `dials_out` the address is `dial-out://` and its id: nobody can dial it, questions are signed for it.
    """

    protocol: int = PROTOCOL
    hub_url: str
    hub_key: str
    node_url: str
    dials_out: bool = False
    joined_at: str


class GeneRecord(Wire):
    """A gene as the hub knows it; `region` is 1-based and inclusive."""

    symbol: str
    ensembl_id: str | None
    name: str
    region: str


class GeneAnswer(RegionAnswer):
    """The variants of a gene's region, and the gene."""

    gene: GeneRecord
