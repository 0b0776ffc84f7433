"""GA4GH Passport 1.2.1 and AAI OIDC profile 1.2.1: the documents' types, claims and their bounds."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

PASSPORT_TYPE: Final = "vnd.ga4gh.passport+jwt"
VISA_TYPES: Final = ("vnd.ga4gh.visa+jwt", "JWT")  # `JWT` is what issuers of version 1.0 write
ACCESS_TOKEN_TYPES: Final = ("at+jwt", "application/at+jwt", "JWT")
PASSPORT_CLAIM: Final = "ga4gh_passport_v1"
VISA_CLAIM: Final = "ga4gh_visa_v1"

# A person with grants of every country has some hundred visas of half a kilobyte; what is larger is not read.
VISAS_MAX: Final = 128
VISA_CHARACTERS_MAX: Final = 8 * 1024
CONDITIONS_MAX: Final = 32

# Seconds since 1970, as RFC 7519 has them; texts, truth values and what is beyond the year 9999 are none.
NumericDate = Annotated[float, Field(strict=True, ge=0, le=253_402_300_799, allow_inf_nan=False)]
# Databases and logs keep these texts: no control characters.
_PLAIN: Final = r"^[^\x00-\x1f\x7f]*$"
Subject = Annotated[str, Field(min_length=1, max_length=255, pattern=_PLAIN)]
Address = Annotated[str, Field(min_length=1, max_length=500, pattern=_PLAIN)]


class Document(BaseModel):
    """Claims that we read; what else a document holds does not matter to us."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Condition(Document):
    """One clause of a visa's `conditions`: fields of another visa, each `const:…`, `pattern:…` or `split_pattern:…`.

    A field that we do not know makes the clause fail, so all are kept.
    """

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    type: str = Field(max_length=255)


class VisaObject(Document):
    """The claim `ga4gh_visa_v1`."""

    type: str = Field(max_length=255)
    asserted: NumericDate
    value: str = Field(max_length=2000, pattern=_PLAIN)
    source: Address
    by: Literal["self", "peer", "system", "so", "dac"] | None = None
    # An OR of ANDs. `list`, not `tuple`: that is what JSON gives, and nothing is converted here.
    conditions: list[Annotated[list[Condition], Field(min_length=1, max_length=CONDITIONS_MAX)]] | None = Field(
        default=None, max_length=CONDITIONS_MAX
    )


class VisaClaims(Document):
    """The claims of a visa document token.

    `subject_issuer` is our own: the broker whose `sub` the visa names, so that a person of another broker with the same
    `sub` is not taken for this one.
    """

    iss: Address
    sub: Subject
    iat: NumericDate
    exp: NumericDate
    nbf: NumericDate | None = None
    jti: Subject
    scope: str | None = Field(default=None, max_length=500)
    subject_issuer: Address | None = None
    ga4gh_visa_v1: VisaObject


class PassportClaims(Document):
    """The claims of a Passport."""

    iss: Address
    sub: Subject
    iat: NumericDate
    exp: NumericDate
    nbf: NumericDate | None = None
    jti: str | None = Field(default=None, max_length=255)
    aud: str | list[str] | None = None
    ga4gh_passport_v1: list[str] = Field(max_length=VISAS_MAX)


class AccessTokenClaims(Document):
    """The claims of an access token that we use; it holds no claim of GA4GH's."""

    iss: Address
    sub: Subject
    iat: NumericDate
    exp: NumericDate
    nbf: NumericDate | None = None
    aud: str | list[str]
    scope: str = Field(default="", max_length=2000)
    cnf: dict[str, Any] | None = None
