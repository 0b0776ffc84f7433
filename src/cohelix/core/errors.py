"""The one family of errors; every failure that a caller can act on is a class here.

CohelixError                 any failure; our own fault where no kind below names it (exit 1, HTTP 500)
├── BadInput                 what came in is not what was asked for (exit 2, HTTP 400)
│   ├── BadUsage             a command's or a setting's words
│   ├── BadFile              a file: carries path, place and what was expected
│   │   └── AssemblyMismatch the file is of another genome build
│   ├── QualityRefused       data that the quality gate refuses
│   ├── BadQuestion          a query's parameters
│   │   ├── NotSupported     a legal question that this version does not answer
│   │   ├── MethodNotAllowed the address exists, not for this HTTP method (HTTP 405)
│   │   └── TooLarge         a request's body is longer than the server reads (HTTP 413)
│   └── ShapeMismatch        arrays that do not fit together
├── NotPermitted             policy says no (exit 3, HTTP 403)
│   ├── NotAuthentic         a signature, a key or a token does not hold (HTTP 401)
│   ├── IssuerRefused        an identity issuer says no to a login, a code or a token (HTTP 400)
│   └── Deviation            a message of a run departs from the method: carries its name and who sent it
├── NotFound                 nothing of that name (exit 2, HTTP 404)
├── Conflict                 the state of things forbids it now (exit 2, HTTP 409)
├── Damaged                  a stored file is not what was written (exit 1, HTTP 500)
├── Overloaded               the server has no room for one more question (HTTP 503)
├── AuditUnavailable         an answer cannot be written down, so that it is not given (HTTP 503)
└── Unreachable              nobody answered (exit 5, HTTP 503)
"""

from __future__ import annotations

from typing import ClassVar


class CohelixError(Exception):
    """Base of all errors of the house: a fault of ours unless a subclass says otherwise.

    `slug`, `title` and `status` belong to the class and are stable; `detail` belongs to the instance, helps the
    caller, and names no individual, no sample and no small count.
    """

    slug: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Something went wrong on our side"
    status: ClassVar[int] = 500
    exit_status: ClassVar[int] = 1

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class BadInput(CohelixError):
    """What came in is not what was asked for."""

    slug, title, status, exit_status = "bad-input", "The input was not understood", 400, 2


class BadUsage(BadInput):
    """A command line or a setting that cannot be meant."""

    slug, title, status = "bad-usage", "The command or setting is not valid", 400


class BadFile(BadInput):
    """A file that is refused, with the place in it and what was expected there."""

    slug, title, status = "bad-file", "The file was refused", 422

    def __init__(self, path: str, place: str, problem: str, expected: str) -> None:
        """Each argument is a phrase: `place` as "line 12" or "byte 4096", `expected` as what mends it."""
        self.path, self.place, self.problem, self.expected = path, place, problem, expected
        where = f"{path}, {place}" if place else path
        super().__init__(f"{where}: {problem}; expected {expected}")


class AssemblyMismatch(BadFile):
    """The file's contigs or reference bases are those of another assembly."""

    slug, title, status = "assembly-mismatch", "The file is of another genome assembly", 422


class QualityRefused(BadInput):
    """The quality gate is enforced and refuses the data; the detail says by which thresholds."""

    slug, title, status = "quality-refused", "The data are not good enough to be published", 422


class BadQuestion(BadInput):
    """A question whose parameters are malformed, contradict each other or miss something."""

    slug, title, status = "bad-question", "The question was not understood", 400


class NotSupported(BadQuestion):
    """A legal question that this version does not answer; never rendered as "no hit"."""

    slug, title, status = "not-supported", "This question is not supported", 400


class MethodNotAllowed(BadQuestion):
    """The address exists and does not answer this HTTP method."""

    slug, title, status = "method-not-allowed", "This address does not answer this method", 405


class TooLarge(BadQuestion):
    """A request's body is longer than the server reads."""

    slug, title, status = "too-large", "The request is too large", 413


class ShapeMismatch(BadInput):
    """Arrays that ought to share a shape and do not."""

    slug, title, status = "shape-mismatch", "Arrays do not fit together", 400


class NotPermitted(CohelixError):
    """Policy refuses; the detail says which rule, never what the answer would have been."""

    slug, title, status, exit_status = "not-permitted", "Not permitted", 403, 3


class NotAuthentic(NotPermitted):
    """A signature, key, token or clock that does not hold."""

    slug, title, status = "not-authentic", "The sender could not be authenticated", 401


class IssuerRefused(NotPermitted):
    """An issuer of identities says no; `error` is OAuth's own word for why (RFC 6749, section 5.2)."""

    slug, title, status = "issuer-refused", "The identity issuer refused", 400

    def __init__(self, error: str, detail: str) -> None:
        self.error = error
        super().__init__(detail)


class Deviation(NotPermitted):
    """A message of an analysis run that departs from the secure sum's method; whoever finds it leaves the run.

    `name` is one of those in `docs/concepts/secure-sum.md`, `member` who is responsible: a member's id, `hub`, or empty
    where two are possible.
    """

    slug, title, status = "deviation", "A message of the run departs from the method", 403

    def __init__(self, name: str, detail: str, member: str = "") -> None:
        self.name, self.member = name, member
        super().__init__(f"{name}: {detail}")


class NotFound(CohelixError):
    """Nothing of that name."""

    slug, title, status, exit_status = "not-found", "Not found", 404, 2


class Conflict(CohelixError):
    """The present state forbids it: a folder in use, a token already spent."""

    slug, title, status, exit_status = "conflict", "Conflicts with the present state", 409, 2


class Damaged(CohelixError):
    """A stored file fails its checksum or its structure; nothing is answered from it."""

    slug, title, status = "damaged", "A stored file is damaged", 500

    def __init__(self, detail: str, *, path: str | None = None) -> None:
        """`path` names the file, where one is known."""
        super().__init__(detail)
        self.path = path


class Overloaded(CohelixError):
    """More questions run than the server takes at a time; the same question may be asked again in a moment."""

    slug, title, status = "overloaded", "The server is busy", 503


class AuditUnavailable(CohelixError):
    """The audit log cannot be written: what must be written down before it is answered is not answered (rule 12)."""

    slug, title, status = "audit-unavailable", "The audit log cannot be written", 503


class Unreachable(CohelixError):
    """Nobody answered."""

    slug, title, status, exit_status = "unreachable", "Nothing could be reached", 503, 5
