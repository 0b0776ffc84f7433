"""A hub's folder is its own and private; its settings are read strictly; it starts without what only nodes need."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cohelix.core.errors import BadFile, BadUsage, CohelixError, Conflict, NotFound
from cohelix.hub import make_hub, read_settings


def test_a_hubs_folder(tmp_path: Path) -> None:
    made = make_hub(tmp_path / "hub", url="https://Hub.example/", name='A "name" — with signs')
    assert read_settings(tmp_path / "hub") == made
    assert (made.url, made.private_addresses) == ("https://hub.example", False)
    assert stat.S_IMODE((tmp_path / "hub").stat().st_mode) == 0o700
    with pytest.raises(Conflict):
        make_hub(tmp_path / "hub", url="https://hub.example")
    for url in ("http://127.0.0.1:8000", "http://10.0.0.5", "http://localhost:1", "http://[::1]:80"):
        assert make_hub(tmp_path / url.replace("/", "_"), url=url).private_addresses


def test_the_environment_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_hub(tmp_path, url="http://127.0.0.1:8000")
    monkeypatch.setenv("COHELIX_HUB_DEADLINE_SECONDS", "1.5")
    assert read_settings(tmp_path).deadline_seconds == 1.5


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("url = ", BadFile),
        ('url = "http://127.0.0.1"\nunknown = 1', BadUsage),
        ('url = "http://127.0.0.1"\ndeadline_seconds = 0', BadUsage),
        ('name = "no url"', BadUsage),
    ],
)
def test_a_wrong_setting_is_said_so(tmp_path: Path, text: str, kind: type[CohelixError]) -> None:
    (tmp_path / "hub.toml").write_text(text)
    with pytest.raises(kind, match=r"hub\.toml"):
        read_settings(tmp_path)
    with pytest.raises(NotFound):
        read_settings(tmp_path / "nowhere")


def test_a_hub_starts_without_kernels_and_stores() -> None:
    code = "import sys, cohelix.hub.app; assert not {'numba', 'pyarrow', 'polars', 'cohelix.bank'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
