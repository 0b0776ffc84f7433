"""Mounts the pages of applying and deciding, and reads the catalogue off the members' datasets for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC

from starlette.requests import Request
from starlette.routing import BaseRoute

from cohelix.access.caller import CallerOf
from cohelix.access.duo import Called, Clause, Descends, Match, Purpose, match
from cohelix.core.clock import Clock, SystemClock
from cohelix.federation.questions import Federation
from cohelix.portal.application_desk import ApplicationDesk, Catalogue
from cohelix.portal.application_edit import EditPages
from cohelix.portal.application_pages import ApplicationPages
from cohelix.portal.basket import BasketPages
from cohelix.portal.desk_pages import DeskPages
from cohelix.portal.pages import page_route
from cohelix.portal.roll import Roll
from cohelix.wire.dataset import DatasetRecord


def only_itself(one: str, other: str) -> bool | None:
    """Without an ontology a disease is known to be itself; of two, nothing is known."""
    return True if one == other else None


class FederationCatalogue:
    """The datasets that members tell of.

    Parameters
    ----------
    descends, called
        What is known of diseases: which is a kind of which, and how people call one.
    """

    def __init__(
        self, federation: Federation, *, descends: Descends = only_itself, called: Called = str, clock: Clock | None = None
    ) -> None:
        self._clock, self._descends, self._called = clock or SystemClock(), descends, called
        self._roll = Roll(federation, self._clock)

    async def records(self) -> Mapping[str, DatasetRecord]:
        """Every dataset's record; one that names no country is of its member's."""
        called = await self._roll.call()
        countries = {member.id: member.country for member in called.members}
        return {name: _placed(record, countries) for name, record in called.records.items()}

    async def decided_by(self, datasets: Sequence[str]) -> Mapping[str, tuple[str | None, str | None]]:
        """The committee and the country of datasets, as far as they are known; a member's country is always known."""
        called = await self._roll.call()
        countries = {member.id: member.country for member in called.members}
        found: dict[str, tuple[str | None, str | None]] = {}
        for name in datasets:
            record, country = called.records.get(name), countries.get(name.partition(":")[0])
            found[name] = (record.authority, record.country or country) if record else (None, country)
        return found

    def advise(self, record: DatasetRecord, purpose: Purpose) -> Match:
        """What a dataset's data-use codes say of a purpose."""
        today = self._clock.now().astimezone(UTC).date()
        return match(clauses_of(record), purpose, descends=self._descends, today=today, called=self._called)


def _placed(record: DatasetRecord, countries: Mapping[str, str]) -> DatasetRecord:
    country = record.country or countries.get(record.id.partition(":")[0])
    return record if country == record.country else record.model_copy(update={"country": country})


def clauses_of(record: DatasetRecord) -> tuple[Clause, ...]:
    """A dataset's data-use codes as the matcher reads them."""
    return tuple(Clause(one.code, one.diseases, one.countries, one.until, one.months) for one in record.duo)


def application_pages(
    desk: ApplicationDesk,
    catalogue: Catalogue,
    caller_of: CallerOf,
    form_of: Callable[[Request], Awaitable[dict[str, str]]],
    clock: Clock | None = None,
) -> list[BaseRoute]:
    """The pages, to be mounted before the portal's last route."""
    given = desk, catalogue, form_of, clock or SystemClock()
    basket, pages, form, desks = BasketPages(*given), ApplicationPages(*given), EditPages(*given), DeskPages(*given)
    one = "/applications/{application}"
    shown = (
        ("/catalogue", basket.browse),
        ("/basket", basket.basket),
        ("/applications", pages.mine),
        (one, pages.one),
        (f"{one}/edit", form.edit),
        (f"{one}/form.txt", pages.form_text),
        (f"{one}/datasets/{{dataset}}", pages.dataset),
        (f"{one}/events/{{number}}", pages.words),
        (f"{one}/attachments/{{name}}", form.attachment),
        (f"{one}/agreements/{{sha256}}", desks.agreement),
        (f"{one}/agreements/{{sha256}}/text.txt", desks.agreement_text),
        ("/desk", desks.tasks),
        ("/desk/{duty}", desks.tasks),
        ("/grants", desks.grants),
    )
    sent = (
        ("/basket/add", basket.fill_basket),
        ("/basket/remove", basket.empty_basket),
        ("/applications", pages.begin),
        (f"{one}/edit", form.save),
        (f"{one}/events", pages.happen),
        (f"{one}/attachments", form.attach),
        (f"{one}/agreements", desks.draw),
    )
    return [
        *(page_route(path, handler, caller_of) for path, handler in shown),
        *(page_route(path, handler, caller_of, methods=("POST",)) for path, handler in sent),
    ]
