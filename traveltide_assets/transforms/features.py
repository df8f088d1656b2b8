"""The feature catalogue: what is known about a customer as of the end of a month.

Each entry is declared once, as an Ibis expression with its unit and meaning, and rendered into the
contract, the UI, the reference and the accepted-range checks. A ratio without a denominator (the
mean over no trips) is null; what a model does with null is decided in `segmentation/scaling.py`.

Unless it says "booked", a feature of trips counts the trips not cancelled so far.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from traveltide_assets.months import end_of
from traveltide_assets.transforms.cohort import completed_months, completed_years
from traveltide_assets.transforms.trips import SECONDS_PER_DAY

LONG_HAUL_KM = 6_000
SHORT_TRIP_NIGHTS = 3
_SATURDAY = 5
_FRIDAY = 4
_SCORES = 5
_COHORT = "cohort"


@dataclass(frozen=True)
class Feature:
    """One column of `user_features`.

    `expression` aggregates one table by customer (sessions, trips), or reads the customer's own
    row (users) or the features before it (features). `label` is what a marketer calls it.
    """

    name: str
    label: str
    unit: str
    source: str
    description: str
    expression: Callable[[ibis.Table], ir.Value]
    type: str = "float64"
    minimum: float | None = 0
    maximum: float | None = None
    nullable: bool = False


def exact_sum(value: ir.NumericValue, decimals: int, where: ir.BooleanValue) -> ir.FloatingValue:
    """A sum that does not depend on the order of the rows: counted in whole smallest units.

    Engines add floats in whatever order their threads deliver them; whole numbers do not mind.
    """
    units = (value * 10**decimals).round().cast("int64")
    return units.sum(where=where).fill_null(0) / float(10**decimals)


def exact_mean(value: ir.NumericValue, decimals: int, where: ir.BooleanValue) -> ir.FloatingValue:
    """The mean that goes with `exact_sum`; null where no row counts."""
    present = where & value.notnull()
    return exact_sum(value, decimals, present) / present.sum().nullif(0)


def count(where: ir.BooleanValue) -> ir.IntegerValue:
    return where.fill_null(False).sum().fill_null(0)


def _share(part: ir.BooleanValue, whole: ir.BooleanValue) -> ir.FloatingValue:
    return count(part & whole) / count(whole).nullif(0)


def browsing(s: ibis.Table) -> ir.BooleanValue:
    return ~s.cancellation


def _discounted(s: ibis.Table) -> ir.BooleanValue:
    return s.flight_discount | s.hotel_discount


def booking(s: ibis.Table) -> ir.BooleanValue:
    return s.flight_booked | s.hotel_booked


def _days_between(start: ir.TimestampValue, end: ir.TimestampValue) -> ir.FloatingValue:
    return end.delta(start, unit="second") / SECONDS_PER_DAY


def kept(t: ibis.Table) -> ir.BooleanValue:
    return t.status != "cancelled"


def flown(t: ibis.Table) -> ir.BooleanValue:
    return kept(t) & t.kind.isin(["flight", "package"]) & t.seats.notnull()


def stayed(t: ibis.Table) -> ir.BooleanValue:
    return kept(t) & t.kind.isin(["hotel", "package"]) & t.nights.notnull()


def discounted_trip(t: ibis.Table) -> ir.BooleanValue:
    return t.flight_discount_used | t.hotel_discount_used


def _days(t: ibis.Table) -> ir.IntegerValue:
    return t.ends_at.date().delta(t.starts_at.date(), unit="day")


def _weekend(t: ibis.Table) -> ir.BooleanValue:
    return t.starts_at.day_of_week.index().isin([_FRIDAY, _SATURDAY]) & (
        _days(t) <= SHORT_TRIP_NIGHTS
    )


def short_solo(t: ibis.Table) -> ir.BooleanValue:
    return (ibis.coalesce(t.seats, t.rooms) == 1) & (_days(t) <= SHORT_TRIP_NIGHTS)


def _hotel(t: ibis.Table) -> ir.StringValue:
    return t.hotel_brand + " - " + t.destination


def _savings(t: ibis.Table) -> ir.FloatingValue:
    return t.base_fare_usd * t.flight_discount_amount.fill_null(0)


def _savings_per_km(t: ibis.Table) -> ir.FloatingValue:
    measured = flown(t) & t.distance_km.notnull()
    saved = exact_sum(_savings(t), 4, measured & t.flight_discount_used)
    return saved / exact_sum(t.distance_km, 3, measured).nullif(0)


def _cohort(f: ibis.Table) -> dict[str, ir.Value]:
    """The window of those whom a customer is compared with: all, or those of the same cohort."""
    return {"group_by": f[_COHORT]} if _COHORT in f.columns else {}


def _scaled(f: ibis.Table, value: ir.NumericValue) -> ir.FloatingValue:
    everybody = ibis.window(**_cohort(f))
    low, high = value.min().over(everybody), value.max().over(everybody)
    return ((value - low) / (high - low).nullif(0)).fill_null(0)


def _bargain_hunter(f: ibis.Table) -> ir.FloatingValue:
    return (
        f.discounted_flight_rate.fill_null(0)
        * f.mean_flight_discount.fill_null(0)
        * _scaled(f, f.savings_per_km)
    )


def _quintile(f: ibis.Table, value: ir.NumericValue) -> ir.IntegerValue:
    """1 to 5 by rank within the cohort; equal values score equally."""
    rank = ibis.percent_rank().over(ibis.window(order_by=value, **_cohort(f)))
    return ibis.least((rank * _SCORES).floor().cast("int64") + 1, _SCORES)


CATALOGUE: tuple[Feature, ...] = (
    Feature(
        "total_sessions",
        "sessions",
        "sessions",
        "sessions",
        "Sessions in the window, cancellations included",
        lambda s: s.count(),
        "int64",
        minimum=1,
    ),
    Feature(
        "cancellation_sessions",
        "cancellation sessions",
        "sessions",
        "sessions",
        "Sessions that cancel a trip",
        lambda s: count(s.cancellation),
        "int64",
    ),
    Feature(
        "mean_page_clicks",
        "clicks per session",
        "clicks",
        "sessions",
        "Mean clicks of a browsing session (one that cancels nothing)",
        lambda s: s.page_clicks.mean(),
        nullable=True,
    ),
    Feature(
        "median_page_clicks",
        "clicks in a typical session",
        "clicks",
        "sessions",
        "Median clicks of a browsing session",
        lambda s: s.page_clicks.median(),
        nullable=True,
    ),
    Feature(
        "mean_session_seconds",
        "session length",
        "seconds",
        "sessions",
        "Mean length of a browsing session",
        lambda s: s.session_seconds.mean(),
        nullable=True,
    ),
    Feature(
        "days_since_last_session",
        "days away",
        "days",
        "sessions",
        "Days from the start of the last session to the end of the month",
        lambda s: _days_between(s.session_start.max(), s.as_of.max()),
    ),
    Feature(
        "session_cancellation_rate",
        "cancellations per session",
        "share",
        "sessions",
        "Share of sessions that are cancellations",
        lambda s: count(s.cancellation) / s.count(),
        maximum=1,
    ),
    Feature(
        "conversion_rate",
        "bookings per session",
        "share",
        "sessions",
        "Share of browsing sessions that book",
        lambda s: _share(booking(s), browsing(s)),
        maximum=1,
        nullable=True,
    ),
    Feature(
        "discount_usage_rate",
        "discounts seen",
        "share",
        "sessions",
        "Share of browsing sessions with any discount shown",
        lambda s: _share(_discounted(s), browsing(s)),
        maximum=1,
        nullable=True,
    ),
    Feature(
        "flight_discount_rate",
        "flight discounts seen",
        "share",
        "sessions",
        "Share of browsing sessions with a flight discount shown",
        lambda s: _share(s.flight_discount, browsing(s)),
        maximum=1,
        nullable=True,
    ),
    Feature(
        "hotel_discount_rate",
        "hotel discounts seen",
        "share",
        "sessions",
        "Share of browsing sessions with a hotel discount shown",
        lambda s: _share(s.hotel_discount, browsing(s)),
        maximum=1,
        nullable=True,
    ),
    Feature(
        "mean_flight_discount",
        "size of flight discounts",
        "share of fare",
        "sessions",
        "Mean flight discount where one was shown",
        lambda s: exact_mean(s.flight_discount_amount, 2, s.flight_discount.fill_null(False)),
        maximum=1,
        nullable=True,
    ),
    Feature(
        "mean_hotel_discount",
        "size of hotel discounts",
        "share of price",
        "sessions",
        "Mean hotel discount where one was shown",
        lambda s: exact_mean(s.hotel_discount_amount, 2, s.hotel_discount.fill_null(False)),
        maximum=1,
        nullable=True,
    ),
    Feature(
        "total_trips",
        "trips booked",
        "trips",
        "trips",
        "Trips booked in the window: completed, upcoming and cancelled",
        lambda t: t.count(),
        "int64",
    ),
    Feature(
        "completed_trips",
        "completed trips",
        "trips",
        "trips",
        "Booked trips that ended by the end of the month",
        lambda t: count(t.status == "completed"),
        "int64",
    ),
    Feature(
        "upcoming_trips",
        "upcoming trips",
        "trips",
        "trips",
        "Booked trips that end later and are not cancelled so far",
        lambda t: count(t.status == "upcoming"),
        "int64",
    ),
    Feature(
        "cancelled_trips",
        "cancelled trips",
        "trips",
        "trips",
        "Booked trips cancelled by the end of the month",
        lambda t: count(t.status == "cancelled"),
        "int64",
    ),
    Feature(
        "cancellation_rate",
        "cancellations per trip",
        "share",
        "trips",
        "Cancelled trips per booked trip",
        lambda t: _share(t.status == "cancelled", t.status.notnull()),
        maximum=1,
        nullable=True,
    ),
    Feature(
        "discounted_booking_rate",
        "discounted bookings",
        "share",
        "trips",
        "Share of booked trips that used a discount",
        lambda t: _share(discounted_trip(t), t.status.notnull()),
        maximum=1,
        nullable=True,
    ),
    Feature(
        "total_flights",
        "flights",
        "flight bookings",
        "trips",
        "Trips with a flight",
        lambda t: count(flown(t)),
        "int64",
    ),
    Feature(
        "discounted_flight_rate",
        "discounted flights",
        "share",
        "trips",
        "Share of flights booked with a discount",
        lambda t: _share(t.flight_discount_used, flown(t)),
        maximum=1,
        nullable=True,
    ),
    Feature(
        "savings_per_km",
        "savings per km",
        "USD per km",
        "trips",
        "Flight discount in dollars per kilometre flown, one way",
        _savings_per_km,
        nullable=True,
    ),
    Feature(
        "mean_seats",
        "seats per flight",
        "seats",
        "trips",
        "Mean seats of a flight booking",
        lambda t: exact_mean(t.seats, 0, flown(t)),
        nullable=True,
    ),
    Feature(
        "total_checked_bags",
        "checked bags",
        "bags",
        "trips",
        "Checked bags of all flights",
        lambda t: t.checked_bags.sum(where=flown(t)).fill_null(0),
        "int64",
    ),
    Feature(
        "mean_checked_bags",
        "bags per flight",
        "bags",
        "trips",
        "Mean checked bags of a flight booking",
        lambda t: exact_mean(t.checked_bags, 0, flown(t)),
        nullable=True,
    ),
    Feature(
        "total_base_fare",
        "flight spend",
        "USD",
        "trips",
        "Fares of all flights before discount",
        lambda t: exact_sum(t.base_fare_usd, 2, flown(t)),
    ),
    Feature(
        "mean_base_fare",
        "fare per flight",
        "USD",
        "trips",
        "Mean fare of a flight booking before discount",
        lambda t: exact_mean(t.base_fare_usd, 2, flown(t)),
        nullable=True,
    ),
    Feature(
        "total_distance_km",
        "distance flown",
        "km",
        "trips",
        "Great-circle distance of all flights, one way",
        lambda t: exact_sum(t.distance_km, 3, flown(t)),
    ),
    Feature(
        "mean_distance_km",
        "distance per flight",
        "km",
        "trips",
        "Mean great-circle distance of a flight, one way",
        lambda t: exact_mean(t.distance_km, 3, flown(t)),
        maximum=20_100,
        nullable=True,
    ),
    Feature(
        "long_haul_share",
        "long-haul flights",
        "share",
        "trips",
        f"Share of flights over {LONG_HAUL_KM:,} km",
        lambda t: _share(t.distance_km > LONG_HAUL_KM, flown(t) & t.distance_km.notnull()),
        maximum=1,
        nullable=True,
    ),
    Feature(
        "mean_lead_days",
        "days booked ahead",
        "days",
        "trips",
        "Mean days from booking to departure or check-in",
        lambda t: exact_mean(t.lead_days, 6, kept(t)),
        minimum=None,
        nullable=True,
    ),
    Feature(
        "hotel_stays",
        "hotel stays",
        "stays",
        "trips",
        "Trips with a hotel stay",
        lambda t: count(stayed(t)),
        "int64",
    ),
    Feature(
        "distinct_hotels",
        "different hotels",
        "hotels",
        "trips",
        "Different hotels (brand and city) stayed at",
        lambda t: _hotel(t).nunique(where=stayed(t)).fill_null(0),
        "int64",
    ),
    Feature(
        "total_nights",
        "hotel nights",
        "nights",
        "trips",
        "Nights of all stays",
        lambda t: t.nights.sum(where=stayed(t)).fill_null(0),
        "int64",
    ),
    Feature(
        "mean_nights",
        "nights per stay",
        "nights",
        "trips",
        "Mean nights of a stay",
        lambda t: exact_mean(t.nights, 0, stayed(t)),
        minimum=1,
        nullable=True,
    ),
    Feature(
        "mean_rooms",
        "rooms per stay",
        "rooms",
        "trips",
        "Mean rooms of a stay",
        lambda t: exact_mean(t.rooms, 0, stayed(t)),
        nullable=True,
    ),
    Feature(
        "mean_room_price",
        "room price",
        "USD",
        "trips",
        "Mean price of one room for one night before discount",
        lambda t: exact_mean(t.hotel_per_room_usd, 2, stayed(t)),
        nullable=True,
    ),
    Feature(
        "package_rate",
        "flight-and-hotel packages",
        "share",
        "trips",
        "Share of trips with flight and hotel",
        lambda t: _share(t.kind == "package", kept(t)),
        maximum=1,
        nullable=True,
    ),
    Feature(
        "total_spend",
        "spend",
        "USD",
        "trips",
        "Flights and stays after discount",
        lambda t: exact_sum(t.spend_usd, 4, kept(t)),
    ),
    Feature(
        "weekend_trip_share",
        "weekend trips",
        "share",
        "trips",
        f"Share of trips that start on a Friday or Saturday and last at most {SHORT_TRIP_NIGHTS} "
        "nights",
        lambda t: _share(_weekend(t), kept(t)),
        maximum=1,
        nullable=True,
    ),
    Feature(
        "short_solo_trip_share",
        "short solo trips",
        "share",
        "trips",
        f"Share of trips for one, of at most {SHORT_TRIP_NIGHTS} nights",
        lambda t: _share(short_solo(t), kept(t)),
        maximum=1,
        nullable=True,
    ),
    Feature(
        "age",
        "age",
        "years",
        "users",
        "Completed years on the last day of the month",
        lambda u: completed_years(u.birthdate, u.last_day),
        "int64",
        maximum=120,
    ),
    Feature(
        "married",
        "married",
        "yes or no",
        "users",
        "Married at the time of the export",
        lambda u: u.married,
        "boolean",
        minimum=None,
    ),
    Feature(
        "has_children",
        "children",
        "yes or no",
        "users",
        "Has children at the time of the export",
        lambda u: u.has_children,
        "boolean",
        minimum=None,
    ),
    Feature(
        "home_country",
        "country",
        "name",
        "users",
        "Country of residence",
        lambda u: u.home_country,
        "string",
        minimum=None,
    ),
    Feature(
        "tenure_months",
        "months as customer",
        "months",
        "users",
        "Completed months from sign-up to the last day of the month",
        lambda u: completed_months(u.sign_up_date, u.last_day),
        "int64",
    ),
    Feature(
        "bargain_hunter_index",
        "bargain hunting",
        "index",
        "features",
        "Discounted flight rate x mean flight discount x savings per km scaled to 0..1",
        _bargain_hunter,
        maximum=1,
    ),
    Feature(
        "recency_score",
        "recency",
        "quintile",
        "features",
        "RFM recency: 5 for the fifth of the cohort seen last",
        lambda f: _quintile(f, -f.days_since_last_session),
        "int64",
        minimum=1,
        maximum=_SCORES,
    ),
    Feature(
        "frequency_score",
        "frequency",
        "quintile",
        "features",
        "RFM frequency: 5 for the fifth with most trips",
        lambda f: _quintile(f, f.completed_trips + f.upcoming_trips),
        "int64",
        minimum=1,
        maximum=_SCORES,
    ),
    Feature(
        "monetary_score",
        "spend quintile",
        "quintile",
        "features",
        "RFM monetary: 5 for the fifth that spends most",
        lambda f: _quintile(f, f.total_spend),
        "int64",
        minimum=1,
        maximum=_SCORES,
    ),
)


def user_features(
    users: ibis.Table,
    sessions: ibis.Table,
    trips: ibis.Table,
    month: str,
    within: str | None = None,
) -> ibis.Table:
    """One row per customer of the cohort: every feature of the catalogue, in its order."""
    return compared(measured(users, sessions, trips, month), within)


def measured(users: ibis.Table, sessions: ibis.Table, trips: ibis.Table, month: str) -> ibis.Table:
    """One row per customer of the cohort: the features that need no other customer.

    Trips whose booking lies before the data belong to no opportunity seen and are left out.
    """
    as_of = end_of(month)
    last_day = ibis.date((as_of - dt.timedelta(days=1)).date().isoformat())
    by_session = _aggregated(sessions.mutate(as_of=ibis.timestamp(as_of.isoformat())), "sessions")
    by_trip = _aggregated(trips.filter(trips.booked_at.notnull()), "trips")
    dated = users.mutate(last_day=last_day)
    customers = dated.select("user_id", **_expressions(dated, "users"))
    table = customers.left_join(by_session, "user_id").drop("user_id_right")
    table = table.left_join(by_trip, "user_id").drop("user_id_right")
    return table.mutate(
        {f.name: table[f.name].fill_null(0) for f in CATALOGUE if _fills_with_zero(f)}
    )


def compared(customers: ibis.Table, within: str | None = None) -> ibis.Table:
    """What was `measured` of customers, and their scores, in the catalogue's order.

    Scores compare a customer with the cohort, or with those of it who are equal in `within`.
    """
    table = customers if within is None else customers.mutate({_COHORT: customers[within]})
    # Apart from the other features: a window holds every column that passes through it.
    scores = table.select("user_id", **_expressions(table, "features"))
    return customers.left_join(scores, "user_id").select(
        "user_id", *[feature.name for feature in CATALOGUE]
    )


def _fills_with_zero(feature: Feature) -> bool:
    return feature.source in ("sessions", "trips") and not feature.nullable


def _expressions(table: ibis.Table, source: str) -> dict[str, ir.Value]:
    return {f.name: f.expression(table) for f in CATALOGUE if f.source == source}


def _aggregated(table: ibis.Table, source: str) -> ibis.Table:
    return table.group_by("user_id").agg(**_expressions(table, source))
