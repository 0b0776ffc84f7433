"""Forms and cookies of pages: what a browser sends back, and whether a page of this server made it send it."""

from __future__ import annotations

from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from cohelix.core.errors import BadQuestion, NotPermitted

FORM_KEY: Final = "form_key"
_FORM: Final = "cohelix.form"
_FILES: Final = "cohelix.files"
_FIELDS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file that somebody chose in a form, by the name that the browser says."""

    name: str
    content: bytes


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
    """The fields of a body, none twice; a form with files (`multipart/form-data`) keeps these for `files_of`."""
    kept = request.scope.get(_FORM)
    if isinstance(kept, dict):
        return kept
    written = request.headers.get("content-type", "")
    kind = written.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        pairs, request.scope[_FILES] = _parts(written, await request.body())
    elif kind == "application/x-www-form-urlencoded":
        try:
            pairs = parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=_FIELDS_MAX)
        except ValueError as error:
            raise BadQuestion("the form cannot be read") from error
    else:
        raise BadQuestion("send the form as application/x-www-form-urlencoded")
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise BadQuestion("a field of the form stands there twice")
    request.scope[_FORM] = fields
    return fields


def files_of(request: Request) -> tuple[SentFile, ...]:
    """The files of a form that `read_form` has read."""
    kept: tuple[SentFile, ...] = request.scope.get(_FILES, ())
    return kept


def _parts(written: str, body: bytes) -> tuple[list[tuple[str, str]], tuple[SentFile, ...]]:
    """Fields and files of a body of several parts (RFC 7578)."""
    head = f"Content-Type: {written}\r\n\r\n".encode("latin-1", "replace")
    whole = BytesParser(policy=HTTP).parsebytes(head + body)
    if not whole.is_multipart() or len(list(whole.iter_parts())) > _FIELDS_MAX:
        raise BadQuestion("the form cannot be read")
    pairs, files = list[tuple[str, str]](), list[SentFile]()
    for part in whole.iter_parts():
        name, file = part.get_param("name", header="content-disposition"), part.get_filename()
        content = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(content, bytes):
            raise BadQuestion("the form cannot be read")
        if file is not None:
            files.append(SentFile(file, content))
            continue
        try:
            pairs.append((name, content.decode()))
        except UnicodeDecodeError as error:
            raise BadQuestion("the form cannot be read") from error
    return pairs, tuple(files)
