"""Early features of a customer: the feature catalogue from the first n sessions alone.

The definitions are those of `transforms/features`, run on tables that end with the n-th session. A
trip booked in these sessions counts as booked, even if it is cancelled later. With n = 0 only the
profile is known: no session, no trip.
"""

from __future__ import annotations

from collections.abc import Iterable

import ibis
import numpy as np
import pandas as pd
from ibis.common.deferred import Deferred

from traveltide_assets.transforms import copies
from traveltide_assets.transforms.chain import features_of
from traveltide_assets.transforms.copies import COPY
from traveltide_assets.transforms.features.catalogue import CATALOGUE, OWN, Feature

MOST_SESSIONS = 5
SEEN = "sessions_seen"
# These measure the time from the sessions to the end of the month. The cohort's first sessions are
# months old, those of new customers are not, so a model must not learn from these features, nor
# from open trips.
_TELL_TIME = ("days_since_last_session", "completed_trips", "upcoming_trips", "tenure_months")
# The service asks its callers for every early feature; what few of them could know is not asked.
_NOT_ASKED = ("long_lead_trips", "cancelled_long_lead_trips")
# Scores within the cohort (source "features") cannot be computed for a single customer.
EARLY: tuple[Feature, ...] = tuple(
    feature
    for feature in OWN
    if feature.source != "features"
    and feature.name not in (*_TELL_TIME, *_NOT_ASKED)
    and not feature.open_trips
)
# Known at sign-up, before any session.
PROFILE: tuple[str, ...] = tuple(f.name for f in EARLY if f.source == "users")


def first_sessions(sessions: ibis.Table, n: int) -> ibis.Table:
    """The first n sessions of each customer."""
    placed = numbered(sessions)
    return placed.filter(placed.place < n).drop("place", "of")


def numbered(sessions: ibis.Table) -> ibis.Table:
    """Each session with its `place` among the customer's, from 0, and their number, `of`."""
    ordered = ibis.window(group_by="user_id", order_by=["session_start", "session_id"])
    whole = ibis.window(group_by="user_id")
    return sessions.mutate(
        place=ibis.row_number().over(ordered), of=sessions.session_id.count().over(whole)
    )


def early_features(
    users: ibis.Table,
    sessions: ibis.Table,
    flights: ibis.Table,
    hotels: ibis.Table,
    month: str,
    n: int = MOST_SESSIONS,
    catalogue: tuple[Feature, ...] = CATALOGUE,
) -> ibis.Table:
    """One row per customer: the catalogue from the first n sessions, or from fewer if they have so.

    `sessions_seen` is the number of sessions that the row is computed from; 0 without a session.
    """
    return _features(
        users, first_sessions(sessions, n), flights, hotels, month, catalogue=catalogue
    )


def early_features_by_n(
    users: ibis.Table,
    sessions: ibis.Table,
    flights: ibis.Table,
    hotels: ibis.Table,
    month: str,
) -> ibis.Table:
    """`early_features` for n = 0 to 5 of the customers with n sessions, stacked.

    It is planned once, over copies of the customers and trips, one per n.
    """
    placed = numbered(sessions)
    known_to = ibis.range(placed.place + 1, ibis.least(placed.of, MOST_SESSIONS) + 1)
    seen_by = placed.filter(placed.place < MOST_SESSIONS).mutate({COPY: known_to.unnest()})
    seen = copies.numbered(seen_by.drop("place", "of"))
    known = copies.numbered(each_n(users, sessions).rename({COPY: "n"}))
    flown, stayed = (copies.each(table, range(1, MOST_SESSIONS + 1)) for table in (flights, hotels))
    features = _features(known, seen, flown, stayed, month, within=ibis._.total_sessions)
    return features.mutate(user_id=copies.original(features.user_id))


def each_n(users: ibis.Table, sessions: ibis.Table) -> ibis.Table:
    """One row per customer and n from 0 to 5, or to the number of sessions if that is smaller."""
    counted = sessions.group_by("user_id").agg(of=sessions.count())
    joined = users.left_join(counted, "user_id").drop("user_id_right")
    most = ibis.least(joined.of.fill_null(0), MOST_SESSIONS)
    return joined.mutate(n=ibis.range(0, most + 1).unnest()).drop("of")


def _features(
    users: ibis.Table,
    seen: ibis.Table,
    flights: ibis.Table,
    hotels: ibis.Table,
    month: str,
    within: Deferred | None = None,
    catalogue: tuple[Feature, ...] = CATALOGUE,
) -> ibis.Table:
    """One row per user, also of those without a session."""
    features = features_of(
        users, seen, flights, hotels, month, within, everybody=True, catalogue=catalogue
    )
    return features.mutate(**{SEEN: features.total_sessions})


def input_names(features: pd.DataFrame, catalogue: Iterable[Feature] = EARLY) -> tuple[str, ...]:
    """The inputs of a model: numeric features, and `name=value` for each value of a text.

    A feature that the frame lacks, because it is forbidden, is no input.
    """
    names: list[str] = []
    for feature in catalogue:
        if feature.type == "string" and feature.name in features:
            names += [f"{feature.name}={value}" for value in sorted(set(features[feature.name]))]
        elif feature.name in features:
            names.append(feature.name)
    return tuple(names)


def inputs(features: pd.DataFrame, names: Iterable[str]) -> np.ndarray:
    """One row per row of features, one column per input. Undefined values are NaN."""
    columns = []
    for name in names:
        feature, text, value = name.partition("=")
        column = features[feature]
        columns.append((column == value) if text else column.astype("float64"))
    return np.column_stack(columns).astype(np.float32)
