"""TLS 1.3 and mutual TLS: a hub, a member that it dials and one that dials out, certificates of a private authority."""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from cryptography import x509

from cohelix.testing.processes import free_port
from validation.certificates import Authority
from validation.processes import Served, done, said

_MEMBERS = ("FI", "GB")


class _Place(NamedTuple):
    folder: Path
    authority: Authority
    hub: str
    node: str

    def client(self, own: str | None = None) -> ssl.SSLContext:
        """A visitor's context; with a member's name its certificate is shown."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        if own:
            context.load_cert_chain(self.folder / own / "tls.pem", self.folder / own / "tls.key")
        return context


def _secured(place: Path, authority: Authority) -> None:
    """Give a folder a certificate, and settings that name it."""
    authority.sign(place / "tls.pem", place / "tls.key", place.name)
    settings = place / ("hub.toml" if (place / "hub.toml").exists() else "node.toml")
    (place / "ca.pem").write_bytes(authority.certificate.read_bytes())
    words = 'tls_certificate = "tls.pem"\ntls_key = "tls.key"\ntls_ca = "ca.pem"\ntls_mutual = true\n'
    settings.write_text(words + settings.read_text())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Place]:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder / "authority", "members")
    port = free_port()
    done("hub", "init", folder / "hub", "--url", f"https://127.0.0.1:{port}")
    for name in _MEMBERS:
        done("node", "init", folder / name, "--id", name, "--name", name, "--country", name)
    for name in ("hub", *_MEMBERS):
        _secured(folder / name, authority)
    with ExitStack() as stack:
        hub = stack.enter_context(Served("hub", folder / "hub", port))
        node = stack.enter_context(Served("node", folder / "FI"))
        stack.enter_context(Served("node", folder / "GB"))
        for name, road in (("FI", ("--url", node.url)), ("GB", ("--dial-out",))):
            token = done("hub", "invite", folder / "hub", "--member", name).out.strip()
            done("node", "join", folder / name, token, *road)
        yield _Place(folder, authority, hub.url, node.url)


def test_members_ask_each_other_with_certificates(place: _Place) -> None:
    deadline = time.monotonic() + 20
    while True:  # the member that dials out looks for its hub once a second
        nodes = httpx.get(f"{place.hub}/api/v1/datasets", verify=place.client(), trust_env=False).json()["nodes"]
        found = {one["node"]: one["status"] for one in nodes}
        if found == {"FI": "answered", "GB": "answered"} or time.monotonic() > deadline:
            break
        time.sleep(0.3)
    assert found == {"FI": "answered", "GB": "answered"}, nodes


@pytest.mark.parametrize("which", ["hub", "node"])
def test_a_visitor_needs_no_certificate_and_comes_back_over_tls_only(place: _Place, which: str) -> None:
    url = {"hub": place.hub, "node": place.node}[which]
    assert url.startswith("https://")
    answer = httpx.get(f"{url}/beacon/v2/info", verify=place.client(), trust_env=False)
    assert answer.status_code == 200
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


@pytest.mark.parametrize("which", ["hub", "node"])
def test_members_addresses_want_a_certificate(place: _Place, which: str) -> None:
    url = {"hub": f"{place.hub}/federation/v1/join", "node": f"{place.node}/federation/v1/datasets"}[which]
    refused = httpx.post(url, json={}, verify=place.client(), trust_env=False)
    assert refused.status_code == 403 and "tls_mutual" in refused.json()["detail"]
    assert refused.headers["x-request-id"]
    # With a certificate the road is open, and the signature is asked for as ever.
    let_in = httpx.post(url, json={}, verify=place.client("FI"), trust_env=False)
    assert let_in.status_code in (400, 401) and "tls_mutual" not in let_in.text


def test_a_certificate_of_another_authority_ends_the_connection(place: _Place, tmp_path: Path) -> None:
    Authority(tmp_path, "strangers").sign(tmp_path / "tls.pem", tmp_path / "tls.key", "FI")
    context = place.client()
    context.load_cert_chain(tmp_path / "tls.pem", tmp_path / "tls.key")
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{place.node}/healthz", verify=context, trust_env=False)


@pytest.mark.parametrize("which", ["hub", "node"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_nothing_older_than_tls_1_3_is_spoken(place: _Place, which: str, version: ssl.TLSVersion) -> None:
    context = place.client()
    context.minimum_version = context.maximum_version = version
    url = httpx.URL({"hub": place.hub, "node": place.node}[which])
    with socket.create_connection((url.host, url.port or 0), timeout=10) as plain:
        if version is ssl.TLSVersion.TLSv1_3:
            with context.wrap_socket(plain, server_hostname=url.host) as connection:
                assert connection.version() == "TLSv1.3"
        else:
            with pytest.raises(ssl.SSLError):
                context.wrap_socket(plain, server_hostname=url.host)


def _serial(place: _Place, url: str) -> int:
    address = httpx.URL(url)
    with (
        socket.create_connection((address.host, address.port or 0), timeout=10) as plain,
        place.client().wrap_socket(plain, server_hostname=address.host) as connection,
    ):
        return x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"").serial_number


def test_a_certificate_is_renewed_while_the_server_runs(place: _Place) -> None:
    own = place.folder / "FI"
    before = _serial(place, place.node)
    kept = (own / "tls.pem").read_bytes(), (own / "tls.key").read_bytes()
    (own / "tls.pem").write_text("this is no certificate")
    time.sleep(1.1)
    assert _serial(place, place.node) == before  # what cannot be read changes nothing
    (own / "tls.pem").write_bytes(kept[0])
    renewed = place.authority.sign(own / "tls.pem", own / "tls.key", "FI")
    time.sleep(1.1)
    assert _serial(place, place.node) == renewed != before
    nodes = httpx.get(f"{place.hub}/api/v1/datasets", verify=place.client(), trust_env=False).json()["nodes"]
    assert {one["node"]: one["status"] for one in nodes}["FI"] == "answered"
    log = (place.folder / "FI.serve.log").read_text()
    assert "certificate renewed" in log and "the one before stays" in log
    assert not re.search(r"BEGIN [A-Z ]*PRIVATE KEY", log)


def test_a_hub_that_is_not_of_the_authority_is_not_joined(place: _Place, tmp_path: Path) -> None:
    done("node", "init", tmp_path / "IT", "--id", "IT", "--name", "IT", "--country", "IT")
    token = done("hub", "invite", place.folder / "hub", "--member", "IT").out.strip()
    ended = said("node", "join", tmp_path / "IT", token, "--url", "https://127.0.0.1:1")
    assert ended.status == 5 and "no hub answers" in ended.err


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("tls_certificate = 'tls.pem'", "set together"),
        ("tls_mutual = true", "needs tls_certificate"),
        ("tls_certificate = 'a'\ntls_key = 'b'\ntls_mutual = true", "needs tls_ca"),
        ("tls_certificate = 'a'\ntls_key = 'b'", "no certificate chain"),
    ],
)
def test_half_a_setting_is_refused_before_anything_is_served(tmp_path: Path, lines: str, words: str) -> None:
    done("node", "init", tmp_path / "n", "--id", "FI", "--name", "FI", "--country", "FI")
    settings = tmp_path / "n" / "node.toml"
    settings.write_text(f"{lines}\n{settings.read_text()}")
    ended = said("node", "serve", tmp_path / "n", "--port", "0", "--json")
    assert ended.status == 2 and words in ended.err, json.dumps(ended.err)
