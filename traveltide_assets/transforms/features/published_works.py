"""Building blocks of the features that the published works on this case counted by.

They keep what those works counted and the other features do not: trips that were cancelled later,
rows that cancel a trip, whose flags are all true in the source, and nights as the source stores
them. Ibis is imported where an expression needs it, as in `expressions.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traveltide_assets.schema.months import SECONDS_PER_DAY
from traveltide_assets.transforms.features.expressions import (
    count,
    days_between,
    discounted,
    exact_mean,
    flown,
    kept,
    stayed,
)

if TYPE_CHECKING:
    import ibis
    import ibis.expr.types as ir

_EPOCH = "1970-01-01"
_SUNDAY = 6
_HUNDREDTHS = 100  # The personas compare shares and days that were rounded to two decimals.
_MICROSECONDS = 6


def flagged_rows(s: ibis.Table) -> ir.IntegerValue:
    """Session rows with a discount flag, cancellations included."""
    return count(s.cancellation | discounted(s))


def sound(t: ibis.Table) -> ir.BooleanValue:
    """Booked trips without those whose stored nights are negative, cancelled later or not."""
    return t.nights_stored.fill_null(0) >= 0


def sound_flight(t: ibis.Table) -> ir.BooleanValue:
    return sound(t) & t.kind.isin(["flight", "package"]) & t.seats.notnull()


def sound_stay(t: ibis.Table) -> ir.BooleanValue:
    return sound(t) & t.kind.isin(["hotel", "package"]) & t.nights_stored.notnull()


def nights_and_one(t: ibis.Table) -> ir.IntegerValue:
    """Whole days between check-in and check-out, plus 1; 0 if the check-out lies before."""
    import ibis

    seconds = t.check_out_time.delta(t.check_in_time, unit="second")
    return ibis.ifelse(
        t.check_out_time < t.check_in_time,
        ibis.literal(0, "int64"),
        (seconds / SECONDS_PER_DAY).floor().cast("int64") + 1,
    )


def stay_price(t: ibis.Table) -> ir.FloatingValue:
    """Mean price of one room over its stay, by `nights_and_one`."""
    return exact_mean(t.hotel_per_room_usd * nights_and_one(t), 2, sound_stay(t))


def weekday_departure(t: ibis.Table) -> ir.BooleanValue:
    """Booked flights that depart from Monday to Saturday."""
    return sound_flight(t) & (t.starts_at.day_of_week.index() != _SUNDAY)


def weekday_departure_rate(f: ibis.Table) -> ir.FloatingValue:
    """Weekday departures per session row that cancels nothing and has sound nights."""
    rows = f.total_sessions - f.cancellation_sessions - f.negative_stays_booked
    return f.weekday_departures_booked / rows.nullif(0)


def discounted_rate(t: ibis.Table, part: str) -> ir.FloatingValue:
    """Share of the last rows of trips with a flight or hotel whose discount flag is true.

    In the last row of a cancelled trip both flags are true, whatever was booked. Rounded.
    """
    cancelled = count(~kept(t))
    booked = count(kept(t) & t.kind.isin([part, "package"]))
    used = count(kept(t) & t[f"{part}_discount_used"])
    return _rounded((cancelled + used) / (cancelled + booked).nullif(0))


def lead_days(t: ibis.Table) -> ir.FloatingValue:
    """Mean days from the end of a trip's last row to its departure or check-in, rounded.

    The row of a cancellation says that a flight was booked, so a cancelled trip without one has no
    lead.
    """
    known = (kept(t) | t.seats.notnull()) & t.starts_at.notnull()
    days = days_between(t.last_row_ended_at, t.starts_at)
    return _rounded(exact_mean(days, _MICROSECONDS, known))


def hotel_bill(t: ibis.Table) -> ir.FloatingValue:
    """Mean rooms x price x stored nights per stay."""
    return exact_mean(t.rooms * t.hotel_per_room_usd * t.nights_stored, 2, stayed(t))


def fare_times_seats(t: ibis.Table) -> ir.FloatingValue:
    return exact_mean(t.seats * t.base_fare_usd, 2, flown(t))


def day_of(date: ir.DateValue) -> ir.IntegerValue:
    """Days from 1970-01-01 to a date."""
    import ibis

    return date.delta(ibis.date(_EPOCH), unit="day")


def _rounded(value: ir.FloatingValue) -> ir.FloatingValue:
    """Rounded to hundredths. Engines round to decimals differently, and to whole numbers alike."""
    return (value * _HUNDREDTHS).round() / float(_HUNDREDTHS)
