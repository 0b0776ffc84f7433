"""Counting people over the federation: what a node answers, how its answer is checked, and the sum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cohelix.core.errors import BadInput, BadQuestion
from cohelix.core.ids import DatasetId
from cohelix.federation.answers import check_datasets, check_node, check_text
from cohelix.wire.cohorts import AskCohortCount, DatasetCount, NodeCohortCount, PooledPeople
from cohelix.wire.expression import read_expression
from cohelix.wire.federation import Member

if TYPE_CHECKING:  # the hub uses this module too, and needs no bank
    from cohelix.bank import Bank

_COUNT_MAX = 2**53  # beyond it JSON numbers are not exact


def count_at_node(bank: Bank, question: AskCohortCount) -> NodeCohortCount:
    """A node's answer; datasets of other members and unknown ones are left out."""
    expression = read_expression(question.expression)
    prefix = f"{bank.node}:"
    named = [name.removeprefix(prefix) for name in question.datasets if name.startswith(prefix)]
    datasets, whole = bank.count_cohort(expression, [DatasetId(name) for name in named] if question.datasets else None)
    return NodeCohortCount(
        node=bank.node,
        datasets=tuple(
            DatasetCount(id=prefix + name, status=one.status, reason=one.reason, count=one.count)
            for name, one in datasets.items()
        ),
        count=whole.count,
    )


def checked_count(member: Member, answer: NodeCohortCount) -> NodeCohortCount:
    """The node's answer, if it can be true: its own datasets, and numbers within their bounds."""
    check_node(member, answer.node)
    check_datasets(member, [dataset.id for dataset in answer.datasets])
    for one in answer.datasets:
        check_text(one.reason)
        if (one.count is not None) != (one.status == "answered"):
            raise BadInput("a number is missing or out of place")
    counts = [one.count for one in answer.datasets if one.count is not None]
    if any(not 0 <= count <= _COUNT_MAX for count in counts):
        raise BadInput("a number is negative or too large")
    if (answer.count is None) != (not counts) or (answer.count is not None and not 0 <= answer.count <= sum(counts)):
        raise BadInput("its number contradicts those of its datasets")
    return answer


def pooled_people(answers: Iterable[tuple[Member, NodeCohortCount]]) -> PooledPeople:
    """The sum over nodes that answered; None where none did."""
    told = [(member, answer.count) for member, answer in answers if answer.count is not None]
    return PooledPeople(
        count=sum(count for _, count in told) if told else None,
        nodes=tuple(sorted(member.id for member, _ in told)),
        may_overlap=any(member.may_overlap for member, _ in told),
    )


def check_dataset_names(names: Iterable[str]) -> None:
    """Refuse a dataset that is not written NODE:DATASET."""
    for name in names:
        node, colon, dataset = name.partition(":")
        if not (node and colon and dataset):
            raise BadQuestion(f"{name[:60]!r} is not a dataset of the federation: write NODE:DATASET")
