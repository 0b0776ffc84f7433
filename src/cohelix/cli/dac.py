"""`cohelix dac …`: a deciding authority's folder, the visas that it grants, and those that it revokes."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cohelix.cli.groups import add_group
from cohelix.cli.tables import show_table

if TYPE_CHECKING:
    from cohelix.access.grants import Grants
    from cohelix.federation.granting import Granting

_Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="The folder of the node, or hub, that holds the authority's keys.")
]
_Authority = Annotated[str | None, typer.Option("--authority", metavar="ID", help="Which one; the only one if left out.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]

dac_app = typer.Typer(
    name="dac", help="A data access committee: its keys, the access that it grants and revokes.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add `cohelix dac`."""
    for command in (init, grant, revoke, pending, issue, signers):
        dac_app.command(command.__name__)(command)
    dac_app.command("list")(list_grants)
    add_group(app, dac_app)


def init(
    folder: _Folder,
    *,
    authority: Annotated[str, typer.Option("--authority", metavar="ID", help="Its id, which no other authority has.")],
    name: Annotated[str, typer.Option("--name", metavar="TEXT", help="Its name for people.")],
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            "--dataset", metavar="NODE:DATASET", help="About which it decides; may repeat. All of the node's if left out."
        ),
    ] = None,
    by_hand: Annotated[
        bool, typer.Option("--by-hand", help="A person issues what applications have come to, with 'cohelix dac issue'.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Make an authority beside the data it decides about; the node trusts it at once, others by their own list of trust."""
    from cohelix.access.authority import init_authority
    from cohelix.audit.events import AuthorityMade
    from cohelix.core.errors import BadUsage

    hub_url, member = _federation(folder)
    datasets = tuple(dataset or ((f"{member}:*",) if member else ()))
    if not datasets:
        raise BadUsage("a hub has no data of its own: say about which datasets the authority decides with --dataset NODE:*")
    foreign = [one for one in datasets if member and not one.startswith(f"{member}:")]
    if foreign:
        raise BadUsage(f"an authority at {member} decides about {member}'s datasets, and not about {foreign[0]}")
    made = init_authority(folder, authority=authority, name=name, hub_url=hub_url, datasets=datasets, by_hand=by_hand)
    key = made.keys.current().kid
    _note(folder, AuthorityMade(authority=made.id, key=key))
    entry = made.trusted().model_dump(mode="json", include={"issuer", "role", "jwks", "keys", "datasets"})
    if as_json:
        typer.echo(json.dumps({"authority": made.id, "name": made.name, "key": key, **entry}))
        return
    typer.echo(f"authority {made.id}, {made.name}: decides about {', '.join(made.datasets)}")
    typer.echo(f"issuer {made.issuer}")
    typer.echo("other nodes that are to believe it write the address into [[trust]] of node.toml:", err=True)
    typer.echo(
        f'[[trust]]\nissuer = "{made.issuer}"\nrole = "authority"\njwks = "{made.jwks}"\n'
        f"datasets = {json.dumps(list(made.datasets))}",
        err=True,
    )


def grant(
    folder: _Folder,
    *,
    dataset: Annotated[str, typer.Option("--dataset", metavar="NODE:DATASET", help="The one dataset that the visa opens.")],
    to: Annotated[str, typer.Option("--to", metavar="SUBJECT", help="Whom: the person's `sub` at the issuer.")],
    until: Annotated[str, typer.Option("--until", metavar="DATE", help="The day or time at which it ends; a year at most.")],
    issuer: Annotated[
        str | None, typer.Option("--issuer", metavar="URL", help="Who knows the person; the hub's own issuer if left out.")
    ] = None,
    authority: _Authority = None,
    as_json: _Json = False,
) -> None:
    """Grant one person access to one dataset; works while the hub is away, which is then told later."""
    from cohelix.access.authority import find_authority
    from cohelix.audit.events import Person, VisaGranted
    from cohelix.core.errors import BadUsage, NotPermitted, Unreachable
    from cohelix.federation.revocations import send_visas

    hub_url, _ = _federation(folder)
    if not to.strip():
        raise BadUsage("say whom with --to: the person's subject, as 'cohelix whoami' prints it")
    deciding, grants = find_authority(folder, authority), _grants(folder)
    found = grants.grant(
        deciding,
        hub_url=hub_url,
        dataset=dataset,
        subject=to,
        subject_issuer=issuer or f"{hub_url}/broker",
        until=_time(until),
    )
    _note(
        folder,
        VisaGranted(
            visa=found.identifier,
            authority=found.authority,
            dataset=dataset,
            whose=Person(found.subject, found.subject_issuer),
            until=found.document(_now())["until"],
        ),
    )
    waiting = None
    try:
        send_visas(grants, hub_url, _tls(folder))
    except (Unreachable, NotPermitted) as error:
        waiting = f"the hub has not taken it yet, the server sends it later: {error.detail}"
    document = {**found.document(_now()), "atHub": waiting is None}
    if as_json:
        typer.echo(json.dumps(document))
    else:
        typer.echo(f"{found.identifier} opens {dataset} to {to} until {document['until']}")
    if waiting:
        typer.echo(waiting, err=True)


def revoke(
    folder: _Folder,
    *,
    visa: Annotated[str, typer.Option("--visa", metavar="ID", help="The visa, as 'cohelix dac list' names it.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the record; no names of people.")] = "",
    as_json: _Json = False,
) -> None:
    """Revoke a visa: at this node at once, at every other within a minute."""
    from cohelix.audit.events import VisaRevoked

    found = _grants(folder).revoke(visa, reason)
    _note(folder, VisaRevoked(visa=found.identifier, authority=found.authority, reason=reason))
    words = f"{found.identifier} is revoked: it opens nothing here, and within a minute nothing anywhere"
    typer.echo(json.dumps(found.document(_now())) if as_json else words)


def list_grants(
    folder: _Folder,
    *,
    authority: _Authority = None,
    as_json: _Json = False,
) -> None:
    """List what the folder's authorities have granted: to whom, which dataset, until when, and whether it still holds."""
    found = [one.document(_now()) for one in _grants(folder).all() if authority in (None, one.authority)]
    if as_json:
        typer.echo(json.dumps({"items": found}))
    elif found:
        columns = ("visa", "dataset", "to", "until", "state", "atHub")
        show_table(columns, [[_shown(item[name]) for name in columns] for item in found])
    else:
        typer.echo("nothing is granted")


def pending(folder: _Folder, as_json: _Json = False) -> None:
    """What approved applications wait for at this node: a person who issues their visas, or a reason why none is issued."""
    from cohelix.federation.granting import kept_lines

    _show_lines(kept_lines(_granting(folder)), "nothing waits here", as_json)


def issue(
    folder: _Folder,
    *,
    application: Annotated[
        str | None, typer.Option("--application", metavar="ID", help="Of this application alone; of all that wait if left out.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Issue the visas of approved applications whose authority lets a person do it."""
    from cohelix.core.errors import NotFound, NotPermitted, Unreachable
    from cohelix.federation.revocations import send_visas

    hub_url, _ = _federation(folder)
    granting = _granting(folder)
    waiting = [one for one in granting.pending() if application in (None, one.id)]
    if application is not None and not waiting:
        raise NotFound(f"no application {application[:60]!r} waits here: see 'cohelix dac pending {folder}'")
    lines = [json.loads(line.model_dump_json()) for shown in waiting for line in granting.take(shown, by_hand=True)]
    _show_lines(lines, "nothing waits here", as_json)
    try:
        send_visas(_grants(folder), hub_url, _tls(folder))
    except (Unreachable, NotPermitted) as error:
        typer.echo(f"the hub has not taken them yet, the server sends them later: {error.detail}", err=True)


def signers(
    folder: _Folder,
    *,
    add: Annotated[
        str | None, typer.Option("--add", metavar="SUBJECT", help="Ask for this person's signature; in place of an older key.")
    ] = None,
    key: Annotated[str, typer.Option("--key", metavar="KEY", help="With --add: what the person's 'keys own' prints.")] = "",
    office: Annotated[
        str, typer.Option("--office", metavar="committee|country", help="With --add: for whom the person decides.")
    ] = "committee",
    remove: Annotated[str | None, typer.Option("--remove", metavar="SUBJECT", help="Ask for it no more.")] = None,
    issuer: Annotated[
        str | None, typer.Option("--issuer", metavar="URL", help="Who knows the person; the hub's own issuer if left out.")
    ] = None,
    authority: _Authority = None,
    as_json: _Json = False,
) -> None:
    """Whose signed decisions an authority asks for before it grants; where it lists nobody, the hub's word is enough."""
    from dataclasses import asdict

    from cohelix.access.authority import Signer, find_authority, set_signers
    from cohelix.core.errors import BadUsage, NotFound

    hub_url, _ = _federation(folder)
    found, known_by = find_authority(folder, authority), issuer or f"{hub_url}/broker"
    wanted = add or remove
    if add and remove:
        raise BadUsage("--add one, or --remove one")
    if wanted:
        others = tuple(one for one in found.signers if (one.subject, one.issuer) != (wanted, known_by))
        if remove and others == found.signers:
            raise NotFound(f"{remove} of {known_by} is not one of them")
        found = set_signers(folder, found, (*others, Signer(wanted, known_by, key, office)) if add else others)
    if as_json:
        typer.echo(json.dumps({"authority": found.id, "items": [asdict(one) for one in found.signers]}))
    elif found.signers:
        show_table(
            ("subject", "issuer", "office", "key"), [(one.subject, one.issuer, one.office, one.key) for one in found.signers]
        )
    else:
        typer.echo(f"{found.id} asks for no signatures: what the hub shows of its decisions is believed")


def _granting(folder: Path) -> Granting:
    from cohelix.federation.granting import Data, Granting, NodeData
    from cohelix.hub.central import CentralData
    from cohelix.hub.settings import read_settings as read_hub
    from cohelix.node.settings import read_settings as read_node

    hub_url, member = _federation(folder)
    data: Data = CentralData(folder)
    if member:
        settings = read_node(folder)
        data = NodeData(folder, settings.id, settings.country)
    return Granting(
        folder,
        data,
        grants=lambda: _grants(folder),
        hub_url=lambda: hub_url,
        note=lambda event: _note(folder, event),
        rules=lambda: (read_node(folder) if member else read_hub(folder)).applications,
    )


def _show_lines(lines: list[dict[str, Any]], nothing: str, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"items": lines}))
    elif lines:
        columns = ("application", "dataset", "state", "why")
        show_table(columns, [[str(line[name]) for name in columns] for line in lines])
    else:
        typer.echo(nothing)


def _shown(value: Any) -> str:
    return {True: "yes", False: "not yet"}[value] if isinstance(value, bool) else str(value)


def _now() -> datetime:
    from cohelix.core.clock import SystemClock

    return SystemClock().now()


def _time(text: str) -> datetime:
    """A day (its end, UTC) or a time with or without a zone."""
    from datetime import UTC, timedelta

    from cohelix.core.errors import BadUsage

    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BadUsage(f"{text[:40]!r} is no date: write 2027-06-30, or 2027-06-30T12:00:00Z") from None
    if len(text) == len("2027-06-30"):
        found += timedelta(days=1)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _federation(folder: Path) -> tuple[str, str]:
    """The hub's address, and the member's id; empty in a hub's own folder."""
    from cohelix.core.errors import Conflict, NotFound
    from cohelix.federation.joining import read_pinned
    from cohelix.hub.settings import read_settings as read_hub
    from cohelix.node.settings import read_settings as read_node

    if (folder / "hub.toml").exists():
        return read_hub(folder).url.rstrip("/"), ""
    if not (folder / "node.toml").exists():
        raise NotFound(f"{folder} is neither a node's nor a hub's folder")
    pinned = read_pinned(folder)
    if pinned is None:
        raise Conflict("visas name the hub's address: join a hub first with 'cohelix node join'")
    return pinned.hub_url.rstrip("/"), read_node(folder).id


def _grants(folder: Path) -> Grants:
    from cohelix.access.grants import Grants
    from cohelix.db import open_database
    from cohelix.hub.settings import DATABASE_FILE
    from cohelix.hub.settings import read_settings as read_hub
    from cohelix.node.settings import database_of
    from cohelix.node.settings import read_settings as read_node

    if (folder / "hub.toml").exists():
        return Grants(open_database(read_hub(folder).database or folder / DATABASE_FILE))
    return Grants(open_database(database_of(folder, read_node(folder))))


def _tls(folder: Path) -> Any:
    from cohelix.hub.settings import read_settings as read_hub
    from cohelix.node.settings import read_settings as read_node
    from cohelix.web import member_roads

    settings = read_hub(folder) if (folder / "hub.toml").exists() else read_node(folder)
    return member_roads(folder, settings).context


def _note(folder: Path, event: Any) -> None:
    from cohelix.cli.audit_log import note, server_log

    note(server_log(folder), [event])
