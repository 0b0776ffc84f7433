"""`cohelix node projects` and `peers`: who may analyse data that are not open, and whom the node knows itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cohelix.cli.groups import add_group, node_app
from cohelix.cli.tables import show_table

_Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `cohelix node`."""
    node_app.command("projects")(projects)
    node_app.command("peers")(peers)
    node_app.command("aggregate")(aggregate)
    add_group(app, node_app)


def projects(
    folder: _Folder,
    *,
    allow: Annotated[
        str | None,
        typer.Option("--allow", metavar="PROJECT", help="Allow it to analyse data that are not open; forgets its refusals."),
    ] = None,
    forbid: Annotated[str | None, typer.Option("--forbid", metavar="PROJECT", help="Forbid it again.")] = None,
    as_json: _Json = False,
) -> None:
    """Which projects may analyse floored and closed datasets; what they were told stays in the ledger whatever is said here."""
    from cohelix.audit.events import ProjectChanged
    from cohelix.cli.audit_log import node_log, note
    from cohelix.core.errors import BadUsage
    from cohelix.db import open_database
    from cohelix.disclosure.ledger import Ledger, ledger_key
    from cohelix.node.settings import database_of, read_settings, set_project

    settings = read_settings(folder)
    if allow is not None and forbid is not None:
        raise BadUsage("allow or forbid, one at a time")
    if allow is not None:
        settings = set_project(folder, allow, allowed=True)
        Ledger(open_database(database_of(folder, settings)), ledger_key(folder)).forgive(allow)
        note(node_log(folder), [ProjectChanged(allow, allowed=True)])
    elif forbid is not None:
        if forbid not in settings.analysis.projects:
            raise BadUsage(f"{forbid!r} is not allowed anyway")
        settings = set_project(folder, forbid, allowed=False)
        note(node_log(folder), [ProjectChanged(forbid, allowed=False)])
    _show([{"project": name} for name in settings.analysis.projects], "no project may analyse data that are not open", as_json)


def peers(
    folder: _Folder,
    *,
    add: Annotated[
        str | None,
        typer.Option("--add", metavar="ID:KEY", help="Know a member by its id and public key, in place of an older key."),
    ] = None,
    aggregator: Annotated[
        bool, typer.Option("--aggregator", help="With --add: shares of this node's figures may be sent to it.")
    ] = False,
    remove: Annotated[str | None, typer.Option("--remove", metavar="ID", help="Know a member no more.")] = None,
    as_json: _Json = False,
) -> None:
    """Whom the node knows itself: it analyses with two such members at least, and gives shares to aggregators among them."""
    from cohelix.audit.events import PeerChanged
    from cohelix.cli.audit_log import node_log, note
    from cohelix.federation.signing import load_identity
    from cohelix.node.settings import read_settings, set_peer

    settings = read_settings(folder)
    _check_peer_options(add, remove, aggregator)
    if add is not None:
        peer = _peer(add, aggregator)
        settings = set_peer(folder, peer)
        note(node_log(folder), [PeerChanged(peer.id, peer.key, peer.aggregator, listed=True)])
    elif remove is not None:
        settings = set_peer(folder, remove)
        note(node_log(folder), [PeerChanged(remove, "", aggregator=False, listed=False)])
    own = f"{settings.id}:{load_identity(folder).public}"
    if not as_json:
        typer.echo(f"this node is {own}: tell it to the operators who are to know it", err=True)
    _show([peer.model_dump() for peer in settings.peers], "the node knows no other member", as_json, own=own)


def aggregate(
    folder: _Folder,
    *,
    on: Annotated[bool, typer.Option("--on/--off", help="Whether this node adds up shares of others.")],
    as_json: _Json = False,
) -> None:
    """Let this node add up other members' shares in secure sums, which tell it nothing; it may serve meanwhile."""
    from cohelix.audit.events import SettingChanged
    from cohelix.cli.audit_log import node_log, note
    from cohelix.node.settings import set_aggregator

    settings = set_aggregator(folder, adds_up=on)
    note(node_log(folder), [SettingChanged("aggregator", str(on).lower())])
    words = f"{settings.id} {'adds up' if settings.aggregator else 'does not add up'} shares of other members"
    typer.echo(json.dumps({"node": settings.id, "aggregator": settings.aggregator}) if as_json else words)


def _check_peer_options(add: str | None, remove: str | None, aggregator: bool) -> None:
    from cohelix.core.errors import BadUsage

    if add is not None and remove is not None:
        raise BadUsage("add or remove, one at a time")
    if aggregator and add is None:
        raise BadUsage("--aggregator goes with --add: an entry with the same id is replaced")


def _peer(text: str, aggregator: bool) -> Any:
    from cohelix.core.errors import BadUsage, NotAuthentic
    from cohelix.core.ids import node_id
    from cohelix.federation.signing import public_key
    from cohelix.node.settings import PeerSettings

    name, _, key = text.partition(":")
    try:
        return PeerSettings(id=node_id(name), key=public_key(key), aggregator=aggregator)
    except NotAuthentic:
        raise BadUsage(
            f"{key[:60]!r} is no public key: a peer is ID:KEY, as its operator's 'cohelix node peers' prints it"
        ) from None


def _show(found: list[dict[str, Any]], nothing: str, as_json: bool, **more: str) -> None:
    if as_json:
        typer.echo(json.dumps({**more, "items": found}))
    elif found:
        columns = tuple(found[0])
        show_table(columns, [[item[name] for name in columns] for item in found])
    else:
        typer.echo(nothing)
