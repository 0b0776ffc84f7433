"""`cohelix login`, `logout` and `whoami`: who asks a hub from this machine."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cohelix.sdk.identity import Asked

_Hub = Annotated[str, typer.Option("--hub", metavar="URL", envvar="COHELIX_HUB", help="The hub's address.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(login)
    app.command()(logout)
    app.command()(whoami)


def login(hub: _Hub, as_json: _Json = False) -> None:
    """Log in at a hub: prints an address to open in any browser and a code to type there, and waits until that is done."""
    from cohelix.sdk.identity import log_in

    def show(asked: Asked) -> None:
        if as_json:
            told = {"address": asked.address, "completeAddress": asked.complete_address, "code": asked.code}
            typer.echo(json.dumps(told | {"seconds": asked.seconds}), err=True)
            return
        typer.echo(f"Open {asked.address}\nand type the code {asked.code} (it lasts {asked.seconds // 60} minutes).", err=True)
        typer.echo(f"Or open {asked.complete_address} and compare the code. Waiting …", err=True)

    identity = log_in(hub, show)
    document = {"hub": identity.hub, "issuer": identity.issuer, "subject": identity.subject, "name": identity.name}
    typer.echo(json.dumps(document) if as_json else f"Logged in at {identity.hub} as {identity.name}.")


def logout(hub: _Hub, as_json: _Json = False) -> None:
    """End the login at a hub, here and at its issuer."""
    from cohelix.sdk.identity import identity_of

    identity = identity_of(hub)
    if identity is not None:
        identity.log_out()
    words = f"Logged out at {hub}." if identity else f"You were not logged in at {hub}."
    typer.echo(json.dumps({"hub": hub, "loggedOut": identity is not None}) if as_json else words)


def whoami(hub: _Hub, as_json: _Json = False) -> None:
    """Say whom the hub takes you for, with roles and visas; ends with 3 where nobody is logged in or the login has ended."""
    from cohelix.core.errors import NotAuthentic
    from cohelix.sdk import connect

    with connect(hub) as client:
        if client.identity is None:
            raise NotAuthentic(f"you are not logged in at {hub}: run `cohelix login --hub {hub}`")
        me = client.me()
    if as_json:
        typer.echo(me.model_dump_json())
        return
    from cohelix.cli.tables import plain, show_table

    typer.echo(plain(f"{me.name} ({me.subject} of {me.issuer})"))
    typer.echo(f"Roles: {', '.join(me.roles) or 'none'}")
    if me.trouble:
        typer.echo(plain(me.trouble), err=True)
    rows = [(one.kind, one.value, one.issuer, _moment(one.expires)) for one in me.visas]
    show_table(("Visa", "Value", "Said by", "Until (UTC)"), rows, title="Visas")


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
