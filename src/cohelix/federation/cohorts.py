"""Counting people over the federation: what a node answers, how its answer is checked, and the sum."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cohelix.core.errors import BadInput, BadQuestion, Damaged, NotFound, NotSupported
from cohelix.core.ids import DatasetId
from cohelix.federation.answers import check_datasets, check_node, check_text
from cohelix.wire.cohorts import AskCohortCount, DatasetCount, NodeCohortCount, PooledPeople
from cohelix.wire.expression import read_expression
from cohelix.wire.federation import Member
from cohelix.wire.frequency import DatasetStatus
from cohelix.wire.plan import parse_plan

if TYPE_CHECKING:  # the hub uses this module too, and needs no bank
    from cohelix.bank.answering import Answers
    from cohelix.disclosure import AnalysisPolicy
    from cohelix.disclosure.ledger import Ledger

_COUNT_MAX = 2**53  # beyond it JSON numbers are not exact


def count_at_node(bank: Answers, question: AskCohortCount) -> NodeCohortCount:
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


def count_for_project(
    folder: Path, node: str, question: AskCohortCount, policy: AnalysisPolicy, ledger: Callable[[], Ledger]
) -> NodeCohortCount:
    """A node's answer to a project: people whom an analysis would have, booked in the ledger before they are told."""
    from cohelix.analysis.admission import count
    from cohelix.bank.publish import all_datasets
    from cohelix.bank.study import open_study

    prefix = f"{node}:"
    named = [name for name in question.datasets if name.startswith(prefix)]
    if not question.datasets:
        named = [prefix + name for name in all_datasets(folder)]
    asked = {"project": question.project, "method": "counts", "cohort": question.expression}

    def told(datasets: list[str]) -> tuple[DatasetStatus, str | None, int | None]:
        try:
            return count(open_study(folder, node, parse_plan({**asked, "datasets": datasets})), policy, ledger)
        except (NotFound, NotSupported, Damaged, BadQuestion) as error:
            return "not_assessed", error.detail, None

    answers = {name: told([name]) for name in named}
    answered = [name for name, (status, _, _) in answers.items() if status == "answered"]
    whole = told(answered)[2] if len(answered) > 1 else next((answers[name][2] for name in answered), None)
    datasets = [
        DatasetCount(id=name, status=status, reason=reason, count=number) for name, (status, reason, number) in answers.items()
    ]
    return NodeCohortCount(node=node, datasets=tuple(datasets), count=whole)


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
