"""Five Safes and records of processing: what events and runs say, to whom it may be said, and files that run nothing."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from tests.access.test_applications import Desk
from typer.testing import CliRunner

from cohelix.access.application_store import ApplicationStore
from cohelix.access.applications import Acting
from cohelix.cli.main import app
from cohelix.core.errors import Conflict
from cohelix.core.spreadsheet import cell
from cohelix.federation.run_store import RunStore, StoredRun
from cohelix.hub.reports import decisions_of, five_safes, processing_csv, processing_records
from cohelix.hub.settings import make_hub, open_hub_database
from cohelix.wire.applications import Identity


def _desk() -> Desk:
    desk = Desk()
    desk.submit()
    desk.grant(["FI:a"])
    desk.decide("IT:c")
    desk.ask("vetoed", "ncp-IT", dataset="IT:c", reason='=HYPERLINK("http://x")')
    desk.ask("suspended", "ncp-FI", dataset="FI:a", reason="A complaint.")
    return desk


def test_decisions_have_their_reasons_and_votes_stay_inside() -> None:
    desk = _desk()
    assert desk.state is not None
    told = decisions_of(desk.state, desk.events, "FI:a")
    assert [(one["event"], one["reason"]) for one in told] == [
        ("decided", "sound"),
        ("confirmed", None),
        ("granted", None),
        ("suspended", "A complaint."),
    ]
    report = five_safes("A-1", desk.state, desk.events, records={})
    assert [line["stage"] for line in report["data"]] == ["suspended", "open", "vetoed"]
    assert report["people"]["signedBy"] == ["official (https://hub.example/broker)"]
    assert "voted" not in str(report) and report["outputs"] == []


def test_outputs_are_the_analyses_of_its_people_over_its_data(tmp_path: Path) -> None:
    desk = _desk()
    assert desk.state is not None
    make_hub(tmp_path / "hub", url="http://127.0.0.1:1")
    runs = RunStore(open_hub_database(tmp_path / "hub"))
    somebody = {"subject": "somebody", "issuer": "https://hub.example/broker"}
    for name, who, datasets in (
        ("mine", desk.state.applicant.model_dump(), ["FI:a", "GB:x"]),
        ("elsewhere", desk.state.applicant.model_dump(), ["GB:x"]),
        ("others", somebody, ["FI:a"]),
        ("nobody", None, ["FI:a"]),
    ):
        plan = {"project": "p", "method": "linear", "datasets": datasets}
        details = {"proposer": who} if who else {}
        run = StoredRun(name, "queued", plan, "0" * 64, "2026-02-02T00:00:00Z", "2026-02-03T00:00:00Z", details=details)
        runs.add(run, waiting_max=10)
    report = five_safes("A-1", desk.state, desk.events, records={}, runs=runs)
    assert [one["run"] for one in report["outputs"]] == ["mine"]


def test_records_of_processing_run_nothing_in_a_spreadsheet() -> None:
    desk = _desk()
    assert desk.state is not None
    rows = processing_records([("A-1", desk.state, desk.events)], {})
    read = list(csv.DictReader(io.StringIO(processing_csv(rows))))
    assert [(one["dataset"], one["stage"]) for one in read] == [("FI:a", "suspended"), ("FI:b", "open"), ("IT:c", "vetoed")]
    assert read[0]["ends_at"] and read[0]["safeguards"] and not read[1]["safeguards"]
    assert "vetoed: =HYPERLINK" in read[2]["reasons"]
    assert not any(value.startswith(("=", "+", "-", "@")) for one in read for value in one.values())


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@A1", "\t=1", "\n=1", " =1", "＝1"])
def test_no_text_is_a_formula(text: str) -> None:
    assert str(cell(text)).startswith("'")
    assert cell("plain text") == "plain text" and cell(7) == 7


def test_the_operator_writes_them_to_new_files(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    make_hub(folder, url="http://127.0.0.1:1")
    store = ApplicationStore(open_hub_database(folder))
    identifier, _ = store.create(Acting(Identity(subject="researcher", issuer="https://hub.example/broker")), {"title": "T"})
    said = CliRunner().invoke(app, ["hub", "report", str(folder), "--application", identifier], catch_exceptions=False)
    assert '"title": "T"' in said.stdout
    out = tmp_path / "p.csv"
    assert CliRunner().invoke(app, ["hub", "processing", str(folder), "--out", str(out)], catch_exceptions=False).exit_code == 0
    assert out.read_text().startswith("application,dataset,")
    with pytest.raises(Conflict):
        CliRunner().invoke(app, ["hub", "processing", str(folder), "--out", str(out)], catch_exceptions=False)
