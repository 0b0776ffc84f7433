"""`cohelix keys …`: which keys a node or hub has, and how one gives way to another while everything goes on."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cohelix.cli.groups import add_group

if TYPE_CHECKING:
    from cohelix.wire.federation import Succession

_Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A node's or a hub's folder.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]

keys_app = typer.Typer(
    name="keys", help="Keys of a node or a hub: see them, let them give way to others.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add `cohelix keys`."""
    keys_app.command("list")(list_keys)
    keys_app.command("rotate")(rotate)
    keys_app.command("own")(own)
    add_group(app, keys_app)


def own(
    make: Annotated[bool, typer.Option("--make", help="Make the key where there is none yet.")] = False,
    as_json: _Json = False,
) -> None:
    """Print the thumbprint of your own key on this machine, with which your decisions about applications are signed."""
    from cohelix.core.errors import NotFound
    from cohelix.sdk.own_key import own_key

    key = own_key(make=make)
    if key is None:
        raise NotFound("you have no key on this machine: make one with `cohelix keys own --make`")
    typer.echo(json.dumps({"key": key.thumbprint()}) if as_json else key.thumbprint())


def list_keys(folder: _Folder, as_json: _Json = False) -> None:
    """List the keys by which members know this node or hub: the one that signs, one that is announced, former ones."""
    from cohelix.access.authority import list_keys as list_authority_keys
    from cohelix.federation.signing import former_key_file, load_identity
    from cohelix.federation.successions import SuccessionBook, pending_succession

    who = _owner(folder)
    current, pending, book = load_identity(folder).public, pending_succession(folder), SuccessionBook(folder)
    until = {one.old: one.until for one in book.all() if one.who == who}
    rows: list[dict[str, Any]] = [{"key": current, "state": "signs", "until": None}]
    if pending is not None:
        rows.append({"key": pending.new, "state": "announced", "until": pending.until})
    holding = book.keys(current, who)
    for key in reversed(book.history(current, who)):
        if key != current:
            state = "former, holds" if key in holding else "former"
            rows.append({"key": key, "state": state, "until": until[key], "kept": former_key_file(folder, key).is_file()})
    deciding = list_authority_keys(folder)
    if as_json:
        typer.echo(json.dumps({"owner": who, "keys": rows, "authorities": deciding}))
        return
    from cohelix.cli.tables import show_table

    show_table(("Key", "State", "Until"), [(row["key"], row["state"], row["until"] or "") for row in rows])
    if deciding:
        names = ("authority", "key", "state", "until")
        show_table(names, [[row[name] or "" for name in names] for row in deciding])


def rotate(
    folder: _Folder,
    *,
    overlap_days: Annotated[
        float, typer.Option("--overlap-days", min=0.01, max=31, help="How long both keys hold, for runs that are under way.")
    ] = 7.0,
    authority: Annotated[
        str | None,
        typer.Option("--authority", metavar="ID", help="The key of this deciding authority instead; its visas go on to hold."),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Let this node's or hub's key give way to a new one, signed by the old; servers and runs go on."""
    if authority is not None:
        _rotate_authority(folder, authority, as_json)
        return
    from cohelix.federation.successions import begin_succession, forget_former_keys

    who = _owner(folder)
    forget_former_keys(folder)
    begun = begin_succession(folder, who, days=overlap_days)
    told = _announced_by_node(folder, begun) if (folder / "node.toml").exists() else _announced_by_hub(folder, begun)
    words = [f"{who}: {begun.new}", f"the key before holds until {begun.until}", *told.pop("words")]
    typer.echo(
        json.dumps({"owner": who, "old": begun.old, "new": begun.new, "until": begun.until, **told})
        if as_json
        else "\n".join(words)
    )


def _rotate_authority(folder: Path, authority: str, as_json: bool) -> None:
    """What the old key signed holds until it ends; the hub shows both keys to whoever fetches them."""
    from cohelix.access.authority import rotate as rotate_authority
    from cohelix.audit.events import KeyRotated
    from cohelix.cli.audit_log import note, server_log

    done = rotate_authority(folder, authority)
    note(server_log(folder), [KeyRotated(owner=f"authority:{authority}", old=done["old"], new=done["new"])])
    words = [f"{authority}: {done['new']} signs from now on", f"the key before is published until {done['until']}"]
    words.append("nodes that have pinned its keys in [[trust]] need the new one, too; others fetch it")
    typer.echo(json.dumps(done) if as_json else "\n".join(words))


def _owner(folder: Path) -> str:
    """A member's id, or the hub's address: whom others know by the key."""
    from cohelix.core.errors import NotFound
    from cohelix.hub.settings import read_settings as read_hub
    from cohelix.node.settings import read_settings as read_node

    if (folder / "node.toml").exists():
        return read_node(folder).id
    if (folder / "hub.toml").exists():
        return read_hub(folder).url
    raise NotFound(f"{folder} is neither a node's nor a hub's folder")


def _announced_by_node(folder: Path, begun: Succession) -> dict[str, Any]:
    """The hub takes it and tells the others before the new key signs anything."""
    from cohelix.federation.joining import post_to_hub, read_pinned
    from cohelix.federation.signing import load_identity, sign_request
    from cohelix.federation.successions import SuccessionBook, complete_succession
    from cohelix.federation.transport import PATH
    from cohelix.node.settings import read_settings
    from cohelix.web import member_roads
    from cohelix.wire.federation import AnnounceSuccession, SuccessionTaken

    pinned = read_pinned(folder)
    taken = None
    if pinned is not None:
        url, body = f"{pinned.hub_url}{PATH}/successions", AnnounceSuccession(succession=begun).model_dump_json().encode()
        headers = sign_request(load_identity(folder).holding(begun.old), method="POST", url=url, body=body)
        keys = SuccessionBook(folder).keys(pinned.hub_key, pinned.hub_url)
        roads = member_roads(folder, read_settings(folder))
        taken = SuccessionTaken.model_validate_json(post_to_hub(url, body, headers, keys=keys, tls=roads.context()))
    complete_succession(folder, note=partial(_write_down, folder))
    if taken is None:
        return {"told": [], "untold": [], "words": ["this node has joined no hub: nobody had to be told"]}
    words = [f"told: {', '.join(taken.told) or 'nobody'}"]
    if taken.untold:
        words.append(f"told when they are there again: {', '.join(taken.untold)}")
    return {"told": list(taken.told), "untold": list(taken.untold), "words": words}


def _announced_by_hub(folder: Path, begun: Succession) -> dict[str, Any]:
    """The hub that serves tells its members, and changes the key when all know it."""
    from cohelix.core.errors import Conflict
    from cohelix.federation.registry import Registry
    from cohelix.federation.successions import complete_succession

    active = [member.id for member in Registry(folder).members() if member.state == "active"]
    if not active:
        with suppress(Conflict):  # the hub that serves was faster
            complete_succession(folder, note=partial(_write_down, folder))
        return {"told": [], "untold": [], "words": ["there is no active member: the new key signs from now on"]}
    at, until = datetime.fromisoformat(begun.at), datetime.fromisoformat(begun.until)
    latest = (at + (until - at) / 2).isoformat(timespec="seconds").replace("+00:00", "Z")
    words = [
        f"announced: the hub tells {', '.join(active)} while it serves",
        f"it signs with the new key when all know it, at {latest} at the latest",
        "invitations that no node has used yet are to be made again afterwards",
    ]
    return {"told": [], "untold": active, "words": words}


def _write_down(folder: Path, begun: Succession) -> None:
    """The audit log knows when which key began."""
    from cohelix.cli.audit_log import note, server_log
    from cohelix.federation.heralds import key_rotated

    origin = f"node/{begun.who}" if (folder / "node.toml").exists() else "hub"
    note(server_log(folder), [key_rotated(begun, origin)])
