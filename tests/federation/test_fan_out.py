"""Whatever a member does, the others' answers come in time, and it is named with what it did (reliability note, F6)."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

import pytest

from cohelix.core.genome import Assembly
from cohelix.core.variant import parse_variant
from cohelix.federation.questions import Federation
from cohelix.federation.signing import Identity, check_request, sign_answer
from cohelix.federation.transport import HttpTransport
from cohelix.wire.federation import AskBeacon, Member, Road
from cohelix.wire.frequency import FrequencyAnswer

DEADLINE = 0.6
MARGIN = 0.1
KEY = parse_variant("22-50313359-G-A")
Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Members:
    """As much of a registry as the questions need."""

    def __init__(self, members: list[Member]) -> None:
        self.all = tuple(members)

    def members(self) -> tuple[Member, ...]:
        return self.all

    def seen(self, name: str) -> None:
        pass

    def declare(self, name: str, datasets: tuple[str, ...]) -> None:
        pass

    def flush(self) -> None:
        pass


async def read_request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {}
    for line in head[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return head[0].split(" ")[1], headers, await reader.readexactly(int(headers["content-length"]))


def frequency_of(member: str, count: int = 3, number: int = 10, **row: object) -> bytes:
    counts = {"alleleCount": count, "alleleNumber": number, "alleleFrequency": count / number, "homozygotes": 0}
    total = {"population": "all", "sex": "all", **counts, "heterozygotes": count, "hemizygotes": 0, **row}
    dataset = {"id": f"{member}:d", "status": "answered", "populations": [total]}
    return json.dumps({"node": member, "datasets": [dataset], "pooled": counts}).encode()


@dataclass
class Cast:
    """Who plays: the hub's key, the node's key, another's."""

    hub: Identity
    node: Identity
    stranger: Identity
    clock: object

    def signing(
        self,
        answer: Callable[[str], bytes] = frequency_of,
        *,
        key: str = "node",
        status: int = 200,
        off: float = 0,
        to: str = "",
    ) -> Behaviour:
        """A node that signs what it answers, with whichever key and clock, bound to whichever request."""

        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                path, headers, body = await read_request(reader)
                url = f"http://{headers['host']}{path}"
                signed = check_request(headers, method="POST", url=url, body=body, keys=[self.hub.public])
                content = answer("BAD")
                self.clock.off = timedelta(seconds=off)
                fields = sign_answer(
                    getattr(self, key), status=status, body=content, to=to or signed.signature, clock=self.clock
                )
                self.clock.off = timedelta()
                lines = [f"HTTP/1.1 {status} X", f"content-length: {len(content)}", *(f"{n}: {v}" for n, v in fields.items())]
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
                await writer.drain()

        return behave


def says(*parts: bytes, forever: bytes = b"", pause: float = 0.0) -> Behaviour:
    """A server that reads a request, writes `parts`, and then `forever` again and again."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for part in parts:
            writer.write(part)
            await writer.drain()
        while forever:
            writer.write(forever)
            await writer.drain()
            await asyncio.sleep(pause)

    return behave


async def silence(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await asyncio.sleep(30)


async def deaf(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def blurt(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(os.urandom(2000))
    await writer.drain()
    await asyncio.sleep(30)


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def hang_up(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await read_request(reader)


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nsignature: cohelix=:x:\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nsignature: cohelix=:x:\r\n"
MEGABYTE = b"x" * 1_000_000
# What the bad member does; its status; a piece of the reason.
RAW: dict[str, tuple[Behaviour, str, str]] = {
    "answers after 30 s": (silence, "late", "no answer within"),
    "never reads": (deaf, "late", "no answer within"),
    "garbage": (says(os.urandom(2000)), "faulty", "HTTP"),
    "another protocol": (says(b"SSH-2.0-OpenSSH_9.2\r\n"), "faulty", "HTTP"),
    "trickling head": (says(b"HTTP/1.1 200 OK\r\n", forever=b"x", pause=0.05), "late", "no answer"),
    "trickling body": (says(OK + b"content-length: 1000\r\n\r\n", forever=b"x", pause=0.05), "late", "no answer"),
    "endless head": (says(b"HTTP/1.1 200 OK\r\n", forever=b"a: " + b"b" * 1000 + b"\r\n"), "faulty", "HTTP"),
    "endless interim answers": (says(forever=b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100), "faulty", "HTTP"),
    "an interim answer in bits": (says(b"HTTP/1.", b"1 10", forever=b"3 X\r\n\r\n"), "faulty", "HTTP"),
    "endless body": (says(CHUNKED, forever=b"f4240\r\n" + MEGABYTE + b"\r\n"), "faulty", "larger than"),
    "endless crumbs": (says(CHUNKED, forever=b"1\r\nx\r\n" * 2000), "faulty", "too many pieces"),
    "huge body": (says(OK + b"content-length: 10000000000\r\n\r\n", forever=MEGABYTE), "faulty", "larger than"),
    "compressed body": (says(OK + b"content-encoding: gzip\r\ncontent-length: 1\r\n\r\nx"), "faulty", "compressed"),
    "redirect": (says(b"HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n"), "faulty", "redirect"),
    "500": (says(b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n"), "faulty", "HTTP 500"),
    "not signed": (says(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"), "faulty", "without a signature"),
    "reset": (reset, "faulty", "closed the connection"),
    "hangs up": (hang_up, "faulty", "closed the connection"),
    "breaks off": (says(OK + b"content-length: 1000\r\n\r\nabc"), "faulty", "broke off"),
}
DEEP = b"[" * 100_000
SIGNED: dict[str, tuple[dict[str, object], str]] = {
    "wrong key": ({"key": "stranger"}, "signature was not accepted"),
    "the hub's own key": ({"key": "hub"}, "signature was not accepted"),
    "to another request": ({"to": "cohelix=:" + "A" * 86 + "==:"}, "signature was not accepted"),
    "clock off": ({"off": 3600}, "clock"),
    "refusal": ({"status": 403}, "refused the question with HTTP 403"),
    "signed garbage": ({"answer": lambda _: b"\x00\xff"}, "not the document"),
    "signed depth": ({"answer": lambda _: b'{"node":' + DEEP}, "not the document"),
    "another member's answer": ({"answer": lambda _: frequency_of("FI")}, "another member"),
    "more ALT than alleles": ({"answer": lambda _: frequency_of("BAD", 11)}, "contradict"),
    "negative counts": ({"answer": lambda _: frequency_of("BAD", heterozygotes=-1)}, "negative"),
    "no number": ({"answer": lambda _: frequency_of("BAD").replace(b"0.3", b"NaN")}, "not its counts' ratio"),
}


async def ask(
    cast: Cast, raw_server: Callable[[Behaviour], object], bad: dict[str, tuple[Behaviour, str]]
) -> tuple[FrequencyAnswer, float]:
    """FI and GB are sound; the members of `bad` behave as told, behind an address of the scheme given."""
    async with AsyncExitStack() as servers:
        members = []
        for name in ("FI", "GB"):
            url = await servers.enter_async_context(raw_server(cast.signing(lambda _, name=name: frequency_of(name))))
            members.append(Member(id=name, state="active", url=url, key=cast.node.public))
        for name, (behaviour, scheme) in bad.items():
            url = await servers.enter_async_context(raw_server(behaviour))
            url = url.replace("http:", f"{scheme}:")
            members.append(Member(id=name, state="active", url=url, key=cast.node.public))
        transport = HttpTransport(cast.hub, private_addresses=True)
        federation = Federation(Members(members), transport, deadline_seconds=DEADLINE)
        await federation.frequency(KEY, Assembly.GRCH37)  # a first round warms what Python loads lazily
        elapsed = []
        for _ in range(3):  # the best of three: other jobs share this machine
            began = time.perf_counter()
            answer = await federation.frequency(KEY, Assembly.GRCH37)
            elapsed.append(time.perf_counter() - began)
            if elapsed[-1] < DEADLINE + MARGIN:
                break
        await federation.close()
    return answer, min(elapsed)


@pytest.fixture
def cast(make_identity: Callable[[str], Identity], clock: object) -> Cast:
    return Cast(make_identity("hub"), make_identity("node"), make_identity("stranger"), clock)


def check(answer: FrequencyAnswer, elapsed: float, expected: dict[str, tuple[str, str]]) -> None:
    nodes = {node.node: node for node in answer.nodes}
    assert {"FI", "GB", *expected} == set(nodes)
    for name in ("FI", "GB"):
        assert nodes[name].status == "answered", nodes[name]
    for name, (status, words) in expected.items():
        assert nodes[name].status == status, nodes[name]
        assert words in (nodes[name].reason or ""), nodes[name]
        assert not nodes[name].datasets
    assert (answer.pooled.allele_count, answer.pooled.allele_number, answer.pooled.nodes) == (6, 20, ("FI", "GB"))
    assert elapsed < DEADLINE + MARGIN


@pytest.mark.parametrize("what", RAW)
def test_a_broken_member_is_named_and_delays_nobody(cast: Cast, raw_server: object, what: str) -> None:
    behaviour, status, words = RAW[what]
    answer, elapsed = asyncio.run(ask(cast, raw_server, {"BAD": (behaviour, "http")}))
    check(answer, elapsed, {"BAD": (status, words)})


@pytest.mark.parametrize("what", SIGNED)
def test_a_false_member_is_named(cast: Cast, raw_server: object, what: str) -> None:
    how, words = SIGNED[what]
    answer, elapsed = asyncio.run(ask(cast, raw_server, {"BAD": (cast.signing(**how), "http")}))
    check(answer, elapsed, {"BAD": ("faulty", words)})


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400", "9" * 5000, "[" * 300 + "]" * 300, '"\\ud800"'])
def test_a_beacons_document_that_is_not_json_is_no_answer(cast: Cast, raw_server: object, number: str) -> None:
    async def run() -> dict[str, Road]:
        reply = '{"status": 200, "document": {"info": %s}}'
        async with AsyncExitStack() as servers:
            members = []
            for name, value in (("BAD", number), ("FI", "1.5")):
                behaviour = cast.signing(lambda _, value=value: (reply % value).encode())
                url = await servers.enter_async_context(raw_server(behaviour))
                members.append(Member(id=name, state="active", url=url, key=cast.node.public))
            transport = HttpTransport(cast.hub, private_addresses=True)
            federation = Federation(Members(members), transport, deadline_seconds=DEADLINE)
            question = AskBeacon(path="g_variants")
            asked = await federation.beacon({"BAD": question, "FI": question}, lambda _, reply: reply.document)
            await federation.close()
            assert [one.answer for one in asked] == [None, {"info": 1.5}]
            return {one.member.id: one.road for one in asked}

    roads = asyncio.run(run())
    assert (roads["BAD"].status, roads["FI"].status) == ("faulty", "answered")
    assert "was not accepted" in (roads["BAD"].reason or "")


def test_tls_garbage_and_a_stopped_member(cast: Cast, raw_server: object) -> None:
    answer, elapsed = asyncio.run(ask(cast, raw_server, {"TLS": (blurt, "https")}))
    check(answer, elapsed, {"TLS": ("unreachable", "TLS")})
    stopped = HttpTransport(cast.hub, private_addresses=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        member = Member(id="X", state="active", url=f"http://127.0.0.1:{free.getsockname()[1]}", key=cast.node.public)
        arrival = asyncio.run(stopped.ask(member, "frequency", b"{}"))
    assert arrival.status == "unreachable"


def test_all_faults_at_once(cast: Cast, raw_server: object) -> None:
    bad = {f"BAD{number}": (behaviour, "http") for number, (behaviour, _, _) in enumerate(RAW.values())}
    expected = {f"BAD{number}": (status, words) for number, (_, status, words) in enumerate(RAW.values())}
    # Under so much noise an endless sender may reach its bound only after the deadline.
    answer, elapsed = asyncio.run(ask(cast, raw_server, bad))
    nodes = {node.node: node for node in answer.nodes}
    for name, (status, _) in expected.items():
        assert nodes[name].status in (status, "late"), nodes[name]
    check(answer, elapsed, {name: (nodes[name].status, nodes[name].reason or "") for name in expected})


def test_the_stream_gives_sound_members_before_the_late_ones(cast: Cast, raw_server: object) -> None:
    async def run() -> list[tuple[str, float]]:
        async with AsyncExitStack() as servers:
            sound = await servers.enter_async_context(raw_server(cast.signing(lambda _: frequency_of("FI"))))
            slow = await servers.enter_async_context(raw_server(silence))
            members = [
                Member(id=name, state="active", url=url, key=cast.node.public) for name, url in (("BAD", slow), ("FI", sound))
            ]
            federation = Federation(
                Members(members), HttpTransport(cast.hub, private_addresses=True), deadline_seconds=DEADLINE
            )
            began, events = time.perf_counter(), []
            async for event in federation.frequency_stream(KEY, Assembly.GRCH37):
                events.append((getattr(event, "node", "pooled"), time.perf_counter() - began))
            await federation.close()
            return events

    events = asyncio.run(run())
    assert [name for name, _ in events] == ["FI", "BAD", "pooled"]
    assert events[0][1] < DEADLINE / 2


def test_private_addresses_are_not_dialled_unless_the_hub_says_so(cast: Cast, raw_server: object) -> None:
    async def run(url: str) -> str:
        transport = HttpTransport(cast.hub, private_addresses=False)
        arrival = await transport.ask(Member(id="X", state="active", url=url, key=cast.node.public), "frequency", b"{}")
        await transport.close()
        assert arrival.status == "unreachable"
        return arrival.reason or ""

    async def all_of_them() -> None:
        touched = []

        async def canary(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            touched.append(1)

        async with raw_server(canary) as url:
            port = url.rpartition(":")[2]
            for host in (
                "127.0.0.1",
                "localhost",
                "[::1]",
                "[::ffff:127.0.0.1]",
                "0.0.0.0",
                "127.1",
                "2130706433",
                "0x7f000001",
            ):
                assert "private" in await run(f"http://{host}:{port}"), host
        assert not touched

    asyncio.run(all_of_them())
