"""A hub whose people log in at an issuer of somebody else, which it knows by discovery alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from tests.hub.people_help import PASSWORD, Browser, hub_with_people

from cohelix.access.issuers import IssuerSettings
from cohelix.access.oidc import Issuer
from cohelix.core.errors import BadUsage
from cohelix.hub.app import create_app
from cohelix.hub.identity import open_broker
from cohelix.hub.login import verified_address
from cohelix.hub.settings import make_hub, open_hub_database, read_settings
from cohelix.testing.federation import address_of, free_listener, running_app


def test_people_log_in_at_a_foreign_issuer(tmp_path: Path) -> None:
    listener = free_listener()
    url = address_of(listener)
    folder = tmp_path / "second"
    make_hub(folder, url=url, name="Second federation")
    with hub_with_people(tmp_path / "hub") as issuer:
        broker = open_broker(issuer.folder, read_settings(issuer.folder), open_hub_database(issuer.folder))
        secret = broker.clients.add("second-hub", audience=url, redirects=(f"{url}/login/callback",))
        (folder / "login.secret").write_text(secret)
        (folder / "login.secret").chmod(0o600)
        toml = f'[[issuers]]\nissuer = "{issuer.issuer}"\nclient_id = "second-hub"\nclient_secret_file = "login.secret"\n'
        with (folder / "hub.toml").open("a", encoding="utf-8") as file:
            file.write(toml)
        with running_app(create_app(folder), listener), Browser(url) as here, Browser(issuer.url) as there:
            out = here.get("/login?next=/account")
            there.visit(out.headers["location"].removeprefix(issuer.url))
            there.submit("/broker/sign-in", step="password", name="ada", password=PASSWORD)
            back = there.submit("/broker/sign-in", step="terms", answer="accept").headers["location"]
            assert back.startswith(f"{url}/login/callback?")
            page = here.visit(back.removeprefix(url))
            assert page.url.path == "/account" and "The ada" in page.text and "Has accepted the terms" in page.text
            assert here.visit("/broker/.well-known/openid-configuration").status_code == 404, "its own issuer is off"
            assert here.get(back.removeprefix(url)).status_code == 400, "the answer cannot be sent again"
        broker.clients.remove("second-hub")


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    make_hub(folder, url="http://127.0.0.1:1")
    (folder / "login.secret").write_text("x")
    (folder / "login.secret").chmod(0o644)
    with (folder / "hub.toml").open("a", encoding="utf-8") as file:
        file.write('[[issuers]]\nissuer = "https://id.example"\nclient_id = "x"\nclient_secret_file = "login.secret"\n')
    with pytest.raises(BadUsage, match="chmod 600"):
        create_app(folder)


@pytest.mark.parametrize(
    ("claims", "userinfo", "address"),
    [
        ({"email": "a@b.example", "email_verified": True}, {}, "a@b.example"),
        ({"email": "a@b.example", "email_verified": False}, {}, ""),
        ({"email": "a@b.example", "email_verified": "true"}, {}, ""),
        ({"email": "a@b.example"}, {"email": "c@d.example", "email_verified": True}, ""),
        ({}, {"sub": "ada", "email": "c@d.example", "email_verified": True}, "c@d.example"),
        ({}, {"sub": "eve", "email": "c@d.example", "email_verified": True}, ""),
        ({}, {"error": "server_error"}, ""),
        ({"email": "a@b.example\r\nBcc: x@y.example", "email_verified": True}, {}, ""),
        ({"email": ["a@b.example"], "email_verified": True}, {}, ""),
    ],
)
def test_an_address_is_kept_that_the_issuer_was_asked_for_and_has_verified(
    claims: dict[str, Any], userinfo: dict[str, Any], address: str
) -> None:
    url = "https://id.example"

    async def discovery(_request: Request) -> JSONResponse:
        names = ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint")
        return JSONResponse({"issuer": url, **{name: f"{url}/{name}" for name in names}})

    async def told(_request: Request) -> JSONResponse:
        return JSONResponse(userinfo, 500 if "error" in userinfo else 200)

    app = Starlette(routes=[Route("/.well-known/openid-configuration", discovery), Route("/userinfo_endpoint", told)])

    async def found(scopes: str) -> str:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
            issuer = Issuer(IssuerSettings(issuer=url, client_id="hub", scopes=scopes), "secret", http=client)
            return await verified_address(issuer, "token", {"sub": "ada", **claims})

    assert asyncio.run(found("openid email")) == address
    assert asyncio.run(found("openid")) == ""
