"""Walks a running Beacon by its own `/map`: GET and POST, three granularities, nested and flat, pages, ids, filters, errors.

The official verifiers visit each address once and check its schema; this one also asks whether the answers fit each other.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from validation.conformance.schemas import COLLECTIONS, INFORMATIONAL, RESPONSES, Schemas, records_of

GRANULARITIES = ("boolean", "count", "record")
_RANK = {name: rank for rank, name in enumerate(GRANULARITIES)}
_IDS = {"genomicVariant": "variantInternalId"}
# Which member of a related record names the entry that it belongs to.
_BELONGS = {"individual": "individualId", "biosample": "biosampleId", "run": "runId"}


@dataclass(frozen=True)
class Address:
    """One address of the map, its ids filled in."""

    entry: str
    url: str
    root: str
    identifier: str


@dataclass
class Validator:
    """A Beacon, and what was found wrong with it.

    Attributes
    ----------
    url
        Of the Beacon, `…/beacon/v2`.
    variants
        Questions about variants to ask at every address that takes them.
    ids
        How many entries of each type are looked at by their id.
    terms
        How many filtering terms are asked.
    records
        How many records of one answer are held against their schema; always the first and the last.
    """

    url: str
    schemas: Schemas
    variants: tuple[Mapping[str, object], ...] = ()
    ids: int = 2
    terms: int = 20
    records: int = 1_000
    seed: int = 20
    checks: int = 0
    failures: list[str] = field(default_factory=list)

    def run(self) -> list[str]:
        """Walk everything; the failures, empty for a Beacon that conforms."""
        with httpx.Client(timeout=60) as self.client:
            self.informational()
            endpoint_map = self.client.get(f"{self.url}/map").json()["response"]["endpointSets"]
            for address in list(self.addresses(endpoint_map)):
                self.every_form(address)
            for found in endpoint_map.values():
                self.includes(found["entryType"], found["rootUrl"])
                self.pages(found["entryType"], found["rootUrl"])
                self.schemas_asked(found["entryType"], found["rootUrl"])
                self.errors(found["rootUrl"])
            roots = {found["entryType"]: found["rootUrl"] for found in endpoint_map.values()}
            self.filters(roots)
        return self.failures

    def expect(self, holds: object, what: str) -> None:
        """Count a check, and note what failed."""
        self.checks += 1
        if not holds:
            self.failures.append(what)

    def none_of(self, faults: list[str], what: str) -> None:
        """Count a check against a schema."""
        self.expect(not faults, f"{what}: {'; '.join(faults[:3])}")

    def informational(self) -> None:
        """Every informational address; all but service-info answer GET alone."""
        for path, schema in INFORMATIONAL.items():
            answer = self.client.get(self.url + path)
            self.expect(answer.status_code == 200, f"GET {path}: {answer.status_code}")
            if answer.status_code == 200:
                self.none_of(self.schemas.faults(answer.json(), RESPONSES + schema), f"GET {path}")

    def addresses(self, endpoint_map: Mapping[str, Any]) -> Iterator[Address]:
        """Everything that the map names; ids are those of the roots' own records."""
        for found in endpoint_map.values():
            entry, root = found["entryType"], found["rootUrl"]
            yield Address(entry, root, "", "")
            records = self._records(root)
            # Of people, only open datasets show records.
            hidden = entry not in COLLECTIONS and entry != "genomicVariant" and "open" not in self._disclosures
            self.expect(records or hidden, f"{root} has no record to ask for by its id")
            for record in records[: self.ids]:
                identifier = record[_IDS.get(entry, "id")]
                named = quote(identifier, safe=":")
                yield Address(entry, found["singleEntryUrl"].replace("{id}", named), entry, identifier)
                for related in found.get("endpoints", {}).values():
                    yield Address(related["returnedEntryType"], related["url"].replace("{id}", named), entry, identifier)
            if "filteringTermsUrl" in found and records:
                first = quote(records[0][_IDS.get(entry, "id")], safe=":")
                answer = self.client.get(found["filteringTermsUrl"].replace("{id}", first))
                schema = RESPONSES + INFORMATIONAL["/filtering_terms"]
                self.expect(answer.status_code == 200, f"{answer.url}: {answer.status_code}")
                self.none_of(self.schemas.faults(answer.json(), schema), f"GET {answer.url}")

    def every_form(self, address: Address) -> None:
        """One address, asked in every form: all forms have to give the same answer."""
        takes_variants = (
            address.entry not in COLLECTIONS
            and "genomicVariant" not in (address.root,)
            and not (address.root and address.root == address.entry)
        )
        for parameters in ({}, *(self.variants if takes_variants else ())):
            for granularity in GRANULARITIES:
                answers = {
                    "GET": self.get(address.url, parameters, requestedGranularity=granularity),
                    "POST flat": self.post(address.url, parameters, requestedGranularity=granularity),
                    "POST nested": self.post(address.url, {"g_variant": dict(parameters)}, requestedGranularity=granularity),
                    "POST beside": self.client.post(
                        address.url,
                        json={"query": {"requestParameters": dict(parameters)}, "requestedGranularity": granularity},
                    ),
                }
                what = f"{address.url} {granularity} {dict(parameters) or ''}"
                bodies = []
                for form, answer in answers.items():
                    self.expect(answer.status_code == 200, f"{form} {what}: {answer.status_code} {answer.text[:200]}")
                    if answer.status_code == 200:
                        self.answer(answer.json(), address.entry, granularity, f"{form} {what}")
                        bodies.append(_told(answer.json()))
                self.expect(all(body == bodies[0] for body in bodies), f"{what}: the forms give different answers")
        self._belongs(address)

    def answer(self, document: dict[str, Any], entry: str, asked: str, what: str) -> None:
        """One answer: its schema, and whether its parts agree."""
        self.none_of(self.schemas.answer_faults(document, entry, self.records), what)
        meta, summary = document["meta"], document["responseSummary"]
        returned = meta["returnedGranularity"]
        self.expect(_RANK[returned] <= _RANK[asked], f"{what}: returned {returned}")
        self.expect(meta["receivedRequestSummary"]["requestedGranularity"] == asked, f"{what}: the granularity is not echoed")
        self.expect(
            [schema["entityType"] for schema in meta["returnedSchemas"]] == [entry], f"{what}: returnedSchemas of another type"
        )
        if returned == "boolean":
            self.expect("numTotalResults" not in summary and "response" not in document, f"{what}: boolean tells more")
            return
        total = summary["numTotalResults"]
        self.expect(summary["exists"] == (total > 0), f"{what}: exists and the total disagree")
        for found in (document.get("response") or {}).get("resultSets", []):
            count, results = found["resultsCount"], found["results"]
            self.expect(found["exists"] == (count > 0), f"{what}: a set's exists and its count disagree")
            self.expect(len(results) <= count, f"{what}: a set has more results than it counts")
            self.expect(count <= total, f"{what}: a set has more results than there are in all")
            self.expect(returned == "record" or not results, f"{what}: a count shows records")

    def includes(self, entry: str, root: str) -> None:
        """`includeResultsetResponses` chooses the sets that are shown, and nothing else."""
        if entry in COLLECTIONS:
            return
        shown = {}
        for include in ("ALL", "HIT", "MISS", "NONE"):
            answer = self.post(root, {}, requestedGranularity="count", includeResultsetResponses=include)
            self.none_of(self.schemas.answer_faults(answer.json(), entry, self.records), f"{root} {include}")
            shown[include] = [found["id"] for found in answer.json()["response"]["resultSets"]]
            hits = [found["exists"] for found in answer.json()["response"]["resultSets"]]
            self.expect({"HIT": all(hits), "MISS": not any(hits), "NONE": not hits, "ALL": True}[include], f"{root} {include}")
        self.expect(sorted(shown["ALL"]) == sorted(shown["HIT"] + shown["MISS"]), f"{root}: ALL is not HIT and MISS")

    def pages(self, entry: str, root: str) -> None:
        """`skip` counts pages; pages join to the whole; `limit` 0 is as much as the Beacon gives."""
        whole = self._page(root, 0, 0)
        size = max(1, min(7, max((len(records) for records in whole.values()), default=1) // 3))
        joined: dict[str, list[Any]] = {name: [] for name in whole}
        for skip in range(3):
            for name, records in self._page(root, skip, size).items():
                self.expect(len(records) <= size, f"{root}: a page of {len(records)} for limit {size}")
                joined[name] += records
        for name, records in joined.items():
            self.expect(records == whole[name][: 3 * size], f"{root} {name}: three pages are not the beginning of the whole")
        for limit in ("-1", "x", "1.5"):
            answer = self.client.get(root, params={"limit": limit})
            self.expect(answer.status_code == 400, f"{root}?limit={limit}: {answer.status_code}")
        answer = self.post(root, {}, pagination={"limit": -1})
        self.expect(answer.status_code == 400, f"POST {root} limit -1: {answer.status_code}")
        default = self._page(root, 0, None)
        self.expect(all(len(records) <= 10 for records in default.values()), f"{root}: the default page is longer than ten")
        self.expect(entry not in COLLECTIONS or set(default) == {""}, f"{root}: collections come in result sets")

    def schemas_asked(self, entry: str, root: str) -> None:
        """The default schema may be asked for; another is refused, not left out of account."""
        default = self.client.get(root).json()["meta"]["returnedSchemas"][0]
        for schemas, status in (([default], 200), ([{"entityType": entry, "schema": "https://example.org/none.json"}], 400)):
            answer = self.client.post(root, json={"meta": {"requestedSchemas": schemas}, "query": {}})
            self.expect(answer.status_code == status, f"{root} requestedSchemas {schemas}: {answer.status_code}")
        answer = self.client.get(root, params={"requestedSchema": "ga4gh-phenopacket-v9"})
        self.expect(answer.status_code == 400, f"{root} requestedSchema of none: {answer.status_code}")

    def errors(self, root: str) -> None:
        """What cannot be meant gets Beacon's error body, with the HTTP status in it."""
        wrong: list[tuple[httpx.Response, int]] = [
            (self.client.get(root, params={"surprise": "1"}), 400),
            (self.client.get(root, params={"requestedGranularity": "aggregated"}), 400),
            (self.client.get(root, params={"includeResultsetResponses": "SOME"}), 400),
            (self.client.get(f"{root}/no%20such%20id%2Fat%20all/nothing"), 404 if "g_variants" not in root else 400),
            (self.client.post(root, content=b"{"), 400),
            (self.client.post(root, content=b"[]"), 400),
            (self.client.post(root, json={"query": {"surprise": 1}}), 400),
            (self.client.post(root, json={"query": {"filters": [{"id": "no-such-filter"}]}}), 400),
            (self.client.post(root, json={"query": {"pagination": {"nextPage": "abc"}}}), 400),
            (self.client.post(root, params={"limit": "1"}, json={}), 400),
            (self.client.delete(root), 405),
            (self.client.put(root, json={}), 405),
        ]
        for answer, status in wrong:
            what = f"{answer.request.method} {answer.url} {answer.request.content[:60]!r}"
            self.expect(answer.status_code == status, f"{what}: {answer.status_code}, not {status}")
            document = answer.json()
            self.none_of(self.schemas.error_faults(document), what)
            self.expect(document["error"]["errorCode"] == answer.status_code, f"{what}: errorCode")

    def filters(self, roots: Mapping[str, str]) -> None:
        """Filtering terms as they are listed, in every form that their type has."""
        listed = self.client.get(f"{self.url}/filtering_terms").json()["response"]["filteringTerms"]
        chosen = random.Random(self.seed).sample(listed, min(self.terms, len(listed)))
        for term in chosen:
            for scope in term["scopes"]:
                if scope in roots:
                    self._term(term, scope, roots[scope])
        for wanted in ({"id": "no-such:thing"}, {"id": ""}, {"value": "x"}, {"id": "age", "operator": "~", "value": "1"}):
            answer = self.post(roots["individual"], {}, filters=[wanted])
            self.expect(answer.status_code == 400, f"filter {wanted}: {answer.status_code}")

    def _term(self, term: Mapping[str, Any], scope: str, root: str) -> None:
        identifier, kind = term["id"], term["type"]
        plain = kind in {"alphanumeric", "custom"}
        if plain:
            values = term.get("values") or ["1"]
            forms = [{"id": identifier, "operator": "=", "value": value} for value in values[:2]]
            if not term.get("values") and "%" not in identifier:
                forms += [{"id": identifier, "operator": sign, "value": "1"} for sign in (">", "<=", "!")]
        else:
            forms = [
                {"id": identifier},
                {"id": identifier, "includeDescendantTerms": False},
                {"id": identifier, "scope": scope},
            ]
            forms += [{"id": identifier, "similarity": level} for level in ("high", "medium", "low")]
        counts = {}
        for number, wanted in enumerate(forms):
            answer = self.post(root, {}, filters=[wanted], requestedGranularity="count")
            what = f"{root} filter {wanted}"
            if answer.status_code == 400 and number >= 1 and plain:
                # A word is not compared by size: it is refused, in words.
                self.none_of(self.schemas.error_faults(answer.json()), what)
                continue
            self.expect(answer.status_code == 200, f"{what}: {answer.status_code} {answer.text[:300]}")
            if answer.status_code == 200:
                self.answer(answer.json(), scope, "count", what)
                counts[str(wanted)] = answer.json()["responseSummary"]["numTotalResults"]
        if not plain and len(counts) == len(forms) and scope == "individual":
            whole, alone, scoped, high, medium, low = counts.values()
            self.expect(alone <= whole == scoped, f"{root} {identifier}: descendants take away")
            self.expect(
                whole <= high <= medium <= low or self._disclosures != {"open"}, f"{root} {identifier}: similarity takes away"
            )
            got = self.get(root, {}, filters=identifier, requestedGranularity="count").json()
            self.expect(got["responseSummary"]["numTotalResults"] == whole, f"{root} {identifier}: GET and POST disagree")

    @property
    def _disclosures(self) -> set[str]:
        """The disclosure rules of the Beacon's datasets, as this product's nodes name them; `open` where none is named."""
        sets = self.client.get(f"{self.url}/datasets").json()["response"]["collections"]
        return {found.get("info", {}).get("disclosure", "open") for found in sets}

    def _belongs(self, address: Address) -> None:
        """Related records name the entry that they were asked by; a single entry is the one that was asked for."""
        if not address.root:
            return
        for record in self._records(address.url):
            if address.root == address.entry:
                given = record[_IDS.get(address.entry, "id")]
                self.expect(given == address.identifier, f"{address.url} is {given}")
            elif address.root in _BELONGS and address.entry != "genomicVariant" and _BELONGS[address.root] in record:
                given = record[_BELONGS[address.root]]
                self.expect(given == address.identifier, f"{address.url} has an entry of {given}")
            elif address.entry == "genomicVariant" and address.root in ("individual", "biosample"):
                named = {case[_BELONGS[address.root]] for case in record.get("caseLevelData", [])}
                self.expect(named == {address.identifier}, f"{address.url} shows cases of {sorted(named)[:3]}")

    def _records(self, url: str) -> list[Any]:
        answer = self.get(url, {}, requestedGranularity="record", limit=max(self.ids, 5))
        return records_of(answer.json()) if answer.status_code == 200 else []

    def _page(self, root: str, skip: int, limit: int | None) -> dict[str, list[Any]]:
        """Records by result set (of collections: all under an empty name)."""
        pagination = {"skip": skip} if limit is None else {"skip": skip, "limit": limit}
        document = self.post(
            root, {}, requestedGranularity="record", includeResultsetResponses="ALL", pagination=pagination
        ).json()
        response = document.get("response") or {}
        if "collections" in response:
            return {"": response["collections"]}
        return {found["id"]: found["results"] for found in response.get("resultSets", [])}

    def get(self, url: str, parameters: Mapping[str, object], **query: object) -> httpx.Response:
        """Ask with GET."""
        flat = {
            name: ",".join(map(str, value)) if isinstance(value, list) else str(value)
            for name, value in {**parameters, **query}.items()
        }
        return self.client.get(url, params=flat)

    def post(self, url: str, parameters: Mapping[str, object], **query: object) -> httpx.Response:
        """Ask with POST."""
        given = {"requestParameters": dict(parameters)} if parameters else {}
        return self.client.post(url, json={"meta": {}, "query": {**given, **query}})


def _told(document: dict[str, Any]) -> object:
    """What an answer tells, whatever the form of the question."""
    info = {name: value for name, value in document.get("info", {}).items() if name != "nodes"}
    return document["responseSummary"], document.get("response"), info
