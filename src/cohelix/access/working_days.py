"""Deadlines in working days of a country: when a period that begins now has ended there (pure).

Periods are counted as European law counts them (Regulation 1182/71, article 3): the day of the event is not counted, and
a period ends with the last hour of its last day, in the country's own time. Public holidays come from `holidays`, and
time zones from `tzdata` where the system has none.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from cohelix.core.errors import BadUsage

# The time of the capital: committees sit there. ISO 3166-1 alpha-2 → IANA time zone.
TIME_ZONES: Final = {
    "AT": "Europe/Vienna",
    "BE": "Europe/Brussels",
    "BG": "Europe/Sofia",
    "CH": "Europe/Zurich",
    "CY": "Asia/Nicosia",
    "CZ": "Europe/Prague",
    "DE": "Europe/Berlin",
    "DK": "Europe/Copenhagen",
    "EE": "Europe/Tallinn",
    "ES": "Europe/Madrid",
    "FI": "Europe/Helsinki",
    "FR": "Europe/Paris",
    "GB": "Europe/London",
    "GR": "Europe/Athens",
    "HR": "Europe/Zagreb",
    "HU": "Europe/Budapest",
    "IE": "Europe/Dublin",
    "IS": "Atlantic/Reykjavik",
    "IT": "Europe/Rome",
    "LI": "Europe/Vaduz",
    "LT": "Europe/Vilnius",
    "LU": "Europe/Luxembourg",
    "LV": "Europe/Riga",
    "MT": "Europe/Malta",
    "NL": "Europe/Amsterdam",
    "NO": "Europe/Oslo",
    "PL": "Europe/Warsaw",
    "PT": "Europe/Lisbon",
    "RO": "Europe/Bucharest",
    "SE": "Europe/Stockholm",
    "SI": "Europe/Ljubljana",
    "SK": "Europe/Bratislava",
    "US": "America/New_York",
}
# Countries whose parts share too few holidays to mean anything: the part where the capital lies (ISO 3166-2).
_PARTS: Final = {"GB": "ENG"}
_DAYS_MAX: Final = 3660  # ten years: a longer period is a mistake


@dataclass(frozen=True, slots=True)
class Calendar:
    """A country's working days and time.

    Attributes
    ----------
    country
        ISO 3166-1 alpha-2, one of `TIME_ZONES`.
    part
        The committee's part of the country where it has holidays of its own, ISO 3166-2 without the country: `ENG`, `BY`.
    closed
        Further days on which its committee does not work.
    """

    country: str
    part: str | None = None
    closed: frozenset[date] = frozenset()

    def __post_init__(self) -> None:
        if self.country not in TIME_ZONES:
            raise BadUsage(f"no calendar of country {self.country[:20]!r} is known: use one of {', '.join(TIME_ZONES)}")
        if self.part is not None and self.part not in _parts(self.country):
            raise BadUsage(f"{self.country} has no part {self.part[:20]!r} with holidays of its own")

    def is_working_day(self, day: date) -> bool:
        """Whether it is neither Saturday, Sunday, a public holiday there, nor closed."""
        free = _public_holidays(self.country, self.part or _PARTS.get(self.country), day.year)
        return day.weekday() < 5 and day not in free and day not in self.closed

    def end_of_working_days(self, began: datetime, days: int) -> datetime:
        """When a period of working days has ended: the first moment that is no longer in it, in UTC.

        Parameters
        ----------
        began
            The event, with its time zone.
        days
            1 or more; the event's own day does not count.
        """
        day = _local_day(began, self.country)
        left = _checked(days)
        while left:
            day += timedelta(days=1)
            left -= self.is_working_day(day)
        return _midnight_after(day, self.country)

    def end_of_days(self, began: datetime, days: int) -> datetime:
        """The same for calendar days, whatever day the last one is."""
        return _midnight_after(_local_day(began, self.country) + timedelta(days=_checked(days)), self.country)

    def working_days_between(self, began: datetime, now: datetime) -> int:
        """How many working days after the event's have begun; 0 before the first."""
        first, last = _local_day(began, self.country), _local_day(now, self.country)
        span = max(0, (last - first).days)
        return sum(self.is_working_day(first + timedelta(days=number)) for number in range(1, span + 1))


def _checked(days: int) -> int:
    if not 1 <= days <= _DAYS_MAX:
        raise BadUsage(f"a period has 1 to {_DAYS_MAX} days, not {days}")
    return days


def _local_day(moment: datetime, country: str) -> date:
    if moment.tzinfo is None:
        raise BadUsage("a moment without its time zone is no moment")
    return moment.astimezone(_zone(country)).date()


def _midnight_after(day: date, country: str) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), _zone(country)).astimezone(UTC)


@functools.cache
def _zone(country: str) -> ZoneInfo:
    return ZoneInfo(TIME_ZONES[country])


def _parts(country: str) -> tuple[str, ...]:
    import holidays

    return tuple(holidays.country_holidays(country).subdivisions)


@functools.lru_cache(maxsize=256)
def _public_holidays(country: str, part: str | None, year: int) -> frozenset[date]:
    import holidays  # reading settings, as every command does, needs none

    return frozenset(holidays.country_holidays(country, subdiv=part, years=year))
