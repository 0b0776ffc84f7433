"""Reports of an incident from the log: the early warning within 24 hours, and the notice within 72 hours.

They gather what NIS2 (Directive (EU) 2022/2555, Article 23) and the GDPR (Articles 33 and 34) ask and a log can tell; what only
people know (the cause, the harm, what was done) stands as a line to be filled in.
"""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cohelix.audit.checkpoint import time_text
from cohelix.audit.entries import Entry, read_entry
from cohelix.audit.events import (
    CheckpointAlarm,
    LoginRefused,
    LogLost,
    PassportRefused,
    QuestionAnswered,
    QuestionRefused,
    RunRefused,
)
from cohelix.audit.store import LogStore

TIMELINE_MAX: Final = 2_000  # events of the timeline; questions are counted, not listed
_REFUSALS: Final = (QuestionRefused.tag, PassportRefused.tag, LoginRefused.tag, RunRefused.tag)
_ALARMS: Final = (CheckpointAlarm.tag, LogLost.tag)
_BY_HAND: Final = (
    ("Nature and suspected cause", "NIS2 Art. 23(4)(a): whether an unlawful or malicious act is suspected"),
    ("Cross-border impact", "NIS2 Art. 23(4)(a): members and countries that may be affected"),
    ("Categories and approximate number of individuals", "GDPR Art. 33(3)(a): from the datasets below and their sizes"),
    ("Likely consequences", "GDPR Art. 33(3)(c)"),
    ("Measures taken or proposed", "GDPR Art. 33(3)(d), NIS2 Art. 23(4)(b)"),
    ("Contact point and data protection officer", "GDPR Art. 33(3)(b)"),
)


def report(
    store: LogStore, first: int, end: int, *, since: str, until: str, now: datetime, people: bool = False
) -> dict[str, Any]:
    """What the entries `first` up to `end` tell of an incident.

    Parameters
    ----------
    people
        Whether people are named as far as the log knows who its pseudonyms are.
    """
    found = _Gathered()
    for row in store.entries(first, end):
        found.take(read_entry(row.content.encode()))
    head = store.head()
    who = store.people(sorted(found.people)) if people else {}
    return {
        "origin": store.origin,
        "made": time_text(now),
        "since": since,
        "until": until or time_text(now),
        "entries": {"first": first, "end": end},
        "checkpoint": head.note() if head else None,
        "events": dict(found.events.most_common()),
        "people": [
            {
                "pseudonym": name,
                "entries": count,
                **({"subject": who[name].subject, "issuer": who[name].issuer} if name in who else {}),
            }
            for name, count in found.people.most_common()
        ],
        "unknown": found.unknown,
        "datasets": [{"dataset": name, **dict(told.most_common())} for name, told in sorted(found.datasets.items())],
        "visas": dict(found.visas.most_common()),
        "refusals": dict(found.refusals.most_common()),
        "alarms": found.alarms,
        "timeline": found.timeline,
        "timelineCut": found.cut,
        "toFillIn": [{"what": what, "why": why} for what, why in _BY_HAND],
    }


def write_reports(found: dict[str, Any], folder: Path) -> list[str]:
    """Write the early warning and the notice as Markdown and HTML, and all of it as JSON, into a new folder.

    Raises
    ------
    FileExistsError
        If the folder is there already.
    """
    folder.mkdir(parents=True)
    files = {"incident.json": json.dumps(found, indent=1) + "\n"}
    for name, title, hours in (("early-warning", "Early warning", 24), ("notice", "Incident notice", 72)):
        lines = list(_lines(found, title, hours))
        files[f"{name}.md"] = "".join(_markdown(kind, text) for kind, text in lines)
        files[f"{name}.html"] = _page(f"{title}: {found['origin']}", lines)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return sorted(files)


class _Gathered:
    """What is counted and kept while entries pass."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.people: Counter[str] = Counter()
        self.visas: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.datasets: dict[str, Counter[str]] = {}
        self.alarms: list[dict[str, Any]] = []
        self.timeline: list[dict[str, Any]] = []
        self.unknown = self.cut = 0

    def take(self, entry: Entry) -> None:
        self.events[entry.event] += 1
        if entry.person:
            self.people[entry.person] += 1
        elif entry.by == "unknown":
            self.unknown += 1
        for told in entry.data.get("datasets", ()) if isinstance(entry.data.get("datasets"), list) else ():
            if isinstance(told, dict):
                self._dataset(told)
        if entry.event in _REFUSALS:
            self.refusals[f"{entry.event} {entry.data.get('reason', '')}".strip()] += 1
        line = {"entry": entry.number, "at": entry.at, "event": entry.event, "who": entry.who, **entry.data}
        if entry.event in _ALARMS:
            self.alarms.append(line)
        if entry.event not in (QuestionAnswered.tag, QuestionRefused.tag):
            if len(self.timeline) < TIMELINE_MAX:
                self.timeline.append(line)
            else:
                self.cut += 1

    def _dataset(self, told: dict[str, Any]) -> None:
        counted = self.datasets.setdefault(str(told.get("dataset", "")), Counter())
        counted[f"{told.get('outcome', '')} {told.get('tier', '')}".strip()] += 1
        for visa in told.get("visas", ()):
            self.visas[str(visa)] += 1
        if told.get("reason"):
            self.refusals[str(told["reason"])] += 1


def _lines(found: dict[str, Any], title: str, hours: int) -> Iterator[tuple[str, str]]:
    """The report as headings, paragraphs and points; the notice says more than the warning."""
    yield "h1", f"{title} ({hours} hours)"
    yield "p", f"Audit log of {found['origin']}, {found['since']} to {found['until']}; made {found['made']}."
    entries = found["entries"]
    yield "p", f"Entries {entries['first']} to {entries['end'] - 1}: {entries['end'] - entries['first']} in all."
    yield "h2", "To be filled in"
    for item in found["toFillIn"]:
        yield "li", f"{item['what']} ({item['why']}): ____"
    yield "h2", "Alarms"
    yield from _points(found["alarms"], lambda one: f"{one['at']} entry {one['entry']}: {one['event']} {_rest(one)}")
    yield "h2", "Datasets concerned"
    yield from _points(
        found["datasets"],
        lambda one: f"{one['dataset']}: " + ", ".join(f"{name} {count}" for name, count in one.items() if name != "dataset"),
    )
    yield "h2", "Refusals"
    yield from _points(found["refusals"].items(), lambda one: f"{one[0]}: {one[1]}")
    yield "h2", "Who"
    yield from _points(found["people"], lambda one: f"{one.get('subject') or one['pseudonym']}: {one['entries']} entries")
    yield "p", f"{found['unknown']} entries are of nobody who is known."
    if hours > 24:
        yield "h2", "Visas that were used"
        yield from _points(found["visas"].items(), lambda one: f"{one[0]}: {one[1]} datasets' answers")
        yield "h2", "Kinds of events"
        yield from _points(found["events"].items(), lambda one: f"{one[0]}: {one[1]}")
        yield "h2", "Timeline"
        yield from _points(
            found["timeline"],
            lambda one: f"{one['at']} entry {one['entry']}: {one['event']} by {one['who'] or 'unknown'} {_rest(one)}",
        )
        if found["timelineCut"]:
            yield "p", f"{found['timelineCut']} later events are not listed: export the entries."
        yield "h2", "Checkpoint"
        yield "pre", found["checkpoint"] or "none"


def _points(items: Any, words: Any) -> Iterator[tuple[str, str]]:
    found = [("li", words(one)) for one in items]
    yield from found or [("p", "None.")]


def _rest(line: dict[str, Any]) -> str:
    told = {name: value for name, value in line.items() if name not in ("entry", "at", "event", "who")}
    return ", ".join(f"{name} {value}" for name, value in told.items() if value not in ("", [], None))


def _markdown(kind: str, text: str) -> str:
    plain = text if kind == "pre" else text.replace("\n", " ").replace("<", "&lt;")
    marks = {"h1": f"# {plain}\n\n", "h2": f"\n## {plain}\n\n", "li": f"- {plain}\n", "pre": f"```\n{plain}\n```\n"}
    return marks.get(kind, f"{plain}\n")


def _page(title: str, lines: list[tuple[str, str]]) -> str:
    body, listing = [], False
    for kind, text in lines:
        if listing != (kind == "li"):
            body.append("</ul>" if listing else "<ul>")
            listing = not listing
        body.append(f"<{kind}>{html.escape(text)}</{kind}>")
    if listing:
        body.append("</ul>")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
    style = "<style>body{font:1rem/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}pre{overflow:auto}</style>"
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}{style}</head><body><main>\n'
        + "\n".join(body)
        + "\n</main></body></html>\n"
    )
