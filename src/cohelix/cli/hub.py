"""`cohelix hub …`: make a hub, invite members, see and change their states, serve; and `cohelix node join`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cohelix.cli.groups import add_group, hub_app, node_app
from cohelix.cli.serving import Certificate, CertificateKey, Host, Json, Port

if TYPE_CHECKING:
    from cohelix.wire.federation import Member, MemberState

_Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The hub's folder.")]
_NodeFolder = Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder.")]
_MemberId = Annotated[str, typer.Option("--member", metavar="ID", help="The member's id, for example FI.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def register(app: typer.Typer) -> None:
    """Add the hub's commands, and `node join`."""
    hub_app.command("init")(init)
    hub_app.command("invite")(invite)
    hub_app.command("members")(members)
    hub_app.command("activate")(activate)
    hub_app.command("observe")(observe)
    hub_app.command("suspend")(suspend)
    hub_app.command("serve")(serve)
    node_app.command("join")(join)
    add_group(app, hub_app)
    add_group(app, node_app)


def init(
    folder: _Folder,
    url: Annotated[str, typer.Option("--url", metavar="URL", help="The hub's address as members and users reach it.")],
    name: Annotated[str | None, typer.Option("--name", help="What pages call the federation.")] = None,
    as_json: _Json = False,
) -> None:
    """Make a hub's folder, with a new identity; refuses one that is not empty."""
    from cohelix.federation.signing import load_identity
    from cohelix.hub.settings import make_hub

    settings = make_hub(folder, url=url, name=name)
    key = load_identity(folder).public
    _print(
        {"folder": str(folder), "url": settings.url, "name": settings.name, "key": key},
        as_json,
        f"hub {settings.url}, key {key}",
    )


def invite(
    folder: _Folder,
    member: _MemberId,
    days: Annotated[float, typer.Option("--days", min=0.0, help="How long the token holds.")] = 7,
    as_json: _Json = False,
) -> None:
    """Print one one-time token for a member; it goes to its `cohelix node join`. Works beside a hub that serves."""
    from cohelix.audit.events import MemberChanged
    from cohelix.cli.audit_log import hub_log, note
    from cohelix.federation.registry import Registry
    from cohelix.federation.signing import load_identity
    from cohelix.hub.settings import read_settings

    settings = read_settings(folder)
    token = Registry(folder).invite(member, hub_url=settings.url, hub_key=load_identity(folder).public, days=days)
    note(hub_log(folder), [MemberChanged(member, "invited")])
    _print({"member": member, "token": str(token), "days": days}, as_json, str(token))


def members(folder: _Folder, as_json: _Json = False) -> None:
    """List the members and their states."""
    from cohelix.federation.registry import Registry
    from cohelix.hub.settings import read_settings

    read_settings(folder)
    found = Registry(folder).members()
    if as_json:
        _print({"members": [member.model_dump() for member in found]}, True, "")
        return
    from cohelix.cli.tables import show_table

    rows = [
        (one.id, one.state, one.name, one.country, "dials out" if one.dials_out else one.url, one.last_seen) for one in found
    ]
    show_table(("Member", "State", "Name", "Country", "Address", "Last seen"), rows)


def activate(folder: _Folder, member: _MemberId, as_json: _Json = False) -> None:
    """Ask a member again, after it was suspended or an observer."""
    _set(folder, member, "active", as_json)


def observe(folder: _Folder, member: _MemberId, as_json: _Json = False) -> None:
    """Make a member an observer: it sees catalogue and aggregates, and is asked nothing."""
    _set(folder, member, "observer", as_json)


def suspend(folder: _Folder, member: _MemberId, as_json: _Json = False) -> None:
    """Stop asking a member; its id stays bound to its key."""
    _set(folder, member, "suspended", as_json)


def serve(
    folder: _Folder,
    *,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    certificate: Certificate = None,
    key: CertificateKey = None,
    as_json: Json = False,
) -> None:
    """Serve until SIGTERM or Ctrl-C; prints `ready http://HOST:PORT` when it answers."""
    from cohelix.hub import read_settings

    del as_json
    settings = read_settings(folder)  # a mistake in them is told before anything heavy is loaded

    from cohelix import web
    from cohelix.cli.doctor_checks import glance
    from cohelix.hub.app import create_app

    tls = web.chosen_tls(folder, settings, certificate, key)
    web.serve(partial(create_app, folder, examine=glance), host, port, tls=tls)


def join(
    folder: _NodeFolder,
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="What `cohelix hub invite` printed.")],
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="Where this node answers, as the hub reaches it.")
    ] = None,
    dial_out: Annotated[
        bool, typer.Option("--dial-out", help="The hub cannot reach this node: it fetches its questions from the hub.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Join a federation: prove this node's key to the hub, and pin the hub's. A serving node need not be restarted."""
    from cohelix.audit.events import MemberChanged
    from cohelix.cli.audit_log import node_log, note
    from cohelix.core.errors import BadUsage
    from cohelix.core.ids import node_id
    from cohelix.federation.joining import join as join_hub
    from cohelix.federation.joining import write_pinned
    from cohelix.federation.registry import read_token
    from cohelix.federation.signing import load_identity
    from cohelix.federation.transport import checked_address
    from cohelix.node import read_settings
    from cohelix.web import member_roads
    from cohelix.wire.federation import JoinRequest

    if (url is None) is not dial_out:
        raise BadUsage("give --url with the address at which the hub reaches this node, or --dial-out where it cannot")
    settings = read_settings(folder)
    identity = load_identity(folder)
    known = read_token(token)
    from cohelix.bank import Bank  # its compiled kernels take a second to load: only now that there is a node to join

    datasets = Bank.open(folder, node_id(settings.id)).datasets()
    request = JoinRequest(
        token=known.secret,
        node=settings.id,
        name=settings.name,
        country=settings.country,
        url=checked_address(url, private_addresses=True) if url is not None else "",
        dials_out=dial_out,
        key=identity.public,
        may_overlap=settings.may_overlap,
        datasets=tuple(record.id for record in datasets),
    )
    pinned = join_hub(identity, known, request, tls=member_roads(folder, settings).context())
    write_pinned(folder, pinned)
    note(node_log(folder), [MemberChanged(settings.id, f"joined {pinned.hub_url}")])
    road = "and fetches its questions there while it serves" if dial_out else f"which asks it at {pinned.node_url}"
    _print(pinned.model_dump(), as_json, f"{settings.id} is a member of {pinned.hub_url}, {road}")


def _set(folder: Path, member: str, state: MemberState, as_json: bool) -> None:
    from cohelix.audit.events import MemberChanged
    from cohelix.cli.audit_log import hub_log, note
    from cohelix.federation.registry import Registry
    from cohelix.hub.settings import read_settings

    read_settings(folder)
    changed: Member = Registry(folder).set_state(member, state)
    note(hub_log(folder), [MemberChanged(member, state)])
    _print(changed.model_dump(), as_json, f"{member} is {state}")


def _print(document: dict[str, object], as_json: bool, text: str) -> None:
    import json

    typer.echo(json.dumps(document, ensure_ascii=False) if as_json else text)
