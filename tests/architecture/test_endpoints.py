"""Every endpoint of node and hub has its place in docs/reference, and the promised ones are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi import FastAPI

from cohelix.hub import make_hub
from cohelix.hub.app import create_app as create_hub
from cohelix.node import init_node
from cohelix.node.app import create_app as create_node
from validation.processes import said

OPERATIONS = {"/healthz", "/readyz", "/metrics", "/service-info"}
BEACON = (
    "",
    "info",
    "service-info",
    "configuration",
    "map",
    "entry_types",
    "filtering_terms",
    "analyses",
    "biosamples",
    "cohorts",
    "datasets",
    "g_variants",
    "individuals",
    "runs",
)
PREFIXES = ("/beacon/v2", "/federation/v1")


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FastAPI]:
    folder = tmp_path_factory.mktemp("apps")
    assert callable(init_node) and callable(make_hub)
    assert said("node", "init", folder / "node", "--id", "A", "--name", "A", "--country", "FI").status == 0
    assert said("hub", "init", folder / "hub", "--url", "http://127.0.0.1:1").status == 0
    return {"node": create_node(folder / "node"), "hub": create_hub(folder / "hub")}


@pytest.fixture(scope="module")
def reference(repository: Path) -> str:
    return "\n".join(page.read_text() for page in sorted((repository / "docs" / "reference").glob("*.md")))


@pytest.mark.parametrize("which", ["node", "hub"])
def test_every_endpoint_is_in_the_reference(apps: dict[str, FastAPI], reference: str, which: str) -> None:
    missing = [path for path in apps[which].openapi()["paths"] if not _mentioned(path, reference)]
    assert not missing


def _mentioned(path: str, text: str) -> bool:
    """The path as it is, or, under a prefix that has a page of its own, what follows the prefix."""
    ways = [path, *(path.removeprefix(prefix) for prefix in PREFIXES if path.startswith(prefix))]
    for way in ways:
        named = way.strip("/").split("/{")[0].split("/")[-1]
        pattern = re.sub(r"\\{[^}]*\\}", r"[^/`\\s]+", re.escape(way.rstrip("/") or "/"))
        if re.search(pattern + r"[/`\s?|,)…]", text) or (way != path and re.search(rf"\b{re.escape(named)}\b", text)):
            return True
    return False


def test_the_promised_endpoints_are_there(apps: dict[str, FastAPI]) -> None:
    node, hub = (set(apps[which].openapi()["paths"]) for which in ("node", "hub"))
    assert node >= OPERATIONS and hub >= OPERATIONS
    assert {path.rstrip("/") for path in node} >= {f"/beacon/v2/{name}".rstrip("/") for name in BEACON}
    assert any(path.startswith("/beacon/v2") for path in hub)
    assert "/api/v1/frequency/{variant}" in hub
    assert any(path.startswith("/service-registry/") for path in hub)
