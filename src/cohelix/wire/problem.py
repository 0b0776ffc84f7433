"""RFC 9457 problem document: the body of every error that no standard of ours prescribes otherwise."""

from __future__ import annotations

from cohelix.core.errors import CohelixError
from cohelix.wire.frequency import Wire

MEDIA_TYPE = "application/problem+json"
# A problem's type is a name, the same on every node; w3id.org is the field's register of lasting names. The page that
# explains a type is docs/problems/<slug>.md.
TYPE_BASE = "https://w3id.org/cohelix/problems/"


class Problem(Wire):
    """What went wrong, for programs (`type`, `status`) and for people (`title`, `detail`).

    `request_id` is the identifier under which the server's log knows the request; `errors` lists the places of a
    request that was malformed, one sentence each.
    """

    type: str
    title: str
    status: int
    detail: str | None = None
    request_id: str | None = None
    errors: tuple[str, ...] = ()

    def body(self) -> dict[str, object]:
        """The document as it travels, empty members left out."""
        return self.model_dump(exclude_none=True, exclude_defaults=True)


def problem_type(slug: str) -> str:
    """The absolute URI of a problem type."""
    return TYPE_BASE + slug


def problem_of(error: CohelixError, request_id: str | None = None) -> Problem:
    """The document of an error of the house."""
    return Problem(
        type=problem_type(error.slug), title=error.title, status=error.status, detail=error.detail, request_id=request_id
    )
