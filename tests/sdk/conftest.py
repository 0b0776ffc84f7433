"""One small federation for all tests of the client: FI open, GB floored, IT closed, simulated people."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cohelix.testing.federation import RunningFederation, simulated_federation


@pytest.fixture(scope="session")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFederation]:
    with simulated_federation(tmp_path_factory.mktemp("federation")) as running:
        yield running
