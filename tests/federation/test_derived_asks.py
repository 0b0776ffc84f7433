"""A contributor derives what it is asked: every method passes, after kills too; a hub with its own questions does not."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cohelix.analysis.data import Study
from cohelix.analysis.local import local_data
from cohelix.analysis.meta import NodeEstimates, node_estimates
from cohelix.analysis.methods import count_people, run_method
from cohelix.analysis.pooled import PlainSummer
from cohelix.analysis.steps import AnyArray, Ask, Statistic, Summer, Sums
from cohelix.core.errors import Deviation
from cohelix.federation.asking import ROUNDING, alike, ask_digest, block_arrays, pack_ask
from cohelix.federation.conversation import RunStopped
from cohelix.federation.derived_asks import DerivedAsks, Needs
from cohelix.federation.run_store import SumStore
from cohelix.federation.run_table import put_all_asks, study_of_roster
from cohelix.federation.secure_sum import open_sum, opening_of
from cohelix.federation.worker import read_ask
from cohelix.stats.secret_sharing import Layout
from cohelix.stats.thresholds import taking
from cohelix.testing.analyses import AnalysisFederation, load_again, make_folders
from cohelix.testing.run_parties import Hub, pin_hub, sums_database

MEMBERS = {"FI": 60, "GB": 80, "IT": 70}
POLICY = 'projects = ["test"]\nnode_level = true\ntraits_share_max = 1.0\nallele_count_min = 1'
CASES = {"trait": None, "case": {"sex": "female"}, "control": {"sex": "male"}, "covariates": [{"measurement": "PC1"}]}
METHODS: dict[str, dict[str, Any]] = {
    "linear": {},
    "linear of complete cases": {"missing": "complete-case"},
    "ranks": {"transformation": "rank"},
    "ranks of residuals": {"transformation": "residual-rank"},
    "ranks within nodes": {"transformation": "residual-rank-within-node"},
    "counts": {"method": "counts", "trait": None, "covariates": ()},
    "meta": {"method": "meta"},
    "components": {"method": "components", "trait": None, "covariates": (), "options": {"components": 1, "variants_max": 20}},
    "logistic": {"method": "logistic"},
    "firth": {"method": "firth"},
    "wald": {"method": "wald"},
}


class Lines:
    """Keeps the table."""

    def __init__(self) -> None:
        self.columns: dict[str, list[AnyArray]] = {}

    def write(self, rows: AnyArray, columns: Mapping[str, AnyArray]) -> None:
        for name, values in {"rows": rows, **columns}.items():
            self.columns.setdefault(name, []).append(np.ravel(values))


class Altered:
    """A hub that asks something else than the method does: `change` gets the number of each ask and the ask."""

    def __init__(self, summer: Summer, change: Callable[[int, Ask], Ask]) -> None:
        self._summer, self._change, self._number = summer, change, 0

    def _changed(self, ask: Ask) -> Ask:
        self._number += 1
        return self._change(self._number - 1, ask)

    def sum(self, ask: Ask) -> Sums:
        return self._summer.sum(self._changed(ask))

    def blocks(self, ask: Ask) -> Iterator[tuple[range, Sums]]:
        return self._summer.blocks(self._changed(ask))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> AnalysisFederation:
    made = make_folders(tmp_path_factory.mktemp("derived"), MEMBERS, variants=80)
    pin_hub(made)
    return made


def ready(whole: AnalysisFederation, name: str, changes: Mapping[str, Any]) -> Hub:
    """A run of a plan, up to its first sum."""
    hub = Hub(whole, f"run{abs(hash(name)) % 10**14:014d}", plan_of(whole, changes))
    hub.freeze()
    hub.list_variants()
    return hub


def plan_of(whole: AnalysisFederation, changes: Mapping[str, Any]) -> dict[str, Any]:
    method = changes.get("method", "linear")
    groups = CASES if method in ("logistic", "firth", "wald") else {}
    plan = whole.plan(**{**groups, **changes})
    return {key: value for key, value in plan.items() if value is not None}


def compute(hub: Hub, summer: Summer) -> Lines:
    study, lines = study_of_roster(hub.plan, hub.frozen.roster, hub.variants), Lines()
    count_people(study, summer)
    run_method(hub.plan, study, summer, lines)
    return lines


def run(hub: Hub, sums: Path, change: Callable[[int, Ask], Ask] = lambda _number, ask: ask) -> Lines:
    """The run by the hub's own `SecureSummer`, as the method has it or altered."""
    sums.mkdir()
    return hub.run_method(lambda summer: compute(hub, Altered(summer, change)), sums)


class Recorded:
    """An honest run: its asks in order, its lines, and what was opened."""

    def __init__(self, whole: AnalysisFederation, name: str, sums: Path) -> None:
        self.hub, self.asks = ready(whole, name, METHODS[name]), []

        def noted(_number: int, ask: Ask) -> Ask:
            self.asks.append(ask)
            return ask

        self.lines = run(self.hub, sums, noted)
        self._kept = SumStore(sums_database(whole), sums, self.hub.run)

    def follow(self, change: Callable[[int, Ask], Ask], node: str = "FI") -> tuple[list[int], Deviation | None]:
        """What a node that derives its asks says to a hub that asks otherwise: numbers of altered asks, and why it leaves."""
        hub, altered = self.hub, []
        plan, roster, variants = hub.plan, hub.frozen.roster, hub.variants
        following = DerivedAsks(lambda summer: put_all_asks(plan, roster, variants, summer), hub.frozen, hub.listed)
        try:
            for number, ask in enumerate(self.asks):
                told = change(number, ask)
                altered.extend([number] if told is not ask else [])
                while isinstance(found := following.match(number, pack_ask(told, hub.listed)), Needs):
                    for place in found.blocks:
                        self._open(following, place, node)
                for block, stretch in enumerate(told.blocks() if told is not ask else []):
                    following.block(number, block, block_arrays(told, stretch))
        except Deviation as error:
            return altered, error
        finally:
            following.close()
        return altered, None

    def _open(self, following: DerivedAsks, place: tuple[int, int], node: str) -> None:
        kept = self._kept.get(*place)
        assert kept is not None
        (own,) = [one for one in opening_of(kept[1]).headers if one.node == node]
        following.open(kept[1], own)


@pytest.fixture(scope="module")
def recorded(whole: AnalysisFederation, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Recorded]:
    """The honest run of a method, once for all tests."""
    return functools.cache(lambda name: Recorded(whole, name, tmp_path_factory.mktemp("recorded") / "sums"))


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_is_followed_and_gives_the_pooled_answer(recorded: Callable[[str], Recorded], name: str) -> None:
    honest = recorded(name)
    hub, secure = honest.hub, honest.lines
    parts = [local_data(node.folder, node.folder / "runs" / hub.run / "local") for node in hub.nodes.values()]
    plain = compute(hub, PlainSummer(parts))
    assert honest.follow(lambda _number, ask: ask) == ([], None)
    assert secure.columns.keys() == plain.columns.keys() and plain.columns["rows"]
    for column, values in plain.columns.items():
        one, other = np.concatenate(values), np.concatenate(secure.columns[column])
        if one.dtype.kind in "US":
            assert np.array_equal(one, other), column
        else:
            np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-9, err_msg=column)


@pytest.mark.parametrize("name", ["ranks of residuals", "logistic", "components as covariates"])
def test_nodes_that_restart_follow_once_more(whole: AnalysisFederation, tmp_path: Path, name: str) -> None:
    """Whatever a node forgot, the hub forwards again; nothing that it signed changes."""
    changes = METHODS.get(name, {"covariates": [{"component": 1}], "options": {"components": 1, "variants_max": 12}})
    undisturbed = run(ready(whole, f"{name} once", changes), tmp_path / "once")
    hub = ready(whole, f"{name} again", changes)

    def revive(number: int, ask: Ask) -> Ask:
        if number in (1, 2, 4, 7, 11, 16, 22):
            hub.revive(["FI", "GB", "IT"][number % 3])
        return ask

    again = run(hub, tmp_path / "again", revive)
    for column, values in undisturbed.columns.items():
        assert np.concatenate(values).tobytes() == np.concatenate(again.columns[column]).tobytes()


@pytest.mark.parametrize("side", [1, -1])
def test_a_number_within_rounding_of_a_threshold_ends_no_run(
    whole: AnalysisFederation, recorded: Callable[[str], Recorded], tmp_path: Path, side: int
) -> None:
    """A hub on another processor finds a variant beyond the threshold, and nodes do not, or the other way round."""
    method = METHODS["logistic"]
    lines = recorded("logistic").lines
    z = np.abs(np.concatenate(lines.columns["statistic"]))
    z = np.sort(z[np.isfinite(z)])
    # Of numbers that are the threshold itself: nodes find `z > z` false, the hub's is a little lower, or that of nodes is.
    at = float(z[-5]) * (1 - 5e-11 if side > 0 else 1)
    hub = ready(whole, f"beside {side}", {**method, "options": {"spa_z": at}})
    (tmp_path / "sums").mkdir()

    def elsewhere(summer: Summer) -> Lines:
        with taking(side):
            return compute(hub, summer)

    found = hub.run_method(elsewhere, tmp_path / "sums")
    methods = np.concatenate(found.columns["p_method"])
    assert (methods == "saddlepoint").any()
    assert not [name for name, node in hub.nodes.items() if node.runs.refusal(hub.run) is not None]


def one_hot(ask: Ask, name: str) -> Ask:
    """The same ask, but one entry of a broadcast array counts and all others are nothing."""
    array = np.zeros_like(ask.broadcast[name])
    array.flat[array.size // 2] = 1
    return replace(ask, broadcast={**ask.broadcast, name: array})


def told(step: str, name: str) -> Callable[[int, Ask], Ask]:
    return lambda _number, ask: one_hot(ask, name) if ask.step == step else ask


def once(step: str, change: Callable[[Ask], Ask]) -> Callable[[int, Ask], Ask]:
    return lambda _number, ask: change(ask) if ask.step == step else ask


def per_variant(ask: Ask, name: str) -> Ask:
    array = ask.per_variant[name].copy()
    array.flat[0] = array.flat[0] * 2 + 1
    return replace(ask, per_variant={**ask.per_variant, name: array})


def bounds(factor: float) -> Callable[[Ask], Ask]:
    return lambda ask: replace(ask, statistics=tuple(one._replace(bound=one.bound * factor) for one in ask.statistics))


ATTACKS: dict[str, tuple[str, Callable[[int, Ask], Ask]]] = {
    "ranks: one cell counts": ("ranks of residuals", told("linear-scan", "residual_cell_value")),
    "ranks: one cell counts, before covariates": ("ranks", told("linear-scan", "cell_value")),
    "ranks: other cells are split": ("ranks of residuals", told("residual-cells", "split_low")),
    "ranks: other cells of values": ("ranks", told("value-cells", "split_low")),
    "ranks within nodes: other mean": ("ranks within nodes", told("linear-scan", "within_mean")),
    "linear: other residuals": ("linear", told("linear-scan", "trait_coefficients")),
    "linear: other basis": ("linear", told("linear-scan", "basis_inverse")),
    "linear: other deviations": ("linear", told("column-deviations", "basis_mean")),
    "linear: other squares": ("linear", told("column-squares", "basis_mean")),
    "linear: other products of covariates": ("linear", told("basis-products", "basis_inverse")),
    "linear: other deviations of traits": ("linear", told("column-deviations", "trait_mean")),
    "linear: other products": ("linear", told("trait-products", "basis_inverse")),
    "linear: other squares of traits": ("linear", told("column-squares", "trait_sd")),
    "linear: other deviations of complete cases": ("linear of complete cases", told("linear-scan", "basis_mean")),
    "meta: other scale": ("meta", told("meta-scan", "trait_mean")),
    "counts: other threshold": ("counts", once("counts", lambda ask: replace(ask, broadcast={"threshold": np.array(0.5)}))),
    "components: other loadings": ("components", told("components-product", "loadings")),
    "components: other means": ("components", told("components-product", "mean")),
    "components: other rows": ("components", told("components-product", "rows")),
    "case/control: other coefficients": ("logistic", told("case-control-scan", "scan_betas")),
    "case/control: other null model": ("logistic", told("case-control-null", "null_beta")),
    "case/control: other points": ("logistic", once("case-control-cumulants", lambda ask: per_variant(ask, "points"))),
    "case/control: other slopes of carriers": (
        "logistic",
        once("case-control-carriers", lambda ask: per_variant(ask, "slope")),
    ),
    "case/control: other fits": ("firth", once("case-control-fit", lambda ask: per_variant(ask, "coefficients"))),
    "case/control: other inverse": ("firth", once("case-control-fit", lambda ask: per_variant(ask, "inverse"))),
    "case/control: rows of the hub's choice": (
        "wald",
        once("case-control-fit", lambda ask: replace(ask, rows=np.arange(len(ask.rows)))),  # type: ignore[arg-type]
    ),
    "case/control: fewer rows are scanned": (
        "firth",
        once("case-control-scan", lambda ask: replace(ask, rows=ask.rows[:5])),  # type: ignore[index]
    ),
    "a bound that halves": ("linear", once("trait-products", bounds(0.5))),
    "a bound that doubles": ("linear", once("linear-scan", bounds(2.0))),
    "another bound of people": ("linear", once("people", bounds(0.25))),
    "fewer statistics": ("linear", once("linear-scan", lambda ask: replace(ask, statistics=ask.statistics[:3]))),
    "more statistics": (
        "linear",
        once("column-totals", lambda ask: replace(ask, statistics=(*ask.statistics, Statistic("yy", (1,), 1e9)))),
    ),
    "a step too early": ("linear", once("column-totals", lambda _ask: Ask("column-squares", (Statistic("yy", (1,), 1e9),)))),
    "arrays beside the rows": (
        "linear",
        once("linear-scan", lambda ask: replace(ask, per_variant={"weight": np.zeros(len(ask.rows))})),  # type: ignore[arg-type]
    ),
    "last digits beyond rounding": (
        "linear",
        once("basis-products", lambda ask: replace(ask, broadcast={k: v * (1 + 1e-6) for k, v in ask.broadcast.items()})),
    ),
}


@pytest.mark.parametrize("attack", list(ATTACKS))
def test_another_question_than_follows_is_found(recorded: Callable[[str], Recorded], attack: str) -> None:
    method, change = ATTACKS[attack]
    altered, found = recorded(method).follow(change)
    assert found is not None and found.name == "foreign-ask" and len(altered) == 1  # the first one already ended it
    assert not [one for one in found.detail if one.isdigit()], "a refusal tells no number"


THROUGH_DOORS = (
    "ranks: one cell counts",
    "components: other rows",
    "case/control: other points",
    "case/control: rows of the hub's choice",
    "another bound of people",
    "arrays beside the rows",
)


@pytest.mark.parametrize("attack", THROUGH_DOORS)
def test_a_hub_with_questions_of_its_own_is_refused_for_good(whole: AnalysisFederation, tmp_path: Path, attack: str) -> None:
    method, change = ATTACKS[attack]
    hub = ready(whole, attack, METHODS[method])
    altered: list[int] = []

    def noted(number: int, ask: Ask) -> Ask:
        other = change(number, ask)
        altered.extend([number] if other is not ask else [])
        return other

    with pytest.raises(RunStopped, match="foreign-ask"):
        run(hub, tmp_path / "sums", noted)
    assert len(altered) == 1  # the first one already ended it
    left = [name for name, node in hub.nodes.items() if node.runs.refusal(hub.run) is not None]
    assert left
    for name in left:
        hub.revive(name)
        found = hub.nodes[name].runs.refusal(hub.run)
        assert found is not None and found.rule == "foreign-ask"
        assert not [one for one in found.reason if one.isdigit()], "a refusal tells no number"
        assert hub.step(name, 0, hub.people).document["refusal"]["rule"] == "foreign-ask"


def test_estimates_of_nodes_are_followed_too(whole: AnalysisFederation, tmp_path: Path) -> None:
    """What comes after the pass over the genotypes: null models once more, and the named loci, no others."""
    names = ready(whole, "loci", {}).variants.names(np.array([3, 8]))
    loci = [
        f"{contig}-{position + 1}-{ref}-{alt}"
        for contig, position, ref, alt in zip(names.contig, names.position.tolist(), names.ref, names.alt, strict=True)
    ]
    changes = {"release": {"node_level": True, "loci": loci}}
    for number, rows in enumerate(([3, 8], [3, 4])):
        hub = ready(whole, f"loci {number}", changes)
        study = study_of_roster(hub.plan, hub.frozen.roster, hub.variants)

        def method(summer: Summer, hub: Hub = hub, study: Study = study, rows: list[int] = rows) -> NodeEstimates:
            compute(hub, summer)
            return node_estimates(study, summer, rows)

        (tmp_path / str(number)).mkdir()
        if number == 0:
            found = hub.run_method(method, tmp_path / str(number))
            assert found.beta.shape == (3, 2, 1) and np.isfinite(found.beta).any()
        else:
            with pytest.raises(RunStopped, match="foreign-step"):
                hub.run_method(method, tmp_path / str(number))


def test_data_that_are_not_open_are_followed_as_well(tmp_path: Path) -> None:
    made = make_folders(tmp_path, MEMBERS, variants=60, disclosure="floored", analysis=POLICY)
    pin_hub(made)
    honest = ready(made, "guarded", {"covariates": [{"measurement": "PC1"}]})
    assert not any(one.open_data for one in honest.frozen.roster.contributors())
    assert run(honest, tmp_path / "sums").columns["rows"]
    load_again(made, "IT", "open")
    mixed = Hub(made, "run0mixed", plan_of(made, {"covariates": [{"measurement": "PC1"}]}))
    roster = mixed.roster().model_dump(mode="json")
    said = {name: mixed.put(name, "analysis-roster", {"roster": roster}).document["refusal"] for name in mixed.nodes}
    assert said["FI"]["rule"] == said["GB"]["rule"] == "mixed-data" and said["IT"] is None


def test_a_list_of_variants_of_ones_own_is_found(whole: AnalysisFederation, tmp_path: Path) -> None:
    """A variant that one node alone has in its list would be summed over that node alone."""
    hub = Hub(whole, "run0lists", whole.plan())
    hub.freeze()
    whole_list = hub.list_variants()
    fewer = ready(whole, "another list", {})
    for node in hub.nodes:
        (hub.nodes[node].folder / "runs" / hub.run / "variants.arrow").unlink()
    for node, kept in (("FI", slice(0, 40)), ("GB", slice(40, 80)), ("IT", slice(40, 80))):
        path = hub.nodes[node].folder / "runs" / hub.run / "variants.arrow"
        type(whole_list)(whole_list.table(kept.start, kept.stop)).write(path)
    with pytest.raises(RunStopped, match="foreign-ask"):
        run(hub, tmp_path / "sums")
    assert fewer.listed == hub.listed


def test_openings_of_another_run_or_block_are_not_taken(whole: AnalysisFederation) -> None:
    """Replays and equivocation: what an opening is of stands in each signature of it."""
    one, other = ready(whole, "replayed one", METHODS["counts"]), ready(whole, "replayed other", METHODS["counts"])
    totals = Ask("column-totals", one.people.statistics)
    first, foreign = one.first_sum(), other.first_sum()
    assert one.begin("FI", 1, totals, foreign)["refusal"]["rule"] in ("foreign-header", "dropped-contribution")
    assert one.begin("FI", 1, totals, first)["refusal"] is None
    for name in ("GB", "IT"):
        assert one.begin(name, 1, totals, first)["refusal"] is None
    second, _ = one.opening(1, totals)
    renamed = second._replace(headers=first.headers)  # an older opening in the place of a newer one
    ask = Ask("counts", (Statistic("n0", bound=1.0),), rows=np.arange(3))
    packed = np.frombuffer(first.packed(), np.uint8)
    document = {"ask": 2, "digest": "0" * 64}
    assert renamed.headers != second.headers
    body = np.frombuffer(pack_ask(ask, one.listed), np.uint8)
    document["digest"] = ask_digest(pack_ask(ask, one.listed))
    answer = one.put("FI", "analysis-ask", document, {"ask": body, "opening.1.0": packed}).document
    assert answer["refusal"]["rule"] in ("dropped-contribution", "foreign-header")
    # Two openings of one block for two nodes: an aggregator would have to sign a second one, and refuses.
    steps = {name: one.step(name, 1, totals) for name in one.nodes}
    changed = {**steps, "GB": one.step("GB", 0, one.people)}
    assert one.aggregate("FI", 1, 0, changed).document["refusal"]["rule"] in ("foreign-header", "split-ask", "second-opening")
    spoilt = second._replace(added=(second.added[0]._replace(words=second.added[0].words + np.uint64(1)), *second.added[1:]))
    answer = one.put(
        "GB", "analysis-ask", document, {"ask": body, "opening.1.0": np.frombuffer(spoilt.packed(), np.uint8)}
    ).document
    assert answer["refusal"]["rule"] == "changed-partial"


def test_last_digits_of_another_processor_pass_and_count_for_nothing(whole: AnalysisFederation) -> None:
    """A difference that is let pass must not be a lever: the node computes with what it has derived."""
    hub = ready(whole, "last digits", METHODS["linear"])
    first = hub.first_sum()
    asks: list[Ask] = []

    class Stop(Exception):
        pass

    class Recorder:
        def sum(self, ask: Ask) -> Sums:
            asks.append(ask)
            if len(asks) == 3:
                raise Stop
            number = len(asks) - 1
            if number:
                for name in hub.nodes:
                    assert hub.begin(name, number, ask, *openings)["refusal"] is None
                openings.append(hub.opening(number, ask)[0])
            place = openings[number].headers[0].place
            return open_sum(openings[number], place, Layout.of(ask.statistics, None, 3), hub.frozen)

        def blocks(self, ask: Ask) -> Iterator[tuple[range, Sums]]:
            raise Stop

    openings = [first]
    with pytest.raises(Stop):
        put_all_asks(hub.plan, hub.frozen.roster, hub.variants, Recorder())
    honest = asks[2]
    changed = {name: array * (1 + ROUNDING / 10) for name, array in honest.broadcast.items() if array.dtype.kind == "f"}
    near = replace(honest, broadcast={**honest.broadcast, **changed})
    assert pack_ask(near) != pack_ask(honest)
    assert hub.begin("FI", 2, near, *openings)["refusal"] is None
    kept = read_ask(hub.nodes["FI"].folder / "runs" / hub.run, 2)
    for name, array in honest.broadcast.items():
        assert np.array_equal(kept.ask.broadcast[name], array)
    assert hub.begin("GB", 2, honest, *openings)["refusal"] is None


def test_arrays_that_are_alike() -> None:
    one = np.array([1.0, -2.0, np.nan, np.inf])
    assert alike({"a": one}, {"a": one * (1 + 1e-9)})
    for other in (one * (1 + 1e-6), np.array([1.0, -2.0, 0.0, np.inf]), np.array([1.0, -2.0, np.nan, -np.inf]), one[:3]):
        assert not alike({"a": one}, {"a": other})
    assert not alike({"a": one}, {"b": one}) and not alike({"a": np.arange(3)}, {"a": np.arange(3.0)})
    assert not alike({"a": np.arange(3)}, {"a": np.array([0, 1, 3])})


def test_a_method_that_has_come_to_its_end_asks_nothing_more(whole: AnalysisFederation) -> None:
    hub = ready(whole, "the end", METHODS["linear"])
    following = DerivedAsks(lambda _summer: None, hub.frozen, hub.listed)
    with pytest.raises(Deviation, match="asks nothing more"):
        following.match(0, pack_ask(hub.people, hub.listed))
    following.close()
    waiting = DerivedAsks(
        lambda summer: count_people(study_of_roster(hub.plan, hub.frozen.roster, hub.variants), summer), hub.frozen, hub.listed
    )
    assert isinstance(waiting.match(0, pack_ask(hub.people, hub.listed)), bytes)
    assert waiting.match(1, pack_ask(hub.people, hub.listed)) == Needs(((0, 0),))
    waiting.close()
