"""What customers did after an offer: responses to it, and trips that they booked since."""

from __future__ import annotations

import datetime as dt

import ibis
import ibis.expr.types as ir

from traveltide_assets.transforms.trips import bookings_of, build_trips

_WEEK_SECONDS = 7 * 86_400
_COUNTED = {
    "clicks": ("clicked",),
    "sign_ups": ("signed_up",),
    "redemptions": ("redeemed",),
    "unsubscribed": ("unsubscribed",),
}


def to_offers(
    responses: ibis.Table, offered: ibis.Table, start: dt.datetime, end: dt.datetime
) -> ibis.Table:
    """One row per customer with a response to their offer in the period: counts by kind.

    `offered` has `user_id` and `offer`. A response to another offer does not count.
    """
    inside = _between(responses, start, end).inner_join(offered, ["user_id", "offer"])
    return inside.group_by("user_id").agg(**_counts(inside))


def by_week(
    responses: ibis.Table, customers: ibis.Table, end: dt.datetime, weeks: int
) -> ibis.Table:
    """One row per customer and week with a response to any offer; week 0 is the last before `end`.

    The columns are the metrics of the experiment that responses measure.
    """
    rows = _between(responses, end - dt.timedelta(weeks=weeks), end)
    rows = rows.semi_join(customers, "user_id")
    seconds = ibis.timestamp(end.isoformat()).delta(rows.at, unit="second")
    # A response exactly 7 days before `end` still belongs to week 0.
    rows = rows.mutate(week=((seconds - 1) // _WEEK_SECONDS).cast("int64"))
    counts = _counts(rows)
    return rows.group_by("user_id", "week").agg(
        click_through=counts["clicks"], sign_ups=counts["sign_ups"]
    )


def _between(responses: ibis.Table, start: dt.datetime, end: dt.datetime) -> ibis.Table:
    return responses.filter(responses.at >= start, responses.at < end)


def _counts(rows: ibis.Table) -> dict[str, ir.IntegerValue]:
    return {
        name: rows.event.isin(events).cast("int64").sum().cast("int64")
        for name, events in _COUNTED.items()
    }


def trips_since(
    sessions: ibis.Table,
    customers: ibis.Table,
    trips: tuple[ibis.Table, ibis.Table, ibis.Table],
    start: dt.datetime,
    end: dt.datetime,
) -> ibis.Table:
    """One row per customer who booked in the period: trips kept and completed by its end, revenue.

    `trips` are users, flights and hotels. A trip that is cancelled before the end earns nothing.
    """
    inside = sessions.filter(sessions.session_start >= start, sessions.session_start < end)
    users, flights, hotels = trips
    of_customers = inside.semi_join(customers, "user_id")
    # The month only decides the status, which is not used: the end of the period does.
    built = build_trips(bookings_of(of_customers), users, flights, hotels, f"{end:%Y-%m}")
    kept = built.filter(built.booked_at.notnull(), built.cancelled_at.isnull())
    ended = (kept.ends_at < ibis.timestamp(end.isoformat())).fill_null(False)
    return kept.group_by("user_id").agg(
        completed_trips=ended.cast("int64").sum().cast("int64"),
        # Rounded, since the last digit of a sum depends on its order.
        revenue_usd=kept.spend_usd.sum().round(2),
    )
