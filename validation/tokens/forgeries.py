"""Forged and malformed documents of every kind: algorithms, signatures, headers, JSON, sizes, times, audience and issuer."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from validation.tokens.world import KINDS, NOW, ORDER, PERSON, Case, Draft, T, World, b64, jwk_of

_JSON = json.dumps


def cases(world: World) -> Iterator[Case]:
    """All of them."""
    for kind in KINDS:
        for family in (_algorithms, _signatures, _shapes, _headers, _documents, _times, _names):
            for name, right, token, fault, *now in family(world, kind):
                moment = NOW + timedelta(seconds=now[0]) if now else NOW
                judge = partial(world.holds, kind, token, moment)
                yield Case(f"{kind}: {name}", kind, right, judge, token, fault, moment)


Found = Iterator[tuple[Any, ...]]
"""Name, right verdict, token, fault, and seconds after now."""


def _algorithms(world: World, kind: str) -> Found:
    for way in ("es", "rs"):
        yield f"honest, {way}", True, world.draft(kind, way).text, "other"
        public = world.draft(kind, way).key.public_key()  # type: ignore[union-attr]
        encodings = {
            "PEM": (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
            "DER": (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        }
        secrets = {name: public.public_bytes(*how) for name, how in encodings.items()}
        secrets["JWK"] = _JSON(jwk_of(world.draft(kind, way).key)).encode()  # type: ignore[arg-type]
        for name, secret in {**secrets, "nothing": b"", "JWK's k": b"secret"}.items():
            for algorithm in ("HS256", "HS512"):
                draft = world.draft(kind, way).change(header={"alg": algorithm})
                draft.key = secret or b"\0"
                yield f"{algorithm} with the public {way} key as secret, {name}", False, draft.text, "signature"
    for said in (
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        "es256",
        "ES256 ",
        "HS256",
        "ES384",
        "ES512",
        "ES256K",
        "EdDSA",
        "Ed25519",
        "PS256",
    ):
        draft = world.draft(kind).change(header={"alg": said})
        yield f"alg {said!r} over a good ES256 signature", False, _marked(draft, world.draft(kind).mark), "signature"
        if said.lower() == "none":
            yield f"alg {said!r} without a signature", False, f"{draft.signed}.", "signature"
            yield f"alg {said!r} with a signature of one letter", False, f"{draft.signed}.AA", "signature"
    for said in (None, 256, True, ["ES256"], {"ES256": 1}, ...):
        draft = world.draft(kind).change(header={"alg": said})
        yield f"alg is {said!r}", False, _marked(draft, world.draft(kind).mark), "signature"
    for said in ("RS384", "RS512", "PS256", "PS384", "PS512"):
        yield f"honest key, but {said}", False, world.draft(kind, "rs").change(header={"alg": said}).text, "signature"
    for said, way in (("RS256", "es"), ("ES256", "rs")):
        draft = world.draft(kind, way)
        mark = draft.mark
        yield f"{said} said over the {way} key", False, _marked(draft.change(header={"alg": said}), mark), "signature"


def _signatures(world: World, kind: str) -> Found:
    for way in ("es", "rs"):
        mark, draft = world.draft(kind, way).mark, world.draft(kind, way)
        if way == "es":  # as random as the draft's own: sign once, and keep to it
            mark = draft.mark
        for place in (0, 1, len(mark) // 2, -1):
            flipped = bytearray(mark)
            flipped[place] ^= 1
            yield f"{way}: bit of byte {place} of the signature flipped", False, _marked(draft, bytes(flipped)), "signature"
        for name, bad in {
            "empty": b"",
            "cut by a byte": mark[:-1],
            "cut in half": mark[: len(mark) // 2],
            "longer by a byte": mark + b"\0",
            "twice": mark * 2,
            "all zeros": bytes(len(mark)),
            "all ones": b"\xff" * len(mark),
            "reversed": mark[::-1],
        }.items():
            yield f"{way}: signature {name}", False, _marked(draft, bad), "signature"
        other = world.draft(kind, way)
        other.claims["sub"] = other.claims["jti"] = "another"
        yield f"{way}: signature of another document", False, _marked(draft, other.mark), "signature"
        draft.key = world.stranger[way]
        yield f"{way}: a stranger's key behind an honest kid", False, draft.text, "signature"
        honest = world.draft(kind, way)
        text, changed = honest.text, honest.change(iat=honest.claims["iat"] - 1)
        yield f"{way}: claims changed after signing", False, _marked(changed, _mark_of(text)), "signature"
        spaced = world.draft(kind, way)
        spaced.raw_header = _JSON(spaced.header, indent=1).encode()
        yield f"{way}: header written anew after signing", False, _marked(spaced, _mark_of(text)), "signature"
    draft = world.draft(kind)
    mark = draft.mark
    r, s = int.from_bytes(mark[:32], "big"), int.from_bytes(mark[32:], "big")
    pairs = {
        "s and r exchanged": (s, r),
        "r is 0": (0, s),
        "s is 0": (r, 0),
        "r is the order": (ORDER, s),
        "s is the order": (r, ORDER),
    }
    for name, (one, two) in pairs.items():
        yield f"es: {name}", False, _marked(draft, one.to_bytes(32, "big") + two.to_bytes(32, "big")), "signature"
    yield (
        "es: the other one of the two signatures (order - s)",
        True,
        _marked(draft, mark[:32] + (ORDER - s).to_bytes(32, "big")),
        "other",
    )
    yield "es: signature in DER", False, _marked(draft, encode_dss_signature(r, s)), "signature"


def _shapes(world: World, kind: str) -> Found:
    draft = world.draft(kind)
    text = draft.text
    head, body, mark = text.split(".")
    for name, bad in {
        "nothing": "",
        "a dot": ".",
        "two dots": "..",
        "one part": head,
        "two parts": f"{head}.{body}",
        "no signature": f"{head}.{body}.",
        "no claims (detached)": f"{head}..{mark}",
        "no header": f".{body}.{mark}",
        "four parts": f"{text}.{mark}",
        "five parts (encrypted)": f"{head}.{mark}.{mark}.{body}.{mark}",
        "a space before": f" {text}",
        "a space after": f"{text} ",
        "a line break after": f"{text}\n",
        "a line break inside": f"{head}.\n{body}.{mark}",
        "padding": f"{head}.{body}.{mark}==",
        "a NUL after": f"{text}\0",
        "a letter that is none of ASCII": f"{text}é",
        "wide letters": text.replace("A", "Ａ", 1),
        "a lone surrogate": f"{text}\ud800",
        "the word Bearer before": f"Bearer {text}",
        "JSON serialisation": _JSON({"payload": body, "protected": head, "signature": mark}),
        "a comma and a second token": f"{text},{text}",
    }.items():
        yield f"{name}", False, bad, "other"
    standard = base64.b64encode(_mark_of(text)).decode()
    last = world.draft(kind, "rs").text
    while last[-1] not in "AQgw":  # of the last letter only two bits count: another that says the same
        last = world.draft(kind, "rs").text
    if standard.rstrip("=") != mark:
        yield "standard base64 in place of base64url", False, f"{head}.{body}.{standard}", "other"
    yield "last letter that says the same", False, last[:-1] + chr(ord(last[-1]) + 1), "other"


def _headers(world: World, kind: str) -> Found:
    stranger, issuer = world.stranger["es"], f"{world.canary}/jwks"
    if kind != "proof":
        for name, header in {
            "jwk": {"jwk": jwk_of(stranger, kid="es")},
            "x5u": {"x5u": f"{world.canary}/chain.pem"},
            "x5c": {"x5c": [b64(b"certificate")]},
            "jku": {"jku": issuer},
            "jku and jwk": {"jku": issuer, "jwk": jwk_of(stranger)},
        }.items():
            draft = world.draft(kind).change(header=header)
            draft.key = stranger
            yield f"a stranger's key, shown in {name}", False, draft.text, "signature"
        for name, kid in {
            "unknown": "es2",
            "empty": "",
            "missing": ...,
            "null": None,
            "a number": 7,
            "a list": ["es"],
            "an object": {"es": 1},
            "a path": "../../../../dev/null",
            "SQL": "x' UNION SELECT 'es",
            "an address": issuer,
            "in capitals": "ES",
            "with a space": "es ",
            "of a key for encryption": "enc",
            "of a key with odd operations": "odd",
            "of a secret key": "oct",
            "of a point that is none": "bad",
            "of a 1024-bit key": "weak",
            "of a P-384 key": "p384",
            "of a key that was retired": "former",
        }.items():
            draft = world.draft(kind).change(header={"kid": kid})
            if kid == "weak":
                draft.key = world.weak["weak"]
                draft.change(header={"alg": "RS256"})
            draft.key = {"p384": world.weak["p384"], "former": world.retired, "enc": stranger, "odd": stranger}.get(
                str(kid), draft.key
            )
            yield f"kid {name}", False, draft.text, "other"
        draft = world.draft(kind, "rs").change(header={"kid": "es"})
        yield "kid of the issuer's other key", False, draft.text, "signature"
        draft = world.draft(kind)
        draft.key = world.keys[(world.other, "es")]
        yield "key of another trusted issuer, same kid", False, draft.text, "signature"
    for name, header in {
        "crit": {"crit": ["exp"]},
        "empty crit": {"crit": []},
        "b64 false": {"b64": False, "crit": ["b64"]},
    }.items():
        yield f"{name}", False, world.draft(kind).change(header=header).text, "other"
    yield "b64 true", False, world.draft(kind).change(header={"b64": True}).text, "other"
    yield "a header member that nobody knows", True, world.draft(kind).change(header={"x-more": [1]}).text, "other"
    own = {"passport": "vnd.ga4gh.passport+jwt", "visa": "vnd.ga4gh.visa+jwt", "access token": "at+jwt", "proof": "dpop+jwt"}
    also = {("visa", "JWT"), ("access token", "JWT"), ("access token", "application/at+jwt")}
    for said in (
        *own.values(),
        "JWT",
        "jwt",
        "application/at+jwt",
        own[kind].upper(),
        f"{own[kind]} ",
        "",
        "secevent+jwt",
        "logout+jwt",
    ):
        right = said == own[kind] or (kind, said) in also
        yield f"typ {said!r}", right, world.draft(kind).change(header={"typ": said}).text, "other"
    for typ in (None, 1, [own[kind]], ...):
        yield f"typ is {typ!r}", False, world.draft(kind).change(header={"typ": typ}).text, "other"


def _documents(world: World, kind: str) -> Found:
    def raw(claims: bytes | None = None, header: bytes | None = None) -> str:
        draft = world.draft(kind)
        draft.raw_claims, draft.raw_header = claims, header
        return draft.text

    honest = world.draft(kind)
    head, body = _JSON(honest.header), _JSON(honest.claims)
    deep = "[" * 14 + "]" * 14
    for name, text in {
        "twice the same name": body[:-1] + f', "jti": {_JSON(honest.claims["jti"])}}}',
        "another jti after": body[:-1] + ', "jti": "x"}',
        "another iat before": '{"iat": 0, ' + body[1:],
        "iat twice, once escaped": body[:-1] + ', "\\u0069at": 1}',
        "NaN": body[:-1] + ', "x": NaN}',
        "Infinity": body[:-1] + ', "x": Infinity}',
        "-Infinity": body[:-1] + ', "x": -Infinity}',
        "1e999": body[:-1] + ', "x": 1e999}',
        "iat NaN": _with(body, "iat", "NaN"),
        "iat 1e999": _with(body, "iat", "1e999"),
        "iat -1e999": _with(body, "iat", "-1e999"),
        "a number of 5,000 digits": body[:-1] + f', "x": {"9" * 5000}}}',
        "14 levels": body[:-1] + f', "x": {deep}}}',
        "500 levels": body[:-1] + f', "x": {"[" * 500 + "]" * 500}}}',
        "900 objects deep": body[:-1] + ', "x": ' + '{"a":' * 300 + "1" + "}" * 300 + "}",
        "20,000 brackets": "[" * 2900,
        "a list": f"[{body}]",
        "a text": '"x"',
        "a number": "7",
        "null": "null",
        "nothing": "",
        "a comment": "/**/" + body,
        "more after the end": body + "{}",
        "single quotes": body.replace('"', "'"),
        "a comma at the end": body[:-1] + ",}",
        "an empty object": "{}",
    }.items():
        yield f"claims: {name}", False, raw(text.encode()), "other"
    for name, raw_bytes in {
        "a byte order mark": b"\xef\xbb\xbf" + body.encode(),
        "UTF-16": body.encode("utf-16"),
        "no UTF-8": body.encode()[:-1] + b', "x": "\xff"}',
    }.items():
        yield f"claims: {name}", False, raw(raw_bytes), "other"
    for name, text in {
        "alg twice": '{"alg": "none", ' + head[1:],
        "typ twice": head[:-1] + ', "typ": "x"}',
        "NaN": head[:-1] + ', "x": NaN}',
        "a list": f"[{head}]",
        "14 levels": head[:-1] + f', "x": {deep}}}',
        "500 levels": head[:-1] + f', "x": {"[" * 500 + "]" * 500}}}',
        "nothing": "",
        "too long": head[:-1] + f', "x": "{"x" * 4096}"}}',
        "more after the end": head + " x",
    }.items():
        yield f"header: {name}", False, raw(header=text.encode()), "other"
    nine = "[" * 9 + "]" * 9
    yield "claims: 10 levels", True, raw(f'{body[:-1]}, "x": {nine}}}'.encode()), "other"
    yield "claims: spaces and line breaks", True, raw(_JSON(honest.claims, indent=2).encode()), "other"
    yield (
        "claims: all letters escaped",
        True,
        raw(body.replace("researcher", "".join(f"\\u{ord(one):04x}" for one in "researcher")).encode()),
        "other",
    )
    most = {"passport": 65_536, "visa": 8192, "access token": 8192, "proof": 4096}[kind]
    for off in (0, 1):
        draft = world.draft(kind)
        filled = _filled(draft, most + off)
        yield f"{most + off:,} characters", off == 0, filled, "other"


def _times(world: World, kind: str) -> Found:  # noqa: PLR0912 - one list of cases
    if kind == "proof":
        for off in (-3600, -61, -60, -59, 0, 59, 60, 61, 3600):
            fault = "times" if off > 60 else "other"
            yield f"iat {off:+} s", abs(off) <= 60, world.draft(kind).change(iat=T + off).text, fault
        yield "iat with a fraction", True, world.draft(kind).change(iat=T + 0.5).text, "other"
        for said in (None, "", str(T), True, [T], {"t": T}, 10**400, -1, ...):
            yield f"iat is {_short(said)}", False, world.draft(kind).change(iat=said).text, "other"
        return
    span = 86_400 if kind == "visa" else 10
    for off in (-3600, -61, -60, -1, 0):
        yield (
            f"exp {off:+} s",
            False,
            world.draft(kind).change(exp=T + off, iat=T - 7000).text
            if kind == "visa"
            else world.draft(kind).change(exp=T + off, iat=T - 3599).text,
            "times",
        )
    for off in (1, 2, 60):
        yield f"exp {off:+} s", True, world.draft(kind).change(exp=T + off).text, "other"
    draft = world.draft(kind)
    for off, right in (
        (draft.claims["exp"] - T - 1, True),
        (draft.claims["exp"] - T, False),
        (draft.claims["exp"] - T + 1, False),
    ):
        yield f"asked {off:+} s", right, draft.text, "other" if right else "times", off
    for off, right in ((-span - 61, False), (-span - 60, True), (-span - 59, True)):
        yield f"asked {off:+} s, before it was made", right, draft.text, "other" if right else "times", off
    for name in ("iat", "nbf"):
        for off in (1, 59, 60, 61, 62, 3600):
            change = {name: T + off, "exp": T + (3800 if kind == "visa" else off + 120)}
            late = world.draft(kind).change(**({"iat": T} if kind != "visa" else {}) | change)
            lasting = kind != "passport" or late.claims["exp"] - late.claims["iat"] <= 3600
            yield f"{name} {off:+} s", off <= 60 and lasting, late.text, "other" if off <= 60 else "times"
    for name in ("iat", "exp", "nbf"):
        for said in ("", str(T), True, [T], {"t": T}, 10**400, -1, *((None, ...) if name != "nbf" else ())):
            yield f"{name} is {_short(said)}", False, world.draft(kind).change(**{name: said}).text, "other"
    yield "nbf is null", True, world.draft(kind).change(nbf=None).text, "unlooked"
    yield "ends before it begins", False, world.draft(kind).change(iat=T + 50, exp=T + 40).text, "other"
    yield "ends as it begins", False, world.draft(kind).change(iat=T + 50, exp=T + 50).text, "other"
    yield "times with fractions", True, world.draft(kind).change(iat=T - 9.5, exp=T + 100.5).text, "other"
    yield "end beyond the year 9999", False, world.draft(kind).change(exp=253_402_300_800).text, "other"
    if kind == "passport":
        for long in (3600, 3601):
            yield f"lasts {long:,} s", long == 3600, world.draft(kind).change(iat=T, exp=T + long).text, "other"


def _names(world: World, kind: str) -> Found:
    if kind == "proof":
        return
    issuer = world.authority if kind == "visa" else world.broker
    for name, said in {
        "unknown": "https://evil.example",
        "with a slash at the end": f"{issuer}/",
        "in capitals": issuer.upper(),
        "longer": f"{issuer}x",
        "shorter": issuer[:-1],
        "with a space": f"{issuer} ",
        "with a user": issuer.replace("://", "://x@"),
        "the canary's": world.canary,
        "empty": "",
        "with a query": f"{issuer}?",
        "with a letter that looks alike": issuer.replace("o", "о", 1).replace("a", "а", 1),
    }.items():
        yield f"iss {name}", False, world.draft(kind).change(iss=said).text, "issuer"
    swapped = world.broker if kind == "visa" else world.authority
    draft = world.draft(kind).change(iss=swapped)
    draft.key = world.keys[(swapped, "es")]
    yield "iss of another role, with its own key", False, draft.text, "issuer"
    for said in (None, 7, True, [issuer], {"iss": issuer}, ...):
        yield f"iss is {_short(said)}", False, world.draft(kind).change(iss=said).text, "other" if said is ... else "issuer"
    for said in (None, "", 7, True, [PERSON], "x" * 256, "a\0b", "a\nb", "\x7f", "\ud800", ...):
        yield f"sub is {_short(said)}", False, world.draft(kind).change(sub=said).text, "other"
    if kind == "visa":
        return
    node = str(world.draft(kind).claims["aud"])
    for name, aud in {
        "another node": "urn:cohelix:node:GB",
        "the hub": "https://hub.example",
        "a beginning": node[:-1],
        "longer": f"{node}X",
        "in capitals": node.upper(),
        "with a space": f"{node} ",
        "a list of others": ["urn:cohelix:node:GB", "x"],
        "an empty list": [],
        "empty": "",
        "words with it inside": f"x {node} y",
        "a number": 7,
        "an object": {node: 1},
        "a list in a list": [[node]],
        "a star": "*",
        "true": True,
    }.items():
        yield f"aud: {name}", False, world.draft(kind).change(aud=aud).text, "audience"
    for name, aud in {"missing": ..., "null": None}.items():
        yield f"aud: {name}", False, world.draft(kind).change(aud=aud).text, "audience"
    yield "aud: a list with a number", False, world.draft(kind).change(aud=[node, 7]).text, "other"
    yield "aud: a list with it", True, world.draft(kind).change(aud=["x", node]).text, "other"


def _marked(draft: Draft, mark: bytes) -> str:
    return f"{draft.signed}.{b64(mark)}"


def _mark_of(text: str) -> bytes:
    part = text.rpartition(".")[2]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _with(body: str, name: str, value: str) -> str:
    found = json.loads(body)
    found[name] = "@@"
    return _JSON(found).replace('"@@"', value)


def _filled(draft: Draft, characters: int) -> str:
    """The token with so many characters, by a claim that means nothing (and a header member for the last ones)."""
    for more in range(4):
        draft.header["x"] = "x" * more
        short = len(draft.change(x="").text)
        for length in range(max(0, (characters - short) * 3 // 4 - 4), (characters - short) * 3 // 4 + 4):
            found = draft.change(x="y" * length).text
            if len(found) == characters:
                return found
    raise ValueError(f"no token of {characters} characters")


def _short(value: object) -> str:
    return "missing" if value is ... else repr(value)[:24]
