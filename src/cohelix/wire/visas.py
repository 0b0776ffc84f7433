"""Granted visas at the hub: how an authority hands one in, and how a person sees those that they hold."""

from __future__ import annotations

from pydantic import Field

from cohelix.wire.frequency import Wire
from cohelix.wire.passport import VISA_CHARACTERS_MAX


class VisaHandedIn(Wire):
    """A visa as its authority signed it; its signature is the only thing that it is judged by."""

    visa: str = Field(min_length=1, max_length=VISA_CHARACTERS_MAX, description="A compact JWT of type vnd.ga4gh.visa+jwt")


class VisaKept(Wire):
    """A visa that the hub keeps until it ends, and hands to nobody but its person's broker.

    Attributes
    ----------
    visa
        Its `jti`.
    dataset
        Which dataset it opens, `NODE:DATASET`.
    authority
        Who decided: the `iss` of the visa.
    expires
        Until when it holds, in UTC; a revocation may end it before.
    """

    visa: str
    dataset: str
    authority: str
    expires: str


class OwnVisas(Wire):
    """The visas of the person who asks."""

    visas: tuple[VisaKept, ...]
