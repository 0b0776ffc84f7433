"""What the tests of identity share: a hub with its embedded issuer behind a real server, and a person with a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx

from cohelix.access import accounts
from cohelix.hub.app import create_app
from cohelix.hub.identity import open_broker
from cohelix.hub.settings import make_hub, open_hub_database, read_settings
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
    folder: Path, *, toml: str = "", database: str = "", names: Sequence[str] = ("ada",)
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
        account, first = broker.accounts.add(name, shown=f"The {name}", researcher=name != "bob")
        known.first[name] = first
        if name != "new":
            broker.accounts.set_password(account, PASSWORD)
    with running_app(create_app(folder), listener):
        yield known


class Browser(httpx.Client):
    """A person's browser as far as cookies, forms and redirects go; follows redirects within the hub only when told."""

    def __init__(self, url: str) -> None:
        super().__init__(base_url=url, follow_redirects=False, trust_env=False, timeout=30)
        self.page: httpx.Response | None = None

    def visit(self, address: str) -> httpx.Response:
        """Open a page, and go where it leads."""
        return self._arrive(self.get(address))

    def submit(self, action: str, origin: str | None = None, **fields: str) -> httpx.Response:
        """Send a form of the page that is open, as its buttons would."""
        assert self.page is not None
        found = re.search(r'name="form_key" value="([^"]*)"', self.page.text)
        given = {"form_key": found[1] if found else "", **fields}
        return self._arrive(self.post(action, data=given, headers={"origin": origin or str(self.base_url).rstrip("/")}))

    def sign_in(self, name: str, password: str = PASSWORD, *, terms: str = "accept") -> httpx.Response:
        """Answer the pages of a sign-in that is open."""
        answer = self.submit("/broker/sign-in", step="password", name=name, password=password)
        if "Terms of registered access" in answer.text:
            answer = self.submit("/broker/sign-in", step="terms", answer=terms)
        return answer

    def log_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        """From the portal's link to being back."""
        self.visit("/login?next=/account")
        return self.sign_in(name, password)

    def _arrive(self, answer: httpx.Response) -> httpx.Response:
        while answer.is_redirect:
            place = answer.headers["location"]
            if place.startswith("http") and urlsplit(place).netloc != self.base_url.netloc.decode():
                return answer
            answer = self.get(place)
        self.page = answer
        return answer


def parameters(address: str) -> dict[str, str]:
    """The parameters of an address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
