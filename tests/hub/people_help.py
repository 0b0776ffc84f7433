"""What the tests of identity share: a hub with its embedded issuer behind a real server, and a person with a browser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx

from cohelix.access import accounts
from cohelix.core.clock import Clock
from cohelix.hub.app import create_app
from cohelix.hub.identity import open_broker
from cohelix.hub.settings import make_hub, open_hub_database, read_settings
from cohelix.testing.browser import Browser as AnyBrowser
from cohelix.testing.federation import address_of, free_listener, running_app

# What makes guessing slow makes tests slow; `test_passwords.py` tests the cost that people have.
REAL_COST = accounts.COST
setattr(accounts, "COST", (10, 8, 1))  # noqa: B010
PASSWORD = "a quiet river of maple leaves"


@dataclass
class HubWithPeople:
    """A hub that serves, and the accounts of its issuer with their first passwords."""

    url: str
    folder: Path
    first: dict[str, str] = field(default_factory=dict)

    @property
    def issuer(self) -> str:
        return f"{self.url}/broker"


@contextmanager
def hub_with_people(
    folder: Path, *, toml: str = "", database: str = "", names: Sequence[str] = ("ada",), desk_clock: Clock | None = None
) -> Iterator[HubWithPeople]:
    """A hub whose issuer knows these people: all but `bob` are researchers, all but `new` have a password of their own."""
    listener = free_listener()
    url = address_of(listener)
    make_hub(folder, url=url, name="Test federation")
    path = folder / "hub.toml"
    more = f'database = "{database}"\n' if database else ""
    path.write_text(path.read_text() + more + toml + "\n[broker]\nembedded = true\n", encoding="utf-8")
    broker = open_broker(folder, read_settings(folder), open_hub_database(folder))
    known = HubWithPeople(url, folder)
    for name in names:
        own = None if name == "new" else PASSWORD
        _, known.first[name] = broker.accounts.add(name, shown=f"The {name}", researcher=name != "bob", password=own)
    with running_app(create_app(folder, desk_clock=desk_clock), listener):
        yield known


class Browser(AnyBrowser):
    """A browser whose person has the tests' password."""

    def sign_in(self, name: str, password: str = PASSWORD, *, terms: str = "accept") -> httpx.Response:
        return super().sign_in(name, password, terms=terms)

    def log_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        return super().log_in(name, password)


def parameters(address: str) -> dict[str, str]:
    """The parameters of an address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
