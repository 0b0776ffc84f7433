"""Forms and cookies of pages: what a browser sends back, and whether a page of this server made it send it."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from cohelix.core.errors import BadQuestion, NotPermitted

FORM_KEY: Final = "form_key"
_FORM: Final = "cohelix.form"


class Cookie:
    """One cookie of a server: for this host only over TLS (`__Host-`), never for scripts, and not with posts of other sites."""

    def __init__(self, name: str, url: str, *, path: str = "/") -> None:
        self._secure = url.startswith("https://")
        self.name = f"__Host-{name}" if self._secure else name
        self._path = "/" if self._secure else path

    def read(self, request: HTTPConnection) -> str:
        """Its value; empty where it was not sent."""
        return request.cookies.get(self.name, "")

    def write(self, answer: Response, value: str) -> None:
        """Set it until the browser ends; the server ends its session before that."""
        answer.set_cookie(self.name, value, path=self._path, secure=self._secure, httponly=True, samesite="lax")

    def clear(self, answer: Response) -> None:
        """Take it away."""
        answer.delete_cookie(self.name, path=self._path, secure=self._secure, httponly=True, samesite="lax")


def require_own_origin(request: HTTPConnection, url: str) -> None:
    """Refuse a request that a page of another site has sent; `url` is the server's own address.

    Behind a proxy that ends TLS the request's own scheme is not what the browser sees: its host decides.
    """
    origin = request.headers.get("origin", "")
    parts = urlsplit(url)
    own_host = urlsplit(origin).netloc == request.headers.get("host", "") and origin.startswith(("http://", "https://"))
    if origin != f"{parts.scheme}://{parts.netloc}" and not own_host:
        raise NotPermitted("this was not sent from a page of this server")


async def read_form(request: Request) -> dict[str, str]:
    """The fields of an urlencoded body, none twice."""
    kept = request.scope.get(_FORM)
    if isinstance(kept, dict):
        return kept
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise BadQuestion("send the form as application/x-www-form-urlencoded")
    try:
        pairs: list[Any] = parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=100)
    except ValueError as error:
        raise BadQuestion("the form cannot be read") from error
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise BadQuestion("a field of the form stands there twice")
    request.scope[_FORM] = fields
    return fields
