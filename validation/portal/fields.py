"""Sends hostile text through every field and address of the pages, and judges what comes back."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from urllib.parse import quote

import httpx

from cohelix.testing.browser import Browser
from validation.portal.pages import FORM, Town

_QUERIES = (
    ("/search", ("q", "assembly")),
    ("/variant/22-20000128-G-A", ("assembly",)),
    ("/region/22:20000001-20001000", ("assembly", "after", "kind", "least", "most")),
    ("/cohorts", ("cohort", "dataset", "do", "new", "j", "1.f", "1.c", "1.v", "1.m", "1.b", "1.k")),
    ("/cohorts/counts", ("cohort", "dataset")),
    ("/cohorts/terms", ("field", "q")),
    ("/catalogue", ("words", "in_country", "in_use", "diseases", "country", "months", "start")),
    ("/login", ("next", "issuer")),
    ("/audit", ("event", "before", "all")),
    ("/notices", ("before", "all")),
)
_PATHS = ("/variant", "/region", "/gene", "/term", "/datasets", "/analyses", "/applications", "/desk", "/nowhere", "/de")
_BAD_NAMES = ("style", "srcdoc", "formaction")


class _Tags(HTMLParser):
    """Elements with their attributes."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def faults_of(answer: httpx.Response, hub: str) -> list[str]:
    """What an answer does that a hostile text asked for."""
    found = []
    place = answer.headers.get("location", "/")
    if not place.startswith((f"{hub}/", "/")) or place.startswith(("//", "/\\")):
        found.append(f"leads to {place}")
    cookies = answer.headers.get_list("set-cookie")
    if any("hacked" in one for one in cookies) or "refresh" in answer.headers:
        found.append("a header came of it")
    if answer.status_code >= 500:
        found.append(f"answers {answer.status_code}")
    if "text/html" in answer.headers.get("content-type", ""):
        policy = answer.headers.get("content-security-policy", "")
        if not policy.startswith("default-src 'none'") or "unsafe" in policy:
            found.append(f"has the policy {policy!r}")
        for tag, attributes in _Tags(answer.text).tags:
            if any(name.startswith("on") or name in _BAD_NAMES for name in attributes):
                found.append(f"has an element {tag} with {sorted(attributes)}")
            if tag in ("base", "iframe", "object", "embed", "style", "math", "template", "marquee", "video"):
                found.append(f"has an element {tag}")
            for name in ("href", "src", "action"):
                target = (attributes.get(name) or "/").strip()
                if not target.startswith(("/", "#", f"{hub}/", "https://")) or target.startswith(("//", "/\\", "https://evil")):
                    found.append(f"has {tag} {name}={target[:60]!r}")
    return found


def send_all(walked: Town, corpus: Sequence[str]) -> tuple[int, list[str]]:
    """Number of requests, and everything that was wrong with an answer."""
    me, faults, sent = walked.browsers["researcher"], list[str](), 0

    def judge(what: str, text: str, answer: httpx.Response) -> None:
        nonlocal sent
        sent += 1
        faults.extend(f"{what} with {text[:50]!r}: {one}" for one in faults_of(answer, walked.url))

    key = _key(me)
    for text in corpus:
        plain = re.sub(r"[\x00-\x1f\x7f]", " ", text).strip().encode()  # what a client can send in a header at all
        for path, names in _QUERIES:
            for name in names:
                row = {"1.f": "disease", "1.v": "x"} if name[:1].isdigit() else {}
                given = {"q": "22-20000128-G-A", "assembly": "GRCh37"} | row | {name: text}
                judge(f"{path}?{name}=", text, me.get(path, params=given))
        for path in _PATHS:
            judge(f"{path}/…", text, me.get(f"{path}/{quote(text, safe='')}", params={"assembly": "GRCh37"}))
        for path in ("/broker/sign-in", "/basket/add", "/applications"):
            fields = {"form_key": key, "name": text, "password": text, "step": "password", "title": text}
            judge(f"POST {path}", text, me.post(path, data=fields, headers={"origin": walked.url}))
        for header in ("accept-language", "user-agent", "referer"):
            judge(header, text, me.get("/", headers={header: plain}))
        spoken = {"cookie": f"cohelix_language={quote(text)}", "accept": "text/html"}
        judge("cookie", text, httpx.get(f"{walked.url}/", headers=spoken))
        judge("counts.csv", text, me.get(f"/variant/{quote(text, safe='')}/counts.csv", params={"assembly": "GRCh37"}))
        judge("an application", text, _applied(walked, me, text))
    file = me.get(f"/variant/{walked.variant}/counts.csv", params={"assembly": "GRCh37"})
    if any(re.match(r"[=+@\t\r-]", cell) for row in csv.reader(io.StringIO(file.text)) for cell in row):
        faults.append("a field of a file is a formula")
    return sent, faults


def _applied(walked: Town, me: Browser, text: str) -> httpx.Response:
    """The page of a draft all of whose texts are the hostile one, as far as the form takes them."""
    form = {**FORM, "title": text[:150] or "x", "summary": text}
    me.put(f"/api/v1/applications/{walked.draft}/form", json=form, headers={"origin": walked.url})
    return me.get(f"/applications/{walked.draft}")


def _key(me: Browser) -> str:
    found = re.search(r'name="form_key" value="([^"]*)"', me.get("/account").text)
    return found[1] if found else ""
