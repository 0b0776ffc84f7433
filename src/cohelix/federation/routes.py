"""Endpoints under `/federation/v1/`: a node's, which answer the pinned hub's signed questions, and the hub's for joining.

Every answer to an authentic request is signed, refusals included. A request that is not authentic gets a plain
problem document and learns nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.to_thread
from fastapi import APIRouter
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadQuestion, CohelixError, NotAuthentic, NotPermitted
from cohelix.core.genome import parse_assembly, parse_region
from cohelix.core.ids import NodeId
from cohelix.federation.answers import variant_of_name
from cohelix.federation.joining import read_pinned
from cohelix.federation.registry import Registry
from cohelix.federation.signing import (
    NONCES_FILE,
    Identity,
    NonceCache,
    PublicKey,
    Signed,
    check_request,
    load_identity,
    public_key,
    sign_answer,
)
from cohelix.federation.transport import ANSWER_BYTES_MAX, PATH, checked_address
from cohelix.wire.federation import (
    PROTOCOLS_READ,
    AskBeacon,
    AskDatasets,
    AskFrequency,
    AskRegion,
    BeaconReply,
    JoinConfirmed,
    JoinRequest,
    Message,
    NodeDatasets,
    PinnedHub,
)
from cohelix.wire.frequency import NodeRegion, Wire
from cohelix.wire.problem import MEDIA_TYPE, problem_of

if TYPE_CHECKING:  # the hub uses this module too, and needs neither the bank nor its compiled kernels
    from cohelix.bank import Bank

BeaconDoor = Callable[[str, Sequence[tuple[str, str]], dict[str, Any] | None], Awaitable[tuple[int, dict[str, Any]]]]
_Question = TypeVar("_Question", bound=Message)


def node_router(
    bank: Bank,
    folder: Path,
    *,
    node: NodeId,
    name: str = "",
    country: str = "",
    may_overlap: bool = False,
    beacon: BeaconDoor | None = None,
    clock: Clock | None = None,
) -> APIRouter:
    """The node's endpoints for its hub; they answer 403 until the node has joined one.

    Parameters
    ----------
    folder
        The node's folder with `identity/` and, after joining, `hub.json`, which is looked at anew for each question.
    node, name, country, may_overlap
        What the node declares of itself.
    beacon
        Answers one question to the node's own Beacon: path after `/beacon/v2/`, GET parameters, POST body; gives
        HTTP status and document.
    """
    door = _Door(folder, clock or SystemClock())
    router = APIRouter(prefix=PATH, tags=["federation"])

    async def frequency(question: AskFrequency) -> Wire:
        key, assembly = variant_of_name(question.variant), parse_assembly(question.assembly)
        return await anyio.to_thread.run_sync(lambda: _fresh(bank).frequency(key, assembly))

    async def region(question: AskRegion) -> Wire:
        return await anyio.to_thread.run_sync(lambda: _fitting_region(_fresh(bank), question))

    async def datasets(_question: AskDatasets) -> Wire:
        records = await anyio.to_thread.run_sync(lambda: _fresh(bank).datasets())
        return NodeDatasets(node=node, name=name, country=country, may_overlap=may_overlap, datasets=records)

    async def ask_beacon(question: AskBeacon) -> Wire:
        if beacon is None:
            raise NotPermitted("this node has no Beacon")
        status, document = await beacon(question.path, question.parameters, question.body)
        return BeaconReply(status=status, document=document)

    door.open(router, "frequency", AskFrequency, frequency)
    door.open(router, "region", AskRegion, region)
    door.open(router, "datasets", AskDatasets, datasets)
    door.open(router, "beacon", AskBeacon, ask_beacon)
    return router


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
        signed = _authentic(request, body, f"{hub_url}{PATH}/join", key, clock)
        nonces.spend(signed)

        def answer() -> Wire:
            _check_protocol(asked)
            address = checked_address(asked.url, private_addresses=private_addresses)
            member = registry.join(asked.model_copy(update={"url": address}))
            return JoinConfirmed(hub_url=hub_url, hub_key=identity.public, member=member)

        async def answering() -> Wire:
            return await anyio.to_thread.run_sync(answer)

        return await _answered(identity, signed, answering, clock)

    router.add_api_route("/join", join, methods=["POST"], summary="Join with a one-time token", response_model=None)
    return router


class _Door:
    """Lets the pinned hub in, once for each signed request, and signs what goes out."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._identity = load_identity(folder)
        self._nonces = NonceCache(folder / NONCES_FILE, clock=clock)
        self._read_of: tuple[int, int] | None = None
        self._pinned: PinnedHub | None = None

    def open(
        self, router: APIRouter, question: str, kind: type[_Question], answer: Callable[[_Question], Awaitable[Wire]]
    ) -> None:
        """Make an endpoint for one kind of question."""

        async def endpoint(request: Request) -> Response:
            body = await request.body()
            pinned = self._hub()
            url = f"{pinned.node_url}{PATH}/{question}"
            signed = _authentic(request, body, url, PublicKey(pinned.hub_key), self._clock)
            self._nonces.spend(signed)

            async def answering() -> Wire:
                return await answer(_read(kind, body))

            return await _answered(self._identity, signed, answering, self._clock)

        router.add_api_route(
            f"/{question}", endpoint, methods=["POST"], summary=f"The hub asks: {question}", name=question, response_model=None
        )

    def _hub(self) -> PinnedHub:
        try:
            state = (self._folder / "hub.json").stat()
            version = (state.st_ino, state.st_mtime_ns)
        except FileNotFoundError:
            version = None
        if version != self._read_of:
            self._pinned, self._read_of = read_pinned(self._folder), version
        if self._pinned is None:
            raise NotPermitted("this node has not joined a hub")
        return self._pinned


def _authentic(request: Request, body: bytes, url: str, key: PublicKey, clock: Clock) -> Signed:
    if request.url.query:
        raise NotAuthentic("the signature does not hold")
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return check_request(headers, method=request.method, url=url, body=body, keys=(key,), clock=clock)


async def _answered(identity: Identity, signed: Signed, answering: Callable[[], Awaitable[Wire]], clock: Clock) -> Response:
    """The signed answer, or the signed problem."""
    status, kind = 200, "application/json"
    try:
        content = (await answering()).model_dump_json().encode()
    except CohelixError as error:
        status, kind = error.status, MEDIA_TYPE
        content = problem_of(error).model_dump_json(exclude_none=True).encode()
    headers = sign_answer(identity, status=status, body=content, to=signed.signature, content_type=kind, clock=clock)
    return Response(content, status, headers)


def _read(kind: type[_Question], body: bytes) -> _Question:
    try:
        question = kind.model_validate_json(body)
    except ValidationError as error:
        raise BadQuestion("the message is not the one that was agreed for this question") from error
    _check_protocol(question)
    return question


def _check_protocol(message: Message) -> None:
    if message.protocol not in PROTOCOLS_READ:
        known = " and ".join(map(str, PROTOCOLS_READ))
        raise BadQuestion(f"the message is of protocol {message.protocol}; this version reads {known}")


def _fresh(bank: Bank) -> Bank:
    bank.refresh()
    return bank


def _fitting_region(bank: Bank, question: AskRegion) -> NodeRegion:
    """A page of the region that fits into an answer: fewer variants where they have many rows."""
    region, assembly = parse_region(question.region), parse_assembly(question.assembly)
    after = variant_of_name(question.after) if question.after else None
    limit = question.limit
    while True:
        page = bank.region(region, assembly, limit=limit, after=after)
        if limit == 1 or len(page.model_dump_json()) < ANSWER_BYTES_MAX:
            return page
        limit = max(1, limit // 2)
