"""Logging in by a browser: real servers, real pages, and what an attacker tries at them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.hub.people_help import Browser, HubWithPeople, hub_with_people


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubWithPeople]:
    with hub_with_people(tmp_path_factory.mktemp("people") / "hub") as running:
        yield running


def test_a_person_logs_in_and_out(hub: HubWithPeople) -> None:
    with Browser(hub.url) as browser:
        page = browser.log_in("ada")
        assert page.status_code == 200 and page.url.path == "/account", page.text
        assert "The ada" in page.text and "Is a researcher" in page.text and "Has accepted the terms" in page.text
        assert "The ada" in browser.visit("/").text
        browser.visit("/account")
        assert "You are logged out" in browser.submit("/logout").text
        assert "Log in" in browser.visit("/").text
