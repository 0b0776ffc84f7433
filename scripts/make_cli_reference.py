"""Write `docs/reference/cli.md` from the commands themselves.

.venv/bin/python scripts/make_cli_reference.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import typer

from cohelix.cli.main import app

TARGET = Path(__file__).resolve().parents[1] / "docs/reference/cli.md"
HEAD = """\
# Commands

Written by `scripts/make_cli_reference.py` from the commands themselves. Every command also has `--help`. With `--json`,
standard output is one JSON document, and everything else goes to standard error. Exit statuses: 0 done, 1 our fault,
2 input or usage refused, 3 refused by policy, 4 answered but not by every member (only with `--strict`), 5 nothing could
be reached. Examples are in the [guides](../index.md#guides).
"""


def main() -> None:
    parts = [HEAD]
    for name, command in leaves(typer.main.get_command(app)):
        arguments = [
            param for param in command.params if isinstance(param, click.Argument) or param.param_type_name == "argument"
        ]
        options = [param for param in command.params if param not in arguments]
        usage = " ".join(["cohelix", name, *(shown(argument) for argument in arguments)])
        parts += [f"\n## `{usage}`\n", f"\n{' '.join((command.help or '').split())}\n", "\n| option | |\n|---|---|\n"]
        parts += [f"| {words(param)} | {help_of(param)} |\n" for param in (*arguments, *options) if help_of(param)]
    TARGET.write_text("".join(parts), encoding="utf-8")


def leaves(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield path, command
        return
    for name, inner in sorted(subcommands.items()):
        yield from leaves(inner, f"{path} {name}".strip())


def shown(argument: click.Parameter) -> str:
    return (argument.metavar or argument.name or "").upper()


def words(param: click.Parameter) -> str:
    if param.param_type_name == "argument":
        return f"`{shown(param)}`"
    value = "" if getattr(param, "is_flag", False) else f" {param.metavar or 'VALUE'}"
    names = ", ".join(param.opts)
    return f"`{names}{value}`".replace("|", "\\|") + (" (required)" if param.required else "")


def help_of(param: click.Parameter) -> str:
    text = " ".join((getattr(param, "help", None) or "").split()).replace("|", "\\|")
    default = param.default if not callable(param.default) else None
    plain = isinstance(default, (str, int, float)) and not isinstance(default, bool) and default != ""
    return f"{text} Default: `{default}`." if text and plain else text


if __name__ == "__main__":
    main()
