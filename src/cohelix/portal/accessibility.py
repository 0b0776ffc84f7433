"""The accessibility statement: what the pages conform to, what is known to fall short, and whom to tell."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from cohelix.access.caller import CallerOf
from cohelix.core.genome import Assembly
from cohelix.portal.pages import page_route, render


def accessibility_pages(contact: str, caller_of: CallerOf) -> list[BaseRoute]:
    """`/accessibility`; `contact` is where the hub's operator is told of barriers, empty where none is set."""

    async def accessibility(request: Request) -> Response:
        """Show the statement."""
        return render(request, "accessibility.html", contact=contact, assembly=Assembly.GRCH38)

    return [page_route("/accessibility", accessibility, caller_of)]
