"""A hub with its issuer, people of every role, one of them with a visa, and two members, served from threads, to be walked."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cohelix.access.actor import Role
from cohelix.access.authority import init_authority
from cohelix.access.broker import Broker
from cohelix.access.grants import Grants
from cohelix.access.issuers import NODE_AUDIENCE
from cohelix.access.roles import Roles
from cohelix.access.visa_store import GrantedVisa, VisaStore
from cohelix.db import open_database
from cohelix.hub.app import create_app
from cohelix.hub.identity import open_broker
from cohelix.hub.settings import open_hub_database, read_settings
from cohelix.hub.visas import read_grant
from cohelix.node.app import create_app as create_node
from cohelix.sdk.identity import CONFIG_VARIABLE, Identity, log_in
from cohelix.testing.browser import Browser
from cohelix.testing.federation import running_app, simulated_federation

PASSWORD = "a quiet river of maple leaves"
CONTROLLED = "controlled"
DATASET = "GB:sim"
# Who is walked as: somebody unknown, a researcher who accepted the terms, one with a visa for the guarded data, and people
# with duties at the hub.
ROLES: dict[str, Role | None] = {
    "anonymous": None,
    "researcher": Role.RESEARCHER,
    CONTROLLED: Role.RESEARCHER,
    "reviewer": Role.OUTPUT_REVIEWER,
    "auditor": Role.AUDITOR,
    "operator": Role.HUB_OPERATOR,
    "dac-chair": Role.DAC_CHAIR,
}


@dataclass
class Place:
    """Addresses, the cookies of the sessions of each role, and the login of a program of somebody with a visa."""

    hub: str
    node: str
    cookies: dict[str, str]
    program: Identity

    def headers(self, role: str) -> Callable[[str, str], Mapping[str, str]]:
        """What a browser of this role sends."""
        own = {"cookie": self.cookies[role], "origin": self.hub} if role in self.cookies else {}
        return lambda _method, _url: own

    def at_node(self, method: str, url: str) -> Mapping[str, str]:
        """What a program sends the member with the guarded data, on behalf of somebody with a visa for them."""
        return self.program.authorization(method, url, f"{NODE_AUDIENCE}GB")


@contextmanager
def served(folder: Path, roles: Iterable[str] = tuple(ROLES)) -> Iterator[Place]:
    """The servers, with people of some roles who have logged in; somebody with a visa is always there."""
    wanted = {name: ROLES[name] for name in {*roles, CONTROLLED} if ROLES[name] is not None}
    with simulated_federation(folder, {"FI": "open", "GB": "floored"}) as federation:
        hub, url = federation.folder, federation.hub.url
        federation.hub.stop()
        settings = hub / "hub.toml"
        settings.write_text(settings.read_text(encoding="utf-8") + "\n[broker]\nembedded = true\n", encoding="utf-8")
        engine = open_hub_database(hub)
        broker, given = open_broker(hub, read_settings(hub), engine), Roles(engine)
        for name, role in wanted.items():
            account, _ = broker.accounts.add(name, shown=f"The {name}", researcher=True)
            broker.accounts.set_password(account, PASSWORD)
            if role is not None and role is not Role.RESEARCHER:
                given.grant(role, account.subject, broker.issuer)
            if name == CONTROLLED:
                VisaStore(engine).put(_granted(federation.folders["GB"], url, account.subject))
        federation.nodes["GB"].stop()
        _know_people(federation.folders["GB"], broker)
        with ExitStack() as stack:
            stack.enter_context(running_app(create_app(hub), _again(url)))
            stack.enter_context(running_app(create_node(federation.folders["GB"]), _again(federation.nodes["GB"].url)))
            cookies = {name: _logged_in(url, name) for name in wanted}
            yield Place(url, federation.nodes["GB"].url, cookies, _program(url, folder / "login"))
        engine.dispose()


def _again(url: str) -> socket.socket:
    """The address of a server that has ended, for another one."""
    address = urlsplit(url)
    return socket.create_server((str(address.hostname), int(address.port or 0)), backlog=256)


def _granted(node: Path, hub_url: str, subject: str) -> GrantedVisa:
    """A visa of the member's own committee, as the hub takes it."""
    authority = init_authority(node, authority="GB-DAC", name="A committee", hub_url=hub_url, datasets=(DATASET,))
    now = datetime.now(UTC)
    grant = Grants(open_database(str(node / "node.sqlite"))).grant(
        authority,
        hub_url=hub_url,
        dataset=DATASET,
        subject=subject,
        subject_issuer=f"{hub_url}/broker",
        until=now + timedelta(days=1),
    )
    return read_grant(grant.visa, authorities=[authority.trusted()], hub_url=hub_url, now=now)


def _know_people(node: Path, broker: Broker) -> None:
    """Let a member be asked itself, with tokens of the hub's issuer."""
    secret = node / "issuer.secret"
    secret.touch(mode=0o600)
    secret.write_text(broker.clients.add("node-GB"), encoding="utf-8")
    with (node / "node.toml").open("a", encoding="utf-8") as settings:
        settings.write(f'\n[[trust]]\nissuer = "{broker.issuer}"\nrole = "broker"\njwks = "{broker.issuer}/jwks.json"\n')
        settings.write(f'\n[[issuers]]\nissuer = "{broker.issuer}"\nclient_id = "node-GB"\n')
        settings.write(f'client_secret_file = "{secret.name}"\n')


def _program(url: str, folder: Path) -> Identity:
    """The login of a program, which somebody with a visa has allowed."""
    codes: list[str] = []

    def allow(_seconds: float) -> None:
        with Browser(url) as browser:
            browser.allow_program(codes[0], CONTROLLED, PASSWORD)

    before = os.environ.get(CONFIG_VARIABLE)
    os.environ[CONFIG_VARIABLE] = str(folder)
    try:
        return log_in(url, lambda asked: codes.append(asked.code), sleep=allow)
    finally:
        if before is None:
            del os.environ[CONFIG_VARIABLE]
        else:
            os.environ[CONFIG_VARIABLE] = before


def _logged_in(url: str, name: str) -> str:
    """The cookies of a browser that has logged in."""
    with Browser(url) as browser:
        page = browser.log_in(name, PASSWORD)
        found = "; ".join(f"{cookie}={value}" for cookie, value in browser.cookies.items())
    assert page.status_code == 200 and "cohelix-session" in found, page.text[:2000]
    return found
