"""Streams of events: a sign of life while nothing comes, and an end for whoever stops listening."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from cohelix.web.events import beating, event


def test_a_silent_stream_gives_a_sign_of_life_and_loses_nothing() -> None:
    async def slow() -> AsyncGenerator[bytes, None]:
        yield event("node", "{}", "1")
        await asyncio.sleep(0.05)
        yield event("pooled", "{}", "pooled")

    async def listen() -> list[bytes]:
        return [part async for part in beating(slow(), 0.01)]

    first, *middle, last = asyncio.run(listen())
    assert first == b"id: 1\nevent: node\ndata: {}\n\n"
    assert last == b"id: pooled\nevent: pooled\ndata: {}\n\n"
    assert len(middle) >= 2 and all(part.startswith(b": ") and part.endswith(b"\n\n") for part in middle)


def test_who_stops_listening_ends_the_question() -> None:
    ended = []

    async def endless() -> AsyncGenerator[bytes, None]:
        try:
            yield b"first"
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async def listen_once() -> None:
        stream = beating(endless(), 0.01)
        async for _part in stream:
            break
        assert (await anext(stream)).startswith(b": ")
        await stream.aclose()

    asyncio.run(listen_once())
    assert ended == [True]
