"""From source files to a complete, published version of a dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from cohelix.bank.manifest import COUNTS, GENOTYPES, PEOPLE, REPORT_FILE, Manifest, checksums, write_manifest
from cohelix.bank.people import Linkage, atoms_of, link, write_call_sets
from cohelix.bank.publish import open_current, published, staging
from cohelix.bank.report import LoadReport, people_warnings, version_warnings, write_report
from cohelix.bank.rows import Layout
from cohelix.bank.version import LISTED_FILE, OpenVersion, listed_rows
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadUsage, CohelixError
from cohelix.core.genome import Assembly
from cohelix.core.ids import DatasetId
from cohelix.disclosure.rules import FREQUENCY_FLOOR, PEOPLE_FLOOR
from cohelix.genotypes import Cohort, LoadProgress, load_genotypes, open_counts, write_counts
from cohelix.genotypes.store import open_store
from cohelix.phenotypes.model import People
from cohelix.phenotypes.store import write_people
from cohelix.phenotypes.table import TableReading, read_people
from cohelix.wire.dataset import AbsentMeans, Disclosure, Floors

FilterPolicy = Literal["keep", "pass"]
QualityPolicy = Literal["off", "report", "enforce"]
FIRST_RELEASE = 1  # a version's first numbered release: everybody of it (rule 4 of the interface)


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What is to be loaded, and what the data holder declares of it.

    Attributes
    ----------
    genotypes
        VCF, VCF.gz, BCF, PLINK 1 or PLINK 2 files, all with the same sample columns; or a MAF; or sites with counts and
        no person (a VCF without samples, or Parquet). May be empty where phenopackets name the variants.
    individuals, mapping, concepts
        A table of people, a folder of tables, phenopackets or OMOP tables, and a YAML mapping; OMOP's concept map.
    reference
        FASTA for left-alignment and reference checks; None for neither.
    min_gq, min_dp, filter_policy
        Calls below these (FORMAT GQ, DP) become missing, and are counted; `pass` does so with every call of a record
        whose FILTER is neither `PASS` nor `.`, `keep` takes them.
    lift_over
        A chain file from the other build to `assembly`: positions are moved, and what is lost is listed.
    annotations
        Sites VCF files with VEP's CSQ, SnpEff's ANN or ClinVar's CLNSIG, beside what the genotype files carry.
    quality, thresholds
        Whether the quality gate only reports, or also refuses and leaves out; its thresholds (YAML).
    simulated, open_release_note
        What pages show beside every number: that the people do not exist; why the data may be open.
    """

    dataset: DatasetId
    genotypes: tuple[Path, ...]
    assembly: Assembly
    individuals: Path | None = None
    mapping: Path | None = None
    concepts: Path | None = None
    reference: Path | None = None
    min_gq: int | None = None
    min_dp: int | None = None
    filter_policy: FilterPolicy = "keep"
    lift_over: Path | None = None
    annotations: tuple[Path, ...] = ()
    quality: QualityPolicy = "report"
    thresholds: Path | None = None
    disclosure: Disclosure = "floored"
    absent_means: AbsentMeans = "not_assessed"
    title: str | None = None
    simulated: bool = False
    open_release_note: str | None = None


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
    Conflict
        If another load of the dataset is running.
    """
    clock, begin = clock or SystemClock(), stage or _nothing
    if request.mapping is not None and request.individuals is None:
        raise BadUsage("a mapping explains a table of people: give --individuals too")
    started = clock.monotonic()
    with staging(node, request.dataset) as place:
        begin("people")
        reading = _read_people(request, clock.now().year)
        people = reading.people if reading is not None else People.nobody()
        people_read = clock.monotonic()
        begin("genotypes")
        genotypes = load_genotypes(
            request.genotypes,
            place.folder / GENOTYPES,
            assembly=request.assembly,
            reference=request.reference,
            progress=progress,
        )
        genotypes_read = clock.monotonic()
        begin("counts")
        linkage = link(genotypes.samples, people)
        _write_parts(place.folder, request, people, linkage, place.number)
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
                *genotypes.warnings,
                *people_warnings(people, linkage, _other_people(node, request.dataset)),
                *version_warnings(genotypes.samples, _version_before(node, request.dataset)),
            ),
            started_at=clock.now(),
            seconds={
                "people": people_read - started,
                "genotypes": genotypes_read - people_read,
                "counts": clock.monotonic() - genotypes_read,
            },
        )
        write_report(report, place.folder / REPORT_FILE)
        begin("publish")
        place.publish()
    return report


def _write_parts(folder: Path, request: LoadRequest, people: People, linkage: Linkage, number: int) -> None:
    """Everything of a version that follows from its genotypes and people: counts, columns of people, the manifest."""
    store = open_store(folder / GENOTYPES)
    atoms = atoms_of(linkage.call_sets, people)
    cohorts = {atom.group: Cohort.of(len(store.info.samples), columns) for atom, columns in atoms}
    write_counts(store, cohorts, folder / COUNTS)
    floors = Floors(frequency=0, people=0)
    if request.disclosure != "open":
        floors = Floors(frequency=FREQUENCY_FLOOR, people=PEOPLE_FLOOR)
    layout = Layout.of(tuple(atom for atom, _ in atoms))
    listed = listed_rows(store, open_counts(folder / COUNTS), layout, floors.frequency)
    np.save(folder / LISTED_FILE, listed, allow_pickle=False)
    (folder / PEOPLE).mkdir()
    write_people(people, folder / PEOPLE)
    write_call_sets(linkage.call_sets, folder / PEOPLE)
    manifest = Manifest(
        dataset=request.dataset,
        version=number,
        release=FIRST_RELEASE,
        title=request.title or request.dataset,
        assembly=request.assembly,
        disclosure=request.disclosure,
        floors=floors,
        absent_means=request.absent_means,
        simulated=request.simulated,
        open_release_note=request.open_release_note,
        n_individuals=linkage.call_sets.n_people,
        n_call_sets=len(store.info.samples),
        n_variants=store.info.n_variants,
        contigs=store.info.contigs,
        atoms=tuple(atom for atom, _ in atoms),
        files=checksums(folder),
    )
    write_manifest(manifest, folder)


def _read_people(request: LoadRequest, year: int) -> TableReading | None:
    if request.individuals is None:
        return None
    return read_people([request.individuals], mapping=request.mapping, year=year)


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


def _version_before(node: Path, dataset: DatasetId) -> OpenVersion | None:
    """The version that this load replaces; None where there is none that can be opened."""
    if dataset not in published(node):
        return None
    try:
        return open_current(node, dataset)
    except CohelixError:
        return None


def _nothing(_: str) -> None:
    """Nobody wants to hear of stages."""
