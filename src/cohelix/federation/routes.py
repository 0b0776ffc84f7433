"""Endpoints under `/federation/v1/`: a node's, which answer the pinned hub's signed questions; and the hub's, for joining
and for members that dial out.

Every answer to an authentic request is signed, refusals included. A request that is not authentic gets a plain
problem document and learns nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.to_thread
import orjson
from fastapi import APIRouter
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from cohelix.access.policy import Purpose
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadQuestion, NotAuthentic, NotPermitted, TooLarge
from cohelix.core.genome import parse_assembly, parse_region
from cohelix.core.ids import NodeId
from cohelix.federation.answers import variant_of_name
from cohelix.federation.cohorts import count_at_node
from cohelix.federation.door import (
    Content,
    Door,
    Reply,
    check_protocol,
    json_answering,
    json_content,
    read_message,
    signed_reply,
)
from cohelix.federation.heralds import Herald
from cohelix.federation.polling import PollingTransport, pack_tasks, unpack_brought
from cohelix.federation.registry import Registry
from cohelix.federation.signing import (
    NONCES_FILE,
    Identity,
    NonceCache,
    PublicKey,
    Signed,
    check_body,
    check_request,
    public_key,
)
from cohelix.federation.transport import (
    ANSWER_BYTES_MAX,
    PATH,
    RUN_BYTES_MAX,
    MemberKeys,
    checked_address,
    own_key,
    too_large,
)
from cohelix.wire.cohorts import AskCohortCount, NodeCohortCount
from cohelix.wire.dataset import DatasetRecord
from cohelix.wire.federation import (
    AnnounceSuccession,
    AskBeacon,
    AskDatasets,
    AskFrequency,
    AskRegion,
    BeaconReply,
    Done,
    JoinConfirmed,
    JoinRequest,
    NodeDatasets,
    OnBehalf,
    PollTasks,
)
from cohelix.wire.frequency import NodeFrequency, NodeRegion, Wire
from cohelix.wire.packed import MEDIA_TYPE as PACKED

if TYPE_CHECKING:  # the hub uses this module too, and needs neither the bank nor its compiled kernels
    from cohelix.access.gate import Asker, Kind
    from cohelix.bank import Bank
    from cohelix.bank.answering import Answers
    from cohelix.bank.counter import Counter

_BROUGHT_HEAD_BYTES_MAX = 16 * 1024  # status and header fields of an answer that is posted
BROUGHT_BYTES_MAX = RUN_BYTES_MAX + 2 * _BROUGHT_HEAD_BYTES_MAX
BeaconDoor = Callable[[str, Sequence[tuple[str, str]], dict[str, Any] | None, "Asker"], Awaitable[tuple[int, dict[str, Any]]]]
_T = TypeVar("_T")


def open_doors(
    door: Door,
    counter: Counter,
    *,
    node: NodeId,
    name: str = "",
    country: str = "",
    may_overlap: bool = False,
    beacon: BeaconDoor | None = None,
    project_count: Callable[[AskCohortCount], NodeCohortCount] | None = None,
) -> None:
    """Let a node answer what the federation asks everyone: frequencies, regions, datasets, Beacon.

    Parameters
    ----------
    counter
        The node's datasets behind its gate; the hub's word about who asks counts for nothing without a passport.
    node, name, country, may_overlap
        What the node declares of itself.
    beacon
        Answers one question to the node's own Beacon: path after `/beacon/v2/`, GET parameters, POST body, who asks;
        gives HTTP status and document.
    project_count
        Answers how many people an expression means where a project asks, by its ledger.
    """

    def asker(question: OnBehalf, project: str = "") -> Asker:
        return counter.gate.asker(question.passport, Purpose(question.purpose or "", project), way="hub")

    async def told(
        kind: Kind,
        question: OnBehalf,
        asked: str,
        answer: Callable[[Answers], _T],
        sizes: Callable[[_T], dict[str, int]] | None = None,
        *,
        project: str = "",
    ) -> _T:
        def asking() -> _T:
            counter.bank.refresh()
            return counter.ask(kind, asker(question, project), asked, answer, sizes)

        return await anyio.to_thread.run_sync(asking)

    async def frequency(question: AskFrequency) -> Wire:
        key, assembly = variant_of_name(question.variant), parse_assembly(question.assembly)
        asked = f"{key} {assembly}"
        return await told("frequency", question, asked, lambda bank: bank.frequency(key, assembly), _rows_told)

    async def region(question: AskRegion) -> Wire:
        asked = f"{question.region} {question.assembly} {question.after or ''}"
        return await told("region", question, asked, lambda bank: _fitting_region(bank, question), _variants_told)

    async def datasets(question: AskDatasets) -> Wire:
        def records_for() -> tuple[DatasetRecord, ...]:
            records = _fresh(counter.bank).datasets()
            left = counter.budgets(asker(question)) if question.passport else {}
            return tuple(one.model_copy(update={"budget_left": left[one.id]}) if one.id in left else one for one in records)

        records = await anyio.to_thread.run_sync(records_for)
        return NodeDatasets(node=node, name=name, country=country, may_overlap=may_overlap, datasets=records)

    async def ask_beacon(question: AskBeacon) -> Wire:
        if beacon is None:
            raise NotPermitted("this node has no Beacon")
        who = await anyio.to_thread.run_sync(asker, question)
        status, document = await beacon(question.path, question.parameters, question.body, who)
        return BeaconReply(status=status, document=document)

    door.open("frequency", json_answering(AskFrequency, frequency))
    door.open("region", json_answering(AskRegion, region))
    door.open("datasets", json_answering(AskDatasets, datasets))

    async def cohort_count(question: AskCohortCount) -> Wire:
        asked = orjson.dumps(question.expression, option=orjson.OPT_SORT_KEYS).decode()
        if question.project and project_count is not None:
            by_project = project_count

            def count_project(bank: Answers) -> NodeCohortCount:
                bank.views()  # what was decided of each dataset is written down with the count
                return by_project(question)

            return await told("cohort-count", question, asked, count_project, project=question.project)
        return await told("cohort-count", question, asked, lambda bank: count_at_node(bank, question))

    door.open("beacon", json_answering(AskBeacon, ask_beacon))
    door.open("cohort-count", json_answering(AskCohortCount, cohort_count))


def node_router(door: Door) -> APIRouter:
    """An endpoint for each kind of question that a node's door answers; 403 until the node has joined a hub."""
    router = APIRouter(prefix=PATH, tags=["federation"])
    for question in door.questions():
        _mount(router, door, question)
    return router


def _mount(router: APIRouter, door: Door, question: str) -> None:
    async def endpoint(request: Request) -> Response:
        return _response(await door.reply(question, _headers(request), request.body))

    router.add_api_route(
        f"/{question}", endpoint, methods=["POST"], summary=f"The hub asks: {question}", name=question, response_model=None
    )


def hub_router(
    registry: Registry, identity: Identity, folder: Path, *, hub_url: str, private_addresses: bool, clock: Clock | None = None
) -> APIRouter:
    """The hub's endpoint for joining, for the hub in a folder: `POST /federation/v1/join`."""
    clock = clock or SystemClock()
    nonces = NonceCache(folder / NONCES_FILE, clock=clock)
    router = APIRouter(prefix=PATH, tags=["federation"])

    async def join(request: Request) -> Response:
        body = await request.body()
        try:
            asked = JoinRequest.model_validate_json(body)
        except ValidationError as error:
            raise BadQuestion("this is not a join request") from error
        key = public_key(asked.key)
        signed = check_request(
            _headers(request), method="POST", url=f"{hub_url}{PATH}/join", body=body, keys=(key,), clock=clock
        )
        nonces.spend(signed)

        def answer() -> Wire:
            check_protocol(asked)
            address = "" if asked.dials_out else checked_address(asked.url, private_addresses=private_addresses)
            member = registry.join(asked.model_copy(update={"url": address}))
            return JoinConfirmed(hub_url=hub_url, hub_key=identity.public, member=member)

        async def answering() -> Content:
            return json_content(await anyio.to_thread.run_sync(answer))

        return _response(await signed_reply(identity, signed, answering, clock))

    router.add_api_route("/join", join, methods=["POST"], summary="Join with a one-time token", response_model=None)
    return router


def polling_router(
    registry: Registry,
    transport: PollingTransport,
    identity: Identity,
    folder: Path,
    *,
    hub_url: str,
    keys: MemberKeys | None = None,
    clock: Clock | None = None,
) -> APIRouter:
    """The hub's endpoints for members that dial out: `POST /federation/v1/tasks` gives the next questions, `…/tasks/{task}`
    takes the answer to one."""
    clock, known = clock or SystemClock(), keys or own_key
    nonces = NonceCache(folder / NONCES_FILE, clock=clock)
    router = APIRouter(prefix=PATH, tags=["federation"])

    def authentic(request: Request, path: str) -> tuple[str, Signed]:
        """The member that asks; its body is yet to be read."""
        members = {
            key: member.id
            for member in registry.members()
            if member.dials_out and member.state != "suspended"
            for key in known(member)
        }
        keys = [PublicKey(key) for key in members]
        url = f"{hub_url}{PATH}/{path}"
        signed = check_request(_headers(request), method="POST", url=url, body=None, keys=keys, clock=clock)
        nonces.spend(signed)
        return members[signed.key], signed

    async def tasks(request: Request) -> Response:
        member, signed = authentic(request, "tasks")
        body = await request.body()
        check_body(request.headers, body)

        async def answering() -> Content:
            poll = read_message(PollTasks, body)
            return Content(pack_tasks(await transport.take(member, poll.poller, poll.received, poll.room)), PACKED)

        return _response(await signed_reply(identity, signed, answering, clock))

    async def answer(request: Request, task: str) -> Response:
        member, signed = authentic(request, f"tasks/{task}")

        async def answering() -> Content:
            bytes_max = transport.bytes_max(member, task)
            body = await _body_within(request, bytes_max + _BROUGHT_HEAD_BYTES_MAX)
            if body is None:
                transport.spoil(member, task, too_large(bytes_max))
                raise TooLarge(f"an answer to this question may have {bytes_max} bytes")
            check_body(request.headers, body)
            transport.bring(member, task, *unpack_brought(body))
            return json_content(Done())

        return _response(await signed_reply(identity, signed, answering, clock))

    for path, endpoint, summary in (
        ("/tasks", tasks, "A member that dials out asks for questions"),
        ("/tasks/{task}", answer, "A member that dials out brings an answer"),
    ):
        router.add_api_route(path, endpoint, methods=["POST"], summary=summary, response_model=None)
    return router


def successions_router(
    herald: Herald, identity: Identity, folder: Path, *, hub_url: str, clock: Clock | None = None
) -> APIRouter:
    """The hub's endpoint for members whose key gives way to another: `POST /federation/v1/successions`."""
    clock = clock or SystemClock()
    nonces = NonceCache(folder / NONCES_FILE, clock=clock)
    router = APIRouter(prefix=PATH, tags=["federation"])

    async def announce(request: Request) -> Response:
        body = await request.body()
        asked = read_message(AnnounceSuccession, body)
        key, url = public_key(asked.succession.old), f"{hub_url}{PATH}/successions"
        signed = check_request(_headers(request), method="POST", url=url, body=body, keys=(key,), clock=clock)
        nonces.spend(signed)

        async def answering() -> Content:
            return json_content(await herald.take(herald.member_of(key), asked.succession))

        return _response(await signed_reply(identity, signed, answering, clock))

    router.add_api_route(
        "/successions", announce, methods=["POST"], summary="A member's key gives way to another", response_model=None
    )
    return router


async def _body_within(request: Request, bytes_max: int) -> bytes | None:
    """A request's body, or None where it is longer, or says so."""
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced[:20]) > bytes_max:
        return None
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > bytes_max:
            return None
        parts.append(part)
    return b"".join(parts)


def _headers(request: Request) -> dict[str, str]:
    """Header fields, repeated ones joined; a query is never signed, so that one with it is not ours."""
    if request.url.query:
        raise NotAuthentic("the signature does not hold")
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _response(reply: Reply) -> Response:
    return Response(reply.body, reply.status, reply.headers)


def _fresh(bank: Bank) -> Bank:
    bank.refresh()
    return bank


def _rows_told(answer: NodeFrequency) -> dict[str, int]:
    return {dataset.id: len(dataset.populations) for dataset in answer.datasets}


def _variants_told(answer: NodeRegion) -> dict[str, int]:
    return {dataset.id: len(dataset.variants) for dataset in answer.datasets}


def _fitting_region(bank: Answers, question: AskRegion) -> NodeRegion:
    """A page of the region that fits into an answer: fewer variants where they have many rows."""
    region, assembly = parse_region(question.region), parse_assembly(question.assembly)
    after = variant_of_name(question.after) if question.after else None
    limit = question.limit
    while True:
        page = bank.region(region, assembly, limit=limit, after=after)
        if limit == 1 or len(page.model_dump_json()) < ANSWER_BYTES_MAX:
            return page
        limit = max(1, limit // 2)
