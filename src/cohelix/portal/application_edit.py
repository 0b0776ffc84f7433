"""The page of an application's form: typed, saved by itself, files attached, and handed to the signing official."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from cohelix.access.applications import Application, Stage
from cohelix.access.caller import known_caller
from cohelix.core.errors import BadQuestion, CohelixError, Conflict
from cohelix.portal import application_forms as forms
from cohelix.portal import application_views as views
from cohelix.portal.loop import PLAIN, LoopPages, application_path
from cohelix.portal.pages import redirect
from cohelix.web.forms import files_of
from cohelix.wire.applications import Form


class EditPages(LoopPages):
    """The form, and what is sent from it."""

    async def edit(self, request: Request) -> Response:
        """The application's form."""
        if not known_caller(request).actor.known:
            return redirect("/login?next=/applications")
        caller, identifier = known_caller(request), request.path_params["application"]
        state, _ = await self.desk.read(caller, identifier)
        return await self._edit_page(request, state, state.form, saved=request.query_params.get("saved") == "yes")

    async def save(self, request: Request) -> Response:
        """Keep the form; a script that saves while somebody types gets the page, whose advice it shows."""
        fields, caller = await self.form_of(request), known_caller(request)
        identifier = request.path_params["application"]
        state, _ = await self.desk.read(caller, identifier)
        try:
            form = forms.edited(state.form, fields, caller.actor.issuer)
            same = Form.model_validate(form) == state.form
            if not same and fields.get("version") != str(state.version):
                raise Conflict("the draft was changed in another window meanwhile: open it again, then type your changes")
            if not same:
                state = await self.desk.add(
                    caller, identifier, {"event": "edited", "form": form}, fields.get("request") or None
                )
        except (CohelixError, ValueError) as error:
            detail = error.detail if isinstance(error, CohelixError) else _first_fault(error)
            status = error.status if isinstance(error, CohelixError) else HTTPStatus.BAD_REQUEST
            return await self._edit_page(request, state, state.form, fault=detail, typed=fields, status=status)
        if request.headers.get("x-autosave"):
            return await self._edit_page(request, state, state.form, saved=True)
        if fields.get("then") == "sign":
            return await self._ask_signature(request, identifier)
        return redirect(f"{application_path(identifier, step='edit')}?saved=yes")

    async def _ask_signature(self, request: Request, identifier: str) -> Response:
        caller = known_caller(request)
        try:
            await self.desk.add(caller, identifier, {"event": "signing-asked"}, None)
        except Conflict as error:
            state, _ = await self.desk.read(caller, identifier)
            return await self._edit_page(
                request, state, state.form, fault=f"it is saved, but {error.detail}", status=error.status
            )
        return redirect(application_path(identifier))

    async def _edit_page(
        self,
        request: Request,
        state: Application,
        form: Form,
        *,
        saved: bool = False,
        fault: str = "",
        typed: Mapping[str, str] | None = None,
        status: int = 200,
    ) -> Response:
        caller = known_caller(request)
        if state.stage not in (Stage.DRAFT, Stage.RETURNED):
            return redirect(application_path(request.path_params["application"]))
        shown: dict[str, Any] = {
            **form.model_dump(),
            "members": forms.members_text(form.members, caller.actor.issuer),
            "diseases": "\n".join(form.diseases),
            "does": forms.chosen_investigations(form),
        }
        if typed:
            shown |= {name: typed.get(name, "") for name in ("title", "summary", "organisation", "plan", "members", "diseases")}
        return self._page(
            request,
            "application_edit.html",
            HTTPStatus(status),
            id=request.path_params["application"],
            state=state,
            form=form,
            shown=shown,
            saved=saved,
            saved_at=views.moment(self.clock.now()),
            fault=fault,
            now_version=state.version,
            **await self._lines(request, form),
        )

    async def attach(self, request: Request) -> Response:
        """Attach a file to the form."""
        await self.form_of(request)
        caller, identifier = known_caller(request), request.path_params["application"]
        try:
            found = [one for one in files_of(request) if one.name]
            if len(found) != 1:
                raise BadQuestion("choose one file, then attach it")
            await self.desk.attach(caller, identifier, found[0].name, found[0].content)
        except (BadQuestion, Conflict) as error:
            state, _ = await self.desk.read(caller, identifier)
            return await self._edit_page(request, state, state.form, fault=error.detail, status=error.status)
        return redirect(f"{application_path(identifier, step='edit')}?saved=yes")

    async def attachment(self, request: Request) -> Response:
        """An attached file, to be kept and never to be shown in the page's place."""
        name = request.path_params["name"]
        content, media_type = await self.desk.attachment(known_caller(request), request.path_params["application"], name)
        disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
        return Response(content, media_type=media_type, headers={**PLAIN, "Content-Disposition": disposition})


def _first_fault(error: ValueError) -> str:
    """What a form's document is refused for, in a line."""
    faults = getattr(error, "errors", None)
    if faults is None:
        return "the form cannot be read"
    first = faults()[0]
    return f"{first['loc'][0] if first['loc'] else 'the form'}: {first['msg']}"
