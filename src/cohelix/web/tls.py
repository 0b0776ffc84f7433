"""TLS 1.3 of the house: a server's certificate, renewed without a restart; what members trust; and who must show a certificate.

Files are looked at anew, at most once a second: what a renewal writes holds from the next connection on, and where what it
wrote cannot be read the last good certificate stays.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cohelix.core.errors import BadUsage, NotPermitted
from cohelix.web.labels import request_id
from cohelix.web.problem import problem_response
from cohelix.wire.problem import problem_of

LOOK_SECONDS: Final = 1.0
EXTENSION: Final = "tls"  # of ASGI: what is known of a connection's TLS
_log = structlog.get_logger("cohelix.web")


class Tls(NamedTuple):
    """Certificate chain and private key, PEM files; `authority` are the certificates that members' own are signed by.

    With `mutual` a server asks each connection for a certificate of that authority, and lets nobody without one in where
    `install` was told so.
    """

    certificate: Path
    key: Path
    authority: Path | None = None
    mutual: bool = False


class TlsChoice(Protocol):
    """The settings of a node or a hub, as far as they are about TLS; texts are empty where nothing is set."""

    @property
    def tls_certificate(self) -> str:
        """PEM chain of the server's certificate."""

    @property
    def tls_key(self) -> str:
        """PEM private key of the certificate."""

    @property
    def tls_ca(self) -> str:
        """PEM certificates that members' own are signed by."""

    @property
    def tls_mutual(self) -> bool:
        """Whether members must show a certificate of `tls_ca`."""


def chosen_tls(folder: Path, settings: TlsChoice, certificate: Path | None = None, key: Path | None = None) -> Tls | None:
    """A server's TLS by its command's options, which go before its settings; None for plain HTTP.

    Files that settings name are beneath the folder where they have no absolute path.

    Raises
    ------
    BadUsage
        If a part is missing.
    """
    if (certificate is None) is not (key is None):
        raise BadUsage("give --tls-certificate and --tls-key together")
    if not settings.tls_certificate and not settings.tls_key and certificate is None:
        if settings.tls_mutual:
            raise BadUsage("tls_mutual needs tls_certificate and tls_key: certificates are shown over TLS only")
        return None
    if certificate is None and not (settings.tls_certificate and settings.tls_key):
        raise BadUsage("tls_certificate and tls_key are set together")
    if settings.tls_mutual and not settings.tls_ca:
        raise BadUsage("tls_mutual needs tls_ca: the certificates that members' own are signed by")
    return Tls(
        certificate or folder / settings.tls_certificate,
        key or folder / settings.tls_key,
        folder / settings.tls_ca if settings.tls_ca else None,
        settings.tls_mutual,
    )


def certificate_end(tls: Tls) -> datetime:
    """When a server's certificate ends; `BadUsage` where its files are none, or do not belong together."""
    from cryptography import x509

    server_context(tls)
    return x509.load_pem_x509_certificate(tls.certificate.read_bytes()).not_valid_after_utc


def member_roads(folder: Path, settings: TlsChoice) -> MemberRoads:
    """What the node or hub in a folder dials other members with, by its settings."""
    own = None
    if settings.tls_certificate and settings.tls_key:
        own = Tls(folder / settings.tls_certificate, folder / settings.tls_key)
    return MemberRoads(own, folder / settings.tls_ca if settings.tls_ca else None)


class _Files:
    """Whether files are others than they were when last looked at."""

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._looked_at = 0.0
        self._seen = self._now()
        self._lock = threading.Lock()

    def changed(self) -> bool:
        with self._lock:
            if time.monotonic() - self._looked_at < LOOK_SECONDS:
                return False
            self._looked_at = time.monotonic()
            now = self._now()
            changed, self._seen = now != self._seen, now
            return changed

    def _now(self) -> tuple[tuple[int, int, int] | None, ...]:
        found: list[tuple[int, int, int] | None] = []
        for path in self._paths:
            try:
                state = path.stat()
                found.append((state.st_ino, state.st_mtime_ns, state.st_size))
            except OSError:
                found.append(None)
        return tuple(found)


def server_context(tls: Tls) -> ssl.SSLContext:
    """What a server speaks: TLS 1.3 and nothing older, with the certificate as it is in its files now.

    Raises
    ------
    BadUsage
        If the files are no certificate and its key.
    """
    context, files = _server(tls), _Files(tls.certificate, tls.key)
    newest = [context]

    def renewed(connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        if files.changed():
            try:
                newest[0] = _server(tls)
                _log.info("certificate renewed")
            except BadUsage as error:
                _log.error("certificate not renewed: the one before stays", detail=error.detail)
        connection.context = newest[0]

    context.sni_callback = renewed
    return context


def _server(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    _load_chain(context, tls)
    if tls.mutual:
        if tls.authority is None:
            raise BadUsage("tls_mutual needs tls_ca: the certificates that members' own are signed by")
        _load_authority(context, tls.authority)
        # Browsers and the public have none; `install` says which addresses need one.
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


class MemberRoads:
    """What a member dials other members with: TLS 1.3, its own certificate where it has one, and whom it trusts.

    Parameters
    ----------
    tls
        Its own certificate, shown to servers that ask for one; None where it has none.
    authority
        The only authority that is trusted on these roads; None for those that the system trusts.
    """

    def __init__(self, tls: Tls | None = None, authority: Path | None = None) -> None:
        self._tls, self._authority = tls, authority
        paths = [*((tls.certificate, tls.key) if tls else ()), *((authority,) if authority else ())]
        self._files = _Files(*paths)
        self._context = self._made()

    def context(self) -> ssl.SSLContext:
        """The context of a new connection; another one where the files are others than before."""
        if self._files.changed():
            try:
                self._context = self._made()
            except BadUsage as error:
                _log.error("certificates of members not read anew: those before stay", detail=error.detail)
        return self._context

    def _made(self) -> ssl.SSLContext:
        if self._authority is None:
            context = ssl.create_default_context()
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            _load_authority(context, self._authority)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if self._tls is not None:
            _load_chain(context, self._tls)
        return context


def _load_chain(context: ssl.SSLContext, tls: Tls) -> None:
    try:
        # A key with a passphrase would make OpenSSL ask on the terminal; a server has none.
        context.load_cert_chain(tls.certificate, tls.key, password=lambda: b"")
    except (OSError, ssl.SSLError) as error:
        words = error.strerror or type(error).__name__
        raise BadUsage(
            f"{tls.certificate} and {tls.key} are no certificate chain and its private key in PEM ({words})"
        ) from None


def _load_authority(context: ssl.SSLContext, authority: Path) -> None:
    try:
        context.load_verify_locations(authority)
    except (OSError, ssl.SSLError) as error:
        raise BadUsage(f"{authority} holds no certificates in PEM ({error.strerror or type(error).__name__})") from None


class CertifiedProtocol(HttpToolsProtocol):
    """HTTP whose requests tell whether the connection showed a certificate that holds."""

    def on_message_begin(self) -> None:
        """Note in the request's scope whom the certificate names; nobody where none was shown."""
        super().on_message_begin()
        connection = self.transport.get_extra_info("ssl_object")
        shown: dict[str, Any] = connection.getpeercert() if connection is not None else {}
        extensions: dict[str, Any] = self.scope.setdefault("extensions", {})
        extensions[EXTENSION] = {"client_cert_name": _name_of(shown) if shown else None}


class MembersOnly:
    """Answers requests at some addresses only on connections that showed a member's certificate."""

    def __init__(self, app: ASGIApp, *, prefixes: Collection[str]) -> None:
        self._app = app
        self._prefixes = tuple(prefixes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a stranger before anything of the request is read."""
        if scope["type"] == "http" and scope["path"].startswith(self._prefixes):
            shown = (scope.get("extensions") or {}).get(EXTENSION) or {}
            if not shown.get("client_cert_name"):
                error = NotPermitted("this server wants a certificate of the members' authority at this address (tls_mutual)")
                await problem_response(problem_of(error, request_id(scope)))(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _name_of(certificate: dict[str, Any]) -> str:
    """The subject of a certificate as one text; never empty, so that its being there shows."""
    parts = [f"{name}={value}" for step in certificate.get("subject", ()) for name, value in step]
    return ",".join(parts) or "unnamed"
