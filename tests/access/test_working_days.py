"""Deadlines one second before and after, over weekends, holidays, changes of the clock and ends of years of four countries."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohelix.access.working_days import TIME_ZONES, Calendar
from cohelix.core.errors import BadUsage

COUNTRIES = ("FI", "GB", "IT", "DE")
SECOND = timedelta(seconds=1)


def local(country: str, text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(TIME_ZONES[country]))


@pytest.mark.parametrize(
    ("country", "began", "days", "last_moment"),
    [
        # a week without holidays: from Monday, five working days end with the next Monday's last second
        ("FI", "2026-02-02T09:00:00", 5, "2026-02-09T23:59:59"),
        ("GB", "2026-02-02T00:00:00", 5, "2026-02-09T23:59:59"),
        ("IT", "2026-02-02T23:59:59", 5, "2026-02-09T23:59:59"),
        # a weekend: what comes on Saturday counts from Monday
        ("DE", "2026-02-07T12:00:00", 1, "2026-02-09T23:59:59"),
        ("DE", "2026-02-06T12:00:00", 1, "2026-02-09T23:59:59"),
        # Easter 2026 (5 April): Good Friday and Monday are holidays in FI, GB and DE; in Italy only the Monday is
        ("FI", "2026-04-02T10:00:00", 1, "2026-04-07T23:59:59"),
        ("GB", "2026-04-02T10:00:00", 1, "2026-04-07T23:59:59"),
        ("DE", "2026-04-02T10:00:00", 1, "2026-04-07T23:59:59"),
        ("IT", "2026-04-02T10:00:00", 1, "2026-04-03T23:59:59"),
        ("IT", "2026-04-03T10:00:00", 1, "2026-04-07T23:59:59"),
        # holidays of one country: liberation (IT, 25 April is a Saturday; 2 June a Tuesday), independence (FI, 6 December
        # 2027 is a Monday), unity (DE, 3 October 2025 is a Friday), early May (GB, 4 May 2026)
        ("IT", "2026-06-01T10:00:00", 1, "2026-06-03T23:59:59"),
        ("FI", "2027-12-03T10:00:00", 1, "2027-12-07T23:59:59"),
        ("DE", "2025-10-02T10:00:00", 1, "2025-10-06T23:59:59"),
        ("GB", "2026-05-01T10:00:00", 1, "2026-05-05T23:59:59"),
        # ends of years: Friday 25 December 2026 and Friday 1 January 2027
        ("FI", "2026-12-23T10:00:00", 1, "2026-12-28T23:59:59"),
        ("GB", "2026-12-24T10:00:00", 1, "2026-12-29T23:59:59"),  # Boxing Day's substitute is Monday the 28th
        ("IT", "2026-12-30T10:00:00", 2, "2027-01-04T23:59:59"),
        ("IT", "2026-12-30T10:00:00", 4, "2027-01-07T23:59:59"),  # Epiphany, 6 January, is a holiday in Italy
        ("DE", "2026-12-30T10:00:00", 4, "2027-01-06T23:59:59"),  # and in Germany only in some of its states
        ("FI", "2026-12-30T10:00:00", 4, "2027-01-07T23:59:59"),
        # ten working days over the clocks' change of 29 March and 25 October 2026
        ("FI", "2026-03-20T10:00:00", 10, "2026-04-07T23:59:59"),
        ("GB", "2026-10-16T10:00:00", 10, "2026-10-30T23:59:59"),
        ("IT", "2026-10-23T10:00:00", 1, "2026-10-26T23:59:59"),
    ],
)
def test_the_last_second_is_in_the_period_and_the_next_is_not(country: str, began: str, days: int, last_moment: str) -> None:
    end = Calendar(country).end_of_working_days(local(country, began), days)
    assert end.tzinfo is UTC
    last = local(country, last_moment)
    assert last < end
    assert end - last == SECOND


@pytest.mark.parametrize("country", COUNTRIES)
@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25)])
def test_a_day_of_the_clocks_change_is_shorter_or_longer(country: str, day: str, hours: int) -> None:
    before = Calendar(country).end_of_days(local(country, f"{day}T00:00:00") - timedelta(days=2), 1)
    assert Calendar(country).end_of_days(local(country, f"{day}T00:00:00") - timedelta(days=2), 2) - before == timedelta(
        hours=hours
    )


@pytest.mark.parametrize("country", COUNTRIES)
def test_six_calendar_days_take_no_notice_of_weekends(country: str) -> None:
    end = Calendar(country).end_of_days(local(country, "2026-02-02T15:00:00"), 6)
    assert end == local(country, "2026-02-09T00:00:00")


def test_an_event_belongs_to_the_country_s_own_day() -> None:
    moment = datetime(2026, 2, 2, 22, 30, tzinfo=UTC)  # half past midnight of Tuesday in Finland, Monday in Britain
    assert Calendar("FI").end_of_working_days(moment, 1) == local("FI", "2026-02-05T00:00:00")
    assert Calendar("GB").end_of_working_days(moment, 1) == local("GB", "2026-02-04T00:00:00")


def naive_end(country: str, began: datetime, days: int) -> datetime:
    """Second twin: every day written out, by the definition."""
    zone = ZoneInfo(TIME_ZONES[country])
    calendar = Calendar(country)
    day, counted = began.astimezone(zone).date(), []
    while len(counted) < days:
        day = date.fromordinal(day.toordinal() + 1)
        if calendar.is_working_day(day):
            counted.append(day)
    return datetime(*(counted[-1] + timedelta(days=1)).timetuple()[:3], tzinfo=zone)


@given(
    st.sampled_from(COUNTRIES),
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)),
    st.integers(1, 40),
)
def test_against_the_definition(country: str, began: datetime, days: int) -> None:
    moment = began.replace(tzinfo=UTC)
    calendar = Calendar(country)
    end = calendar.end_of_working_days(moment, days)
    assert end == naive_end(country, moment, days)
    assert calendar.working_days_between(moment, end - SECOND) == days
    assert calendar.is_working_day((end - SECOND).astimezone(ZoneInfo(TIME_ZONES[country])).date())
    assert calendar.end_of_working_days(moment, days + 1) > end


def test_days_that_a_committee_is_closed_are_no_working_days() -> None:
    closed = Calendar("FI", closed=frozenset({date(2026, 2, 3)}))
    assert closed.end_of_working_days(local("FI", "2026-02-02T09:00:00"), 1) == local("FI", "2026-02-05T00:00:00")


@pytest.mark.parametrize("country", TIME_ZONES)
def test_every_country_has_a_time_and_holidays(country: str) -> None:
    assert not Calendar(country).is_working_day(date(2026, 1, 1))


@pytest.mark.parametrize("days", [0, -1, 100_000])
def test_periods_that_are_none(days: int) -> None:
    with pytest.raises(BadUsage, match="period"):
        Calendar("FI").end_of_working_days(datetime(2026, 2, 2, tzinfo=UTC), days)


def test_a_part_of_a_country_has_holidays_of_its_own() -> None:
    epiphany = date(2027, 1, 6)
    assert Calendar("DE").is_working_day(epiphany)
    assert not Calendar("DE", "BY").is_working_day(epiphany)


def test_countries_and_moments_that_are_none() -> None:
    with pytest.raises(BadUsage, match="XX"):
        Calendar("XX")
    with pytest.raises(BadUsage, match="part"):
        Calendar("FI", "BY")
    with pytest.raises(BadUsage, match="zone"):
        Calendar("FI").end_of_days(datetime(2026, 2, 2), 1)
