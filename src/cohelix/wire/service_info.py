"""GA4GH service-info 1.0.0: who answers at an address, and what it speaks."""

from __future__ import annotations

from cohelix.wire.frequency import Wire


class ServiceType(Wire):
    """The API that a service implements: `org.ga4gh`, `beacon`, `v2.1.1`."""

    group: str
    artifact: str
    version: str


class ServiceOrganisation(Wire):
    """Who runs a service."""

    name: str
    url: str


class ServiceInfo(Wire):
    """A service's own description; times are RFC 3339."""

    id: str
    name: str
    type: ServiceType
    description: str | None = None
    organization: ServiceOrganisation
    contact_url: str | None = None
    documentation_url: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    environment: str | None = None
    version: str
    url: str | None = None

    def body(self) -> dict[str, object]:
        """The document as it travels, empty members left out; `url` belongs to a service registry's entries only."""
        return self.model_dump(exclude_none=True)
