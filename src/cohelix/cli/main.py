"""The `cohelix` command: gathers the nouns' commands and turns the exception tree into exit statuses."""

from __future__ import annotations

import errno
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Annotated

import typer

from cohelix import __version__
from cohelix.cli import (
    analysis,
    analysis_plot,
    apply,
    ask,
    audit,
    cohort,
    dac,
    demo,
    desk,
    doctor,
    hub,
    hub_people,
    hub_reports,
    keys,
    login,
    node,
    node_consent,
    node_describe,
    node_life,
    node_ontologies,
    node_policy,
    node_quality,
    node_serve,
    notices,
)
from cohelix.core.errors import CohelixError

# What the machine refuses, and its keeper can mend; any other error of the system is a fault of ours, with its traceback.
_REFUSED_BY_SYSTEM = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP)
)

app = typer.Typer(
    name="cohelix",
    help="A federation of genome banks: genomes stay, answers travel.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Nothing to do before a command."""


for _noun in (
    ask,
    apply,
    desk,
    cohort,
    analysis,
    analysis_plot,
    node_serve,
    node,
    node_consent,
    node_describe,
    node_life,
    node_ontologies,
    node_policy,
    node_quality,
    hub,
    hub_people,
    hub_reports,
    login,
    notices,
    keys,
    dac,
    doctor,
    audit,
    demo,
):
    _noun.register(app)


class _NoPandas:
    """No command uses pandas, but Arrow imports it, where it is installed, to see that an array is none of its: 0.4 s."""

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        del path, target
        return ModuleSpec(name, cls()) if name == "pandas" else None  # type: ignore[arg-type]  # a loader by its methods

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        raise ModuleNotFoundError("no command uses pandas", name=spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Never reached."""


def main() -> None:
    """Run the command line: exit status 0 done, 1 our fault, 2 refused input, 3 refused by policy, 5 unreachable."""
    sys.meta_path.insert(0, _NoPandas)
    try:
        app()
    except CohelixError as error:
        typer.echo(f"{error.title}: {error.detail}", err=True)
        sys.exit(error.exit_status)
    except OSError as error:
        if error.errno not in _REFUSED_BY_SYSTEM:
            raise
        where = f"{error.filename}: " if error.filename else ""
        typer.echo(f"The system refused: {where}{error.strerror}", err=True)
        sys.exit(2)
    finally:
        sys.meta_path.remove(_NoPandas)


if __name__ == "__main__":
    main()
