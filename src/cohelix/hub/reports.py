"""Reports out of applications' events: the Five Safes of a project, and the records that a data protection officer keeps.

Both say what happened, out of events and runs, and judge nothing. They name people by subject and issuer, for auditors,
committees and data protection officers.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from cohelix.access.applications import Application, LineStage
from cohelix.core.spreadsheet import cell
from cohelix.federation.run_store import RunStore, StoredRun
from cohelix.wire import applications as wire
from cohelix.wire.applications import Event, Identity
from cohelix.wire.dataset import DatasetRecord

_RUNS_MAX: Final = 10_000
SAFEGUARDS: Final = (
    "Genotypes and records stay at the member that holds them; analyses travel there, and figures leave as secure sums; "
    "results are released by two reviewers; every use is in an audit log that other members witness."
)


def five_safes(
    identifier: str,
    state: Application,
    events: Sequence[Event],
    *,
    records: Mapping[str, DatasetRecord],
    runs: RunStore | None = None,
) -> dict[str, Any]:
    """A project by people, project, settings, data and outputs (Desai, Ritchie and Welpton 2016).

    Parameters
    ----------
    records
        The datasets' records, as far as their members tell of them.
    runs
        Where analyses are kept: those of the project's people over its datasets are its outputs.
    """
    form = state.form
    people = (state.applicant, *form.members)
    return {
        "application": identifier,
        "stage": state.stage.value,
        "people": {
            "applicant": state.applicant.model_dump(),
            "members": [one.model_dump() for one in form.members],
            "organisation": form.organisation,
            "signedBy": [_person(event) for event in events if event.event == "signed"],
        },
        "project": {
            "title": form.title,
            "summary": form.summary,
            "track": form.track,
            "investigations": list(form.investigations),
            "diseases": list(form.diseases),
            "commercial": form.commercial,
            "forProfit": form.for_profit,
            "usedFrom": form.country,
            "months": form.months,
            "hasPlan": bool(form.plan),
            "attachments": sorted(form.attachments),
        },
        "settings": {
            "safeguards": SAFEGUARDS,
            "conditions": {name: list(line.conditions) for name, line in state.lines.items()},
            "agreements": [
                {"sha256": sha256, "datasets": list(one.datasets), "signed": sorted(one.sides)}
                for sha256, one in state.agreements.items()
            ],
        },
        "data": [_dataset(name, state, events, records.get(name)) for name in state.lines],
        "outputs": [_output(run, runs) for run in _runs_of(people, set(state.lines), runs)],
    }


def decisions_of(state: Application, events: Sequence[Event], dataset: str) -> list[dict[str, Any]]:
    """What was decided about a dataset, in order: by whom, when, and why; a committee's reason is its proposal's."""
    found: list[dict[str, Any]] = []
    proposed = ""
    for event in events:
        if getattr(event, "dataset", None) != dataset or dataset not in state.lines:
            continue
        if isinstance(event, wire.Proposed):
            proposed = event.reason
        if event.event in _DECISIONS:
            reason = proposed if isinstance(event, wire.Decided) else getattr(event, "reason", None)
            said = {"decision": getattr(event, "decision", None), "reason": reason, "by": _person(event)}
            found.append({"at": event.at.isoformat(), "event": event.event, **said})
    return found


_DECISIONS: Final = frozenset(
    [
        "decided",
        "confirmed",
        "vetoed",
        "granted",
        "suspended",
        "revoked",
        "expired",
        "appealed",
        "appeal-upheld",
        "appeal-dismissed",
        "renewal-asked",
    ]
)
PROCESSING_COLUMNS: Final = (
    "application",
    "dataset",
    "controller",
    "purpose",
    "categories_of_people_and_data",
    "recipients",
    "recipients_country",
    "legal_decision_by",
    "country_that_may_veto",
    "stage",
    "decided_at",
    "reasons",
    "visas",
    "ends_at",
    "safeguards",
)


def processing_records(
    applications: Iterable[tuple[str, Application, Sequence[Event]]], records: Mapping[str, DatasetRecord]
) -> list[dict[str, str]]:
    """Records of processing (General Data Protection Regulation, Article 30): one for each dataset that was applied for."""
    found = []
    for identifier, state, events in applications:
        for name, line in state.lines.items():
            record = records.get(name)
            decided = [one for one in decisions_of(state, events, name) if one["event"] != "granted"]
            reasons = [f"{one['event']}: {one['reason']}" for one in decided if one["reason"]]
            found.append(
                {
                    "application": identifier,
                    "dataset": name,
                    "controller": name.partition(":")[0],
                    "purpose": "; ".join((state.form.title, *state.form.investigations, *state.form.diseases)),
                    "categories_of_people_and_data": record.title if record else "",
                    "recipients": "; ".join([state.form.organisation, *(_name(one) for one in _people(state))]),
                    "recipients_country": state.form.country or "",
                    "legal_decision_by": line.line.authority,
                    "country_that_may_veto": line.line.country,
                    "stage": line.stage.value,
                    "decided_at": decided[-1]["at"] if decided else "",
                    "reasons": "; ".join(reasons),
                    "visas": "; ".join(line.visas),
                    "ends_at": line.until.isoformat() if line.until else "",
                    "safeguards": SAFEGUARDS if line.stage in _USED else "",
                }
            )
    return found


def processing_csv(rows: Iterable[Mapping[str, str]]) -> str:
    """The records as CSV that no spreadsheet takes for formulas."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(PROCESSING_COLUMNS)
    writer.writerows([cell(row[name]) for name in PROCESSING_COLUMNS] for row in rows)
    return out.getvalue()


_USED: Final = frozenset({LineStage.GRANTED, LineStage.SUSPENDED, LineStage.REVOKED, LineStage.EXPIRED})


def _dataset(name: str, state: Application, events: Sequence[Event], record: DatasetRecord | None) -> dict[str, Any]:
    line = state.lines[name]
    return {
        "dataset": name,
        "title": record.title if record else None,
        "people": record.n_individuals if record else None,
        "release": record.release if record else None,
        "disclosure": record.disclosure if record else None,
        "uses": [one.code for one in record.duo] if record else [],
        "authority": line.line.authority,
        "country": line.line.country,
        "stage": line.stage.value,
        "until": line.until.isoformat() if line.until else None,
        "visas": list(line.visas),
        "decisions": decisions_of(state, events, name),
    }


def _runs_of(people: Sequence[Identity], datasets: set[str], runs: RunStore | None) -> list[StoredRun]:
    if runs is None:
        return []
    known = [one.model_dump() for one in people]
    return [
        run
        for run in runs.newest(_RUNS_MAX)
        if run.details.get("proposer") in known and datasets & set(run.plan.get("datasets", ()))
    ]


def _output(run: StoredRun, runs: RunStore | None) -> dict[str, Any]:
    reviews = runs.reviews(run.id) if runs else []
    return {
        "run": run.id,
        "project": run.plan.get("project"),
        "method": run.plan.get("method"),
        "datasets": list(run.plan.get("datasets", ())),
        "state": run.state,
        "proposedAt": run.proposed_at,
        "endedAt": run.ended_at,
        "reviews": [{"role": one.role, "decision": one.decision, "reason": one.reason, "at": one.at} for one in reviews],
    }


def _people(state: Application) -> tuple[Identity, ...]:
    return state.applicant, *state.form.members


def _name(person: Identity) -> str:
    return f"{person.subject} ({person.issuer})"


def _person(event: wire.Happened) -> str:
    return _name(event.by) if event.by else "a clock"
