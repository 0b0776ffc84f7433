"""A hub whose people log in at an issuer of somebody else, which it knows by discovery alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.hub.people_help import PASSWORD, Browser, hub_with_people

from cohelix.core.errors import BadUsage
from cohelix.hub.app import create_app
from cohelix.hub.identity import open_broker
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
