"""`cohelix node init` and `cohelix node serve`: make a node's folder, and answer from it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cohelix.cli.groups import add_group, node_app
from cohelix.cli.serving import Certificate, CertificateKey, Host, Json, Port, Workers


def register(app: typer.Typer) -> None:
    """Add the commands to `cohelix node`."""
    add_group(app, node_app)
    node_app.command("init")(init)
    node_app.command("serve")(serve)
    node_app.command("operate")(operate)


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    node: Annotated[str, typer.Option("--id", help="The member's id in federations: letters, digits, '.', '_', '-'.")],
    name: Annotated[str, typer.Option("--name", help="The member's name, for people.")],
    country: Annotated[str, typer.Option("--country", help="Two letters of ISO 3166, as FI.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Make a node's folder: settings, and an identity of its own."""
    from cohelix.federation.signing import load_identity
    from cohelix.node import init_node

    settings = init_node(folder, node=node, name=name, country=country)
    if as_json:
        made = {"folder": str(folder), "id": settings.id, "name": settings.name, "country": settings.country}
        typer.echo(json.dumps({**made, "publicKey": load_identity(folder).public}))
    else:
        typer.echo(f"{folder} is the folder of node {settings.id}; next: cohelix node load {folder} --dataset …")


def serve(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder.")],
    *,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    certificate: Certificate = None,
    key: CertificateKey = None,
    workers: Workers = 1,
    dask: Annotated[
        str | None,
        typer.Option("--dask", metavar="tcp://HOST:PORT", help="Dask scheduler that computes this node's part of analyses."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Answer questions until SIGTERM or Ctrl-C; prints 'ready http://HOST:PORT' when it answers."""
    from cohelix.node import read_settings

    del as_json
    settings = read_settings(folder)  # a mistake in them is told before anything heavy is loaded
    if dask is not None:
        from cohelix.federation.worker import check_dask

        check_dask(dask)

    from cohelix import web
    from cohelix.cli.doctor_checks import glance
    from cohelix.node.app import create_app

    tls = web.chosen_tls(folder, settings, certificate, key)
    web.serve(partial(create_app, folder, dask=dask, examine=glance), host, port, tls=tls, workers=workers)


def operate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Make a code with which you sign in once at the node's /operate page; it holds for a quarter of an hour."""
    from cohelix.db import open_database
    from cohelix.node.operate import CODE_SECONDS, codes
    from cohelix.node.settings import database_of, read_settings

    settings = read_settings(folder)
    code = codes(open_database(database_of(folder, settings))).begin({}).key
    page = f"{settings.url.rstrip('/')}/operate" if settings.url else "the node's address, /operate"
    if as_json:
        typer.echo(json.dumps({"code": code, "page": page, "minutes": CODE_SECONDS // 60}))
        return
    typer.echo(code)
    typer.echo(f"works once, within {CODE_SECONDS // 60} minutes, at {page}", err=True)
