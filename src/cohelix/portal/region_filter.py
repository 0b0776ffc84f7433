"""Which variants of a region a page lists: by kind and by frequency over all members, as its address says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cohelix.core.errors import BadQuestion
from cohelix.core.variant import VariantKey, is_sequence
from cohelix.federation.answers import variant_of_name
from cohelix.federation.questions import REGION_LIMIT_MAX
from cohelix.wire.federation import RegionAnswer, RegionVariant

KINDS: Final = ("snv", "indel", "symbolic")
FIELDS: Final = ("kind", "least", "most")  # of an address
_TEXT_MAX: Final = 20
Ask = Callable[[int, VariantKey | None], Awaitable[RegionAnswer]]


@dataclass(frozen=True, slots=True)
class RegionFilter:
    """What is listed.

    Attributes
    ----------
    kind
        `snv` (one base for another, or as many for as many), `indel`, `symbolic` (structural); empty for all.
    least, most
        Bounds of the frequency over all members, as typed; empty for none. A variant without such a frequency (a person
        may be in two datasets of one member) is listed: leaving it out would say something of it.
    """

    kind: str = ""
    least: str = ""
    most: str = ""

    @property
    def query(self) -> dict[str, str]:
        """What of an address says it; nothing where everything is listed."""
        return {name: text for name in FIELDS if (text := getattr(self, name))}

    def keeps(self, variant: RegionVariant) -> bool:
        """Whether the variant is listed."""
        frequency = variant.pooled.allele_frequency if variant.pooled else None
        if frequency is not None and not _number(self.least, 0.0) <= frequency <= _number(self.most, 1.0):
            return False
        return not self.kind or kind_of(variant_of_name(variant.variant)) == self.kind


def read_filter(params: Mapping[str, str]) -> RegionFilter:
    """The filter of an address; raises `BadQuestion` for a field that says nothing."""
    kind, least, most = (params.get(name, "").strip() for name in FIELDS)
    if kind not in ("", *KINDS):
        raise BadQuestion(f"variants are filtered by the kinds {', '.join(KINDS)}")
    if _number(least, 0.0) > _number(most, 1.0):
        raise BadQuestion("no frequency is at least the one and at most the other: the bounds are the wrong way round")
    return RegionFilter(kind, least, most)


async def listed(ask: Ask, wanted: RegionFilter, after: VariantKey | None, most: int) -> tuple[RegionAnswer, int]:
    """A page of at most `most` variants, and among how many they were found; `next` leads behind those looked at."""
    if not wanted.query:
        answer = await ask(most, after)
        return answer, len(answer.variants)
    answer = await ask(REGION_LIMIT_MAX, after)
    kept = [variant for variant in answer.variants if wanted.keeps(variant)]
    if len(kept) <= most:
        return answer.model_copy(update={"variants": tuple(kept)}), len(answer.variants)
    shown = tuple(kept[:most])
    looked = 1 + next(number for number, one in enumerate(answer.variants) if one.variant == shown[-1].variant)
    return answer.model_copy(update={"variants": shown, "next": shown[-1].variant}), looked


def kind_of(key: VariantKey) -> str:
    """One of `KINDS`."""
    if not (is_sequence(key.ref) and is_sequence(key.alt)):
        return "symbolic"
    return "snv" if len(key.ref) == len(key.alt) else "indel"


def _number(text: str, otherwise: float) -> float:
    if not text:
        return otherwise
    try:
        found = float(text.replace(",", ".")) if len(text) <= _TEXT_MAX else -1.0
    except ValueError:
        found = -1.0
    if not 0.0 <= found <= 1.0:
        raise BadQuestion(f"{text[:_TEXT_MAX]!r} is no frequency: it is a number from 0 to 1")
    return found
