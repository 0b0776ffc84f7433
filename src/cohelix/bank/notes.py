"""What a version says of its variants besides genotypes: annotations, and where a lift-over has moved them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cohelix.bank.manifest import ANNOTATIONS, CASES, GENOTYPES
from cohelix.bank.request import LoadRequest
from cohelix.core.errors import BadUsage
from cohelix.core.genome import Assembly
from cohelix.genotypes.annotate import annotate, annotated
from cohelix.genotypes.fractions import CALLS_FILE, rewrite_cases
from cohelix.genotypes.hybrid_store import HybridStore
from cohelix.genotypes.liftover import LiftReport, lift_store
from cohelix.genotypes.structural import write_mates
from cohelix.wire.dataset import Content

_BEFORE, _CASES_BEFORE = "genotypes-before-lift-over", "cases-before-lift-over"


def other_build(assembly: Assembly) -> Assembly:
    """The build that a lift-over to `assembly` comes from."""
    return next(build for build in Assembly if build != assembly)


def lift_genotypes(folder: Path, content: Content, chain: Path, assembly: Assembly, reference: Path | None) -> LiftReport:
    """Move the variants of a staged store of the other build to their places in `assembly`."""
    if content != "germline":
        raise BadUsage("calls of tumours are not lifted over: give --assembly as their files have it")
    before = folder / _BEFORE
    (folder / GENOTYPES).rename(before)
    store = HybridStore.open(before)
    lifted = lift_store(store, folder / GENOTYPES, chain=chain, assembly=assembly, reference=reference)
    n_before, names = store.info.n_variants, store.info.samples
    shutil.rmtree(before)
    if (folder / CASES).is_dir():
        row_of = np.full(n_before, -1, np.int64)
        row_of[lifted.source_rows] = np.arange(len(lifted.source_rows))
        (folder / CASES).rename(folder / _CASES_BEFORE)
        if (folder / _CASES_BEFORE / CALLS_FILE).is_file():
            samples = np.arange(len(names))
            rewrite_cases(folder / _CASES_BEFORE, folder / CASES, sample_of=samples, row_of=row_of, names=names)
        shutil.rmtree(folder / _CASES_BEFORE)
        write_mates(folder / GENOTYPES, folder / CASES)
    return lifted


def annotated_files(request: LoadRequest) -> tuple[Path, ...]:
    """Files that annotations are read from. A lifted file's own are of the other build's positions, and are left out."""
    return request.annotations if request.lift_over is not None else (*request.genotypes, *request.annotations)


def note_annotations(folder: Path, files: Sequence[Path], assembly: Assembly, reference: Path | None) -> list[str]:
    """Write a version's annotations from those of the files that have any; words about them."""
    sources = [path for path in files if annotated(path)]
    if not sources or (folder / ANNOTATIONS).exists():
        return []
    made = annotate(HybridStore.open(folder / GENOTYPES), sources, folder / ANNOTATIONS, assembly=assembly, reference=reference)
    words = [f"{made.entries:,} annotations of {made.variants:,} variants from {', '.join(path.name for path in sources)}"]
    if made.elsewhere:
        words.append(f"{made.elsewhere:,} annotated variants are not in the dataset")
    return words
