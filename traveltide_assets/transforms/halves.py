"""Each customer's sessions in two halves, to see whether either gives the customer the same perk.

Sessions are counted from a customer's first one: the first, third and so on are the odd half. A
cancellation goes with the session that booked the trip, since it is about the same trip.
"""

from __future__ import annotations

import ibis

from traveltide_assets.transforms import copies
from traveltide_assets.transforms.chain import features_of
from traveltide_assets.transforms.copies import COPY
from traveltide_assets.transforms.features import expressions as f

HALVES = ("odd", "even")


def halved(sessions: ibis.Table) -> ibis.Table:
    """The sessions with the number of their half, the position in `HALVES`, in a column `copy`.

    Cancellations of trips that no session books are odd.
    """
    browsing = sessions.filter(f.browsing(sessions))
    place = ibis.row_number().over(
        group_by=browsing.user_id, order_by=[browsing.session_start, browsing.session_id]
    )
    placed = browsing.mutate({COPY: place % len(HALVES)})
    booked = placed.filter(placed.trip_id.notnull()).select("trip_id", COPY).distinct()
    cancelled = sessions.filter(sessions.cancellation)
    return ibis.union(
        placed,
        cancelled.inner_join(booked, "trip_id").select(*sessions.columns, COPY),
        cancelled.anti_join(browsing, "trip_id").mutate({COPY: ibis.literal(0, "int64")}),
    )


def half_features(
    users: ibis.Table,
    sessions: ibis.Table,
    flights: ibis.Table,
    hotels: ibis.Table,
    month: str,
    long_lead_days: int,
) -> ibis.Table:
    """One row per half and customer with sessions in it: the features from these alone."""
    known, flown, stayed = (
        copies.each(table, range(len(HALVES))) for table in (users, flights, hotels)
    )
    found = features_of(
        known,
        copies.numbered(halved(sessions)),
        flown,
        stayed,
        month,
        within=copies.number(ibis._.user_id),
        long_lead_days=long_lead_days,
    )
    return found.mutate(
        half=copies.of_each(found, [ibis.literal(half) for half in HALVES]),
        user_id=copies.original(found.user_id),
    )
