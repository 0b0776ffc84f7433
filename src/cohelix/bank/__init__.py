"""A node's datasets; the only room that opens genotype and phenotype stores."""

from cohelix.bank.answers import FoundVariant, PeopleCount, Term, VariantPage
from cohelix.bank.bank import Bank
from cohelix.bank.questions import Criterion, Groups, PeopleQuery, VariantQuery
from cohelix.bank.scrub import Scrubber
from cohelix.bank.view import DatasetView
from cohelix.wire.dataset import DatasetRecord

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
