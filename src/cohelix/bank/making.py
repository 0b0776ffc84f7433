"""The last steps of a version in the making: its release, the counts of it, its people, its declaration."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from cohelix.bank.cases import NOT_COUNTED, listed_cases
from cohelix.bank.consent import ConsentBook, ConsentMode
from cohelix.bank.manifest import CASES, COUNTS, GENOTYPES, PEOPLE, Atom, Manifest, checksums, read_manifest, write_manifest
from cohelix.bank.membership import membership_of, write_membership
from cohelix.bank.people import CallSets, atoms_of, read_call_sets, write_call_sets
from cohelix.bank.publish import DATASETS, Staging
from cohelix.bank.releases import RELEASES, Planned, ReleaseHistory, Standing, names_of, read_standing, write_standing
from cohelix.bank.request import LoadRequest
from cohelix.bank.rows import Layout
from cohelix.bank.version import LISTED_FILE, listed_rows
from cohelix.core.errors import Damaged
from cohelix.core.genome import Assembly
from cohelix.core.ids import DatasetId
from cohelix.disclosure.rules import FREQUENCY_FLOOR, PEOPLE_FLOOR
from cohelix.genotypes import Cohort, open_counts, write_counts
from cohelix.genotypes.fractions import CallDetails
from cohelix.genotypes.liftover import LiftReport
from cohelix.genotypes.store import open_store
from cohelix.phenotypes.model import People
from cohelix.phenotypes.ontology import Ontologies
from cohelix.phenotypes.store import read_people_store, write_people
from cohelix.wire.dataset import AbsentMeans, Content, Disclosure, Floors


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a data holder declares of a dataset; every version repeats it."""

    dataset: DatasetId
    title: str
    assembly: Assembly
    disclosure: Disclosure
    absent_means: AbsentMeans
    content: Content
    simulated: bool
    open_release_note: str | None
    lift_over: dict[str, Any] | None = None
    consent: ConsentMode | None = None  # None: as the version before it, or opt-out

    @classmethod
    def asked(cls, request: LoadRequest, content: Content, lift: LiftReport | None) -> Declaration:
        """What a load declares, of the content that its files proved to have."""
        return cls(
            request.dataset,
            request.title or request.dataset,
            request.assembly,
            request.disclosure,
            request.absent_means,
            content,
            request.simulated,
            request.open_release_note,
            lift.document() if lift is not None else None,
            request.consent,
        )

    @classmethod
    def of(cls, manifest: Manifest) -> Declaration:
        """The declaration of an existing version."""
        return cls(
            DatasetId(manifest.dataset),
            manifest.title,
            manifest.assembly,
            manifest.disclosure,
            manifest.absent_means,
            manifest.content,
            manifest.simulated,
            manifest.open_release_note,
            manifest.lift_over,
            manifest.consent,
        )

    @property
    def floors(self) -> Floors:
        """The floors that the dataset's disclosure means."""
        if self.disclosure == "open":
            return Floors(frequency=0, people=0)
        return Floors(frequency=FREQUENCY_FLOOR, people=PEOPLE_FLOOR)


def complete_version(
    place: Staging,
    declared: Declaration,
    people: People,
    call_sets: CallSets,
    *,
    why: str,
    now: datetime,
    groups: tuple[Atom, ...] | None = None,
    ontologies: Ontologies | None = None,
) -> Planned:
    """Make a staged folder, whose genotypes are written, ready to be published.

    Parameters
    ----------
    place
        Where the version is made; `genotypes` is there, and what else belongs to it.
    declared, people, call_sets
        The dataset, everybody in this version, and whose its genotype columns are.
    why, now
        For the history of releases.
    groups
        Of an aggregate dataset: the groups whose counts are there already; there is nobody to count.
    ontologies
        What codes mean today; None for the node's own.
    """
    folder, store = place.folder, open_store(place.folder / GENOTYPES)
    consent = declared.consent or _consent_before(place)
    planned = _plan(place, declared, consent, people, call_sets, why=why, now=now)
    released = call_sets.of_people(planned.released)
    atoms = atoms_of(released, people) if groups is None else tuple((atom, np.empty(0, np.int64)) for atom in groups)
    if groups is None:
        write_counts(store, {atom.group: Cohort.of(len(call_sets.names), columns) for atom, columns in atoms}, folder / COUNTS)
    layout, floor = Layout.of(tuple(atom for atom, _ in atoms)), declared.floors.frequency
    if declared.content in NOT_COUNTED:
        listed = listed_cases(store, CallDetails.open(folder / CASES), call_sets, planned.released, floor)
    else:
        listed = listed_rows(store, open_counts(folder / COUNTS), layout, floor, given=groups is not None)
    np.save(folder / LISTED_FILE, listed, allow_pickle=False)
    counted = np.concatenate([np.empty(0, np.int64), *(columns for _, columns in atoms)])
    told = membership_of(store, open_counts(folder / COUNTS), layout, counted, floor=floor, content=declared.content)
    write_membership(told, folder)
    (folder / PEOPLE).mkdir()
    write_people(people, folder / PEOPLE, ontologies or Ontologies.of(place.home.parent.parent))
    write_call_sets(call_sets, folder / PEOPLE)
    write_standing(planned.standing, folder)
    n_released = int(planned.released.sum())
    manifest = Manifest(
        dataset=declared.dataset,
        version=place.number,
        release=planned.standing.release,
        title=declared.title,
        assembly=declared.assembly,
        disclosure=declared.disclosure,
        floors=declared.floors,
        absent_means=declared.absent_means,
        content=declared.content,
        consent=consent,
        simulated=declared.simulated,
        open_release_note=declared.open_release_note,
        lift_over=declared.lift_over,
        n_individuals=n_released if groups is None else groups[0].people,
        n_waiting=call_sets.n_people - n_released - int((planned.withdrawn | planned.refused).sum()),
        n_call_sets=len(store.info.samples),
        n_variants=store.info.n_variants,
        contigs=store.info.contigs,
        atoms=tuple(atom for atom, _ in atoms),
        files=checksums(folder),
    )
    write_manifest(manifest, folder)
    return planned


def _plan(
    place: Staging,
    declared: Declaration,
    consent: ConsentMode,
    people: People,
    call_sets: CallSets,
    *,
    why: str,
    now: datetime,
) -> Planned:
    facts = {"version": place.number, "why": why, "at": now.isoformat(timespec="seconds")}
    history = ReleaseHistory(place.home)
    before = standing_of(place.before, history) if place.before is not None else None
    published = before.release if before is not None else history.deleted_at() if place.before is None else None
    return history.plan(
        people,
        call_sets,
        k=max(declared.floors.frequency, declared.floors.people),
        before=before,
        published=published,
        others=_other_histories(place.home) if declared.disclosure != "open" else (),
        refused=ConsentBook(place.home.parent.parent).read().refused(names_of(people, call_sets), consent),
        facts=facts,
    )


def _consent_before(place: Staging) -> ConsentMode:
    try:
        return read_manifest(place.before).consent if place.before is not None else "opt-out"
    except Damaged:  # whoever mends it by a new load says so anew; until then nobody is in who has not said yes
        return "opt-in"


def standing_of(version: Path, history: ReleaseHistory) -> Standing | None:
    """Who is in the release of a version; written down now where the version is older than releases. None if it is damaged."""
    try:
        standing = read_standing(version)
        if standing is not None:
            return standing
        manifest = read_manifest(version)
        if manifest.format > 1:
            return None
        k = max(manifest.floors.frequency, manifest.floors.people)
        facts = {"version": manifest.version, "why": "load", "at": None}
        return history.seed(read_people_store(version / PEOPLE), read_call_sets(version / PEOPLE), k=k, facts=facts)
    except Damaged:
        return None


def _other_histories(home: Path) -> list[ReleaseHistory]:
    """Histories of the node's other datasets, those of deleted ones too: what was told stays told."""
    others = sorted(path.parent for path in home.parent.glob(f"*/{RELEASES}") if path.parent != home)
    assert home.parent.name == DATASETS
    return [ReleaseHistory(other) for other in others]
