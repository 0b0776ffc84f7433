"""Every field, address, header and name of a file that a person or a program can fill, and what comes of hostile text there."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import quote

import httpx

from validation.portal.judging import faults_of
from validation.portal.pages import FORM, LINE, PLAN, Town

Document = dict[str, object]
_APART = 7  # fields that are sent together get different texts
_WORKERS = 4


@dataclass(frozen=True)
class Door:
    """An address with what it takes.

    Attributes
    ----------
    path
        With `{}` where the text itself is part of the address.
    fields
        Filled one at a time, or all at once where `together`: for what never refuses the whole for one of them.
    base
        What is sent besides.
    way
        `query`, `form`, `json`, `header` or `cookie`.
    who
        Who asks; nobody in particular where empty.
    place
        Where the server is: the hub, or a node's id.
    """

    path: str
    fields: tuple[str, ...] = ()
    base: Mapping[str, object] = field(default_factory=dict)
    way: str = "query"
    method: str = "GET"
    who: str = "researcher"
    place: str = "hub"
    together: bool = False
    every: int = 1

    def questions(self, corpus: Sequence[str]) -> Iterator[tuple[str, str, dict[str, str]]]:
        """What is filled, for a reader; the address; the fields by their names."""
        for number, text in enumerate(corpus):
            if number % self.every:
                continue
            path = self.path.replace("{}", quote(text, safe=""))
            if "{}" in self.path:
                yield f"{self.path} with {text[:60]!r}", path, {}
            if self.together:
                given = {name: corpus[(number + _APART * place) % len(corpus)] for place, name in enumerate(self.fields)}
                yield f"{self.path} {self.way} together from {text[:60]!r}", path, given
            else:
                for name in self.fields:
                    yield f"{self.path} {self.way} {name} with {text[:60]!r}", path, {name: text}


def pages(walked: Town) -> tuple[Door, ...]:
    """Everything that a browser asks for with GET and that answers with a page."""
    variant, draft, run = f"/variant/{walked.variant}", f"/applications/{walked.draft}", f"/analyses/{walked.run or 'none'}"
    build = {"assembly": "GRCh37"}
    region = "/region/22:20000001-20001000"
    row = {"1.f": "disease", "1.v": "x", "2.j": "any", "2.1.f": "age", "2.1.v": "x"}
    rows = ("1.f", "1.c", "1.v", "1.m", "1.b", "1.k", "1.j", "2.1.f", "2.1.c", "2.1.v", "2.1.m")
    wizard = (
        *("project", "cohort", "method", "traits", "case", "control", "covariates", "transformation", "region"),
        *("maf_min", "mac_min", "call_rate_min", "hwe_min", "missing", "loci", "node_level", "dataset", "do"),
    )
    plan = {"project": "x", "dataset": "FI:sim", "traits": "T"}
    facets = ("in_country", "in_use", "in_type", "in_authority", "diseases", "country", "commercial", "for_profit")
    return (
        Door("/", ("q", "assembly", "language"), together=True),
        Door("/search", ("q",), build),
        Door("/search", ("assembly",), {"q": "22-20000128-G-A"}),
        *(
            Door(f"/{one}/{{}}", (), build)
            for one in ("variant", "region", "gene", "term", "datasets", "nowhere", "de", "static/x")
        ),
        Door("/{}", (), build),
        Door("/variant/{}", ()),
        Door(variant, ("assembly",)),
        Door(variant, ("arriving",), build),
        *(Door(region, (name,), build) for name in ("after", "kind", "least", "most")),
        Door("/gene/CRELD2", ("after", "kind", "least", "most"), build, together=True),
        Door("/cohorts", ("cohort",)),
        Door("/cohorts", ("dataset", "do", "new"), {"cohort": "sex=female"}, together=True),
        Door("/cohorts", ("do", *rows), row, together=True),
        Door("/cohorts", ("1.v",), {"1.f": "disease"}),
        Door("/cohorts/counts", ("cohort",)),
        Door("/cohorts/counts", ("dataset",), {"cohort": "sex=female"}),
        Door("/cohorts/terms", ("field", "q"), together=True),
        Door("/cohorts/terms", ("q",), {"field": "disease"}),
        Door("/analyses/{}", ()),
        Door("/analyses/{}/live", ()),
        Door("/analyses/{}/estimates", ()),
        Door(f"{run}/region/{{}}", ()),
        Door(run, ("trait",)),
        Door(f"{run}/estimates", ("locus", "trait"), together=True),
        Door(f"{run}/region/22:20000001-20030000", ("trait",)),
        Door("/analyses/new", wizard, together=True),
        Door("/analyses/new", ("project", "cohort", "traits", "dataset", "region", "case", "covariates"), plan, every=4),
        Door("/analyses/new", ("do",), plan),
        Door("/catalogue", ("words", "from"), together=True),
        Door("/catalogue", ("words", *facets), together=True),
        Door("/catalogue", ("months", "start", "before"), together=True),
        Door("/basket", ("from",)),
        Door("/applications/{}", ()),
        Door("/applications/{}/edit", ()),
        Door("/applications/{}/report", ()),
        Door(draft, ("before", "from", "saved")),
        Door(f"{draft}/datasets/{{}}", ()),
        Door(f"{draft}/events/{{}}", ()),
        Door(f"{draft}/attachments/{{}}", ()),
        Door(f"{draft}/agreements/{{}}", ()),
        Door(f"{draft}/edit", ("from", "saved"), together=True),
        Door("/desk/{}", (), who="committee"),
        Door("/desk", ("from",), who="committee"),
        Door("/grants", ("from",)),
        Door("/notices", ("from", "unread", "before", "all"), together=True),
        Door("/notices", ("from",)),
        Door("/audit", ("event",)),
        Door("/audit", ("before",)),
        Door("/audit", ("event", "before"), {"all": "1"}, who="auditor"),
        Door("/checks", ("run", "from"), who="auditor", together=True),
        Door("/operate", ("from", "all"), who="auditor", together=True),
        Door("/account", ("next", "ended"), together=True),
        Door("/login", ("next", "issuer", "ended"), {"ended": "1"}, who=""),
        Door("/login/begin", ("issuer",), who=""),
        Door("/login/callback", ("state", "code", "iss", "error", "error_description"), who="", together=True),
        Door("/broker/device", ("user_code",), who=""),
        Door("/broker/sign-in", ("step", "name"), who="", together=True),
        Door(
            "/broker/authorize",
            ("client_id", "redirect_uri", "state", "scope", "nonce", "code_challenge", "response_type", "prompt"),
            who="",
        ),
        *(Door(f"/{one}/{{}}", (), place="EE", who="") for one in ("consent", "operate", "nowhere", "static/x")),
        Door("/consent", ("saved", "code"), place="EE", who="", together=True),
        Door("/operate", ("saved", "code"), place="EE", who="", together=True),
    )


def others(walked: Town) -> tuple[Door, ...]:
    """Files, documents, forms that are sent, headers."""
    variant, draft, run = f"/variant/{walked.variant}", f"/applications/{walked.draft}", f"/analyses/{walked.run or 'none'}"
    build, api = {"assembly": "GRCh37"}, "/api/v1"
    plan = {"project": "x", "dataset": "FI:sim", "traits": "T"}
    form = {"form": FORM}
    happened = (
        "event",
        "reason",
        "text",
        "comment",
        "dataset",
        "vote",
        "decision",
        "authority",
        "until",
        "side",
        "sha256",
        "conditions",
    )
    edits = (
        "title",
        "summary",
        "plan",
        "organisation",
        "members",
        "diseases",
        "country",
        "track",
        "months",
        "version",
        "then",
        "request",
    )
    counted = f"{api}/frequency/{walked.variant}"
    oauth = (
        "grant_type",
        "client_id",
        "client_secret",
        "code",
        "subject_token",
        "audience",
        "scope",
        "refresh_token",
        "device_code",
    )
    return (
        # files and parts
        Door("/variant/{}/counts.csv", (), build),
        Door(f"{variant}/counts.{{}}", (), build),
        Door(f"{variant}/arriving", ("arriving",), build),
        Door("/region/{}/variants.tsv", (), build),
        Door("/region/22:20000001-20001000/variants.csv", ("after", "kind"), build, together=True),
        Door("/analyses/new/plan.yaml", ("project",), plan),
        Door("/analyses/new/plan.yaml", ("project", "traits", "cohort", "region"), plan, together=True),
        Door(f"{draft}/form.txt", ("from",)),
        Door(f"{draft}/agreements/{{}}/text.txt", ()),
        # documents
        Door(f"{api}/frequency/{{}}", (), build),
        Door(counted, ("assembly",)),
        Door(f"{api}/region/{{}}", ("after",), build),
        Door(f"{api}/gene/{{}}", (), build),
        Door(f"{api}/variants", ("name", "q"), together=True),
        Door(f"{api}/cohorts/count", ("expression", "cohort", "q"), together=True),
        Door(f"{api}/cohorts/count", ("expression", "datasets"), {}, "json", "POST", together=True),
        Door(f"{api}/applications/{{}}", ()),
        Door(f"{api}{draft}/attachments/{{}}", ()),
        Door(f"{api}{draft}/agreements/{{}}", ()),
        Door(f"{api}/analyses/{{}}", ()),
        Door(f"{api}{run}/files/{{}}", ()),
        Door(f"{api}{run}/events", ("after",)),
        *(Door(f"{api}{run}/{one}", ("trait",)) for one in ("summary", "drawing", "pictures/manhattan.svg", "pictures/qq.svg")),
        Door(f"{api}{run}/pictures/region.svg", ("region", "trait", "locus", "scheme"), together=True),
        Door(f"{api}{run}/pictures/{{}}.svg", ()),
        Door(f"{api}{run}/tiles/{{}}/1/1", ()),
        Door(f"{api}{run}/lines", ("region", "trait"), {"region": "22:20000001-20030000"}),
        Door("/service-registry/services/{}", ()),
        Door(f"{api}/revocations/authorities/{{}}/jwks.json", ()),
        Door("/beacon/v2/datasets/{}", (), place="EE", who=""),
        Door(
            "/beacon/v2/g_variants", ("referenceName", "start", "alternateBases", "filters"), place="EE", who="", together=True
        ),
        # what is sent
        Door(f"{api}/applications", ("title", "summary", "plan", "organisation"), form, "json", "POST", every=16),
        *(Door(f"{api}{draft}/form", (name,), FORM, "json", "PUT") for name in ("title", "country", "organisation")),
        Door(f"{api}{draft}/events", ("event", "text"), {"event": "asked"}, "json", "POST"),
        Door(f"{api}{draft}/agreements", ("datasets",), {}, "json", "POST"),
        Door(f"{api}{draft}/attachments/{{}}", (), {}, "json", "PUT"),
        Door(f"{api}/catalogue/advice", ("diseases", "country", "investigations"), {}, "json", "POST", together=True),
        Door(f"{api}/analyses/check", ("project", "method", "assembly"), PLAN, "json", "POST"),
        Door(f"{api}{run}/review", ("decision", "reason"), {"decision": "refuse"}, "json", "POST", "auditor"),
        Door(f"{api}/notices/read", ("ids",), {}, "json", "POST"),
        Door(f"{api}/visas", ("visa", "visas"), {}, "json", "POST", together=True),
        Door("/analyses/new", ("plan",), {}, "form", "POST"),
        Door("/basket/add", ("pick:", "country", "months", "diseases", "request"), {"pick:FI:sim": "yes"}, "form", "POST"),
        Door("/basket/remove", ("remove:", "request"), {}, "form", "POST", together=True),
        Door("/applications", ("copy_of",), {}, "form", "POST"),
        Door(f"{draft}/edit", edits, {}, "form", "POST", together=True),
        Door(f"{draft}/edit", ("members", "months", "country"), {"title": "x", "version": "0"}, "form", "POST"),
        Door(f"{draft}/events", happened, {"event": "voted", "dataset": LINE["dataset"]}, "form", "POST", together=True),
        Door(f"{draft}/events", ("event", "dataset", "reason"), {"event": "withdrawn-by"}, "form", "POST"),
        Door(f"{draft}/attachments", ("file",), {}, "file", "POST"),
        Door(f"{draft}/agreements", ("datasets", "dataset:"), {}, "form", "POST", together=True),
        Door("/checks/{}", (), {"decision": "refuse", "reason": "x"}, "form", "POST", "auditor"),
        Door(f"/checks{run.removeprefix('/analyses')}", ("decision", "reason"), {}, "form", "POST", "auditor", together=True),
        Door("/notices/read", ("id", "back", "all"), {}, "form", "POST", together=True),
        Door("/notices/mail", ("wanted",), {}, "form", "POST"),
        Door("/account/end-session", ("session",), {}, "form", "POST"),
        Door("/broker/sign-in", ("step", "answer"), {}, "form", "POST", "stranger", together=True),
        Door("/broker/sign-in", ("name", "password"), {"step": "password"}, "form", "POST", "stranger", together=True),
        Door("/broker/device", ("user_code",), {}, "form", "POST", "stranger"),
        Door("/broker/token", oauth, {"grant_type": "refresh_token"}, "form", "POST", "", together=True),
        Door("/broker/token", ("grant_type",), {}, "form", "POST", ""),
        Door("/broker/device_authorization", ("client_id", "scope"), {}, "form", "POST", "", together=True),
        Door("/broker/revoke", ("token", "client_id"), {}, "form", "POST", "", together=True),
        *(Door(f"/{one}/sign-in", ("code",), {}, "form", "POST", "", "EE") for one in ("consent", "operate")),
        # names of fields, headers
        Door("/cohorts", ("*",)),
        Door("/catalogue", ("*",)),
        Door("/analyses/new", ("*",)),
        Door(
            "/nowhere",
            ("accept-language", "user-agent", "referer", "x-request-id", "authorization", "accept"),
            {},
            "header",
            who="",
        ),
        Door("/", ("accept-language", "user-agent", "traceparent"), {}, "header", together=True),
        Door(f"{run}/live", ("last-event-id",), {}, "header")
        if not walked.run
        else Door("/", ("last-event-id",), {}, "header"),
        Door("/account", ("user-agent", "x-forwarded-host", "x-forwarded-proto"), {}, "header", together=True),
        Door("/", ("cohelix_language", "cohelix-session", "cohelix-broker"), {}, "cookie", who="", together=True),
    )


def send_all(
    walked: Town, corpus: Sequence[str], doors: Sequence[Door], told: Callable[[str], None] = lambda _: None
) -> tuple[int, list[str]]:
    """Number of requests, and everything that was wrong with an answer."""
    stranger = httpx.Client(base_url=walked.url, trust_env=False, timeout=60)
    stranger.get("/login", follow_redirects=True)
    keys = {who: _key(browser.get("/account").text) for who, browser in walked.browsers.items()}
    keys["stranger"] = _key(stranger.get("/broker/sign-in").text)
    nobody = {place: httpx.Client(base_url=url, trust_env=False, timeout=60) for place, url in _places(walked).items()}
    statuses: dict[int, int] = {}
    browsers: dict[str, httpx.Client] = {**walked.browsers, "stranger": stranger}

    def knock(door: Door) -> tuple[int, list[str]]:
        client = nobody[door.place] if not door.who or door.place != "hub" else browsers[door.who]
        start, sent, faults = time.monotonic(), 0, list[str]()
        for what, path, given in door.questions(corpus):
            answer = _asked(client, door, path, given, keys.get(door.who, ""))
            statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
            faults.extend(f"{door.method} {what}: {one}" for one in faults_of(answer, str(client.base_url).rstrip("/")))
            sent += 1
        told(
            f"{door.method} {door.path} {' '.join(door.fields)}: "
            f"{sent} in {time.monotonic() - start:.0f} s, {len(faults)} faults"
        )
        return sent, faults

    with ThreadPoolExecutor(_WORKERS) as workers:
        found = list(workers.map(knock, doors))
    for client in (stranger, *nobody.values()):
        client.close()
    told(f"statuses: {dict(sorted(statuses.items()))}")
    return sum(sent for sent, _ in found), [fault for _, faults in found for fault in faults]


def _asked(client: httpx.Client, door: Door, path: str, given: Mapping[str, str], key: str) -> httpx.Response:
    own = {"origin": str(client.base_url).rstrip("/")}
    kind = {"accept": "text/html"} if not path.startswith("/api/") else {}
    match door.way:
        case "form" | "file":
            texts = {name: str(value) for name, value in {**door.base, **given}.items()}
            texts = {f"{name}{value}" if name.endswith(":") else name: value for name, value in texts.items()}
            files = {"file": (texts.pop("file"), b"%PDF-1.4", "application/pdf")} if door.way == "file" else None
            return client.request(door.method, path, data={"form_key": key, **texts}, files=files, headers=own | kind)
        case "json":
            return client.request(door.method, path, json=_document(door, given), headers=own)
        case "header":
            return client.get(path, headers=kind | {name: sendable(text) for name, text in given.items()})  # type: ignore[arg-type]
        case "cookie":
            spoken = "; ".join(f"{name}={quote(text)}" for name, text in given.items())
            return client.get(path, headers=kind | {"cookie": spoken})
    asked = {**door.base, **{(text if name == "*" else name): text for name, text in given.items()}}
    return client.request(door.method, path, params=asked, headers=kind)  # type: ignore[arg-type]


def _document(door: Door, given: Mapping[str, str]) -> Document:
    """A document with texts in it, within its form where it has one."""
    lists = ("datasets", "diseases", "investigations", "ids", "visas")
    texts: Document = {name: [text] if name in lists else text for name, text in given.items()}
    inner = door.base.get("form")
    if isinstance(inner, dict):
        return {"form": {**inner, **texts}}
    return {**door.base, **texts}


def sendable(text: str) -> bytes:
    """What of a text a client can send in a header at all."""
    return re.sub(r"[\x00-\x1f\x7f]", " ", text).strip().encode()


def _places(walked: Town) -> dict[str, str]:
    return {"hub": walked.url} | {name: app.url for name, app in walked.federation.nodes.items()}


def _key(page: str) -> str:
    found = re.search(r'name="form_key" value="([^"]*)"', page)
    return found[1] if found else ""


def say(line: str) -> None:
    """Progress, for whoever waits."""
    print(line, file=sys.stderr, flush=True)
