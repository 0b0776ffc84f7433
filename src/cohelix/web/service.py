"""A server of the house: what it answers besides its own questions, and how it starts and stops."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, Final, Literal

import uvicorn
from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import mark_process_dead
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.supervisors import Multiprocess

from cohelix.core.errors import BadUsage, Conflict, NotAuthentic
from cohelix.web.openapi import describe
from cohelix.web.problem import install_problems
from cohelix.web.scraping import TOKEN_FILE, brings_token, is_near
from cohelix.web.telemetry import SHARED_FIGURES_VARIABLE, Meters, Telemetry, configure_logs
from cohelix.web.tls import CertifiedProtocol, MembersOnly, Tls, server_context

ServiceKind = Literal["node", "hub"]
# Connections that still answer when the server is told to stop get this long.
DRAIN_SECONDS: Final = 3
# A worker that is not ready after so long is taken for stuck.
START_SECONDS: Final = 120
# How long a scan on another thread may keep the interpreter before a short question gets its turn; Python's own 5 ms
# would be most of the time that such a question takes.
_SWITCH_SECONDS: Final = 0.001
_M_ARENA_MAX: Final = -8  # mallopt(3)


def install(
    app: FastAPI,
    *,
    service: ServiceKind,
    ready: Callable[[], str | None] | None = None,
    figures: Callable[[], Mapping[str, float]] | None = None,
    metrics_token: Path | None = None,
    large_bodies: Mapping[str, int] | None = None,
    patient: Collection[str] = (),
    members_only: Collection[str] = (),
) -> Meters:
    """Give an app what every server of the house has.

    Request ids, JSON logs, problem documents for errors, a limit on bodies, security headers, and the addresses
    `/healthz` (the process runs), `/readyz` (it can answer) and `/metrics` (Prometheus). Returns where requests are counted.

    Parameters
    ----------
    ready
        Says what is still missing, or None when questions can be answered.
    figures
        Gauges of the app's own, by name; asked when `/metrics` is, for whoever brings the token.
    metrics_token
        The file with the token that opens all of `/metrics`; without it nobody sees more than the figures of requests,
        and these on this machine alone.
    large_bodies
        Most bytes of a request's body at addresses that begin in some way, where that is more than elsewhere: for doors
        that read a body only after they know its sender.
    patient
        Addresses whose requests wait for something to happen: they take nobody's place among those that are worked on.
    members_only
        What addresses begin with that are answered only on connections with a member's certificate (`Tls.mutual`).
    """
    configure_logs()
    describe(app)
    meters = Meters(service)
    install_problems(app)

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_request: Request) -> Response:
        missing = ready() if ready else None
        return JSONResponse(
            {"status": "ready"} if missing is None else {"status": "waiting", "reason": missing}, 503 if missing else 200
        )

    async def metrics(request: Request) -> Response:
        whole = metrics_token is not None and brings_token(request, metrics_token)
        if not whole and not is_near(request):
            raise NotAuthentic(f"figures are for the server's operator: bring the token in its folder's {TOKEN_FILE}")
        told = figures() if whole and figures else {}
        own = "".join(f"# TYPE {name} gauge\n{name} {value}\n" for name, value in told.items())
        return Response(meters.text() + own.encode(), media_type=CONTENT_TYPE_LATEST)

    app.add_api_route("/healthz", healthz, methods=["GET"], summary="The process runs", tags=["operations"])
    waiting: dict[int | str, dict[str, Any]] = {
        503: {"description": "Not yet; the reason", "content": {"application/json": {}}}
    }
    app.add_api_route(
        "/readyz", readyz, methods=["GET"], responses=waiting, summary="Questions can be answered", tags=["operations"]
    )
    app.add_api_route(
        "/metrics",
        metrics,
        methods=["GET"],
        response_class=PlainTextResponse,
        summary="Prometheus figures",
        tags=["operations"],
    )
    for path, answer in (("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics)):
        app.add_route(path, answer, methods=["HEAD"], include_in_schema=False)  # what load balancers ask with
    if members_only:
        app.add_middleware(MembersOnly, prefixes=members_only)
    app.add_middleware(Telemetry, service=service, meters=meters, large_bodies=large_bodies, patient=patient)
    return meters


def answer_first(app: FastAPI, prefix: str, inner: ASGIApp) -> None:
    """Let an app of its own answer everything under a prefix, past the framework's layers: what most questions are for.

    It has the ids, logs, limits and headers of `install` around it, which comes first; its errors it answers itself.
    """
    app.user_middleware.append(Middleware(_First, prefix=prefix, inner=inner))


class _First:
    """The innermost layer: hands on what is not under the prefix."""

    def __init__(self, app: ASGIApp, *, prefix: str, inner: ASGIApp) -> None:
        self._app, self._inner, self._prefix = app, inner, prefix
        self._below = f"{prefix}/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"] if scope["type"] == "http" else ""
        under = path.startswith(self._below) or path == self._prefix
        await (self._inner if under else self._app)(scope, receive, send)


def serve(make_app: Callable[[], FastAPI], host: str, port: int, *, tls: Tls | None = None, workers: int = 1) -> None:
    """Serve until SIGTERM or SIGINT, then end cleanly.

    Prints one line `ready http://HOST:PORT` on standard output when the first question would be answered; port 0
    takes a free one.

    Parameters
    ----------
    make_app
        Makes the app; with several workers it is called in each, so it must be picklable.
    workers
        Processes that answer. They share the listening socket and, through the page cache, the mapped stores; one that
        dies is replaced.

    Raises
    ------
    Conflict
        If the address is taken.
    BadUsage
        If the address is none of this machine, or the files are no certificate and its key.
    """
    if tls:
        server_context(tls)  # files that are no certificate are told before anything is opened
    with closing(_listen(host, port)) as listener:
        shown = f"[{host}]" if ":" in host else host
        address = f"{'https' if tls else 'http'}://{shown}:{listener.getsockname()[1]}"
        if workers == 1:
            _Server(_config(_Maker(make_app)(), tls), address).run([listener])
            return
        with TemporaryDirectory(prefix="cohelix-figures-") as figures:
            os.environ[SHARED_FIGURES_VARIABLE] = figures
            config = _config(_Maker(make_app), tls)
            config.workers = workers
            _Workers(config, [listener], address).run()


def _config(app: Callable[..., Any], tls: Tls | None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=isinstance(app, _Maker),
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http=CertifiedProtocol if tls and tls.mutual else "httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_keep_alive=65,
        ssl_context_factory=_Contexts(tls) if tls else None,
    )


@dataclass(frozen=True)
class _Contexts:
    """Makes a process's TLS context; unlike a function within a function it can be handed to worker processes."""

    tls: Tls

    def __call__(self, _config: uvicorn.Config, _default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        return server_context(self.tls)


def _share_arenas() -> None:
    """Have all threads take memory from two places, under glibc: with one each, every thread keeps what it once freed."""
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


@dataclass(frozen=True)
class _Maker:
    """Makes an app, and readies its process for many short questions."""

    make_app: Callable[[], FastAPI]

    def __call__(self) -> FastAPI:
        sys.setswitchinterval(_SWITCH_SECONDS)
        _share_arenas()
        app = self.make_app()
        # What stands at the start stays: the collector need not look at it again while questions are answered.
        gc.collect()
        gc.freeze()
        return app


class _Server(uvicorn.Server):
    """Uvicorn that says when it is ready and takes a stop signal as the ordinary end."""

    def __init__(self, config: uvicorn.Config, address: str) -> None:
        super().__init__(config)
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and not self.should_exit:
            print(f"ready {self._address}", flush=True)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        def stop(number: int, frame: FrameType | None) -> None:
            self.handle_exit(number, frame)

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Workers(Multiprocess):
    """Uvicorn's keeper of worker processes, which says when all of them are ready."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], address: str) -> None:
        super().__init__(config, sockets)
        self._address = address

    def init_processes(self) -> None:
        super().init_processes()
        if all(process.wait_until_ready(START_SECONDS, self.should_exit) for process in self.processes):
            print(f"ready {self._address}", flush=True)

    def keep_subprocess_alive(self) -> None:
        before = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
        for pid in before - {process.pid for process in self.processes}:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]  # its running requests are no more


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, OverflowError) as error:
        raise BadUsage(f"{host}:{port} is not an address of this machine: {error}") from error
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        raise Conflict(f"cannot listen on {host} port {port}: {error}; give another --port, or 0 for a free one") from error
    listener.setblocking(False)
    return listener
