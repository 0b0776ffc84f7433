"""Login at an OpenID provider of another kind than our own: strict, RS256, several audiences, no refresh, no passports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from tests.hub.people_help import Browser
from tests.hub.strict_provider import StrictProvider

from cohelix.hub.app import create_app
from cohelix.hub.settings import make_hub
from cohelix.testing.federation import address_of, free_listener, running_app


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StrictProvider]:
    """The provider, and a hub that knows it by discovery alone; both serve."""
    hub, its = free_listener(), free_listener()
    url = address_of(hub)
    folder = tmp_path_factory.mktemp("another") / "hub"
    made = StrictProvider(address_of(its), f"{url}/login/callback")
    make_hub(folder, url=url, name="Federation")
    (folder / "login.secret").write_text(made.secret)
    (folder / "login.secret").chmod(0o600)
    with (folder / "hub.toml").open("a", encoding="utf-8") as file:
        file.write(
            f'[[issuers]]\nissuer = "{made.issuer}"\nclient_id = "{made.client_id}"\nclient_secret_file = "login.secret"\n'
            'scopes = "openid profile email"\n'
        )
    app = FastAPI()
    app.mount("/", made.app())
    with running_app(app, its), running_app(create_app(folder), hub):
        yield made


@pytest.fixture
def issuer(provider: StrictProvider) -> Iterator[StrictProvider]:
    """The provider, as it is at first; a test must not leave a fault."""
    provider.claims = {}
    yield provider
    assert provider.faults == []


def _answer_of(issuer: StrictProvider, here: Browser) -> str:
    """The hub's address with the provider's answer."""
    out = here.get("/login?next=/account")
    with Browser(issuer.url) as there:
        return there.get(out.headers["location"].removeprefix(issuer.url)).headers["location"]


def _hub(issuer: StrictProvider) -> str:
    return issuer.redirect.removesuffix("/login/callback")


def test_a_login_and_what_the_page_says_without_passports_and_refresh(issuer: StrictProvider) -> None:
    with Browser(_hub(issuer)) as here:
        back = _answer_of(issuer, here)
        page = here.visit(back.removeprefix(_hub(issuer)))
        assert page.url.path == "/account" and page.status_code == 200, page.text
        assert "The Visitor" in page.text and issuer.subject in page.text and issuer.issuer in page.text
        assert here.visit("/account").status_code == 200, "the hub's session outlasts an access token that is not renewed"
        assert here.get("/api/v1/datasets").status_code == 200, "without a passport the answer is everybody's"
        assert here.get(back.removeprefix(_hub(issuer))).status_code == 400, "the answer cannot be sent again"
        assert here.submit("/logout").url.path == "/login"


def test_keys_that_were_rotated_at_once_are_found_when_the_hub_may_ask_again(
    issuer: StrictProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cohelix.access.oidc._KEYS_SECONDS", 0.0)
    issuer.rotate()
    with Browser(_hub(issuer)) as here:
        assert here.visit(_answer_of(issuer, here).removeprefix(_hub(issuer))).url.path == "/account"


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["https://portal.example"]},
        {"azp": "https://portal.example"},
        {"iss": "https://elsewhere.example"},
        {"exp": 1_700_000_000},
        {"nonce": "another"},
        {"sub": ""},
    ],
    ids=lambda claims: next(iter(claims)),
)
def test_an_id_token_that_is_not_of_this_login_ends_it(issuer: StrictProvider, claims: dict[str, object]) -> None:
    issuer.claims = claims
    with Browser(_hub(issuer)) as here:
        answer = here.get(_answer_of(issuer, here).removeprefix(_hub(issuer)))
        assert 400 <= answer.status_code < 500
        assert here.visit("/account").url.path == "/login", "nobody is logged in"
