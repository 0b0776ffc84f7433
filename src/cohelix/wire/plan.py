"""A plan of an analysis, as a researcher writes it and every node reads it: typed, and named by its canonical hash."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, JsonValue

Method = Literal["linear", "logistic", "firth", "wald", "counts", "meta", "components"]
Transformation = Literal["none", "zscore", "rank", "residual-rank", "residual-rank-within-node"]
Missing = Literal["mean", "complete-case"]


class PlanPart(BaseModel):
    """A frozen part of a plan; names are as in the YAML, unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class VariantFilter(PlanPart):
    """Which variants are tested; every figure is of all nodes' people together.

    `region` is 1-based and inclusive text, or several; `variants` names variants instead. `hwe_min` is the least pooled
    exact p-value.
    """

    region: str | tuple[str, ...] | None = None
    variants: tuple[str, ...] | None = None
    maf_min: float = Field(default=0.0, ge=0, le=0.5)
    mac_min: int = Field(default=0, ge=0)
    call_rate_min: float = Field(default=0.0, ge=0, le=1)
    hwe_min: float = Field(default=0.0, ge=0, le=1)


class SampleFilter(PlanPart):
    """Which people are left out at each node for the quality of their genotypes."""

    call_rate_min: float = Field(default=0.0, ge=0, le=1)


class ReleaseWish(PlanPart):
    """What is asked to be released besides the pooled table: estimates of each node at named loci."""

    node_level: bool = False
    loci: tuple[str, ...] = Field(default=(), max_length=100)


class Plan(PlanPart):
    """An analysis over named datasets; `plan_hash` is its name everywhere.

    `cohort`, `case` and `control` are expressions (all / any / not over Beacon's filters); `trait` and `covariates`
    name measurements, or `sex`, `age`, `node`, `{component: 1}`.
    """

    project: str = Field(min_length=1, max_length=64)
    assembly: str = ""
    datasets: tuple[str, ...] = Field(min_length=1)
    cohort: JsonValue = None
    samples: SampleFilter = SampleFilter()
    trait: JsonValue = None
    traits: tuple[JsonValue, ...] = ()
    case: JsonValue = None
    control: JsonValue = None
    covariates: tuple[JsonValue, ...] = ()
    transformation: Transformation = "none"
    rank_cell: int = Field(default=10, ge=1)
    variants: VariantFilter = VariantFilter()
    dosage_x: Literal["haploid-two", "haploid-one"] = "haploid-two"
    missing: Missing = "mean"
    method: Method
    options: dict[str, Any] = Field(default_factory=dict)
    release: ReleaseWish = ReleaseWish()


def canonical(document: Any) -> bytes:
    """The bytes of a JSON document that are hashed and signed: sorted keys, no space, UTF-8."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def plan_hash(plan: Plan) -> str:
    """Lower-case hexadecimal SHA-256 of the plan's canonical form, defaults written out."""
    return hashlib.sha256(canonical(plan.model_dump(mode="json"))).hexdigest()
