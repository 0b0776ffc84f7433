"""Access tokens and proofs of a key that are signed as they should be: what they say, and proofs that come again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

from cohelix.access.dpop import verify_dpop
from cohelix.core.errors import NotAuthentic
from validation.tokens.world import METHOD, NOW, URL, Case, World, b64, jwk_of


def cases(world: World) -> Iterator[Case]:
    """All of them."""
    yield from _token_claims(world)
    yield from _proofs(world)
    yield from _replays(world)


def _token_claims(world: World) -> Iterator[Case]:
    def case(name: str, right: bool, **claims: Any) -> Case:
        token = world.draft("access token").change(**claims).text
        return Case(f"access token: {name}", "access token", right, partial(world.holds, "access token", token), token)

    yield case("holds ga4gh_passport_v1", False, ga4gh_passport_v1=[])
    yield case("holds ga4gh_visa_v1", False, ga4gh_visa_v1={})
    yield case("scope names the passport", True, scope="openid ga4gh_passport_v1")
    yield case("scope is a number", False, scope=7)
    yield case("cnf is a text", False, cnf="x")
    yield case("cnf missing: whether that is allowed is the door's", True, cnf=...)
    for kind in ("passport", "visa", "proof"):
        token = world.draft(kind).text
        yield Case(
            f"access token: a {kind} in its place", "access token", False, partial(world.holds, "access token", token), token
        )
    for kind in ("access token", "visa", "proof"):
        token = world.draft(kind).text
        yield Case(f"passport: a {kind} in its place", "passport", False, partial(world.holds, "passport", token))
    for kind in ("access token", "visa", "passport"):
        token = world.draft(kind).text
        yield Case(f"proof: a {kind} in its place", "proof", False, partial(world.holds, "proof", token))


def _prove(proof: str, **asked: Any) -> bool:
    given: dict[str, Any] = {"method": METHOD, "url": URL, "now": NOW, "first": lambda _key, _seconds: True} | asked
    try:
        verify_dpop(proof, **given)
    except NotAuthentic:
        return False
    return True


def _proofs(world: World) -> Iterator[Case]:
    def case(
        name: str, right: bool, asked: dict[str, Any] | None = None, header: dict[str, Any] | None = None, **claims: Any
    ) -> Case:
        proof = world.draft("proof").change(header=header, **claims).text
        return Case(f"proof: {name}", "proof", right, partial(_prove, proof, **asked or {}), proof)

    for said in ("POST", "get", "Get", " GET", "", None, 7, ["GET"], ...):
        yield case(f"htm {said!r}", False, htm=said)
    for name, said, right in (
        ("scheme and host in capitals", "HTTPS://NODE.EXAMPLE/beacon/v2/g_variants", True),
        ("with the port of https", URL.replace(".example", ".example:443"), True),
        ("with a query", f"{URL}?x=1", True),
        ("with a fragment", f"{URL}#x", True),
        ("path in capitals", URL.replace("beacon", "BEACON"), False),
        ("http", URL.replace("https", "http"), False),
        ("another port", URL.replace(".example", ".example:8443"), False),
        ("another host", URL.replace("node.example", "evil.example"), False),
        ("a host that begins so", URL.replace(".example", ".example.evil"), False),
        ("another path", URL.replace("g_variants", "individuals"), False),
        ("a longer path", f"{URL}/x", False),
        ("a slash at the end", f"{URL}/", False),
        ("path alone", "/beacon/v2/g_variants", False),
        ("empty", "", False),
        ("null", None, False),
        ("a number", 7, False),
        ("a list", [URL], False),
        ("missing", ..., False),
        ("a port that is none", URL.replace(".example", ".example:x"), False),
        ("brackets that do not close", "https://[::1/x", False),
        ("dots", URL.replace("/v2/", "/v2/x/../"), False),
    ):
        yield case(f"htu {name}", right, htu=said)
    token, other = world.draft("access token").text, world.draft("access token").text
    ath = b64(hashlib.sha256(token.encode()).digest())
    yield case("of the token", True, {"access_token": token}, ath=ath)
    for name, said in {
        "missing": ...,
        "null": None,
        "empty": "",
        "of another token": b64(hashlib.sha256(other.encode()).digest()),
        "in hex": hashlib.sha256(token.encode()).hexdigest(),
        "padded": f"{ath}=",
        "cut": ath[:-1],
        "a number": 7,
        "letters of no alphabet": "é" * 43,
    }.items():
        yield case(f"ath {name}", False, {"access_token": token}, ath=said)
    yield case("ath where no token was sent", True, ath=ath)
    own = world.draft("access token").claims["cnf"]["jkt"]
    yield case("of the key that the token is bound to", True, {"jkt": own})
    yield case("of another key than the token's", False, {"jkt": b64(hashlib.sha256(b"x").digest())})
    yield case("the token is bound to nothing", False, {"jkt": ""})
    yield case("the server's nonce", True, {"nonce": "n1"}, nonce="n1")
    for said in (..., "n2", "", None, ["n1"], "N1"):
        yield case(f"nonce {said!r} for n1", False, {"nonce": "n1"}, nonce=said)
    yield case("a nonce that nobody asked for", True, nonce="n9")
    for name, said in {
        "missing": ...,
        "null": None,
        "empty": "",
        "a number": 7,
        "a list": ["d1"],
        "too long": "x" * 256,
    }.items():
        yield case(f"jti {name}", False, jti=said)
    yield case("jti of 255 letters", True, jti="x" * 255)
    device, stranger = jwk_of(world.device["es"]), jwk_of(world.stranger["es"])
    secret = b64((7).to_bytes(32, "big"))
    for name, jwk in {
        "a stranger's": stranger,
        "missing": ...,
        "null": None,
        "a text": "x",
        "a list": [device],
        "empty": {},
        "with its private half": {**device, "d": secret},
        "symmetric": {"kty": "oct", "k": secret},
        "no point of the curve": {**device, "y": device["x"]},
        "of no curve": {**device, "crv": "P-257"},
        "without y": {"kty": "EC", "crv": "P-256", "x": device["x"]},
        "of a longer curve": jwk_of(world.weak["p384"]),
        "Ed25519": {"kty": "OKP", "crv": "Ed25519", "x": secret},
        "kty that nobody knows": {**device, "kty": "XX"},
        "kty missing": {"crv": "P-256", "x": device["x"], "y": device["y"]},
        "x a number": {**device, "x": 7},
        "x that is no base64url": {**device, "x": "!!!"},
        "1024-bit RSA": jwk_of(world.weak["weak"]),
        "point at infinity": {**device, "x": b64(bytes(32)), "y": b64(bytes(32))},
    }.items():
        yield case(f"jwk {name}", False, header={"jwk": jwk})
    small = world.draft("proof", "rs").change(header={"jwk": jwk_of(world.weak["weak"])})
    small.key = world.weak["weak"]
    yield Case("proof: by a 1024-bit key", "proof", False, partial(_prove, small.text), small.text)
    plain = world.draft("proof").change(header={"jwk": {**device, "kid": "x", "use": "sig", "alg": "ES256"}}).text
    yield Case("proof: jwk with kid, use and alg", "proof", True, partial(_prove, plain), plain)


def _replays(world: World) -> Iterator[Case]:
    """Each of these is asked several times; the verdict is the last one's."""

    def twice(*proofs: tuple[str, dict[str, Any]]) -> Callable[[], bool]:
        def judge() -> bool:
            seen: set[str] = set()

            def first(key: str, _seconds: int) -> bool:
                new = key not in seen
                seen.add(key)
                return new

            return [_prove(proof, first=first, **asked) for proof, asked in proofs][-1]

        return judge

    one, again = world.draft("proof").text, world.draft("proof").text
    other = world.draft("proof").change(jti="d2").text
    rsa = world.draft("proof", "rs").text
    late = {"now": NOW + timedelta(seconds=30)}
    for name, proofs, right in (
        ("the same twice", [(one, {}), (one, {})], False),
        ("the same half a minute later", [(one, {}), (one, late)], False),
        ("the same jti signed anew", [(one, {}), (again, {})], False),
        ("another jti", [(one, {}), (other, {})], True),
        ("the same jti of another key", [(one, {}), (rsa, {})], True),
        ("once refused, then right", [(one, {"method": "POST"}), (one, {})], True),
        ("for another node first", [(one, {"url": "https://other.example/"}), (one, {})], True),
        ("at another node after", [(one, {}), (one, {"url": "https://other.example/"})], False),
        ("with another method after", [(one, {}), (one, {"method": "POST"})], False),
        ("a minute and a second later", [(one, {"now": NOW + timedelta(seconds=61)})], False),
    ):
        yield Case(f"replay: {name}", "proof", right, twice(*proofs))
