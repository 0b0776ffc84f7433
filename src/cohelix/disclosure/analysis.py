"""Whether a node takes part in an analysis: its policy, and the decision as a pure function.

A refusal names the rule, never the number, nor how far the plan was from passing. Where every dataset of the plan at this node
is open, the donors have agreed that everything may be known: the open policy holds, and no minimum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from cohelix.disclosure.rules import PEOPLE_FLOOR
from cohelix.wire.plan import Plan, canonical

CONTRIBUTORS_MIN = 3  # rule 10 of the interface: no sum of fewer is opened, whatever a policy says
LOCI_MAX = 100  # named loci at which a node may show estimates of its own

RuleName = Literal[
    "project",
    "plain-sum",
    "contributors",
    "people",
    "cases",
    "controls",
    "others",
    "parameters",
    "traits",
    "dominance",
    "rank-cell",
    "ranks-within-node",
    "node-level",
    "ledger",
    "refusals",
    "participants",
    "mixed-data",
]
SENTENCES: Final[dict[RuleName, str]] = {
    "project": "The operator of this node has not allowed the project to analyse its data.",
    "plain-sum": "This node gives its figures to a secure sum only.",
    "contributors": "Too few members contribute: no sum of fewer than three is opened.",
    "people": "The cohort has too few people at this node.",
    "cases": "There are too few cases at this node.",
    "controls": "There are too few controls at this node.",
    "others": "The other members contribute too few people: the sum would tell of this node alone.",
    "parameters": "The model has too many parameters for the people of all nodes.",
    "traits": "The project has asked too many traits of this cohort at this node.",
    "dominance": "A covariate or a trait, or a combination of them, is mostly about one person.",
    "rank-cell": "Ranks as fine as the plan's are given of open data only.",
    "ranks-within-node": "This node does not rank its people alone.",
    "node-level": "This node does not release estimates of its own for this plan.",
    "ledger": "Together with what the project has asked before, the answer would tell of a few people.",
    "refusals": "The project has been refused too often: only what it has asked before is answered, until the operator of "
    "the node allows it again.",
    "participants": "Together with an earlier run of the project, the answer would tell of one or two members alone.",
    "mixed-data": "Open data and others do not mix in a plan: whoever has the open data takes them off every sum.",
}
ProjectName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$")]  # as in a plan
_Share = Annotated[float, Field(gt=0, le=1)]


class AnalysisPolicy(BaseModel):
    """What a node asks of analyses of data that are not open; `[analysis]` of its `node.toml`.

    Attributes
    ----------
    projects
        Which projects may analyse data that are not open.
    people_min, cases_min, controls_min
        How many people of a cohort, cases and controls this node must have.
    others_min
        How many people the other nodes must contribute in all.
    contributors_min
        How many nodes must contribute; never below three.
    parameters_share_max
        Parameters of the model for each person of all nodes; the default is DataSHIELD's.
    traits_share_max
        Traits that a project may ever ask of one cohort, for each of its people.
    sets_share_max
        Independent sets of people that a project may ever ask of the node, for each person in any of them. To find out
        everybody's yes or no, 2 / log₂ n of exact counts for each of n people would do: a tenth of a million.
    dominance_max
        How much of the sum of squares of any combination of covariates and trait may be one person's.
    allele_count_min
        Variants whose minor allele is rarer over all nodes are not in the result.
    rank_cell_min
        The finest cell of pooled ranks, in people.
    ranks_within_node, node_level
        Whether the node ranks its people alone, and releases estimates of its own at named loci.
    pairwise_masks, plain_sums
        Whether, besides shares to three aggregators, it gives its figures masked to one coordinator, and, of open data only,
        without a secure sum.
    difference_min
        k of the ledger: no combination of what a project has been told is about fewer people than this.
    refusals_max
        After how many refusals by the ledger, or because a cohort is too small or a column is one person's, a project is told
        nothing new until the operator allows it again: such a refusal tells a little of a few people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    projects: tuple[ProjectName, ...] = ()
    people_min: int = Field(default=50, ge=PEOPLE_FLOOR)
    cases_min: int = Field(default=20, ge=PEOPLE_FLOOR)
    controls_min: int = Field(default=20, ge=PEOPLE_FLOOR)
    others_min: int = Field(default=PEOPLE_FLOOR, ge=PEOPLE_FLOOR)
    contributors_min: int = Field(default=CONTRIBUTORS_MIN, ge=CONTRIBUTORS_MIN)
    parameters_share_max: _Share = 0.33
    traits_share_max: _Share = 0.05
    sets_share_max: _Share = 0.1
    dominance_max: _Share = 0.5
    allele_count_min: int = Field(default=20, ge=0)
    rank_cell_min: int = Field(default=PEOPLE_FLOOR, ge=2)
    ranks_within_node: bool = True
    node_level: bool = False
    pairwise_masks: bool = False
    plain_sums: bool = False
    difference_min: int = Field(default=PEOPLE_FLOOR, ge=PEOPLE_FLOOR)
    refusals_max: int = Field(default=20, ge=0)

    def modes(self, *, all_open: bool) -> tuple[Literal["shares", "masks", "plain"], ...]:
        """How this node's figures may be hidden in a run."""
        return ("shares", *(("masks",) if self.pairwise_masks else ()), *(("plain",) if self.plain_sums and all_open else ()))


@dataclass(frozen=True)
class AnalysisFacts:
    """What a plan would be at this node, before anything is contributed.

    Attributes
    ----------
    project
        The plan's project.
    all_open
        Whether every dataset of the plan at this node is open.
    people
        People of the cohort here, complete in trait and covariates.
    cases, controls
        The fewest over the plan's traits; None for quantitative ones.
    traits
        How many traits the plan asks (`charged_traits`); the ledger counts those of the project's other plans.
    dominance
        The largest share of one person, from `stats.dominance`; 0 where the plan has no covariate and no trait.
    rank_cell
        The plan's finest cell of pooled ranks; None where it does not rank over nodes.
    ranks_within_node, node_level, plain
        Whether the plan ranks within nodes, asks for estimates of each node, and wants plain sums.
    loci
        How many loci it names for these estimates.
    node_covariate
        Whether nodes are covariates: the pooled sums against such a column are this node's own.
    """

    project: str
    all_open: bool
    people: int
    cases: int | None = None
    controls: int | None = None
    traits: int = 0
    dominance: float = 0.0
    rank_cell: int | None = None
    ranks_within_node: bool = False
    node_level: bool = False
    loci: int = 0
    node_covariate: bool = False
    plain: bool = False


@dataclass(frozen=True)
class PooledFacts:
    """What a node knows once the first sum is open: how many nodes contribute, its people and all, the model's parameters."""

    all_open: bool
    contributors: int
    people: int
    pooled_people: int
    parameters: int
    plain: bool = False


class Verdict(NamedTuple):
    """A decision: `rule` and `sentence` say what refuses and are empty where nothing does; `policy` is `open` or `guarded`."""

    accepts: bool
    rule: RuleName | Literal[""]
    sentence: str
    policy: Literal["open", "guarded"]


def decide_analysis(facts: AnalysisFacts, policy: AnalysisPolicy) -> Verdict:
    """Whether this node would take part; of several rules that refuse, the first of the list above is named.

    The pooled figures are not known yet: `decide_pooled` decides on them after the first sum. The ledger has its own word.
    """
    if facts.all_open:
        return _verdict({"plain-sum": facts.plain and not policy.plain_sums}, "open")
    node_level = policy.node_level and facts.loci <= LOCI_MAX
    return _verdict(
        {
            "project": facts.project not in policy.projects,
            "plain-sum": facts.plain,
            "people": facts.people < policy.people_min,
            "cases": facts.cases is not None and facts.cases < policy.cases_min,
            "controls": facts.controls is not None and facts.controls < policy.controls_min,
            "traits": facts.traits > policy.traits_share_max * facts.people,
            "dominance": not facts.dominance <= policy.dominance_max,  # NaN, too
            "rank-cell": facts.rank_cell is not None and facts.rank_cell < policy.rank_cell_min,
            "ranks-within-node": facts.ranks_within_node and not policy.ranks_within_node,
            "node-level": (facts.node_level and not node_level) or (facts.node_covariate and not policy.node_level),
        },
        "guarded",
    )


def decide_pooled(facts: PooledFacts, policy: AnalysisPolicy) -> Verdict:
    """Whether this node stays once the first sum is open: of enough members, enough other people, few enough parameters."""
    contributors = facts.contributors < policy.contributors_min
    if facts.all_open:
        return _verdict({"contributors": contributors and not facts.plain}, "open")
    return _verdict(
        {
            "contributors": contributors,
            "others": facts.pooled_people - facts.people < policy.others_min,
            "parameters": facts.parameters > policy.parameters_share_max * facts.pooled_people,
        },
        "guarded",
    )


def charged_traits(plan: Plan) -> tuple[str, ...]:
    """What a plan is charged for: each trait with what it is adjusted for; the same trait adjusted otherwise is another."""
    given = plan.model_dump(mode="json", include={"covariates", "transformation", "missing", "case", "control"})
    given["covariates"] = sorted(canonical(one).decode() for one in given["covariates"])
    return tuple(canonical({**given, "trait": name}).decode() for name in plan.trait_names)


def refused_by(rule: RuleName, policy: Literal["open", "guarded"] = "guarded") -> Verdict:
    """The refusal by one rule, as every caller words it."""
    return Verdict(False, rule, SENTENCES[rule], policy)


def _verdict(refuses: dict[RuleName, bool], policy: Literal["open", "guarded"]) -> Verdict:
    first = next((rule for rule, holds in refuses.items() if holds), None)
    return Verdict(True, "", "", policy) if first is None else refused_by(first, policy)
