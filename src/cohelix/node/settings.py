"""A node's own settings, `node.toml` in its folder: how a new folder is made, how they are read, and what commands change."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from cohelix.access.applications import Rules
from cohelix.access.issuers import IssuerSettings
from cohelix.access.policy import ANONYMOUS_POWER_MAX
from cohelix.access.trust import Trusted
from cohelix.core.errors import BadFile, BadUsage, Conflict, NotFound
from cohelix.core.ids import NodeId, node_id
from cohelix.disclosure.analysis import AnalysisPolicy

if TYPE_CHECKING:
    import tomlkit

SETTINGS_FILE: Final = "node.toml"
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_VARIABLES: Final = {
    "url": "COHELIX_NODE_URL",
    "environment": "COHELIX_ENVIRONMENT",
    "database": "COHELIX_NODE_DATABASE",
    "tls_certificate": "COHELIX_NODE_TLS_CERTIFICATE",
    "tls_key": "COHELIX_NODE_TLS_KEY",
    "tls_ca": "COHELIX_NODE_TLS_CA",
    "tls_mutual": "COHELIX_NODE_TLS_MUTUAL",
}


class PeerSettings(BaseModel):
    """A member whom the operator of this node knows: the hub has no say in it.

    Attributes
    ----------
    id, key
        The member's id, and its public Ed25519 key as its operator's `cohelix node peers` prints it.
    aggregator
        Whether shares of this node's figures may be sent to it (rule 10 of the interface).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    key: str = Field(pattern=r"^[A-Za-z0-9_-]{43}$")  # 32 bytes, base64url
    aggregator: bool = False


class DisclosureSettings(BaseModel):
    """What a node lets everybody ask; `[disclosure]` of its `node.toml`.

    Attributes
    ----------
    anonymous_power_max
        The membership power of a floored dataset's frequencies up to which somebody unknown may ask it of variants; with 1,
        whatever they would tell.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    anonymous_power_max: float = Field(default=ANONYMOUS_POWER_MAX, ge=0, le=1)


class NodeSettings(BaseModel):
    """What a node says of itself; read from `node.toml`, `url` and `environment` also from the environment.

    Attributes
    ----------
    id, name, country
        The member's id in federations, its name for people, ISO 3166-1 alpha-2 code of its country.
    may_overlap
        Whether its people may also be at another member.
    url
        The public address where it differs from the one that requests name, as behind a proxy
        (`COHELIX_NODE_URL`).
    environment
        What the Beacon says of itself: prod, test, dev or staging (`COHELIX_ENVIRONMENT`).
    organisation, organisation_url
        Who runs the node; the name of the node where nothing is given.
    database
        Where runs and the ledger are kept: a file, or the address of a PostgreSQL (`COHELIX_NODE_DATABASE`);
        `node.sqlite` in the folder where nothing is given.
    tls_certificate, tls_key
        PEM files: with them the node serves TLS 1.3, and shows the certificate where a hub asks for one.
    tls_ca
        PEM file of the only authority that is trusted for the hub's certificate; the system's where nothing is given.
    tls_mutual
        Whether the hub must show a certificate of `tls_ca`.
    aggregator
        Whether this node adds up shares of others (rule 10 of the interface).
    analysis
        What it asks of analyses.
    disclosure
        What it lets everybody ask.
    applications
        The federation's rules for applications, by which the node's own committees grant; as in the hub's settings.
    trust
        Brokers whose passports it believes, and authorities whose visas open its data.
    issuers
        Issuers of access tokens with which people ask the node itself.
    peers
        Members whom it knows, none twice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str = Field(min_length=1, max_length=200)
    country: str
    may_overlap: bool = False
    url: str | None = None
    environment: Literal["prod", "test", "dev", "staging"] = "prod"
    organisation: str | None = None
    organisation_url: str | None = None
    database: str | None = None
    tls_certificate: str = ""
    tls_key: str = ""
    tls_ca: str = ""
    tls_mutual: bool = False
    aggregator: bool = False
    analysis: AnalysisPolicy = AnalysisPolicy()
    disclosure: DisclosureSettings = DisclosureSettings()
    applications: Rules = Rules()
    trust: tuple[Trusted, ...] = ()
    issuers: tuple[IssuerSettings, ...] = ()
    peers: tuple[PeerSettings, ...] = ()

    @field_validator("peers", mode="after")
    @classmethod
    def _none_twice(cls, value: tuple[PeerSettings, ...]) -> tuple[PeerSettings, ...]:
        if len({peer.id for peer in value}) < len(value) or len({peer.key for peer in value}) < len(value):
            raise ValueError("a member or a key stands there twice")
        return value

    @property
    def node(self) -> NodeId:
        return NodeId(self.id)


def read_settings(folder: Path) -> NodeSettings:
    """The settings of the node in a folder.

    Raises
    ------
    NotFound
        If the folder is not a node's.
    BadFile
        If `node.toml` cannot be read, or a setting is unknown or malformed.
    """
    path = folder / SETTINGS_FILE
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"{folder} is not a node's folder: make one with 'cohelix node init {folder}'") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadFile(str(path), "", f"it cannot be read ({error})", "TOML as 'cohelix node init' writes it") from None
    for name, variable in _VARIABLES.items():
        if os.environ.get(variable):
            given[name] = os.environ[variable]
    settings = _validated(path, given)
    node_id(settings.id)
    _check_country(settings.country)
    return settings


def _validated(path: Path, given: dict[str, Any]) -> NodeSettings:
    try:
        return NodeSettings.model_validate(given)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(step) for step in fault["loc"])
        raise BadFile(str(path), place, fault["msg"], "a setting as docs/reference/configuration.md describes it") from None


def database_of(folder: Path, settings: NodeSettings) -> str:
    """Where the node in a folder keeps runs and its ledger, as `db.open_database` takes it."""
    where = settings.database or "node.sqlite"
    return where if "://" in where else str(folder / where)


def set_project(folder: Path, project: str, *, allowed: bool) -> NodeSettings:
    """Allow a project to analyse data that are not open, or forbid it."""
    now = read_settings(folder).analysis.projects
    wanted = list(dict.fromkeys([*now, project])) if allowed else [one for one in now if one != project]
    with _edited(folder) as document:
        document.setdefault("analysis", {})["projects"] = wanted
    return read_settings(folder)


def set_peer(folder: Path, peer: PeerSettings | str) -> NodeSettings:
    """Put a member on the list of peers, in place of an older entry of its id; or take the one of this id off it.

    Raises
    ------
    NotFound
        If there is no such member to take off.
    """
    now, name = read_settings(folder).peers, peer if isinstance(peer, str) else peer.id
    wanted = [one for one in now if one.id != name]
    if isinstance(peer, PeerSettings):
        wanted.append(peer)
    elif len(wanted) == len(now):
        raise NotFound(f"{name} is not on the list of peers")
    with _edited(folder) as document:
        import tomlkit

        tables = tomlkit.aot()
        for one in wanted:
            tables.append(tomlkit.item(one.model_dump()))
        document.pop("peers", None)
        if wanted:
            document["peers"] = tables
    return read_settings(folder)


def set_aggregator(folder: Path, *, adds_up: bool) -> NodeSettings:
    """Let the node add up other members' shares in secure sums, or no longer (rule 10 of the interface)."""
    with _edited(folder) as document:
        document["aggregator"] = adds_up
    return read_settings(folder)


@contextmanager
def _edited(folder: Path) -> Iterator[tomlkit.TOMLDocument]:
    """`node.toml` to change, its comments kept; written whole, once what was written can be read as settings."""
    import tomlkit

    path = folder / SETTINGS_FILE
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    yield document
    text = tomlkit.dumps(document)
    _validated(path, tomllib.loads(text))
    draft = path.with_name(f"{SETTINGS_FILE}.new")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def init_node(folder: Path, *, node: str, name: str, country: str) -> NodeSettings:
    """Make a node's folder, for its owner alone: `node.toml`, `identity/` and an empty `datasets/`.

    Raises
    ------
    Conflict
        If the folder is not empty.
    BadUsage
        If the id or the country is malformed.
    """
    from cohelix.federation.signing import create_identity

    settings = NodeSettings(id=node_id(node), name=_checked_name(name), country=_check_country(country.upper()))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise Conflict(f"{folder} is not empty: name a new or an empty folder")
    except (FileExistsError, NotADirectoryError):
        raise Conflict(f"{folder} is a file: a node needs a folder of its own") from None
    # What will lie here is not for other users of the machine.
    folder.chmod(0o700)
    create_identity(folder)
    (folder / "datasets").mkdir()
    # JSON's strings are TOML's basic strings; node.toml comes last, so that a folder without it is no node.
    lines = [
        "# Settings of a Cohelix node; docs/reference/configuration.md describes them.",
        f"id = {json.dumps(settings.id, ensure_ascii=False)}",
        f"name = {json.dumps(settings.name, ensure_ascii=False)}",
        f"country = {json.dumps(settings.country)}",
        "# true if people of this node may also be at another member of the federation",
        "may_overlap = false",
    ]
    (folder / SETTINGS_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return settings


def _checked_name(name: str) -> str:
    plain = " ".join(name.split())
    if not plain or len(plain) > 200 or not plain.isprintable():
        raise BadUsage("a node's name is 1 to 200 printable characters")
    return plain


def _check_country(country: str) -> str:
    if not _COUNTRY.fullmatch(country):
        raise BadUsage(f"{country!r} is not a country: use two letters of ISO 3166, as FI")
    return country
