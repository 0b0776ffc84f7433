"""A dataset of which only counts are there: sites files to a complete, published version that holds no person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cohelix.bank.making import Declaration, complete_version
from cohelix.bank.manifest import COUNTS, GENOTYPES, REPORT_FILE, Atom
from cohelix.bank.notes import annotated_files, note_annotations
from cohelix.bank.people import link
from cohelix.bank.publish import staging
from cohelix.bank.report import LoadReport, write_report
from cohelix.bank.request import LoadRequest
from cohelix.core.clock import Clock
from cohelix.core.errors import BadFile, BadUsage
from cohelix.genotypes import GenotypeReport, LoadProgress
from cohelix.genotypes.aggregate import SitesReport, is_sites, load_sites
from cohelix.phenotypes.model import People

_IGNORED_NAMED = 5


def are_sites(files: Sequence[Path]) -> bool:
    """Whether the files hold counts of sites and nobody's genotypes.

    Raises
    ------
    BadFile
        Naming the first such file where others hold genotypes.
    """
    sites = [is_sites(path) for path in files]
    if any(sites) and not all(sites):
        other = files[sites.index(True)]
        raise BadFile(str(other), "", "it has no genotypes, and other files have", "files of one kind: load two datasets")
    return bool(sites) and all(sites)


def load_counts_of_others(
    node: Path,
    request: LoadRequest,
    *,
    clock: Clock,
    progress: Callable[[LoadProgress], None] | None,
    begin: Callable[[str], None],
) -> LoadReport:
    """Load one version of an aggregate dataset and publish it; as `load.load`, which calls it."""
    if request.individuals is not None or request.concepts is not None:
        raise BadUsage("sites with counts hold no person: leave out --individuals and --concepts")
    if request.min_gq is not None or request.min_dp is not None or request.filter_policy != "keep":
        raise BadUsage("sites with counts hold no call to filter: leave out --min-gq, --min-dp and --filter")
    started = clock.monotonic()
    with staging(node, request.dataset) as place:
        begin("counts")
        made = load_sites(
            request.genotypes,
            place.folder / GENOTYPES,
            place.folder / COUNTS,
            assembly=request.assembly,
            mapping=request.mapping,
            with_rest=request.disclosure != "open",
            chain=request.lift_over,
            reference=request.reference,
            progress=progress,
        )
        notes = note_annotations(place.folder, annotated_files(request), request.assembly, request.reference)
        read = clock.monotonic()
        declared = Declaration.asked(request, "aggregate", made.lift)
        groups = tuple(Atom.model_validate(group._asdict()) for group in made.groups)
        nobody = People.nobody()
        linkage = link((), nobody)
        complete_version(place, declared, nobody, linkage.call_sets, why="load", now=clock.now(), groups=groups)
        report = LoadReport(
            dataset=request.dataset,
            version=place.number,
            assembly=request.assembly,
            disclosure=request.disclosure,
            simulated=request.simulated,
            genotypes=_as_genotypes(made),
            reading=None,
            linkage=linkage,
            warnings=(*_words(made, request), *notes),
            started_at=clock.now(),
            seconds={"genotypes": read - started, "counts": clock.monotonic() - read},
            lift=made.lift,
        )
        write_report(report, place.folder / REPORT_FILE)
        begin("publish")
        place.publish()
    return report


def _as_genotypes(made: SitesReport) -> GenotypeReport:
    """The figures that sites have; nobody's calls were seen."""
    nobody = np.empty(0, np.int64)
    return GenotypeReport(
        samples=(),
        variants=made.variants,
        records=made.records,
        multiallelic=0,
        trimmed=0,
        left_aligned=0,
        duplicate_variants=0,
        duplicates=(),
        call_rate=0.0,
        sample_call_rate=np.empty(0, np.float64),
        transitions=made.transitions,
        transversions=made.transversions,
        sample_het=nobody,
        sample_hom=nobody,
        half_calls=0,
        contigs=made.contigs,
    )


def _words(made: SitesReport, request: LoadRequest) -> list[str]:
    """What was taken but deserves a look."""
    shown = [
        f"{'Total' if group.population == 'all' else group.population} {group.sex}: {group.people:,}" for group in made.groups
    ]
    words = [f"counts of {made.groups[0].people:,} people in {len(made.groups)} groups, nobody's genotypes", *made.warnings]
    if request.mapping is None:
        words.append(f"people of a group are the most that a site has called; name them in a mapping: {', '.join(shown[:8])}")
    if made.genotypes_unknown:
        words.append(f"{made.genotypes_unknown:,} variants do not say who is heterozygous and homozygous: answered as unknown")
    for reason, names in made.ignored.items():
        named = ", ".join(names[:_IGNORED_NAMED]) + (", …" if len(names) > _IGNORED_NAMED else "")
        words.append(f"{len(names)} fields are not taken ({reason}): {named}")
    return words
