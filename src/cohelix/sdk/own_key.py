"""A person's own key for signing decisions: made on this machine, for its owner alone, and known to no server.

Whoever decides about applications gives its thumbprint to the authority that holds the data (`cohelix dac signers`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cohelix.core.errors import BadUsage
from cohelix.sdk.identity import config_folder
from cohelix.wire.history import STATEMENT_TYPE, statement_claims

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

_FILE: Final = "signing-key.json"
_ALGORITHM: Final = "ES256"


def own_key(*, make: bool = False) -> ECKey | None:
    """The person's key on this machine; None where there is none and none is to be made.

    Raises
    ------
    BadUsage
        If others may read its file, or it holds no key.
    """
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey

    path = config_folder() / _FILE
    if make and not path.exists():
        _write(path, json.dumps(ECKey.generate_key("P-256").as_dict(private=True)))
    try:
        if path.stat().st_mode & 0o077:
            raise BadUsage(f"{path} holds your key and may be read by others: chmod 600 {path}")
        return ECKey.import_key(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, JoseError):
        raise BadUsage(f"{path} holds no key: take it away, and make another with `cohelix keys own --make`") from None


def sign_event(key: ECKey, *, application: str, after: str, by: Mapping[str, str], event: Mapping[str, Any]) -> str:
    """An event, signed with everything that happened to the application before it."""
    from joserfc import jwt

    header = {"typ": STATEMENT_TYPE, "alg": _ALGORITHM, "jwk": key.as_dict(private=False)}
    return jwt.encode(header, statement_claims(application, after, by, event), key, algorithms=[_ALGORITHM])


def _write(path: Path, text: str) -> None:
    """Write it whole or not at all; of two programs at once the first one's stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(f".{os.getpid()}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):
        os.link(new, path)
    new.unlink()
