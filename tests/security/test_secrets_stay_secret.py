"""Planted secrets: passwords, cookies, tokens, keys and addresses of databases stand in no log line, error text or figure."""

from __future__ import annotations

import base64
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from tests.hub.people_help import PASSWORD, Browser

from cohelix.federation.signing import load_identity
from cohelix.hub.identity import open_broker
from cohelix.hub.settings import open_hub_database, read_settings
from cohelix.testing.processes import free_port
from validation.processes import COMMAND, Served, done

PLANTED = "planted-" + secrets.token_urlsafe(24)


class _Place:
    """A hub with an issuer and a member, served by processes that log everything; and whatever they answered."""

    def __init__(self, folder: Path, hub: str, node: str) -> None:
        self.folder, self.hub, self.node = folder, hub, node
        self.said: list[str] = []
        self.secrets = {PLANTED, PASSWORD}

    def keep(self, answer: httpx.Response) -> httpx.Response:
        if answer.status_code >= 400:
            self.said.append(f"{answer.status_code} {answer.headers} {answer.text}")
        return answer

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in self.folder.glob("*.serve.log"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Place]:
    folder = tmp_path_factory.mktemp("secrets")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    done("hub", "init", folder / "hub", "--url", url)
    settings = folder / "hub" / "hub.toml"
    settings.write_text(settings.read_text() + "accept_bearer = true\n\n[broker]\nembedded = true\n")
    broker = open_broker(folder / "hub", read_settings(folder / "hub"), open_hub_database(folder / "hub"))
    account, first = broker.accounts.add("ada", shown="A researcher", researcher=True)
    broker.accounts.set_password(account, PASSWORD)
    done("node", "init", folder / "FI", "--id", "FI", "--name", "FI", "--country", "FI")
    before = os.environ.get("COHELIX_LOG_LEVEL")
    os.environ["COHELIX_LOG_LEVEL"] = "debug"
    os.environ["COHELIX_PLANTED"] = PLANTED  # a secret of somebody else in the server's environment
    try:
        with ExitStack() as stack:
            stack.enter_context(Served("hub", folder / "hub", port))
            node = stack.enter_context(Served("node", folder / "FI"))
            token = done("hub", "invite", folder / "hub", "--member", "FI").out.strip()
            done("node", "join", folder / "FI", token, "--url", node.url)
            made = _Place(folder, url, node.url)
            made.secrets |= {first, token, _kernel_of(token)}
            for name in ("hub", "FI"):
                raw = load_identity(folder / name).private.private_bytes_raw()
                made.secrets |= {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode().rstrip("="), raw.hex()}
            yield made
    finally:
        del os.environ["COHELIX_PLANTED"]
        os.environ.pop("COHELIX_LOG_LEVEL")
        if before is not None:
            os.environ["COHELIX_LOG_LEVEL"] = before


def _kernel_of(token: str) -> str:
    """The secret within an invitation."""
    from cohelix.federation.registry import read_token

    return read_token(token).secret


def test_no_secret_stands_in_a_log_or_an_answer(place: _Place) -> None:
    with Browser(place.hub) as person:
        place.keep(person.visit("/login?next=/account"))
        place.keep(person.sign_in("ada", PLANTED))  # a wrong password is somebody's right one elsewhere
        place.keep(person.log_in("ada"))
        place.secrets |= {value for value in person.cookies.values() if len(value) > 15}
        place.keep(person.get("/api/v1/me"))
        place.keep(person.post("/api/v1/analyses", json={"project": PLANTED}))
    with httpx.Client(trust_env=False, timeout=30) as client:
        for base in (place.hub, place.node):
            for path in (
                "/api/v1/me",
                "/beacon/v2/g_variants",
                "/api/v1/visas",
                "/federation/v1/join",
                "/federation/v1/datasets",
            ):
                for kind in ("Bearer", "DPoP", "Basic"):
                    headers = {"authorization": f"{kind} {PLANTED}", "dpop": PLANTED, "cookie": f"cohelix-session={PLANTED}"}
                    place.keep(client.get(base + path, headers=headers))
                    body = {"token": PLANTED, "passport": PLANTED, "visa": PLANTED, "key": PLANTED, "protocol": PLANTED}
                    place.keep(client.post(base + path, headers=headers, json=body))
            place.keep(client.get(f"{base}/login/callback", params={"code": PLANTED, "state": PLANTED}))
            form = {"grant_type": "authorization_code", "code": PLANTED, "client_secret": PLANTED, "client_id": "x"}
            place.keep(client.post(f"{base}/broker/token", data=form))
            token = (place.folder / ("hub" if base == place.hub else "FI") / "metrics.token").read_text().strip()
            place.secrets.add(token)
            place.said.append(client.get(f"{base}/metrics", headers={"authorization": f"Bearer {token}"}).text)
    logs = place.logs()
    assert len(logs.splitlines()) > 60 and '"level":"debug"' in logs
    assert len(place.said) > 20
    for secret in place.secrets:
        assert secret not in logs
        # A validation may echo what is no secret by its kind, never what stood in a header, a cookie or a token's place.
        assert not [text for text in place.said if secret in text]
    assert not re.search(r"BEGIN [A-Z ]*PRIVATE KEY", logs)


def test_a_databases_password_is_not_told(tmp_path: Path) -> None:
    """A PostgreSQL that is not there, with a password in its address."""
    import subprocess

    done("hub", "init", tmp_path / "hub", "--url", "http://127.0.0.1:1")
    settings = tmp_path / "hub" / "hub.toml"
    settings.write_text(settings.read_text() + f'database = "postgresql+psycopg://ada:{PLANTED}@127.0.0.1:1/cohelix"\n')
    for words in (("hub", "serve", str(tmp_path / "hub"), "--port", "0"), ("doctor", str(tmp_path / "hub"), "--json")):
        ended = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False, timeout=60)
        assert ended.returncode != 0
        assert PLANTED not in ended.stdout + ended.stderr, words
