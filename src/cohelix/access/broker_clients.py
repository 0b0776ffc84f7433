"""Who may ask the embedded issuer for tokens: the hub, nodes that are asked directly, other hubs, and the command line."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from cohelix.access.issuers import NODE_AUDIENCE
from cohelix.core.errors import BadUsage, Conflict, IssuerRefused
from cohelix.db.tables import BROKER_CLIENTS

CLI_CLIENT: Final = "cohelix-cli"
HUB_CLIENT: Final = "hub"
_NODE_CLIENT: Final = "node-"
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,68}")  # no colon: HTTP Basic ends the name there


@dataclass(frozen=True, slots=True)
class Client:
    """A program that is known.

    Attributes
    ----------
    id
        Its `client_id`.
    audience
        The `aud` of the access tokens that are meant for it, and the only ones that it may exchange.
    redirects
        Addresses at which it takes codes; compared as texts.
    public
        Whether it has no secret, since it runs on people's own machines.
    """

    id: str
    audience: str
    redirects: tuple[str, ...] = ()
    public: bool = False

    def may_ask_for(self, audience: str) -> bool:
        """Whether it gets passports for an audience: its own; the hub also for nodes, on behalf of people."""
        return audience == self.audience or (self.id == HUB_CLIENT and audience.startswith(NODE_AUDIENCE))


class BrokerClients:
    """The clients in one database; the command line is one without being written down."""

    def __init__(self, engine: Engine, hub_url: str) -> None:
        self._engine = engine
        self._cli = Client(CLI_CLIENT, hub_url, public=True)

    def add(self, name: str, *, audience: str = "", redirects: Sequence[str] = ()) -> str:
        """Register a client; returns its secret, which is told once.

        A node's is called `node-ID`, and its audience follows from that.

        Raises
        ------
        BadUsage
            If the name, or an address for codes, is none.
        Conflict
            If there is one of that name.
        """
        if not _ID.fullmatch(name) or name == CLI_CLIENT:
            raise BadUsage(f"{name!r} is not a client's name: use 1 to 69 letters, digits, '.', '_' or '-'")
        for address in redirects:
            parts = urlsplit(address)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment or "*" in address:
                raise BadUsage(f"{address!r} is not an address for codes: write it whole, without a fragment")
        if name.startswith(_NODE_CLIENT):
            audience = NODE_AUDIENCE + name.removeprefix(_NODE_CLIENT)
        if not audience:
            raise BadUsage("say for whom the client's tokens are: give an audience")
        secret = secrets.token_urlsafe(32)
        values = {"id": name, "secret": _hash(secret), "audience": audience, "redirects": list(redirects)}
        try:
            with self._engine.begin() as connection:
                connection.execute(BROKER_CLIENTS.insert().values(values))
        except sa.exc.IntegrityError:
            raise Conflict(f"there is a client {name!r} already: remove it first") from None
        return secret

    def remove(self, name: str) -> bool:
        """Forget a client; False where there is none of that name."""
        with self._engine.begin() as connection:
            return bool(connection.execute(BROKER_CLIENTS.delete().where(BROKER_CLIENTS.c.id == name)).rowcount)

    def all(self) -> tuple[Client, ...]:
        """Every client, by name."""
        with self._engine.begin() as connection:
            rows = connection.execute(sa.select(BROKER_CLIENTS).order_by(BROKER_CLIENTS.c.id)).all()
        return (self._cli, *(Client(row.id, row.audience, tuple(row.redirects)) for row in rows))

    def get(self, name: str) -> Client | None:
        """The client of a name, whoever asks: not yet proven."""
        return next((one for one in self.all() if one.id == name), None)

    def proven(self, name: str, secret: str | None) -> Client:
        """The client of a request, with its secret; `IssuerRefused` where that is wrong, or missing and needed."""
        client = self.get(name)
        if client is not None and client.public and secret is None:
            return client
        with self._engine.begin() as connection:
            kept = connection.scalar(sa.select(BROKER_CLIENTS.c.secret).where(BROKER_CLIENTS.c.id == name))
        if client is None or kept is None or secret is None or not hmac.compare_digest(kept, _hash(secret)):
            raise IssuerRefused("invalid_client", "the client is not known, or its secret is not right")
        return client


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
