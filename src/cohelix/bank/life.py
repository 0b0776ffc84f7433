"""What happens to a dataset after its first load: people come and go, versions differ, a store grows old, it ends."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cohelix.bank.consent import ConsentBook, ConsentMode, Consents
from cohelix.bank.description import described
from cohelix.bank.making import Declaration, complete_version
from cohelix.bank.manifest import (
    ANNOTATIONS,
    CASES,
    FORMAT_VERSION,
    GENOTYPES,
    MANIFEST_FILE,
    REPORT_FILE,
    damaged_files,
    read_manifest,
)
from cohelix.bank.membership import MEMBERSHIP_FILE, membership_of_version
from cohelix.bank.people import CallSets, link, people_joined, people_of
from cohelix.bank.publish import (
    DATASETS,
    VERSIONS,
    Staging,
    all_datasets,
    current_version,
    locked,
    note_switch,
    open_current,
    open_version,
    read_pointer,
    staging,
)
from cohelix.bank.releases import RELEASES, Planned, ReleaseHistory, names_of
from cohelix.bank.version import OpenVersion, copies_of
from cohelix.core.arrays import BoolArray, IntArray
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadUsage, CohelixError, Conflict, Damaged, NotFound
from cohelix.core.ids import DatasetId, dataset_id
from cohelix.genotypes.annotations import Annotation, Annotations, write_annotations
from cohelix.genotypes.fractions import rewrite_cases
from cohelix.genotypes.merge import Joined, join_samples, keep_samples
from cohelix.genotypes.sections import check_file
from cohelix.genotypes.store import open_store
from cohelix.genotypes.structural import write_mates
from cohelix.phenotypes.consents import SCOPES
from cohelix.phenotypes.model import People

Stage = Callable[[str], None]
_NAMED_MOST = 5


@dataclass(frozen=True, slots=True)
class Step:
    """What a step made of a dataset: its version and release, and how many people it and its release hold."""

    dataset: DatasetId
    version: int
    release: int
    people: int
    released: int

    def document(self) -> dict[str, Any]:
        """As a JSON document."""
        return {
            "dataset": self.dataset,
            "version": self.version,
            "release": self.release,
            "people": self.people,
            "released": self.released,
        }


def statuses(node: Path) -> list[dict[str, Any]]:
    """Of every dataset its state, version, release and sizes, for the operator; a damaged one says what is wrong."""
    return [_status(node, dataset) for dataset in all_datasets(node)]


def history(node: Path, dataset: DatasetId) -> list[dict[str, Any]]:
    """The dataset's releases, the first one first: when, why, how many people, and how they differ from the one before."""
    current_version(node, dataset)
    found, before = [], None
    for release in ReleaseHistory(node / DATASETS / dataset).releases():
        people = set().union(*release.cells.values()) if release.cells else set()
        came = len(people) if before is None else len(people - before)
        left = 0 if before is None else len(before - people)
        facts = {name: value for name, value in release.facts.items() if name != "floor"}
        found.append({**facts, "came": came, "left": left})
        before = people
    return found


def diff(node: Path, dataset: DatasetId, *, older: int | None = None, newer: int | None = None) -> dict[str, Any]:
    """How two versions that are still kept differ: variants and people that came, went, or have other counts.

    Raises
    ------
    NotFound
        If a version is no longer kept.
    """
    after = open_current(node, dataset) if newer is None else open_version(node, dataset, newer)
    before = open_version(node, dataset, after.manifest.version - 1 if older is None else older)
    added = removed = changed = same = 0
    contigs = dict.fromkeys((*before.store.info.contigs, *after.store.info.contigs))
    for contig in contigs:
        theirs, mine = _counts_by_name(before, contig), _counts_by_name(after, contig)
        common = theirs.keys() & mine.keys()
        n_changed = sum(theirs[name] != mine[name] for name in common)
        added, removed = added + len(mine) - len(common), removed + len(theirs) - len(common)
        changed, same = changed + n_changed, same + len(common) - n_changed
    names = [{of[0] for of in names_of(version.people, version.everybody)} for version in (before, after)]
    return {
        "dataset": dataset,
        "older": before.manifest.version,
        "newer": after.manifest.version,
        "variants": {"added": added, "removed": removed, "changed": changed, "same": same},
        "people": {"added": len(names[1] - names[0]), "removed": len(names[0] - names[1]), "same": len(names[0] & names[1])},
        "released": {"older": before.manifest.n_individuals, "newer": after.manifest.n_individuals},
    }


def withdraw(
    node: Path,
    individuals: Sequence[str],
    *,
    dataset: DatasetId | None = None,
    clock: Clock | None = None,
    stage: Stage | None = None,
) -> list[Step]:
    """Take people out of a dataset, or of all that hold them: at once out of what is answered, then out of the files.

    The new release is published first, over the same genotype files; then these are written anew without the people's
    columns, and older versions are removed. A run that was cut short is finished by running it again.

    Raises
    ------
    BadUsage
        If nobody of that name is there; names them.
    """
    clock, begin = clock or SystemClock(), stage or _nothing
    wanted = set(individuals)
    if not wanted:
        raise BadUsage("the file names nobody")
    datasets = [dataset] if dataset is not None else all_datasets(node)
    opened = {name: open_current(node, name) for name in datasets}
    whom = {name: _people_named(version, wanted) for name, version in opened.items()}
    known = {name for version in opened.values() for of in names_of(version.people, version.everybody) for name in of}
    if wanted - known:
        named = ", ".join(sorted(wanted - known)[:_NAMED_MOST])
        raise BadUsage(f"{len(wanted - known)} individuals are in no dataset that was asked for: {named}")
    for name, gone in whom.items():
        if gone.all():
            raise Conflict(f"these are all people of dataset {name}: delete it instead")
    steps = []
    affected = [name for name, gone in whom.items() if gone.any()]
    for name in affected:
        begin(f"release of {name}")
        with staging(node, name) as place:
            version = open_current(node, name)
            gone = _people_named(version, wanted)
            records = ReleaseHistory(place.home)
            (place.home / RELEASES).mkdir(exist_ok=True)
            records.withdraw(records.ordinals(version.people, version.everybody)[gone])
            _link_files(version.folder, place.folder, (GENOTYPES, CASES, ANNOTATIONS))
            planned = _complete(place, version, version.people, version.everybody, why="withdrawal", clock=clock)
            place.publish()
    for name in affected:
        begin(f"files of {name}")
        with staging(node, name) as place:
            version = open_current(node, name)
            keep = ~_people_named(version, wanted)
            people, call_sets = _without(version, place, keep)
            planned = _complete(place, version, people, call_sets, why="withdrawal", clock=clock)
            place.publish(keep_before=False)
            steps.append(_step(name, place.number, planned))
    return steps


def people_known(node: Path) -> dict[str, tuple[DatasetId, ...]]:
    """Everybody in the node's datasets, by the name that consent goes by, and in which datasets each is."""
    found: dict[str, list[DatasetId]] = {}
    for dataset in all_datasets(node):
        version = open_current(node, dataset)
        for of in names_of(version.people, version.everybody):
            found.setdefault(of[0], []).append(dataset)
    return {name: tuple(datasets) for name, datasets in found.items()}


def modes_of(node: Path, individual: str) -> dict[DatasetId, ConsentMode]:
    """Of each dataset that has a person, whether who has said nothing is in it."""
    found: dict[DatasetId, ConsentMode] = {}
    for dataset in all_datasets(node):
        version = open_current(node, dataset)
        if any(of[0] == individual for of in names_of(version.people, version.everybody)):
            found[dataset] = version.manifest.consent
    return found


def out_of_step(node: Path, dataset: DatasetId, consents: Consents) -> bool:
    """Whether a dataset's present version was made before its people said something else of how they are used."""
    version = open_current(node, dataset)
    if version.manifest.content == "aggregate":
        return False
    made_for = version.standing.refused if version.standing is not None else {}
    if version.manifest.consent == "opt-out" and not consents.choices:  # nobody's name need be read
        return any(made_for.values())
    refused = consents.refused(names_of(version.people, version.everybody), version.manifest.consent)
    if not any(mask.any() for mask in refused.values()):
        return any(made_for.values())
    ordinals = ReleaseHistory(node / DATASETS / dataset).ordinals(version.people, version.everybody, make=False)
    return any(set(ordinals[refused[scope]].tolist()) != set(made_for.get(scope, ())) for scope in SCOPES)


def follow_consent(node: Path, *, clock: Clock | None = None, stage: Stage | None = None) -> list[Step]:
    """Bring every dataset in step with what its people agree to now: a new release of each that is not (rule 4).

    The genotype files stay as they are. The version before it goes at once, so that nothing is computed from it any more.

    Raises
    ------
    Conflict
        If a dataset is being changed at the moment, after the others are in step: it reads consent itself before it ends.
    """
    clock, begin = clock or SystemClock(), stage or _nothing
    steps, busy = [], None
    for dataset in all_datasets(node):
        pointer = read_pointer(node / DATASETS / dataset)
        if pointer is None or pointer.state == "retired" or not out_of_step(node, dataset, ConsentBook(node).read()):
            continue
        begin(f"release of {dataset}")
        try:
            with staging(node, dataset) as place:
                version = open_current(node, dataset)
                _link_files(version.folder, place.folder, (GENOTYPES, CASES, ANNOTATIONS))
                planned = _complete(place, version, version.people, version.everybody, why="consent", clock=clock)
                place.publish(keep_before=False)
        except Conflict as error:
            busy = error
            continue
        steps.append(_step(dataset, place.number, planned))
    if busy is not None:
        raise busy
    return steps


def add(
    node: Path,
    dataset: DatasetId,
    genotypes: tuple[Path, ...],
    *,
    individuals: Path | None = None,
    mapping: Path | None = None,
    reference: Path | None = None,
    clock: Clock | None = None,
    stage: Stage | None = None,
) -> Step:
    """Add new people's genotype columns to a dataset; those that are there stay as they are, without their sources.

    Raises
    ------
    BadUsage
        If a column or a person is in the dataset already, or the dataset is not of germline genotypes.
    """
    from cohelix.genotypes.load import load_genotypes
    from cohelix.phenotypes.reading import read_people

    clock, begin = clock or SystemClock(), stage or _nothing
    if mapping is not None and individuals is None:
        raise BadUsage("a mapping explains a table of people: give --individuals too")
    current_version(node, dataset)
    with staging(node, dataset) as place:
        version = open_current(node, dataset)
        if version.manifest.content != "germline":
            raise BadUsage(f"dataset {dataset} is {version.manifest.content}: load it anew with everybody in it")
        begin("people")
        new = People.nobody()
        if individuals is not None:
            new = read_people([individuals], mapping=mapping, year=clock.now().year).people
            present = set(version.people.individual_ids)
            # A table of the whole cohort is welcome: of those who are there already nothing is changed.
            new = people_of(new, np.array([name not in present for name in new.individual_ids], np.bool_))
        begin("genotypes")
        fresh = place.home / "added"
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            load_genotypes(genotypes, fresh, assembly=version.manifest.assembly, reference=reference)
            people = people_joined(version.people, new)
            added = open_store(fresh)
            call_sets = _joined_call_sets(version, added.info.samples, people)
            begin("joining")
            joined = join_samples(version.store, added, place.folder / GENOTYPES, absent=_absent(version, people, call_sets))
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        _carry_over(version, place, joined)
        begin("counts")
        planned = _complete(place, version, people, call_sets, why="addition", clock=clock)
        place.publish()
    return _step(dataset, place.number, planned)


def upgrade(node: Path, dataset: DatasetId, *, clock: Clock | None = None) -> Step | None:
    """Bring a dataset's version to the present format; None where it has it. The genotype files stay as they are."""
    clock = clock or SystemClock()
    present = current_version(node, dataset)
    if read_manifest(present).format == FORMAT_VERSION and (present / MEMBERSHIP_FILE).exists():
        return None
    with staging(node, dataset) as place:
        version = open_current(node, dataset)
        _link_files(version.folder, place.folder, (GENOTYPES, CASES, ANNOTATIONS))
        planned = _complete(place, version, version.people, version.everybody, why="upgrade", clock=clock)
        place.publish()
    return _step(dataset, place.number, planned)


def delete(node: Path, dataset: DatasetId, *, keep_history: bool = True) -> None:
    """Remove a dataset. Its history of releases stays (keyed hashes, no name), so that what was told goes on to count."""
    with locked(node, dataset) as home:
        if keep_history and (home / RELEASES).is_dir():
            ReleaseHistory(home).note_deletion()
        for path in sorted(home.iterdir(), key=lambda path: not path.name.endswith(".json")):
            if path.name == "load.lock" or (keep_history and path.name == RELEASES):
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            if path.suffix == ".json":
                note_switch(home)


def verify(node: Path, datasets: Sequence[DatasetId]) -> dict[DatasetId, list[str]]:
    """Read every byte of the datasets; of each the names of files that are damaged, empty where all is well."""
    return {dataset: _damage(node, dataset) for dataset in datasets}


def _status(node: Path, dataset: DatasetId) -> dict[str, Any]:
    home = node / DATASETS / dataset
    found: dict[str, Any] = {"dataset": dataset, "state": "damaged", "version": None, "release": None}
    try:
        pointer = read_pointer(home)
        assert pointer is not None  # `all_datasets` has looked
        version = open_current(node, dataset)
    except CohelixError as error:
        return {**found, "reason": error.detail}
    manifest, told = version.manifest, membership_of_version(version)
    return {
        **found,
        "state": pointer.state,
        "version": manifest.version,
        "release": manifest.release,
        "title": manifest.title,
        "assembly": str(manifest.assembly),
        "disclosure": manifest.disclosure,
        "content": manifest.content,
        "format": manifest.format,
        "people": version.everybody.n_people,
        "released": manifest.n_individuals,
        "waiting": manifest.n_waiting,
        "callSets": manifest.n_call_sets,
        "variants": manifest.n_variants,
        "membershipPower": None if told is None else told.power,
        "membership": None if told is None else told.sentence(manifest.disclosure),
        "bytes": sum(path.stat().st_size for path in version.folder.rglob("*") if path.is_file()),
    }


def _damage(node: Path, dataset: DatasetId) -> list[str]:
    home = node / DATASETS / dataset_id(dataset)
    try:
        pointer = read_pointer(home)
        if pointer is None:
            raise NotFound(f"the node has no dataset {dataset}")
        folder = home / VERSIONS / f"{pointer.version:06d}"
        if pointer.manifest is not None:  # a damaged list of checksums would accuse other files
            check_file(folder / MANIFEST_FILE, pointer.manifest)
        found = [f"{VERSIONS}/{folder.name}/{name}" for name in damaged_files(read_manifest(folder), folder)]
        if not found:
            open_current(node, dataset)
        ReleaseHistory(home).verify()
        described(home)
        return found
    except Damaged as error:
        return [os.path.relpath(error.path, home) if error.path else error.detail]


def _complete(place: Staging, version: OpenVersion, people: People, call_sets: CallSets, *, why: str, clock: Clock) -> Planned:
    now = clock.now()
    planned = complete_version(place, Declaration.of(version.manifest), people, call_sets, why=why, now=now)
    # No name stands in it: the report of the load that names them goes with the version that it was about.
    report = {
        "dataset": version.manifest.dataset,
        "version": place.number,
        "step": why,
        "madeAt": now.isoformat(timespec="seconds"),
    }
    (place.folder / REPORT_FILE).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return planned


def _step(dataset: DatasetId, number: int, planned: Planned) -> Step:
    return Step(dataset, number, planned.standing.release, len(planned.released), int(planned.released.sum()))


def _people_named(version: OpenVersion, wanted: set[str]) -> BoolArray:
    """(people,) bool: who goes by one of these names; a column without a person goes by its own."""
    names = names_of(version.people, version.everybody)
    return np.array([of[0] in wanted or (len(of) == 1 and of[0] in wanted) for of in names], np.bool_)


def _link_files(source: Path, target: Path, parts: Sequence[str]) -> None:
    """The same files under another name: they never change."""
    for part in parts:
        for path in sorted((source / part).rglob("*")) if (source / part).is_dir() else ():
            if path.is_file():
                place = target / path.relative_to(source)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, place)


def _without(version: OpenVersion, place: Staging, keep: BoolArray) -> tuple[People, CallSets]:
    """Write genotypes and cases without some people's columns; the people and columns that stay."""
    old = version.everybody
    columns = np.flatnonzero(keep[old.person])
    people = people_of(version.people, keep[: old.n_registered])
    call_sets = CallSets(
        tuple(old.names[column] for column in columns.tolist()),
        (np.cumsum(keep) - 1)[old.person[columns]],
        old.counted[columns],
        len(people),
    )
    if not columns.size:
        raise Conflict("nobody with genotypes would be left: delete the dataset instead")
    keep_samples(version.store, columns, place.folder / GENOTYPES)
    if (version.folder / CASES).is_dir():
        sample_of = np.full(len(old.names), -1, np.int64)
        sample_of[columns] = np.arange(len(columns))
        rows = np.arange(version.store.info.n_variants, dtype=np.int64)
        rewrite_cases(version.folder / CASES, place.folder / CASES, sample_of=sample_of, row_of=rows, names=call_sets.names)
        write_mates(place.folder / GENOTYPES, place.folder / CASES)
    _link_files(version.folder, place.folder, (ANNOTATIONS,))
    return people, call_sets


def _joined_call_sets(version: OpenVersion, added: tuple[str, ...], people: People) -> CallSets:
    """Old columns count as before; new ones by the table of the new people."""
    old = version.everybody
    shared = set(old.names) & set(added)
    if shared:
        raise BadUsage(f"{len(shared)} genotype columns are in the dataset already, {min(shared)} say: add new ones only")
    known = set(version.people.biosample_ids)
    fresh = link(added, people).call_sets
    grown = len(people) - old.n_registered
    person = np.where(old.person >= old.n_registered, old.person + grown, old.person)
    alone = fresh.person >= len(people)
    new_person = np.where(alone, fresh.person + (old.n_people - old.n_registered), fresh.person)
    # A second sample of somebody who is counted already does not count.
    has = np.zeros(old.n_people + grown + len(added), np.bool_)
    has[person[old.counted]] = True
    counted = fresh.counted & ~has[new_person]
    assert not known & shared
    return CallSets(
        (*old.names, *added), np.concatenate([person, new_person]), np.concatenate([old.counted, counted]), len(people)
    )


def _absent(version: OpenVersion, people: People, call_sets: CallSets) -> tuple[Any, Any]:
    """What a site without a record says of each part's samples, as the dataset declares."""
    if version.manifest.absent_means != "hom_ref":
        return None, None
    sexes = np.zeros(call_sets.n_people, np.uint8)
    sexes[: len(people)] = people.sex
    of_columns, n_old = sexes[call_sets.person], len(version.everybody.names)

    def ploidy(columns: Any) -> Callable[[str, int], IntArray]:
        return lambda contig, position: copies_of(version.manifest.assembly, contig, position, columns)

    return ploidy(of_columns[:n_old]), ploidy(of_columns[n_old:])


def _carry_over(version: OpenVersion, place: Staging, joined: Joined) -> None:
    """What is said of old rows, for the rows that they have become."""
    row_of = np.full(version.store.info.n_variants, -1, np.int64)
    row_of[joined.first[joined.first >= 0]] = np.flatnonzero(joined.first >= 0)
    if (version.folder / CASES).is_dir():
        names = version.everybody.names
        samples = np.arange(len(names), dtype=np.int64)
        rewrite_cases(version.folder / CASES, place.folder / CASES, sample_of=samples, row_of=row_of, names=names)
    write_mates(place.folder / GENOTYPES, place.folder / CASES)
    if (version.folder / ANNOTATIONS).is_dir():
        known = Annotations.open(version.folder / ANNOTATIONS)

        def entries() -> Any:
            for old, new in enumerate(row_of.tolist()):
                entry: Annotation
                for entry in known.of(old):
                    yield new, entry

        write_annotations(entries(), place.folder / ANNOTATIONS)


def _counts_by_name(version: OpenVersion, contig: str) -> dict[tuple[int, str, str], tuple[int, ...]]:
    """Total counts over the release by name; the first row of a name."""
    rows, found = version.store.contig_rows(contig), dict[tuple[int, str, str], tuple[int, ...]]()
    for start in range(rows.start, rows.stop, 16_384):
        block = range(start, min(start + 16_384, rows.stop))
        table, totals = version.store.table(block), version.counts.rows(block).sum(axis=1).tolist()
        for position, ref, alt, total in zip(table.position.tolist(), table.ref, table.alt, totals, strict=True):
            found.setdefault((position, ref, alt), tuple(total))
    return found


def _nothing(_: str) -> None:
    """Nobody wants to hear of stages."""
