"""One frozen `HubSettings`, read from the hub folder's `hub.toml` and the environment; and the making of that folder."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cohelix.access.applications import Rules
from cohelix.access.issuers import IssuerSettings
from cohelix.access.mail import MailSettings
from cohelix.core.errors import BadFile, BadUsage, Conflict, NotFound
from cohelix.federation.fan_out import DEADLINE_SECONDS
from cohelix.federation.polling import POLL_SECONDS, POLL_SECONDS_MAX
from cohelix.federation.run_limits import RunLimits
from cohelix.federation.signing import create_identity
from cohelix.federation.transport import checked_address, is_private
from cohelix.federation.witness import WITNESS_SECONDS

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from cohelix.federation.run_store import RunStore, SumStore

_FILE = "hub.toml"
DATABASE_FILE = "hub.sqlite"
RUNS_FOLDER = "runs"
_NAME = "Cohelix federation"
_ENVIRONMENT = "COHELIX_HUB_"


class BrokerSettings(BaseModel):
    """The embedded issuer of identities: for the demo, and for sites without an identity provider of their own.

    Attributes
    ----------
    embedded
        Whether it is on, below `/broker`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedded: bool = False


class HubSettings(BaseModel):
    """A hub's settings; each may also come from the environment as `COHELIX_HUB_<NAME>`, which goes first.

    Attributes
    ----------
    url
        The hub's address as everybody reaches it; part of dataset visas later (rule 6), so it should last.
    name
        What pages and services call the hub.
    contact
        Where people tell the operator of a barrier: an address, or a telephone number.
    deadline_seconds
        How long every member may take to answer.
    poll_seconds
        How long the poll of a member that dials out waits for a question; less than the proxies between allow.
    private_addresses
        Whether members at private and loopback addresses, and over plain http, may be dialled. A hub made with such
        an address of its own starts with true.
    database
        Where runs are kept: `postgresql+psycopg://USER@HOST/NAME`; empty for a SQLite file in the hub's folder.
    tls_certificate, tls_key
        PEM files: with them the hub serves TLS 1.3, and shows the certificate where a node asks for one.
    tls_ca
        PEM file of the only authority that is trusted for members' certificates; the system's where nothing is given.
    tls_mutual
        Whether members must show a certificate of `tls_ca` to join and to fetch their questions.
    runs_at_once, runs_waiting
        Analyses that are driven at the same time, and that are under way at most, those that wait included.
    run_deadline_seconds
        From the proposal of an analysis until it is given up.
    run_open_seconds
        How long members may take to say whether they take part; who has not said so by then is left out.
    witness_seconds
        From one exchange of audit checkpoints with the members to the next.
    aggregators
        Ids of the members that are asked first to add up shares, in order, with commas or spaces between.
    issuers
        Issuers of identities at which people may log in.
    broker
        The hub's own issuer.
    mail
        The mail server that takes notices to people.
    applications
        What the federation has agreed on: days, quorum, and what silence means.
    accept_bearer
        Whether access tokens that are bound to no key are taken: whoever has seen one can use it.
    session_idle_seconds, session_seconds
        When a browser's session ends: after so long without a request, and in any case.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    url: str
    name: str = _NAME
    contact: str = Field(default="", max_length=200)
    deadline_seconds: float = Field(default=DEADLINE_SECONDS, gt=0, le=60)
    poll_seconds: float = Field(default=POLL_SECONDS, ge=1, le=POLL_SECONDS_MAX)
    private_addresses: bool = False
    database: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    tls_ca: str = ""
    tls_mutual: bool = False
    runs_at_once: int = Field(default=2, ge=1, le=64)
    runs_waiting: int = Field(default=100, ge=1, le=10_000)
    run_deadline_seconds: float = Field(default=86_400.0, gt=0)
    run_open_seconds: float = Field(default=60.0, gt=0, le=3600)
    witness_seconds: float = Field(default=WITNESS_SECONDS, ge=0.1, le=3600)
    aggregators: str = ""
    issuers: tuple[IssuerSettings, ...] = ()
    broker: BrokerSettings = BrokerSettings()
    mail: MailSettings = MailSettings()
    applications: Rules = Rules()
    accept_bearer: bool = False
    session_idle_seconds: int = Field(default=1800, ge=60, le=86_400)
    session_seconds: int = Field(default=28_800, ge=60, le=604_800)

    @property
    def run_limits(self) -> RunLimits:
        """The settings of runs."""
        return RunLimits(
            at_once=self.runs_at_once,
            waiting_max=self.runs_waiting,
            deadline_seconds=self.run_deadline_seconds,
            open_seconds=self.run_open_seconds,
            aggregators=tuple(self.aggregators.replace(",", " ").split()),
        )


def make_hub(folder: Path, *, url: str, name: str | None = None) -> HubSettings:
    """Make a hub's folder with settings and a new identity; `Conflict` if it is not empty."""
    address = checked_address(url, private_addresses=True)
    settings = HubSettings(url=address, private_addresses=is_private(address), name=name or _NAME)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise Conflict(f"{folder} is not empty: name a new or an empty folder")
    folder.chmod(0o700)  # who is a member is for the hub to tell
    create_identity(folder)
    lines = [
        f"format = {settings.format}",
        f"url = {json.dumps(settings.url)}",
        f"name = {json.dumps(settings.name)}",
        f"deadline_seconds = {settings.deadline_seconds}",
        f"private_addresses = {str(settings.private_addresses).lower()}",
    ]
    (folder / _FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return settings


def read_settings(folder: Path) -> HubSettings:
    """The settings of a hub's folder; `NotFound` if it is none, `BadFile` or `BadUsage` for a setting that is not valid."""
    path = folder / _FILE
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFound(f"{folder} is not a hub's folder: make one with `cohelix hub init`") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadFile(str(path), "", f"not TOML: {error}", "settings as `cohelix hub init` writes them") from error
    for name in HubSettings.model_fields:
        given = os.environ.get(_ENVIRONMENT + name.upper())
        if given is not None:
            found[name] = given
    try:
        return HubSettings.model_validate(found)
    except ValidationError as error:
        fault = error.errors()[0]
        raise BadUsage(f"{path}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error


def open_runs(folder: Path) -> RunStore:
    """The runs of a hub's folder, beside a hub that may be serving."""
    from cohelix.federation.run_store import RunStore

    return RunStore(open_hub_database(folder))


def open_sums(folder: Path, run: str) -> SumStore:
    """The opened sums of a run of a hub's folder."""
    from cohelix.federation.run_store import SumStore

    return SumStore(open_hub_database(folder), folder / RUNS_FOLDER / run, run)


def open_hub_database(folder: Path) -> Engine:
    """The database of a hub's folder, beside a hub that may be serving."""
    from cohelix.db import open_database

    return open_database(read_settings(folder).database or folder / DATABASE_FILE)


def verdicts_of(folder: Path, run: str) -> list[dict[str, Any]]:
    """What the automatic check said of the files of a finished run; empty before."""
    path = folder / RUNS_FOLDER / run / "verdicts.json"
    found: list[dict[str, Any]] = json.loads(path.read_bytes()) if path.is_file() else []
    return found
