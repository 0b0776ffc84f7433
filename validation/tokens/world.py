"""The world of the corpus: issuers with keys, the trust list, honest documents, and how each kind is judged.

Tokens are put together from bytes here, with `cryptography` alone, so that anything can be forged; issuers publish their
keys at real addresses of loopback, and a canary listens where no request may ever come.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from cohelix.access.actor import REGISTERED_ACCESS, Actor
from cohelix.access.dpop import verify_dpop
from cohelix.access.keys import KeyRing, PassportDesk
from cohelix.access.passport import Verified, verify_access_token
from cohelix.access.policy import NO_PURPOSE, Revocations, Terms, decide
from cohelix.access.trust import Trusted, TrustList
from cohelix.core.errors import NotAuthentic

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
T = int(NOW.timestamp())
NODE, DATASET = "urn:cohelix:node:FI", "FI:study"
HUB = "https://hub.example"
VALUE = f"{HUB}/datasets/{DATASET}"
PERSON = "researcher-1"
METHOD, URL = "GET", "https://node.example/beacon/v2/g_variants"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256
KINDS = ("passport", "visa", "access token", "proof")
Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def b64(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def jwk_of(key: Private, **more: Any) -> dict[str, Any]:
    """The public half as a JWK."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        n, e = (b64(value.to_bytes((value.bit_length() + 7) // 8, "big")) for value in (numbers.n, numbers.e))
        return {"kty": "RSA", "n": n, "e": e, **more}
    point, size = key.public_key().public_numbers(), (key.curve.key_size + 7) // 8
    curve = {"secp256r1": "P-256", "secp384r1": "P-384", "secp256k1": "secp256k1"}[key.curve.name]
    return {"kty": "EC", "crv": curve, "x": b64(point.x.to_bytes(size, "big")), "y": b64(point.y.to_bytes(size, "big")), **more}


def signature(key: Private | bytes, algorithm: str, signed: bytes) -> bytes:
    """A signature as the algorithm has it; of bytes as key, a MAC."""
    digest = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}.get(algorithm[-3:], hashes.SHA256())
    if isinstance(key, bytes):
        mac = hmac.HMAC(key, digest)
        mac.update(signed)
        return mac.finalize()
    if isinstance(key, rsa.RSAPrivateKey):
        way = padding.PSS(padding.MGF1(digest), digest.digest_size) if algorithm.startswith("PS") else padding.PKCS1v15()
        return key.sign(signed, way, digest)
    size = (key.curve.key_size + 7) // 8
    return b"".join(value.to_bytes(size, "big") for value in decode_dss_signature(key.sign(signed, ec.ECDSA(digest))))


@dataclass
class Draft:
    """A token that is put together: change what is to be changed, then take its `text`."""

    header: dict[str, Any]
    claims: dict[str, Any]
    key: Private | bytes
    raw_header: bytes | None = None
    raw_claims: bytes | None = None

    @property
    def signed(self) -> str:
        """The first two parts."""
        raws = (self.raw_header, self.header), (self.raw_claims, self.claims)
        return ".".join(b64(json.dumps(value).encode() if raw is None else raw) for raw, value in raws)

    @property
    def mark(self) -> bytes:
        """The signature."""
        return signature(self.key, str(self.header.get("alg", "")), self.signed.encode())

    @property
    def text(self) -> str:
        """The whole token."""
        return f"{self.signed}.{b64(self.mark)}"

    def change(self, *, header: Mapping[str, Any] | None = None, **claims: Any) -> Draft:
        """Set members of header and claims; `...` takes one away."""
        for found, changes in ((self.header, header or {}), (self.claims, claims)):
            for name, value in changes.items():
                found.pop(name, None) if value is ... else found.update({name: value})
        return self


class World:
    """Issuers, their keys, and whom the node trusts."""

    def __init__(self, published: str, canary: str) -> None:
        self.canary = canary
        self.broker, self.authority, self.other = (f"{published}/{name}" for name in ("broker", "dac", "other"))
        curve = ec.SECP256R1()
        self.keys: dict[tuple[str, str], Private] = {
            (issuer, kid): ec.generate_private_key(curve) if kid == "es" else rsa.generate_private_key(65537, 2048)
            for issuer in (self.broker, self.authority)
            for kid in ("es", "rs")
        }
        self.keys[(self.other, "es")] = ec.generate_private_key(curve)
        self.device = {"es": ec.generate_private_key(curve), "rs": rsa.generate_private_key(65537, 2048)}
        self.stranger = {"es": ec.generate_private_key(curve), "rs": rsa.generate_private_key(65537, 2048)}
        self.weak = {"weak": rsa.generate_private_key(65537, 1024), "p384": ec.generate_private_key(ec.SECP384R1())}
        self.retired = ec.generate_private_key(curve)
        entries = [
            Trusted(issuer=self.broker, role="broker", jwks=f"{self.broker}/jwks"),
            Trusted(issuer=self.authority, role="authority", jwks=f"{self.authority}/jwks", datasets=(DATASET,)),
            Trusted(
                issuer=self.other,
                role="authority",
                jwks=f"{self.other}/jwks",
                datasets=("GB:*",),
                sources=("https://dac.example",),
                asserted_days_max=30,
            ),
        ]
        self.trust = TrustList.of(entries)
        self.ring = KeyRing(self.trust, clock=_Still())
        self.desk = PassportDesk(self.ring, self.trust, NODE)

    def published(self, issuer: str) -> dict[str, Any]:
        """What an issuer publishes: its keys, and some that nobody should take."""
        found = [jwk_of(key, kid=kid, use="sig") for (whose, kid), key in self.keys.items() if whose == issuer]
        found += [jwk_of(key, kid=kid) for kid, key in self.weak.items()]
        found += [jwk_of(self.stranger["es"], kid="enc", use="enc"), jwk_of(self.stranger["es"], kid="odd", key_ops=7)]
        found += [
            {"kty": "oct", "kid": "oct", "k": b64(b"secret")},
            {"kty": "EC", "kid": "bad", "crv": "P-256", "x": "AA", "y": "AA"},
        ]
        return {"keys": [*found, "nonsense", None, {}]}

    def draft(self, kind: str, way: str = "es") -> Draft:
        """An honest document of a kind; `way` is `es` or `rs`."""
        algorithm, header = {"es": "ES256", "rs": "RS256"}[way], {"kid": way}
        if kind == "passport":
            claims: dict[str, Any] = {"aud": NODE, "jti": "p1", "ga4gh_passport_v1": [self.draft("visa").text]}
            return Draft(
                {"alg": algorithm, "typ": "vnd.ga4gh.passport+jwt", **header},
                {"iss": self.broker, "sub": PERSON, "iat": T - 10, "exp": T + 290, **claims},
                self.keys[(self.broker, way)],
            )
        if kind == "visa":
            return Draft(
                {"alg": algorithm, "typ": "vnd.ga4gh.visa+jwt", **header, "jku": f"{self.authority}/jwks"},
                {
                    "iss": self.authority,
                    "sub": PERSON,
                    "subject_issuer": self.broker,
                    "iat": T - 86_400,
                    "exp": T + 86_400,
                    "jti": "v1",
                    "ga4gh_visa_v1": self.stated("ControlledAccessGrants", VALUE, by="dac"),
                },
                self.keys[(self.authority, way)],
            )
        if kind == "access token":
            thumbprint = json.dumps(jwk_of(self.device["es"]), sort_keys=True, separators=(",", ":"))
            cnf = {"jkt": b64(hashlib.sha256(thumbprint.encode()).digest())}
            return Draft(
                {"alg": algorithm, "typ": "at+jwt", **header},
                {"iss": self.broker, "sub": PERSON, "aud": NODE, "iat": T - 10, "exp": T + 590, "jti": "t1", "cnf": cnf},
                self.keys[(self.broker, way)],
            )
        return Draft(
            {"alg": algorithm, "typ": "dpop+jwt", "jwk": jwk_of(self.device[way])},
            {"htm": METHOD, "htu": URL, "iat": T, "jti": "d1"},
            self.device[way],
        )

    def stated(self, kind: str, value: str, **more: Any) -> dict[str, Any]:
        """A visa object."""
        return {"type": kind, "asserted": T - 86_400, "value": value, "source": "https://dac.example", "by": "so", **more}

    def visa(self, stated: Mapping[str, Any], **changes: Any) -> str:
        """A visa of the authority, or of the broker where it is about the person."""
        draft = self.draft("visa").change(ga4gh_visa_v1=dict(stated))
        if stated.get("type") != "ControlledAccessGrants":
            draft.key = self.keys[(self.broker, "es")]
            draft.change(header={"jku": f"{self.broker}/jwks"}, iss=self.broker)
        return draft.change(**changes).text

    def passport(self, visas: Sequence[Any], **changes: Any) -> str:
        """A passport with these visas."""
        return self.draft("passport").change(ga4gh_passport_v1=list(visas), **changes).text

    def registered(self, **changes: Any) -> list[str]:
        """The two visas of registered access."""
        kinds = ("ResearcherStatus", "AcceptedTermsAndPolicies")
        return [self.visa(self.stated(kind, REGISTERED_ACCESS), jti=kind, **changes) for kind in kinds]

    def seen(self, passport: str, now: datetime = NOW) -> Verified | None:
        """What a passport proves to the node; None where it is refused."""
        try:
            return self.desk.verified(passport, now)
        except NotAuthentic:
            return None

    def opens(self, passport: str, now: datetime = NOW, dataset: str = DATASET) -> bool:
        """Whether the policy opens a dataset with it."""
        found = self.seen(passport, now)
        return found is not None and self.tier(found.actor, now, dataset) == "controlled"

    def tier(self, actor: Actor, now: datetime = NOW, dataset: str = DATASET) -> str:
        """What the policy's decision about a dataset rests on."""
        issuers = self.trust.authorities(dataset)
        terms = Terms(
            dataset=dataset,
            disclosure="floored",
            membership_power=0.9,
            visa_value=f"{HUB}/datasets/{dataset}",
            authorities=issuers,
        )
        fresh = Revocations({}, dict.fromkeys(issuers, now + timedelta(seconds=30)))
        return decide(actor, terms, NO_PURPOSE, now, revocations=fresh).tier

    def holds(self, kind: str, token: str, now: datetime = NOW) -> bool:
        """Whether a document of a kind is accepted, where everything around it is honest."""
        if kind == "passport":
            return self.seen(token, now) is not None
        if kind == "visa":
            moment = int(now.timestamp())
            return self.opens(self.passport([token], iat=moment, exp=moment + 300), now)
        try:
            if kind == "access token":
                keys = self.ring.keys()
                verify_access_token(token, issuer=self.broker, audience=NODE, keys=keys, now=now)
            else:
                verify_dpop(token, method=METHOD, url=URL, now=now, first=lambda _key, _seconds: True)
        except NotAuthentic:
            return False
        return True


@dataclass(frozen=True)
class Case:
    """One token with its right verdict.

    Attributes
    ----------
    name
        What is wrong with it, or what is just right.
    kind
        Which document is judged.
    right
        Whether it is to be accepted.
    token
        The document that the referee judges as well; empty where it has no word in it.
    fault
        Of what the referee judges: `signature`, `audience`, `issuer`, `times`; `other` where it cannot tell, or nothing is
        wrong; `unlooked` where the two read a standard differently.
    judge
        Our verdict.
    """

    name: str
    kind: str
    right: bool
    judge: Callable[[], bool]
    token: str = ""
    fault: str = "other"
    now: datetime = NOW


class _Still:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


@contextmanager
def open_world() -> Iterator[tuple[World, list[str], list[str]]]:
    """The world, with the paths that were asked for at the issuers and at the canary."""
    found: dict[str, World] = {}
    with (
        _server(lambda path: found["world"].published(f"{issuers}{path.removesuffix('/jwks')}")) as (issuers, asked),
        _server(lambda _path: found["world"].published(found["world"].broker)) as (canary, sung),
    ):
        found["world"] = World(issuers, canary)
        yield found["world"], asked, sung


@contextmanager
def _server(answer: Callable[[str], object]) -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = json.dumps(answer(self.path)).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
