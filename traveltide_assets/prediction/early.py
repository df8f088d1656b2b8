"""What is known of a customer early: the feature catalogue from the first n sessions alone.

The definitions are those of `transforms/features.py`, run on tables that end with the n-th session.
A trip booked in these sessions is known as its booking; that it is cancelled later is not.
"""

from __future__ import annotations

from collections.abc import Iterable

import ibis
import numpy as np
import pandas as pd

from traveltide_assets.transforms.features import CATALOGUE, Feature, user_features
from traveltide_assets.transforms.trips import build_trips

MOST_SESSIONS = 5
SEEN = "sessions_seen"
# These measure the time from the sessions to the end of the month. The cohort's first sessions lie
# months back, a new customer's do not, so a model must not learn from it.
_TELL_TIME = ("days_since_last_session", "completed_trips", "upcoming_trips", "tenure_months")
# Scores within the cohort (source "features") cannot be told of one customer.
EARLY: tuple[Feature, ...] = tuple(
    feature
    for feature in CATALOGUE
    if feature.source != "features" and feature.name not in _TELL_TIME
)


def first_sessions(sessions: ibis.Table, n: int, at_least: int = 1) -> ibis.Table:
    """The first n sessions of each customer who has `at_least` so many."""
    ordered = ibis.window(group_by="user_id", order_by=["session_start", "session_id"])
    whole = ibis.window(group_by="user_id")
    placed = sessions.mutate(
        place=ibis.row_number().over(ordered), of=sessions.session_id.count().over(whole)
    )
    return placed.filter((placed.place < n) & (placed.of >= at_least)).drop("place", "of")


def early_features(
    users: ibis.Table,
    sessions: ibis.Table,
    flights: ibis.Table,
    hotels: ibis.Table,
    month: str,
    n: int = MOST_SESSIONS,
    at_least: int = 1,
) -> ibis.Table:
    """One row per customer with `at_least` so many sessions: the catalogue from the first n.

    `sessions_seen` is how many of the n there are.
    """
    seen = first_sessions(sessions, n, at_least)
    known = users.semi_join(seen, "user_id")
    trips = build_trips(seen, known, flights, hotels, month)
    features = user_features(known, seen, trips, month)
    return features.mutate(**{SEEN: features.total_sessions})


def input_names(features: pd.DataFrame, catalogue: Iterable[Feature] = EARLY) -> tuple[str, ...]:
    """The inputs of a model: features, and `name=value` for each value of a text."""
    names: list[str] = []
    for feature in catalogue:
        if feature.type == "string":
            names += [f"{feature.name}={value}" for value in sorted(set(features[feature.name]))]
        else:
            names.append(feature.name)
    return tuple(names)


def inputs(features: pd.DataFrame, names: Iterable[str]) -> np.ndarray:
    """One row per row of features, one column per input; undefined values are NaN."""
    columns = []
    for name in names:
        feature, text, value = name.partition("=")
        column = features[feature]
        columns.append((column == value) if text else column.astype("float64"))
    return np.column_stack(columns).astype(np.float32)
