"""`cohelix cohort count`: how many people an expression means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cohelix.cli.ask import finish, show_absent

if TYPE_CHECKING:
    from cohelix.sdk.client import CohortCount


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(no_args_is_help=True, help="Cohorts: who is meant by an expression.")
    group.command()(count)
    group.callback()(_cohorts)
    app.add_typer(group, name="cohort")


def _cohorts() -> None:
    """Keeps `count` a command of the group though it is the only one."""


def count(
    expression: Annotated[
        str, typer.Argument(metavar="EXPR", help="For example 'sex=female and (disease=OMIM:1 or not age>=40)'.")
    ],
    *,
    hub: Annotated[str, typer.Option("--hub", metavar="URL", envvar="COHELIX_HUB", help="The hub's address.")],
    datasets: Annotated[
        list[str] | None, typer.Option("--dataset", metavar="NODE:DATASET", help="Only this dataset; may be given again.")
    ] = None,
    project: Annotated[
        str, typer.Option("--project", metavar="P", help="Ask for a project that floored datasets allow: any expression.")
    ] = "",
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 4 unless every member answered.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds to wait for the hub.")] = 30.0,
) -> None:
    """How many people an expression means, at every member and in all."""
    from cohelix.sdk import connect
    from cohelix.wire.expression import read_expression

    read_expression(expression)  # a slip of the pen is told before anybody is asked
    with connect(hub, timeout_seconds=timeout) as client:
        answer = client.cohort_count(expression, datasets=datasets or (), project=project)
    if as_json:
        typer.echo(answer.model_dump_json())
    else:
        _show(answer)
    finish(answer.nodes, strict=strict)


def _show(answer: CohortCount) -> None:
    from cohelix.cli.tables import show_table

    rows = [
        (node.node, one.id, one.count if one.status == "answered" else one.status.replace("_", " "), one.reason)
        for node in answer.nodes
        for one in node.datasets
    ]
    rows.append(("all", "pooled", "no answer" if answer.pooled.count is None else answer.pooled.count, None))
    show_table(("Node", "Dataset", "People", "Reason"), rows, title=answer.text)
    if answer.pooled.may_overlap:
        typer.echo("People may be at more than one member: the pooled number may count them twice.")
    show_absent(answer.nodes)
