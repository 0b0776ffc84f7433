"""Refusals among the newest entries of a log: how many questions were refused for which reason, never whose or which."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

from cohelix.audit.entries import read_entry
from cohelix.audit.events import QuestionAnswered, QuestionRefused
from cohelix.audit.store import LogStore

ENTRIES_MOST: Final = 2_000


class Tally(NamedTuple):
    """Refusals by kind of question and reason, in how many entries, and the time of the oldest of them."""

    refused: Counter[tuple[str, str]]
    entries: int
    since: str | None


def refusals(store: LogStore, *, most: int = ENTRIES_MOST) -> Tally:
    """Count what the newest questions were refused for.

    A question to several datasets counts for each dataset that refused it.

    Parameters
    ----------
    most
        How many entries of questions are read.
    """
    found = store.search(events=(QuestionAnswered.tag, QuestionRefused.tag), limit=most)
    refused, since = Counter[tuple[str, str]](), None
    for row in found:
        entry = read_entry(row.content.encode())
        since, kind = entry.at, str(entry.data["kind"])
        if entry.event == QuestionRefused.tag:
            refused[kind, str(entry.data["reason"])] += 1
            continue
        for decided in entry.data["datasets"]:
            if decided.get("reason"):
                refused[kind, str(decided["reason"])] += 1
    return Tally(refused, len(found), since)
