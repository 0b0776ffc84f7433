"""Applications for data from Python: `client.applications.catalogue`, `advise`, `create`, `act`, with the hub's words."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import httpx

from cohelix.core.errors import BadUsage
from cohelix.sdk.answers import problem_of, read_answer, unreachable
from cohelix.sdk.frames import Kind, Tabular
from cohelix.wire.application_documents import (
    ApplicationDocument,
    ApplicationsDocument,
    CatalogueDocument,
    EventsDocument,
)
from cohelix.wire.identity import Me

_PATH = "/api/v1/applications"
_CATALOGUE = "/api/v1/catalogue"


class CatalogueTable(Tabular, CatalogueDocument):
    """The datasets that one may apply for; as a table one row for each, with the advice where a purpose was stated."""

    columns: ClassVar[dict[str, Kind]] = {
        "dataset": "text",
        "title": "text",
        "country": "text",
        "authority": "text",
        "uses": "text",
        "advice": "text",
        "why": "text",
    }
    text_shown: ClassVar[int] = 1000

    def rows(self) -> Iterable[Sequence[Any]]:
        for one in self.datasets:
            why = "; ".join(found.reason for found in one.findings if found.advice == one.advice) or None
            record = one.record
            yield (record.id, record.title, record.country, record.authority, ", ".join(one.uses), one.advice, why)


class Applications(Tabular, ApplicationsDocument):
    """The applications that one may read; as a table one row for each."""

    columns: ClassVar[dict[str, Kind]] = {
        "id": "text",
        "title": "text",
        "stage": "text",
        "changed_at": "text",
        "due_at": "text",
    }

    def rows(self) -> Iterable[Sequence[Any]]:
        for one in self.applications:
            yield (one.id, one.title, one.stage, one.changed_at, one.due_at)


class Application(Tabular, ApplicationDocument):
    """An application; as a table one row for each of its datasets."""

    columns: ClassVar[dict[str, Kind]] = {
        "dataset": "text",
        "authority": "text",
        "country": "text",
        "stage": "text",
        "since": "text",
        "until": "text",
        "conditions": "text",
    }
    text_shown: ClassVar[int] = 1000

    def rows(self) -> Iterable[Sequence[Any]]:
        if not self.lines:
            for asked in self.form.lines:
                yield (asked.dataset, asked.authority, asked.country, "not handed in", None, None, None)
        for one in self.lines:
            conditions = "; ".join(one.conditions) or None
            yield (one.dataset, one.authority, one.country, one.stage, one.since, one.until, conditions)

    def caption(self) -> str:
        return f"{self.id}, {self.form.title or 'without a title'}: {self.stage}"


class ApplicationsClient:
    """Applies and decides as whoever has logged in; errors are the house's, with the hub's words.

    What happens is an event: `act(id, "voted", dataset="FI:a", vote="approve")`. `docs/concepts/applications.md` has the
    events, and who may do which when.
    """

    def __init__(self, http: httpx.Client, url: str) -> None:
        self._http, self._url = http, url

    def issuer(self) -> str:
        """Who knows the person who asks."""
        return read_answer(Me, self._send("GET", "/api/v1/me")).issuer

    def catalogue(self) -> CatalogueTable:
        """The datasets that members tell of."""
        return read_answer(CatalogueTable, self._send("GET", _CATALOGUE))

    def advise(self, *, datasets: Sequence[str] = (), **purpose: Any) -> CatalogueTable:
        """What the data-use codes say of a purpose; a rule's advice, the committee decides.

        Parameters
        ----------
        datasets
            Ids as NODE:DATASET; none for all.
        purpose
            `investigations` (`["genetic"]`), `diseases` (codes), `commercial`, `for_profit`, `country`, `months`.
        """
        asked = {"datasets": list(datasets), **_camel(purpose)}
        return read_answer(CatalogueTable, self._send("POST", f"{_CATALOGUE}/advice", json=asked))

    def create(self, datasets: Sequence[str] = (), **form: Any) -> Application:
        """Begin an application for datasets of the catalogue; the other fields are the form's.

        Raises
        ------
        BadUsage
            If nobody decides about a dataset, so that nobody can apply for it.
        """
        filled = {**form, "lines": self.lines_of(datasets)}
        return read_answer(Application, self._send("POST", _PATH, json={"form": filled}, key=_fresh()))

    def lines_of(self, datasets: Sequence[str]) -> list[dict[str, str]]:
        """The basket's lines of datasets: who decides about each, and which country may veto, as its holder says."""
        if not datasets:
            return []
        records = {one.record.id: one.record for one in self.catalogue().datasets}
        lines = []
        for name in datasets:
            record = records.get(name)
            if record is None:
                raise BadUsage(f"no member tells of a dataset {name[:120]}: see `cohelix apply catalogue`")
            if not record.authority or not record.country:
                raise BadUsage(f"nobody can apply for {name}: its holder has not said who decides")
            lines.append({"dataset": name, "authority": record.authority, "country": record.country})
        return lines

    def list(self) -> Applications:
        """The applications that one may read, the last changed first."""
        return read_answer(Applications, self._send("GET", _PATH))

    def get(self, application: str) -> Application:
        """One application."""
        return read_answer(Application, self._send("GET", _one(application)))

    def events(self, application: str) -> tuple[dict[str, Any], ...]:
        """What happened to it, in order."""
        return read_answer(EventsDocument, self._send("GET", _one(application, "events"))).events

    def save(self, application: str, **changed: Any) -> Application:
        """Change fields of a draft's form; `datasets` takes the place of the basket."""
        form = self.get(application).form.model_dump(mode="json")
        if "datasets" in changed:
            changed["lines"] = self.lines_of(changed.pop("datasets"))
        return read_answer(Application, self._send("PUT", _one(application, "form"), json={**form, **changed}))

    def act(self, application: str, event: str, **fields: Any) -> Application:
        """Make something happen; a request that is sent again after a broken connection happens once."""
        answer = self._send("POST", _one(application, "events"), json={"event": event, **fields}, key=_fresh())
        return read_answer(Application, answer)

    def attach(self, application: str, path: str | Path) -> None:
        """Attach a file to a draft, under its name."""
        file = Path(path)
        answer = self._send("PUT", _one(application, "attachments", file.name), content=file.read_bytes())
        if answer.status_code != httpx.codes.NO_CONTENT:
            raise problem_of(answer)

    def copy(self, application: str) -> Application:
        """Begin a new application with the form of this one."""
        return read_answer(Application, self._send("POST", _one(application, "copy"), key=_fresh()))

    def draw_agreement(self, application: str, datasets: Sequence[str]) -> Application:
        """Write the agreement on confirmed datasets."""
        body = {"datasets": list(datasets)}
        return read_answer(Application, self._send("POST", _one(application, "agreements"), json=body))

    def agreement(self, application: str, sha256: str) -> str:
        """The text of an agreement."""
        answer = self._send("GET", _one(application, "agreements", sha256))
        if answer.status_code != httpx.codes.OK:
            raise problem_of(answer)
        return answer.text

    def _send(self, method: str, path: str, *, key: str | None = None, **rest: Any) -> httpx.Response:
        headers = {"idempotency-key": key} if key else {}
        for attempt in (1, 2):
            try:
                return self._http.request(method, path, headers=headers, **rest)
            except httpx.HTTPError as error:
                if attempt == 2 or not (key or method == "GET"):
                    raise unreachable(self._url, error) from error
        raise AssertionError("the second attempt ends it")


def _one(application: str, *steps: str) -> str:
    return "/".join([_PATH, *(quote(step, safe="") for step in (application, *steps))])


def _fresh() -> str:
    return secrets.token_hex(16)


def _camel(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"forProfit" if name == "for_profit" else name: value for name, value in fields.items()}
