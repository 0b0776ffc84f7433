"""Logging in a program: device flow, kept tokens, silent renewal, and tokens that are of no use without their key."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey
from tests.hub.people_help import Browser, HubWithPeople, hub_with_people

import cohelix
from cohelix.core.errors import IssuerRefused, NotAuthentic
from cohelix.sdk.identity import CONFIG_VARIABLE, Asked, Identity, identity_of, log_in, make_proof
from cohelix.testing.commands import Command


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubWithPeople]:
    with hub_with_people(tmp_path_factory.mktemp("people") / "hub", names=("ada", "bob")) as running:
        yield running


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "config"))
    return tmp_path / "config"


def answer_device(hub: HubWithPeople, asked: Asked, answer: str = "allow", name: str = "ada") -> httpx.Response:
    """What a person does with a code: types it, signs in, compares, presses a button."""
    with Browser(hub.url) as browser:
        browser.visit("/broker/device")
        page = browser.submit("/broker/device", user_code=asked.code.lower().replace("-", " "))
        assert "Sign in" in page.text, page.text
        page = browser.sign_in(name)
        assert asked.code in page.text and "cohelix-cli" in page.text
        return browser.submit("/broker/sign-in", step="device", answer=answer)


def logged_in(hub: HubWithPeople, name: str = "ada") -> Identity:
    """A login whose person is quick: the program asks once, when the page was answered."""
    asked: list[Asked] = []
    return log_in(hub.url, asked.append, sleep=lambda _: answer_device(hub, asked[0], name=name) and None)


def post(address: str, form: dict[str, str], **headers: str) -> httpx.Response:
    return httpx.post(address, data=form, headers=headers, trust_env=False, timeout=30)


def test_a_program_asks_as_its_person(hub: HubWithPeople, config: Path) -> None:
    identity = logged_in(hub)
    assert identity.name == "The ada" and identity.issuer == hub.issuer
    (kept,) = config.rglob("*.json")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    with cohelix.connect(hub.url) as client:
        me = client.me()
    assert me.name and me.subject == identity.subject and me.way == "token"
    assert {visa.kind for visa in me.visas} == {"ResearcherStatus", "AcceptedTermsAndPolicies"}
    with cohelix.Client(hub.url, identity=None) as nobody, pytest.raises(NotAuthentic):
        nobody.me()


def test_tokens_are_renewed_in_silence_and_a_copy_ends_the_login(hub: HubWithPeople, config: Path) -> None:
    identity = logged_in(hub)
    (kept,) = config.rglob("*.json")

    def grow_old() -> dict[str, Any]:
        document: dict[str, Any] = json.loads(kept.read_text())
        document["access"][hub.url]["ends_at"] = 0
        kept.write_text(json.dumps(document))
        return document

    stolen = grow_old()
    with cohelix.connect(hub.url) as client:
        assert client.me().subject == identity.subject
    assert json.loads(kept.read_text())["refresh"] != stolen["refresh"]
    grow_old()
    kept.write_text(json.dumps(stolen))  # somebody with a copy of the file, an hour later
    with pytest.raises(NotAuthentic, match=r"has ended; run `cohelix login --hub http"):
        cohelix.connect(hub.url).me()
    kept.write_text(json.dumps({**grow_old(), "refresh": "x"}))
    with pytest.raises(NotAuthentic, match="has ended"):
        cohelix.connect(hub.url).me()


def test_a_login_is_denied_on_the_page(hub: HubWithPeople, config: Path) -> None:
    asked: list[Asked] = []
    with pytest.raises(IssuerRefused) as refused:
        log_in(hub.url, asked.append, sleep=lambda _: answer_device(hub, asked[0], "deny") and None)
    assert refused.value.error == "access_denied" and identity_of(hub.url) is None


def test_polling_too_fast_is_told_and_codes_end(hub: HubWithPeople) -> None:
    key = ECKey.generate_key("P-256")
    begin, token = f"{hub.issuer}/device_authorization", f"{hub.issuer}/token"
    form = {"client_id": "cohelix-cli", "scope": "openid"}
    begun = post(begin, form, dpop=make_proof(key, "POST", begin)).json()
    poll = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": begun["device_code"]} | form

    def error(**changes: str) -> str:
        return str(post(token, poll | changes, dpop=make_proof(key, "POST", token)).json()["error"])

    assert [error(), error()] == ["authorization_pending", "slow_down"]
    assert error(device_code="x" * 43) == "invalid_grant"
    thief = make_proof(ECKey.generate_key("P-256"), "POST", token)
    assert post(token, poll, dpop=thief).json()["error"] == "invalid_grant"
    assert post(token, poll).json()["error"] == "invalid_dpop_proof"
    asked = Asked("", "", begun["user_code"], 0)
    answer_device(hub, asked)
    with Browser(hub.url) as browser:  # a user code is good for one answer
        browser.visit("/broker/device")
        assert "No program waits" in browser.submit("/broker/device", user_code=asked.code).text
    first = post(token, poll, dpop=make_proof(key, "POST", token)).json()
    assert first["token_type"] == "DPoP" and error() == "invalid_grant"
    refresh = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"], "client_id": "cohelix-cli"}
    again = post(token, refresh, dpop=make_proof(key, "POST", token))
    assert again.json()["error"] == "invalid_grant", "a device code that is used twice ends its login"


def test_user_codes_cannot_be_guessed_for_long(tmp_path: Path) -> None:
    with hub_with_people(tmp_path / "hub", names=()) as hub, Browser(hub.url) as browser:
        browser.visit("/broker/device")
        said = [
            browser.submit("/broker/device", user_code=f"BBBB-BBB{letter}").status_code for letter in "BCDFGHJKLMNPQRSTVWXZBCD"
        ]
        assert said == [400] * 20 + [429] * 3


def test_a_stolen_access_token_is_of_no_use(hub: HubWithPeople, config: Path) -> None:
    identity = logged_in(hub)
    token, me = identity.access_token(), f"{hub.url}/api/v1/me"
    other = ECKey.generate_key("P-256")

    def status(scheme: str = "DPoP", **headers: str) -> int:
        given = {"authorization": f"{scheme} {token}", **headers}
        return httpx.get(me, headers=given, trust_env=False).status_code

    good = identity.proof("GET", me, token)
    assert status(dpop=good) == 200
    assert status(dpop=good) == 401, "a proof works once"
    assert status("Bearer") == 401
    assert status("Bearer", dpop=identity.proof("GET", me, token)) == 401
    assert status() == 401
    assert status(dpop=make_proof(other, "GET", me, token)) == 401
    assert status(dpop=identity.proof("POST", me, token)) == 401
    assert status(dpop=identity.proof("GET", f"{hub.url}/api/v1/members", token)) == 401
    assert status(dpop=identity.proof("GET", me, "another")) == 401
    assert status(dpop=identity.proof("GET", me)) == 401
    node_token = identity.access_token("urn:cohelix:node:FI")
    headers = {"authorization": f"DPoP {node_token}", "dpop": identity.proof("GET", me, node_token)}
    assert httpx.get(me, headers=headers, trust_env=False).status_code == 401, "a token for a node is none for the hub"


def test_the_command_line_logs_in_without_a_terminal(hub: HubWithPeople, config: Path) -> None:
    environment = {**os.environ, CONFIG_VARIABLE: str(config)}

    def start(*words: str) -> Command:
        return Command([*words, "--hub", hub.url, "--json"], environment=environment)

    nobody = start("whoami")
    assert "cohelix login --hub" in nobody.communicate()[1] and nobody.returncode == 3
    login = start("login")
    told = json.loads(login.stderr.readline())  # type: ignore[union-attr]
    answer_device(hub, Asked(told["address"], "", told["code"], 0), name="bob")
    said = json.loads(login.communicate(timeout=60)[0])
    assert login.returncode == 0 and said["name"] == "The bob"
    me = json.loads(start("whoami").communicate()[0])
    assert [visa["kind"] for visa in me["visas"]] == ["AcceptedTermsAndPolicies"]
    assert json.loads(start("logout").communicate()[0]) == {"hub": hub.url, "loggedOut": True}
    assert not list(config.rglob("*.json"))


def test_programs_renew_one_login_at_the_same_time(hub: HubWithPeople, config: Path) -> None:
    logged_in(hub)
    (kept,) = config.rglob("*.json")
    document = json.loads(kept.read_text())
    document["access"] = {}
    kept.write_text(json.dumps(document))
    found: list[str] = []
    programs = [threading.Thread(target=lambda: found.append(Identity(kept).access_token())) for _ in range(4)]
    for program in programs:
        program.start()
    for program in programs:
        program.join()
    assert len(found) == 4 and len(set(found)) == 1, "one renews, the others take what it got"
    assert time.time() < json.loads(kept.read_text())["access"][hub.url]["ends_at"]
