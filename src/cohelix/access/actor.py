"""Who asks: the verified person behind a question, with roles and visas. Whoever is not verified is `ANONYMOUS`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

# Registered access: both visas name this document (GA4GH Passport 1.2.1, section "ResearcherStatus").
REGISTERED_ACCESS: Final = "https://doi.org/10.1038/s41431-018-0219-y"


class Role(StrEnum):
    """What a person does in the federation. A role opens pages and duties; none of them opens data."""

    RESEARCHER = "researcher"
    SIGNING_OFFICIAL = "signing-official"
    DAC_MEMBER = "dac-member"
    DAC_CHAIR = "dac-chair"
    NATIONAL_COORDINATION_POINT = "national-coordination-point"
    DATA_HOLDER = "data-holder"
    HUB_OPERATOR = "hub-operator"
    OUTPUT_REVIEWER = "output-reviewer"
    AUDITOR = "auditor"
    CITIZEN = "citizen"


class VisaKind(StrEnum):
    """The types of visas that are understood (GA4GH Passport 1.2.1)."""

    AFFILIATION_AND_ROLE = "AffiliationAndRole"
    ACCEPTED_TERMS_AND_POLICIES = "AcceptedTermsAndPolicies"
    RESEARCHER_STATUS = "ResearcherStatus"
    CONTROLLED_ACCESS_GRANTS = "ControlledAccessGrants"
    LINKED_IDENTITIES = "LinkedIdentities"


@dataclass(frozen=True, slots=True)
class Visa:
    """One verified visa: its signature, issuer, times and conditions hold.

    Attributes
    ----------
    identifier
        Its `jti`, which a revocation names.
    kind, value, source, by
        As in `ga4gh_visa_v1`; `by` is empty where it is not said.
    issuer
        The authority that signed it.
    subject
        Whom the issuer names; the actor, or an identity that is linked to the actor's.
    asserted, expires
        When it was stated, and until when it holds.
    """

    identifier: str
    kind: VisaKind
    value: str
    source: str
    by: str
    issuer: str
    subject: str
    asserted: datetime
    expires: datetime


@dataclass(frozen=True, slots=True)
class Actor:
    """A person as far as documents prove who it is.

    Attributes
    ----------
    subject, issuer
        The person's `sub` and the broker that says so; both empty for somebody unknown.
    roles
        Duties that the server's operator has given to this person.
    visas
        Verified visas.
    expires
        When the shortest-lived document that the actor rests on ends; None for somebody unknown.
    """

    subject: str = ""
    issuer: str = ""
    roles: frozenset[Role] = frozenset()
    visas: tuple[Visa, ...] = ()
    expires: datetime | None = None

    @property
    def known(self) -> bool:
        """Whether somebody has logged in."""
        return bool(self.subject)

    @property
    def registered(self) -> bool:
        """Whether the person has registered access: accepted terms, and the status of a researcher."""
        held = {visa.kind for visa in self.visas if visa.value == REGISTERED_ACCESS}
        return {VisaKind.ACCEPTED_TERMS_AND_POLICIES, VisaKind.RESEARCHER_STATUS} <= held


ANONYMOUS: Final = Actor()
