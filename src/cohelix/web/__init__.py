"""What every endpoint shares: problem documents, request ids, logs, metrics, limits, and the server itself."""

from cohelix.web.labels import name_route, note_refusal, request_id
from cohelix.web.openapi import describe
from cohelix.web.scraping import make_token
from cohelix.web.service import ServiceKind, answer_first, install, serve
from cohelix.web.telemetry import configure_logs
from cohelix.web.tls import MemberRoads, Tls, chosen_tls, member_roads

__all__ = [
    "MemberRoads",
    "ServiceKind",
    "Tls",
    "answer_first",
    "chosen_tls",
    "configure_logs",
    "describe",
    "install",
    "make_token",
    "member_roads",
    "name_route",
    "note_refusal",
    "request_id",
    "serve",
]
