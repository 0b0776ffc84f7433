"""A deciding authority: a folder of its own in a server's folder, with the keys that its visas and revocations are signed by.

authorities/<ID>/authority.json    its name, its issuer's address, and the datasets that it decides about
authorities/<ID>/keys/             ES256 key pairs, for the owner alone; the newest signs, older ones stay published

Usually the folder lies at the node whose data it decides about, and the hub never has the key; a central committee's lies
at the hub.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cohelix.access.broker_keys import BrokerKeys, SigningKey
from cohelix.access.trust import Trusted
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadUsage, Conflict, Damaged, NotFound
from cohelix.core.private_files import replace_private

AUTHORITIES: Final = "authorities"
GRANT_DAYS_MAX: Final = 366
_FILE, _KEYS = "authority.json", "keys"
OFFICES: Final = ("committee", "country")
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# A key that has given way is published for as long as a visa that it signed may hold, and a day.
_KEPT_SECONDS: Final = (GRANT_DAYS_MAX + 1) * 86_400


@dataclass(frozen=True, slots=True)
class Signer:
    """Somebody whose signature the authority asks for: a member of its committee, or of the country's coordination point.

    `key` is the thumbprint (RFC 7638) of the person's own key, as `cohelix keys own` prints it.
    """

    subject: str
    issuer: str
    key: str
    office: str = "committee"


@dataclass(frozen=True, slots=True)
class Authority:
    """One authority of a server.

    Attributes
    ----------
    id, name
        In commands, and for people.
    issuer
        Who signs its visas (`iss`): an address that lasts.
    datasets
        About which it decides: `NODE:DATASET` or `NODE:*`.
    keys
        Its key pairs.
    by_hand
        Whether a person issues what applications have come to (`cohelix dac issue`); the server does it otherwise.
    signers
        Whose signed decisions it asks for; where it lists nobody, the hub's word for who decided is enough.
    """

    id: str
    name: str
    issuer: str
    datasets: tuple[str, ...]
    keys: BrokerKeys = field(repr=False, compare=False)
    by_hand: bool = False
    signers: tuple[Signer, ...] = ()

    @property
    def jwks(self) -> str:
        """Where its public keys are published; visas name it as `jku`."""
        return f"{self.issuer}/jwks.json"

    def trusted(self) -> Trusted:
        """As the server that holds it trusts it: by its own keys, nothing is fetched."""
        return Trusted(
            issuer=self.issuer,
            role="authority",
            jwks=self.jwks,
            keys=tuple(self.keys.published()["keys"]),
            datasets=self.datasets,
        )

    def decides(self, dataset: str) -> bool:
        """Whether it decides about a dataset, `NODE:DATASET`."""
        return dataset in self.datasets or f"{dataset.partition(':')[0]}:*" in self.datasets


def init_authority(
    server: Path,
    *,
    authority: str,
    name: str,
    hub_url: str,
    datasets: tuple[str, ...],
    by_hand: bool = False,
    clock: Clock | None = None,
) -> Authority:
    """Make an authority's folder and its first key.

    Parameters
    ----------
    hub_url
        The federation's address: its keys are published there, whoever holds them.

    Raises
    ------
    BadUsage
        If the id, the name or a dataset is malformed.
    Conflict
        If the server has an authority of this id.
    """
    if not _ID.fullmatch(authority):
        raise BadUsage(f"{authority[:80]!r} is no id: 1 to 64 letters, digits, dots, dashes and underscores")
    plain = " ".join(name.split())
    if not plain or len(plain) > 200 or not plain.isprintable():
        raise BadUsage("an authority's name is 1 to 200 printable characters")
    for one in datasets:
        if not re.fullmatch(r"[A-Za-z0-9._-]+:([A-Za-z0-9._-]+|\*)", one):
            raise BadUsage(f"{one[:80]!r} is no dataset: NODE:DATASET, or NODE:* for all of a node")
    folder = server / AUTHORITIES / authority
    if (folder / _FILE).exists():
        raise Conflict(f"there is an authority {authority} in {server}")
    (server / AUTHORITIES).mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    issuer = f"{hub_url.rstrip('/')}/{AUTHORITIES}/{authority}"
    keys = _keys(folder, clock)
    # Last of all: a folder without it is no authority.
    document = {"id": authority, "name": plain, "issuer": issuer, "datasets": list(datasets), "by_hand": by_hand}
    replace_private(folder / _FILE, json.dumps(document, indent=1, ensure_ascii=False).encode())
    return Authority(authority, plain, issuer, datasets, keys, by_hand)


def all_authorities(server: Path, clock: Clock | None = None) -> tuple[Authority, ...]:
    """The authorities of a server's folder, by id; raises `Damaged` where one cannot be read."""
    return tuple(_read(path.parent, clock) for path in sorted((server / AUTHORITIES).glob(f"*/{_FILE}")))


def find_authority(server: Path, authority: str | None, clock: Clock | None = None) -> Authority:
    """The authority of an id, or the only one.

    Raises
    ------
    NotFound
        If there is none of that id.
    BadUsage
        If none is named, and there are several.
    """
    known = {one.id: one for one in all_authorities(server, clock)}
    if authority is None and len(known) == 1:
        return next(iter(known.values()))
    if authority is None and known:
        raise BadUsage(f"say which authority with --authority: {', '.join(known)}")
    if authority not in known:
        words = f"no authority {authority}" if authority else "no authority"
        raise NotFound(f"{server} has {words}: make one with 'cohelix dac init {server} --authority ID --name NAME'")
    return known[authority]


def set_signers(server: Path, authority: Authority, signers: tuple[Signer, ...]) -> Authority:
    """Change whose signed decisions an authority asks for.

    Raises
    ------
    BadUsage
        If an office or a key is none, or two people have one key or one person two: each decides for one person.
    """
    for one in signers:
        if one.office not in OFFICES or not _THUMBPRINT.fullmatch(one.key) or not one.subject.strip():
            raise BadUsage(
                f"a signer has a subject, an office ({' or '.join(OFFICES)}), and the key that `cohelix keys own` prints"
            )
    if len({one.key for one in signers}) < len(signers) or len({(one.subject, one.issuer) for one in signers}) < len(signers):
        raise BadUsage("each signer is another person with another key")
    path = server / AUTHORITIES / authority.id / _FILE
    document = json.loads(path.read_text(encoding="utf-8"))
    document["signers"] = [asdict(one) for one in signers]
    replace_private(path, json.dumps(document, indent=1, ensure_ascii=False).encode())
    return replace(authority, signers=signers)


def list_keys(server: Path, clock: Clock | None = None) -> list[dict[str, Any]]:
    """The keys of a server's authorities: which authority's, id, whether it signs, since when, and how long it is published."""
    found = []
    for authority in all_authorities(server, clock):
        published = {key["kid"] for key in authority.keys.published()["keys"]}
        pairs = authority.keys.all()
        following: list[SigningKey | None] = [*pairs[1:], None]
        for key, replaced in zip(pairs, following, strict=True):
            until = None if replaced is None else stamp(replaced.made_at + _KEPT_SECONDS)
            state = "signs" if replaced is None else "published" if key.kid in published else "former"
            found.append(
                {"authority": authority.id, "key": key.kid, "state": state, "made": stamp(key.made_at), "until": until}
            )
    return found


def rotate(server: Path, authority: str, clock: Clock | None = None) -> dict[str, Any]:
    """Let an authority sign with a new key; what the old one signed goes on to hold."""
    found = find_authority(server, authority, clock)
    old = found.keys.current()
    new = found.keys.rotate()
    return {
        "authority": found.id,
        "old": old.kid,
        "new": new.kid,
        "until": stamp(new.made_at + _KEPT_SECONDS),
        "keys": found.keys.published()["keys"],
    }


def _read(folder: Path, clock: Clock | None) -> Authority:
    path = folder / _FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Authority(
            str(found["id"]),
            str(found["name"]),
            str(found["issuer"]),
            tuple(found["datasets"]),
            _keys(folder, clock),
            by_hand=found.get("by_hand") is True,
            signers=tuple(Signer(**one) for one in found.get("signers", ())),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{path} cannot be read as an authority's", path=str(path)) from error


def _keys(folder: Path, clock: Clock | None) -> BrokerKeys:
    return BrokerKeys(folder / _KEYS, clock or SystemClock(), rotate_seconds=None, kept_seconds=_KEPT_SECONDS)


def stamp(seconds: int) -> str:
    """A time in seconds since 1970 as documents write it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
