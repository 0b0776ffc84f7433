"""Who is asked for a login, and who somebody is taken for: the hub's `/api/v1/identity` and `/api/v1/me`."""

from __future__ import annotations

from typing import Literal

from cohelix.wire.frequency import Wire


class LoginPoint(Wire):
    """Where a program logs in its person; both texts are empty where it cannot.

    Attributes
    ----------
    issuer
        The issuer whose discovery document says how.
    client_id
        As whom the program asks there.
    """

    issuer: str = ""
    client_id: str = ""


class HeldVisa(Wire):
    """A visa as a person's issuer hands it out; nodes verify it when it is used.

    Attributes
    ----------
    kind, value
        As in `ga4gh_visa_v1`.
    issuer
        The authority that signed it.
    expires
        Until when it holds, in seconds since 1970.
    """

    kind: str
    value: str
    issuer: str
    expires: int


class Me(Wire):
    """Whom the hub takes a request's sender for.

    Attributes
    ----------
    subject, issuer
        The person, and who says so.
    name
        What pages call the person.
    way
        `session` of a browser, or `token` of a program.
    roles
        Duties that the hub's operator has given.
    visas
        What the person's passport holds now.
    trouble
        Why the visas cannot be told; empty where they can.
    """

    subject: str
    issuer: str
    name: str
    way: Literal["session", "token"]
    roles: tuple[str, ...] = ()
    visas: tuple[HeldVisa, ...] = ()
    trouble: str = ""
