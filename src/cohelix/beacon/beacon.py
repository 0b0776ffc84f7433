"""One Beacon question, from its words to its answer: parsed, put to each dataset's view, and written in Beacon's form.

Framework-free: `routes` brings HTTP to it, and the federation's node side asks it in-process.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import structlog

from cohelix.access.gate import ANYBODY, Asker
from cohelix.bank.answering import Answers
from cohelix.bank.counter import Counter
from cohelix.beacon import about as documents
from cohelix.beacon.about import About
from cohelix.beacon.addresses import DEFAULT, Address, read_address, read_terms_address
from cohelix.beacon.cohorts import SavedCohorts
from cohelix.beacon.collections import cohorts_plan, datasets_plan
from cohelix.beacon.desk import Desk, Plan
from cohelix.beacon.entry_types import EntryType, check_schemas
from cohelix.beacon.granularity import answer_meta, error_answer, returned
from cohelix.beacon.people import KINDS, entries_plan
from cohelix.beacon.variants import variants_plan
from cohelix.core.errors import AuditUnavailable, BadQuestion, CohelixError, MethodNotAllowed
from cohelix.wire.beacon import BeaconQuestion, question_from_get, question_from_post

# Region questions scan on other threads (the kernels let go of the lock), so that exact ones need not wait for them.
_THREADS: Final = 2
# Bytes of replies that are kept, and longest request whose reply is: a variant of everybody's interest is asked for often.
_KEPT_BYTES: Final = 64 << 20
_KEPT_REQUEST_CHARACTERS: Final = 1_024
_KEPT_OVERHEAD: Final = 2_048  # of a request's words and their objects, generously
_PLANS: Final[Mapping[EntryType, Callable[[Desk, BeaconQuestion, Address], Plan]]] = {
    "genomicVariant": variants_plan,
    "dataset": datasets_plan,
    "cohort": cohorts_plan,
    **dict.fromkeys(KINDS, entries_plan),
}


class Reply(NamedTuple):
    """An HTTP status, the JSON document, and the template of the address, for logs."""

    status: int
    body: bytes
    route: str


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """Where a request arrived: its template for logs, how it is answered, and whether the answer is of the datasets."""

    route: str
    plan: Callable[[Desk, BeaconQuestion, str], Plan]
    address: Address | None = None
    tells: bool = False


class _Kept:
    """The last answers to everybody's exact questions, for as long as the same releases are published.

    What rests on who asks is never kept.
    """

    def __init__(self) -> None:
        self._standing: object = None
        self._replies: OrderedDict[Hashable, Reply] = OrderedDict()
        self._bytes = 0

    def get(self, standing: object, asked: Hashable) -> Reply | None:
        """The reply to the same request, if it was given while the bank stood as it stands now."""
        if standing is not self._standing:
            self._standing, self._replies, self._bytes = standing, OrderedDict(), 0
            return None
        found = self._replies.get(asked)
        if found is not None:
            self._replies.move_to_end(asked)
        return found

    def put(self, standing: object, asked: Hashable, reply: Reply) -> None:
        """Keep a reply that was made while the bank stood so."""
        if standing is not self._standing or asked in self._replies:
            return
        self._replies[asked] = reply
        self._bytes += len(reply.body) + _KEPT_OVERHEAD
        while self._bytes > _KEPT_BYTES:
            _, oldest = self._replies.popitem(last=False)
            self._bytes -= len(oldest.body) + _KEPT_OVERHEAD


class Beacon:
    """The Beacon of a bank.

    Parameters
    ----------
    counter
        The datasets that are asked, under the gate's decisions; only what their views tell leaves here.
    about
        Whose Beacon it is.
    cohorts
        The folder of the operator's saved cohorts (`beacon.cohorts`); None where there are none.
    """

    def __init__(self, counter: Counter, about: About, cohorts: Path | None = None) -> None:
        self._counter, self._bank = counter, counter.bank
        self._about = about
        self._desk = Desk(counter.bank, about, SavedCohorts(cohorts))
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="beacon")
        self._opener = ThreadPoolExecutor(1, thread_name_prefix="beacon-open")
        self._opening: asyncio.Future[None] | None = None
        self._kept = _Kept()
        self._log = structlog.get_logger()
        informational: dict[str, Callable[[str], dict[str, Any]]] = {
            "": about.info,
            "info": about.info,
            "configuration": lambda _base: about.configuration(),
            "map": documents.endpoint_map,
            "entry_types": lambda _base: documents.entry_types(),
        }
        self._informational = {path: _Endpoint(f"/{path}", self._telling(tell)) for path, tell in informational.items()}
        self._informational["service-info"] = _Endpoint("/service-info", self._service_info)

    async def reply(
        self,
        method: str,
        path: str,
        pairs: Iterable[tuple[str, str]],
        body: bytes | None,
        *,
        base: str,
        request_id: str | None = None,
        asker: Asker = ANYBODY,
    ) -> Reply:
        """Answer one request; never raises, every error becomes Beacon's error body.

        Parameters
        ----------
        path
            What follows the Beacon's own address, without the leading slash.
        pairs, body
            Decoded GET parameters; the body of a POST.
        base
            The Beacon's own address, for the addresses in `/map` and `/info`.
        asker
            Who asks, as far as it is proven.
        """
        endpoint = _Endpoint("unmatched", self._service_info)
        question = BeaconQuestion()
        asked = tuple(pairs)
        keep = (
            asker.unknown
            and method == "GET"
            and path == "g_variants"
            and sum(len(name) + len(value) for name, value in asked) < _KEPT_REQUEST_CHARACTERS
        )
        try:
            if not self._bank.is_current():
                await self._open_new()
            standing = self._bank.standing
            kept = self._kept.get(standing, asked) if keep else None
            if kept is not None:
                self._told_everybody(asker, path, asked)
                return kept
            endpoint = self._find(path)
            question = self._read(method, endpoint, asked, body)
            if endpoint.tells and not asker.unknown:
                ask = partial(self._answer, asker, endpoint, question, base, _words(path, asked, body))
                return Reply(200, await asyncio.get_running_loop().run_in_executor(self._threads, ask), endpoint.route)
            plan = endpoint.plan(self._desk, question, base)
            if plan.quick:
                reply = Reply(200, plan.written(), endpoint.route)
            else:
                reply = Reply(
                    200, await asyncio.get_running_loop().run_in_executor(self._threads, plan.written), endpoint.route
                )
            if endpoint.tells:
                self._told_everybody(asker, path, asked, body)
            if keep and plan.quick:
                self._kept.put(standing, asked, reply)
            return reply
        except CohelixError as error:
            known = error if error.status < 500 or isinstance(error, AuditUnavailable) else None
            if known is None:
                self._log.exception("beacon question failed", route=endpoint.route, error=type(error).__name__)
            return self._refusal(endpoint, question, known, request_id)
        except Exception as error:
            self._log.exception("beacon question failed", route=endpoint.route, error=type(error).__name__)
            return self._refusal(endpoint, question, None, request_id)

    async def door(
        self, path: str, pairs: Sequence[tuple[str, str]], body: dict[str, Any] | None, asker: Asker
    ) -> tuple[int, dict[str, Any]]:
        """The same for the federation, which carries documents: a POST where there is a body, else a GET."""
        method, written = ("GET", None) if body is None else ("POST", orjson.dumps(body))
        reply = await self.reply(method, path, pairs, written, base="/beacon/v2", asker=asker)
        return reply.status, orjson.loads(reply.body)

    def _answer(self, asker: Asker, endpoint: _Endpoint, question: BeaconQuestion, base: str, words: str) -> bytes:
        """The answer to somebody in particular, once it is written down."""

        def answer(bank: Answers) -> dict[str, Any]:
            return endpoint.plan(self._desk.asking(bank), question, base).answer()

        return orjson.dumps(self._counter.ask("beacon", asker, words, answer, _sizes))

    def _told_everybody(self, asker: Asker, path: str, asked: tuple[tuple[str, str], ...], body: bytes | None = None) -> None:
        self._counter.gate.told_everybody("beacon", asker, _words(path, asked, body))

    def refuse(self, error: CohelixError, request_id: str | None) -> Reply:
        """Beacon's body for an error that was met before the question was read."""
        return self._refusal(_Endpoint("unmatched", self._service_info), BeaconQuestion(), error, request_id)

    async def _open_new(self) -> None:
        """Open what was published since, once for all questions that wait for it, and never on the event loop."""
        if self._opening is None:
            self._opening = asyncio.ensure_future(asyncio.get_running_loop().run_in_executor(self._opener, self._bank.refresh))
            self._opening.add_done_callback(self._opened)
        await asyncio.shield(self._opening)

    def _opened(self, _done: asyncio.Future[None]) -> None:
        self._opening = None
        for dataset, problem in self._bank.damaged().items():
            self._log.error("dataset cannot be opened", dataset=dataset, problem=problem)

    def _refusal(
        self, endpoint: _Endpoint, question: BeaconQuestion, error: CohelixError | None, request_id: str | None
    ) -> Reply:
        address = endpoint.address
        default = address.default if address else DEFAULT
        granularity = returned(question.granularity, default) if address else DEFAULT
        meta = answer_meta(self._about.beacon_id, question, granularity, address.entry if address else None, default)
        document = error_answer(meta, error, request_id)
        return Reply(error.status if error else 500, orjson.dumps(document), endpoint.route)

    def _find(self, path: str) -> _Endpoint:
        path = path.strip("/")
        found = self._informational.get(path)
        if found:
            return found
        terms = read_terms_address(path)
        if terms is not None:
            return _Endpoint(
                "/…/filtering_terms" if terms[0] else "/filtering_terms", self._filtering_terms(*terms), tells=True
            )
        address = read_address(path)

        def plan(desk: Desk, question: BeaconQuestion, _base: str) -> Plan:
            check_schemas(question.schemas, address.entry)
            return _PLANS[address.entry](desk, question, address)

        return _Endpoint(address.route, plan, address, tells=True)

    @staticmethod
    def _read(method: str, endpoint: _Endpoint, pairs: Iterable[tuple[str, str]], body: bytes | None) -> BeaconQuestion:
        if method == "POST" and endpoint.address:
            if any(pairs):
                raise BadQuestion("a POST's question is in its body, not in the address")
            return question_from_post(body or b"")
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowed("ask with GET or POST" if endpoint.address else "ask with GET")
        return question_from_get(pairs)

    def _telling(self, tell: Callable[[str], dict[str, Any]]) -> Callable[[Desk, BeaconQuestion, str], Plan]:
        def plan(_desk: Desk, question: BeaconQuestion, base: str) -> Plan:
            _need_nothing(question)
            return Plan(lambda: {"meta": self._about.meta(), "response": tell(base)}, quick=True)

        return plan

    def _service_info(self, _desk: Desk, question: BeaconQuestion, base: str) -> Plan:
        _need_nothing(question)
        return Plan(lambda: self._about.service_info(base).body(), quick=True)

    def _filtering_terms(self, entry: EntryType | None, identifier: str) -> Callable[[Desk, BeaconQuestion, str], Plan]:
        """What may be filtered by: everything, an entry type's filters, or those of a dataset's or a cohort's people."""

        def plan(desk: Desk, question: BeaconQuestion, _base: str) -> Plan:
            _need_nothing(question)
            scope = None if entry in ("dataset", "cohort") else entry
            views = desk.views()
            if identifier and entry is not None:
                views = desk.target(Address(entry, entry, identifier, ""), frozenset()).views

            def answer() -> dict[str, Any]:
                terms = (term for view in views for term in desk.terms(view))
                shown = documents.filtering_terms(terms, scope)
                # Paged where the client asks for a page: a bank of many diseases has ten thousand terms.
                if question.paged:
                    shown["filteringTerms"] = shown["filteringTerms"][question.first : question.first + question.limit]
                return {"meta": self._about.meta(), "response": shown}

            return Plan(answer)

        return plan


def _words(path: str, asked: tuple[tuple[str, str], ...], body: bytes | None) -> str:
    """A question's words, of which the audit log keeps a keyed hash."""
    return f"{path}?{orjson.dumps(asked).decode()}" if body is None else f"{path} {body.decode('utf-8', 'replace')}"


def _sizes(document: dict[str, Any]) -> dict[str, int]:
    """How many records of each dataset an answer shows."""
    sets = document.get("response", {}).get("resultSets", ())
    return {one["id"]: len(one["results"]) for one in sets if one["results"]}


def _need_nothing(question: BeaconQuestion) -> None:
    if question.parameters or question.filters:
        raise BadQuestion("this address takes no request parameters and no filters")
