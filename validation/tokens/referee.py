"""PyJWT's word on a token: which of signature, audience, issuer and times it finds wrong."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Any, Final
from unittest.mock import patch

import jwt
from cryptography.exceptions import UnsupportedAlgorithm

from validation.tokens.world import NODE, Case, World

# What PyJWT raises, beside errors of its own, for documents that it was not made for.
_LOST: Final = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError, UnsupportedAlgorithm)
_SKEW: Final = 60


def found_wrong(world: World, case: Case) -> set[str] | None:
    """The aspects that PyJWT finds wrong; None where it cannot judge, since it knows no key or cannot read the token."""
    try:
        header: dict[str, Any] = jwt.get_unverified_header(case.token)
        claims: dict[str, Any] = jwt.decode(case.token, options={"verify_signature": False})
        if case.kind == "proof":
            key: Any = jwt.PyJWK.from_dict(header["jwk"]).key
        else:
            issuer = world.authority if case.kind == "visa" else world.broker
            key = world.keys[(claims["iss"] if claims["iss"] == world.other else issuer, header["kid"])].public_key()
    except (jwt.PyJWTError, *_LOST):
        return None
    audience = NODE if case.kind in ("passport", "access token") else None
    wanted = {"passport": world.broker, "access token": world.broker, "visa": world.authority}.get(case.kind)
    wrong = set()
    try:
        if _refuses(case, key):
            wrong.add("signature")
        if audience is not None and _refuses(case, key, signed=False, verify_aud=True, audience=audience):
            wrong.add("audience")
        if wanted is not None and _refuses(case, key, signed=False, verify_iss=True, issuer=wanted):
            wrong.add("issuer")
        if _refuses(case, key, signed=False, verify_exp=True) or _refuses(
            case, key, signed=False, verify_iat=True, verify_nbf=True, leeway=_SKEW
        ):
            wrong.add("times")
    except _LOST:
        return None
    return wrong


def agrees(wrong: set[str] | None, case: Case) -> bool | None:
    """Whether PyJWT's word is the right verdict's; None where it has none, or the fault is not one that it looks at."""
    if wrong is None or case.fault == "unlooked":
        return None
    if case.fault != "other":
        return case.fault in wrong
    return not wrong if case.right else None


def _refuses(case: Case, key: Any, *, signed: bool = True, **asked: Any) -> bool:
    options = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
    options |= {name: value for name, value in asked.items() if name.startswith("verify_")}
    given = {name: value for name, value in asked.items() if not name.startswith("verify_")}

    class Still(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return case.now.astimezone(tz)

    try:
        with patch("jwt.api_jwt.datetime", Still):
            options["verify_signature"] = signed
            jwt.decode(case.token, key, algorithms=["RS256", "ES256"], options=options, **given)
    except jwt.PyJWTError:
        return True
    return False
