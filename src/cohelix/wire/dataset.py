"""What a member says of its datasets: the record that catalogue, Beacon and hub show."""

from __future__ import annotations

from datetime import date
from typing import Literal

from cohelix.wire.frequency import Wire

Disclosure = Literal["open", "floored", "closed"]
AbsentMeans = Literal["not_assessed", "hom_ref"]
# germline: call sets called at every record. somatic: tumours, with or without their normals. reported: only variants
# that case reports name, so who does not carry one is unknown. aggregate: counts of groups, no person.
Content = Literal["germline", "somatic", "reported", "aggregate"]
# Who decides about the data of one, by the 1+MG framework: its holder's own rules, the framework's, or its own cohort's.
DatasetType = Literal["externally-governed", "1mg-compliant", "1mg-cohort"]


class DataUseClause(Wire):
    """One data-use code of a dataset, as `access.duo.Clause`."""

    code: str
    diseases: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    until: date | None = None
    months: int | None = None


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
    datasets only. `duo` is what the data may be used for, and `authority` the committee that decides about applications.
    `budget_left` is told to a registered person who asks with a passport: the share of the own budget that is left.
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
    description: str = ""
    country: str | None = None
    dataset_type: DatasetType | None = None
    duo: tuple[DataUseClause, ...] = ()
    authority: str | None = None
    budget_left: float | None = None
