"""From source files to a complete, published version of a dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cohelix.bank.calls import are_lists, load_lists, note_cases, with_tumours
from cohelix.bank.consent import ConsentBook, read_choices
from cohelix.bank.making import Declaration, complete_version
from cohelix.bank.manifest import COUNTS, GENOTYPES, REPORT_FILE, read_manifest
from cohelix.bank.membership import read_membership
from cohelix.bank.notes import annotated_files, lift_genotypes, note_annotations, other_build
from cohelix.bank.people import link
from cohelix.bank.publish import open_current, published, staging
from cohelix.bank.quality import Gate
from cohelix.bank.quality_thresholds import read_thresholds
from cohelix.bank.report import LoadReport, people_warnings, release_warnings, sex_warnings, write_report
from cohelix.bank.request import LoadRequest
from cohelix.bank.sites import are_sites, load_counts_of_others
from cohelix.bank.version import OpenVersion
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadUsage, CohelixError, QualityRefused
from cohelix.core.ids import DatasetId
from cohelix.genotypes import CallFilters, LoadProgress, load_genotypes, open_counts
from cohelix.genotypes.store import open_store
from cohelix.phenotypes import Reading, read_people
from cohelix.phenotypes.consents import SCOPES
from cohelix.phenotypes.model import People
from cohelix.phenotypes.ontology import Ontologies

__all__ = ["LoadRequest", "load"]


def load(
    node: Path,
    request: LoadRequest,
    *,
    clock: Clock | None = None,
    progress: Callable[[LoadProgress], None] | None = None,
    stage: Callable[[str], None] | None = None,
) -> LoadReport:
    """Load one version of a dataset into a node's folder and publish it; returns when it is what the node answers from.

    Whatever ends a load early, a kill included, leaves the version that was published before. `stage` hears what begins.

    Raises
    ------
    BadFile
        If a genotype file, the table of people or the mapping is refused; nothing is published then.
    QualityRefused
        If the quality gate is enforced and refuses; nothing is published then.
    Conflict
        If another load of the dataset is running.
    """
    clock, begin = clock or SystemClock(), stage or _nothing
    if are_sites(request.genotypes):
        return load_counts_of_others(node, request, clock=clock, progress=progress, begin=begin)
    if request.mapping is not None and request.individuals is None:
        raise BadUsage("a mapping explains a table of people: give --individuals too")
    thresholds = read_thresholds(request.thresholds)
    started, ontologies = clock.monotonic(), Ontologies.of(node)
    with staging(node, request.dataset) as place:
        begin("people")
        reading = _read_people(request, clock.now().year, ontologies)
        people = reading.people if reading is not None else People.nobody()
        people_read = clock.monotonic()
        begin("genotypes")
        lift, notes = None, list[str]()
        if are_lists(request.genotypes):
            if request.lift_over is not None:
                raise BadUsage("mutation lists and case reports are not lifted over: give --assembly as they are")
            reported = reading.reported if reading is not None else ()
            calls = load_lists(
                request.genotypes, reported, place.folder, assembly=request.assembly, reference=request.reference
            )
        else:
            genotypes = load_genotypes(
                request.genotypes,
                place.folder / GENOTYPES,
                assembly=request.assembly if request.lift_over is None else other_build(request.assembly),
                reference=request.reference if request.lift_over is None else None,
                filters=CallFilters(request.min_gq, request.min_dp, request.filter_policy),
                ref_allele=request.ref_allele,
                progress=progress,
            )
            passing = request.filter_policy == "pass"
            calls = note_cases(request.genotypes, genotypes, people, place.folder, passing_only=passing)
            if request.lift_over is not None:
                lift = lift_genotypes(place.folder, calls.content, request.lift_over, request.assembly, request.reference)
            notes = note_annotations(place.folder, annotated_files(request), request.assembly, request.reference)
        genotypes, people = calls.report, with_tumours(people, calls.tumours)
        genotypes_read = clock.monotonic()
        linkage, gate = link(genotypes.samples, people, calls.tumours), None
        if request.quality != "off":
            begin("quality")
            store = open_store(place.folder / GENOTYPES)
            gate = Gate(store, people, linkage.call_sets, thresholds, content=calls.content, files=request.genotypes)
            if request.quality == "enforce":
                linkage = linkage.without(gate.excluded)
        looked_at = clock.monotonic()
        begin("counts")
        declared = Declaration.asked(request, calls.content, lift)
        _note_consents(node, request, reading)
        planned = complete_version(
            place, declared, people, linkage.call_sets, why="load", now=clock.now(), ontologies=ontologies
        )
        counted = clock.monotonic()
        quality = None
        if gate is not None:
            quality = gate.close(open_counts(place.folder / COUNTS), read_manifest(place.folder).atoms)
            if request.quality == "enforce" and quality.verdict == "refuse":
                raise QualityRefused("; ".join(quality.reasons))
        report = LoadReport(
            dataset=request.dataset,
            version=place.number,
            assembly=request.assembly,
            disclosure=request.disclosure,
            simulated=request.simulated,
            genotypes=genotypes,
            reading=reading,
            linkage=linkage,
            warnings=(
                *(reading.warnings if reading is not None else ()),
                *genotypes.warnings,
                *sex_warnings(genotypes, people, linkage),
                *people_warnings(people, linkage, _other_people(node, request.dataset)),
                *release_warnings(planned),
                *notes,
            ),
            started_at=clock.now(),
            seconds={
                "people": people_read - started,
                "genotypes": genotypes_read - people_read,
                "counts": counted - looked_at,
                "quality": clock.monotonic() - counted + looked_at - genotypes_read,
            },
            quality=quality,
            codes=ontologies.report(),
            lift=lift,
            membership=read_membership(place.folder),
        )
        write_report(report, place.folder / REPORT_FILE)
        begin("publish")
        place.publish()
    return report


def _read_people(request: LoadRequest, year: int, ontologies: Ontologies) -> Reading | None:
    if request.individuals is None:
        return None
    return read_people(
        [request.individuals],
        mapping=request.mapping,
        concepts=request.concepts,
        ontologies=ontologies,
        assembly=request.assembly,
        year=year,
    )


def _note_consents(node: Path, request: LoadRequest, reading: Reading | None) -> None:
    """Write down what the people of a load agree to, before its release is decided; what they said before goes on to hold.

    A table of choices goes before what stands beside the people's other data.
    """
    if request.consents is not None:
        ConsentBook(node).take(read_choices(request.consents), over=False)
    if reading is not None and reading.consents:
        said = {name: {scope: scope in scopes for scope in SCOPES} for name, scopes in reading.consents.items()}
        ConsentBook(node).take(said, over=False)


def _other_people(node: Path, dataset: DatasetId) -> dict[DatasetId, OpenVersion]:
    """The node's other datasets, whose people may be the same; one that cannot be opened is its own load's concern."""
    others = {}
    for other in published(node):
        if other != dataset:
            try:
                others[other] = open_current(node, other)
            except CohelixError:
                continue
    return others


def _nothing(_: str) -> None:
    """Nobody wants to hear of stages."""
