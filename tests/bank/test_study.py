"""The people of a plan at a node: a naive twin chooses them one by one; expressions in three values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohelix.bank.bank import Bank
from cohelix.bank.cohort_count import ANY_REFUSED, MEASURED_REFUSED, TERM_REFUSED
from cohelix.bank.expression import evaluate
from cohelix.bank.life import withdraw
from cohelix.bank.load import LoadRequest, load
from cohelix.bank.publish import open_current
from cohelix.bank.questions import Criterion, PeopleQuery
from cohelix.bank.study import StudyPeople, covariate_columns, open_study, trait_columns
from cohelix.core.errors import BadQuestion, NotFound, NotSupported
from cohelix.core.genome import Assembly
from cohelix.core.ids import DatasetId, NodeId
from cohelix.wire.expression import AllOf, AnyOf, Condition, Expression, NotOf, read_expression
from cohelix.wire.plan import parse_plan

LEAVES = st.sampled_from(
    [
        *({"sex": "male"}, {"population": "AAA"}, {"population": "CCC"}, {"country": "FI"}, {"age": {">=": 45}}),
        *({"disease": "OMIM:1"}, {"disease": "MONDO:0005148"}, {"phenotype": "HP:1"}, {"id": "OMIM:1"}, {"id": "HP:7"}),
        *({"measurement": "LDL", "<": 12}, {"measurement": "LDL"}, {"measurement": "HDL"}, {"birth_year": 1950}),
    ]
)
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(lambda joint, parts: {joint: parts}, st.sampled_from(["all", "any"]), st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda part: {"not": part}, inner)
    ),
    max_leaves=6,
)


def means(expression: Expression, person) -> bool | None:  # noqa: PLR0911
    """The definition, for one person of the awkward cohort; None where it is not known."""
    if isinstance(expression, NotOf):
        inner = means(expression.part, person)
        return None if inner is None else not inner
    if isinstance(expression, AllOf | AnyOf):
        values = [means(part, person) for part in expression.parts]
        decides = isinstance(expression, AnyOf)
        return decides if decides in values else None if None in values else not decides
    assert isinstance(expression, Condition)
    if expression.field == "sex":
        return None if not person.sex else person.sex == expression.value
    if expression.field == "population":
        return person.population == expression.value
    if expression.field == "age":
        return person.age >= expression.value
    if expression.field in ("disease", "term") and expression.value in ("OMIM:1", "MONDO:0005148"):
        return expression.value in person.disease
    if expression.name == "LDL":
        return True if expression.operator is None else int(person.id[1:]) / 4 < expression.value
    return False if expression.name == "HDL" else None  # nobody has one; the others are not assessed


def plan_of(**more: object):
    told = {"project": "test", "datasets": ["FI:open"], "traits": [{"measurement": "LDL"}], "method": "linear"}
    return parse_plan({**told, **more})


def individuals(study: StudyPeople) -> list[str]:
    return [names[0] for names in study.names()]


@settings(max_examples=60, deadline=None)
@given(document=EXPRESSIONS)
def test_an_expression_means_whom_the_definition_means(loaded, document: dict) -> None:
    version = open_current(loaded.node, DatasetId("open"))
    expression = read_expression(document)
    truth = evaluate(expression, version.people)
    for number, person in enumerate(loaded.cohort.people):
        expected = means(expression, person)
        assert (number in truth.yes, number in truth.no) == (expected is True, expected is False), (person, document)


@settings(max_examples=40, deadline=None)
@given(document=EXPRESSIONS)
def test_floored_datasets_count_as_lists_do_and_no_further(loaded, document: dict) -> None:
    expression = read_expression(document)
    answers, _ = loaded.bank.count_cohort(expression)
    assert set(answers) == {"open", "floored", "closed", "joint"}
    assert answers["closed"].status == "refused" and answers["closed"].count is None
    floored = answers["floored"]
    if floored.status == "answered":
        assert floored.count is not None and floored.count % 10 == 0 and floored.count > 0
    if floored.status == "refused":
        assert floored.reason in (ANY_REFUSED, MEASURED_REFUSED, TERM_REFUSED)
    exact = sum(means(expression, person) is True for person in loaded.cohort.people)
    if answers["open"].status == "answered":
        assert answers["open"].count == exact
    if floored.status == "answered":
        assert floored.count <= exact + 9  # codes close to each other may be answered alike


@pytest.mark.parametrize(
    ("document", "criteria"),
    [
        ("sex=male", [Criterion("sex", "=", "male")]),
        ("not sex=male and population=AAA", [Criterion("sex", "!", "male"), Criterion("population", "=", "AAA")]),
        ("not (sex=male or disease=OMIM:1)", [Criterion("sex", "!", "male"), Criterion("disease", "!", "OMIM:1")]),
        ("OMIM:1", [Criterion("disease", "=", "OMIM:1")]),
        ("age>=40", [Criterion("age", ">=", 40.0)]),
        ("phenotype=HP:1", [Criterion("phenotype", "=", "HP:1")]),
        ("population=A%", [Criterion("population", "=", "A%")]),
    ],
)
def test_a_conjunction_is_the_list_that_it_was(loaded, document: str, criteria: list[Criterion]) -> None:
    view = loaded.bank.view(DatasetId("floored"))
    assert view.count_cohort(read_expression(document)) == view.count_people(PeopleQuery(tuple(criteria)))


@pytest.mark.parametrize(
    "text", ["sex=male or population=AAA", "not (sex=male and population=AAA)", "(sex=male or sex=female) and age>3"]
)
def test_what_adds_up_to_a_complement_is_refused_on_floored_datasets(loaded, text: str) -> None:
    """|A or B| = |A| + |B| − |A and B|: with numbers of `any` the three that a list tells would tell the fourth."""
    answers, _ = loaded.bank.count_cohort(read_expression(text))
    assert (answers["floored"].status, answers["floored"].count) == ("refused", None)
    assert answers["open"].status == "answered"


def test_the_people_of_a_plan_are_those_of_the_definition(loaded) -> None:
    plan = plan_of(
        datasets=["FI:floored"],
        cohort={"all": [{"age": {">=": 30}}]},
        covariates=["sex", "age", {"population": ["AAA"]}],
        case={"disease": "MONDO:0005148"},
        control={"not": {"disease": "OMIM:1"}},
        traits=[],
        method="logistic",
    )
    study = open_study(loaded.node, "FI", plan)
    version = open_current(loaded.node, DatasetId("floored"))
    expected = []
    for column, name in enumerate(loaded.cohort.columns):
        person = loaded.cohort.person_of(column)
        if person is None or not person.sex or person.age < 30 or not version.call_sets.counted[column]:
            continue
        case, control = "MONDO:0005148" in person.disease, "OMIM:1" not in person.disease
        if case != control:
            expected.append((column, name, person, case))
    assert study.names() == [(person.id, f"floored:{name}") for _, name, person, _ in expected]
    assert study.parts[0].columns.tolist() == [column for column, *_ in expected]
    covariates, traits = np.empty((study.n, 3)), np.empty((study.n, 1))
    study.fill_covariates(covariates, ["FI"])
    study.fill_traits(traits)
    assert covariates.tolist() == [[one.sex == "male", one.age, one.population == "AAA"] for _, _, one, _ in expected]
    assert traits[:, 0].tolist() == [case for *_, case in expected] and study.cases == int(traits.sum())
    assert not study.open_data and study.assembly == Assembly.GRCH37
    numbers = np.arange(study.n) + 100
    sets = study.sets(numbers)
    assert set(sets["cohort"]) == set(numbers.tolist())
    assert sets["cases"] | sets["controls"] == sets["cohort"] and not sets["cases"] & sets["controls"]
    assert set(sets["sex"]) == set(numbers[covariates[:, 0] > 0].tolist())
    assert sum(study.left_out.values()) + study.n == int(version.released.sum())
    assert "both case and control" in study.left_out


def test_who_is_in_two_datasets_counts_in_the_first_of_the_plan(loaded) -> None:
    both = open_study(loaded.node, "FI", plan_of(datasets=["FI:joint", "FI:open"]))
    other = open_study(loaded.node, "FI", plan_of(datasets=["FI:open", "FI:joint"]))
    alone = open_study(loaded.node, "FI", plan_of())
    assert sorted(individuals(both)) == sorted(individuals(other)) == sorted(individuals(alone))
    assert [part.n for part in both.parts] == [alone.n, 0] and [part.dataset for part in both.parts] == ["joint", "open"]
    assert both.left_out["counted in an earlier dataset"] == alone.n
    assert both.fingerprint() != other.fingerprint() != alone.fingerprint()


def test_columns_of_covariates_are_written_out() -> None:
    plan = plan_of(
        covariates=["node", "sex", {"population": ["FIN", "NO"]}, {"measurement": "PC1"}], datasets=["A:x", "B:x", "C:x"]
    )
    names = [column.name for column in covariate_columns(plan, ["C", "A", "B"])]
    assert names == ["node:B", "node:C", "sex", "population:FIN", "population:NO", "PC1"]
    assert [column.name for column in trait_columns(plan)] == ["LDL"]


def test_refusals(loaded, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no dataset FI:absent"):
        open_study(loaded.node, "FI", plan_of(datasets=["FI:absent"]))
    with pytest.raises(NotFound, match="no dataset of the node GB"):
        open_study(loaded.node, "GB", plan_of())
    with pytest.raises(BadQuestion, match="measurement 'HDL'"):
        open_study(loaded.node, "FI", plan_of(covariates=[{"measurement": "HDL"}]))
    nobody = open_study(loaded.node, "FI", plan_of(datasets=["FI:floored"], covariates=[{"measurement": "HDL"}]))
    assert nobody.n == 0  # what a floored dataset measures is not told
    with pytest.raises(BadQuestion, match="assemblies never mix"):
        open_study(loaded.node, "FI", plan_of(assembly="GRCh38"))
    with pytest.raises(NotFound, match="no longer has a version 9"):
        open_study(loaded.node, "FI", plan_of(), versions={"open": 9})


def make_node(folder: Path, values: list[str], *, disclosure: str = "floored") -> Path:
    """A node with one dataset `d` of people P0…, each with one genotype and a value of X."""
    node = folder / "node"
    node.mkdir(parents=True)
    names = [f"S{number}" for number in range(len(values))]
    head = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *names]
    calls = [["0/1"] * len(names), ["./." if number % 4 == 0 else "0/0" for number in range(len(names))]]
    rows = [["22", str(20_000_000 + at), ".", "A", "C", ".", ".", ".", "GT", *call] for at, call in enumerate(calls)]
    header = ["##fileformat=VCFv4.2", "##contig=<ID=22,length=51304566>", "\t".join(head)]
    (folder / "d.vcf").write_text("\n".join([*header, *("\t".join(row) for row in rows)]) + "\n")
    table = [f"P{number}\tS{number}\t{value}" for number, value in enumerate(values)]
    (folder / "d.tsv").write_text("\n".join(["individual_id\tbiosample_id\tX [1]", *table]) + "\n")
    request = LoadRequest(
        DatasetId("d"), (folder / "d.vcf",), Assembly.GRCH37, individuals=folder / "d.tsv", disclosure=disclosure
    )
    load(node, request)
    return node


def test_values_without_bound_and_missing_values(tmp_path: Path) -> None:
    plan = plan_of(datasets=["FI:d"], traits=[{"measurement": "X"}])
    node = make_node(tmp_path / "a", ["1", "NA", *["2"] * 30])
    study = open_study(node, "FI", plan)
    assert study.n == 31 and study.left_out == {"a trait or covariate is not known": 1}
    node = make_node(tmp_path / "b", ["2e15", *["2"] * 31])
    with pytest.raises(BadQuestion, match="beyond ±1e"):
        open_study(node, "FI", plan)
    few_calls = open_study(
        node,
        "FI",
        plan_of(datasets=["FI:d"], traits=[{"measurement": "X"}], cohort="measurement(X)<9", samples={"call_rate_min": 0.8}),
    )
    assert few_calls.n == 24 and few_calls.left_out["call rate"] == 7


def test_a_withdrawal_leaves_out_more_than_one_and_ends_frozen_versions(tmp_path: Path) -> None:
    node = make_node(tmp_path, ["1"] * 60)
    plan = plan_of(datasets=["FI:d"], traits=[{"measurement": "X"}])
    before = open_study(node, "FI", plan)
    withdraw(node, ["P3"])
    after = open_study(node, "FI", plan)
    gone = set(individuals(before)) - set(individuals(after))
    assert "P3" in gone and len(gone) >= 10 and before.fingerprint() != after.fingerprint()
    with pytest.raises(NotFound):  # who has withdrawn is in no run that goes on, either
        open_study(node, "FI", plan, versions=before.versions)


def test_a_new_version_does_not_change_a_frozen_one(tmp_path: Path) -> None:
    node = make_node(tmp_path, ["1"] * 60)
    plan = plan_of(datasets=["FI:d"], traits=[{"measurement": "X"}])
    before = open_study(node, "FI", plan)
    load(
        node, LoadRequest(DatasetId("d"), (tmp_path / "d.vcf",), Assembly.GRCH37, individuals=tmp_path / "d.tsv", title="again")
    )
    assert open_study(node, "FI", plan).versions == {"d": 2}
    frozen = open_study(node, "FI", plan, versions=before.versions)
    assert individuals(frozen) == individuals(before) and frozen.fingerprint() == before.fingerprint()


def test_datasets_without_germline_genotypes_take_no_part(tmp_path: Path) -> None:
    sites = tmp_path / "sites.vcf"
    head = '##fileformat=VCFv4.2\n##contig=<ID=22,length=51304566>\n##INFO=<ID=AC,Number=A,Type=Integer,Description="x">\n'
    head += '##INFO=<ID=AN,Number=1,Type=Integer,Description="x">\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n'
    sites.write_text(head + "22\t20000000\t.\tA\tC\t.\t.\tAC=50;AN=200\n")
    node = tmp_path / "node"
    node.mkdir()
    load(node, LoadRequest(DatasetId("sums"), (sites,), Assembly.GRCH37))
    with pytest.raises(NotSupported, match="no germline genotypes"):
        open_study(node, "FI", plan_of(datasets=["FI:sums"]))
    answers, whole = Bank.open(node, NodeId("FI")).count_cohort(read_expression("sex=male"))
    assert answers["sums"].status == "not_assessed" and whole.count is None
