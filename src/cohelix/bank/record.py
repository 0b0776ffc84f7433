"""What is said of a dataset itself; its numbers pass the disclosure rule here."""

from __future__ import annotations

from cohelix.access.policy import Level
from cohelix.bank.membership import membership_of_version
from cohelix.bank.version import OpenVersion
from cohelix.disclosure.rules import tell_count
from cohelix.wire.dataset import DatasetRecord


def record_of(version: OpenVersion, federation_id: str, level: Level) -> DatasetRecord:
    """The dataset's record for somebody whom it tells of its people at this level."""
    manifest, told = version.manifest, membership_of_version(version)
    closed, exact = level == "refused", level == "exact"
    floor = 0 if exact else manifest.floors.people
    people: dict[str, int] = {}
    for atom in manifest.atoms:
        people[atom.population] = people.get(atom.population, 0) + atom.people
    return DatasetRecord(
        id=federation_id,
        title=manifest.title,
        assembly=manifest.assembly,
        disclosure=manifest.disclosure,
        floors=manifest.floors,
        absent_means=manifest.absent_means,
        content=manifest.content,
        version=manifest.version,
        release=manifest.release,
        n_individuals=None if closed else tell_count(manifest.n_individuals, manifest.n_individuals, floor=floor, asked=False),
        n_variants=manifest.n_variants if exact else None,
        contigs=() if closed else manifest.contigs,
        populations=() if closed else tuple(sorted(name for name, count in people.items() if name and count >= max(1, floor))),
        measurements=tuple(item.name for item in version.people.measurements) if exact else (),
        simulated=manifest.simulated,
        open_release_note=manifest.open_release_note,
        lifted_from=manifest.lift_over["from"] if manifest.lift_over else None,
        membership_power=None if told is None or closed else told.shown,
    )
