"""What an answer does that a hostile text asked for: markup of its own, headers, other places, formulas in files."""

from __future__ import annotations

import csv
import io
import re
from functools import lru_cache
from html.parser import HTMLParser

import httpx

_TAG = re.compile(r"""<[a-zA-Z!?/](?:[^>"']|"[^"]*"|'[^']*')*>?""")
_OWN_WORDS = (
    "html head meta title link script body a header div svg path nav ul li form label input select optgroup option button "
    "main h1 h2 h3 h4 p span strong em small code kbd pre table caption thead tbody tfoot tr th td dl dt dd ol section "
    "article details summary footer br hr fieldset legend textarea abbr time figure figcaption b i img noscript datalist "
    "output aside progress meter sub sup wbr rect line circle text g polyline polygon ellipse canvas q cite mark var samp "
    "search hgroup blockquote col colgroup dialog"
)
_OWN = frozenset(_OWN_WORDS.split())
_BAD_NAMES = frozenset(("style", "srcdoc", "formaction", "background", "xlink:href", "ping", "http-equiv"))
_FORMULA = re.compile(r"[=+@\t\r\n＝＋－＠-]")
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?", re.IGNORECASE)
_SAFE_FILES = (
    "application/json",
    "text/plain",
    "text/csv",
    "text/tab-separated-values",
    "application/yaml",
    "text/event-stream",
)


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
    if any("hacked" in one.partition(";")[0].partition("=")[0] for one in answer.headers.get_list("set-cookie")):
        found.append("a cookie came of it")
    if "refresh" in answer.headers or any(
        "evil.example" in value for name, value in answer.headers.items() if name != "location"
    ):
        found.append("a header came of it")
    if answer.status_code >= 500:
        found.append(f"answers {answer.status_code}")
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if kind == "text/html":
        policy = answer.headers.get("content-security-policy", "")
        if not policy.startswith("default-src 'none'") or "unsafe" in policy or policy.count("default-src") > 1:
            found.append(f"has the policy {policy!r}")
        found.extend(markup_faults(answer.text, hub))
    elif kind in ("text/csv", "text/tab-separated-values"):
        found.extend(table_faults(answer.text, "," if kind == "text/csv" else "\t"))
    elif kind == "image/svg+xml":
        found.extend(markup_faults(answer.text, hub) if re.search(r"<script|\son\w+=|javascript:", answer.text) else ())
    sniffed = kind in ("text/plain", "text/csv", "text/tab-separated-values", "application/yaml")
    if answer.content and sniffed and answer.headers.get("x-content-type-options") != "nosniff":
        found.append(f"{kind} that a browser may take for something else")
    return found


def markup_faults(text: str, hub: str) -> list[str]:
    """Elements and attributes of a page that no template of ours has."""
    return [fault for tag in set(_TAG.findall(text)) for fault in _of_tag(tag, hub)]


def table_faults(text: str, delimiter: str) -> list[str]:
    """Cells of a table that a spreadsheet takes for a formula."""
    cells = (cell for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) for cell in row)
    return [
        f"a field of a file is a formula: {one[:30]!r}" for one in cells if _FORMULA.match(one) and not _NUMBER.fullmatch(one)
    ]


@lru_cache(maxsize=50_000)
def _of_tag(text: str, hub: str) -> tuple[str, ...]:
    found = []
    for tag, attributes in _Tags(text if text.endswith(">") else f"{text}>").tags:
        if tag not in _OWN:
            found.append(f"has an element {tag}")
        again = tag == "meta" and (attributes.get("content") or "").isdecimal()  # the page of a run asks for itself again
        if any(name.startswith("on") or name in _BAD_NAMES for name in attributes) and not again:
            found.append(f"has an element {tag} with {sorted(attributes)}")
        if (
            tag == "script"
            and not (attributes.get("src") or "").startswith("/static/")
            and attributes.get("type") != "application/json"
        ):
            found.append("has a script that is not a file of ours")
        for name in ("href", "src", "action"):
            target = (attributes.get(name) or "/").strip()
            if not target.startswith(("/", "#", "?", f"{hub}/", "https://")) or target.startswith(
                ("//", "/\\", "https://evil")
            ):
                found.append(f"has {tag} {name}={target[:60]!r}")
    return tuple(found)
