"""`cohelix hub people|clients|roles`: accounts and clients of the embedded issuer, and what people do in the federation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cohelix.cli.groups import add_group, hub_app

if TYPE_CHECKING:
    from cohelix.access.accounts import Account
    from cohelix.access.broker import Broker
    from cohelix.audit.events import Event

_Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The hub's folder.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
_Name = str | None


def register(app: typer.Typer) -> None:
    """Add the commands to `cohelix hub`."""
    hub_app.command("people")(people)
    hub_app.command("clients")(clients)
    hub_app.command("roles")(roles)
    add_group(app, hub_app)


def people(
    folder: _Folder,
    *,
    add: Annotated[
        _Name, typer.Option("--add", metavar="NAME", help="Make an account; prints its first password once.")
    ] = None,
    shown: Annotated[str, typer.Option("--shown", metavar="TEXT", help="With --add: what pages call the person.")] = "",
    researcher: Annotated[
        bool, typer.Option("--researcher", help="With --add: say that the person is a researcher (visa ResearcherStatus).")
    ] = False,
    role: Annotated[
        list[str] | None, typer.Option("--role", metavar="ROLE", help="With --add: also give this role; may be repeated.")
    ] = None,
    new_password: Annotated[
        _Name, typer.Option("--new-password", metavar="NAME", help="A new first password for somebody who has lost theirs.")
    ] = None,
    close: Annotated[
        _Name, typer.Option("--close", metavar="NAME", help="Let nobody sign in with an account any more.")
    ] = None,
    rotate_key: Annotated[
        bool, typer.Option("--rotate-key", help="Sign with a new key from now on; the old one stays published for a while.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Accounts of the hub's embedded issuer: list them, add one, renew a password, close one. Works beside a serving hub."""
    from cohelix.access.actor import Role
    from cohelix.core.errors import BadUsage

    _one_of(add=add, new_password=new_password, close=close, rotate_key=rotate_key or None)
    if add is None and (shown or researcher or role):
        raise BadUsage("--shown, --researcher and --role go with --add")
    broker = _broker(folder)
    if add is not None:
        from cohelix.access.roles import role_of_name

        duties = [role_of_name(one) for one in role or ()]
        account, password = broker.accounts.add(add, shown=shown, researcher=researcher or Role.RESEARCHER in duties)
        _note(folder, [_account_changed(broker, account, "made")])
        for duty in duties:
            _grant(folder, duty, account.subject, broker.issuer)
        document = {**_told(broker, account), "roles": [str(one) for one in duties], "password": password}
        _print(document, as_json, f"{account.name} ({account.subject}): first password {password}")
    elif new_password is not None:
        password = broker.accounts.renew(new_password)
        account = broker.accounts.named(new_password)
        broker.end_logins(account.subject)
        _note(folder, [_account_changed(broker, account, "new first password")])
        _print({**_told(broker, account), "password": password}, as_json, f"{account.name}: first password {password}")
    elif close is not None:
        broker.accounts.close(close)
        account = broker.accounts.named(close)
        broker.end_logins(account.subject)
        _forget_address(folder, account.subject, broker.issuer)
        _note(folder, [_account_changed(broker, account, "closed")])
        _print(_told(broker, account), as_json, f"{account.name} is closed")
    elif rotate_key:
        key = broker.keys.rotate()
        _print({"kid": key.kid}, as_json, f"signs with {key.kid} from now on")
    else:
        found = broker.accounts.all()
        if as_json:
            _print({"issuer": broker.issuer, "people": [_told(broker, one) for one in found]}, True, "")
            return
        from cohelix.cli.tables import show_table

        rows = [(one.name, one.shown, one.subject, *_states(one)) for one in found]
        show_table(("Name", "Shown as", "Subject", "Researcher", "Terms", "State"), rows)


def clients(
    folder: _Folder,
    *,
    add: Annotated[
        _Name, typer.Option("--add", metavar="NAME", help="Register a client; prints its secret once. A node's is node-ID.")
    ] = None,
    audience: Annotated[
        str, typer.Option("--audience", metavar="URI", help="With --add, but for nodes: for whom its tokens are.")
    ] = "",
    redirect: Annotated[
        list[str] | None, typer.Option("--redirect", metavar="URL", help="With --add: where it takes codes; may be repeated.")
    ] = None,
    remove: Annotated[_Name, typer.Option("--remove", metavar="NAME", help="Forget a client.")] = None,
    as_json: _Json = False,
) -> None:
    """Programs that may ask the hub's embedded issuer: nodes asked directly, other hubs. Works beside a serving hub."""
    from cohelix.core.errors import BadUsage, NotFound

    _one_of(add=add, remove=remove)
    if add is None and (audience or redirect):
        raise BadUsage("--audience and --redirect go with --add")
    broker = _broker(folder)
    if add is not None:
        secret = broker.clients.add(add, audience=audience, redirects=redirect or ())
        _print({"client": add, "issuer": broker.issuer, "secret": secret}, as_json, secret)
    elif remove is not None:
        if not broker.clients.remove(remove):
            raise NotFound(f"there is no client {remove!r}")
        _print({"client": remove, "removed": True}, as_json, f"{remove} is forgotten")
    else:
        found = broker.clients.all()
        if as_json:
            listed = [{"client": one.id, "audience": one.audience, "redirects": list(one.redirects)} for one in found]
            _print({"issuer": broker.issuer, "clients": listed}, True, "")
            return
        from cohelix.cli.tables import show_table

        rows = [(one.id, one.audience, ", ".join(one.redirects)) for one in found]
        show_table(("Client", "Audience", "Takes codes at"), rows)


def roles(
    folder: _Folder,
    *,
    grant: Annotated[_Name, typer.Option("--grant", metavar="ROLE", help="Give a role to --to.")] = None,
    revoke: Annotated[_Name, typer.Option("--revoke", metavar="ROLE", help="Take a role back from --to.")] = None,
    for_what: Annotated[
        _Name,
        typer.Option("--for", metavar="NAME", help="With --grant: the committee, country, organisation or node it is for."),
    ] = None,
    subject: Annotated[_Name, typer.Option("--to", metavar="SUBJECT", help="The person's `sub` at the issuer.")] = None,
    issuer: Annotated[
        _Name, typer.Option("--issuer", metavar="URL", help="Who knows the person; the hub's own issuer where that is on.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """What people do in the federation: list, grant, revoke roles. No role opens data. Works beside a serving hub."""
    from cohelix.access.roles import Roles, role_of_name
    from cohelix.audit.events import Person, RoleChanged
    from cohelix.core.errors import BadUsage
    from cohelix.hub.settings import open_hub_database, read_settings

    _one_of(grant=grant, revoke=revoke)
    settings = read_settings(folder)
    named = grant or revoke
    if named is None:
        found = Roles(open_hub_database(folder)).all()
        if as_json:
            listed = [
                {"subject": one.subject, "issuer": one.issuer, "role": str(one.role), "grantedAt": one.granted_at}
                for one in found
            ]
            _print({"roles": listed}, True, "")
            return
        from cohelix.cli.tables import show_table

        rows = [(one.subject, one.issuer, str(one.role), one.granted_at) for one in found]
        show_table(("Subject", "Issuer", "Role", "Since"), rows)
        return
    known = issuer or (f"{settings.url}/broker" if settings.broker.embedded else "")
    if subject is None or not known:
        raise BadUsage("name the person with --to SUBJECT and, unless the hub's own issuer is on, --issuer URL")
    role = role_of_name(named)
    document = {"subject": subject, "issuer": known, "role": str(role), "granted": grant is not None}
    if grant is not None:
        _grant(folder, role, subject, known)
        if for_what is not None:
            Roles(open_hub_database(folder)).grant_for(role, for_what, subject, known)
            document["for"] = for_what
        _print(document, as_json, f"{subject} is {role}")
    else:
        Roles(open_hub_database(folder)).revoke(role, subject, known)
        _note(folder, [RoleChanged(whose=Person(subject, known), role=str(role), given=False)])
        _print(document, as_json, f"{subject} is no longer {role}")


def _grant(folder: Path, role: Any, subject: str, issuer: str) -> None:
    from cohelix.access.roles import Roles
    from cohelix.audit.events import Person, RoleChanged
    from cohelix.hub.settings import open_hub_database

    if Roles(open_hub_database(folder)).grant(role, subject, issuer):
        _note(folder, [RoleChanged(whose=Person(subject, issuer), role=str(role), given=True)])


def _forget_address(folder: Path, subject: str, issuer: str) -> None:
    from cohelix.access.outbox import Outbox
    from cohelix.hub.settings import open_hub_database
    from cohelix.wire.applications import Identity

    Outbox(open_hub_database(folder)).forget_contact(Identity(subject=subject, issuer=issuer))


def _broker(folder: Path) -> Broker:
    from cohelix.core.errors import Conflict
    from cohelix.hub.identity import open_broker
    from cohelix.hub.settings import open_hub_database, read_settings

    settings = read_settings(folder)
    if not settings.broker.embedded:
        raise Conflict("the embedded issuer is off: people log in elsewhere; `embedded = true` under [broker] switches it on")
    return open_broker(folder, settings, open_hub_database(folder))


def _account_changed(broker: Broker, account: Account, change: str) -> Event:
    from cohelix.audit.events import AccountChanged, Person

    return AccountChanged(whose=Person(account.subject, broker.issuer), change=change)


def _note(folder: Path, events: list[Event]) -> None:
    from cohelix.cli.audit_log import hub_log, note

    note(hub_log(folder), events)


def _told(broker: Broker, account: Account) -> dict[str, Any]:
    researcher, terms, state = _states(account)
    return {
        "name": account.name,
        "shown": account.shown,
        "subject": account.subject,
        "issuer": broker.issuer,
        "researcher": researcher == "yes",
        "termsAccepted": terms == "accepted",
        "state": state,
    }


def _states(account: Account) -> tuple[str, str, str]:
    state = "closed" if account.closed else "first password" if account.temporary else "active"
    terms = "not accepted" if account.accepted_at is None else "accepted"
    return "no" if account.researcher_since is None else "yes", terms, state


def _one_of(**options: object) -> None:
    from cohelix.core.errors import BadUsage

    given = [name for name, value in options.items() if value is not None]
    if len(given) > 1:
        raise BadUsage(f"give one of {', '.join('--' + name.replace('_', '-') for name in options)}")


def _print(document: dict[str, Any], as_json: bool, text: str) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False) if as_json else text)
