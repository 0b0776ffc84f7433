"""Every command explains itself, answers in JSON, and starts fast."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer
from typer.testing import CliRunner

from cohelix.cli.main import app

# The commands of the interface; "…" of later work left out.
PROMISED = (
    *("demo", "node init", "node load", "node counts", "node export", "node serve", "node join"),
    *("hub init", "hub invite", "hub serve", "frequency", "region", "gene", "beacon", "datasets"),
)


def _leaves(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield path, command
        return
    for name, sub in sorted(subcommands.items()):
        yield from _leaves(sub, f"{path} {name}".strip())


COMMANDS = dict(_leaves(typer.main.get_command(app)))


def test_every_promised_command_is_there() -> None:
    missing = [name for name in PROMISED if name not in COMMANDS and not any(c.startswith(name + " ") for c in COMMANDS)]
    assert not missing


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_has_help_and_json(name: str) -> None:
    command = COMMANDS[name]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert "--json" in options, f"cohelix {name} has no --json"
    assert command.help, f"cohelix {name} does not say what it does"
    undescribed = [p.opts[0] for p in command.params if isinstance(p, click.Option) and not p.help]
    assert not undescribed, f"options of cohelix {name} without a word: {undescribed}"
    ended = CliRunner().invoke(app, [*name.split(), "--help"])
    assert ended.exit_code == 0 and "--json" in ended.output.replace("\n", "")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_is_in_the_reference(name: str, repository: Path) -> None:
    pages = "\n".join(page.read_text() for page in (repository / "docs" / "reference").rglob("*.md"))
    assert f"cohelix {name}" in pages, f"docs/reference does not mention `cohelix {name}`"


def test_unknown_words_are_a_usage_error() -> None:
    ended = subprocess.run([sys.executable, "-m", "cohelix.cli.main", "nonsense"], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr


def test_the_command_line_starts_fast() -> None:
    """Heavy imports stay inside the commands: asking for help takes well below a second, of processor time at that."""
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "cohelix.cli.main", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.6, seconds  # other work on the machine does not count; 0.28 s were measured


def test_help_loads_no_heavy_package() -> None:
    script = (
        "import sys\nsys.argv = ['cohelix', '--help']\n"
        "from cohelix.cli.main import app\n"
        "try:\n    app()\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *sorted({'numba', 'pyarrow', 'polars', 'fastapi', 'pandas'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.strip().endswith("LOADED"), said.splitlines()[-1]
