"""Logging in by a browser: real servers, real pages, and what an attacker tries at them."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from tests.hub.people_help import PASSWORD, Browser, HubWithPeople, hub_with_people, parameters

from cohelix.access.accounts import Accounts
from cohelix.access.oidc import Attempt
from cohelix.hub.identity import open_broker
from cohelix.hub.settings import open_hub_database, read_settings

BACK = "https://other.example/back"
_FORMS = re.compile(r"<form[^>]*method=\"post\"[^>]*>(.*?)</form>", re.DOTALL)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubWithPeople]:
    with hub_with_people(tmp_path_factory.mktemp("people") / "hub", names=("ada", "bob")) as running:
        yield running


@pytest.fixture
def browser(hub: HubWithPeople) -> Iterator[Browser]:
    with Browser(hub.url) as one:
        yield one


@pytest.fixture(scope="module")
def other(hub: HubWithPeople) -> tuple[str, str]:
    """Another hub that is a client of this one's issuer: its name and secret."""
    broker = open_broker(hub.folder, read_settings(hub.folder), open_hub_database(hub.folder))
    return "other", broker.clients.add("other", audience="https://other.example", redirects=(BACK,))


def asked(attempt: Attempt, **changes: str | None) -> str:
    """The address at which the other hub has its people log in."""
    usual: dict[str, str | None] = {
        "response_type": "code",
        "client_id": "other",
        "redirect_uri": BACK,
        "scope": "openid profile ga4gh_passport_v1",
        "state": attempt.state,
        "nonce": attempt.nonce,
        "code_challenge": attempt.challenge,
        "code_challenge_method": "S256",
    }
    return "/broker/authorize?" + urlencode({k: v for k, v in (usual | changes).items() if v is not None})


def redeem(hub: HubWithPeople, client: tuple[str, str], code: str, verifier: str, back: str = BACK) -> httpx.Response:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back, "code_verifier": verifier}
    return httpx.post(f"{hub.issuer}/token", data=form, auth=client, trust_env=False, timeout=30)


def code_for(browser: Browser, attempt: Attempt) -> str:
    browser.visit(asked(attempt))
    answer = browser.sign_in("ada")
    found = parameters(answer.headers["location"])
    assert found["state"] == attempt.state and found["iss"].endswith("/broker")
    return found["code"]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_a_person_logs_in_and_out(tmp_path: Path, database: str) -> None:
    given = database if "://" in database else ""
    with hub_with_people(tmp_path / "hub", database=given) as hub, Browser(hub.url) as browser:
        page = browser.log_in("ada")
        assert page.status_code == 200 and page.url.path == "/account", page.text
        assert "The ada" in page.text and "Is a researcher" in page.text and "Has accepted the terms" in page.text
        assert "The ada" in browser.visit("/").text
        browser.visit("/account")
        assert "You are logged out" in browser.submit("/logout").text
        assert ">Log in<" in browser.visit("/").text


def test_the_first_password_must_be_replaced(tmp_path: Path) -> None:
    with hub_with_people(tmp_path / "hub", names=("new",)) as hub, Browser(hub.url) as browser:
        page = browser.log_in("new", hub.first["new"])
        assert "password of your own" in page.text
        for weak in ("short", f"new {'x' * 12}"):
            page = browser.submit("/broker/sign-in", step="new-password", new_password=weak, again=weak)
            assert page.status_code == 400 and 'role="alert"' in page.text
        assert "not the same" in browser.submit("/broker/sign-in", step="new-password", new_password=PASSWORD, again="x").text
        browser.submit("/broker/sign-in", step="terms", answer="accept")  # no step can be left out
        assert "password of your own" in browser.visit("/broker/sign-in").text
        page = browser.submit("/broker/sign-in", step="new-password", new_password=PASSWORD, again=PASSWORD)
        assert "Terms of registered access" in page.text
        page = browser.submit("/broker/sign-in", step="terms", answer="later")
        assert page.url.path == "/account" and "Has accepted" not in page.text
    with Browser(hub.url) as late, pytest.raises(httpx.ConnectError):
        late.visit("/")


def test_discovery_says_what_is_there(hub: HubWithPeople) -> None:
    found = httpx.get(f"{hub.issuer}/.well-known/openid-configuration", trust_env=False).json()
    assert found["issuer"] == hub.issuer and found["code_challenge_methods_supported"] == ["S256"]
    (key,) = httpx.get(found["jwks_uri"], trust_env=False).json()["keys"]
    assert key["alg"] == "ES256" and "d" not in key


def test_a_code_works_once_and_its_login_ends_with_the_second_use(
    hub: HubWithPeople, browser: Browser, other: tuple[str, str]
) -> None:
    attempt = Attempt.new()
    code = code_for(browser, attempt)
    first = redeem(hub, other, code, attempt.verifier)
    assert first.status_code == 200 and first.headers["cache-control"] == "no-store"
    assert redeem(hub, other, code, attempt.verifier).json()["error"] == "invalid_grant"
    form = {"grant_type": "refresh_token", "refresh_token": first.json()["refresh_token"]}
    again = httpx.post(f"{hub.issuer}/token", data=form, auth=other, trust_env=False)
    assert again.json()["error"] == "invalid_grant"


def test_pkce_cannot_be_left_out_or_weakened(hub: HubWithPeople, browser: Browser, other: tuple[str, str]) -> None:
    attempt = Attempt.new()
    plain = {"code_challenge": attempt.verifier, "code_challenge_method": "plain"}
    for changes in (plain, {"code_challenge_method": None}, {"code_challenge": None}, {"code_challenge": "x"}):
        answer = browser.get(asked(attempt, **changes))
        assert answer.headers["location"].startswith(BACK) and "error=invalid_request" in answer.headers["location"]
    code = code_for(browser, attempt)
    for verifier in ("", attempt.challenge, "x" * 43):
        assert redeem(hub, other, code, verifier).json()["error"] == "invalid_grant"


def test_a_code_is_for_one_client_and_one_address(hub: HubWithPeople, browser: Browser, other: tuple[str, str]) -> None:
    attempt = Attempt.new()
    assert redeem(hub, (other[0], "guess"), code_for(browser, attempt), attempt.verifier).status_code == 401
    code = code_for(browser, attempt)
    assert redeem(hub, other, code, attempt.verifier, f"{BACK}/more").json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://other.example.evil.example/back"},
        {"redirect_uri": f"{BACK}/../evil"},
        {"redirect_uri": f"{BACK}?a=b"},
        {"redirect_uri": f"{BACK}#a"},
        {"redirect_uri": "https://OTHER.example/back"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": None},
        {"client_id": "nobody"},
        {"client_id": "cohelix-cli"},
    ],
)
def test_nobody_is_sent_to_an_address_that_is_not_registered(browser: Browser, changes: dict[str, str | None]) -> None:
    answer = browser.get(asked(Attempt.new(), **changes))
    assert answer.status_code == 400 and "location" not in answer.headers


def test_a_parameter_may_not_stand_twice(browser: Browser) -> None:
    doubled = asked(Attempt.new()) + "&" + urlencode({"redirect_uri": "https://evil.example"})
    assert browser.get(doubled).status_code == 400


@pytest.mark.parametrize("where", ["https://evil.example", "//evil.example", "/\\evil.example", "/%09/evil\n", "evil"])
def test_login_leads_back_to_this_server_only(browser: Browser, where: str) -> None:
    browser.visit("/login?" + urlencode({"next": where}))
    page = browser.sign_in("ada")
    assert page.status_code == 200 and page.url.path == "/account" and page.url.host == "127.0.0.1"


def test_a_session_from_before_the_login_is_not_the_one_after_it(hub: HubWithPeople, browser: Browser) -> None:
    planted = "A" * 43
    browser.cookies.set("cohelix-session", planted, domain="127.0.0.1")
    browser.visit("/login?next=/account")
    before = browser.cookies["cohelix-broker"]
    browser.submit("/broker/sign-in", step="password", name="bob", password=PASSWORD)
    assert browser.cookies["cohelix-broker"] != before, "the sign-in's own session changes with the password too"
    browser.submit("/broker/sign-in", step="terms", answer="accept")
    assert dict(browser.cookies)["cohelix-session"] not in ("", planted)
    with Browser(hub.url) as attacker:
        attacker.cookies.set("cohelix-session", planted)
        assert attacker.get("/account").is_redirect


def test_a_logged_out_session_is_gone_for_its_copies_too(hub: HubWithPeople, browser: Browser) -> None:
    browser.log_in("ada")
    with Browser(hub.url) as copy:
        copy.cookies.set("cohelix-session", browser.cookies["cohelix-session"])
        assert copy.get("/account").status_code == 200
        browser.submit("/logout")
        assert copy.get("/account").is_redirect


def test_one_session_ends_another_of_its_person_but_of_nobody_else(hub: HubWithPeople, browser: Browser) -> None:
    browser.log_in("ada")
    with Browser(hub.url) as second, Browser(hub.url) as bobs:
        page = second.log_in("ada")
        bobs.log_in("bob")
        named = re.compile(r'name="session" value="([^"]+)"')
        # Each page names the other sessions: the browser's own is on the second's page and not on its own.
        (handle,) = set(named.findall(page.text)) - set(named.findall(browser.get("/account").text))
        assert bobs.submit("/account/end-session", session=handle).status_code == 404
        assert browser.get("/account").status_code == 200
        second.submit("/account/end-session", session=handle)
        assert second.get("/account").status_code == 200 and browser.get("/account").is_redirect


def test_forms_of_other_sites_change_nothing(hub: HubWithPeople, browser: Browser) -> None:
    page = browser.log_in("ada")
    key = re.search(r'name="form_key" value="([^"]*)"', page.text)
    assert key is not None
    own = {"origin": hub.url}
    tries: list[tuple[dict[str, str], dict[str, str]]] = [
        ({"form_key": key[1]}, {"origin": "https://evil.example"}),
        ({"form_key": key[1]}, {"origin": "null"}),
        ({"form_key": key[1]}, {}),
        ({"form_key": "0" * 64}, own),
        ({"session": "x"}, own),
    ]
    for fields, headers in tries:
        assert browser.post("/logout", data=fields, headers=headers).status_code == 403
    assert browser.post("/logout", json={"form_key": key[1]}, headers=own).status_code == 400
    assert browser.get("/logout").status_code in (404, 405)
    assert browser.get("/account").status_code == 200


def test_every_form_that_changes_something_has_its_key(browser: Browser) -> None:
    pages = [browser.visit("/login?next=/account"), browser.visit("/broker/device"), browser.log_in("ada")]
    forms = [form for page in pages for form in _FORMS.findall(page.text)]
    assert len(forms) >= 4 and all('name="form_key"' in form for form in forms)


def test_a_login_begun_elsewhere_is_not_taken(hub: HubWithPeople, browser: Browser) -> None:
    """Somebody sends a link that would log the reader in as somebody else, or carries a code that was not asked for."""
    with Browser(hub.url) as attacker:
        attacker.visit("/login?next=/account")
        attacker.submit("/broker/sign-in", step="password", name="bob", password=PASSWORD)
        state = Attempt.new().state
        for link in (f"/login/callback?code=x&state={state}&iss={hub.issuer}", "/login/callback?code=x"):
            assert browser.get(link).status_code == 400
    start = browser.get("/login")
    wanted = parameters(start.headers["location"])
    wrong = {"code": "x", "state": wanted["state"], "iss": "https://evil.example"}
    assert browser.get("/login/callback?" + urlencode(wrong)).status_code == 401
    right = {"code": "x", "state": wanted["state"], "iss": hub.issuer}
    assert browser.get("/login/callback?" + urlencode(right)).status_code == 400, "an attempt is good for one answer"


def test_passwords_cannot_be_guessed_for_long(tmp_path: Path) -> None:
    with hub_with_people(tmp_path / "hub") as hub, Browser(hub.url) as browser:
        browser.visit("/login")
        guess = {"step": "password", "name": "ada"}
        said = [browser.submit("/broker/sign-in", **guess, password=f"guess {n}") for n in range(11)]
        assert [one.status_code for one in said] == [400] * 10 + [429]
        assert browser.submit("/broker/sign-in", **guess, password=PASSWORD).status_code == 429, "even the right one waits"
        nobody = browser.submit("/broker/sign-in", step="password", name="nobody", password="x")
        assert (
            "The name or the password is not right" in nobody.text and "The name or the password is not right" in said[0].text
        )


def test_exchange_is_for_clients_with_a_secret_and_tokens_of_their_own(
    hub: HubWithPeople, browser: Browser, other: tuple[str, str]
) -> None:
    attempt = Attempt.new()
    token = redeem(hub, other, code_for(browser, attempt), attempt.verifier).json()["access_token"]
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "requested_token_type": "urn:ga4gh:params:oauth:token-type:passport",
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token": token,
    }

    def exchange(client: tuple[str, str] | None = other, **changes: str) -> httpx.Response:
        return httpx.post(f"{hub.issuer}/token", data=form | changes, auth=client, trust_env=False)

    answer = exchange()
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    assert answer.json()["issued_token_type"] == form["requested_token_type"]
    assert exchange(None).status_code in (400, 401)
    assert exchange(("other", "x")).status_code == 401
    assert exchange(audience="urn:cohelix:node:FI").json()["error"] == "invalid_target"
    assert exchange(subject_token=token[:-4] + "AAAA").json()["error"] == "invalid_request"
    broker = open_broker(hub.folder, read_settings(hub.folder), open_hub_database(hub.folder))
    node = ("node-FI", broker.clients.add("node-FI"))
    assert exchange(node).json()["error"] == "invalid_request", "a node gets nothing for a token that is meant for another"
    assert "ga4gh" not in base64.urlsafe_b64decode(token.split(".")[1] + "==").decode().replace('ga4gh_passport_v1"', "")


def test_a_closed_account_gets_nothing_more(tmp_path: Path) -> None:
    with hub_with_people(tmp_path / "hub", names=("ada", "bob")) as hub, Browser(hub.url) as browser:
        browser.visit("/login?next=/account")
        Accounts(open_hub_database(hub.folder)).close("ada")
        assert browser.sign_in("ada").status_code == 400
        assert browser.sign_in("bob").status_code == 200


def test_cookies_and_headers_keep_others_out(hub: HubWithPeople, browser: Browser) -> None:
    browser.visit("/login")
    answer = browser.post(
        "/broker/sign-in",
        data={"form_key": re.findall(r'name="form_key" value="([^"]*)"', browser.page.text)[0], "step": "password"},  # type: ignore[union-attr]
        headers={"origin": hub.url},
    )
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy and "form-action 'self'" in policy and "frame-ancestors 'none'" in policy
    start = browser.get("/login").headers["set-cookie"].lower()
    assert "httponly" in start and "samesite=lax" in start


def test_challenges_are_of_sha_256() -> None:
    attempt = Attempt.new()
    assert attempt.challenge == base64.urlsafe_b64encode(hashlib.sha256(attempt.verifier.encode()).digest()).decode().rstrip(
        "="
    )
