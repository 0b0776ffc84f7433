"""The list of revoked visas at a node: its authorities sign it when the hub asks; the node fetches it and says what it knows.

What was ever read as revoked stays so. How fresh an authority's word is, is reckoned by the node's own clock, so that clocks
may differ by a minute: from when the hub asked for signatures of a list, which every member sees, or, where the node did not
hear of it, from when a list newer than all before arrived. A list that is kept back or shown again makes nothing fresh.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import threading
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import anyio.to_thread
import httpx
import structlog

from cohelix.access.authority import all_authorities
from cohelix.access.grants import Grants
from cohelix.access.jose import SKEW_SECONDS, Key
from cohelix.access.policy import Revocations
from cohelix.access.revocation import LIST_CHARACTERS_MAX, LIST_SECONDS, RevocationList, needed_keys, read_payload, sign, verify
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import CohelixError, NotAuthentic, NotPermitted, Unreachable
from cohelix.core.private_files import replace_private
from cohelix.federation.door import Answering, Door, json_answering
from cohelix.federation.transport import TlsContexts, fixed_tls
from cohelix.wire.federation import PinnedHub
from cohelix.wire.frequency import Wire
from cohelix.wire.revocations import AskRevocations, AuthorityShown, ListSignature, RevocationsSigned

QUESTION: Final = "revocations-sign"
ADDRESS: Final = "/api/v1/revocations"
VISAS_ADDRESS: Final = "/api/v1/visas"
FETCH_SECONDS: Final = (6.0, 10.0)
_AGAIN_SECONDS: Final = (1.0, 3.0)
_OWN_SECONDS: Final = 1.0  # how long the node's own revocations are kept in memory: another process may write them
_DELAYS_SECONDS: Final = 600.0  # how long the quickest arrival of a list counts as what the clocks differ by
_CLOCKS_AGREE_SECONDS: Final = 15.0  # a list comes so late where nothing is wrong: the clocks differ where all come later
_ASKED_MAX: Final = 64  # lists that the hub asked signatures for, and whose time is remembered
_FILE: Final = "revocations.json"
_log = structlog.get_logger("cohelix.federation")

Keys = Callable[[Iterable[tuple[str, str]]], Mapping[tuple[str, str], Key]]
"""Gives the keys of trusted authorities by issuer and `kid`; is told which are needed. May fetch them."""


def signing(
    folder: Path, grants: Callable[[], Grants], pinned: Callable[[], PinnedHub | None], asked: Callable[[str], None]
) -> Answering:
    """What answers the hub's question for signatures: every authority in the folder signs, or none; `asked` is told of each."""
    clock = SystemClock()

    def answer(question: AskRevocations) -> Wire:
        asked(question.payload)
        authorities, revoked = all_authorities(folder), grants().revoked()
        own = frozenset[str]().union(*revoked.values())
        refused = _why_not(question.payload, own, pinned(), clock.now())
        signatures = []
        if refused is None:
            signatures = [sign(question.payload, one.issuer, one.keys.current()) for one in authorities]
        return RevocationsSigned(
            authorities=tuple(
                AuthorityShown(
                    id=one.id,
                    name=one.name,
                    issuer=one.issuer,
                    datasets=one.datasets,
                    keys=tuple(one.keys.published()["keys"]),
                )
                for one in authorities
            ),
            revoked=tuple(sorted(own)),
            signatures=tuple(ListSignature.model_validate(one) for one in signatures),
            refused=refused,
        )

    async def answering(question: AskRevocations) -> Wire:
        return await anyio.to_thread.run_sync(answer, question)

    return json_answering(AskRevocations, answering)


def _why_not(encoded: str, own: frozenset[str], hub: PinnedHub | None, now: datetime) -> str | None:
    """Why a payload is not signed; None where it may be."""
    try:
        payload = read_payload(encoded)
    except NotAuthentic as error:
        return error.detail
    if hub is None or payload.hub != hub.hub_url.rstrip("/"):
        return "the list is of another federation"
    if abs(payload.issued - now.timestamp()) > SKEW_SECONDS:
        return "the list is not of this minute, by this node's clock"
    if not own <= payload.revoked:
        return "the list leaves out visas that were revoked here"
    return None


@dataclass(frozen=True, slots=True)
class _Word:
    """The newest that an authority has said: when the list was issued, when it came, and how old it was then."""

    issued: int
    arrived: float  # monotonic
    age: float


class RevocationWatch:
    """What a node knows of revoked visas.

    Parameters
    ----------
    folder
        The node's, with its own authorities; the last list is kept there, so that a restart goes on with it.
    grants
        What its own authorities have revoked.
    keys
        Keys of the authorities that it trusts.
    pinned
        The hub that it has joined, or None.
    """

    def __init__(
        self,
        folder: Path,
        grants: Callable[[], Grants],
        keys: Keys,
        pinned: Callable[[], PinnedHub | None],
        *,
        tls: TlsContexts | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._folder, self._grants, self._keys, self._pinned = folder, grants, keys, pinned
        self._tls, self._clock = tls or fixed_tls(), clock or SystemClock()
        self._lock = threading.Lock()
        self._granted = asyncio.Event()
        self._words: dict[str, _Word] = {}
        self._revoked: frozenset[str] = frozenset()
        self._delays: deque[tuple[float, float]] = deque()
        self._asked: OrderedDict[bytes, float] = OrderedDict()
        self._own: tuple[float, dict[str, frozenset[str]]] | None = None
        self._restore()

    def known(self) -> Revocations:
        """What is known now: what its own authorities revoked at once, all else as the last list has it.

        A node that has joined a hub needs a fresh list for its own authorities, too (rule 11 of the interface); one that has
        joined none has nobody to wait for.
        """
        now, tick = self._clock.now(), self._clock.monotonic()
        own = self._own_revoked(tick)
        alone = self._pinned() is None
        with self._lock:
            everything = self._revoked
            revoked = dict.fromkeys(self._words, everything)
            until = {
                issuer: now + timedelta(seconds=LIST_SECONDS - word.age - (tick - word.arrived))
                for issuer, word in self._words.items()
            }
        for issuer, ids in own.items():
            revoked[issuer] = ids | everything
            if alone:
                until[issuer] = now + timedelta(seconds=LIST_SECONDS)
        return Revocations(revoked, until)

    def asked(self, encoded: str) -> None:
        """The hub asks for signatures of a list: it is no younger than this moment."""
        with self._lock:
            self._asked.setdefault(_digest(encoded), self._clock.monotonic())
            while len(self._asked) > _ASKED_MAX:
                self._asked.popitem(last=False)

    def take(self, document: object) -> RevocationList:
        """Take over a list that was fetched.

        Raises
        ------
        NotAuthentic
            If it is no list of this federation, or of the future by more than clocks may differ.
        """
        found = self._verified(document)
        self._note(found, self._clock.now().timestamp(), self._clock.monotonic())
        return found

    def _verified(self, document: object) -> RevocationList:
        pinned = self._pinned()
        return verify(document, self._keys(needed_keys(document)), hub=pinned.hub_url.rstrip("/") if pinned else "")

    def _note(self, found: RevocationList, now: float, tick: float) -> None:
        issued = found.payload.issued
        delay = now - issued
        if delay < -SKEW_SECONDS:
            raise NotAuthentic("the list of revocations is of the future, by this node's clock")
        with self._lock:
            if found.signed_by:
                self._revoked |= found.payload.revoked
            if delay > LIST_SECONDS + SKEW_SECONDS:
                return  # old by any clock: what it revokes is believed, and nobody's word is fresh by it
            if found.signed_by:
                self._delays.append((tick, delay))
            while self._delays and tick - self._delays[0][0] > _DELAYS_SECONDS:
                self._delays.popleft()
            quickest = min((one for _, one in self._delays), default=delay)
            differ = 0.0 if 0 <= quickest <= _CLOCKS_AGREE_SECONDS else quickest
            age = max(delay - differ, tick - self._asked.get(_digest(found.payload.encoded()), tick))
            for issuer in found.signed_by:
                before = self._words.get(issuer)
                if before is None or issued > before.issued:
                    self._words[issuer] = _Word(issued, tick, age)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Fetch the list, and send on what the hub has not taken, while the context lasts."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            fetched = await self.fetch()
            await self._send_visas()
            self._granted.clear()
            with suppress(TimeoutError):
                complete = fetched and await anyio.to_thread.run_sync(self._all_fresh)
                pause = random.uniform(*(FETCH_SECONDS if complete else _AGAIN_SECONDS))
                await asyncio.wait_for(self._granted.wait(), pause)

    def visas_wait(self) -> None:
        """Visas were granted: they are handed in at once. From the loop that the watch runs in."""
        self._granted.set()

    async def fetch(self) -> bool:
        """Fetch the list once; whether the hub gave one."""
        hub = self._pinned()
        if hub is None:
            return False
        try:
            async with httpx.AsyncClient(verify=self._tls(), trust_env=False, follow_redirects=False, timeout=10.0) as client:
                answer = await client.get(f"{hub.hub_url.rstrip('/')}{ADDRESS}")
            if answer.status_code != 200 or len(answer.content) > LIST_CHARACTERS_MAX:
                raise NotAuthentic(f"the hub gave no list of revocations: HTTP {answer.status_code}")
            document = json.loads(answer.content)
            await anyio.to_thread.run_sync(self._take_and_keep, document)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError, CohelixError) as error:
            _log.warning("list of revocations not fetched", error=type(error).__name__, detail=str(error)[:200])
            return False
        return True

    def _take_and_keep(self, document: Any) -> None:
        self.take(document)
        kept = {"at": self._clock.now().timestamp(), "document": document}
        replace_private(self._folder / _FILE, json.dumps(kept).encode())

    def _restore(self) -> None:
        """Go on with the list of before a restart: it is as old as the node's clock says."""
        try:
            kept = json.loads((self._folder / _FILE).read_text(encoding="utf-8"))
            arrived = float(kept["at"])
            found = self._verified(kept["document"])
            gone = self._clock.now().timestamp() - arrived
            if gone >= 0:
                self._note(found, arrived, self._clock.monotonic() - gone)
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, CohelixError) as error:
            _log.warning("the kept list of revocations cannot be used", error=type(error).__name__)

    def _all_fresh(self) -> bool:
        """Whether the list speaks for each authority of the node: a new one is in it as soon as the hub has asked it."""
        now, known = self._clock.now(), self.known()
        return all(known.known(issuer, now) for issuer in self._own_revoked(self._clock.monotonic()))

    def _own_revoked(self, tick: float) -> dict[str, frozenset[str]]:
        kept = self._own
        if kept is None or tick - kept[0] >= _OWN_SECONDS:
            by_authority = self._grants().revoked()
            found = {one.issuer: by_authority.get(one.id, frozenset()) for one in all_authorities(self._folder)}
            kept = self._own = tick, found
        return kept[1]

    async def _send_visas(self) -> None:
        hub = self._pinned()
        if hub is None:
            return
        try:
            await anyio.to_thread.run_sync(send_visas, self._grants(), hub.hub_url, self._tls)
        except CohelixError as error:
            _log.warning("visas not sent to the hub", detail=error.detail[:200])


def send_visas(grants: Grants, hub_url: str, tls: TlsContexts | None = None) -> int:
    """Send the hub what it has not taken yet; how many visas it took.

    Raises
    ------
    Unreachable
        If the hub does not answer: they are kept, and the server sends them later.
    NotPermitted
        If it refuses one, in its words; the others are handed in all the same.
    """
    waiting, sent, refused = grants.unsent(), 0, ""
    if not waiting:
        return 0
    url = f"{hub_url.rstrip('/')}{VISAS_ADDRESS}"
    try:
        with httpx.Client(verify=(tls or fixed_tls())(), trust_env=False, follow_redirects=False, timeout=10.0) as client:
            for grant in waiting:
                answer = client.post(url, json={"visa": grant.visa})
                if answer.status_code not in (200, 201):
                    refused = refused or f"the hub did not take visa {grant.identifier}: {_words(answer)}"
                    continue
                grants.note_sent(grant.identifier)
                sent += 1
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unreachable(f"no hub answers at {url}: {type(error).__name__}") from error
    if refused:
        raise NotPermitted(refused)
    return sent


def _digest(encoded: str) -> bytes:
    return hashlib.sha256(encoded.encode()).digest()


def _words(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])[:300]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"


def open_signing(door: Door, folder: Path, grants: Callable[[], Grants], watch: RevocationWatch) -> None:
    """Let the node's authorities sign the hub's lists."""
    door.open(QUESTION, signing(folder, grants, door.pinned, watch.asked))
