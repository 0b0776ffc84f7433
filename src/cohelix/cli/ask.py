"""Questions to the federation: `cohelix frequency`, `region`, `gene`, `datasets`, `members`, `beacon`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from cohelix.wire.federation import RegionAnswer, Road
    from cohelix.wire.frequency import DatasetFrequency, FrequencyAnswer, NodeAnswer, PooledCounts, PopulationCounts
    from cohelix.wire.names import NamedAnswer

_Hub = Annotated[str, typer.Option("--hub", metavar="URL", envvar="COHELIX_HUB", help="The hub's address.")]
_Assembly = Annotated[str, typer.Option("--assembly", metavar="A", help="GRCh37 or GRCh38; nothing is lifted over.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
_Strict = Annotated[bool, typer.Option("--strict", help="Exit with 4 unless every member answered.")]
_Limit = Annotated[int, typer.Option("--limit", min=1, help="Most variants; `next` of the answer says where to go on.")]
_After = Annotated[str | None, typer.Option("--after", metavar="VARIANT", help="Go on after this variant.")]
_Seconds = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds to wait for the hub.")]
_COUNT_COLUMNS = ("Population", "Sex", "AC", "AN", "AF", "Hom", "Het", "Hemi")
_NOT_EVERY_NODE, _NOTHING_REACHED = 4, 5
_ABSENT_SHOWN = {"below_floor": "< floor", "refused": "refused", "not_assessed": "not assessed", "empty": "nobody"}


def register(app: typer.Typer) -> None:
    """Add the questions."""
    app.command()(frequency)
    app.command()(region)
    app.command()(gene)
    app.command()(datasets)
    app.command()(members)
    app.command()(beacon)


def frequency(
    variant: Annotated[str, typer.Argument(metavar="VARIANT", help="For example 22-50313359-G-A, or rs9616208.")],
    *,
    assembly: _Assembly,
    hub: _Hub,
    strict: _Strict = False,
    as_json: _Json = False,
    sexes: Annotated[bool, typer.Option("--sexes", help="Show the rows of each sex too.")] = False,
    timeout: _Seconds = 30.0,
) -> None:
    """Counts of one variant at every member, and pooled; an rsID or a name in HGVS is asked of the members first."""
    from cohelix.sdk import connect
    from cohelix.wire.names import needs_looking_up

    with connect(hub, timeout_seconds=timeout) as client:
        if needs_looking_up(variant.strip()):
            variant = _named(client.named(variant), assembly)
        answer = client.frequency(variant, assembly=assembly)
    if as_json:
        _print_json(answer)
    else:
        _show_frequency(answer, sexes=sexes)
    finish(answer.nodes, strict=strict)


def region(
    region: Annotated[str, typer.Argument(metavar="CHR:FROM-TO", help="1-based, inclusive: 22:50313000-50314000.")],
    *,
    assembly: _Assembly,
    hub: _Hub,
    limit: _Limit = 10_000,
    after: _After = None,
    strict: _Strict = False,
    as_json: _Json = False,
    timeout: _Seconds = 30.0,
) -> None:
    """Variants that overlap a region, at every member."""
    from cohelix.sdk import connect

    with connect(hub, timeout_seconds=timeout) as client:
        answer = client.region(region, assembly=assembly, limit=limit, after=after)
    if as_json:
        _print_json(answer)
    else:
        _show_region(answer, f"{answer.region} ({answer.assembly})")
    finish(answer.nodes, strict=strict)


def gene(
    gene: Annotated[str, typer.Argument(metavar="SYMBOL_OR_ENSG", help="For example CRELD2 or ENSG00000184164.")],
    *,
    assembly: _Assembly,
    hub: _Hub,
    limit: _Limit = 10_000,
    after: _After = None,
    strict: _Strict = False,
    as_json: _Json = False,
    timeout: _Seconds = 30.0,
) -> None:
    """Variants of a gene's region, at every member."""
    from cohelix.sdk import connect

    with connect(hub, timeout_seconds=timeout) as client:
        answer = client.gene(gene, assembly=assembly, limit=limit, after=after)
    if as_json:
        _print_json(answer)
    else:
        _show_region(answer, f"{answer.gene.symbol} {answer.gene.name} {answer.region} ({answer.assembly})")
    finish(answer.nodes, strict=strict)


def datasets(hub: _Hub, strict: _Strict = False, as_json: _Json = False, timeout: _Seconds = 30.0) -> None:
    """Every member's datasets."""
    from cohelix.cli.tables import show_table
    from cohelix.sdk import connect

    with connect(hub, timeout_seconds=timeout) as client:
        answer = client.datasets()
    if as_json:
        _print_json(answer)
    else:
        records = [record for node in answer.nodes for record in node.datasets]
        budgets = any(one.budget_left is not None for one in records)
        rows = [
            (
                one.id,
                one.title + (" (simulated)" if one.simulated else ""),
                one.assembly,
                one.disclosure,
                "withheld" if one.n_individuals is None else one.n_individuals,
                "withheld" if one.n_variants is None else one.n_variants,
                ", ".join(one.populations),
                *([None if one.budget_left is None else f"{one.budget_left:.0%}"] if budgets else []),
            )
            for one in records
        ]
        columns = ("Dataset", "Title", "Assembly", "Disclosure", "People", "Variants", "Populations")
        show_table((*columns, *(["Left of your budget"] if budgets else [])), rows)
        show_absent(answer.nodes)
    finish(answer.nodes, strict=strict)


def members(hub: _Hub, as_json: _Json = False, timeout: _Seconds = 30.0) -> None:
    """The members of the federation and their states."""
    from cohelix.cli.tables import show_table
    from cohelix.sdk import connect

    with connect(hub, timeout_seconds=timeout) as client:
        answer = client.members()
    if as_json:
        _print_json(answer)
        return
    rows = [(one.id, one.state, one.name, one.country, one.url, one.last_seen) for one in answer.members]
    show_table(("Member", "State", "Name", "Country", "Address", "Last seen"), rows)


def beacon(
    path: Annotated[str, typer.Argument(metavar="PATH", help="What follows /beacon/v2/: info, g_variants, datasets …")],
    parameters: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE …", help="Parameters of a GET question.")
    ] = None,
    *,
    hub: _Hub,
    body: Annotated[Path | None, typer.Option("--body", metavar="FILE", help="A POST question's JSON document.")] = None,
    strict: _Strict = False,
    as_json: _Json = False,
    timeout: _Seconds = 30.0,
) -> None:
    """A Beacon v2 question to the network, for example `cohelix beacon g_variants referenceName=22 start=50313358 …`."""
    import json

    from cohelix.core.errors import BadFile, BadUsage
    from cohelix.sdk import connect

    given: dict[str, str] = {}
    for text in parameters or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise BadUsage(f"{text!r} is not NAME=VALUE")
        given[name] = value
    question = None
    if body is not None:
        try:
            question = json.loads(body.read_bytes(), parse_constant=_no_number)
        except (OSError, ValueError) as error:
            raise BadFile(str(body), "", f"it cannot be read: {error}", "a JSON document") from error
    with connect(hub, timeout_seconds=timeout) as client:
        document = client.beacon(path, given, question)
    summary = document.get("responseSummary")
    if as_json or not isinstance(summary, dict):
        typer.echo(json.dumps(document, ensure_ascii=False, indent=None if as_json else 2))
    else:
        _show_beacon(document)
    roads = _roads(document)
    if roads:
        finish(roads, strict=strict)


def _no_number(word: str) -> float:
    """Python's reader knows NaN and Infinity, JSON does not."""
    raise ValueError(f"{word} is not a number of JSON")


def _named(answer: NamedAnswer, assembly: str) -> str:
    """The one variant of a name on an assembly; raises `NotFound` or `BadUsage` with what there is instead."""
    from cohelix.core.errors import BadUsage, NotFound
    from cohelix.core.genome import parse_assembly

    build = parse_assembly(assembly)
    here = [one.variant for one in answer.variants if one.assembly == build]
    if len(here) == 1:
        return here[0]
    if here:
        raise BadUsage(f"{answer.name} stands for several variants on {build}: ask for one of {', '.join(here)}")
    others = [f"{one.variant} on {one.assembly}" for one in answer.variants]
    absent = [node.node for node in answer.nodes if node.status != "answered"]
    raise NotFound(
        f"no dataset tells of a variant named {answer.name} on {build}"
        + (f", but of {', '.join(others)}" if others else ": position and alleles find every variant, as 22-50313359-G-A")
        + (f" ({', '.join(absent)} did not answer)" if absent else "")
    )


def _show_frequency(answer: FrequencyAnswer, *, sexes: bool) -> None:
    from cohelix.cli.tables import show_table

    rows: list[Sequence[Any]] = []
    for node in answer.nodes:
        for dataset in node.datasets:
            rows.extend(_frequency_rows(node, dataset, sexes=sexes))
    rows.append(("all", "pooled", *_pooled_cells(answer.pooled)))
    show_table(("Node", "Dataset", *_COUNT_COLUMNS), rows, title=f"{answer.variant} ({answer.assembly})")
    if answer.pooled.may_overlap:
        typer.echo("People may be at more than one member: the pooled figures may count them twice.")
    for node in answer.nodes:
        for dataset in node.datasets:
            if dataset.status != "answered":
                _say(f"{dataset.id}: {dataset.status.replace('_', ' ')}: {dataset.reason}")
    show_absent(answer.nodes)


def _frequency_rows(node: NodeAnswer, dataset: DatasetFrequency, *, sexes: bool) -> Iterable[Sequence[Any]]:
    if dataset.status != "answered":
        shown = _ABSENT_SHOWN.get(dataset.status, dataset.status.replace("_", " "))
        yield (node.node, dataset.id, "all", "all", shown, "", "", "", "", "")
    for row in dataset.populations:
        if dataset.status == "answered" and (sexes or row.sex == "all"):
            yield (node.node, dataset.id, *_cells(row))


def _cells(row: PopulationCounts) -> tuple[Any, ...]:
    """A row's cells; what is withheld is `< floor`, a frequency that is not defined is empty."""
    counts = (row.allele_count, row.allele_number)
    frequency = "" if row.allele_count is not None and not row.allele_number else row.allele_frequency
    told = (*counts, frequency, row.homozygotes, row.heterozygotes, row.hemizygotes)
    return (row.population, row.sex, *("< floor" if value is None else value for value in told))


def _pooled_cells(pooled: PooledCounts) -> tuple[Any, ...]:
    if pooled.allele_count is None:
        return ("all", "all", "no answer", "", "", "", "", "")
    homozygotes = "< floor" if pooled.homozygotes is None else pooled.homozygotes
    return ("all", "all", pooled.allele_count, pooled.allele_number, pooled.allele_frequency, homozygotes, "", "")


def _show_region(answer: RegionAnswer, title: str) -> None:
    from cohelix.cli.tables import show_table

    rows = [
        (variant.variant, dataset.id, *_cells(dataset.populations[0])[2:])
        for variant in answer.variants
        for dataset in variant.datasets
    ]
    show_table(("Variant", "Dataset", *_COUNT_COLUMNS[2:]), rows, title=title)
    _say(f"{len(answer.variants)} variants" + (f"; more follow: --after {answer.next}" if answer.next else ""))
    for node in answer.nodes:
        for dataset in node.datasets:
            if dataset.status != "answered":
                _say(f"{dataset.id}: {dataset.status.replace('_', ' ')}: {dataset.reason}")
    show_absent(answer.nodes)


def _show_beacon(document: dict[str, Any]) -> None:
    from cohelix.cli.tables import show_table

    summary = document["responseSummary"]
    sets = (document.get("response") or {}).get("resultSets") or ()
    rows = [(one.get("id"), one.get("exists"), one.get("resultsCount"), (one.get("info") or {}).get("status")) for one in sets]
    count = summary.get("numTotalResults")
    title = f"exists: {'yes' if summary.get('exists') else 'no'}" + ("" if count is None else f", {count} in all")
    show_table(("Dataset", "Exists", "Results", "Status"), rows, title=title)
    show_absent(_roads(document))


def _roads(document: dict[str, Any]) -> list[Road]:
    from cohelix.wire.federation import Road

    info = document.get("info")
    nodes = info.get("nodes") if isinstance(info, dict) else None
    return [Road.model_validate(node) for node in nodes or ()]


def show_absent(nodes: Iterable[Road | NodeAnswer]) -> None:
    """Name the members that did not answer."""
    for node in nodes:
        if node.status != "answered":
            _say(f"{node.node} is absent ({node.status}): {node.reason}")


def finish(nodes: Sequence[Road | NodeAnswer], *, strict: bool) -> None:
    """Exit status 5 where no member answered, 4 with `--strict` where one did not."""
    answered = sum(node.status == "answered" for node in nodes)
    if not answered:
        typer.echo("No member answered." if nodes else "The federation has no active member.", err=True)
        raise typer.Exit(_NOTHING_REACHED)
    if strict and answered < len(nodes):
        raise typer.Exit(_NOT_EVERY_NODE)


def _print_json(answer: BaseModel) -> None:
    typer.echo(answer.model_dump_json())


def _say(text: str) -> None:
    from cohelix.cli.tables import plain

    typer.echo(plain(text))
