"""Server-sent events: how one is written, and a sign of life while there is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from starlette.responses import StreamingResponse

STREAM: Final = "text/event-stream"
BEAT_SECONDS: Final = 1.0  # well below what proxies wait on a silent connection, and below a question's deadline
_BEAT: Final = b": still asking\n\n"


def event(name: str, data: str, identifier: str) -> bytes:
    """One event; `data` is a single line (JSON without line breaks is)."""
    return f"id: {identifier}\nevent: {name}\ndata: {data}\n\n".encode()


def event_stream(events: AsyncGenerator[bytes, None], *, beat_seconds: float = BEAT_SECONDS) -> StreamingResponse:
    """A response of events as they come; nobody on the way keeps them or holds them back."""
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(beating(events, beat_seconds), media_type=STREAM, headers=headers)


async def beating(events: AsyncGenerator[bytes, None], beat_seconds: float) -> AsyncGenerator[bytes, None]:
    """The events, and a comment whenever none has come for so long; whoever stops listening ends them."""
    async with aclosing(events):
        while True:
            following = asyncio.ensure_future(anext(events, None))
            try:
                while not following.done():
                    if not (await asyncio.wait({following}, timeout=beat_seconds))[0]:
                        yield _BEAT
            finally:
                if not following.done():
                    following.cancel()
                    await asyncio.wait({following})
            found = following.result()
            if found is None:
                return
            yield found
