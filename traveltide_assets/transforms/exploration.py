"""Exploration of the cohort: counts and typical values by group, in one tidy table.

A breakdown splits one table into groups and measures each group. The result has one row per
breakdown, group and measure.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import ibis
import ibis.expr.types as ir

from traveltide_assets.schema.months import end_of
from traveltide_assets.transforms.cleaning.rules import UNKNOWN
from traveltide_assets.transforms.cohort import completed_years
from traveltide_assets.transforms.features import expressions as f

TOP = 10
_MONTHS_PER_YEAR = 12

Measures = Mapping[str, Callable[[ibis.Table], ir.NumericValue]]


@dataclass(frozen=True)
class Breakdown:
    """One table split by `group`, ordered by `position` or, if `top`, by size.

    Every breakdown has the number of rows of each group and their share of all rows; `measures` are
    further aggregates.
    """

    topic: str
    name: str
    source: str
    group: Callable[[ibis.Table], ir.StringValue]
    position: Callable[[ibis.Table], ir.IntegerValue] = lambda t: ibis.literal(0)
    measures: Measures = field(default_factory=dict)
    top: bool = False


@dataclass(frozen=True)
class _Bands:
    """Ranges of a number: the first is below the first edge, the last is open-ended."""

    edges: tuple[int, ...]
    names: tuple[str, ...]

    def place(self, value: ir.NumericValue) -> ir.IntegerValue:
        """Position of the band, from 0; null for null."""
        below = ((value < edge, place) for place, edge in enumerate(self.edges))
        null = ibis.null("int64")
        return ibis.cases((value.isnull(), null), *below, else_=len(self.edges))

    def name(self, value: ir.NumericValue) -> ir.StringValue:
        place = self.place(value)
        return ibis.cases(*((place == i, name) for i, name in enumerate(self.names)))


_AGES = _Bands(
    (18, 25, 35, 45, 55, 65),
    ("under 18", "18 to 24", "25 to 34", "35 to 44", "45 to 54", "55 to 64", "65 or older"),
)
_DISTANCES = _Bands(
    (1_000, 2_500, f.LONG_HAUL_KM),
    ("under 1,000 km", "1,000 to 2,500 km", "2,500 to 6,000 km", "6,000 km or more"),
)
_LEADS = _Bands(
    (5, 7, 10, 30),
    ("under 5 days", "5 to 7 days", "7 to 10 days", "10 to 30 days", "30 days or more"),
)


def _yes_no(value: ir.BooleanValue, yes: str, no: str) -> ir.StringValue:
    return ibis.ifelse(value, yes, no)


def _booked(s: ibis.Table) -> ir.StringValue:
    return _yes_no(f.booking(s), "booked", "did not book")


def _not_booked_last(s: ibis.Table) -> ir.IntegerValue:
    return ibis.ifelse(f.booking(s), 0, 1)


def _cancelled_share(t: ibis.Table) -> ir.FloatingValue:
    return f.count(t.status == "cancelled") / t.count()


def _discount(kind: str) -> Breakdown:
    return Breakdown(
        "discounts",
        kind,
        "browsing",
        _booked,
        _not_booked_last,
        {
            "shown_share": lambda s: f.count(s[f"{kind}_discount"]) / s.count(),
            "mean_amount": lambda s: f.exact_mean(
                s[f"{kind}_discount_amount"], 2, s[f"{kind}_discount"].fill_null(False)
            ),
        },
    )


BREAKDOWNS: tuple[Breakdown, ...] = (
    Breakdown(
        "customers",
        "age",
        "users",
        lambda u: _AGES.name(u.age).fill_null(UNKNOWN),
        lambda u: _AGES.place(u.age).fill_null(len(_AGES.names)),
    ),
    Breakdown(
        "customers",
        "marriage",
        "users",
        lambda u: _yes_no(u.married, "married", "not married"),
        lambda u: ibis.ifelse(u.married, 0, 1),
    ),
    Breakdown(
        "customers",
        "children",
        "users",
        lambda u: _yes_no(u.has_children, "with children", "without children"),
        lambda u: ibis.ifelse(u.has_children, 0, 1),
    ),
    Breakdown("customers", "country", "users", lambda u: u.home_country, top=True),
    Breakdown(
        "sessions",
        "result",
        "browsing",
        _booked,
        _not_booked_last,
        {
            "median_clicks": lambda s: s.page_clicks.median(),
            "median_seconds": lambda s: s.session_seconds.median(),
        },
    ),
    Breakdown("bookings", "kind", "trips", lambda t: t.kind, top=True),
    _discount("flight"),
    _discount("hotel"),
    Breakdown(
        "cancellations",
        "distance",
        "trips",
        lambda t: _DISTANCES.name(t.distance_km),
        lambda t: _DISTANCES.place(t.distance_km),
        {"cancelled_share": _cancelled_share},
    ),
    Breakdown(
        "cancellations",
        "lead time",
        "trips",
        lambda t: _LEADS.name(t.lead_days),
        lambda t: _LEADS.place(t.lead_days),
        {"cancelled_share": _cancelled_share},
    ),
    Breakdown("favourites", "destination", "trips", lambda t: t.destination, top=True),
    Breakdown("favourites", "hotel", "trips", lambda t: t.hotel_brand, top=True),
    Breakdown("favourites", "airline", "trips", lambda t: t.trip_airline, top=True),
    Breakdown(
        "seasons",
        "month",
        "sessions",
        lambda s: s.session_start.strftime("%Y-%m"),
        lambda s: s.session_start.year() * _MONTHS_PER_YEAR + s.session_start.month(),
        {
            "bookings": lambda s: f.count(f.booking(s)),
            "cancellations": lambda s: f.count(s.cancellation),
        },
    ),
)


def explore(users: ibis.Table, sessions: ibis.Table, trips: ibis.Table, month: str) -> ibis.Table:
    """One row per topic, breakdown, group and measure, from the cohort's rows of a month.

    `rows` is the number of customers, sessions or booked trips that the value is computed from.
    Rows to which a breakdown does not apply (such as the distance of a hotel booking) are in no
    group. Destinations, hotels, airlines and other `top` breakdowns have the `TOP` largest groups.
    """
    last_day = ibis.date((end_of(month) - dt.timedelta(days=1)).date().isoformat())
    sources = {
        "users": users.mutate(age=completed_years(users.birthdate, last_day)),
        "sessions": sessions,
        "browsing": sessions.filter(f.browsing(sessions)),
        "trips": trips.filter(trips.booked_at.notnull()),
    }
    return ibis.union(*(_measured(sources[entry.source], entry) for entry in BREAKDOWNS))


def _measured(table: ibis.Table, entry: Breakdown) -> ibis.Table:
    split = table.mutate(group=entry.group(table), position=entry.position(table))
    split = split.filter(split.group.notnull())
    groups = split.group_by("group", "position").agg(
        rows=split.count(), **{name: measure(split) for name, measure in entry.measures.items()}
    )
    groups = groups.mutate(count=groups.rows, share=groups.rows / groups.rows.sum().over())
    if entry.top:
        order = ibis.window(order_by=[groups.rows.desc(), groups.group])
        groups = groups.mutate(position=ibis.row_number().over(order))
        groups = groups.filter(groups.position < TOP)
    measures = ["count", "share", *entry.measures]
    return groups.select(
        "group",
        topic=ibis.literal(entry.topic),
        breakdown=ibis.literal(entry.name),
        position=groups.position.cast("int64"),
        rows=groups.rows.cast("int64"),
        **{name: groups[name].cast("float64") for name in measures},
    ).pivot_longer(measures, names_to="measure", values_to="value")
