"""A node's part of a run: its people's traits and covariates, and where the run's variants lie in its stores.

`prepare` writes it into the run's folder, once, from frozen versions of the datasets; every worker then opens the same files,
memory-mapped, whatever process it is, today or after a crash.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from cohelix.analysis.data import LocalData, Study
from cohelix.analysis.genotypes import StoreGenotypes
from cohelix.analysis.variants import STRETCH_VARIANTS, VariantList, stretch
from cohelix.bank.publish import open_version
from cohelix.bank.study import StudyPeople, covariate_columns, trait_columns
from cohelix.bank.version import NO_ALT, OpenVersion
from cohelix.core.arrays import FloatArray, IntArray
from cohelix.core.errors import Damaged
from cohelix.core.genome import Region
from cohelix.core.ids import DatasetId
from cohelix.genotypes.names import name_columns, rows_in
from cohelix.genotypes.products import ALL_REFERENCE, NOT_ASSESSED, GenotypePart
from cohelix.wire.plan import ComponentNumber, Plan

_FILE, _FORMAT = "local.json", 1
_ROWS_AT_ONCE = 1 << 20


def covariate_names(plan: Plan, nodes: Sequence[str]) -> tuple[str, ...]:
    """The names of the covariates' columns, in order; those of components stand last: nodes add them when they are made."""
    components = tuple(f"component:{one.component}" for one in plan.covariates if isinstance(one, ComponentNumber))
    return (*(column.name for column in covariate_columns(plan, nodes)), *components)


def study_of(plan: Plan, variants: VariantList, nodes: Sequence[str], *, people_max: int, mac_floor: int = 0) -> Study:
    """What the coordinator knows of a run before its first sum.

    Parameters
    ----------
    nodes
        Ids of the contributors.
    people_max
        Public bound on the people of all contributors together.
    """
    return Study(
        n_variants=len(variants),
        covariates=covariate_names(plan, nodes),
        traits=tuple(column.name for column in trait_columns(plan)),
        binary=plan.binary,
        nodes=len(nodes),
        people_max=people_max,
        haploid=variants.haploid(),  # type: ignore[arg-type]
        mac_floor=mac_floor,
    )


def sites(study: StudyPeople) -> Iterator[pa.Table]:
    """The variants that this node may name in the plan's regions, in stretches of at most `STRETCH_VARIANTS`.

    Of an open dataset all, of a floored one those that its public release lists, of a closed one none; none at all where the
    plan names the variants. Rows without an ALT, and gVCF's for any other allele, name none.
    """
    if study.plan.variants.variants is not None:
        return
    for part in study.parts:
        version = part.version
        if version.manifest.disclosure == "closed":
            continue
        for contig, rows in rows_in(version.store, study.plan.variants.regions):
            for start in range(rows.start, rows.stop, STRETCH_VARIANTS):
                yield _sites_of(version, contig, range(start, min(start + STRETCH_VARIANTS, rows.stop)))


def _sites_of(version: OpenVersion, contig: str, rows: range) -> pa.Table:
    names = name_columns(version.store, rows)
    named = pc.invert(pc.is_in(names["alt"], pa.array(sorted(NO_ALT), pa.large_string())))
    if version.manifest.disclosure != "open":
        listed = version.is_listed(np.arange(rows.start, rows.stop), observed=False)
        named = pc.and_(named, pa.array(listed))
    found = names.filter(named)
    contigs = pa.array([contig], pa.string()).take(pa.array(np.zeros(found.num_rows, np.int64)))
    return stretch(contigs, found["position"].to_numpy(), found["ref"], found["alt"])


def rows_of(version: OpenVersion, variants: VariantList) -> IntArray:
    """(variants,) int64: the first row of each variant in a dataset's store, `NOT_ASSESSED`, or `ALL_REFERENCE`."""
    found = np.full(len(variants), NOT_ASSESSED, np.int64)
    store, hom_ref = version.store, version.manifest.absent_means == "hom_ref"
    for contig, held in _contigs(variants):
        if not store.contig_rows(contig):
            continue
        positions = variants.table(held.start, held.stop)["position"].to_numpy()
        place = found[held.start : held.stop]
        there = store.rows_starting(Region(contig, int(positions[0]), int(positions[-1]) + 1))
        recorded = np.zeros(len(place), np.bool_)
        for start in range(there.start, there.stop, _ROWS_AT_ONCE):
            rows = range(start, min(start + _ROWS_AT_ONCE, there.stop))
            names = name_columns(store, rows)
            first, last = (int(names["position"][at].as_py()) for at in (0, -1))
            window = slice(*np.searchsorted(positions, [first, last + 1]).tolist())
            wanted = variants.table(held.start + window.start, held.start + window.stop)
            _fill_rows(place[window], wanted, names, rows.start)
            if hom_ref:
                recorded[window] |= np.isin(positions[window], names["position"].to_numpy())
        if (
            hom_ref
        ):  # a record of other alleles at the position says more than the declaration: it is not known who has this one
            place[(place == NOT_ASSESSED) & ~recorded] = ALL_REFERENCE
    return found


def prepare(
    study: StudyPeople,
    variants: VariantList,
    folder: Path,
    *,
    nodes: Sequence[str],
    node_level: bool = False,
    mac_floor: int = 0,
) -> None:
    """Write the node's part of a run into an existing folder, for `local_data`; it is there whole or not at all.

    Parameters
    ----------
    nodes
        Ids of all contributors in the order of the roster: they make the columns of the covariate `node`.
    node_level, mac_floor
        Whether the node's own policy agrees to estimates of its own, and its floor on minor allele counts for these.
    """
    columns = covariate_columns(study.plan, nodes)
    with _new_array(folder / "covariates.npy", (study.n, len(columns))) as covariates:
        study.fill_covariates(covariates, nodes)
    with _new_array(folder / "traits.npy", (study.n, len(trait_columns(study.plan)))) as traits:
        study.fill_traits(traits)
    for number, part in enumerate(study.parts):
        _write_array(folder / f"columns.{number}.npy", part.columns)
        _write_array(folder / f"rows.{number}.npy", rows_of(part.version, variants))
    document = {
        "format": _FORMAT,
        "people": study.n,
        "place": list(nodes).index(study.node),
        "node_level": node_level and study.plan.release.node_level,
        "mac_floor": mac_floor,
        "haploid_two": study.plan.dosage_x == "haploid-two",
        "datasets": [[part.dataset, part.version.manifest.version] for part in study.parts],
    }
    draft = folder / (_FILE + ".new")
    _private(draft)
    draft.write_bytes(orjson.dumps(document))
    draft.replace(folder / _FILE)


def prepared(folder: Path) -> bool:
    """Whether `prepare` has come to its end in this folder."""
    return (folder / _FILE).is_file()


def local_data(node_folder: Path, folder: Path) -> LocalData:
    """What `prepare` wrote, opened: arrays memory-mapped, genotypes from the frozen versions of the node's datasets.

    Raises
    ------
    Damaged
        If the folder holds something else.
    NotFound
        If a frozen version is gone: more than one newer one was published meanwhile.
    """
    try:
        document = orjson.loads((folder / _FILE).read_bytes())
        if document["format"] != _FORMAT:
            raise ValueError(f"format {document['format']}")
        people, haploid_two = int(document["people"]), bool(document["haploid_two"])
        datasets = [(DatasetId(name), int(version)) for name, version in document["datasets"]]
        covariates, traits = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("covariates", "traits"))
        columns, rows = (
            [np.load(folder / f"{name}.{number}.npy", mmap_mode="r") for number in range(len(datasets))]
            for name in ("columns", "rows")
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"the node's part of the run cannot be read ({error})", path=str(folder)) from None
    parts, start = [], 0
    for (dataset, version), held, where in zip(datasets, columns, rows, strict=True):
        numbers = np.arange(start, start + len(held))
        store = open_version(node_folder, dataset, version).store
        parts.append(GenotypePart(store, held, numbers, where, haploid_two=haploid_two))
        start += len(held)
    if not people == start == len(covariates) == len(traits):
        raise Damaged("the node's part of the run is of different numbers of people", path=str(folder))
    return LocalData(
        covariates,
        traits,
        StoreGenotypes(parts, people),
        place=int(document["place"]),
        node_level=bool(document["node_level"]),
        mac_floor=int(document["mac_floor"]),
    )


def _contigs(variants: VariantList) -> list[tuple[str, range]]:
    """The contigs of a list and their stretches of it."""
    coded = variants.table()["contig"].combine_chunks().dictionary_encode()
    codes, names = coded.indices.to_numpy(), coded.dictionary.to_pylist()
    starts = np.flatnonzero(np.diff(codes, prepend=-1)).tolist()
    stops = [*starts[1:], len(codes)] if starts else []
    return [(names[codes[start]], range(start, stop)) for start, stop in zip(starts, stops, strict=True)]


def _fill_rows(place: IntArray, wanted: pa.Table, names: pa.Table, first_row: int) -> None:
    """Write the first row of each wanted variant that the names have, where none was found before."""
    if wanted.num_rows == names.num_rows and wanted.select(names.column_names).equals(names):  # as where the list is its own
        unknown = place == NOT_ASSESSED
        place[unknown] = first_row + np.flatnonzero(unknown)
        return
    import polars as pl

    sought = pl.DataFrame(pl.from_arrow(wanted.select(["position", "ref", "alt"]))).with_row_index("index")
    held = pl.DataFrame(pl.from_arrow(names)).with_row_index("row")
    both = held.join(sought, on=["position", "ref", "alt"], how="inner").sort("row", descending=True)
    index, row = both["index"].to_numpy().astype(np.int64), both["row"].to_numpy().astype(np.int64)
    new = place[index] == NOT_ASSESSED
    place[index[new]] = row[new] + first_row  # the first row of a key comes last, and stays


@contextmanager
def _new_array(path: Path, shape: tuple[int, int]) -> Iterator[FloatArray]:
    """A float64 array in a new file, to be filled: however large, it takes no more memory than the system can spare."""
    _private(path)
    if 0 in shape:  # nothing can be mapped of an empty file
        array: FloatArray = np.zeros(shape)
        yield array
        _write_array(path, array)
        return
    mapped: Any = np.lib.format.open_memmap(path, "w+", np.float64, shape)
    yield mapped
    mapped.flush()


def _write_array(path: Path, array: np.ndarray[Any, Any]) -> None:
    _private(path)
    np.save(path, array, allow_pickle=False)


def _private(path: Path) -> None:
    """Make a file that its owner alone may read."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
