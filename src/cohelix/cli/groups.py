"""Command groups that several files fill: `cohelix node …` and `cohelix hub …`."""

from __future__ import annotations

import typer

node_app = typer.Typer(name="node", help="A data holder's node: load, serve, join.", no_args_is_help=True)
hub_app = typer.Typer(name="hub", help="The federation's hub: invite members, serve.", no_args_is_help=True)


def add_group(app: typer.Typer, group: typer.Typer) -> None:
    """Make a group part of the command, once, whoever comes first."""
    if all(known.typer_instance is not group for known in app.registered_groups):
        app.add_typer(group)
