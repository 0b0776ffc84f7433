"""What every endpoint shares: problem documents, request ids, logs, metrics, limits, and the server itself."""

from cohelix.web.labels import name_route, request_id
from cohelix.web.service import ServiceKind, Tls, install, serve
from cohelix.web.telemetry import configure_logs

__all__ = ["ServiceKind", "Tls", "configure_logs", "install", "name_route", "request_id", "serve"]
