"""What `cohelix doctor` looks at: each check of a folder gives findings; `docs/guides/doctor.md` explains every slug.

Level `fault` is what keeps the server from doing its duty or opens what must be closed, `warning` what will become so, `ok`
what was looked at and is in order.
"""

from __future__ import annotations

import email.utils
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cohelix import __version__
from cohelix.core.errors import CohelixError, NotFound
from cohelix.core.findings import Finding, Level
from cohelix.core.private_files import exposed
from cohelix.federation.signing import TOLERANCE_SECONDS

if TYPE_CHECKING:
    import httpx
    from sqlalchemy.engine import Engine

    from cohelix.hub import HubSettings
    from cohelix.node import NodeSettings

CERTIFICATE_DAYS = 14
BACKUP_DAYS = 7
WITNESS_HOURS = 24
DISK_BYTES, DISK_SHARE = 1 << 30, 0.1  # fault below the one, warning below the other
_SECONDS = 5.0
_SECRET_FILES = ("*.pem", "*.key", "*.sqlite", "*.json", "*.toml", "*.token")


class _Place(NamedTuple):
    """The folder that is looked at, its settings, and what the command was told."""

    folder: Path
    node: NodeSettings | None
    hub: HubSettings | None
    backup: Path | None
    quick: bool

    @property
    def settings(self) -> NodeSettings | HubSettings:
        found = self.node or self.hub
        assert found is not None
        return found

    @property
    def own_url(self) -> str:
        from cohelix.federation.joining import read_pinned

        if self.hub is not None:
            return self.hub.url
        pinned = read_pinned(self.folder)
        return pinned.node_url if pinned is not None and not pinned.dials_out else ""


def examine(folder: Path, *, backup: Path | None = None, quick: bool = False) -> list[Finding]:
    """All findings of the node or hub in a folder.

    Raises
    ------
    NotFound
        If the folder is neither.
    BadFile, BadUsage
        If its settings cannot be read: nothing else can be looked at then.
    """
    from cohelix.hub.settings import read_settings as read_hub
    from cohelix.node.settings import read_settings as read_node

    node = read_node(folder) if (folder / "node.toml").exists() else None
    hub = read_hub(folder) if node is None and (folder / "hub.toml").exists() else None
    if node is None and hub is None:
        raise NotFound(f"{folder} is neither a node's nor a hub's folder")
    place = _Place(folder, node, hub, backup, quick)
    return [finding for check in _CHECKS for finding in _guarded(check, place)]


def glance(folder: Path) -> list[Finding]:
    """What a server's own page shows: all findings but those that need every byte read, and that of the backup."""
    return [one for one in examine(folder, quick=True) if one.slug != "backup-old"]


def _guarded(check: Callable[[_Place], Iterator[Finding]], place: _Place) -> list[Finding]:
    """A check's findings; one that cannot be made says so, and the others go on."""
    found: list[Finding] = []
    try:
        found.extend(check(place))
    except (CohelixError, OSError) as error:
        words = getattr(error, "detail", "") or str(error)
        found.append(
            Finding("check-failed", "fault", f"{check.__name__.strip('_')}: {words}", "mend this, and ask the doctor again")
        )
    return found


def _permissions(place: _Place) -> Iterator[Finding]:
    """The folder and every secret in it are for their owner alone."""
    from cohelix.web import chosen_tls

    paths = [place.folder, *(place.folder / name for name in ("identity", "authorities"))]
    for pattern in _SECRET_FILES:
        paths += [*place.folder.glob(pattern), *(place.folder / "identity").rglob(pattern)]
        paths += (place.folder / "authorities").rglob(pattern)
    tls = chosen_tls(place.folder, place.settings)
    public = {path.resolve() for path in (tls.certificate, tls.authority) if path is not None} if tls else set()
    alone = exposed(place.folder) is None  # nobody else reaches what lies in it
    before = len(paths)
    for path in dict.fromkeys(paths):
        words = exposed(path)
        secret = "identity" in path.parts or "authorities" in path.parts or path == place.folder
        if words is None or path.resolve() in public or (alone and not secret):
            continue
        says, _, mend = words.partition(": mend it with ")
        yield Finding("file-open", "fault", says, f"{mend}, and replace the secret if somebody may have read it")
        before = 0
    if tls is not None and (words := exposed(tls.key, group_may=True)) is not None:
        says, _, mend = words.partition(": mend it with ")
        yield Finding("file-open", "fault", says, f"{mend}, and renew the certificate with a new key")
        before = 0
    if before:
        yield Finding("file-open", "ok", "the folder and its secrets are for their owner alone")


def _identity(place: _Place) -> Iterator[Finding]:
    from cohelix.federation.signing import load_identity
    from cohelix.federation.successions import pending_succession

    key = load_identity(place.folder).public
    pending = pending_succession(place.folder)
    if pending is not None:
        age = datetime.now(UTC) - datetime.fromisoformat(pending.at)
        level: Level = "warning" if age.total_seconds() > 3600 else "ok"
        mend = "run `cohelix keys rotate` again" if place.node else "the hub tells its members while it serves"
        yield Finding(
            "key-announced", level, f"the key {pending.new} is announced since {pending.at} and does not sign yet", mend
        )
    yield Finding("identity", "ok", f"members know it by the key {key}")


def _certificate(place: _Place) -> Iterator[Finding]:
    from cohelix.web import chosen_tls
    from cohelix.web.tls import certificate_end

    tls = chosen_tls(place.folder, place.settings)
    if tls is None:
        url = place.own_url
        if url.startswith("http://") and not _is_loopback(url):
            yield Finding(
                "tls-off", "fault", f"{url} is served without TLS", "set tls_certificate and tls_key, or put a proxy in front"
            )
        else:
            yield Finding("tls-off", "ok", "TLS is a proxy's, or the address is this machine's own")
        return
    until = certificate_end(tls)
    days = (until - datetime.now(UTC)).total_seconds() / 86_400
    words = f"the certificate {tls.certificate} holds until {until:%Y-%m-%d %H:%M} UTC"
    level: Level = "fault" if days <= 0 else "warning" if days < CERTIFICATE_DAYS else "ok"
    yield Finding(
        "certificate-ends", level, words, "" if level == "ok" else "renew it; a server that runs takes it up by itself"
    )


def _own_address(place: _Place) -> Iterator[Finding]:
    url = place.own_url
    if not url:
        return
    answer = _get(place, f"{url}/healthz")
    if answer is None or answer.status_code != 200:
        yield Finding(
            "address-unreachable", "fault", f"nothing answers at {url}", "start the server, or mend address, proxy or firewall"
        )
        return
    yield Finding("address-unreachable", "ok", f"{url} answers")
    running = _get(place, f"{url}/service-info")
    version = running.json().get("version") if running is not None and running.status_code == 200 else None
    if version not in (None, __version__):
        words = f"the server that runs is version {version}, this command {__version__}"
        yield Finding("version-differs", "warning", words, "restart the server after an update")


def _hub(place: _Place) -> Iterator[Finding]:
    """A node's hub: known, reachable, of one mind about this member and the time."""
    from cohelix.federation.joining import read_pinned
    from cohelix.federation.signing import load_identity

    if place.node is None:
        return
    pinned = read_pinned(place.folder)
    if pinned is None:
        yield Finding(
            "hub-unknown", "warning", "this node has joined no hub", "ask a hub for an invitation: `cohelix node join`"
        )
        return
    answer = _get(place, f"{pinned.hub_url}/api/v1/members")
    if answer is None or answer.status_code != 200:
        yield Finding(
            "hub-unreachable",
            "fault",
            f"the hub at {pinned.hub_url} does not answer",
            "mend the road to it, or ask its operator",
        )
        return
    yield Finding("hub-unreachable", "ok", f"the hub at {pinned.hub_url} answers")
    yield from _clock(answer, pinned.hub_url)
    own = next((one for one in answer.json()["members"] if one["id"] == place.node.id), None)
    if own is None or own["key"] != load_identity(place.folder).public:
        yield Finding(
            "member-differs",
            "fault",
            "the hub knows this member by another key, or not at all",
            "join again, or finish `cohelix keys rotate`",
        )
    elif own["state"] != "active":
        yield Finding("member-differs", "warning", f"the hub lists this member as {own['state']}", "ask its operator")
    else:
        yield Finding("member-differs", "ok", "the hub lists this member as active, by its key")


def _clock(answer: httpx.Response, who: str) -> Iterator[Finding]:
    told = answer.headers.get("date")
    if told is None:
        return
    off = (datetime.now(UTC) - email.utils.parsedate_to_datetime(told)).total_seconds()
    level: Level = "fault" if abs(off) > TOLERANCE_SECONDS else "warning" if abs(off) > TOLERANCE_SECONDS / 4 else "ok"
    mend = "" if level == "ok" else "set the clock by NTP: signatures and visas are refused beyond 60 s"
    yield Finding("clock-off", level, f"the clock differs from that of {who} by {abs(off):.0f} s", mend)


def _members(place: _Place) -> Iterator[Finding]:
    """A hub's members: whether they answer."""
    from cohelix.federation.registry import Registry

    if place.hub is None:
        return
    for member in Registry(place.folder).members():
        if member.state != "active" or member.dials_out:
            continue
        answer = _get(place, f"{member.url}/healthz")
        if answer is None or answer.status_code != 200:
            yield Finding("member-unreachable", "warning", f"{member.id} does not answer at {member.url}", "tell its operator")
        else:
            yield from _clock(answer, member.id)


def _trust(place: _Place) -> Iterator[Finding]:
    """Whom visas are believed from, and whether the list of revoked ones is fresh."""
    trusted: tuple[Any, ...] = getattr(place.settings, "trust", ())
    if place.node is None:
        return
    if not any(one.role == "authority" for one in trusted) and not (place.folder / "authorities").is_dir():
        yield Finding("authority-unknown", "ok", "no authority is trusted: no visa opens data here")
    for one in trusted:
        yield from _published_keys(place.folder, place.node, one)
    known = [name for one in trusted for name in one.datasets]
    own = {f"{place.node.id}:{path.name}" for path in (place.folder / "datasets").glob("*") if path.is_dir()}
    for name in known:
        if name not in own and not name.endswith(":*"):
            yield Finding(
                "authority-unknown",
                "warning",
                f"the trust list names {name}, which this node does not have",
                "mend [[trust]] in node.toml",
            )


def _published_keys(folder: Path, settings: NodeSettings, one: Any) -> Iterator[Finding]:
    if one.keys:
        yield Finding("issuer-unreachable", "ok", f"the keys of {one.issuer} are pinned")
        return
    from cohelix.access.jose import read_key_set
    from cohelix.access.trust import TrustList
    from cohelix.core.errors import NotAuthentic
    from cohelix.federation.joining import read_pinned
    from cohelix.node.gate import keys_fetch

    hub = read_pinned(folder)
    fetch = keys_fetch(folder, settings, TrustList.of([one]), hub.hub_url if hub else "")
    try:
        found = read_key_set(fetch(one.jwks))
    except NotAuthentic as error:
        yield Finding(
            "issuer-unreachable",
            "fault",
            f"the keys of {one.issuer} cannot be read at {one.jwks}: {error.detail}",
            "mend the address, name its private authority (tls_ca), or pin its keys",
        )
    else:
        yield Finding("issuer-unreachable", "ok", f"{one.issuer} publishes {len(found)} keys")


def _revocations(place: _Place) -> Iterator[Finding]:
    from cohelix.federation.joining import read_pinned

    pinned = read_pinned(place.folder) if place.node else None
    base = place.hub.url if place.hub else pinned.hub_url if pinned else ""
    if not base or not (getattr(place.settings, "trust", ()) or place.hub):
        return
    answer = _get(place, f"{base}/api/v1/revocations")
    if answer is None or answer.status_code != 200:
        yield Finding(
            "revocations-stale",
            "fault" if place.node else "warning",
            f"{base} gives no list of revoked visas",
            "controlled questions are refused until it does",
        )
    else:
        yield Finding("revocations-stale", "ok", f"{base} gives the list of revoked visas")


def _datasets(place: _Place) -> Iterator[Finding]:
    from cohelix.bank.life import verify
    from cohelix.bank.publish import all_datasets

    if place.node is None:
        return
    names = all_datasets(place.folder)
    if not names:
        yield Finding("dataset-damaged", "warning", "this node has no dataset", "load one: `cohelix node load`")
        return
    if place.quick:
        return
    for name, damage in verify(place.folder, names).items():
        if damage:
            yield Finding(
                "dataset-damaged",
                "fault",
                f"{name}: {', '.join(damage)} is damaged",
                "bring it back from a backup, or load it again",
            )
        else:
            yield Finding("dataset-damaged", "ok", f"{name} is as it was written")


def _bound(place: _Place) -> Iterator[Finding]:
    from cohelix.access.policy import ANONYMOUS_POWER_MAX

    if place.node is None:
        return
    bound = place.node.disclosure.anonymous_power_max
    if bound > ANONYMOUS_POWER_MAX:
        words = (
            f"everybody may ask of variants up to a membership power of {bound:.2f}; {ANONYMOUS_POWER_MAX:.2f} is the default"
        )
        yield Finding(
            "bound-raised", "warning", words, "set [disclosure] anonymous_power_max back, or write down who decided it"
        )
    else:
        yield Finding("bound-raised", "ok", f"the bound of membership power is {bound:.2f}")


def _broker(place: _Place) -> Iterator[Finding]:
    if place.hub is None:
        return
    if place.hub.broker.embedded and not _is_loopback(place.hub.url):
        yield Finding(
            "broker-embedded",
            "warning",
            "the embedded issuer of identities is on",
            "it is for the demo and closed sites: name an [[issuers]] and switch it off",
        )
    if place.hub.accept_bearer:
        yield Finding(
            "bearer-taken",
            "warning",
            "access tokens that are bound to no key are taken",
            "set accept_bearer = false: who has seen such a token can use it",
        )


def _disk(place: _Place) -> Iterator[Finding]:
    usage = shutil.disk_usage(place.folder)
    level: Level = "fault" if usage.free < DISK_BYTES else "warning" if usage.free < DISK_SHARE * usage.total else "ok"
    mend = "" if level == "ok" else "make room: where the audit log cannot be written, nothing is answered that must be in it"
    yield Finding("disk-low", level, f"{usage.free / 1e9:.1f} GB of {usage.total / 1e9:.1f} GB are free", mend)


def _database(place: _Place) -> Iterator[Finding]:
    import sqlalchemy as sa

    from cohelix.db import revision
    from cohelix.db.engine import connect_database
    from cohelix.db.upgrades import newest_revision
    from cohelix.hub.settings import DATABASE_FILE
    from cohelix.node.settings import database_of

    if place.node is not None:
        where = database_of(place.folder, place.node)
    else:
        assert place.hub is not None
        where = place.hub.database or str(place.folder / DATABASE_FILE)
    if "://" not in where and not Path(where).exists():
        yield Finding("database-behind", "ok", "the database is made when something is first kept")
        return
    engine: Engine = connect_database(where)
    try:
        with engine.connect() as connection:
            found = revision(connection)
            kind = connection.dialect.name
    except sa.exc.SQLAlchemyError as error:
        words = type(error.orig).__name__ if isinstance(error, sa.exc.DBAPIError) else type(error).__name__
        yield Finding(
            "database-unreachable",
            "fault",
            f"the database cannot be opened ({words})",
            "start it, or mend the setting `database`",
        )
        return
    finally:
        engine.dispose()
    newest = newest_revision()
    if found == newest:
        yield Finding("database-behind", "ok", f"the database ({kind}) is at revision {found}")
    else:
        words = f"the database ({kind}) is at revision {found or 'none'}, this version wants {newest}"
        yield Finding("database-behind", "warning", words, "a server of this version brings it forward when it starts")


def _audit(place: _Place) -> Iterator[Finding]:
    from cohelix.audit.bundle import Trust, verify_store
    from cohelix.audit.witnessed import Witnessed
    from cohelix.cli.audit_log import server_log
    from cohelix.federation.signing import load_identity

    with server_log(place.folder) as log:
        store = log.store()
        head = store.head()
        if head is None:
            yield Finding("audit-broken", "ok", "the audit log has no entry yet")
            return
        if not place.quick:
            misfit = verify_store(store, Trust([], load_identity(place.folder).public)).misfit
            if misfit is not None:
                words = f"the audit log does not hold at entry {misfit.first}: {misfit.problem}"
                yield Finding(
                    "audit-broken", "fault", words, "keep it as it is, and compare with the checkpoints that other members hold"
                )
            else:
                yield Finding("audit-broken", "ok", f"the audit log holds: {head.size:,} entries")
        held = Witnessed(store).all()
    for origin, one in held.items():
        age = (datetime.now(UTC) - datetime.fromisoformat(one.seen_at)).total_seconds() / 3600
        if one.alarm:
            yield Finding(
                "witness-alarm",
                "fault",
                f"the log of {origin} contradicts itself: {one.alarm}",
                "tell the other members; once its operator has explained it: cohelix audit settle",
            )
        elif age > WITNESS_HOURS:
            yield Finding(
                "audit-unwitnessed",
                "warning",
                f"no checkpoint of {origin} was seen for {age:.0f} hours",
                "look whether it serves",
            )
    if not held:
        yield Finding(
            "audit-unwitnessed",
            "warning",
            "no checkpoint was exchanged with another member yet",
            "it happens while hub and nodes serve",
        )


def _backup(place: _Place) -> Iterator[Finding]:
    if place.backup is None:
        yield Finding("backup-old", "ok", "not looked at: name the last backup with --backup")
        return
    files = [place.backup] if place.backup.is_file() else [one for one in place.backup.glob("*") if one.is_file()]
    if not files:
        yield Finding("backup-old", "fault", f"there is no backup at {place.backup}", "make one: `cohelix node backup`")
        return
    newest = max(files, key=lambda one: one.stat().st_mtime)
    days = (datetime.now(UTC).timestamp() - newest.stat().st_mtime) / 86_400
    level: Level = "warning" if days > BACKUP_DAYS else "ok"
    yield Finding(
        "backup-old",
        level,
        f"{newest.name} is {days:.0f} days old",
        "" if level == "ok" else "make a new one: `cohelix node backup`",
    )
    if (words := exposed(newest)) is not None:
        says, _, mend = words.partition(": mend it with ")
        yield Finding("file-open", "fault", says, f"{mend}: a backup is as secret as the folder")


def _get(place: _Place, url: str) -> httpx.Response | None:
    """What is at an address of another member, by the roads that servers use; None where nothing answers."""
    import httpx

    from cohelix.web import member_roads

    try:
        context = member_roads(place.folder, place.settings).context()
        return httpx.get(url, verify=context, trust_env=False, timeout=_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return None


def _is_loopback(url: str) -> bool:
    from cohelix.federation.transport import is_private

    return is_private(url)


_CHECKS: tuple[Callable[[_Place], Iterator[Finding]], ...] = (
    *(_permissions, _identity, _certificate, _own_address, _hub, _members, _trust, _revocations),
    *(_datasets, _bound, _broker, _disk, _database, _audit, _backup),
)
