"""Signatures hold for what was signed and for nothing else; the RFC's vectors and the PyPI library agree with us."""

from __future__ import annotations

import base64
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, MappingKeyResolver
from http_message_signatures.algorithms import ED25519
from http_message_signatures.structures import CaseInsensitiveDict
from hypothesis import given
from hypothesis import strategies as st

from cohelix.core.errors import Conflict, Damaged, NotAuthentic, NotFound
from cohelix.federation.signing import (
    Identity,
    NonceCache,
    check_answer,
    check_request,
    content_digest,
    create_identity,
    load_identity,
    public_key,
    sign_answer,
    sign_request,
    signature_base,
    signature_of,
)

URL = "https://fi.example/federation/v1/frequency"
BODY = b'{"hello": "world"}'
# RFC 9421, appendix B.1.4 and B.2.6.
RFC_KEY = b"""-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF
-----END PRIVATE KEY-----
"""
RFC_SIGNATURE = "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="


def test_rfc_9421_ed25519_vector() -> None:
    base = signature_base(
        [
            ('"date"', "Tue, 20 Apr 2021 02:07:55 GMT"),
            ('"@method"', "POST"),
            ('"@path"', "/foo"),
            ('"@authority"', "example.com"),
            ('"content-type"', "application/json"),
            ('"content-length"', "18"),
        ],
        '("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"',
    )
    key = load_pem_private_key(RFC_KEY, None)
    assert isinstance(key, Ed25519PrivateKey)
    assert base64.b64encode(key.sign(base)).decode() == RFC_SIGNATURE


def test_rfc_9530_digest_vector() -> None:
    assert content_digest(BODY) == "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"


def _resolver(identity: Identity) -> MappingKeyResolver:
    raw = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(identity.public + "="))
    return MappingKeyResolver(public_keys={identity.public: raw}, private_keys={identity.public: identity.private})


def _message(headers: dict[str, str], **more: object) -> SimpleNamespace:
    return SimpleNamespace(headers=CaseInsensitiveDict(headers), **more)


def test_the_library_accepts_our_messages(make_identity: Callable[[str], Identity]) -> None:
    hub, node = make_identity("hub"), make_identity("node")
    signed = sign_request(hub, method="POST", url=URL, body=BODY)
    request = _message(signed, method="POST", url=URL)
    found = HTTPMessageVerifier(signature_algorithm=ED25519, key_resolver=_resolver(hub)).verify(
        request, body=BODY, require_components=("@method", "@target-uri", "content-type", "content-digest")
    )
    assert len(found) == 1
    answered = sign_answer(node, status=200, body=b"{}", to=signature_of(signed))
    answer = _message(answered, status_code=200, request=request)
    found = HTTPMessageVerifier(signature_algorithm=ED25519, key_resolver=_resolver(node)).verify(
        answer, body=b"{}", require_components=("@status", '"signature";req;key="cohelix"')
    )
    assert found[0].body == b"{}"


def test_we_accept_the_librarys_messages(make_identity: Callable[[str], Identity]) -> None:
    hub = make_identity("hub")
    request = _message({"content-type": "application/json"}, method="POST", url=URL)
    HTTPMessageSigner(signature_algorithm=ED25519, key_resolver=_resolver(hub)).sign(
        request,
        key_id=hub.public,
        label="cohelix",
        nonce="n-1",
        tag="cohelix-request-1",
        covered_component_ids=("@method", "@target-uri", "content-type", "content-digest"),
        body=BODY,
    )
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert check_request(headers, method="POST", url=URL, body=BODY, keys=[hub.public]).nonce == "n-1"


def test_a_changed_request_is_refused(make_identity: Callable[[str], Identity]) -> None:
    hub, other = make_identity("hub"), make_identity("other")
    signed = sign_request(hub, method="POST", url=URL, body=BODY)

    def check(headers: dict[str, str], method: str = "POST", url: str = URL, body: bytes = BODY, key: Identity = hub) -> None:
        check_request(headers, method=method, url=url, body=body, keys=[key.public])

    check(signed)
    changed = {
        "no signature": {name: value for name, value in signed.items() if name != "signature"},
        "no input": {name: value for name, value in signed.items() if name != "signature-input"},
        "other type": {**signed, "content-type": "text/plain"},
        "other digest": {**signed, "content-digest": content_digest(b"{}")},
        "two signatures": {**signed, "signature": f"{signed['signature']}, {signed['signature']}"},
        "covers less": {**signed, "signature-input": signed["signature-input"].replace(' "content-digest"', "")},
        "other tag": {**signed, "signature-input": signed["signature-input"].replace("request-1", "answer-1")},
        "other algorithm": {**signed, "signature-input": signed["signature-input"].replace("ed25519", "hmac-sha256")},
        "parameter twice": {**signed, "signature-input": signed["signature-input"] + ";created=1"},
        "later": {**signed, "signature-input": signed["signature-input"].replace(";created=1", ";created=2", 1)},
        "signature of zeros": {**signed, "signature": f"cohelix=:{'A' * 86}==:"},
        "long": {**signed, "signature-input": signed["signature-input"] + ' ;x="' + "a" * 2000 + '"'},
    }
    for what, headers in changed.items():
        with pytest.raises(NotAuthentic):
            check(headers)
            pytest.fail(what)
    for wrong in ({"method": "PUT"}, {"url": URL + "?x=1"}, {"body": b"{}"}, {"key": other}):
        with pytest.raises(NotAuthentic):
            check(signed, **wrong)


def test_an_answer_belongs_to_one_request(make_identity: Callable[[str], Identity]) -> None:
    hub, node = make_identity("hub"), make_identity("node")
    first = signature_of(sign_request(hub, method="POST", url=URL, body=BODY))
    second = signature_of(sign_request(hub, method="POST", url=URL, body=BODY))
    assert first != second
    answer = sign_answer(node, status=200, body=b"{}", to=first)
    check_answer(answer, status=200, body=b"{}", to=first, keys=[node.public])
    for wrong in ({"to": second}, {"status": 403}, {"body": b"[]"}, {"keys": [hub.public]}):
        given_to = {"status": 200, "body": b"{}", "to": first, "keys": [node.public], **wrong}
        with pytest.raises(NotAuthentic):
            check_answer(answer, **given_to)


@pytest.mark.parametrize(("seconds", "holds"), [(0, True), (59, True), (-59, True), (62, False), (-62, False), (10**8, False)])
def test_clocks_may_differ_by_a_minute(
    make_identity: Callable[[str], Identity], clock: object, seconds: int, holds: bool
) -> None:
    hub = make_identity("hub")
    signed = sign_request(hub, method="POST", url=URL, body=BODY)
    clock.off = timedelta(seconds=seconds)
    if holds:
        check_request(signed, method="POST", url=URL, body=BODY, keys=[hub.public], clock=clock)
    else:
        with pytest.raises(NotAuthentic, match="clock"):
            check_request(signed, method="POST", url=URL, body=BODY, keys=[hub.public], clock=clock)


def test_a_nonce_is_spent_once_and_then_forgotten(make_identity: Callable[[str], Identity], clock: object) -> None:
    hub = make_identity("hub")
    cache = NonceCache(size_max=2, clock=clock)

    def fresh() -> object:
        signed = sign_request(hub, method="POST", url=URL, body=BODY, clock=clock)
        return check_request(signed, method="POST", url=URL, body=BODY, keys=[hub.public], clock=clock)

    one, two = fresh(), fresh()
    cache.spend(one)
    cache.spend(two)
    with pytest.raises(NotAuthentic, match="already"):
        cache.spend(one)
    with pytest.raises(NotAuthentic, match="too many"):
        cache.spend(fresh())
    clock.off = timedelta(seconds=130)
    cache.spend(fresh())


def test_processes_of_one_server_and_a_restart_share_the_nonces(
    make_identity: Callable[[str], Identity], clock: object, tmp_path: Path
) -> None:
    hub = make_identity("hub")
    one, other = (NonceCache(tmp_path / "nonces.sqlite", clock=clock) for _ in range(2))
    signed = sign_request(hub, method="POST", url=URL, body=BODY, clock=clock)
    checked = check_request(signed, method="POST", url=URL, body=BODY, keys=[hub.public], clock=clock)
    one.spend(checked)
    for cache in (other, NonceCache(tmp_path / "nonces.sqlite", clock=clock)):
        with pytest.raises(NotAuthentic, match="already"):
            cache.spend(checked)


@given(st.text(max_size=300), st.text(max_size=120))
def test_what_a_stranger_writes_is_refused_in_words(signature_input: str, signature: str) -> None:
    headers = {"signature-input": "cohelix=" + signature_input, "signature": "cohelix=" + signature}
    with pytest.raises(NotAuthentic):
        check_request(headers, method="POST", url=URL, body=b"", keys=[])


def test_an_identity_is_kept_private_and_never_overwritten(tmp_path: Path) -> None:
    made = create_identity(tmp_path)
    assert stat.S_IMODE((tmp_path / "identity").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "identity" / "key.pem").stat().st_mode) == 0o600
    assert load_identity(tmp_path).public == made.public == public_key(made.public)
    assert "PRIVATE" not in repr(made)
    with pytest.raises(Conflict):
        create_identity(tmp_path)
    (tmp_path / "identity" / "key.pem").write_text("no key")
    with pytest.raises(Damaged):
        load_identity(tmp_path)
    with pytest.raises(NotFound):
        load_identity(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "x", "A" * 42, "A" * 44, "é" * 43, "A" * 42 + "!"])
def test_a_public_key_is_read_strictly(text: str) -> None:
    with pytest.raises(NotAuthentic):
        public_key(text)
