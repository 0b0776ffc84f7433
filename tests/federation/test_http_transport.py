"""The road on which the hub dials the node passes the transports' suite."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from cohelix.federation import HttpTransport, Transport, create_identity
from cohelix.federation.signing import check_request, sign_answer
from cohelix.testing.transport_suite import Node, TransportSuite
from cohelix.wire.federation import Member


class TestHttpTransport(TransportSuite):
    @pytest.fixture(autouse=True)
    def _keys(self, tmp_path: Path) -> None:
        self.keys = {}
        for name in ("hub", "node", "stranger"):
            (tmp_path / name).mkdir()
            self.keys[name] = create_identity(tmp_path / name)

    def road(self, node: Node) -> AbstractAsyncContextManager[tuple[Transport, Member]]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
                    body = await reader.readexactly(int(headers["content-length"]))
                    path = head[0].split(" ")[1]
                    url = f"http://{headers['host']}{path}"
                    signed = check_request(headers, method="POST", url=url, body=body, keys=[self.keys["hub"].public])
                    status, content = node(path.rpartition("/")[2], body)
                    fields = sign_answer(self.keys["node"], status=status, body=content, to=signed.signature)
                    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(content)}"]
                    lines += [f"{name}: {value}" for name, value in fields.items()]
                    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
                    await writer.drain()
            except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
                writer.close()

        @asynccontextmanager
        async def laid() -> AsyncIterator[tuple[Transport, Member]]:
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            transport = HttpTransport(self.keys["hub"], private_addresses=True)
            url = f"http://127.0.0.1:{port}"
            yield transport, Member(id="FI", state="active", url=url, key=self.keys["node"].public)
            await transport.close()
            server.close()

        return laid()

    def stranger(self, member: Member) -> Member:
        return member.model_copy(update={"key": self.keys["stranger"].public})

    def gone(self, member: Member) -> Member:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return member.model_copy(update={"url": f"http://127.0.0.1:{free.getsockname()[1]}"})
