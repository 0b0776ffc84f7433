"""The hub and its members as GA4GH services: service-info, and the service registry."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from cohelix import __version__
from cohelix.core.errors import NotFound
from cohelix.federation.questions import Federation
from cohelix.hub.settings import HubSettings
from cohelix.wire.beacon import API_VERSION
from cohelix.wire.federation import Member
from cohelix.wire.service_info import ServiceInfo, ServiceOrganisation, ServiceType

_BEACON = ServiceType(group="org.ga4gh", artifact="beacon", version=API_VERSION)
_REGISTRY = ServiceType(group="org.ga4gh", artifact="service-registry", version="1.0.0")
_HUB = ServiceType(group="org.cohelix", artifact="hub", version=__version__)


def services_router(federation: Federation, settings: HubSettings) -> APIRouter:
    """`/service-info` of the hub, and `/service-registry/…`: the network's Beacon and every member's."""
    router = APIRouter(tags=["services"])

    def services() -> list[ServiceInfo]:
        listed = [member for member in federation.members() if member.url and member.state in ("active", "observer")]
        return [_hub_service(settings, "beacon", _BEACON, "/beacon/v2"), *(_member_service(settings, one) for one in listed)]

    @router.get("/service-info", summary="What the hub is")
    async def service_info() -> Response:
        return JSONResponse(_hub_service(settings, "hub", _HUB, "").body())

    @router.get("/service-registry/service-info", summary="What the registry is")
    async def registry_info() -> Response:
        return JSONResponse(_hub_service(settings, "registry", _REGISTRY, "/service-registry").body())

    @router.get("/service-registry/services", summary="All services of the federation")
    async def list_services() -> Response:
        return JSONResponse([service.body() for service in services()])

    @router.get("/service-registry/services/types", summary="The kinds of services")
    async def list_types() -> Response:
        kinds = dict.fromkeys(service.type for service in services())
        return JSONResponse([kind.model_dump() for kind in kinds])

    @router.get("/service-registry/services/{identifier}", summary="One service")
    async def one_service(identifier: str) -> Response:
        for service in services():
            if service.id == identifier:
                return JSONResponse(service.body())
        raise NotFound("there is no service of that id")

    return router


def beacon_id(settings: HubSettings, member: Member | None = None) -> str:
    """The id of a Beacon in reverse-domain form: a member's as its node gives it, or the network's own."""
    return f"org.cohelix.beacon.{member.id}" if member else f"{_reverse_host(settings.url)}.beacon"


def _hub_service(settings: HubSettings, what: str, kind: ServiceType, path: str) -> ServiceInfo:
    return ServiceInfo(
        id=f"{_reverse_host(settings.url)}.{what}",
        name=settings.name,
        type=kind,
        organization=ServiceOrganisation(name=settings.name, url=settings.url),
        version=__version__,
        url=settings.url + path,
    )


def _member_service(settings: HubSettings, member: Member) -> ServiceInfo:
    return ServiceInfo(
        id=beacon_id(settings, member),
        name=member.name or member.id,
        type=_BEACON,
        description=f"Member {member.id} ({member.country}), {member.state}",
        organization=ServiceOrganisation(name=member.name or member.id, url=member.url),
        created_at=member.joined_at,
        version=__version__,
        url=f"{member.url}/beacon/v2",
    )


def _reverse_host(url: str) -> str:
    host = urlsplit(url).hostname or "localhost"
    return ".".join(reversed(host.split("."))) if not host.replace(".", "").isdigit() and ":" not in host else "localhost"
