"""Command groups that several files fill: `cohelix node …`, `cohelix hub …` and `cohelix analysis …`."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

node_app = typer.Typer(name="node", help="A data holder's node: load, serve, join.", no_args_is_help=True)
hub_app = typer.Typer(name="hub", help="The federation's hub: invite members, serve.", no_args_is_help=True)
analysis_app = typer.Typer(name="analysis", help="Federated analyses: check, run, look, draw.", no_args_is_help=True)


def add_group(app: typer.Typer, group: typer.Typer) -> None:
    """Make a group part of the command, once, whoever comes first."""
    if all(known.typer_instance is not group for known in app.registered_groups):
        app.add_typer(group)


class SeveralFiles(TyperCommand):
    """A command whose `--genotypes` takes all file names up to the next option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        spread: list[str] = []
        taking = False
        for word in args:
            if taking and not word.startswith("-"):
                spread += ["--genotypes", word]
                continue
            taking = word == "--genotypes"
            if not taking:
                spread.append(word)
        if taking and spread.count("--genotypes") == 0:
            spread.append("--genotypes")
        return super().parse_args(ctx, spread)
