"""A node's datasets; the only room that opens genotype and phenotype stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cohelix.core.later import faces
from cohelix.wire.dataset import DatasetRecord

if TYPE_CHECKING:
    from cohelix.bank.answers import FoundVariant, PeopleCount, Term, VariantPage
    from cohelix.bank.bank import Bank
    from cohelix.bank.questions import Criterion, Groups, PeopleQuery, VariantQuery
    from cohelix.bank.scrub import Scrubber
    from cohelix.bank.view import DatasetView

__all__ = [
    "Bank",
    "Criterion",
    "DatasetRecord",
    "DatasetView",
    "FoundVariant",
    "Groups",
    "PeopleCount",
    "PeopleQuery",
    "Scrubber",
    "Term",
    "VariantPage",
    "VariantQuery",
]

__getattr__ = faces(
    __name__,
    {
        "answers": ("FoundVariant", "PeopleCount", "Term", "VariantPage"),
        "bank": ("Bank",),
        "questions": ("Criterion", "Groups", "PeopleQuery", "VariantQuery"),
        "scrub": ("Scrubber",),
        "view": ("DatasetView",),
    },
)
