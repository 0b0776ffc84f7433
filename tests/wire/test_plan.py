"""Plans: one hash for one plan however it is written, every mistake with its place, and the published schema."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cohelix.core.errors import BadFile, BadQuestion
from cohelix.core.genome import Region
from cohelix.wire.plan import canonical, parse_plan, plan_hash, plan_schema, read_plan

EXAMPLE = """\
project: demo
datasets: [FI:geuvadis, GB:geuvadis, IT:geuvadis, CEU:geuvadis]
cohort: {all: [{measurement: ENSG00000184164.10}]}     # all / any / not over Beacon's filters
trait: {measurement: ENSG00000184164.10}               # or traits: [...]; or case: {...}, control: {...}
covariates: [{measurement: PC1}, sex]
transformation: residual-rank                          # none | zscore | rank | residual-rank | residual-rank-within-node
rank_cell: 1
variants: {region: "22:50000000-51304566", maf_min: 0.05, call_rate_min: 0.95}
missing: mean                                          # mean | complete-case
method: linear                                         # linear | logistic | ...
release: {node_level: false}
"""
SCHEMA = jsonschema.Draft202012Validator(plan_schema())
WORDS = st.text("abcXYZ019", min_size=1, max_size=6)


@st.composite
def plans(draw: st.DrawFn) -> dict:
    """A plan that can be meant, as a document."""
    names = draw(st.lists(WORDS, min_size=4, max_size=6, unique=True))
    datasets = [f"{draw(WORDS)}:{name}" for name in names[:2]]
    found = {"project": draw(WORDS), "datasets": datasets, "cohort": {"sex": "male"}}
    found["covariates"] = [{"measurement": names[2]}, "sex", {"population": ["FIN", "NO"]}, "node"]
    found["variants"] = draw(st.sampled_from([{}, {"region": ["22:1-10", "chrX"]}, {"variants": ["22-50313359-G-A"]}]))
    if draw(st.booleans()):
        found |= {"case": {"disease": "OMIM:1"}, "control": {"not": {"disease": "OMIM:1"}}, "method": "logistic"}
    else:
        found |= {"traits": [{"measurement": name} for name in names[3:]], "method": "linear"}
        found["transformation"] = draw(st.sampled_from(["none", "zscore", "rank", "residual-rank"]))
    if draw(st.booleans()):
        found["release"] = {"node_level": True, "loci": ["22-50313359-G-A"]}
    return found


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@settings(max_examples=15, deadline=None)
@given(document=plans(), order=st.randoms())
def test_the_hash_is_of_the_plan_not_of_its_spelling(document: dict, order, tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("plan")
    plan = parse_plan(document)
    keys = list(document)
    order.shuffle(keys)
    shuffled = {key: document[key] for key in keys}
    spelled = [
        read_plan(written(folder / "a.yaml", yaml.safe_dump(shuffled, sort_keys=False))),
        read_plan(written(folder / "b.json", json.dumps(shuffled, indent="\t"))),
        read_plan(written(folder / "c.json", canonical(plan.model_dump(mode="json")).decode())),
        parse_plan({**document, "missing": "mean", "samples": {"call_rate_min": 0}, "rank_cell": 10}),
    ]
    assert {plan_hash(one) for one in spelled} == {plan_hash(plan)}
    assert all(one == plan for one in spelled)
    SCHEMA.validate(document)
    other = parse_plan({**document, "missing": "complete-case"})
    assert plan_hash(other) != plan_hash(plan)


def test_the_example_of_the_interface(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path / "plan.yaml", EXAMPLE))
    assert plan.nodes == ("CEU", "FI", "GB", "IT") and plan.datasets_of("GB") == ("geuvadis",)
    assert plan.trait_names == ("ENSG00000184164.10",) and not plan.binary
    assert plan.variants.regions == (Region("22", 49_999_999, 51_304_566),)
    # Kept for good: the hash is a run's name, and stands in manifests.
    assert plan_hash(plan) == "a354d99352464426f74ff20d1cc5713010b93f55931f0b225dcdda0cede5680f"
    jsonschema.validate(yaml.safe_load(EXAMPLE), plan_schema())


def test_expressions_as_text_and_regions_as_people_write_them(tmp_path: Path) -> None:
    one = EXAMPLE.replace("{all: [{measurement: ENSG00000184164.10}]}", "measurement(ENSG00000184164.10)")
    other = one.replace("22:50000000-51304566", "chr22:50,000,000-51,304,566")
    plans_ = [read_plan(written(tmp_path / "plan.yaml", text)) for text in (EXAMPLE, one, other)]
    assert len({plan_hash(plan) for plan in plans_}) == 1


@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [
        ("project: demo", "projct: demo", "line 1, projct", "'projct' is not known here"),
        ("missing: mean", "missing: meen", "line 9, missing", "expected 'mean' or 'complete-case'"),
        ("method: linear", "method: logistic", "case", "compares cases with controls"),
        ("method: linear", "", "method", "expected linear, logistic"),
        ("sex]", "sexx]", "line 5, covariates[1]", "{population: [LEVEL, …]}"),
        ("sex]", "{population: [NO, SE, SE]}]", "line 5, covariates[1].population[2]", "'SE' comes twice"),
        ("sex]", "{component: 2}]", "options.components", "from 2 to 50"),
        ("sex]", "{measurement: ENSG00000184164.10}]", "covariates[1]", "a trait and its own covariate"),
        ("22:50000000-51304566", "22:5-1", "line 8, variants.region", "the end is not before the start"),
        ("maf_min: 0.05", "maf_min: 0.7", "line 8, variants.maf_min", "a number from 0 to 0.5"),
        ("maf_min: 0.05", "variants: [22-1-A-G]", "line 8, variants.variants", "region and variants stand side by side"),
        ("{all: [{measurement: ENSG00000184164.10}]}", "{all: [{sex: NO}]}", "line 3, cohort.all[0].sex", "female or male"),
        ("FI:geuvadis,", "FI:geuvadis, FI:geuvadis,", "line 2, datasets[1]", "comes twice"),
        ("FI:geuvadis,", "geuvadis,", "line 2, datasets[0]", "NODE:DATASET"),
        ("node_level: false", "node_level: true", "line 11, release.loci", "1 to 100 variants"),
        ("node_level: false", "loci: [22-1-A-G]", "release.node_level", "expected node_level: true"),
        ("trait: {measurement: ENSG00000184164.10}", "trait: LDL", "line 4, trait", "give case and control instead"),
        ("rank_cell: 1", "rank_cell: x", "line 7, rank_cell", "people in a cell of ranks"),
        ("rank_cell: 1", "case: {sex: male}", "control", "control is missing"),
        ("rank_cell: 1", "case: {sex: M}\ncontrol: {sex: F}", "case", "a trait and cases stand side by side"),
        ("rank_cell: 1", "missing: mean", "line 9", "the key missing comes twice"),
        ("rank_cell: 1", "rank_cell: &a 1\nassembly: *a", "line 8", "an alias"),
        ("rank_cell: 1", "rank_cell: [", "line 9", "not YAML"),
        ("rank_cell: 1", "assembly: hg17", "line 7, assembly", "GRCh37 or GRCh38"),
        ("rank_cell: 1", "rank_cell: x\nmissin: mean", "line 8, missin", "also wrong: rank_cell"),
    ],
)
def test_a_mistake_has_its_file_place_and_expectation(tmp_path: Path, old: str, new: str, place: str, said: str) -> None:
    assert old in EXAMPLE
    path = written(tmp_path / "plan.yaml", EXAMPLE.replace(old, new, 1))
    with pytest.raises(BadFile) as refused:
        read_plan(path)
    assert str(path) in refused.value.detail and place in refused.value.place and said in refused.value.detail
    assert refused.value.expected


def test_files_that_are_no_plan(tmp_path: Path) -> None:
    for text, said in (
        ("", "not a mapping"),
        ("[1]", "not a mapping"),
        ("{" * 60 + "}" * 60, "nested too deeply"),
        ('{"project": "a", "project": "b"}', "the key project comes twice"),
        ("a: " + "x" * (5 << 20), "larger than"),
        ("a: \udc00".encode("utf-8", "surrogatepass").decode("latin-1"), "not"),
    ):
        with pytest.raises(BadFile, match=said):
            read_plan(written(tmp_path / "plan.yaml", text))
    (tmp_path / "latin").write_bytes(b"project: \xe9")
    with pytest.raises(BadFile, match="not in UTF-8"):
        read_plan(tmp_path / "latin")
    with pytest.raises(BadFile, match="cannot be read"):
        read_plan(tmp_path / "absent.yaml")


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["project", "datasets", "cohort", "trait", "traits", "case", "covariates", "variants", "method", "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.just("measurement"), inner, max_size=3),
            max_leaves=5,
        ),
    )
)
def test_any_document_is_a_plan_or_refused(document: dict) -> None:
    try:
        parse_plan(document)
    except BadQuestion as error:
        assert "expected" in error.detail


def test_words_of_yaml_1_1_are_words(tmp_path: Path) -> None:
    text = EXAMPLE.replace("sex]", "{population: [NO, 012, 2020-01-01, on]}]")
    plan = read_plan(written(tmp_path / "plan.yaml", text))
    assert plan.covariates[1].population == ("NO", "012", "2020-01-01", "on")


def test_the_published_schema_is_current() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "reference" / "plan.schema.json"
    assert json.loads(page.read_text()) == plan_schema(), "make it anew: python scripts/plan_schema.py"
    jsonschema.Draft202012Validator.check_schema(plan_schema())
