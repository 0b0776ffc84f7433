"""What a member says of its datasets: the record that catalogue, Beacon and hub show."""

from __future__ import annotations

from typing import Literal

from cohelix.wire.frequency import Wire

Disclosure = Literal["open", "floored", "closed"]
AbsentMeans = Literal["not_assessed", "hom_ref"]
# germline: call sets called at every record. somatic: tumours, with or without their normals. reported: only variants
# that case reports name, so who does not carry one is unknown. aggregate: counts of groups, no person.
Content = Literal["germline", "somatic", "reported", "aggregate"]


class Floors(Wire):
    """Fewest people that a number may be about: for frequencies, and for counts of people. 0 on an open dataset."""

    frequency: int
    people: int


class DatasetRecord(Wire):
    """A dataset as anybody may see it; every number here has passed its disclosure rule.

    `lifted_from` is the build that the positions were moved from by a chain file, None where they are as the files had them.
    `n_individuals` is exact on an open dataset, rounded down to tens on a floored one, None where it is below ten or
    the dataset is closed. `membership_power` is what its answers to everybody would tell of who is in it, as the AUC of an
    attack, rounded up to twentieths; None where nobody has computed it. `n_variants` and `measurements` are told of open
    datasets only.
    """

    id: str
    title: str
    assembly: str
    disclosure: Disclosure
    floors: Floors
    absent_means: AbsentMeans
    content: Content = "germline"
    version: int
    release: int
    n_individuals: int | None = None
    n_variants: int | None = None
    contigs: tuple[str, ...] = ()
    populations: tuple[str, ...] = ()
    measurements: tuple[str, ...] = ()
    simulated: bool = False
    open_release_note: str | None = None
    lifted_from: str | None = None
    membership_power: float | None = None
