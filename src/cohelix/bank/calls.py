"""A dataset's calls where they are more than germline genotypes: mutation lists, case reports, tumours, breakends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cohelix.bank.cases import tumour_columns_of
from cohelix.bank.manifest import ANNOTATIONS, CASES, GENOTYPES
from cohelix.bank.people import link
from cohelix.core.errors import BadFile, BadUsage
from cohelix.core.genome import Assembly
from cohelix.core.reported import ReportedCall
from cohelix.genotypes import GenotypeReport
from cohelix.genotypes.annotations import Annotation, write_annotations
from cohelix.genotypes.fractions import write_cases
from cohelix.genotypes.hgvs import amino_acid_short_form
from cohelix.genotypes.maf import is_maf, read_maf
from cohelix.genotypes.reported import load_reported
from cohelix.genotypes.store import open_store
from cohelix.genotypes.structural import write_mates
from cohelix.genotypes.vcf_fractions import read_fractions, tumour_columns
from cohelix.phenotypes.model import People
from cohelix.wire.dataset import Content

_PROTEIN = ":p."  # HGVS: what follows an accession, if any, is of a protein


class Calls(NamedTuple):
    """What a load made of its calls: the figures, what kind of dataset they make, columns that are tumours by their file."""

    report: GenotypeReport
    content: Content
    tumours: frozenset[str]


def are_lists(files: Sequence[Path]) -> bool:
    """Whether the calls come from mutation lists (MAF), or, without any file, from case reports.

    Raises
    ------
    BadUsage
        If MAF files stand beside genotype files.
    """
    mafs = [is_maf(path) for path in files]
    if any(mafs) and not all(mafs):
        raise BadUsage("a MAF and genotype files make two datasets: load them with two commands")
    return all(mafs)


def load_lists(
    files: Sequence[Path], reported: Sequence[ReportedCall], folder: Path, *, assembly: Assembly, reference: Path | None
) -> Calls:
    """Write the store, cases and annotations of MAF files, or, without any, of the calls that case reports name."""
    for number, path in enumerate(files):
        if path.resolve() in {earlier.resolve() for earlier in files[:number]}:
            raise BadFile(str(path), "", "the file is given twice", "each file once")
    calls: Iterable[ReportedCall] = reported
    tumours: set[str] = set()
    if files:
        calls = _noting(chain.from_iterable(read_maf(path, assembly=assembly) for path in files), tumours)
    made = load_reported(
        calls, folder / GENOTYPES, assembly=assembly, reference=reference, path=files[0] if len(files) == 1 else None
    )
    write_mates(folder / GENOTYPES, folder / CASES)
    write_cases(made.details, made.unplaced, tumours, folder / CASES)
    write_annotations(_annotations(made.rows), folder / ANNOTATIONS)
    if files and reported:
        warning = f"{len(reported):,} variants that case reports name are not taken: the MAF has the dataset's variants"
        made.report.warnings += (warning,)
    return Calls(made.report, "somatic" if files else "reported", frozenset(tumours))


def note_cases(files: Sequence[Path], report: GenotypeReport, people: People, folder: Path, *, passing_only: bool) -> Calls:
    """Add to a store of genotype files what their codes cannot say: tumours, allele fractions, mates of breakends."""
    named = tumour_columns(files)
    linkage = link(report.samples, people, named)
    is_tumour = tumour_columns_of(linkage.call_sets, people, named)
    tumours = frozenset(name for name, tumour in zip(report.samples, is_tumour.tolist(), strict=True) if tumour)
    found = read_fractions(files, open_store(folder / GENOTYPES), tumours=tumours, passing_only=passing_only)
    n_mates = write_mates(folder / GENOTYPES, folder / CASES)
    if found.details or tumours or n_mates:
        write_cases(found.details, (), tumours, folder / CASES)
    for path in found.not_read:
        report.warnings += (f"{path.name}: allele fractions are not kept: index it (bgzip and tabix)",)
    # Tumours with their normals are a somatic dataset; a few tumours in a cohort leave it a germline one.
    person = linkage.call_sets.person
    others = ~is_tumour & ~np.isin(person, person[is_tumour])
    content: Content = "somatic" if named or (tumours and not others.any()) else "germline"
    return Calls(report, content, tumours)


def with_tumours(people: People, tumours: frozenset[str]) -> People:
    """The people, with the biosamples that their own file says are tumours marked as such."""
    marked = np.array([name in tumours for name in people.biosample_ids], np.bool_)
    return replace(people, germline=people.germline & ~marked) if marked.any() else people


def _noting(calls: Iterable[ReportedCall], biosamples: set[str]) -> Iterator[ReportedCall]:
    for call in calls:
        biosamples.add(call.biosample)
        yield call


def _annotations(rows: Sequence[Sequence[ReportedCall]]) -> Iterator[tuple[int, Annotation]]:
    """What the calls say of their variants, each thing once."""
    for row, calls in enumerate(rows):
        said: dict[Annotation, None] = {}
        for call in calls:
            protein = [text for text in call.hgvs if _PROTEIN in f":{text}"]
            coding = [text for text in call.hgvs if text not in protein]
            for number in range(max(1, len(protein), len(coding))):
                of_protein = protein[min(number, len(protein) - 1)] if protein else ""
                annotation = Annotation(
                    gene=call.gene,
                    consequence=call.consequence,
                    hgvs_c=coding[min(number, len(coding) - 1)] if coding else "",
                    hgvs_p=of_protein,
                    amino_acid=amino_acid_short_form(of_protein),
                    significance=call.significance,
                    source="reported",
                )
                if annotation != Annotation(source="reported"):
                    said[annotation] = None
        yield from ((row, annotation) for annotation in said)
