"""`cohelix desk …`: what signing officials, committees, national points, data holders and chairs do about applications."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cohelix.cli.apply import Dataset, Hub, Id, Json, Reason, act, asked, only_dataset, show_one
from cohelix.cli.groups import add_group

if TYPE_CHECKING:
    from cohelix.sdk.applications import Application, ApplicationsClient

_Text = Annotated[str, typer.Argument(metavar="TEXT", help="In words.")]
_Decision = Annotated[str, typer.Argument(metavar="approve|deny", help="The decision.")]

desk_app = typer.Typer(
    name="desk",
    help="Decide about applications: sign, vote, propose, second, confirm or veto, agree, suspend.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    """Add `cohelix desk`."""
    for name, command in (
        ("sign", sign),
        ("ask", ask),
        ("return", give_back),
        ("delay", delay),
        ("check", check),
        ("vote", vote),
        ("propose", propose),
        ("second", second),
        ("confirm", confirm),
        ("veto", veto),
        ("agreement", agreement),
        ("suspend", suspend),
        ("revoke", revoke),
        ("hear", hear),
    ):
        desk_app.command(name)(command)
    add_group(app, desk_app)


def sign(
    application: Id,
    hub: Hub,
    refuse: Annotated[str | None, typer.Option("--refuse", metavar="REASON", help="Do not sign, and say why.")] = None,
    as_json: Json = False,
) -> None:
    """Sign an application for its organisation: it goes to the committees. As its signing official."""
    if refuse is None:
        act(hub, application, "signed", as_json)
    else:
        act(hub, application, "signing-refused", as_json, reason=refuse)


def ask(application: Id, hub: Hub, text: _Text, as_json: Json = False) -> None:
    """Ask the applicant something. As a committee that is deciding."""
    act(hub, application, "asked", as_json, text=text)


def give_back(application: Id, hub: Hub, *, reason: Reason, as_json: Json = False) -> None:
    """Give an application back to be changed, before anything of it is decided. As a committee."""
    act(hub, application, "returned", as_json, reason=reason)


def delay(
    application: Id,
    hub: Hub,
    *,
    until: Annotated[datetime, typer.Option("--until", formats=["%Y-%m-%d"], help="The last day that you ask for.")],
    reason: Reason,
    authority: Annotated[str, typer.Option("--authority", metavar="ID", help="Your committee.")],
    as_json: Json = False,
) -> None:
    """Tell the applicant that your committee needs longer."""
    act(hub, application, "delayed", as_json, until=until.date().isoformat(), reason=reason, authority=authority)


def check(
    application: Id,
    hub: Hub,
    *,
    dataset: Dataset = None,
    point: Annotated[
        list[str] | None,
        typer.Option("--point", metavar="WORD=yes|no", help="A point of your checklist and what you found; may repeat."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Record that you have gone through your committee's checklist; an approval needs it."""
    from cohelix.core.errors import BadUsage

    points = {}
    for text in point or ():
        name, _, found = text.rpartition("=")
        if not name or found not in ("yes", "no"):
            raise BadUsage(f"{text[:80]!r}: a point is WORD=yes or WORD=no")
        points[name] = found == "yes"
    if not points:
        raise BadUsage("say what you found with --point, as --point ethics=yes --point 'data minimised=no'")
    act(hub, application, "checked", as_json, dataset=dataset, points=points)


def vote(
    application: Id,
    hub: Hub,
    decision: _Decision,
    *,
    dataset: Dataset = None,
    comment: Annotated[str, typer.Option("--comment", metavar="TEXT", help="For the committee.")] = "",
    as_json: Json = False,
) -> None:
    """Vote; a later vote takes an earlier one's place. As a member of the committee."""
    act(hub, application, "voted", as_json, dataset=dataset, vote=decision, comment=comment)


def propose(
    application: Id,
    hub: Hub,
    decision: _Decision,
    *,
    reason: Reason,
    dataset: Dataset = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            "--condition",
            metavar="TEXT",
            help="A condition of an approval; may repeat. The visa holds 'until DATE' and 'visa KIND', the agreement the rest.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Propose the decision that the votes came to; another member seconds it."""
    conditions = condition or []
    act(hub, application, "proposed", as_json, dataset=dataset, decision=decision, reason=reason, conditions=conditions)


def second(application: Id, hub: Hub, decision: _Decision, *, dataset: Dataset = None, as_json: Json = False) -> None:
    """Second another member's proposal: the committee has decided."""
    act(hub, application, "decided", as_json, dataset=dataset, decision=decision)


def confirm(application: Id, hub: Hub, *, dataset: Dataset = None, as_json: Json = False) -> None:
    """Confirm a committee's approval. As the country's coordination point."""
    act(hub, application, "confirmed", as_json, dataset=dataset)


def veto(application: Id, hub: Hub, *, reason: Reason, dataset: Dataset = None, as_json: Json = False) -> None:
    """Veto a committee's approval, and say why. As the country's coordination point."""
    act(hub, application, "vetoed", as_json, dataset=dataset, reason=reason)


def agreement(
    application: Id,
    hub: Hub,
    *,
    draw: Annotated[bool, typer.Option("--draw", help="Write it, on all datasets that are confirmed and have none.")] = False,
    sign_as: Annotated[
        str | None, typer.Option("--sign-as", metavar="user|holder", help="Sign it as the user's or the data holder's side.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the agreement's text; draw it (data holder or committee), sign it (signing official, data holder)."""
    from cohelix.core.errors import BadUsage, NotFound

    if draw and sign_as:
        raise BadUsage("draw it, read it, then sign it")
    if sign_as not in (None, "user", "holder"):
        raise BadUsage("--sign-as is user or holder")

    def work(client: ApplicationsClient) -> Application | str:
        found = client.get(application)
        if draw:
            waiting = [line.dataset for line in found.lines if line.stage == "confirmed" and not line.agreement]
            return client.draw_agreement(application, waiting)
        if not found.agreements:
            raise NotFound("no agreement was drawn yet: --draw writes it when datasets are confirmed")
        if sign_as is None:
            return client.agreement(application, found.agreements[-1].sha256)
        unsigned = [one.sha256 for one in found.agreements if sign_as not in one.signed]
        if not unsigned:
            raise NotFound(f"nothing waits to be signed by the {sign_as}'s side")
        for sha256 in unsigned:
            found = client.act(application, "agreement-signed", side=sign_as, sha256=sha256)
        return found

    found = asked(hub, work)
    if isinstance(found, str):
        typer.echo(found)
    else:
        show_one(found, as_json)


def suspend(application: Id, hub: Hub, *, reason: Reason, dataset: Dataset = None, as_json: Json = False) -> None:
    """Suspend a grant: its visas end within a minute. One person of committee, country or data holder is enough."""
    act(hub, application, "suspended", as_json, dataset=dataset, reason=reason)


def revoke(application: Id, hub: Hub, *, reason: Reason, dataset: Dataset = None, as_json: Json = False) -> None:
    """Revoke a grant for good: its visas end within a minute."""
    act(hub, application, "revoked", as_json, dataset=dataset, reason=reason)


def hear(
    application: Id,
    hub: Hub,
    *,
    uphold: Annotated[bool, typer.Option("--uphold/--dismiss", help="For the applicant, or that the decision stands.")],
    reason: Reason,
    dataset: Dataset = None,
    as_json: Json = False,
) -> None:
    """Hear an appeal. As a chair who had no part in the decision."""

    def work(client: ApplicationsClient) -> Application:
        name = dataset or only_dataset(client.get(application))
        event = "appeal-upheld" if uphold else "appeal-dismissed"
        return client.act(application, event, dataset=name, reason=reason)

    show_one(asked(hub, work), as_json)
