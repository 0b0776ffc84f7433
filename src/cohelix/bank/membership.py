"""What a version would tell about who is in it: computed before it is published, kept with it; and what registered people pay.

The figure rests on a bounded sample of the version's variants: a second or two, however large it is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cohelix.access.actor import Actor, VisaKind
from cohelix.access.policy import ANONYMOUS_POWER_MAX, Decision
from cohelix.bank.cases import NOT_COUNTED
from cohelix.bank.manifest import MANIFEST_FILE
from cohelix.bank.rows import Layout
from cohelix.bank.version import OpenVersion, bits_of
from cohelix.core.arrays import ByteArray, FloatArray, IntArray
from cohelix.core.errors import Damaged
from cohelix.core.genome import HAPLOID_CONTIGS
from cohelix.disclosure.membership import WITHHELD, Item, beacon_attack, independent_share, power, price, told_to_registered
from cohelix.disclosure.rules import tell_frequencies, tell_given_frequencies
from cohelix.disclosure.telling import AC, AN
from cohelix.genotypes import CountTable
from cohelix.genotypes.store import GenotypeStore
from cohelix.wire.dataset import Content, Disclosure

if TYPE_CHECKING:
    from cohelix.access.gate import Charge, Charging
    from cohelix.disclosure.budget import Budget

MEMBERSHIP_FILE: Final = "membership.json"
_BLOCKS, _BLOCK_ROWS = 8, 2_048  # of the sample
_PEOPLE_CORRELATED, _PEOPLE_ATTACKED, _ROWS_ATTACKED = 400, 1_000, 4_000
_QUESTIONS = 1_000  # of the simulated Beacon attack for one person
_SHOWN_STEP = 0.05  # the public reads the figure rounded up to it
_LISTING_ROWS = 16_384
_NORMAL = NormalDist()
_COMPUTED: dict[tuple[str, int], Membership | None] = {}


@dataclass(frozen=True, slots=True)
class Membership:
    """What everything that a version may tell the public would tell an attacker about who is in it.

    Attributes
    ----------
    power
        The larger of the two attacks' AUC.
    frequencies
        Predicted, Φ(√(m / 2n)), of the row of the answers that tells most.
    beacon
        Simulated, with half the people as the Beacon; extrapolated where a sample of the variants was attacked.
    beacon_half_width
        Half of its 95 % confidence interval, before that.
    group
        The row that tells most: population and sex, `all` for a sum.
    people
        How many people that row is about.
    variants_told
        How many variants may be told there, estimated.
    independent
        How many independent variants those are worth; told genotypes count twice.
    """

    power: float
    frequencies: float
    beacon: float
    beacon_half_width: float
    group: str
    people: int
    variants_told: int
    independent: float

    @property
    def shown(self) -> float:
        """The power as everybody may read it, rounded up to twentieths."""
        return min(1.0, round(math.ceil(self.power / _SHOWN_STEP - 1e-9) * _SHOWN_STEP, 2))

    def sentence(self, disclosure: Disclosure) -> str:
        """For the operator: the figure, what follows from it, and what mends it."""
        said = (
            f"membership power {self.power:.2f}: somebody with a person's whole genome tells whether the person is in the "
            f"dataset with AUC {self.power:.2f} (0.5 is guessing) from {self.variants_told:,} variants of "
            f"{self.people:,} people" + (f" in {self.group}" if self.group != "all" else "")
        )
        if disclosure == "open":
            return f"{said}; the dataset is open, so everybody is answered"
        if disclosure == "closed":
            return f"{said}; the dataset is closed, so nobody is answered without a visa"
        if self.power <= ANONYMOUS_POWER_MAX:
            return f"{said}; within {ANONYMOUS_POWER_MAX:.2f}: everybody is answered above the floor"
        return (
            f"{said}; above {ANONYMOUS_POWER_MAX:.2f}: questions about variants need a login (login-required), and each person "
            "who asks has a budget. More people, fewer variants or larger population groups lower it; --disclosure open, "
            "where the donors agreed to that, lifts it"
        )

    def document(self) -> dict[str, Any]:
        """As it is kept."""
        return {"format": 1, **asdict(self)}


def membership_of(
    store: GenotypeStore,
    counts: CountTable,
    layout: Layout,
    columns: IntArray,
    *,
    floor: int,
    content: Content,
) -> Membership | None:
    """Compute it; None where no frequencies are told (lists of cases), or there is nothing.

    Parameters
    ----------
    columns
        Genotype columns of the people whom the counts are about; none of an aggregate dataset, whose variants are all taken
        for independent: an upper bound.
    floor
        k of frequencies; 0 where everything is told.
    """
    n_rows = store.info.n_variants
    if content in NOT_COUNTED or not n_rows or not layout.people[0]:
        return None
    blocks = _blocks(n_rows)
    tell = tell_given_frequencies if content == "aggregate" else tell_frequencies
    worth, told_total, n_sampled, pieces = np.zeros(len(layout.people)), np.zeros(len(layout.people)), 0, []
    for block in blocks:
        for contig in store.info.contigs:
            own = store.contig_rows(contig)
            part = range(max(block.start, own.start), min(block.stop, own.stop))
            if not part:
                continue
            found = layout.counts(counts.rows(part))
            told = tell(found, layout.people, layout.levels, floor=floor, haploid_contig=contig in HAPLOID_CONTIGS)
            varies = (found[..., AC] > 0) & (found[..., AC] < found[..., AN])
            shown = told.counts & varies
            worth += (shown * (1.0 + told.genotypes)).sum(axis=0)
            told_total += shown.sum(axis=0)
            n_sampled += len(part)
            pieces.append(np.arange(part.start, part.stop)[shown[:, 0]])
    share = _independent(store, pieces, columns) if len(columns) else 1.0
    scale = n_rows / n_sampled
    independent = worth * scale * share
    powers = [
        power(float(m), int(n)) if n and printed else 0.5
        for m, n, printed in zip(independent, layout.people, layout.printed, strict=True)
    ]
    row = int(np.argmax(powers))
    beacon, half_width = _beacon(store, pieces, columns, floor, scale)
    population, sex = layout.names[row]
    return Membership(
        power=round(max(powers[row], beacon), 4),
        frequencies=round(powers[row], 4),
        beacon=round(beacon, 4),
        beacon_half_width=round(half_width, 4),
        group=" ".join(name for name in (population, sex) if name != "all") or "all",
        people=int(layout.people[row]),
        variants_told=int(told_total[row] * scale),
        independent=round(float(independent[row]), 1),
    )


def write_membership(membership: Membership | None, folder: Path) -> None:
    """Keep it in a version's folder; `None` says that nothing is told that it would be about."""
    document = membership.document() if membership is not None else {"format": 1, "power": None}
    (folder / MEMBERSHIP_FILE).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_membership(folder: Path) -> Membership | None:
    """What `write_membership` wrote; None where it wrote none."""
    try:
        found = json.loads((folder / MEMBERSHIP_FILE).read_bytes())
        found.pop("format")
        return Membership(**found) if found["power"] is not None else None
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        raise Damaged(
            f"{MEMBERSHIP_FILE} of version {folder.name} cannot be read", path=str(folder / MEMBERSHIP_FILE)
        ) from None


def membership_of_version(version: OpenVersion) -> Membership | None:
    """What is kept with a version; computed once by each process of one that an earlier Cohelix loaded, if it is floored.

    None where it is not known: then variants of a floored dataset are told to nobody unknown.
    """
    if (version.folder / MEMBERSHIP_FILE).exists():
        return read_membership(version.folder)
    if version.manifest.disclosure != "floored":
        return None
    # A dataset that was deleted and loaded anew has its version 1 in the same folder.
    key = str(version.folder), (version.folder / MANIFEST_FILE).stat().st_mtime_ns
    if key not in _COMPUTED:
        _COMPUTED[key] = _computed(version)
    return _COMPUTED[key]


def power_of(version: OpenVersion) -> float | None:
    """The membership power that decisions rest on; None where it is not known."""
    found = membership_of_version(version)
    return None if found is None else found.power


class RegisteredCharge:
    """Charges one registered person's questions of one dataset; `access.gate.Charge`.

    What an answer tells is named by its variant, and its price follows from counts that are told; whether a variant is absent,
    below the floor or too rare for registered people makes no difference to it.
    """

    def __init__(self, budget: Budget, actor: Actor, decision: Decision) -> None:
        self._budget, self._dataset = budget, decision.dataset
        self._actor = f"{actor.issuer}\n{actor.subject}"
        self._organisations = organisations_of(actor)
        self._linked = [f"{issuer}\n{subject}" for subject, issuer in linked_identities(actor)]

    def __call__(self, version: OpenVersion, rows: list[int], asked: str) -> str | None:
        """Pay for the variants of rows, and for what was asked where that is none of them: an absent variant, or a region with
        all that it does not list. Gives the reason where it cannot be paid."""
        prices = [WITHHELD]
        if rows:
            counts = version.layout.counts(np.stack([version.counts.row(row) for row in rows]))[:, 0]
            told = told_to_registered(counts[:, AC], counts[:, AN]) & bits_of(version.listed[0], np.array(rows))
            prices = np.where(told, price(counts[:, AC], counts[:, AN]), WITHHELD).tolist()
        owed = {str(version.store.key(row)): cost for row, cost in zip(rows, prices, strict=False)}
        owed.setdefault(asked, WITHHELD)
        return self._budget.charge(
            self._actor,
            self._dataset,
            str(version.manifest.release),
            [Item(name, cost) for name, cost in owed.items()],
            version.manifest.n_individuals,
            organisations=self._organisations,
            linked=self._linked,
        )

    def left(self) -> float:
        """The share of the person's own budget that is left: it follows from what was told and withheld, at known prices."""
        return min(self._budget.left(one, self._dataset) for one in (self._actor, *self._linked))


def registered_listing(version: OpenVersion) -> ByteArray:
    """(2, bytes) bitmap as `OpenVersion.listed`: what registered people are told of."""
    bits = np.zeros((2, version.store.info.n_variants), np.bool_)
    for start in range(0, bits.shape[1], _LISTING_ROWS):
        block = range(start, min(start + _LISTING_ROWS, bits.shape[1]))
        total = version.layout.counts(version.counts.rows(block))[:, 0]
        common = told_to_registered(total[:, AC], total[:, AN])
        for observed in (0, 1):
            bits[observed, block.start : block.stop] = common & bits_of(
                version.listed[observed], np.arange(block.start, block.stop)
            )
    return np.packbits(bits, axis=1, bitorder="little")


def charging(budget: Callable[[], Budget]) -> Charging:
    """Whom the gate tells of registered answers; the budget is opened with the first of them."""

    def charge_of(actor: Actor, decision: Decision) -> Charge | None:
        return RegisteredCharge(budget(), actor, decision)

    return charge_of


def linked_identities(actor: Actor) -> tuple[tuple[str, str], ...]:
    """Other identities of the same person, (subject, issuer), as trusted issuers state them: one person has one budget."""
    from cohelix.access.passport import linked_pairs

    stated = (visa.value for visa in actor.visas if visa.kind is VisaKind.LINKED_IDENTITIES)
    return tuple(sorted({pair for value in stated for pair in linked_pairs(value)} - {(actor.subject, actor.issuer)}))


def organisations_of(actor: Actor) -> tuple[str, ...]:
    """Domains of the organisations that a person belongs to, from `AffiliationAndRole` (`role@domain`)."""
    values = (visa.value for visa in actor.visas if visa.kind is VisaKind.AFFILIATION_AND_ROLE)
    return tuple(sorted({value.rpartition("@")[2].lower() for value in values if "@" in value}))


def _computed(version: OpenVersion) -> Membership | None:
    columns = np.concatenate([np.empty(0, np.int64), *version.atom_columns])
    try:
        return membership_of(
            version.store,
            version.counts,
            version.layout,
            columns,
            floor=version.manifest.floors.frequency,
            content=version.manifest.content,
        )
    except Damaged:
        return None


def _blocks(n_rows: int) -> list[range]:
    """Stretches of rows, evenly over the version; all rows of a small one."""
    if n_rows <= _BLOCKS * _BLOCK_ROWS:
        return [range(n_rows)]
    starts = np.linspace(0, n_rows - _BLOCK_ROWS, _BLOCKS).astype(np.int64)
    return [range(start, start + _BLOCK_ROWS) for start in starts.tolist()]


def _evenly(values: IntArray, most: int) -> IntArray:
    if len(values) <= most:
        return values
    return values[np.linspace(0, len(values) - 1, most).astype(np.int64)]


def _independent(store: GenotypeStore, pieces: list[IntArray], columns: IntArray) -> float:
    """The share of told variants that is independent: each stretch of them compared with itself alone."""
    people, n_told, n_kept = _evenly(columns, _PEOPLE_CORRELATED), 0, 0.0
    for rows in pieces:
        for start in range(0, len(rows), _BLOCK_ROWS):
            part = rows[start : start + _BLOCK_ROWS]
            n_told += len(part)
            n_kept += len(part) * independent_share(store.dosages(part, people))
    return n_kept / n_told if n_told else 1.0


def _beacon(store: GenotypeStore, pieces: list[IntArray], columns: IntArray, floor: int, scale: float) -> tuple[float, float]:
    """AUC of the simulated attack, extrapolated from the sample as independent questions add up, and half its interval."""
    known = np.concatenate([np.empty(0, np.int64), *pieces])
    if len(columns) < 4 or not len(known):
        return 0.5, 0.0
    rows = _evenly(known, _ROWS_ATTACKED)
    copies: FloatArray = np.nan_to_num(store.dosages(rows, _evenly(columns, _PEOPLE_ATTACKED)))
    found = beacon_attack(copies.astype(np.int64), floor, queries=_QUESTIONS, seed=0)
    distance = _NORMAL.inv_cdf(min(max(found.auc, 0.5), 0.9999))
    return _NORMAL.cdf(distance * math.sqrt(scale * len(known) / len(rows))), found.half_width
