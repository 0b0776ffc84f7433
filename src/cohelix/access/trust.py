"""Whom an operator trusts: brokers that say who somebody is, and authorities whose visas open data; `[[trust]]`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from cohelix.access.actor import VisaKind
from cohelix.core.errors import NotAuthentic

if TYPE_CHECKING:
    from cohelix.access.jose import Key

_STATED: Final = tuple(kind for kind in VisaKind if kind is not VisaKind.CONTROLLED_ACCESS_GRANTS)


class Trusted(BaseModel):
    """One entry of `[[trust]]`.

    Attributes
    ----------
    issuer
        As its tokens name it (`iss`), letter by letter.
    role
        `broker`: its passports are believed, and its visas about persons. `authority`: it decides about data; its grants are
        believed for `datasets`.
    jwks
        Where it publishes its keys; its visas name this address and no other (`jku`). Nothing is fetched from elsewhere.
    keys
        Its public keys as JWKs, where they are pinned: then nothing is ever fetched.
    tls_ca
        PEM file, beneath the folder, of the only authority that is trusted for the certificate of `jwks`.
    datasets
        Of an authority: the datasets about which it decides, `NODE:DATASET` or `NODE:*`.
    sources
        Organisations whose statements are believed where this issuer passes them on (a visa's `source`); `*` for all.
    asserted_days_max
        How long ago what a visa states may have been asserted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(min_length=1, max_length=500)
    role: Literal["broker", "authority"]
    jwks: str = Field(min_length=1, max_length=500)
    keys: tuple[dict[str, Any], ...] = ()
    tls_ca: str = ""
    datasets: tuple[str, ...] = ()
    sources: tuple[str, ...] = ("*",)
    asserted_days_max: int = Field(default=1096, ge=1, le=36_600)

    @field_validator("jwks")
    @classmethod
    def _an_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.fragment:
            raise ValueError("write the address of the issuer's keys: https://…")
        return value

    @model_validator(mode="after")
    def _fits_its_role(self) -> Self:
        if (self.role == "authority") != bool(self.datasets):
            raise ValueError("an authority has datasets about which it decides, and a broker has none")
        if self.keys and len(self.pinned) != len(self.keys):
            raise ValueError(
                "each of the pinned keys is a public JWK with a kid of its own: RSA of 2048 bits or more, or P-256"
            )
        return self

    @property
    def pinned(self) -> dict[str, Key]:
        """The pinned keys by `kid`."""
        from cohelix.access.jose import read_key_set  # 70 ms, for the few settings that have keys

        return read_key_set({"keys": list(self.keys)})

    @property
    def kinds(self) -> tuple[VisaKind, ...]:
        """The types of visas that it may issue."""
        return _STATED if self.role == "broker" else (VisaKind.CONTROLLED_ACCESS_GRANTS,)

    def decides(self, dataset: str) -> bool:
        """Whether it decides about a dataset, `NODE:DATASET`."""
        return dataset in self.datasets or f"{dataset.partition(':')[0]}:*" in self.datasets

    def believes(self, source: str) -> bool:
        """Whether what a source says is believed where this issuer passes it on."""
        return "*" in self.sources or source in self.sources


@dataclass(frozen=True)
class TrustList:
    """The entries of `[[trust]]`, for quick questions; does not change."""

    entries: tuple[Trusted, ...] = ()
    _by_issuer: dict[str, Trusted] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, entries: Iterable[Trusted]) -> TrustList:
        """A list of these; an issuer stands there once.

        Raises
        ------
        NotAuthentic
            If an issuer is there twice.
        """
        found = tuple(entries)
        by_issuer = {entry.issuer: entry for entry in found}
        if len(by_issuer) < len(found):
            raise NotAuthentic("an issuer stands twice in the list of trust")
        return cls(found, by_issuer)

    def issuer(self, name: str) -> Trusted | None:
        """The entry of an issuer, whatever its role."""
        return self._by_issuer.get(name)

    def broker(self, name: str) -> Trusted | None:
        """The entry of an issuer whose passports are believed."""
        found = self._by_issuer.get(name)
        return found if found is not None and found.role == "broker" else None

    def authorities(self, dataset: str) -> frozenset[str]:
        """Issuers of visas that decide about a dataset, `NODE:DATASET`."""
        return frozenset(entry.issuer for entry in self.entries if entry.role == "authority" and entry.decides(dataset))


def merged(first: TrustList, more: Sequence[Trusted]) -> TrustList:
    """A list with further entries; where an issuer is in both, the first list's entry stands."""
    return TrustList.of((*first.entries, *(entry for entry in more if first.issuer(entry.issuer) is None)))
