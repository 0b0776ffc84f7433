"""The hub's catalogue over members that answer, and one that does not: who decides, of which country, and advice."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from tests.portal.conftest import Stage

from cohelix.access.duo import Advice, Investigation, Purpose
from cohelix.federation.questions import Federation
from cohelix.federation.registry import Registry
from cohelix.hub.application_pages import FederationCatalogue


def test_members_say_who_decides_and_the_registry_of_which_country(
    stage: Stage, app_registry: Registry, wire: SimpleNamespace
) -> None:
    duo = [{"code": "DS", "diseases": ["MONDO:1"]}, {"code": "NCU"}]
    said: dict[str, Any] = wire.record("FI:geuvadis", authority="FI-dac", duo=duo)
    stage.play("FI", [], [said])
    stage.lose("IT", "unreachable", "no route")

    async def ask() -> None:
        catalogue = FederationCatalogue(Federation(app_registry, stage, deadline_seconds=0.5))
        decided = await catalogue.decided_by(["FI:geuvadis", "IT:geuvadis", "XX:unknown"])
        assert decided == {"FI:geuvadis": ("FI-dac", "FI"), "IT:geuvadis": (None, "IT"), "XX:unknown": (None, None)}
        record = (await catalogue.records())["FI:geuvadis"]
        assert (record.country, record.authority) == ("FI", "FI-dac")
        genetic = frozenset({Investigation.GENETIC})
        same = catalogue.advise(record, Purpose(genetic, ("MONDO:1",), commercial=False))
        other = catalogue.advise(record, Purpose(genetic, ("MONDO:2",), commercial=True))
        assert [one.advice for one in same.findings] == [Advice.APPROVE, Advice.APPROVE]
        # Without an ontology nobody knows whether one disease is a kind of another: people review it.
        assert [one.advice for one in other.findings] == [Advice.REVIEW, Advice.DENY]

    asyncio.run(ask())
