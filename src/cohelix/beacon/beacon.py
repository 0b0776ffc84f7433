"""One Beacon question, from its words to its answer: parsed, put to each dataset's view, and written in Beacon's form.

Framework-free: `routes` brings HTTP to it, and the federation's node side asks it in-process.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import structlog

from cohelix.bank import Bank
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
from cohelix.core.errors import BadQuestion, CohelixError, MethodNotAllowed
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
    """Where a request arrived: its template for logs, and how it is answered."""

    route: str
    plan: Callable[[BeaconQuestion, str], Plan]
    address: Address | None = None


class _Kept:
    """The last answers to exact questions, for as long as the same releases are published.

    Answers here are everybody's: what depended on who asks would have to be kept by asker.
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
    bank
        Whose datasets are asked; only what its views tell leaves here.
    about
        Whose Beacon it is.
    cohorts
        The folder of the operator's saved cohorts (`beacon.cohorts`); None where there are none.
    """

    def __init__(self, bank: Bank, about: About, cohorts: Path | None = None) -> None:
        self._bank = bank
        self._about = about
        self._desk = Desk(bank, about, SavedCohorts(cohorts))
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
        """
        endpoint = _Endpoint("unmatched", self._service_info)
        question = BeaconQuestion()
        asked = tuple(pairs)
        keep = (
            method == "GET"
            and path == "g_variants"
            and sum(len(name) + len(value) for name, value in asked) < _KEPT_REQUEST_CHARACTERS
        )
        try:
            if not self._bank.is_current():
                await self._open_new()
            standing = self._bank.standing
            kept = self._kept.get(standing, asked) if keep else None
            if kept is not None:
                return kept
            endpoint = self._find(path)
            question = self._read(method, endpoint, asked, body)
            plan = endpoint.plan(question, base)
            if not plan.quick:
                content = await asyncio.get_running_loop().run_in_executor(self._threads, plan.written)
                return Reply(200, content, endpoint.route)
            reply = Reply(200, plan.written(), endpoint.route)
            if keep:
                self._kept.put(standing, asked, reply)
            return reply
        except CohelixError as error:
            known = error if error.status < 500 else None
            if known is None:
                self._log.exception("beacon question failed", route=endpoint.route, error=type(error).__name__)
            return self._refusal(endpoint, question, known, request_id)
        except Exception as error:
            self._log.exception("beacon question failed", route=endpoint.route, error=type(error).__name__)
            return self._refusal(endpoint, question, None, request_id)

    async def door(
        self, path: str, pairs: Sequence[tuple[str, str]], body: dict[str, Any] | None
    ) -> tuple[int, dict[str, Any]]:
        """The same for the federation, which carries documents: a POST where there is a body, else a GET."""
        reply = await self.reply(
            "GET" if body is None else "POST", path, pairs, None if body is None else orjson.dumps(body), base="/beacon/v2"
        )
        return reply.status, orjson.loads(reply.body)

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
            return _Endpoint("/…/filtering_terms" if terms[0] else "/filtering_terms", self._filtering_terms(*terms))
        address = read_address(path)

        def plan(question: BeaconQuestion, _base: str) -> Plan:
            check_schemas(question.schemas, address.entry)
            return _PLANS[address.entry](self._desk, question, address)

        return _Endpoint(address.route, plan, address)

    @staticmethod
    def _read(method: str, endpoint: _Endpoint, pairs: Iterable[tuple[str, str]], body: bytes | None) -> BeaconQuestion:
        if method == "POST" and endpoint.address:
            if any(pairs):
                raise BadQuestion("a POST's question is in its body, not in the address")
            return question_from_post(body or b"")
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowed("ask with GET or POST" if endpoint.address else "ask with GET")
        return question_from_get(pairs)

    def _telling(self, tell: Callable[[str], dict[str, Any]]) -> Callable[[BeaconQuestion, str], Plan]:
        def plan(question: BeaconQuestion, base: str) -> Plan:
            _need_nothing(question)
            return Plan(lambda: {"meta": self._about.meta(), "response": tell(base)}, quick=True)

        return plan

    def _service_info(self, question: BeaconQuestion, base: str) -> Plan:
        _need_nothing(question)
        return Plan(lambda: self._about.service_info(base).body(), quick=True)

    def _filtering_terms(self, entry: EntryType | None, identifier: str) -> Callable[[BeaconQuestion, str], Plan]:
        """What may be filtered by: everything, an entry type's filters, or those of a dataset's or a cohort's people."""

        def plan(question: BeaconQuestion, _base: str) -> Plan:
            _need_nothing(question)
            scope = None if entry in ("dataset", "cohort") else entry
            views = self._desk.views()
            if identifier and entry is not None:
                views = self._desk.target(Address(entry, entry, identifier, ""), frozenset()).views

            def answer() -> dict[str, Any]:
                terms = (term for view in views for term in self._desk.terms(view))
                shown = documents.filtering_terms(terms, scope)
                # Paged where the client asks for a page: a bank of many diseases has ten thousand terms.
                if question.paged:
                    shown["filteringTerms"] = shown["filteringTerms"][question.first : question.first + question.limit]
                return {"meta": self._about.meta(), "response": shown}

            return Plan(answer)

        return plan


def _need_nothing(question: BeaconQuestion) -> None:
    if question.parameters or question.filters:
        raise BadQuestion("this address takes no request parameters and no filters")
