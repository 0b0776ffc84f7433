"""What a node says to a plan: its policy and its ledger, over the people whom the plan means here.

Who is in an open dataset is guarded by nothing, and whoever knows the open data can take them out of a sum: so the rules count
the others alone, and the ledger books sets of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from pyroaring import BitMap

from cohelix.bank.study import StudyPart, StudyPeople, covariate_columns, trait_columns
from cohelix.core.arrays import BoolArray, FloatArray, IntArray
from cohelix.disclosure import (
    PEOPLE_FLOOR,
    AnalysisFacts,
    AnalysisPolicy,
    Verdict,
    charged_traits,
    decide_analysis,
    refused_by,
    tell_count,
)
from cohelix.disclosure.analysis import RuleName
from cohelix.disclosure.ledger import Entry, Ledger
from cohelix.stats.dominance import dominance
from cohelix.wire.frequency import DatasetStatus

TELLING: Final[tuple[RuleName, ...]] = ("people", "cases", "controls", "dominance")  # refusals that tell of a few people
LEVELS_MAX: Final = 3  # of a column with so few values, its sum and its sum of squares tell how many people have each


def admit(
    study: StudyPeople,
    policy: AnalysisPolicy,
    ledger: Ledger,
    *,
    run: str | None = None,
    plain: bool = False,
    covariates: FloatArray | None = None,
    traits: FloatArray | None = None,
) -> Verdict:
    """Whether the node takes part in a plan.

    Parameters
    ----------
    study
        Whom the plan means here, of frozen versions.
    run
        The run that is opened: it is booked, durably, before this returns. None to ask only; then the cohort is booked as one
        whose people were counted, for the answer tells about how many they are.
    plain
        Whether figures would go without a secure sum.
    covariates, traits
        (people, columns) float64 as `StudyPeople` fills them, where they are at hand.

    Returns
    -------
    The verdict; `policy` is `open` where every dataset of the plan at this node is open, and then nothing is booked.
    """
    if study.open_data:
        return decide_analysis(_facts(study, np.zeros(study.n, np.bool_), 0.0, plain), policy)
    if any(part.version.manifest.disclosure == "open" for part in study.parts):
        return refused_by("mixed-data")
    plan, guarded = study.plan, _guarded(study)
    if covariates is None:
        covariates = np.empty((study.n, len(covariate_columns(plan, ()))))
        study.fill_covariates(covariates, ())
    if traits is None:
        traits = np.empty((study.n, len(trait_columns(plan))))
        study.fill_traits(traits)
    verdict = decide_analysis(_facts(study, guarded, dominance(covariates[guarded], traits[guarded]), plain), policy)
    if verdict.rule not in ("", *TELLING):
        return verdict
    entry = _entry(study, ledger, guarded, [*covariates.T, *traits.T], run or "")
    if not verdict.accepts:
        return ledger.refuse(entry, policy, verdict)
    if run is not None:
        return ledger.book(entry, policy)
    verdict = ledger.check(entry, policy)
    counted = replace(entry, kind="count", sets={"cohort": entry.sets["cohort"]}, columns=(), traits=())
    return ledger.book(counted, policy) if verdict.accepts else verdict


def count(
    study: StudyPeople, policy: AnalysisPolicy, ledger: Callable[[], Ledger]
) -> tuple[DatasetStatus, str | None, int | None]:
    """How many people a project is told that its cohort has: status, reason, number; booked before it is told.

    Of data that are not open the number is rounded down to tens, and told where neither the cohort nor the rest are few.
    """
    if study.open_data:
        return "answered", None, study.n
    if study.plan.project not in policy.projects:
        return "refused", refused_by("project").sentence, None
    guarded = _guarded(study)
    n_guarded = int(guarded.sum())
    everybody = sum(
        int(part.version.call_sets.counted.sum()) for part in study.parts if part.version.manifest.disclosure != "open"
    )
    told = tell_count(n_guarded, everybody, floor=PEOPLE_FLOOR, asked=n_guarded < everybody)
    entry = replace(_entry(study, ledger(), guarded, [], ""), kind="count")
    if told is None:
        few = ledger().refuse(entry, policy, refused_by("people"))
        return "below_floor" if few.rule == "people" else "refused", few.sentence, None
    verdict = ledger().book(entry, policy)
    if not verdict.accepts:
        return "refused", verdict.sentence, None
    return "answered", None, told + study.n - n_guarded


def _facts(study: StudyPeople, guarded: BoolArray, dominant: float, plain: bool) -> AnalysisFacts:
    plan, counted = study.plan, _counted(study, guarded)
    return AnalysisFacts(
        project=plan.project,
        all_open=study.open_data,
        people=counted["cohort"],
        cases=counted.get("cases"),
        controls=counted.get("controls"),
        traits=len(charged_traits(plan)),
        dominance=dominant,
        rank_cell=plan.rank_cell if plan.transformation in ("rank", "residual-rank") else None,
        ranks_within_node=plan.transformation == "residual-rank-within-node",
        node_level=plan.release.node_level,
        node_covariate="node" in plan.covariates,
        loci=len(plan.release.loci),
        plain=plain,
    )


def _guarded(study: StudyPeople) -> BoolArray:
    """(people,) bool: who is in a dataset that is not open."""
    parts = [np.full(part.n, part.version.manifest.disclosure != "open") for part in study.parts]
    return np.concatenate([np.zeros(0, np.bool_), *parts])


def _counted(study: StudyPeople, guarded: BoolArray) -> dict[str, int]:
    """How many guarded people the cohort has, and of them cases and controls."""
    found = {"cohort": int(guarded.sum())}
    if study.plan.binary:
        cases = np.concatenate([np.zeros(0, np.bool_), *(part.case for part in study.parts if part.case is not None)])
        found |= {"cases": int((cases & guarded).sum()), "controls": int((~cases & guarded).sum())}
    return found


def _entry(study: StudyPeople, ledger: Ledger, guarded: BoolArray, filled: Sequence[FloatArray], run: str) -> Entry:
    numbers = np.empty(study.n, np.int64)
    public: list[BitMap] = []
    at = 0
    for part in study.parts:
        names, columns, rows = _told_of(part)
        lasting = ledger.people(names)
        public += [BitMap(lasting[row].astype(np.uint32)) for row in rows]
        numbers[at : at + part.n] = lasting[np.searchsorted(columns, part.columns)]
        at += part.n
    everybody = BitMap(numbers[guarded].astype(np.uint32))
    sets = {name: people & everybody for name, people in study.sets(numbers).items()}
    named = (*covariate_columns(study.plan, ()), *trait_columns(study.plan)) if filled else ()
    for column, values in zip(named, filled, strict=True):
        for level, who in _levels(values[guarded]):
            sets[f"{column.name} {level}"] = BitMap(numbers[guarded][who].astype(np.uint32))
    order = np.argsort(numbers[guarded])
    return Entry(
        study.plan.project,
        "analysis",
        sets,
        run,
        columns=[values[guarded][order] for values in filled],
        public=public,
        traits=charged_traits(study.plan),
        releases={str(name): words for name, words in study.releases.items()},
    )


def _levels(values: FloatArray) -> Iterator[tuple[int, IntArray]]:
    """People who share a value, of a column with few values; of another one those who share the commonest, if most do."""
    found, which, sizes = np.unique(values, return_inverse=True, return_counts=True)
    if 1 < len(found) <= LEVELS_MAX:
        yield from ((level, np.flatnonzero(which == level)) for level in range(len(found)))
    elif len(found) > LEVELS_MAX and 2 * sizes.max() > len(values):
        yield 0, np.flatnonzero(which == sizes.argmax())


def _told_of(part: StudyPart) -> tuple[list[tuple[str, ...]], IntArray, list[IntArray]]:
    """Everybody of a dataset who counts: names, ascending sample indexes, and the rows that its public frequencies tell.

    Rows are everybody, each sex, each population and each sex of it; of a floored dataset those of as many people as may be
    told of, of another none: closed ones tell the public nothing, and what open ones tell guards nobody.
    """
    version = part.version
    call_sets, people = version.call_sets, version.people
    columns = np.flatnonzero(call_sets.counted)
    person = call_sets.person[columns]
    registered = person < call_sets.n_registered
    names: list[tuple[str, ...]] = []
    for column, who, known in zip(columns.tolist(), person.tolist(), registered.tolist(), strict=True):
        alone = f"{part.dataset}:{call_sets.names[column]}"
        names.append((people.individual_ids[who], alone) if known else (alone,))
    if version.manifest.disclosure != "floored":
        return names, columns, []
    sex = np.zeros(len(columns), np.int64)
    sex[registered] = people.sex[person[registered]]
    origins = np.array(["", *people.origins()], np.str_)
    origin = np.unique(origins, return_inverse=True)[1][np.where(registered, person + 1, 0)]
    rows = [np.arange(len(columns))]
    for labels in (sex, origin, origin * (int(sex.max(initial=0)) + 1) + sex):
        level = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        if min((len(row) for row in level), default=0) >= PEOPLE_FLOOR:  # the rows of a level are told all or none
            rows += level
    return names, columns, rows if len(columns) >= PEOPLE_FLOOR else []
