"""Which issuers of identities an operator trusts: `[[issuers]]` of `hub.toml` and `node.toml`, and secrets in files."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from cohelix.core.errors import BadUsage, NotFound

PASSPORT_SCOPE: Final = "ga4gh_passport_v1"
NODE_AUDIENCE: Final = "urn:cohelix:node:"
GRANT_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
PASSPORT_TYPE: Final = "urn:ga4gh:params:oauth:token-type:passport"
ACCESS_TYPE: Final = "urn:ietf:params:oauth:token-type:access_token"


class IssuerSettings(BaseModel):
    """An issuer of identities that the operator trusts to say who somebody is: `[[issuers]]` in `hub.toml` and `node.toml`.

    Attributes
    ----------
    issuer
        Its address, exactly as its discovery document gives it.
    name
        What the sign-in page calls it; its host where nothing is given.
    client_id
        As it knows this server.
    client_secret_file
        File with the secret, beneath the folder; readable by its owner only.
    tls_ca
        PEM file, beneath the folder, of the only authority that is trusted for its certificate; the system's where
        nothing is given.
    scopes
        What is asked for at a login.
    cli_client_id
        As whom `cohelix login` asks it, where it knows that program too; its tokens must be meant for the hub's address.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(min_length=1, max_length=500)
    name: str = ""
    client_id: str = Field(min_length=1)
    client_secret_file: str = ""
    tls_ca: str = ""
    scopes: str = f"openid profile {PASSPORT_SCOPE}"

    cli_client_id: str = ""

    @field_validator("issuer")
    @classmethod
    def _an_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("write the issuer's address as its discovery document has it: https://…")
        return value

    @property
    def shown(self) -> str:
        """What pages call it."""
        return self.name or str(urlsplit(self.issuer).hostname)


def read_secret(folder: Path, name: str) -> str:
    """The secret in a file beneath a folder; empty where no file is named.

    Raises
    ------
    NotFound
        If there is no such file.
    BadUsage
        If others may read it.
    """
    if not name:
        return ""
    path = folder / name
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise NotFound(f"there is no file {path} with the secret") from None
    if mode & 0o077:
        raise BadUsage(f"{path} may be read by others: chmod 600 {path}")
    return path.read_text(encoding="utf-8").strip()
