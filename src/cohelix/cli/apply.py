"""`cohelix apply …`: the catalogue and its advice, an application from draft to visa, as its applicant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cohelix.cli.groups import add_group
from cohelix.cli.tables import plain, show_table

if TYPE_CHECKING:
    from cohelix.sdk.applications import Application, ApplicationsClient, CatalogueTable
    from cohelix.sdk.frames import Tabular

Hub = Annotated[str, typer.Option("--hub", metavar="URL", envvar="COHELIX_HUB", help="The hub's address.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Id = Annotated[str, typer.Argument(metavar="APPLICATION", help="Its id, A-….")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, in words.")]
Dataset = Annotated[
    str | None, typer.Option("--dataset", metavar="NODE:DATASET", help="Which dataset; the only one if left out.")
]
_Datasets = Annotated[
    list[str] | None, typer.Option("--dataset", metavar="NODE:DATASET", help="A dataset of the catalogue; may repeat.")
]
_Investigations = Annotated[
    list[str] | None,
    typer.Option("--investigation", metavar="WORD", help="What is done, in DUO's terms: genetic, ancestry, …; may repeat."),
]
_Diseases = Annotated[
    list[str] | None, typer.Option("--disease", metavar="CODE", help="Which is studied, as MONDO:0004992; may repeat.")
]
_Commercial = Annotated[bool | None, typer.Option("--commercial/--not-commercial", help="Whether the use is commercial.")]
_ForProfit = Annotated[bool | None, typer.Option("--for-profit/--non-profit", help="Whether an organisation works for profit.")]
_Country = Annotated[str | None, typer.Option("--country", metavar="CC", help="Where the data are used from.")]
_Months = Annotated[int | None, typer.Option("--months", min=1, help="For how long they are wanted.")]
_Title = Annotated[str | None, typer.Option("--title", metavar="TEXT", help="The project's title.")]
_Summary = Annotated[str | None, typer.Option("--summary", metavar="TEXT", help="What it asks, in words for everybody.")]
_Organisation = Annotated[
    str | None, typer.Option("--organisation", metavar="NAME", help="Whose signing official signs; as the operator named it.")
]
_Members = Annotated[
    list[str] | None,
    typer.Option("--member", metavar="SUBJECT", help="Who works with the data too, by `cohelix whoami`; may repeat."),
]
_Plan = Annotated[Path | None, typer.Option("--plan", metavar="FILE", help="The analysis plan, as YAML.")]
_Track = Annotated[str | None, typer.Option("--track", metavar="WORD", help="research, or healthcare: the fast track.")]

apply_app = typer.Typer(name="apply", help="Apply for data: catalogue, advice, application, visas.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add `cohelix apply`."""
    for command in (catalogue, new, edit, attach, submit, show, answer, withdraw, copy, appeal, renew):
        apply_app.command(command.__name__)(command)
    apply_app.command("list")(list_applications)
    add_group(app, apply_app)


def catalogue(
    hub: Hub,
    *,
    dataset: _Datasets = None,
    investigation: _Investigations = None,
    disease: _Diseases = None,
    commercial: _Commercial = None,
    for_profit: _ForProfit = None,
    country: _Country = None,
    months: _Months = None,
    as_json: Json = False,
) -> None:
    """The datasets that one may apply for; with a purpose, what their data-use codes say of it. The committee decides."""
    said = _given(
        investigations=investigation,
        diseases=disease,
        commercial=commercial,
        for_profit=for_profit,
        country=country,
        months=months,
    )

    def work(client: ApplicationsClient) -> CatalogueTable:
        return client.advise(datasets=dataset or (), **said) if said or dataset else client.catalogue()

    found = asked(hub, work)
    if as_json:
        typer.echo(found.model_dump_json())
        return
    _show(found)
    for one in found.datasets:
        for finding in one.findings:
            typer.echo(plain(f"{one.record.id}  {finding.clause}: {finding.reason} ({finding.advice})"))


def new(
    hub: Hub,
    *,
    dataset: _Datasets = None,
    title: _Title = None,
    summary: _Summary = None,
    organisation: _Organisation = None,
    investigation: _Investigations = None,
    disease: _Diseases = None,
    commercial: _Commercial = None,
    for_profit: _ForProfit = None,
    country: _Country = None,
    months: _Months = None,
    member: _Members = None,
    plan: _Plan = None,
    track: _Track = None,
    as_json: Json = False,
) -> None:
    """Begin an application; what is not said yet can be said with `cohelix apply edit`."""
    form = _form(
        title=title,
        summary=summary,
        organisation=organisation,
        investigations=investigation,
        diseases=disease,
        commercial=commercial,
        for_profit=for_profit,
        country=country,
        months=months,
        plan=plan,
        track=track,
    )
    show_one(asked(hub, lambda client: client.create(dataset or (), **form, **_members(client, member))), as_json)


def edit(
    application: Id,
    hub: Hub,
    *,
    dataset: _Datasets = None,
    title: _Title = None,
    summary: _Summary = None,
    organisation: _Organisation = None,
    investigation: _Investigations = None,
    disease: _Diseases = None,
    commercial: _Commercial = None,
    for_profit: _ForProfit = None,
    country: _Country = None,
    months: _Months = None,
    member: _Members = None,
    plan: _Plan = None,
    track: _Track = None,
    as_json: Json = False,
) -> None:
    """Change a draft, or an application that was returned; what is not said stays."""
    form = _form(
        title=title,
        summary=summary,
        organisation=organisation,
        investigations=investigation,
        diseases=disease,
        commercial=commercial,
        for_profit=for_profit,
        country=country,
        months=months,
        plan=plan,
        track=track,
    )
    basket = {} if dataset is None else {"datasets": dataset}
    show_one(asked(hub, lambda client: client.save(application, **form, **basket, **_members(client, member))), as_json)


def attach(
    application: Id,
    hub: Hub,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="PDF, PNG, JPEG, DOCX, ODT, TXT, CSV or YAML; 16 MiB at most.")],
    as_json: Json = False,
) -> None:
    """Attach a file to a draft; the hub keeps it encrypted."""

    def work(client: ApplicationsClient) -> Application:
        client.attach(application, file)
        return client.get(application)

    show_one(asked(hub, work), as_json)


def submit(application: Id, hub: Hub, as_json: Json = False) -> None:
    """Ask the organisation's signing official to sign; with the signature the committees' clocks begin."""
    act(hub, application, "signing-asked", as_json)


def show(
    application: Id,
    hub: Hub,
    events: Annotated[bool, typer.Option("--events", help="All that happened, too.")] = False,
    as_json: Json = False,
) -> None:
    """One application: where each dataset is, what runs until when, and what happened."""
    found = asked(hub, lambda client: client.get(application))
    show_one(found, as_json)
    if events:
        happened = asked(hub, lambda client: client.events(application))
        rows = [
            (one["at"][:19], (one["by"] or {}).get("subject", "clock"), one["event"], one.get("dataset", ""))
            for one in happened
        ]
        show_table(("At (UTC)", "By", "Event", "Dataset"), [tuple(map(plain, row)) for row in rows])


def list_applications(hub: Hub, as_json: Json = False) -> None:
    """The applications that you may read, the last changed first."""
    found = asked(hub, lambda client: client.list())
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        _show(found)


def answer(
    application: Id, hub: Hub, text: Annotated[str, typer.Argument(metavar="TEXT", help="The answer.")], as_json: Json = False
) -> None:
    """Answer a committee's question."""
    act(hub, application, "answered", as_json, text=text)


def withdraw(application: Id, hub: Hub, as_json: Json = False) -> None:
    """Take the application back; visas that were issued are revoked."""
    act(hub, application, "withdrawn", as_json)


def copy(application: Id, hub: Hub, as_json: Json = False) -> None:
    """Begin a new application with the form of this one, as for an amendment."""
    show_one(asked(hub, lambda client: client.copy(application)), as_json)


def appeal(application: Id, hub: Hub, *, reason: Reason, dataset: Dataset = None, as_json: Json = False) -> None:
    """Contest a denial or a veto, once, within 30 days."""
    act(hub, application, "appealed", as_json, dataset=dataset, reason=reason)


def renew(application: Id, hub: Hub, *, reason: Reason, dataset: Dataset = None, as_json: Json = False) -> None:
    """Ask for a grant to be renewed; it goes on meanwhile, until its end."""
    act(hub, application, "renewal-asked", as_json, dataset=dataset, reason=reason)


def act(hub: str, application: str, event: str, as_json: bool, **fields: Any) -> None:
    """Make something happen and show what it came to; `dataset=None` is the application's only one."""

    def work(client: ApplicationsClient) -> Application:
        if "dataset" in fields and fields["dataset"] is None:
            fields["dataset"] = only_dataset(client.get(application))
        return client.act(application, event, **fields)

    show_one(asked(hub, work), as_json)


def only_dataset(application: Application) -> str:
    """The dataset of an application that has one; raises `BadUsage`."""
    from cohelix.core.errors import BadUsage

    names = [line.dataset for line in application.form.lines]
    if len(names) != 1:
        raise BadUsage(f"say which dataset with --dataset: {', '.join(names) or 'the application has none'}")
    return names[0]


def show_one(found: Application, as_json: bool) -> None:
    """Print an application."""
    if as_json:
        typer.echo(found.model_dump_json())
        return
    typer.echo(plain(found.caption()))
    _show(found)
    for clock in found.clocks:
        typer.echo(plain(f"until {clock.at[:19]} UTC: {clock.event} {clock.dataset or ''}"))
    for one in found.agreements:
        signed = ", ".join(one.signed) or "nobody yet"
        typer.echo(f"agreement {one.sha256} on {', '.join(one.datasets)}: signed by {signed}")
    if found.unanswered:
        typer.echo("a committee waits for an answer: see `cohelix apply show --events`")


def asked(hub: str, work: Callable[[ApplicationsClient], Any]) -> Any:
    """What a hub answers to whoever has logged in; `NotAuthentic` says how to log in."""
    from cohelix.core.errors import NotAuthentic
    from cohelix.sdk import connect

    with connect(hub) as client:
        try:
            return work(client.applications)
        except NotAuthentic:
            if client.identity is None:
                raise NotAuthentic(f"you are not logged in at {hub}: run `cohelix login --hub {hub}`") from None
            raise


def _show(found: Tabular) -> None:
    rows = [["" if value is None else plain(str(value)) for value in row] for row in found.rows()]
    show_table(tuple(found.columns), rows)


def _form(*, plan: Path | None, **fields: Any) -> dict[str, Any]:
    """The fields of a form that were given."""
    return _given(**fields, plan=None if plan is None else plan.read_text(encoding="utf-8"))


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _members(client: ApplicationsClient, subjects: list[str] | None) -> dict[str, Any]:
    """Members by their subjects at the issuer of whoever applies, unless they are given as SUBJECT@ISSUER."""
    if subjects is None:
        return {}
    issuer = client.issuer()
    found = []
    for text in subjects:
        subject, at, other = text.partition("@https://")
        found.append({"subject": subject, "issuer": f"https://{other}" if at else issuer})
    return {"members": found}
