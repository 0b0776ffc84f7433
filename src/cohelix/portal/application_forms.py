"""Forms of the governance loop, as browsers send them: the application, its purpose, and what a person makes happen (pure)."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from cohelix.access.duo import Investigation, Purpose, read_investigation
from cohelix.core.errors import BadQuestion
from cohelix.portal.application_words import CHECKLIST
from cohelix.wire.applications import Form, Identity, Line

Fields = Mapping[str, str]
_ANSWERS: Final = {"": None, "yes": True, "no": False}
# event → the fields of its document that a form may fill
_EVENTS: Final[dict[str, tuple[str, ...]]] = {
    "signing-asked": (),
    "signed": (),
    "signing-refused": ("reason",),
    "asked": ("text",),
    "answered": ("text",),
    "returned": ("reason",),
    "checked": ("dataset",),
    "voted": ("dataset", "vote", "comment"),
    "proposed": ("dataset", "decision", "reason"),
    "decided": ("dataset", "decision"),
    "delayed": ("authority", "until", "reason"),
    "confirmed": ("dataset",),
    "vetoed": ("dataset", "reason"),
    "agreement-signed": ("side", "sha256"),
    "suspended": ("dataset", "reason"),
    "revoked": ("dataset", "reason"),
    "renewal-asked": ("dataset", "reason"),
    "appealed": ("dataset", "reason"),
    "appeal-upheld": ("dataset", "reason"),
    "appeal-dismissed": ("dataset", "reason"),
    "withdrawn": (),
}


def request_name() -> str:
    """A name for what a form asks for, so that sending it twice does it once."""
    return secrets.token_hex(12)


def event_of(fields: Fields) -> dict[str, Any]:
    """The event that a form asks for; raises `BadQuestion` for one that no form has."""
    kind = fields.get("event", "")
    if kind not in _EVENTS:
        raise BadQuestion("this form asks for nothing that can be done here")
    document: dict[str, Any] = {"event": kind, **{name: fields.get(name, "").strip() for name in _EVENTS[kind]}}
    if kind == "checked":
        document["points"] = {words: fields.get(f"point:{key}") == "yes" for key, words in CHECKLIST.items()}
    if kind == "proposed":
        document["conditions"] = words_of_lines(fields.get("conditions", ""))
    return document


def words_of_lines(text: str) -> tuple[str, ...]:
    """What stands on each line, none twice and none empty."""
    return tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def purpose_fields(fields: Fields) -> dict[str, Any]:
    """The purpose as an application's form keeps it; what was not said is None."""
    chosen = tuple(one.value for one in Investigation if fields.get(f"does:{one.name.lower()}") == "yes")
    country, months = fields.get("country", "").strip().upper(), fields.get("months", "").strip()
    if months and not (months.isascii() and months.isdigit()):
        raise BadQuestion("the months are a whole number")
    return {
        "investigations": chosen,
        "diseases": tuple(dict.fromkeys(fields.get("diseases", "").replace(",", " ").split())),
        "commercial": _ANSWERS.get(fields.get("commercial", "")),
        "for_profit": _ANSWERS.get(fields.get("for_profit", "")),
        "country": country or None,
        "months": int(months) if months else None,
    }


def purpose_of(form: Mapping[str, Any]) -> Purpose:
    """A kept purpose in the matcher's terms; what is no term of DUO is left out, so that it approves nothing."""
    return Purpose(
        investigations=frozenset(_investigations(form.get("investigations", ()))),
        diseases=tuple(form.get("diseases", ())),
        commercial=form.get("commercial"),
        for_profit=form.get("for_profit"),
        country=form.get("country"),
        months=form.get("months"),
    )


def _investigations(names: Iterable[str]) -> Iterable[Investigation]:
    for name in names:
        try:
            yield read_investigation(name)
        except BadQuestion:
            continue


def chosen_investigations(form: Form) -> frozenset[str]:
    """Those of a form, by their names in fields."""
    return frozenset(one.name.lower() for one in _investigations(form.investigations))


def members_of(text: str, issuer: str) -> tuple[dict[str, str], ...]:
    """People, one on a line: the subject, and the issuer's address after it where it is another one's."""
    found = []
    for line in words_of_lines(text):
        words = line.split()
        if len(words) > 2:
            raise BadQuestion("a member is a subject, and the issuer's address where it is another one's, on a line")
        found.append({"subject": words[0], "issuer": words[1] if len(words) == 2 else issuer})
    return tuple(found)


def members_text(members: Sequence[Identity], issuer: str) -> str:
    """The same the other way round."""
    return "\n".join(one.subject if one.issuer == issuer else f"{one.subject} {one.issuer}" for one in members)


def edited(before: Form, fields: Fields, issuer: str) -> dict[str, Any]:
    """The application's form after what its page sent; lines change only by what is removed, attachments not at all."""
    lines = [line for line in before.lines if fields.get(f"remove:{line.dataset}") != "yes"]
    return {
        **before.model_dump(),
        "title": fields.get("title", "").strip(),
        "summary": fields.get("summary", "").strip().replace("\r\n", "\n"),
        "track": "healthcare" if fields.get("track") == "healthcare" else "research",
        "organisation": fields.get("organisation", "").strip(),
        "plan": fields.get("plan", "").replace("\r\n", "\n"),
        "members": members_of(fields.get("members", ""), issuer),
        "lines": tuple(line.model_dump() for line in lines),
        **purpose_fields(fields),
    }


def with_lines(before: Form, lines: Iterable[Line]) -> dict[str, Any]:
    """The form with further datasets in its basket."""
    kept = {line.dataset: line for line in before.lines}
    kept |= {line.dataset: line for line in lines if line.dataset not in kept}
    return {**before.model_dump(), "lines": tuple(line.model_dump() for line in kept.values())}


def copied(form: Form, identifier: str) -> dict[str, Any]:
    """A new application's form after another one's, without its files."""
    return {**form.model_dump(), "attachments": {}, "copy_of": identifier}
