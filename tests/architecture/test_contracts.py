"""The house stands on its floors: import contracts, and tools that check as strictly as agreed."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import cohelix.core


def test_import_contracts_hold(repository: Path) -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    ended = subprocess.run([lint, "--no-cache"], cwd=repository, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-3000:]


def test_every_room_has_a_subject_in_its_first_line(repository: Path) -> None:
    package = repository / "src" / "cohelix"
    silent = []
    for path in package.rglob("*.py"):
        first = path.read_text(encoding="utf-8").lstrip().splitlines()[:1]
        if not first or not first[0].startswith('"""'):
            silent.append(str(path.relative_to(package)))
    assert not silent, f"modules whose first line does not say their subject: {silent}"


def test_the_type_checker_is_strict_and_contracts_are_on(repository: Path) -> None:
    settings = tomllib.loads((repository / "pyproject.toml").read_text())
    assert settings["tool"]["mypy"]["strict"] is True
    assert settings["tool"]["mypy"]["packages"] == ["cohelix"]
    loosened = {
        option
        for override in settings["tool"]["mypy"].get("overrides", [])
        for option in override
        if option not in ("module", "ignore_missing_imports", "disallow_untyped_decorators")
    }
    assert not loosened, f"mypy is loosened by {loosened}"
    names = {contract["name"] for contract in settings["tool"]["importlinter"]["contracts"]}
    assert {
        "The house stands on its floors",
        "No circles, at any depth",
        "Only the apps mount routes",
        "Only the bank opens the stores",
        "The numeric core touches no disk, network or database",
        "Web frameworks stay in the doorways",
    } <= names
    layers = next(c for c in settings["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    assert layers["exhaustive"] is True
    rules = set(settings["tool"]["ruff"]["lint"]["select"])
    assert {"E", "F", "I", "N", "UP", "B", "PTH", "PL", "RUF", "ASYNC"} <= rules


def test_core_leans_on_the_standard_library_and_numpy_only() -> None:
    """A fresh interpreter that imports the whole core has loaded nothing else."""
    folder = Path(cohelix.core.__file__).parent
    modules = ["cohelix.core." + path.stem for path in folder.glob("*.py") if path.stem != "__init__"]
    script = (
        f"import sys; before = set(sys.modules); import {', '.join(modules)};"
        "roots = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(','.join(sorted(roots - set(sys.stdlib_module_names) - {'numpy', 'cohelix'})))"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    assert said == ""
