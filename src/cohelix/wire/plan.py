"""A plan of an analysis, as a researcher writes it and every node reads it: typed, and named by its canonical hash."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, cast

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from cohelix.core.errors import BadFile, BadQuestion
from cohelix.core.genome import Region, parse_assembly, parse_region, plain_contig
from cohelix.core.variant import VariantKey, parse_variant
from cohelix.wire.expression import EXPRESSION_SCHEMA, EXPRESSION_TITLE, ExpressionField, path_text
from cohelix.wire.yaml_text import YamlText, parse_yaml, read_text

Method = Literal["linear", "logistic", "firth", "wald", "counts", "meta", "components"]
Transformation = Literal["none", "zscore", "rank", "residual-rank", "residual-rank-within-node"]
Missing = Literal["mean", "complete-case"]

TRAITS_MAX, COVARIATES_MAX, DATASETS_MAX, VARIANTS_MAX, LOCI_MAX = 2_000, 200, 1_000, 100_000, 100
COMPONENTS_MAX = 50
VALUE_MAX = 1e15  # no covariate or trait may be larger: the bounds of the sums rest on it; enough for cells per litre
BYTES_MAX = 4 << 20  # of a plan's file
CONTIG_END = 2**31 - 1  # of a region that is a whole contig
_DEPTH_MAX = 40
_MISTAKES_SHOWN = 5
_DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}:[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CONTIG = re.compile(r"(chr)?[A-Za-z0-9][A-Za-z0-9._]{0,40}", re.IGNORECASE)
_EXPECTED = "a plan as in docs/reference/plan.md"


class PlanPart(BaseModel):
    """A frozen part of a plan; names are as in the YAML, unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Measured(PlanPart):
    """A measurement by its name, as the datasets have it."""

    measurement: str = Field(min_length=1, max_length=200)


class PopulationLevels(PlanPart):
    """One 0/1 column for each of these populations; people of all others, written or not, are the reference."""

    population: tuple[str, ...] = Field(min_length=1, max_length=100)


class ComponentNumber(PlanPart):
    """A component of the ancestry analysis that the same run makes first, from 1."""

    component: int = Field(ge=1, le=COMPONENTS_MAX)


def _mistake(problem: str, expected: str, *place: str | int) -> PydanticCustomError:
    return PydanticCustomError(
        "plan", "{problem}; expected {expected}", {"problem": problem, "expected": expected, "place": list(place)}
    )


_COVARIATE_FORMS = "{measurement: NAME}, sex, age, node, {population: [LEVEL, …]} or {component: NUMBER}"


def _as_covariate(value: Any) -> Any:
    kinds: dict[str, type[PlanPart]] = {
        "measurement": Measured,
        "population": PopulationLevels,
        "component": ComponentNumber,
    }
    if isinstance(value, PlanPart) or value in ("sex", "age", "node"):
        return value
    if isinstance(value, Mapping) and len(value) == 1 and (name := next(iter(value))) in kinds:
        try:
            return kinds[name].model_validate(value)
        except ValidationError as error:
            raise _mistake(error.errors()[0]["msg"], _COVARIATE_FORMS, *error.errors()[0]["loc"]) from None
    raise _mistake(f"{_short(value)} is no covariate", _COVARIATE_FORMS)


def _as_trait(value: Any) -> Any:
    if isinstance(value, str):
        raise _mistake(f"{_short(value)} is no trait", "{measurement: NAME}; of a disease give case and control instead")
    return value


Covariate: TypeAlias = Annotated[
    Literal["sex", "age", "node"] | Measured | PopulationLevels | ComponentNumber, BeforeValidator(_as_covariate)
]
Trait: TypeAlias = Annotated[Measured, BeforeValidator(_as_trait)]


class VariantFilter(PlanPart):
    """Which variants are tested; every figure is of all nodes' people together.

    `region` is 1-based and inclusive text (`22:50000000-51304566`) or a contig, or several; `variants` names variants
    instead (`22-50313359-G-A`). `hwe_min` is the least pooled exact p-value.
    """

    region: str | tuple[str, ...] | None = Field(default=None, description="contig:from-to (1-based, inclusive), or a list")
    variants: tuple[str, ...] | None = Field(
        default=None, min_length=1, max_length=VARIANTS_MAX, description="a list of contig-position-ref-alt"
    )
    maf_min: float = Field(default=0.0, ge=0, le=0.5, description="a number from 0 to 0.5")
    mac_min: int = Field(default=0, ge=0, description="a whole number from 0")
    call_rate_min: float = Field(default=0.0, ge=0, le=1, description="a number from 0 to 1")
    hwe_min: float = Field(default=0.0, ge=0, le=1, description="a number from 0 to 1")

    @field_validator("region", mode="after")
    @classmethod
    def _regions(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        if value is None:
            return None
        if isinstance(value, str):
            return _region_text(value)
        if not 1 <= len(value) <= 1000:
            raise _mistake("the list of regions is empty or too long", "1 to 1,000 regions")
        return tuple(_region_text(one, number) for number, one in enumerate(value))

    @field_validator("variants", mode="after")
    @classmethod
    def _variants(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if value is None else _variant_texts(value)

    @model_validator(mode="after")
    def _one_way(self) -> VariantFilter:
        if self.region is not None and self.variants is not None:
            raise _mistake("region and variants stand side by side", "one of them", "variants")
        return self

    @property
    def regions(self) -> tuple[Region, ...] | None:
        """The regions, 0-based and half-open; None for the whole genome, or where variants are named."""
        if self.region is None:
            return None
        return tuple(_region(text) for text in ((self.region,) if isinstance(self.region, str) else self.region))

    @property
    def keys(self) -> tuple[VariantKey, ...] | None:
        """The variants that the plan names; None where it names none."""
        return None if self.variants is None else tuple(parse_variant(text) for text in self.variants)


class SampleFilter(PlanPart):
    """Which people are left out at each node for the quality of their genotypes."""

    call_rate_min: float = Field(default=0.0, ge=0, le=1, description="a number from 0 to 1")


class ReleaseWish(PlanPart):
    """What is asked to be released besides the pooled table: estimates of each node at named loci."""

    node_level: bool = Field(default=False, description="true or false")
    loci: tuple[str, ...] = Field(default=(), max_length=LOCI_MAX, description="at most 100 of contig-position-ref-alt")

    @field_validator("loci", mode="after")
    @classmethod
    def _loci(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _variant_texts(value)

    @model_validator(mode="after")
    def _with_loci(self) -> ReleaseWish:
        if self.node_level and not self.loci:
            expected = f"1 to {LOCI_MAX} variants, as contig-position-ref-alt"
            raise _mistake("estimates of each node are given at named loci only", expected, "loci")
        if self.loci and not self.node_level:
            raise _mistake("loci are named, and no estimates of each node are asked for", "node_level: true", "node_level")
        return self


class Plan(PlanPart):
    """An analysis over named datasets; `plan_hash` is its name everywhere.

    `cohort`, `case` and `control` are expressions (`wire.expression`); `trait` is one measurement, `traits` several that one
    pass over the genotypes tests. `covariates` name measurements, `sex` (1 of a male, 0 of a female), `age` in years,
    `node` (a column for each node but the first), populations, or components.
    """

    project: str = Field(
        min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$", description="the project's name"
    )
    assembly: str = Field(default="", description="GRCh37 or GRCh38; where it is left out, that of the datasets")
    datasets: tuple[str, ...] = Field(min_length=1, max_length=DATASETS_MAX, description="a list of NODE:DATASET")
    cohort: ExpressionField | None = Field(default=None, description="an expression; everybody where it is left out")
    samples: SampleFilter = SampleFilter()
    trait: Trait | None = Field(default=None, description="{measurement: NAME}")
    traits: tuple[Trait, ...] = Field(default=(), max_length=TRAITS_MAX, description="a list of {measurement: NAME}")
    case: ExpressionField | None = Field(default=None, description="an expression")
    control: ExpressionField | None = Field(default=None, description="an expression")
    covariates: tuple[Covariate, ...] = Field(
        default=(), max_length=COVARIATES_MAX, description=f"a list of {_COVARIATE_FORMS}"
    )
    transformation: Transformation = "none"
    rank_cell: int = Field(default=10, ge=1, le=100_000, description="a whole number from 1: people in a cell of ranks")
    variants: VariantFilter = VariantFilter()
    dosage_x: Literal["haploid-two", "haploid-one"] = "haploid-two"
    missing: Missing = "mean"
    method: Method = Field(description="linear, logistic, firth, wald, counts, meta or components")
    options: dict[str, JsonValue] = Field(default_factory=dict, max_length=50, description="the method's own options")
    release: ReleaseWish = ReleaseWish()

    @field_validator("assembly", mode="after")
    @classmethod
    def _assembly(cls, value: str) -> str:
        try:
            return str(parse_assembly(value)) if value else ""
        except BadQuestion:
            raise _mistake(f"{_short(value)} is no assembly", "GRCh37 or GRCh38") from None

    @field_validator("datasets", mode="after")
    @classmethod
    def _datasets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for number, name in enumerate(value):
            if not _DATASET.fullmatch(name):
                raise _mistake(f"{_short(name)} is not a dataset of the federation", "NODE:DATASET, as FI:geuvadis", number)
        _refuse_double(value)
        return value

    @field_validator("traits", "covariates", mode="after")
    @classmethod
    def _once(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        _refuse_double(value)
        return value

    @model_validator(mode="after")
    def _fitting(self) -> Plan:
        for rule in (_check_outcome, _check_transformation, _check_covariates, _check_components):
            rule(self)
        return self

    @property
    def binary(self) -> bool:
        """Whether cases are compared with controls."""
        return self.case is not None

    @property
    def measured_traits(self) -> tuple[str, ...]:
        """Names of the measurements that are traits, in order; none of a case/control plan."""
        return tuple(one.measurement for one in ((self.trait,) if self.trait is not None else self.traits))

    @property
    def trait_names(self) -> tuple[str, ...]:
        """What results call the traits: measurements, or `case`."""
        return ("case",) if self.binary else self.measured_traits

    @property
    def nodes(self) -> tuple[str, ...]:
        """Ids of the nodes whose datasets the plan names, ascending."""
        return tuple(sorted({name.partition(":")[0] for name in self.datasets}))

    def datasets_of(self, node: str) -> tuple[str, ...]:
        """A node's datasets of the plan, without the node's name, in the plan's order."""
        return tuple(name.partition(":")[2] for name in self.datasets if name.partition(":")[0] == node)

    @property
    def components(self) -> int:
        """How many components the plan has to make first, or is about; 0 where none."""
        asked = self.options.get("components", 0)
        return asked if isinstance(asked, int) else 0


def _check_outcome(plan: Plan) -> None:
    if plan.trait is not None and plan.traits:
        raise _mistake("trait and traits stand side by side", "one of them", "traits")
    traits, groups = bool(plan.measured_traits), [name for name in ("case", "control") if getattr(plan, name) is not None]
    if len(groups) == 1:
        missing = "control" if groups == ["case"] else "case"
        raise _mistake(f"{missing} is missing", "case and control, each an expression", missing)
    if groups and plan.case == plan.control:
        raise _mistake("cases and controls are the same people", "an expression that sets them apart", "control")
    if traits and groups:
        raise _mistake("a trait and cases stand side by side", "trait or traits, or case and control", "case")
    method = plan.method
    if method == "linear" and not traits:
        raise _mistake("the method linear has no trait", "trait: {measurement: NAME}, or traits", "trait")
    if method in ("logistic", "firth", "wald") and not groups:
        raise _mistake(f"the method {method} compares cases with controls", "case and control, each an expression", "case")
    if method == "meta" and not traits and not groups:
        raise _mistake("the method meta has nothing to combine", "trait or traits, or case and control", "trait")
    if method in ("counts", "components") and (traits or groups):
        place = groups[0] if groups else "trait" if plan.trait else "traits"
        raise _mistake(f"the method {method} tests no trait", f"no {place}", place)


def _check_transformation(plan: Plan) -> None:
    if plan.transformation != "none" and not plan.measured_traits:
        raise _mistake("there is no measurement to transform", "transformation: none", "transformation")


def _check_covariates(plan: Plan) -> None:
    traits = set(plan.measured_traits)
    for number, one in enumerate(plan.covariates):
        if isinstance(one, Measured) and one.measurement in traits:
            raise _mistake(f"{one.measurement} is a trait and its own covariate", "another covariate", "covariates", number)
        if isinstance(one, PopulationLevels):
            _refuse_double(one.population, "covariates", number, "population")


def _check_components(plan: Plan) -> None:
    numbers = [one.component for one in plan.covariates if isinstance(one, ComponentNumber)]
    if plan.method != "components" and not numbers and "components" not in plan.options:
        return
    asked = plan.options.get("components")
    if not isinstance(asked, int) or isinstance(asked, bool) or not max([1, *numbers]) <= asked <= COMPONENTS_MAX:
        expected = f"options: {{components: NUMBER}} from {max([1, *numbers])} to {COMPONENTS_MAX}"
        raise _mistake("how many components are made is not said", expected, "options", "components")
    if plan.method == "components" and numbers:
        raise _mistake("components are covariates of their own analysis", "other covariates, or none", "covariates")


def canonical(document: Any) -> bytes:
    """The bytes of a JSON document that are hashed and signed: sorted keys, no space, UTF-8."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def plan_hash(plan: Plan) -> str:
    """Lower-case hexadecimal SHA-256 of the plan's canonical form, defaults written out."""
    return hashlib.sha256(canonical(plan.model_dump(mode="json"))).hexdigest()


def parse_plan(document: Any) -> Plan:
    """The plan of a parsed JSON or YAML document.

    Raises
    ------
    BadQuestion
        With the path in the document, what is wrong there, and what was expected.
    """
    try:
        return Plan.model_validate(document)
    except ValidationError as error:
        told = _mistakes(error)
        where, problem, expected = told[0]
        raise BadQuestion(f"{path_text(where) or 'the plan'}: {problem}; expected {expected}{_others(told)}") from None


def read_plan(path: Path) -> Plan:
    """Read a plan from YAML or JSON.

    Raises
    ------
    BadFile
        With the line and the path in the document of the first mistake, what was expected there, and where others are.
    """
    name = str(path)
    text = read_text(path, bytes_max=BYTES_MAX, expected=_EXPECTED)
    found = _read_json(name, text) or parse_yaml(name, text, depth_max=_DEPTH_MAX, expected=_EXPECTED)
    if not isinstance(found.value, dict) or not found.value:
        raise BadFile(name, "line 1", "not a mapping of keys", _EXPECTED)
    try:
        return Plan.model_validate(found.value)
    except ValidationError as error:
        told = _mistakes(error)
        where, problem, expected = told[0]
        places = [f"line {found.line_of(where)}"] if found.tree is not None else []
        places += [path_text(where)] if where else []
        raise BadFile(name, ", ".join(places), problem + _others(told), expected) from None


def plan_schema() -> dict[str, Any]:
    """The JSON schema of plans."""
    schema = Plan.model_json_schema()
    schema.setdefault("$defs", {})["Expression"] = EXPRESSION_SCHEMA
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_with_references(schema)}


def _with_references(schema: Any) -> Any:
    """The schema with a reference wherever an expression may stand."""
    if isinstance(schema, dict):
        if schema.get("title") == EXPRESSION_TITLE:
            return {"$ref": "#/$defs/Expression"}
        return {name: _with_references(value) for name, value in schema.items()}
    return [_with_references(one) for one in schema] if isinstance(schema, list) else schema


def _mistakes(error: ValidationError) -> list[tuple[tuple[str | int, ...], str, str]]:
    """All mistakes; a misspelled key before the one that is missing for it."""
    return [_told(one) for one in sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")]


def _told(error: ErrorDetails) -> tuple[tuple[str | int, ...], str, str]:
    """Where, what is wrong, and what was expected there."""
    told = error.get("ctx") or {}
    # A union's or a validator's own steps are no places of the document.
    where = tuple(step for step in error["loc"] if isinstance(step, int) or not _STEP.search(step))
    if error["type"] in ("plan", "expression"):
        return (*where, *told["place"]), str(told["problem"]), str(told["expected"])
    part, field = _part_at(where)
    if error["type"] == "extra_forbidden":
        names = list(part.model_fields) if part else []
        near = difflib.get_close_matches(str(where[-1]), names, 1)
        return where, f"{_short(where[-1])} is not known here", f"{near[0]}" if near else f"one of {', '.join(names)}"
    description = field.description if field is not None else None
    if error["type"] == "missing":
        return where, "it is missing", description or str(error["msg"])
    if error["type"] == "literal_error":
        return where, f"{_short(error['input'])} is not known here", str(told["expected"])
    return where, f"{_short(error['input'])}: {error['msg'].lower()}", description or _EXPECTED


_STEP = re.compile(r"[\[\](]|^(str|tuple|Measured|PopulationLevels|ComponentNumber|constrained-)")


def _part_at(where: Sequence[str | int]) -> tuple[type[PlanPart] | None, Any]:
    """The model that a place lies in, and its field."""
    part: type[PlanPart] | None = Plan
    field: Any = None
    for step in where:
        if isinstance(step, int):
            continue
        if field is not None:
            inner = field.annotation
            part = inner if isinstance(inner, type) and issubclass(inner, PlanPart) else None
        field = part.model_fields.get(step) if part is not None else None
    return part, field


def _others(told: Sequence[tuple[tuple[str | int, ...], str, str]]) -> str:
    """Where else something is wrong."""
    places = list(dict.fromkeys(path_text(where) for where, _, _ in told))[1:]
    more = "" if len(places) <= _MISTAKES_SHOWN else f" and {len(places) - _MISTAKES_SHOWN} more"
    return f" (also wrong: {', '.join(places[:_MISTAKES_SHOWN])}{more})" if places else ""


def _read_json(name: str, text: str) -> YamlText | None:
    """The document of a JSON text; None where it is none, and so may be YAML."""
    if not text.lstrip().startswith("{"):
        return None

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            double = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise BadFile(name, "", f"the key {double} comes twice", "every key once")
        return found

    try:
        return YamlText(json.loads(text, object_pairs_hook=once, parse_constant=_no_number), None)
    except (ValueError, RecursionError):
        return None


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is not a number of JSON")


def _region(text: str) -> Region:
    return parse_region(text) if ":" in text else Region(text, 0, CONTIG_END)


def _region_text(text: str, *place: int) -> str:
    try:
        if ":" not in text and _CONTIG.fullmatch(text.strip()):
            return plain_contig(text.strip())
        return str(parse_region(text))
    except BadQuestion as error:
        raise _mistake(error.detail.partition(":")[0] if ":" not in text else error.detail, _REGION_FORM, *place) from None


_REGION_FORM = "contig:from-to as 22:50000000-51304566 (1-based, inclusive), or a contig"


def _variant_texts(given: Sequence[str]) -> tuple[str, ...]:
    found = []
    for number, text in enumerate(given):
        try:
            found.append(str(parse_variant(text)))
        except BadQuestion:
            raise _mistake(f"{_short(text)} is no variant", "contig-position-ref-alt, as 22-50313359-G-A", number) from None
    _refuse_double(found)
    return tuple(found)


def _refuse_double(values: Sequence[Any], *place: str | int) -> None:
    seen: set[Any] = set()
    for number, value in enumerate(values):
        if value in seen:
            shown = value if isinstance(value, str) else next(iter(cast(PlanPart, value).model_dump().values()))
            raise _mistake(f"{_short(shown)} comes twice", "everything once", *place, number)
        seen.add(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
