"""`cohelix node load`, `counts` and `export`: what a data holder does with the node's own data."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from cohelix.cli.groups import SeveralFiles, add_group, node_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cohelix.genotypes import LoadProgress

_PLAIN_LINE_SECONDS = 10.0  # how often a load says how far it is where there is no terminal

_Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder.")]
_Dataset = Annotated[str, typer.Option("--dataset", metavar="ID", help="The dataset's id within the node.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


class _Consent(StrEnum):
    OPT_OUT = "opt-out"
    OPT_IN = "opt-in"


class _Disclosure(StrEnum):
    OPEN = "open"
    FLOORED = "floored"
    CLOSED = "closed"


class _AbsentMeans(StrEnum):
    NOT_ASSESSED = "not_assessed"
    HOM_REF = "hom_ref"


class _RefAllele(StrEnum):
    A1 = "a1"
    A2 = "a2"


class _FilterPolicy(StrEnum):
    KEEP = "keep"
    PASS = "pass"


class _Quality(StrEnum):
    OFF = "off"
    REPORT = "report"
    ENFORCE = "enforce"


class _Sex(StrEnum):
    MALE = "male"
    FEMALE = "female"


def register(app: typer.Typer) -> None:
    """Add the commands to `cohelix node`."""
    node_app.command("load", cls=SeveralFiles)(load)
    node_app.command("counts")(counts)
    node_app.command("export")(export)
    add_group(app, node_app)


def load(
    folder: _Folder,
    dataset: _Dataset,
    *,
    assembly: Annotated[str, typer.Option("--assembly", metavar="GRCh37|GRCh38", help="The files' genome build.")],
    genotypes: Annotated[
        list[Path] | None,
        typer.Option(
            "--genotypes",
            metavar="FILE…",
            help="VCF, BCF, bed or pgen files with the same samples; a MAF; or sites with counts. None for phenopackets alone.",
        ),
    ] = None,
    individuals: Annotated[
        Path | None, typer.Option("--individuals", metavar="FILE_OR_DIR", help="People: table, phenopackets or OMOP tables.")
    ] = None,
    mapping: Annotated[Path | None, typer.Option("--mapping", metavar="YAML", help="What the table's columns mean.")] = None,
    concepts: Annotated[
        Path | None, typer.Option("--concepts", metavar="FILE", help="Concept map of OMOP tables: concept_id to code.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option("--reference", metavar="FASTA", help="Reference sequence, to left-align indels.")
    ] = None,
    ref_allele: Annotated[
        _RefAllele | None, typer.Option("--ref-allele", help="Which allele of a .bim is REF; else the one --reference has.")
    ] = None,
    min_gq: Annotated[int | None, typer.Option("--min-gq", min=0, help="Calls with a lower GQ become missing.")] = None,
    min_dp: Annotated[int | None, typer.Option("--min-dp", min=0, help="Calls with a lower DP become missing.")] = None,
    filter_policy: Annotated[
        _FilterPolicy, typer.Option("--filter", help="Take records that fail FILTER, or make their calls missing.")
    ] = _FilterPolicy.KEEP,
    lift_over: Annotated[
        Path | None,
        typer.Option("--lift-over", metavar="CHAIN", help="Move positions from the other build; losses are listed."),
    ] = None,
    annotations: Annotated[
        list[Path] | None, typer.Option("--annotations", metavar="FILE", help="Sites VCF with CSQ, ANN or CLNSIG; may repeat.")
    ] = None,
    quality: Annotated[
        _Quality, typer.Option("--quality", help="The quality gate: leave it, report, or also exclude and refuse.")
    ] = _Quality.REPORT,
    thresholds: Annotated[
        Path | None, typer.Option("--thresholds", metavar="YAML", help="Thresholds of the quality gate.")
    ] = None,
    disclosure: Annotated[
        _Disclosure, typer.Option("--disclosure", help="What the public may know: exact, above the floor, or nothing.")
    ] = _Disclosure.FLOORED,
    absent_means: Annotated[
        _AbsentMeans, typer.Option("--absent-means", help="What a site without a record means.")
    ] = _AbsentMeans.NOT_ASSESSED,
    title: Annotated[str | None, typer.Option("--title", metavar="TEXT", help="The dataset's name for people.")] = None,
    simulated: Annotated[bool, typer.Option("--simulated", help="These people do not exist; every page says so.")] = False,
    open_release_note: Annotated[
        str | None, typer.Option("--open-release-note", "--note", metavar="TEXT", help="Why the data may be open.")
    ] = None,
    consent: Annotated[
        _Consent | None,
        typer.Option("--consent", help="Whether people who have said nothing are in, or out; else as before, or opt-out."),
    ] = None,
    consents: Annotated[
        Path | None,
        typer.Option("--consents", metavar="TSV", help="What people agree to: individual_id and a column for each scope."),
    ] = None,
    report: Annotated[Path | None, typer.Option("--report", metavar="FILE", help="Where to write the load report.")] = None,
    as_json: _Json = False,
) -> None:
    """Load one version of a dataset and publish it; exit 0 only when it is complete and published."""
    from cohelix.audit.events import DatasetLoaded
    from cohelix.bank.load import LoadRequest
    from cohelix.bank.load import load as load_dataset
    from cohelix.bank.report import write_report
    from cohelix.cli.audit_log import node_log, note
    from cohelix.core.errors import BadUsage
    from cohelix.core.genome import parse_assembly
    from cohelix.node.settings import read_settings

    _check_node(folder)
    _check_writable(report)
    request = LoadRequest(
        dataset=_dataset(dataset),
        genotypes=tuple(genotypes or ()),
        assembly=parse_assembly(assembly),
        individuals=individuals,
        mapping=mapping,
        concepts=concepts,
        reference=reference,
        ref_allele=ref_allele.value if ref_allele is not None else None,
        min_gq=min_gq,
        min_dp=min_dp,
        filter_policy=filter_policy.value,
        lift_over=lift_over,
        annotations=tuple(annotations or ()),
        quality=quality.value,
        thresholds=thresholds,
        disclosure=disclosure.value,
        absent_means=absent_means.value,
        title=title,
        simulated=simulated,
        open_release_note=open_release_note,
        consent=consent.value if consent is not None else None,
        consents=consents,
    )
    # What writes the audit log is loaded meanwhile: the compiled loops leave Python to another thread.
    Thread(target=import_module, args=("cohelix.federation.audit_log",), name="imports").start()
    with _stoppable(), _progress() as (on_progress, on_stage):
        done = load_dataset(folder, request, progress=on_progress, stage=on_stage)
    note(node_log(folder), [DatasetLoaded(f"{read_settings(folder).id}:{done.dataset}", str(done.version), disclosure.value)])
    if report is not None:
        try:
            write_report(done, report)
        except OSError as error:
            problem = f"{report} cannot be written ({error.strerror})"
            raise BadUsage(f"{problem}; version {done.version} of {done.dataset} is published and keeps its report") from None
    typer.echo(json.dumps(done.document(), ensure_ascii=False) if as_json else done.text())


def counts(
    folder: _Folder,
    dataset: _Dataset,
    *,
    population: Annotated[str | None, typer.Option("--population", metavar="P", help="Only people of this population.")] = None,
    sex: Annotated[_Sex | None, typer.Option("--sex", help="Only people of this sex.")] = None,
    individuals: Annotated[
        Path | None, typer.Option("--individuals", metavar="FILE", help="Only these people: one individual id a line.")
    ] = None,
    region: Annotated[
        str | None, typer.Option("--region", metavar="CHR:FROM-TO", help="Only variants that overlap it, 1-based.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to write; standard output if left out.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Exact counts of every variant, for the operator alone, as TSV; several conditions on people all hold."""
    from cohelix.bank.operator_counts import HEADER, OperatorCounts
    from cohelix.cli.audit_log import note_export
    from cohelix.core.genome import parse_region
    from cohelix.phenotypes.table import read_identifiers

    _check_node(folder)
    wanted = OperatorCounts(
        folder,
        _dataset(dataset),
        population=population,
        sex=sex.value if sex is not None else None,
        individuals=read_identifiers(individuals) if individuals is not None else None,
        region=parse_region(region) if region is not None else None,
    )
    note_export(folder, dataset, "counts")
    if out is not None:
        with _opened_for_writing(out) as file:
            n_rows = wanted.write_tsv(file)
        summary = {"rows": n_rows, "people": wanted.n_people, "out": str(out)}
        typer.echo(json.dumps(summary) if as_json else f"{n_rows} rows of {wanted.n_people} people in {out}", err=not as_json)
    elif as_json:
        rows = (row for frame in wanted.blocks() for row in frame.iter_rows())
        sys.stdout.write(f'{{"people": {wanted.n_people}, "columns": {json.dumps(HEADER)}, "rows": [')
        for number, row in enumerate(rows):
            sys.stdout.write((",\n" if number else "\n") + json.dumps(row))
        sys.stdout.write("\n]}\n")
    else:
        _write_to_stdout(wanted.write_tsv)


def export(
    folder: _Folder,
    dataset: _Dataset,
    region: Annotated[str, typer.Option("--region", metavar="CHR:FROM-TO", help="1-based, inclusive.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A .vcf.gz or a .bcf file.")],
    as_json: _Json = False,
) -> None:
    """Genotypes of a region with the source's sample names, for the operator alone."""
    from cohelix.bank.operator_counts import export_region
    from cohelix.cli.audit_log import note_export
    from cohelix.core.genome import parse_region

    _check_node(folder)
    _check_writable(out)
    wanted = parse_region(region)
    note_export(folder, dataset, "genotypes of a region")
    export_region(folder, _dataset(dataset), wanted, out)
    typer.echo(json.dumps({"region": str(wanted), "out": str(out)}) if as_json else f"{wanted} in {out}", err=not as_json)


def _write_to_stdout(write: Callable[[BinaryIO], object]) -> None:
    """Write until done, or until the reader (`head`, say) has read enough."""
    try:
        write(sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # What is still buffered goes nowhere, so that closing the stream at exit does not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_node(folder: Path) -> None:
    from cohelix.node.settings import read_settings

    read_settings(folder)


def _dataset(text: str) -> Any:
    from cohelix.core.ids import dataset_id

    return dataset_id(text)


def _check_writable(path: Path | None) -> None:
    """Refuse a place that cannot be written before the work begins."""
    from cohelix.core.errors import BadUsage

    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        raise BadUsage(f"{path} cannot be written: it is a folder, or its folder is not there")
    if path is not None and not os.access(path if path.exists() else path.parent, os.W_OK):
        raise BadUsage(f"{path} cannot be written: this user may not")


@contextmanager
def _opened_for_writing(path: Path) -> Iterator[Any]:
    """A file that is complete or not there: written beside its place, then moved."""
    _check_writable(path)
    if path.exists() and not path.is_file():
        with path.open("wb") as file:  # /dev/stdout, a pipe
            yield file
        return
    draft = path.with_name(f".{path.name}.part")
    try:
        with draft.open("wb") as file:
            yield file
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the work tidily: what it has made so far is removed, and a line says so."""
    caught = signal.SIGINT

    def stop(number: int, _: object) -> None:
        nonlocal caught
        caught = signal.Signals(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("The load was stopped; the node answers from what is published.", err=True)
        raise typer.Exit(128 + caught) from None
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _progress() -> Iterator[tuple[Callable[[LoadProgress], None], Callable[[str], None]]]:
    """How a load shows how far it is, on standard error: a bar on a terminal, else a line now and then."""
    if not sys.stderr.isatty():
        yield _plain_progress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[records]:,} records"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("people", total=None, records=0)

        def on_progress(progress: LoadProgress) -> None:
            bar.update(task, total=progress.bytes_total, completed=progress.bytes_done, records=progress.records)

        yield on_progress, lambda stage: bar.update(task, description=stage)


def _plain_progress() -> tuple[Callable[[LoadProgress], None], Callable[[str], None]]:
    told = time.monotonic()

    def on_progress(progress: LoadProgress) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= _PLAIN_LINE_SECONDS:
            told = now
            share = progress.bytes_done / progress.bytes_total if progress.bytes_total else 0.0
            typer.echo(f"{progress.file.name}: {progress.records} records, {share:.0%} of all files", err=True)

    return on_progress, lambda stage: typer.echo(f"loading: {stage}", err=True)
