"""Building blocks of the feature catalogue: counts, exact sums and conditions.

Unless its name says "booked", an expression of trips counts only trips not cancelled so far.
Ibis is imported where an expression needs it: the catalogue is also read by commands that compute
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traveltide_assets.schema.months import SECONDS_PER_DAY

if TYPE_CHECKING:
    import ibis
    import ibis.expr.types as ir

LONG_HAUL_KM = 6_000
SHORT_TRIP_NIGHTS = 3
_SATURDAY = 5
_FRIDAY = 4
LEAST, MOST = "least", "most"
SCORES = 5


def exact_sum(value: ir.NumericValue, decimals: int, where: ir.BooleanValue) -> ir.FloatingValue:
    """A sum that does not depend on the order of rows, because it adds integers.

    Values are converted to units of the last decimal. Engines add floats in the varying order of
    their threads, which changes the last bits; sums of integers are exact.
    """
    units = (value * 10**decimals).round().cast("int64")
    return units.sum(where=where).fill_null(0) / float(10**decimals)


def exact_mean(value: ir.NumericValue, decimals: int, where: ir.BooleanValue) -> ir.FloatingValue:
    """The mean with the sum of `exact_sum`; null without rows."""
    present = where & value.notnull()
    return exact_sum(value, decimals, present) / present.sum().nullif(0)


def count(where: ir.BooleanValue) -> ir.IntegerValue:
    return where.fill_null(False).sum().fill_null(0)


def share(part: ir.BooleanValue, whole: ir.BooleanValue) -> ir.FloatingValue:
    return count(part & whole) / count(whole).nullif(0)


def browsing(s: ibis.Table) -> ir.BooleanValue:
    return ~s.cancellation


def discounted(s: ibis.Table) -> ir.BooleanValue:
    return s.flight_discount | s.hotel_discount


def booking(s: ibis.Table) -> ir.BooleanValue:
    return s.flight_booked | s.hotel_booked


def days_between(start: ir.TimestampValue, end: ir.TimestampValue) -> ir.FloatingValue:
    return end.delta(start, unit="second") / SECONDS_PER_DAY


def kept(t: ibis.Table) -> ir.BooleanValue:
    return t.status != "cancelled"


def flown(t: ibis.Table) -> ir.BooleanValue:
    return kept(t) & t.kind.isin(["flight", "package"]) & t.seats.notnull()


def stayed(t: ibis.Table) -> ir.BooleanValue:
    return kept(t) & t.kind.isin(["hotel", "package"]) & t.nights.notnull()


def still_open(t: ibis.Table) -> ir.BooleanValue:
    """Booked, not cancelled so far, and not begun by the end of the month (`as_of`)."""
    return kept(t) & (t.starts_at >= t.as_of)


def long_lead(t: ibis.Table) -> ir.BooleanValue:
    return t.lead_days > t.long_lead_days


def discounted_trip(t: ibis.Table) -> ir.BooleanValue:
    return t.flight_discount_used | t.hotel_discount_used


def _days(t: ibis.Table) -> ir.IntegerValue:
    return t.ends_at.date().delta(t.starts_at.date(), unit="day")


def weekend(t: ibis.Table) -> ir.BooleanValue:
    return t.starts_at.day_of_week.index().isin([_FRIDAY, _SATURDAY]) & (
        _days(t) <= SHORT_TRIP_NIGHTS
    )


def short_solo(t: ibis.Table) -> ir.BooleanValue:
    import ibis

    return (ibis.coalesce(t.seats, t.rooms) == 1) & (_days(t) <= SHORT_TRIP_NIGHTS)


def hotel(t: ibis.Table) -> ir.StringValue:
    return t.hotel_brand + " - " + t.destination


def _savings(t: ibis.Table) -> ir.FloatingValue:
    return t.base_fare_usd * t.flight_discount_amount.fill_null(0)


def savings_per_km(t: ibis.Table) -> ir.FloatingValue:
    measured = flown(t) & t.distance_km.notnull()
    saved = exact_sum(_savings(t), 4, measured & t.flight_discount_used)
    return saved / exact_sum(t.distance_km, 3, measured).nullif(0)


def bargain_hunter(f: ibis.Table) -> ir.FloatingValue:
    """Of customers with the extremes of `savings_per_km` in their cohort."""
    scaled = (f.savings_per_km - f[LEAST]) / (f[MOST] - f[LEAST]).nullif(0)
    return (
        f.discounted_flight_rate.fill_null(0)
        * f.mean_flight_discount.fill_null(0)
        * scaled.fill_null(0)
    )
