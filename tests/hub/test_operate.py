"""The operators' page of the hub: for people with the duty alone, members and backlog, and nobody's question."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from tests.hub.people_help import Browser, HubWithPeople, hub_with_people

from cohelix.access.actor import Role
from cohelix.access.roles import Roles
from cohelix.federation.registry import Registry
from cohelix.hub.identity import open_broker
from cohelix.hub.settings import open_hub_database, read_settings


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubWithPeople]:
    with hub_with_people(tmp_path_factory.mktemp("operate") / "hub", names=("ada", "bob")) as running:
        engine = open_hub_database(running.folder)
        broker = open_broker(running.folder, read_settings(running.folder), engine)
        [subject] = [one.subject for one in broker.accounts.all() if one.name == "ada"]
        Roles(engine).grant(Role.HUB_OPERATOR, subject, running.issuer)
        Registry(running.folder).invite("FI", hub_url=running.url, hub_key="x" * 43)
        yield running


def test_operators_see_how_the_hub_is(hub: HubWithPeople) -> None:
    ada = Browser(hub.url)
    ada.log_in("ada")
    assert '"/operate"' in ada.get("/account").text
    page = ada.visit("/operate")
    assert page.status_code == 200 and "Results that wait for their check" in page.text
    told = ada.get("/api/v1/operation").json()
    assert told["service"] == "hub" and told["members"] == [
        {"id": "FI", "name": "", "state": "invited", "dialsOut": False, "lastSeen": None, "silent": False}
    ]
    assert {one["what"]: one["number"] for one in told["backlog"]} == {"runs": 0, "reviews": 0, "decisions": 0, "mails": 0}
    assert told["log"]["size"] >= 1 and told["datasets"] == []


def test_nobody_else_does(hub: HubWithPeople) -> None:
    bob = Browser(hub.url)
    bob.log_in("bob")
    assert bob.get("/operate").status_code == 403 and bob.get("/api/v1/operation").status_code == 403
    assert '"/operate"' not in bob.get("/account").text
    assert httpx.get(f"{hub.url}/api/v1/operation", trust_env=False).status_code == 401
    assert "cohelix_application_clocks_passed" not in httpx.get(f"{hub.url}/metrics", trust_env=False).text
    brought = {"authorization": f"Bearer {(hub.folder / 'metrics.token').read_text().strip()}"}
    assert "cohelix_application_clocks_passed 0" in httpx.get(f"{hub.url}/metrics", headers=brought, trust_env=False).text
    sent = httpx.get(f"{hub.url}/operate", trust_env=False)
    assert sent.status_code == 303 and sent.headers["location"].endswith("/login?next=/operate")
