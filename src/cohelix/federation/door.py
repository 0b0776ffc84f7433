"""A node's door: lets the pinned hub in, once for each signed question, and signs what goes out.

Whichever way a question came, over HTTP or fetched by the node itself, it passes here. Every answer to an authentic
question is signed, refusals included; a question that is not authentic raises, and its sender learns nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import structlog
from pydantic import ValidationError

from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadQuestion, CohelixError, NotFound, NotPermitted
from cohelix.federation.joining import read_pinned
from cohelix.federation.signing import (
    NONCES_FILE,
    Identity,
    NonceCache,
    PublicKey,
    Signed,
    check_body,
    check_request,
    load_identity,
    sign_answer,
)
from cohelix.federation.successions import SuccessionBook
from cohelix.federation.transport import PATH
from cohelix.wire.federation import PROTOCOLS_READ, Message, PinnedHub
from cohelix.wire.frequency import Wire
from cohelix.wire.problem import MEDIA_TYPE, problem_of

_log = structlog.get_logger("cohelix.federation")
_Question = TypeVar("_Question", bound=Message)


class Content(NamedTuple):
    """What is said: bytes of a media type."""

    body: bytes
    media_type: str = "application/json"


class Reply(NamedTuple):
    """A signed answer: status, header fields and body."""

    status: int
    headers: dict[str, str]
    body: bytes


Answering = Callable[[bytes], Awaitable[Content]]
"""Answers the message of one authentic question."""


class Door:
    """Lets the pinned hub in, once for each signed question, and signs what goes out.

    Parameters
    ----------
    folder
        The node's folder with `identity/` and, after joining, `hub.json`, which is looked at anew for each question.
    """

    def __init__(self, folder: Path, *, clock: Clock | None = None) -> None:
        self._folder = folder
        self._clock = clock or SystemClock()
        self.identity = load_identity(folder)
        self.successions = SuccessionBook(folder, clock=self._clock)
        self._nonces = NonceCache(folder / NONCES_FILE, clock=self._clock)
        self._read_of: tuple[int, int] | None = None
        self._pinned: PinnedHub | None = None
        self._answering: dict[str, Answering] = {}

    def open(self, question: str, answering: Answering) -> None:
        """Answer a kind of question."""
        self._answering[question] = answering

    def questions(self) -> tuple[str, ...]:
        """The kinds of questions that are answered."""
        return tuple(self._answering)

    async def reply(self, question: str, headers: Mapping[str, str], read: Callable[[], Awaitable[bytes]]) -> Reply:
        """The signed answer to a signed question, or the signed problem.

        Parameters
        ----------
        headers
            The message's header fields, names in lower case, repeated ones joined by commas.
        read
            Reads the message; called only when the signature over its digest holds.

        Raises
        ------
        NotAuthentic, NotPermitted
            If the question is not of the hub that this node joined, or was answered before.
        """
        hub = self._hub()
        answering = self._answering.get(question)
        if answering is None:
            raise NotFound("there is no such question")
        url = f"{hub.node_url}{PATH}/{question}"
        keys = self.hub_keys(hub)
        signed = check_request(headers, method="POST", url=url, body=None, keys=keys, clock=self._clock)
        self._nonces.spend(signed)
        body = await read()
        check_body(headers, body)
        return await signed_reply(self.identity, signed, lambda: answering(body), self._clock)

    def pinned(self) -> PinnedHub | None:
        """The hub that this node has joined, or None."""
        try:
            state = (self._folder / "hub.json").stat()
            version = (state.st_ino, state.st_mtime_ns)
        except FileNotFoundError:
            version = None
        if version != self._read_of:
            self._pinned, self._read_of = read_pinned(self._folder), version
        return self._pinned

    def hub_keys(self, hub: PinnedHub) -> tuple[PublicKey, ...]:
        """The keys that hold now of the hub that this node has joined."""
        return self.successions.keys(hub.hub_key, hub.hub_url)

    def _hub(self) -> PinnedHub:
        hub = self.pinned()
        if hub is None:
            raise NotPermitted("this node has not joined a hub")
        return hub


async def signed_reply(identity: Identity, signed: Signed, answering: Callable[[], Awaitable[Content]], clock: Clock) -> Reply:
    """The signed answer to a checked request, or the signed problem."""
    try:
        status, content = 200, await answering()
    except CohelixError as error:
        if error.status >= 500:
            _log.exception("question failed", slug=error.slug)
        status, content = error.status, Content(problem_of(error).model_dump_json(exclude_none=True).encode(), MEDIA_TYPE)
    headers = sign_answer(
        identity, status=status, body=content.body, to=signed.signature, content_type=content.media_type, clock=clock
    )
    return Reply(status, headers, content.body)


def json_answering(kind: type[_Question], answer: Callable[[_Question], Awaitable[Wire]]) -> Answering:
    """Answers JSON messages of one model with documents."""

    async def answering(body: bytes) -> Content:
        return json_content(await answer(read_message(kind, body)))

    return answering


def json_content(document: Wire) -> Content:
    """A document as it is sent."""
    return Content(document.model_dump_json().encode())


def read_message(kind: type[_Question], body: bytes) -> _Question:
    """A message of the model that was agreed for its question; `BadQuestion` for another, or of an unknown protocol."""
    try:
        question = kind.model_validate_json(body)
    except ValidationError as error:
        raise BadQuestion("the message is not the one that was agreed for this question") from error
    check_protocol(question)
    return question


def check_protocol(message: Message) -> None:
    """`BadQuestion` for a message of a protocol that this version does not read."""
    if message.protocol not in PROTOCOLS_READ:
        known = " and ".join(map(str, PROTOCOLS_READ))
        raise BadQuestion(f"the message is of protocol {message.protocol}; this version reads {known}")
