"""A hub with its issuer, people of every role and two members, served from threads, to be walked."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from cohelix.access.actor import Role
from cohelix.access.roles import Roles
from cohelix.hub.app import create_app
from cohelix.hub.identity import open_broker
from cohelix.hub.settings import open_hub_database, read_settings
from cohelix.testing.federation import running_app, simulated_federation

PASSWORD = "a quiet river of maple leaves"
# Who is walked as: somebody unknown, a researcher who accepted the terms, and people with duties at the hub.
ROLES: dict[str, Role | None] = {
    "anonymous": None,
    "researcher": Role.RESEARCHER,
    "reviewer": Role.OUTPUT_REVIEWER,
    "auditor": Role.AUDITOR,
    "operator": Role.HUB_OPERATOR,
    "dac-chair": Role.DAC_CHAIR,
}


@dataclass
class Place:
    """Addresses, and the cookies of the sessions of each role."""

    hub: str
    node: str
    cookies: dict[str, str]

    def headers(self, role: str) -> Callable[[str, str], Mapping[str, str]]:
        """What a browser of this role sends."""
        own = {"cookie": self.cookies[role], "origin": self.hub} if role in self.cookies else {}
        return lambda _method, _url: own


@contextmanager
def served(folder: Path) -> Iterator[Place]:
    """The servers, with people who have logged in."""
    with simulated_federation(folder, {"FI": "open", "GB": "floored"}) as federation:
        hub, url = federation.folder, federation.hub.url
        federation.hub.stop()
        settings = hub / "hub.toml"
        settings.write_text(settings.read_text(encoding="utf-8") + "\n[broker]\nembedded = true\n", encoding="utf-8")
        engine = open_hub_database(hub)
        broker, roles = open_broker(hub, read_settings(hub), engine), Roles(engine)
        for name, role in ROLES.items():
            if role is not None:
                account, _ = broker.accounts.add(name, shown=f"The {name}", researcher=True)
                broker.accounts.set_password(account, PASSWORD)
                if role is not Role.RESEARCHER:
                    roles.grant(role, account.subject, f"{url}/broker")
        address = urlsplit(url)
        listener = socket.create_server((str(address.hostname), int(address.port or 0)), backlog=256)
        with running_app(create_app(hub), listener):
            cookies = {name: _logged_in(url, name) for name, role in ROLES.items() if role is not None}
            yield Place(url, federation.nodes["GB"].url, cookies)
        engine.dispose()


def _logged_in(url: str, name: str) -> str:
    """The cookies of a browser that has logged in."""
    with httpx.Client(base_url=url, trust_env=False, timeout=30, follow_redirects=True) as browser:
        page = browser.get("/login", params={"next": "/account"})
        for fields in ({"step": "password", "name": name, "password": PASSWORD}, {"step": "terms", "answer": "accept"}):
            key = re.search(r'name="form_key" value="([^"]*)"', page.text)
            form = {"form_key": key[1] if key else "", **fields}
            page = browser.post("/broker/sign-in", data=form, headers={"origin": url})
        found = "; ".join(f"{cookie}={value}" for cookie, value in browser.cookies.items())
    assert page.status_code == 200 and "cohelix-session" in found, page.text[:2000]
    return found
