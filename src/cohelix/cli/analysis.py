"""`cohelix analysis check|run|status|result|cancel`: plans, runs and results; and the hub's `runs`, `review` and `verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cohelix.cli.groups import add_group, analysis_app, hub_app

if TYPE_CHECKING:
    from cohelix.sdk.analyses import Analysis, Event

_Plan = Annotated[Path, typer.Argument(metavar="PLAN.yaml", help="A plan, YAML or JSON: docs/reference/plan.md.")]
_RunId = Annotated[str, typer.Argument(metavar="RUN", help="The id of an analysis, as `analysis run` prints it.")]
_Hub = Annotated[str, typer.Option("--hub", metavar="URL", envvar="COHELIX_HUB", help="The hub's address.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
_Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="A new or empty folder for the result files.")]
_HubFolder = Annotated[Path, typer.Argument(metavar="DIR", help="The hub's folder.")]
_BY_POLICY = 3


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add_group(app, analysis_app)
    add_group(app, hub_app)
    analysis_app.command("check")(check)
    analysis_app.command("run")(run)
    analysis_app.command("status")(status)
    analysis_app.command("result")(result)
    analysis_app.command("cancel")(cancel)
    hub_app.command("runs")(runs)
    hub_app.command("review")(review)
    hub_app.command("verify")(verify)


def check(plan: _Plan, *, hub: _Hub, as_json: _Json = False) -> None:
    """What every node would say to a plan, how many people (at least), and how long it takes; begins nothing.

    Exit status 3 where too few nodes would take part.
    """
    from cohelix.sdk import connect
    from cohelix.wire.plan import read_plan

    read = read_plan(plan)
    with connect(hub) as client:
        found = client.analyses.check(read)
    typer.echo(found.model_dump_json() if as_json else str(found))
    if not found.possible:
        raise typer.Exit(_BY_POLICY)


def run(plan: _Plan, *, hub: _Hub, out: _Out, as_json: _Json = False) -> None:
    """Run a plan over the federation, wait for its release, and fetch the result files.

    Progress goes to standard error. Exit status 3 where the analysis is refused, or held until people release it: fetch it
    later with `cohelix analysis result RUN`.
    """
    from cohelix.sdk import connect
    from cohelix.sdk.analyses import checked_folder
    from cohelix.wire.plan import read_plan

    read, folder = read_plan(plan), checked_folder(out)
    with connect(hub) as client:
        begun = client.analyses.propose(read)
        typer.echo(f"analysis {begun.id} of {begun.plan['project']} is proposed", err=True)
        found = client.analyses.wait(begun.id, say=_say)
        if found.state == "released":
            client.analyses.result(found.id, folder)
    _finish(found, folder if found.state == "released" else None, as_json)


def status(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="The id of an analysis; all of them without.")] = None,
    *,
    hub: _Hub,
    as_json: _Json = False,
) -> None:
    """The state of an analysis, its nodes and how far it is; or the newest analyses."""
    from cohelix.sdk import connect

    with connect(hub) as client:
        found = client.analyses.list() if run is None else client.analyses.status(run)
    typer.echo(found.model_dump_json() if as_json else str(found))


def result(run: _RunId, *, hub: _Hub, out: _Out, as_json: _Json = False) -> None:
    """Fetch the result files of a released analysis; exit status 3 where it is not released."""
    from cohelix.sdk import connect
    from cohelix.sdk.analyses import checked_folder

    folder = checked_folder(out)
    with connect(hub) as client:
        found = client.analyses.status(run)
        if found.state == "released":
            client.analyses.result(run, folder)
    _finish(found, folder if found.state == "released" else None, as_json)


def cancel(run: _RunId, *, hub: _Hub, as_json: _Json = False) -> None:
    """End an analysis that is under way; what nodes kept for it goes."""
    from cohelix.sdk import connect

    with connect(hub) as client:
        found = client.analyses.cancel(run)
    typer.echo(found.model_dump_json() if as_json else found.caption())


def runs(folder: _HubFolder, as_json: _Json = False) -> None:
    """The analyses of a hub, the newest first; works beside a hub that serves."""
    from cohelix.cli.tables import show_table
    from cohelix.federation.runs import tell
    from cohelix.hub.settings import open_runs

    store = open_runs(folder)
    found = [tell(one) for one in store.newest(1000)]
    store.close()
    if as_json:
        typer.echo(json.dumps({"runs": [one.model_dump(mode="json") for one in found]}, ensure_ascii=False))
        return
    rows = [(one.id, one.state, one.plan.get("project"), one.plan.get("method"), one.proposed_at, one.reason) for one in found]
    show_table(("Analysis", "State", "Project", "Method", "Proposed", "Reason"), rows)


def review(
    folder: _HubFolder,
    run: _RunId,
    *,
    by: Annotated[str | None, typer.Option("--by", metavar="ROLE", help="Who reviews: a name or a role.")] = None,
    release: Annotated[bool, typer.Option("--release", help="Agree to the release.")] = False,
    refuse: Annotated[str | None, typer.Option("--refuse", metavar="REASON", help="Refuse the release, and say why.")] = None,
    as_json: _Json = False,
) -> None:
    """See the automatic verdicts on a held analysis, and release or refuse it; works beside a hub that serves.

    Two different people must agree to a release; where all data are open, one suffices. One refusal ends it.
    """
    from cohelix.audit.events import Event as LogEvent
    from cohelix.audit.events import RunReleased, RunReviewed
    from cohelix.cli.audit_log import hub_log, note
    from cohelix.core.errors import BadUsage
    from cohelix.federation.runs import review as write_down
    from cohelix.federation.runs import reviewers_needed, tell
    from cohelix.hub.settings import open_runs, verdicts_of

    if release and refuse is not None:
        raise BadUsage("a review releases or refuses: give one of --release and --refuse")
    if (release or refuse is not None) and not by:
        raise BadUsage("say who reviews: --by ROLE")
    store = open_runs(folder)
    stored, verdicts = store.get(run), verdicts_of(folder, run)
    if release or refuse is not None:
        failed = [one["file"] for one in verdicts if one["verdict"] == "fail"]
        stored = write_down(store, run, role=str(by), release=release, reason=refuse, failed=failed)
        told: list[LogEvent] = [RunReviewed(run, "release" if release else "reject")]
        if stored.state == "released":
            told.append(RunReleased(run, stored.plan_hash))
        note(hub_log(folder), told)
    said, needed = store.reviews(run), reviewers_needed(stored)
    store.close()
    if as_json:
        document: dict[str, Any] = {
            "run": tell(stored).model_dump(mode="json"),
            "reviews": [one.model_dump(mode="json") for one in said],
            "verdicts": verdicts,
            "reviewersNeeded": needed,
        }
        typer.echo(json.dumps(document, ensure_ascii=False))
        return
    typer.echo(f"analysis {run} is {stored.state}" + (f": {stored.reason}" if stored.reason else ""))
    for one in verdicts:
        typer.echo(f"{one['file']}: {one['verdict']}: {'; '.join(one['reasons'])}")
    for word in said:
        typer.echo(f"{word.role}: {word.decision}" + (f": {word.reason}" if word.reason else ""))
    if stored.state == "held":
        typer.echo(f"{sum(word.decision == 'release' for word in said)} of {needed} reviewers have agreed")


def verify(folder: _HubFolder, run: _RunId, *, as_json: _Json = False) -> None:
    """Compute an analysis again from the partial sums that its aggregators signed, and name who departed from the method.

    Asks nobody; works beside a hub that serves. Exit status 1 where something does not follow.
    """
    from cohelix.federation.verification import verify_run
    from cohelix.hub.settings import RUNS_FOLDER, open_runs, open_sums

    store = open_runs(folder)
    stored = store.get(run)
    store.close()
    sums = open_sums(folder, run)
    verdict = verify_run(stored, sums, folder / RUNS_FOLDER / run)
    blocks = len(sums.blocks())
    if as_json:
        document = {
            "run": run,
            "ok": not verdict.findings,
            "blocks": blocks,
            "result": verdict.result,
            "findings": [one._asdict() for one in verdict.findings],
        }
        typer.echo(json.dumps(document, ensure_ascii=False))
    elif not verdict.findings:
        compared = "the table follows from them" if verdict.result is not None else "the method stops over them, as the run did"
        typer.echo(f"analysis {run}: {blocks} opened blocks are as signed and as the method asks; {compared}")
    else:
        for one in verdict.findings:
            where = f"ask {one.ask}, block {one.block}: " if one.ask >= 0 else ""
            typer.echo(f"{one.name} ({one.member or 'two are possible'}): {where}{one.detail}")
    if verdict.findings:
        raise typer.Exit(1)


def _say(event: Event) -> None:
    """An event in words, on standard error."""
    told, node = event.document, event.document.get("node")
    if event.event == "state":
        words = str(told.get("state"))
    elif event.event == "progress":
        if not told.get("step"):  # nothing has been asked yet
            return
        left = told.get("secondsLeft")
        words = f"{told.get('step')}: block {told.get('block')} of {told.get('blocks')}, {float(told.get('fraction', 0)):.0%}"
        words += "" if left is None else f", about {left:.0f} s left"
    else:
        words = f"{node}: {event.event}" if node else event.event
    reason = f": {told['reason']}" if told.get("reason") else ""
    typer.echo(f"{words}{reason}", err=True)


def _finish(found: Analysis, folder: Path | None, as_json: bool) -> None:
    """Tell how an analysis stands, and leave with the exit status of it."""
    files = [] if folder is None else [str(folder / name) for name in found.files]
    if as_json:
        typer.echo(json.dumps({**found.model_dump(mode="json"), "downloaded": files}, ensure_ascii=False))
    else:
        typer.echo(found.caption())
        for name in files:
            typer.echo(name)
        if found.state == "held":
            typer.echo(f"It waits for its reviewers; then: cohelix analysis result {found.id} --out DIR")
    if found.state == "aborted":
        raise typer.Exit(1)
    if found.state != "released":
        raise typer.Exit(_BY_POLICY)
