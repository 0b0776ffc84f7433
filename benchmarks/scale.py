"""How big the benchmarks run: full on demand, small in every test run so that they stay alive."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Sizes of the data and numbers of repeats."""

    name: str
    people: int  # of the simulated cohort
    bases: int  # its length
    lookup_variants: int  # of the store for exact look-ups
    lookups: int
    big_people: int  # of the store for counting everything
    big_variants: int
    repeats: int
    http_rate: int  # requests a second
    http_seconds: float
    filter_people: int  # of the dataset that people are filtered in
    table_sites: int  # of the table of frequencies
    table_questions: int
    national_datasets: int  # of a bank with many
    national_workers: int  # processes of its server
    national_people: int  # of a large bank
    national_variants: int
    national_questions: int
    federated_times: int  # how often everybody of the cohort stands in a nation


FULL = Scale(
    "full",
    20_000,
    3_000_000,
    10_000_000,
    20_000,
    100_000,
    103_562,
    15,
    500,
    20.0,
    1_000_000,
    272_689,
    4_000,
    20,
    2,
    100_000,
    1_000_000,
    100_000,
    10,
)
SMALL = Scale("small", 300, 40_000, 20_000, 300, 2_000, 2_000, 1, 50, 1.0, 3_000, 3_000, 60, 3, 1, 1_000, 2_000, 200, 2)
