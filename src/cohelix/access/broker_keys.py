"""The embedded issuer's signing keys: files of one folder, a new one after a time, old ones published as long as needed."""

from __future__ import annotations

import itertools
import os
import secrets
from pathlib import Path
from typing import Any, Final, NamedTuple

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import Damaged

ALGORITHM: Final = "ES256"
ROTATE_SECONDS: Final = 30 * 86_400
# The longest life of anything that is signed with these keys (visas of the issuer itself), and the difference of clocks.
SIGNED_SECONDS_MAX: Final = 3600
_KEPT_SECONDS: Final = SIGNED_SECONDS_MAX + 120


class SigningKey(NamedTuple):
    """One key pair, since when it signs (seconds since 1970), and the id that headers name."""

    made_at: int
    kid: str
    private: ECKey


class BrokerKeys:
    """The keys in a folder (0700, files 0600); several processes may share it.

    Parameters
    ----------
    rotate_seconds
        After how long a key gives way by itself; None for never, as of an authority whose operator says when.
    kept_seconds
        How long a key that has given way is published: as long as anything that it has signed may hold.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock | None = None,
        *,
        rotate_seconds: int | None = ROTATE_SECONDS,
        kept_seconds: int = _KEPT_SECONDS,
    ) -> None:
        self._folder, self._clock = folder, clock or SystemClock()
        self._rotate_seconds, self._kept_seconds = rotate_seconds, kept_seconds
        self._read: dict[str, SigningKey] = {}
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        if not self.all():
            self.rotate()

    def rotate(self) -> SigningKey:
        """Sign with a new key from now on; the one before stays published until what it signed has expired."""
        private = ECKey.generate_key("P-256")
        key = SigningKey(self.now(), secrets.token_hex(8), private)
        path = self._folder / f"{key.made_at:012d}-{key.kid}.pem"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(private.as_pem(private=True))
            file.flush()
            os.fsync(file.fileno())
        return key

    def current(self) -> SigningKey:
        """The key that signs now; one that has served its time is replaced."""
        newest = self.all()[-1]
        lasts = self._rotate_seconds is None or self.now() - newest.made_at < self._rotate_seconds
        return newest if lasts else self.rotate()

    def published(self) -> dict[str, Any]:
        """The JWK set that others verify with."""
        keys, now = self.all(), self.now()
        ended = {one.kid for one, next_one in itertools.pairwise(keys) if next_one.made_at + self._kept_seconds < now}
        return {"keys": [_public(one) for one in keys if one.kid not in ended]}

    def sign(self, claims: dict[str, Any], kind: str, **header: str) -> str:
        """A JWT with these claims, whose `typ` is `kind`; more may stand in its header."""
        key = self.current()
        return jwt.encode(
            {"alg": ALGORITHM, "typ": kind, "kid": key.kid, **header}, claims, key.private, algorithms=[ALGORITHM]
        )

    def read(self, token: str, kind: str) -> dict[str, Any] | None:
        """The claims of a JWT that one of these keys has signed as that kind; times and names are the caller's to check."""
        published = {one["kid"] for one in self.published()["keys"]}
        by_kid = {one.kid: one.private for one in self.all() if one.kid in published}
        try:
            # The header is not trusted: it only says which of our own keys may fit.
            found = jwt.decode(token, lambda given: by_kid[given.headers()["kid"]], algorithms=[ALGORITHM])
        except (JoseError, ValueError, KeyError, TypeError):
            return None
        return found.claims if found.header.get("typ") == kind else None

    def all(self) -> list[SigningKey]:
        """All keys of the folder, the oldest first."""
        names = sorted(path.name for path in self._folder.glob("*.pem"))
        for name in names:
            if name not in self._read:
                made_at, _, kid = name.removesuffix(".pem").partition("-")
                try:
                    private = ECKey.import_key((self._folder / name).read_bytes())
                except ValueError as error:
                    raise Damaged(f"{self._folder / name} is not a key", path=str(self._folder / name)) from error
                self._read[name] = SigningKey(int(made_at), kid, private)
        return [self._read[name] for name in names]

    def now(self) -> int:
        """Seconds since 1970, of the clock that signatures are dated by."""
        return int(self._clock.now().timestamp())


def _public(key: SigningKey) -> dict[str, Any]:
    return {**key.private.as_dict(private=False), "kid": key.kid, "use": "sig", "alg": ALGORITHM}
