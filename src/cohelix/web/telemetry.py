"""Request ids, structured logs, metrics, limits and security headers: one layer around every app.

A log line names the route's template, the status and the time, never the path or the query: these spell out variants.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Collection, Mapping
from typing import Any, Final

import orjson
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cohelix.core.errors import BadUsage, CohelixError, Overloaded, TooLarge
from cohelix.web.labels import label, note_refusal, refusal_of, route_of
from cohelix.web.problem import internal_problem, problem_response
from cohelix.wire.problem import problem_of

# Largest request body that is read; a Beacon query or a federation message is a few kilobytes. An app may allow more at
# addresses that read a body only after they know its sender.
BODY_BYTES_MAX: Final = 1 << 20
# Requests that one process works on at a time. Exact questions take well under a millisecond and never stand in line;
# what fills this are long scans, and more of them would only make each answer later than its asker waits.
RUNNING_MAX: Final = 128
RUNNING_VARIABLE: Final = "COHELIX_REQUESTS_RUNNING_MAX"
# Where worker processes of one server leave their figures for each other: prometheus_client's own variable.
SHARED_FIGURES_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_QUIET_ROUTES: Final = frozenset({"/healthz", "/readyz", "/metrics"})
# Seconds; the promise is 2 ms at the median and 10 ms at the 99th percentile.
_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_HEADERS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    ("Cache-Control", "no-store"),
)
_RAW_HEADERS: Final = tuple((name.lower().encode(), value.encode()) for name, value in _HEADERS)
# RFC 6797: a browser that was here over TLS does not come back without it, for a year.
_RAW_SECURE_HEADERS: Final = (*_RAW_HEADERS, (b"strict-transport-security", b"max-age=31536000"))
_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Telemetry:
    """The outermost layer of an app.

    Parameters
    ----------
    app
        The app that is wrapped.
    service
        `node` or `hub`; a label of every metric and log line.
    meters
        Where requests are counted.
    large_bodies
        Most bytes of a request's body at addresses that begin in some way; `BODY_BYTES_MAX` elsewhere.
    patient
        Addresses whose requests wait for something to happen: they do not count among those that are worked on.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        service: str,
        meters: Meters,
        large_bodies: Mapping[str, int] | None = None,
        patient: Collection[str] = (),
    ) -> None:
        self._app = app
        self._large_bodies = tuple((large_bodies or {}).items())
        self._patient = frozenset(patient)
        self._meters = meters
        self._log = structlog.get_logger().bind(service=service)
        self._running_max = _running_max()
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identifier = label(scope)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=identifier)
        exchange = _Exchange(identifier, scope, receive, send, self._bytes_max(scope["path"]))
        began = time.perf_counter()
        counted = int(scope["path"] not in self._patient)
        self._running += counted
        self._meters.running.inc(counted)
        try:
            if counted and self._running > self._running_max and scope["path"] not in _QUIET_ROUTES:
                raise Overloaded(f"{self._running_max} questions are being answered; ask again in a second")
            await self._app(scope, exchange.receive, exchange.send)
        except (Overloaded, TooLarge) as error:
            await exchange.fail(scope, error)
        except Exception as error:
            self._log.exception("request failed", route=route_of(scope), error=type(error).__name__)
            await exchange.fail(scope, None)
        finally:
            seconds = time.perf_counter() - began
            self._running -= counted
            self._meters.running.dec(counted)
            self._note(scope, exchange.status, seconds)

    def _bytes_max(self, path: str) -> int:
        return next((size for start, size in self._large_bodies if path.startswith(start)), BODY_BYTES_MAX)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = route_of(scope)
        self._meters.count(route, scope["method"], status, seconds)
        refused = refusal_of(scope)
        if refused is not None:
            self._meters.refusals.labels(self._meters.service, refused).inc()
        level = logging.WARNING if status >= 500 else logging.DEBUG if route in _QUIET_ROUTES else logging.INFO
        self._log.log(level, "request", method=scope["method"], route=route, status=status, ms=round(seconds * 1e3, 3))


class Meters:
    """The Prometheus figures of one app, in a registry of its own."""

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        labels = ("service", "method", "route", "status")
        self.service = service
        self._requests = Counter("cohelix_requests", "Requests answered.", labels, registry=self.registry)
        self._seconds = Histogram(
            "cohelix_request_seconds", "Time to answer.", labels[:3], buckets=_BUCKETS, registry=self.registry
        )
        self.running = Gauge(
            "cohelix_requests_running", "Requests being answered.", registry=self.registry, multiprocess_mode="livesum"
        )
        self.refusals = Counter(
            "cohelix_refusals", "Requests answered with a problem, by its slug.", ("service", "slug"), registry=self.registry
        )
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def text(self) -> bytes:
        """The figures as Prometheus reads them; of a server of several processes, their sums."""
        return generate_latest(self._whole())

    def refused(self) -> dict[str, int]:
        """How many requests were answered with a problem since the server began, by its slug."""
        samples = (one for metric in self._whole().collect() for one in metric.samples if one.name == "cohelix_refusals_total")
        return {one.labels["slug"]: int(one.value) for one in samples}

    def _whole(self) -> CollectorRegistry:
        if SHARED_FIGURES_VARIABLE not in os.environ:
            return self.registry
        shared = CollectorRegistry()
        MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        return shared

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """Note one request; `route` is a template, so that the number of series is bounded."""
        key = (method if method in _METHODS else "other", route, status)
        found = self._children.get(key)
        if found is None:
            found = (
                self._requests.labels(self.service, key[0], route, str(status)),
                self._seconds.labels(self.service, key[0], route),
            )
            self._children[key] = found
        found[0].inc()
        found[1].observe(seconds)


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})


class _Exchange:
    """One request and its response: counts the body in, adds the headers on the way out, remembers the status."""

    def __init__(self, identifier: str, scope: Scope, receive: Receive, send: Send, bytes_max: int) -> None:
        self.status = 500
        self.started = False
        self._id = identifier
        self._receive = receive
        self._send = send
        self._bytes_in = 0
        self._bytes_max = bytes_max
        self._too_long = _announced_length(scope) > bytes_max
        self._raw_headers = _RAW_SECURE_HEADERS if scope.get("scheme") == "https" else _RAW_HEADERS

    async def receive(self) -> Message:
        """The next part of the body; whoever reads a body meets the limit, announced or not."""
        if not self._too_long:
            message = await self._receive()
            self._bytes_in += len(message.get("body", b""))
            self._too_long = self._bytes_in > self._bytes_max
        if self._too_long:
            raise TooLarge(f"a request's body may have {self._bytes_max} bytes")
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            headers = message.setdefault("headers", [])
            present = {name.lower() for name, _ in headers}
            message["headers"] = [
                *headers,
                (b"x-request-id", self._id.encode()),
                *(pair for pair in self._raw_headers if pair[0] not in present),
                *([(b"connection", b"close")] if self._too_long else []),
            ]
        await self._send(message)

    async def fail(self, scope: Scope, error: CohelixError | None) -> None:
        """Answer with a problem document; where the response had begun, let the server cut the connection."""
        if self.started:
            raise _CutShort("the response failed after it had begun")
        problem = problem_of(error, self._id) if error else internal_problem(self._id)
        note_refusal(scope, (error or CohelixError).slug)
        headers = {"Retry-After": "1"} if isinstance(error, Overloaded) else None
        await problem_response(problem, headers)(scope, self._receive, self.send)


class _CutShort(RuntimeError):
    """Tells the server that a response cannot be completed."""


def _running_max() -> int:
    text = os.environ.get(RUNNING_VARIABLE, str(RUNNING_MAX))
    if not text.isdigit() or int(text) < 1:
        raise BadUsage(f"{RUNNING_VARIABLE} is a number of requests, 1 or more, not {text!r}")
    return int(text)


def _announced_length(scope: Scope) -> int:
    """The body's length in bytes as the request announces it; 0 where it does not."""
    return max(
        (int(value[:20]) for name, value in scope["headers"] if name == b"content-length" and value.isdigit()), default=0
    )


def configure_logs(level: str | None = None) -> None:
    """Write logs as JSON lines on standard error; the level comes from `COHELIX_LOG_LEVEL` where none is given.

    Raises
    ------
    BadUsage
        If the level is none of debug, info, warning, error.
    """
    chosen = (level or os.environ.get("COHELIX_LOG_LEVEL") or "info").lower()
    if chosen not in _LEVELS:
        raise BadUsage(f"{chosen!r} is not a log level: use one of {', '.join(_LEVELS)}")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[chosen]),
        logger_factory=structlog.BytesLoggerFactory(file=sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    # What libraries say through the standard library takes the same road.
    root = logging.getLogger()
    root.handlers[:] = [_ToStructlog()]
    root.setLevel(max(_LEVELS[chosen], logging.WARNING))


class _ToStructlog(logging.Handler):
    """Hands the standard library's log records to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)


def _json(event: Any, **_options: Any) -> bytes:
    return orjson.dumps(event, default=str)
