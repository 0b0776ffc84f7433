"""The Python client of a hub: `Client` and `AsyncClient`, with typed results that become tables.

>>> import cohelix
>>> hub = cohelix.connect("http://127.0.0.1:8080")  # doctest: +SKIP
>>> hub.frequency("22-50313359-G-A", assembly="GRCh37").to_polars()  # doctest: +SKIP
"""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeVar
from urllib.parse import quote, urlsplit

import httpx

from cohelix import __version__
from cohelix.core.errors import BadUsage
from cohelix.sdk.analyses import AnalysesClient, AsyncAnalysesClient
from cohelix.sdk.answers import problem_of, read_answer, read_document, unreachable
from cohelix.sdk.applications import ApplicationsClient, AsyncApplicationsClient
from cohelix.sdk.frames import Kind, Tabular
from cohelix.sdk.notices import NOTICES, Notices, asked_for, to_read
from cohelix.wire.cohorts import CohortCountAnswer
from cohelix.wire.federation import (
    DatasetsAnswer,
    GeneAnswer,
    MembersAnswer,
    NodeRegionState,
    RegionAnswer,
)
from cohelix.wire.frequency import FrequencyAnswer, NodeAnswer, PooledCounts, PopulationCounts, Wire
from cohelix.wire.identity import Me
from cohelix.wire.names import NamedAnswer
from cohelix.wire.notices import MailWish

if TYPE_CHECKING:
    from cohelix.sdk.identity import Identity

Stored = Literal["stored"]
STORED: Final = "stored"
TIMEOUT_SECONDS = 30.0
_PAGE = 500
_Answer = TypeVar("_Answer", bound=Wire)
_COUNTS: dict[str, Kind] = {
    "population": "text",
    "sex": "text",
    "allele_count": "whole",
    "allele_number": "whole",
    "allele_frequency": "ratio",
    "homozygotes": "whole",
    "heterozygotes": "whole",
    "hemizygotes": "whole",
}


class Frequency(Tabular, FrequencyAnswer):
    """The federation's counts of one variant; as a table one row for each node, dataset, population and sex.

    A node that did not answer, or a dataset that told nothing, has one row with its status and reason.
    """

    columns: ClassVar[dict[str, Kind]] = {
        "variant": "text",
        "node": "text",
        "node_status": "text",
        "dataset": "text",
        "dataset_status": "text",
        "reason": "text",
        **_COUNTS,
    }

    def rows(self) -> Iterable[Sequence[Any]]:
        for node in self.nodes:
            if not node.datasets:
                yield (self.variant, node.node, node.status, None, None, node.reason, *_counts(None))
            for dataset in node.datasets:
                for row in dataset.populations or (None,):
                    yield (
                        self.variant,
                        node.node,
                        node.status,
                        dataset.id,
                        dataset.status,
                        dataset.reason,
                        *_counts(row),
                    )

    def caption(self) -> str:
        counts, question = self.pooled, f"{self.variant} ({self.assembly})"
        if counts.allele_count is None:
            return f"{question}: no dataset answered"
        return f"{question}: AC {counts.allele_count} / AN {counts.allele_number} in {', '.join(counts.nodes)}"


class Variants(Tabular, RegionAnswer):
    """The federation's variants in a region; as a table one row for each variant, dataset, population and sex."""

    columns: ClassVar[dict[str, Kind]] = {"variant": "text", "node": "text", "dataset": "text", **_COUNTS}

    def rows(self) -> Iterable[Sequence[Any]]:
        for variant in self.variants:
            for dataset in variant.datasets:
                for row in dataset.populations:
                    yield (variant.variant, dataset.node, dataset.id, *_counts(row))

    def caption(self) -> str:
        absent = [node.node for node in self.nodes if node.status != "answered"]
        more = ", more follow" if self.next else ""
        names = f"; without {', '.join(absent)}" if absent else ""
        return f"{self.region} ({self.assembly}): {len(self.variants)} variants{more}{names}"


class GeneVariants(Variants, GeneAnswer):
    """The federation's variants of a gene's region."""


class Datasets(Tabular, DatasetsAnswer):
    """The federation's datasets; as a table one row for each, and one for each member that did not answer."""

    columns: ClassVar[dict[str, Kind]] = {
        "node": "text",
        "node_status": "text",
        "dataset": "text",
        "title": "text",
        "assembly": "text",
        "disclosure": "text",
        "individuals": "whole",
        "variants": "whole",
        "populations": "text",
        "simulated": "yes or no",
        "reason": "text",
    }

    def rows(self) -> Iterable[Sequence[Any]]:
        for node in self.nodes:
            if not node.datasets:
                yield (node.node, node.status, *([None] * 8), node.reason)
            for one in node.datasets:
                yield (
                    node.node,
                    node.status,
                    one.id,
                    one.title,
                    one.assembly,
                    one.disclosure,
                    one.n_individuals,
                    one.n_variants,
                    ", ".join(one.populations),
                    one.simulated,
                    None,
                )


class Members(Tabular, MembersAnswer):
    """The federation's members, by id."""

    columns: ClassVar[dict[str, Kind]] = {
        "member": "text",
        "state": "text",
        "name": "text",
        "country": "text",
        "url": "text",
        "last_seen": "text",
        "may_overlap": "yes or no",
    }

    def rows(self) -> Iterable[Sequence[Any]]:
        for one in self.members:
            yield (one.id, one.state, one.name, one.country, one.url, one.last_seen, one.may_overlap)


class CohortCount(Tabular, CohortCountAnswer):
    """How many people an expression means; as a table one row for each node and dataset."""

    columns: ClassVar[dict[str, Kind]] = {
        "node": "text",
        "node_status": "text",
        "dataset": "text",
        "dataset_status": "text",
        "reason": "text",
        "count": "whole",
    }

    def rows(self) -> Iterable[Sequence[Any]]:
        for node in self.nodes:
            if not node.datasets:
                yield (node.node, node.status, None, None, node.reason, None)
            for one in node.datasets:
                yield (node.node, node.status, one.id, one.status, one.reason, one.count)

    def caption(self) -> str:
        told = "no dataset answered" if self.pooled.count is None else f"{self.pooled.count} people"
        return f"{self.text}: {told}" + (f" in {', '.join(self.pooled.nodes)}" if self.pooled.nodes else "")


class Client:
    """A hub, asked from Python; close it, or use it as a context manager.

    Every question raises the house's errors: `BadQuestion` for one that is malformed, `NotFound`, `NotPermitted`,
    `Unreachable` where no hub answers. A member that does not answer is no error: it is named in the answer.

    It asks as whoever has logged in at this hub on this machine (`cohelix login`); `identity=None` asks as somebody
    unknown. `NotAuthentic` says where the login has ended.
    """

    def __init__(
        self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS, identity: Identity | Stored | None = STORED
    ) -> None:
        self.url = url.rstrip("/")
        self.identity = _identity(self.url, identity)
        self._http = httpx.Client(**_settings(self.url, timeout_seconds), auth=self.identity)
        self.analyses = AnalysesClient(self._http, self.url)
        self.applications = ApplicationsClient(self._http, self.url)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    def frequency(self, variant: str, *, assembly: str) -> Frequency:
        """Counts of one variant (`22-50313359-G-A`) at every member, and pooled."""
        return self._ask(Frequency, _path("frequency", variant), {"assembly": assembly})

    def frequency_stream(self, variant: str, *, assembly: str) -> Iterator[NodeAnswer | PooledCounts]:
        """The same, node by node in the order of arrival; the pooled counts come last."""
        headers = {"accept": "text/event-stream"}
        try:
            with self._http.stream(
                "GET", _path("frequency", variant), params={"assembly": assembly}, headers=headers
            ) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise problem_of(answer)
                reader = _Events()
                for line in answer.iter_lines():
                    yield from reader.take(line)
        except httpx.HTTPError as error:
            raise unreachable(self.url, error) from error

    def named(self, name: str) -> NamedAnswer:
        """The variants that an rsID (`rs9616208`) or a name in HGVS stands for, as members' datasets say."""
        return self._ask(NamedAnswer, "/api/v1/variants", {"name": name})

    def region(self, region: str, *, assembly: str, limit: int = 10_000, after: str | None = None) -> Variants:
        """Variants that overlap a region (`22:50313000-50314000`, 1-based, inclusive), in order, `limit` at most.

        Where more follow, `next` of the answer is the `after` of the next question.
        """
        pages = [self._ask(Variants, _path("region", region), _page(assembly, limit, after))]
        while pages[-1].next and (left := limit - _count(pages)) > 0:
            pages.append(self._ask(Variants, _path("region", region), _page(assembly, left, pages[-1].next)))
        return pages[0].model_copy(update=_joined(pages))

    def gene(self, gene: str, *, assembly: str, limit: int = 10_000, after: str | None = None) -> GeneVariants:
        """Variants of a gene's region, by symbol or Ensembl id."""
        pages = [self._ask(GeneVariants, _path("gene", gene), _page(assembly, limit, after))]
        while pages[-1].next and (left := limit - _count(pages)) > 0:
            pages.append(self._ask(GeneVariants, _path("gene", gene), _page(assembly, left, pages[-1].next)))
        return pages[0].model_copy(update=_joined(pages))

    def datasets(self) -> Datasets:
        """Every member's datasets."""
        return self._ask(Datasets, "/api/v1/datasets", {})

    def cohort_count(
        self, expression: str | Mapping[str, Any], *, datasets: Sequence[str] = (), project: str = ""
    ) -> CohortCount:
        """How many people an expression means, at every member and in all.

        Parameters
        ----------
        expression
            As text (`sex=female and not disease=OMIM:1`) or as a document (`{"all": […]}`).
        datasets
            Ids as NODE:DATASET; none for all.
        project
            Whose ledgers the count enters; floored datasets then take any expression, of projects that they allow.
        """
        question = {"expression": expression, "datasets": list(datasets), "project": project}
        return read_answer(CohortCount, self._send("POST", "/api/v1/cohorts/count", {"json": question}))

    def me(self) -> Me:
        """Who the hub takes this client for, with roles and visas; `NotAuthentic` without a login."""
        return self._ask(Me, "/api/v1/me", {})

    def notices(self, *, unread: bool = False, start: int = 0, limit: int = 100) -> Notices:
        """What you have to know of applications, the newest first; where more follow, `next` is the next `start`."""
        return self._ask(Notices, NOTICES, asked_for(unread=unread, start=start, limit=limit))

    def read_notices(self, ids: Iterable[str] | None = None) -> Notices:
        """Mark notices as read, all where no ids are given; gives those that are still unread."""
        return read_answer(Notices, self._send("POST", f"{NOTICES}/read", {"json": to_read(ids)}))

    def want_mail(self, wanted: bool) -> MailWish:
        """Say whether you want notices by e-mail, too; `BadQuestion` where the hub knows no address of yours."""
        return read_answer(MailWish, self._send("PUT", f"{NOTICES}/mail", {"json": {"wanted": wanted}}))

    def members(self) -> Members:
        """The federation's members and their states."""
        return self._ask(Members, "/api/v1/members", {})

    def beacon(
        self, path: str = "", parameters: Mapping[str, Any] | None = None, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """A Beacon v2 question to the network: GET with parameters, or POST with a body; gives Beacon's document."""
        return read_document(self._send(*_beacon(path, parameters, body)))

    def _ask(self, kind: type[_Answer], path: str, parameters: Mapping[str, Any]) -> _Answer:
        return read_answer(kind, self._send("GET", path, {"params": parameters}))

    def _send(self, method: str, path: str, rest: Mapping[str, Any]) -> httpx.Response:
        try:
            return self._http.request(method, path, **rest)
        except httpx.HTTPError as error:
            raise unreachable(self.url, error) from error


class AsyncClient:
    """The same as `Client`, for programs that use asyncio."""

    def __init__(
        self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS, identity: Identity | Stored | None = STORED
    ) -> None:
        self.url = url.rstrip("/")
        self.identity = _identity(self.url, identity)
        self._http = httpx.AsyncClient(**_settings(self.url, timeout_seconds), auth=self.identity)
        self.analyses = AsyncAnalysesClient(self._http, self.url)
        self.applications = AsyncApplicationsClient(self._http, self.url)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connections."""
        await self._http.aclose()

    async def frequency(self, variant: str, *, assembly: str) -> Frequency:
        """As `Client.frequency`."""
        return await self._ask(Frequency, _path("frequency", variant), {"assembly": assembly})

    async def frequency_stream(self, variant: str, *, assembly: str) -> AsyncIterator[NodeAnswer | PooledCounts]:
        """As `Client.frequency_stream`."""
        headers = {"accept": "text/event-stream"}
        try:
            async with self._http.stream(
                "GET", _path("frequency", variant), params={"assembly": assembly}, headers=headers
            ) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    raise problem_of(answer)
                reader = _Events()
                async for line in answer.aiter_lines():
                    for event in reader.take(line):
                        yield event
        except httpx.HTTPError as error:
            raise unreachable(self.url, error) from error

    async def named(self, name: str) -> NamedAnswer:
        """As `Client.named`."""
        return await self._ask(NamedAnswer, "/api/v1/variants", {"name": name})

    async def region(self, region: str, *, assembly: str, limit: int = 10_000, after: str | None = None) -> Variants:
        """As `Client.region`."""
        pages = [await self._ask(Variants, _path("region", region), _page(assembly, limit, after))]
        while pages[-1].next and (left := limit - _count(pages)) > 0:
            pages.append(await self._ask(Variants, _path("region", region), _page(assembly, left, pages[-1].next)))
        return pages[0].model_copy(update=_joined(pages))

    async def gene(self, gene: str, *, assembly: str, limit: int = 10_000, after: str | None = None) -> GeneVariants:
        """As `Client.gene`."""
        pages = [await self._ask(GeneVariants, _path("gene", gene), _page(assembly, limit, after))]
        while pages[-1].next and (left := limit - _count(pages)) > 0:
            pages.append(await self._ask(GeneVariants, _path("gene", gene), _page(assembly, left, pages[-1].next)))
        return pages[0].model_copy(update=_joined(pages))

    async def datasets(self) -> Datasets:
        """As `Client.datasets`."""
        return await self._ask(Datasets, "/api/v1/datasets", {})

    async def cohort_count(
        self, expression: str | Mapping[str, Any], *, datasets: Sequence[str] = (), project: str = ""
    ) -> CohortCount:
        """How many people an expression means, at every member and in all.

        Parameters
        ----------
        expression
            As text (`sex=female and not disease=OMIM:1`) or as a document (`{"all": […]}`).
        datasets
            Ids as NODE:DATASET; none for all.
        project
            Whose ledgers the count enters; floored datasets then take any expression, of projects that they allow.
        """
        question = {"expression": expression, "datasets": list(datasets), "project": project}
        return read_answer(CohortCount, await self._send("POST", "/api/v1/cohorts/count", {"json": question}))

    async def me(self) -> Me:
        """As `Client.me`."""
        return await self._ask(Me, "/api/v1/me", {})

    async def notices(self, *, unread: bool = False, start: int = 0, limit: int = 100) -> Notices:
        """As `Client.notices`."""
        return await self._ask(Notices, NOTICES, asked_for(unread=unread, start=start, limit=limit))

    async def read_notices(self, ids: Iterable[str] | None = None) -> Notices:
        """As `Client.read_notices`."""
        return read_answer(Notices, await self._send("POST", f"{NOTICES}/read", {"json": to_read(ids)}))

    async def want_mail(self, wanted: bool) -> MailWish:
        """As `Client.want_mail`."""
        return read_answer(MailWish, await self._send("PUT", f"{NOTICES}/mail", {"json": {"wanted": wanted}}))

    async def members(self) -> Members:
        """As `Client.members`."""
        return await self._ask(Members, "/api/v1/members", {})

    async def beacon(
        self, path: str = "", parameters: Mapping[str, Any] | None = None, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """As `Client.beacon`."""
        return read_document(await self._send(*_beacon(path, parameters, body)))

    async def _ask(self, kind: type[_Answer], path: str, parameters: Mapping[str, Any]) -> _Answer:
        return read_answer(kind, await self._send("GET", path, {"params": parameters}))

    async def _send(self, method: str, path: str, rest: Mapping[str, Any]) -> httpx.Response:
        try:
            return await self._http.request(method, path, **rest)
        except httpx.HTTPError as error:
            raise unreachable(self.url, error) from error


def connect(url: str, *, timeout_seconds: float = TIMEOUT_SECONDS, identity: Identity | Stored | None = STORED) -> Client:
    """A client of the hub at `url`, with the login of this machine's person there; asks nothing yet."""
    return Client(url, timeout_seconds=timeout_seconds, identity=identity)


def _identity(url: str, given: Identity | Stored | None) -> Identity | None:
    if given != STORED:
        return given
    # Most people who ask have not logged in: what a login needs is loaded only where there is one.
    from cohelix.sdk.identity import identity_of

    return identity_of(url)


class _Events:
    """Server-sent events, line by line, to typed answers."""

    def __init__(self) -> None:
        self._event, self._data = "", ""

    def take(self, line: str) -> Iterator[NodeAnswer | PooledCounts]:
        name, _, value = line.partition(":")
        if name == "event":
            self._event = value.strip()
        elif name == "data":
            self._data += value.strip()
        elif not line:
            event, data = self._event, self._data
            self._event, self._data = "", ""
            if event == "node":
                yield NodeAnswer.model_validate_json(data)
            elif event == "pooled":
                yield PooledCounts.model_validate_json(data)


def _settings(url: str, timeout_seconds: float) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadUsage(f"{url!r} is not a hub's address: write http://HOST:PORT or https://HOST")
    try:
        loopback = ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        loopback = parts.hostname == "localhost"
    headers = {"user-agent": f"cohelix/{__version__}", "accept": "application/json"}
    # A proxy of the environment cannot reach this machine's own addresses.
    return {"base_url": url, "timeout": timeout_seconds, "headers": headers, "trust_env": not loopback}


def _path(kind: str, name: str) -> str:
    return f"/api/v1/{kind}/{quote(name.strip(), safe='')}"


def _page(assembly: str, limit: int, after: str | None) -> dict[str, Any]:
    page: dict[str, Any] = {"assembly": assembly, "limit": min(limit, _PAGE)}
    return {**page, "after": after} if after else page


def _count(pages: Sequence[RegionAnswer]) -> int:
    return sum(len(page.variants) for page in pages)


def _joined(pages: Sequence[RegionAnswer]) -> dict[str, Any]:
    """Variants of all pages; a member that missed one page is told with what became of it there."""
    nodes: dict[str, NodeRegionState] = {}
    for page in pages:
        for node in page.nodes:
            if node.node not in nodes or nodes[node.node].status == "answered":
                nodes[node.node] = node
    variants = tuple(variant for page in pages for variant in page.variants)
    return {"variants": variants, "nodes": tuple(nodes[name] for name in sorted(nodes)), "next": pages[-1].next}


def _counts(row: PopulationCounts | None) -> tuple[Any, ...]:
    if row is None:
        return (None,) * len(_COUNTS)
    return tuple(getattr(row, name) for name in _COUNTS)


def _beacon(path: str, parameters: Mapping[str, Any] | None, body: Mapping[str, Any] | None) -> tuple[str, str, dict[str, Any]]:
    place = "/beacon/v2/" + quote(path.strip("/"), safe="/:<>")
    return ("GET", place, {"params": parameters}) if body is None else ("POST", place, {"json": body})
