"""Boolean, count or record: how much an answer of each entry type lets out, and the form that it takes.

What a dataset may tell has been decided by the bank before; here nothing is added, only left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

import orjson

from cohelix.beacon.addresses import DEFAULT
from cohelix.beacon.entry_types import ENTRY_TYPES, EntryType
from cohelix.core.errors import CohelixError
from cohelix.wire.beacon import API_VERSION, BeaconQuestion, Granularity, Include, ResponseSummary, ResultSet
from cohelix.wire.frequency import DatasetStatus

_SILENCES_KEPT: Final = 4_096
_RANK: Final[Mapping[Granularity, int]] = {"boolean": 0, "count": 1, "record": 2}


@dataclass(frozen=True, slots=True)
class DatasetAnswer:
    """What one dataset contributes to an answer.

    Attributes
    ----------
    count
        Results in all, not only those of the page; 0 where nothing may be told.
    results
        Records of the page, at record granularity.
    details
        More about the status: the floor, or the allele number where the allele is known to be absent.
    line
        Its line in `info.datasets`, written before, where that is the same at every granularity.
    """

    dataset: str
    status: DatasetStatus
    reason: str | None = None
    count: int = 0
    results: Sequence[Any] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    line: orjson.Fragment | None = None

    @property
    def exists(self) -> bool:
        return self.count > 0

    @property
    def info(self) -> dict[str, Any]:
        """The status as the answer shows it."""
        shown: dict[str, Any] = {"status": self.status}
        if self.reason:
            shown["reason"] = self.reason
        return {**shown, **self.details}


@lru_cache(maxsize=_SILENCES_KEPT)
def silence(dataset: str, status: DatasetStatus, reason: str | None, floor: int | None = None) -> DatasetAnswer:
    """A dataset that tells no number: the same answer to nearly every question, made and written once."""
    answer = DatasetAnswer(dataset, status, reason, 0, (), {} if floor is None else {"floor": floor})
    return replace(answer, line=orjson.Fragment(orjson.dumps(_line(answer, "boolean"))))


def returned(asked: Granularity | None, default: Granularity, *, most: Granularity = "record") -> Granularity:
    """The granularity of the answer: what was asked, or less where no dataset asked gives more."""
    wanted = asked or default
    return wanted if _RANK[wanted] <= _RANK[most] else most


def answer_meta(
    beacon_id: str, question: BeaconQuestion, granularity: Granularity, entry: EntryType | None, default: Granularity = DEFAULT
) -> dict[str, Any]:
    """`meta` of an answer or an error, every required member filled."""
    return {
        "beaconId": beacon_id,
        "apiVersion": API_VERSION,
        "returnedSchemas": [{"entityType": entry, "schema": ENTRY_TYPES[entry].schema}] if entry else [],
        "returnedGranularity": granularity,
        "receivedRequestSummary": question.summary(default),
    }


def result_sets_answer(
    meta: Mapping[str, Any],
    answers: Sequence[DatasetAnswer],
    granularity: Granularity,
    include: Include,
    total: int | None = None,
) -> dict[str, Any]:
    """The answer of an entry type whose results come in sets, one for each dataset.

    A count answer carries its result sets too, without results: clients read a dataset's number there. `total` is
    given where results of several datasets may be the same ones; otherwise it is their sum.
    """
    found = [answer for answer in answers if answer.count]
    summary: ResponseSummary = {"exists": bool(found)}
    document: dict[str, Any] = {"meta": meta, "responseSummary": summary}
    if granularity != "boolean":
        summary["numTotalResults"] = sum(answer.count for answer in found) if total is None else total
        shown = found if include == "HIT" else [answer for answer in answers if _shown(answer, include)]
        document["response"] = {"resultSets": [_result_set(answer) for answer in shown]}
    document["info"] = {"datasets": [answer.line or _line(answer, granularity) for answer in answers]}
    return document


def collections_answer(
    meta: Mapping[str, Any], collections: Sequence[Any], total: int, granularity: Granularity
) -> dict[str, Any]:
    """The answer of an entry type that is a collection: datasets, cohorts."""
    summary: ResponseSummary = {"exists": total > 0}
    if granularity != "boolean":
        summary["numTotalResults"] = total
    document: dict[str, Any] = {"meta": meta, "responseSummary": summary}
    if granularity == "record":
        document["response"] = {"collections": list(collections)}
    return document


def error_answer(meta: Mapping[str, Any], error: CohelixError | None, request_id: str | None) -> dict[str, Any]:
    """Beacon's body of an error; None for one that nobody expected, of which only the log knows more."""
    if error is None:
        where = f"; the server's log has the details under request {request_id}" if request_id else ""
        return {"meta": meta, "error": {"errorCode": 500, "errorMessage": f"{CohelixError.title}{where}"}}
    return {"meta": meta, "error": {"errorCode": error.status, "errorMessage": f"{error.title}: {error.detail}"}}


def _shown(answer: DatasetAnswer, include: Include) -> bool:
    return include == "ALL" or (include == "MISS" and not answer.exists)


def _result_set(answer: DatasetAnswer) -> ResultSet:
    return {
        "id": answer.dataset,
        "setType": "dataset",
        "exists": answer.exists,
        "resultsCount": answer.count,
        "results": list(answer.results),
        "info": answer.info,
    }


def _line(answer: DatasetAnswer, granularity: Granularity) -> dict[str, Any]:
    """A dataset's line in `info.datasets`; at boolean granularity without numbers."""
    details = (
        answer.details
        if granularity != "boolean"
        else {name: answer.details[name] for name in _PLAIN if name in answer.details}
    )
    line: dict[str, Any] = {"id": answer.dataset, "exists": answer.exists, "status": answer.status}
    if answer.reason:
        line["reason"] = answer.reason
    return {**line, **details}


_PLAIN: Final = ("floor",)
