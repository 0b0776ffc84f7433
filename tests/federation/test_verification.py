"""`cohelix hub verify`: a hub's kept run is computed again with the run's own method, and a changed table is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from cohelix.analysis.data import ArrayGenotypes, LocalData
from cohelix.analysis.files import TABLE
from cohelix.analysis.variants import VariantList
from cohelix.cli.main import app
from cohelix.core.errors import Conflict
from cohelix.core.variant import parse_variant
from cohelix.db import open_database
from cohelix.db.tables import RUNS
from cohelix.federation.run_store import RunStore, StoredRun, SumStore
from cohelix.federation.run_table import VARIANTS, SettledRun
from cohelix.federation.verification import verify_run
from cohelix.hub.settings import DATABASE_FILE, RUNS_FOLDER, make_hub
from cohelix.testing.sum_parties import RUN, Parties, SecureTestSummer
from cohelix.wire.analysis import Terms
from cohelix.wire.plan import parse_plan, plan_hash

PLAN = {
    "project": "test",
    "datasets": ["CEU:sim", "FI:sim", "GB:sim", "IT:sim"],
    "trait": {"measurement": "height"},
    "covariates": ["sex"],
    "variants": {"region": "22:1-1000"},
    "method": "linear",
}
PEOPLE, LINES = 30, 200


@pytest.fixture
def hub(tmp_path: Path) -> tuple[Path, StoredRun]:
    """A hub's folder with one run that was computed as it should be."""
    folder = tmp_path / "hub"
    make_hub(folder, url="http://127.0.0.1:8000")
    place = folder / RUNS_FOLDER / RUN
    place.mkdir(parents=True)
    variants = VariantList.of([parse_variant(f"22-{number + 1}-A-C") for number in range(LINES)])
    variants.write(place / VARIANTS)
    accepted = plan_hash(parse_plan(PLAN))
    parties = Parties(plan_hash=accepted, terms=Terms(people_bound=32))
    details = {
        "roster": parties.roster.model_dump(mode="json"),
        "signatures": [one.model_dump(mode="json") for one in parties.frozen.signatures],
        "terms": {name: Terms(people_bound=32).model_dump(mode="json") for name in parties.contributors},
    }
    run = StoredRun(RUN, "running", PLAN, accepted, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", details=details)
    engine = open_database(folder / DATABASE_FILE)
    RunStore(engine).add(run, waiting_max=9)
    rng = np.random.default_rng(5)
    data = {
        name: LocalData(
            rng.integers(0, 2, (PEOPLE, 1)).astype(np.float64),
            rng.normal(size=(PEOPLE, 1)),
            ArrayGenotypes(rng.integers(0, 3, (LINES, PEOPLE)).astype(np.float64)),
            place=number,
        )
        for number, name in enumerate(parties.contributors)
    }
    summer = SecureTestSummer(parties, data, variants.digest())
    assert SettledRun(run).compute(summer, variants, place).people == 4 * PEOPLE
    sums = SumStore(engine, place, RUN)
    for ask, block in summer.kept.blocks():
        kept = summer.kept.get(ask, block)
        assert kept is not None
        sums.put(ask, block, *kept)
    engine.dispose()
    return folder, run


def _verify(folder: Path) -> tuple[int, dict[str, object]]:
    said = CliRunner().invoke(app, ["hub", "verify", str(folder), RUN, "--json"])
    return said.exit_code, json.loads(said.stdout)


def test_a_run_as_it_should_be(hub: tuple[Path, StoredRun]) -> None:
    folder, _ = hub
    status, told = _verify(folder)
    assert status == 0 and told["ok"] and told["result"] and told["findings"] == []
    words = CliRunner().invoke(app, ["hub", "verify", str(folder), RUN])
    assert words.exit_code == 0 and "the table follows from them" in words.stdout


def _another_effect(folder: Path) -> None:
    path = folder / RUNS_FOLDER / RUN / TABLE
    table = pl.read_parquet(path)
    table.with_columns(beta=pl.col("beta") * 1.000001).write_parquet(path)


def _another_plan(folder: Path) -> None:
    """The hub says that another plan was run."""
    _rewrite(folder, plan=json.dumps({**PLAN, "transformation": "zscore"}))


def _other_terms(folder: Path) -> None:
    """The hub says that a node gave another bound: it is another roster than the aggregators signed."""
    engine = open_database(folder / DATABASE_FILE)
    details = dict(RunStore(engine).get(RUN).details)
    engine.dispose()
    (own,) = [one for one in details["roster"]["acceptances"] if one["node"] == "FI"]
    own["peopleBound"] = 64
    _rewrite(folder, details=json.dumps(details))


def _rewrite(folder: Path, **columns: str) -> None:
    engine = open_database(folder / DATABASE_FILE)
    with engine.begin() as connection:
        connection.execute(update(RUNS).values(**columns))
    engine.dispose()


def _changed_sum(folder: Path) -> None:
    path = folder / RUNS_FOLDER / RUN / "sums" / "000001"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("deed", "name"),
    [
        (_another_effect, "false-result"),
        (_another_plan, "foreign-plan"),
        (_other_terms, "split-roster"),
        (_changed_sum, "broken-transcript"),
    ],
)
def test_a_run_that_does_not_follow(hub: tuple[Path, StoredRun], deed: Callable[[Path], None], name: str) -> None:
    folder, _ = hub
    deed(folder)
    status, told = _verify(folder)
    (found,) = told["findings"]  # type: ignore[misc]
    assert status == 1 and not told["ok"] and found["member"] == "hub"  # type: ignore[index]
    assert found["name"] == name  # type: ignore[index]
    said = CliRunner().invoke(app, ["hub", "verify", str(folder), RUN])
    assert said.exit_code == 1 and "(hub)" in said.stdout


def test_a_run_without_a_sum_has_nothing_to_check(hub: tuple[Path, StoredRun]) -> None:
    folder, run = hub
    (folder / RUNS_FOLDER / RUN / VARIANTS).unlink()
    with pytest.raises(Conflict, match="nothing to check"):
        verify_run(run, SumStore(open_database(folder / DATABASE_FILE), folder / RUNS_FOLDER / RUN, RUN), folder)
