"""The node that dials out: fetches its hub's questions by long poll, passes them through the door, and posts the answers.

No port of the node need be reachable. Whatever ends a connection, the loop goes on after a pause; a question that was
lost on the way is handed out again by the hub.
"""

from __future__ import annotations

import asyncio
import fcntl
import random
import secrets
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import structlog

from cohelix import __version__
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import CohelixError, NotAuthentic, Unreachable
from cohelix.federation.door import Door, Reply
from cohelix.federation.polling import HANDED_BYTES_MAX, POLL_SECONDS_MAX, Task, pack_brought, unpack_tasks
from cohelix.federation.signing import check_answer, sign_request, signature_of
from cohelix.federation.transport import PATH, RUN_BYTES_MAX, TlsContexts, fixed_tls
from cohelix.wire.federation import PinnedHub, PollTasks
from cohelix.wire.packed import MEDIA_TYPE as PACKED

_LOCK_FILE = "dial-out.lock"
_ROOM = 64  # questions that are answered at a time
_LOOK_SECONDS = 1.0  # how often the folder is looked at until the node has joined
_PAUSE_SECONDS = (0.2, 10.0)  # after a failure, doubling
_POSTS_MAX = 5
_POLL_BYTES_MAX = HANDED_BYTES_MAX + RUN_BYTES_MAX
_TIMEOUT = httpx.Timeout(connect=10.0, read=POLL_SECONDS_MAX + 30.0, write=60.0, pool=None)
_log = structlog.get_logger("cohelix.federation")


class DialOut:
    """Asks the pinned hub for questions for as long as the node serves; does nothing where the hub dials the node.

    Of several processes that serve one folder, one asks: whoever holds the lock on `dial-out.lock`.
    """

    def __init__(self, folder: Path, door: Door, *, tls: TlsContexts | None = None, clock: Clock | None = None) -> None:
        self._folder = folder
        self._tls = tls or fixed_tls()
        self._door = door
        self._clock = clock or SystemClock()
        self._poller = secrets.token_urlsafe(12)
        self._answering: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Fetch and answer while the context lasts."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        with (self._folder / _LOCK_FILE).open("a", encoding="utf-8") as lock:
            while True:
                if _locked(lock.fileno()):
                    break
                await asyncio.sleep(_LOOK_SECONDS)
            try:
                while True:  # once more with each renewed certificate
                    context = self._tls()
                    async with httpx.AsyncClient(
                        verify=context, trust_env=False, follow_redirects=False, timeout=_TIMEOUT, limits=httpx.Limits()
                    ) as client:
                        await self._loop(client, context)
                        await asyncio.gather(*self._answering, return_exceptions=True)
            finally:
                for one in self._answering:
                    one.cancel()

    async def _loop(self, client: httpx.AsyncClient, context: ssl.SSLContext) -> None:
        """Ask and answer until another TLS context is to be used."""
        received: tuple[str, ...] = ()
        pause = _PAUSE_SECONDS[0]
        while self._tls() is context:
            hub = self._pinned()
            if hub is None:
                await asyncio.sleep(_LOOK_SECONDS)
                continue
            try:
                tasks = await self._fetch(client, hub, received)
                pause = _PAUSE_SECONDS[0]
            except (httpx.HTTPError, httpx.InvalidURL, CohelixError, OSError) as error:
                _log.warning("hub not reached", error=type(error).__name__, detail=str(error)[:200])
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, _PAUSE_SECONDS[1])
                continue
            received = tuple(task.id for task in tasks)
            for task in tasks:
                one = asyncio.create_task(self._answer(client, hub, task))
                self._answering.add(one)
                one.add_done_callback(self._answering.discard)

    def _pinned(self) -> PinnedHub | None:
        try:
            hub = self._door.pinned()
        except CohelixError:
            _log.exception("hub.json cannot be read")
            return None
        return hub if hub is not None and hub.dials_out else None

    async def _fetch(self, client: httpx.AsyncClient, hub: PinnedHub, received: tuple[str, ...]) -> list[Task]:
        room = max(0, _ROOM - len(self._answering))
        message = PollTasks(poller=self._poller, received=received, room=room).model_dump_json().encode()
        status, body = await self._post(client, hub, "tasks", message, "application/json")
        if status != 200:
            raise Unreachable(f"the hub answered HTTP {status}")
        return unpack_tasks(body)

    async def _answer(self, client: httpx.AsyncClient, hub: PinnedHub, task: Task) -> None:
        """Pass one question through the door and post the answer, a few times if need be."""

        async def read() -> bytes:
            return task.body

        try:
            reply = await self._door.reply(task.question, task.headers, read)
        except CohelixError as error:  # not a question that may be answered: nothing is told but that
            reply = Reply(error.status, {}, b"")
        except Exception:
            _log.exception("question failed", question=task.question)
            reply = Reply(500, {}, b"")
        brought = pack_brought(*reply)
        pause = _PAUSE_SECONDS[0]
        for _ in range(_POSTS_MAX):
            try:
                status, _body = await self._post(client, hub, f"tasks/{task.id}", brought, PACKED)
            except (httpx.HTTPError, CohelixError, OSError) as error:
                _log.warning("answer not delivered", error=type(error).__name__)
            else:
                if status < 500:
                    return
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause *= 2

    async def _post(self, client: httpx.AsyncClient, hub: PinnedHub, path: str, body: bytes, kind: str) -> tuple[int, bytes]:
        """Status and body of the hub's answer, which is the hub's own."""
        url = f"{hub.hub_url}{PATH}/{path}"
        headers = sign_request(self._door.identity, method="POST", url=url, body=body, content_type=kind, clock=self._clock)
        sent: Mapping[str, str] = {**headers, "user-agent": f"cohelix-node/{__version__}", "accept-encoding": "identity"}
        async with client.stream("POST", url, content=body, headers=sent) as response:
            parts, size = [], 0
            async for part in response.aiter_raw():
                size += len(part)
                if size > _POLL_BYTES_MAX:
                    raise NotAuthentic("the hub's answer is too long to be one")
                parts.append(part)
        content = b"".join(parts)
        check_answer(
            dict(response.headers),
            status=response.status_code,
            body=content,
            to=signature_of(headers),
            keys=self._door.hub_keys(hub),
            clock=self._clock,
        )
        return response.status_code, content


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
