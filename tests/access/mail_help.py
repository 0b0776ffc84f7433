"""A real mail server on loopback, which keeps what it takes, or refuses as a test tells it."""

from __future__ import annotations

import asyncio
import email
import email.policy
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TAKEN = "250 taken"


@dataclass
class MailServer:
    """What a mail server has taken; `answer` decides what it says to a message, `recipient` to an address."""

    port: int = 0
    taken: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    sessions: int = 0
    answer: Callable[[EmailMessage], str] = lambda _message: TAKEN
    recipient: Callable[[str], str] = lambda _address: "250 known"

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, session: Any, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self.sessions += 1
        return responses

    async def handle_RCPT(self, _server: SMTP, _session: Any, envelope: Envelope, address: str, _options: list[str]) -> str:  # noqa: N802 - aiosmtpd's name
        said = self.recipient(address)
        if said.startswith("250"):
            envelope.rcpt_tos.append(address)
        return said

    async def handle_DATA(self, _server: SMTP, _session: Any, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        assert isinstance(envelope.content, bytes)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        said = self.answer(message)
        if said.startswith("250"):
            self.taken.append(message)
            self.recipients.extend(envelope.rcpt_tos)
        return said


@contextmanager
def mail_server(*, tls: ssl.SSLContext | None = None, implicit: bool = False, login: str = "") -> Iterator[MailServer]:
    """A server on a free port; `login` is the `user:password` that it wants."""
    server = MailServer()

    def authenticate(_server: object, _session: object, _envelope: object, _kind: str, given: Any) -> AuthResult:
        right = isinstance(given, LoginPassword) and f"{given.login.decode()}:{given.password.decode()}" == login
        return AuthResult(success=right, handled=right)

    options: dict[str, Any] = {"authenticator": authenticate, "auth_required": True} if login else {}
    if tls and not implicit:
        options |= {"tls_context": tls, "require_starttls": True}
    elif login:
        options |= {"auth_require_tls": False}  # the connection is TLS already
    loop, listener = asyncio.new_event_loop(), socket.create_server(("127.0.0.1", 0))
    server.port = listener.getsockname()[1]

    async def begin() -> asyncio.Server:
        context = tls if implicit else None
        return await loop.create_server(lambda: SMTP(server, loop=loop, **options), sock=listener, ssl=context)

    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    running = asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(running.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def certificate(folder: Path) -> ssl.SSLContext:
    """A server's own certificate for 127.0.0.1, which is in `folder/ca.pem`, too."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context
