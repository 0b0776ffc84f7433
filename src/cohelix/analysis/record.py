"""What is known of a finished run, for its files: the plan, who took part, and what came of the variants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from cohelix.wire.plan import Plan


class Participant(NamedTuple):
    """A node that took part: its key, the fingerprint of its frozen data, and the words of the policy that it applied."""

    node: str
    key: str
    fingerprint: str
    policy: str


@dataclass(frozen=True)
class RunRecord:
    """A finished run.

    Attributes
    ----------
    run, plan, plan_hash
        Its id, and what was asked.
    assembly
        GRCh37 or GRCh38.
    traits, covariates
        Their names, covariates without the intercept.
    people
        How many people took part over all nodes, from the first opened sum.
    participants, aggregators
        Nodes whose sums are in the result; members that added them up.
    summing
        How sums were kept secret, in words.
    variants_digest
        Of the list of variants.
    left_out
        Variants without a line, by reason.
    open_data
        Whether all datasets are open.
    mac_floor
        Copies of the rarer allele that a released line needs; 0 for open data.
    started, ended
        RFC 3339, UTC.
    """

    run: str
    plan: Plan
    plan_hash: str
    assembly: str
    traits: tuple[str, ...]
    covariates: tuple[str, ...]
    people: int
    participants: tuple[Participant, ...]
    aggregators: tuple[str, ...]
    summing: str
    variants_digest: str
    open_data: bool
    mac_floor: int
    started: str
    ended: str
    left_out: Mapping[str, int] = field(default_factory=dict)
