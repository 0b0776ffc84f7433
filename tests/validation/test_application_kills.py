"""A sample of `validation/application_kills`: no acknowledged event, and no notice of one, is lost or doubled by SIGKILL."""

from __future__ import annotations

from pathlib import Path

from validation.application_kills.kill import run


def test_no_acknowledged_event_is_lost_or_doubled(tmp_path: Path) -> None:
    found = run(tmp_path / "hub.db", 15, seed=7)
    assert len(found) == 15 and all(one.good and one.notices for one in found), found
    assert any(0 < one.kept < 15 for one in found), found
