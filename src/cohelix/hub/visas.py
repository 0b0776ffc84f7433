"""Granted visas at the hub: authorities hand them in, persons see their own, and the embedded issuer puts them into passports.

A visa proves itself: whoever brings it, its authority's signature decides, and nobody needs to log in to hand one in.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Final

import anyio.to_thread
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from cohelix.access.authority import AUTHORITIES
from cohelix.access.caller import CallerOf
from cohelix.access.gate import visa_value
from cohelix.access.jose import read_token
from cohelix.access.passport import verify_visa
from cohelix.access.trust import Trusted, TrustList
from cohelix.access.visa_store import GrantedVisa, VisaStore
from cohelix.audit.events import Person, VisaReceived
from cohelix.audit.log import AuditLog
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import NotAuthentic
from cohelix.federation.revocations import VISAS_ADDRESS
from cohelix.wire.passport import VISA_CHARACTERS_MAX
from cohelix.wire.visas import OwnVisas, VisaHandedIn, VisaKept

_WHAT: Final = "visa"
_DATASET: Final = re.compile(r"[A-Za-z0-9._-]+:[A-Za-z0-9._-]+")
_NOT_KEPT: Final = {"cache-control": "no-store"}


def read_grant(token: str, *, authorities: Iterable[Trusted], hub_url: str, now: datetime) -> GrantedVisa:
    """A visa for one dataset of this federation, signed by an authority that decides about it.

    Parameters
    ----------
    authorities
        Those of the federation, with their keys: nothing is fetched.
    hub_url
        As `hub init` was given it; a visa's value begins with it (rule 6 of the interface).

    Raises
    ------
    NotAuthentic
        With what does not hold.
    """
    read = read_token(token, what=_WHAT, characters_max=VISA_CHARACTERS_MAX)
    signer = next((one for one in authorities if one.issuer == read.issuer), None)
    if signer is None:
        raise NotAuthentic("the visa is of an authority that this federation does not know")
    keys = {(signer.issuer, kid): key for kid, key in signer.pinned.items()}
    visa = verify_visa(token, trust=TrustList.of([signer]), keys=keys, now=now)
    dataset = visa.value.removeprefix(visa_value(hub_url, ""))
    named_fully = visa.value == visa_value(hub_url, dataset) and _DATASET.fullmatch(dataset)
    if not named_fully or not signer.decides(dataset):
        raise NotAuthentic("the visa is not for one dataset about which its authority decides, named as this federation does")
    named = str(signer.issuer).rpartition(f"/{AUTHORITIES}/")[2]
    if not visa.identifier.startswith(f"{named}:"):
        raise NotAuthentic("the visa's identifier does not begin with its authority's, so that it could not be revoked")
    subject_issuer = read.claims.get("subject_issuer")
    if not isinstance(subject_issuer, str) or not subject_issuer:
        raise NotAuthentic("the visa does not say whose subject it names (subject_issuer)")
    return GrantedVisa(
        identifier=visa.identifier,
        issuer=visa.issuer,
        subject=visa.subject,
        subject_issuer=subject_issuer,
        dataset=dataset,
        expires=visa.expires,
        token=token,
    )


def visas_router(
    store: VisaStore,
    authorities: Callable[[], Iterable[Trusted]],
    log: AuditLog,
    *,
    hub_url: str,
    caller_of: CallerOf,
    learn: Callable[[str], Awaitable[None]],
    changed: Callable[[], None] = lambda: None,
    clock: Clock | None = None,
) -> APIRouter:
    """The endpoints of `/api/v1/visas`; `learn` hears whose visa is handed in, and `changed` that one was taken."""
    router = APIRouter(tags=["access"])
    time = clock or SystemClock()

    def take(token: str) -> tuple[GrantedVisa, bool]:
        granted = read_grant(token, authorities=authorities(), hub_url=hub_url, now=time.now())
        return granted, store.put(granted)

    @router.post(
        VISAS_ADDRESS,
        response_model=VisaKept,
        status_code=201,
        responses={200: {"model": VisaKept, "description": "It was handed in before"}},
        summary="Hand in a visa that an authority of the federation has signed",
    )
    async def hand_in(handed: VisaHandedIn) -> Response:
        await learn(read_token(handed.visa, what=_WHAT, characters_max=VISA_CHARACTERS_MAX).issuer)
        granted, new = await anyio.to_thread.run_sync(take, handed.visa)
        if new:
            changed()
            whose = Person(granted.subject, granted.subject_issuer)
            event = VisaReceived(visa=granted.identifier, authority=granted.issuer, dataset=granted.dataset, whose=whose)
            await log.recorded(event, by=granted.issuer)
        return JSONResponse(_kept(granted).model_dump(mode="json"), status_code=201 if new else 200, headers=_NOT_KEPT)

    @router.get(VISAS_ADDRESS, response_model=OwnVisas, summary="The visas of the person who asks")
    async def own(request: Request) -> Response:
        actor = (await caller_of(request)).actor
        if not actor.known:
            raise NotAuthentic("log in to see your visas")
        held = await anyio.to_thread.run_sync(store.held, actor.subject, actor.issuer)
        answer = OwnVisas(visas=tuple(_kept(one) for one in held))
        return JSONResponse(answer.model_dump(mode="json"), headers=_NOT_KEPT)

    return router


def _kept(granted: GrantedVisa) -> VisaKept:
    return VisaKept(
        visa=granted.identifier,
        dataset=granted.dataset,
        authority=granted.issuer,
        expires=granted.expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
