"""Each customer's sessions in two halves, to see whether either gives the customer the same perk.

Sessions are counted from a customer's first one: the first, third and so on are the odd half. A
cancellation goes with the session that booked the trip, since it is about the same trip.
"""

from __future__ import annotations

import ibis

from traveltide_assets.transforms.chain import features_of
from traveltide_assets.transforms.features import expressions as f

ODD, EVEN = "odd", "even"
HALVES = (ODD, EVEN)


def half_of(sessions: ibis.Table, half: str) -> ibis.Table:
    """The sessions of a half. Cancellations of trips that no session books are odd."""
    browsing = sessions.filter(f.browsing(sessions))
    place = ibis.row_number().over(
        group_by=browsing.user_id, order_by=[browsing.session_start, browsing.session_id]
    )
    numbered = browsing.mutate(place=place)
    kept = numbered.filter(numbered.place % 2 == HALVES.index(half)).drop("place")
    cancelled = sessions.filter(sessions.cancellation)
    parts = [kept, cancelled.semi_join(kept, "trip_id")]
    if half == ODD:
        parts.append(cancelled.anti_join(browsing, "trip_id"))
    return ibis.union(*parts)


def half_features(
    users: ibis.Table,
    sessions: ibis.Table,
    flights: ibis.Table,
    hotels: ibis.Table,
    month: str,
    long_lead_days: int,
) -> ibis.Table:
    """One row per half and customer with sessions in it: the features from these alone."""

    def features(half: str) -> ibis.Table:
        seen = half_of(sessions, half)
        return features_of(users, seen, flights, hotels, month, long_lead_days=long_lead_days)

    return ibis.union(*(features(half).mutate(half=ibis.literal(half)) for half in HALVES))
