"""`cohelix notices`, and for the hub's operator `cohelix hub mail`: what people have to know, and where their mail goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cohelix.cli.groups import add_group, hub_app

if TYPE_CHECKING:
    from cohelix.access.outbox import Contact, Outbox
    from cohelix.hub.settings import HubSettings
    from cohelix.wire.applications import Identity

_Hub = Annotated[str, typer.Option("--hub", metavar="URL", envvar="COHELIX_HUB", help="The hub's address.")]
_Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The hub's folder.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
_Text = str | None


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(notices)
    hub_app.command("mail")(mail)
    add_group(app, hub_app)


def notices(
    hub: _Hub,
    *,
    unread: Annotated[bool, typer.Option("--unread", help="Only those that you have not read.")] = False,
    start: Annotated[int, typer.Option("--from", metavar="N", min=0, help="Leave out the newest N.")] = 0,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=500, help="Show at most N; 30 by default.")] = 30,
    read: Annotated[list[str] | None, typer.Option("--read", metavar="ID", help="Mark as read; may be repeated.")] = None,
    read_all: Annotated[bool, typer.Option("--read-all", help="Mark all as read.")] = False,
    by_mail: Annotated[_Text, typer.Option("--mail", metavar="on|off", help="Whether you want them by e-mail, too.")] = None,
    as_json: _Json = False,
) -> None:
    """Say what you have to know of applications: what happened, what there is to do, and by when; the newest first."""
    from cohelix.core.errors import BadUsage, NotAuthentic
    from cohelix.sdk import connect

    if by_mail not in (None, "on", "off"):
        raise BadUsage(f"--mail {by_mail}: say on or off")
    if read_all and read:
        raise BadUsage("give --read or --read-all")
    with connect(hub) as client:
        if client.identity is None:
            raise NotAuthentic(f"you are not logged in at {hub}: run `cohelix login --hub {hub}`")
        if by_mail is not None:
            client.want_mail(by_mail == "on")
        if read_all or read:
            client.read_notices(None if read_all else read)
        found = client.notices(unread=unread, start=start, limit=limit)
    if as_json:
        typer.echo(found.model_dump_json())
        return
    from cohelix.cli.tables import plain, show_table

    columns = ("When (UTC)", "", "What", "Title", "Dataset", "By (UTC)", "Id")
    rows = [
        (
            f"{one.at:%Y-%m-%d %H:%M}",
            "" if one.read else "new",
            f"{one.what}. {one.todo}",
            one.title,
            one.dataset,
            f"{one.due:%Y-%m-%d %H:%M}" if one.due else "",
            one.id,
        )
        for one in found.notices
    ]
    if rows:
        show_table(columns, rows)
    typer.echo(f"{'More than 99' if found.unread > 99 else found.unread or 'None'} unread.")
    if found.next is not None:
        typer.echo(f"Earlier ones: --from {found.next}")
    wish = found.mail
    if wish.sent and wish.address:
        typer.echo(plain(f"{'They go to' if wish.wanted else 'No mail goes to'} {wish.address}."))


def mail(
    folder: _Folder,
    *,
    test: Annotated[_Text, typer.Option("--test", metavar="ADDRESS", help="Send a message there, as [mail] says.")] = None,
    address: Annotated[
        _Text, typer.Option("--set", metavar="ADDRESS", help="Where the mail of --to goes; no login changes it.")
    ] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Forget the address of --to.")] = False,
    subject: Annotated[_Text, typer.Option("--to", metavar="SUBJECT", help="The person's `sub` at the issuer.")] = None,
    issuer: Annotated[
        _Text, typer.Option("--issuer", metavar="URL", help="Who knows the person; the hub's own issuer where that is on.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Where people's notices go by e-mail: list, set, forget addresses, and try the mail server. Works beside a serving hub."""
    from cohelix.access.outbox import Outbox
    from cohelix.core.errors import BadUsage, NotFound
    from cohelix.hub.settings import open_hub_database, read_settings

    given = [name for name, value in (("--test", test), ("--set", address), ("--forget", forget or None)) if value is not None]
    if len(given) > 1:
        raise BadUsage(f"give one of {', '.join(given)}")
    settings = read_settings(folder)
    if test is not None:
        _test(folder, settings, test)
        _print(
            {"host": settings.mail.host, "to": test, "taken": True},
            as_json,
            f"{settings.mail.host} has taken a message to {test}.",
        )
        return
    outbox = Outbox(open_hub_database(folder))
    if not given:
        _show(settings, outbox, as_json)
        return
    person = _person(settings, subject, issuer)
    if address is not None:
        outbox.set_contact(person, address, by_operator=True)
        document = {"subject": person.subject, "issuer": person.issuer, "address": address}
        _print(document, as_json, f"Notices of {person.subject} go to {address}.")
        return
    if not outbox.forget_contact(person):
        raise NotFound(f"no address of {person.subject} of {person.issuer} is known")
    _print({"subject": person.subject, "issuer": person.issuer, "forgotten": True}, as_json, "The address is forgotten.")


def _test(folder: Path, settings: HubSettings, address: str) -> None:
    from cohelix.access.mail import Post
    from cohelix.core.errors import Conflict

    if not settings.mail.on:
        raise Conflict("the hub sends no mail: name a server under [mail] in hub.toml")
    Post(settings.mail, folder, hub_url=settings.url, name=settings.name).test(address)


def _person(settings: HubSettings, subject: str | None, issuer: str | None) -> Identity:
    from cohelix.core.errors import BadUsage
    from cohelix.wire.applications import Identity

    known = issuer or (f"{settings.url}/broker" if settings.broker.embedded else "")
    if subject is None or not known:
        raise BadUsage("name the person with --to SUBJECT and, unless the hub's own issuer is on, --issuer URL")
    return Identity(subject=subject, issuer=known)


def _show(settings: HubSettings, outbox: Outbox, as_json: bool) -> None:
    found, state = outbox.contacts(), outbox.mails()
    if as_json:
        contacts = [_told(one) for one in found]
        _print(
            {"host": settings.mail.host, "waiting": state.waiting, "givenUp": state.given_up, "contacts": contacts}, True, ""
        )
        return
    from cohelix.cli.tables import plain, show_table

    rows = [(one.subject, one.issuer, one.address, "operator" if one.by_operator else "login", one.wanted) for one in found]
    show_table(("Subject", "Issuer", "Address", "Said by", "Wanted"), rows)
    server = f"Mail goes out through {settings.mail.host}" if settings.mail.on else "No mail is sent: [mail] names no server"
    typer.echo(f"{server}. {state.waiting} wait, {state.given_up} were given up.")
    for fault, number in state.faults:
        typer.echo(plain(f"  {number} times: {fault}"))


def _told(contact: Contact) -> dict[str, Any]:
    return {
        "subject": contact.subject,
        "issuer": contact.issuer,
        "address": contact.address,
        "by": "operator" if contact.by_operator else "login",
        "wanted": contact.wanted,
    }


def _print(document: dict[str, Any], as_json: bool, text: str) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False) if as_json else text)
