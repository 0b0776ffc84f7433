"""Endpoints under `/audit/v1/` of node and hub: the signed checkpoint of the log, and proofs of it; hashes only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import anyio.to_thread
from fastapi import APIRouter, Query
from starlette.responses import JSONResponse

from cohelix.audit.checkpoint import witnesses_of
from cohelix.audit.log import AuditLog
from cohelix.core.errors import NotFound
from cohelix.wire.audit import CheckpointAnswer, ConsistencyAnswer, InclusionAnswer
from cohelix.wire.frequency import Wire

PREFIX: Final = "/audit/v1"
_NUMBER_MAX: Final = 2**62
_Number = Annotated[int, Query(ge=0, le=_NUMBER_MAX, description="The entry's number")]
_Size = Annotated[int | None, Query(ge=1, le=_NUMBER_MAX, description="Entries of a signed checkpoint; the newest if left out")]
_Old = Annotated[int, Query(alias="from", ge=1, le=_NUMBER_MAX, description="Entries of the older state")]
_New = Annotated[int | None, Query(alias="to", ge=1, le=_NUMBER_MAX, description="Entries of the newer state; all if left out")]


def audit_router(log: AuditLog) -> APIRouter:
    """What everybody may ask of a server's log: to keep its checkpoint, and to check an entry or a later one against it."""
    router = APIRouter(prefix=PREFIX, tags=["audit"])

    @router.get("/checkpoint", response_model=CheckpointAnswer, summary="The newest signed checkpoint of the audit log")
    async def checkpoint() -> JSONResponse:
        return await _answer(lambda: _checkpoint(log))

    @router.get("/proof/inclusion", response_model=InclusionAnswer, summary="Proof that an entry is in the audit log")
    async def inclusion(number: _Number, size: _Size = None) -> JSONResponse:
        def prove() -> InclusionAnswer:
            _entry, found, proof = log.store().inclusion(number, size)
            return InclusionAnswer(number=number, size=found.size, proof=tuple(one.hex() for one in proof))

        return await _answer(prove)

    @router.get("/proof/consistency", response_model=ConsistencyAnswer, summary="Proof that the audit log was only added to")
    async def consistency(old: _Old, new: _New = None) -> JSONResponse:
        def prove() -> ConsistencyAnswer:
            store = log.store()
            head = store.head()
            end = new if new is not None else head.size if head else 0
            return ConsistencyAnswer(old=old, new=end, proof=tuple(one.hex() for one in store.consistency(old, end)))

        return await _answer(prove)

    return router


async def _answer(make: Callable[[], Wire]) -> JSONResponse:
    return JSONResponse((await anyio.to_thread.run_sync(make)).model_dump(mode="json"))


def _checkpoint(log: AuditLog) -> CheckpointAnswer:
    store = log.store()
    head = store.head()
    if head is None:
        raise NotFound("the audit log has no entry yet")
    lines = [one for one in store.cosignatures().values() if one.text() == head.text()]
    note = head.note() + "".join(f"{one.signatures[-1]}\n" for one in lines)
    witnesses = tuple(name for one in lines for name in witnesses_of(one))
    return CheckpointAnswer(
        origin=head.origin, size=head.size, root=head.root.hex(), at=head.at, key=head.key, note=note, witnesses=witnesses
    )
