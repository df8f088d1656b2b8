"""What customers have done so far, per opportunity: what a strategy may learn traits from.

A trait of the profile was known before the customer's first session, and whether a trip is booked
long ahead is known when it is booked. So everything done up to the end of the month is later than
the trait, and no data after that month is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

OPEN_LONG_LEAD = "open_trips_long_lead"
Counts = Callable[[pd.DataFrame], pd.Series]


@dataclass(frozen=True)
class Behaviour:
    """One behaviour so far: `amount` and `chances` of each customer (row of features)."""

    amount: Counts
    chances: Counts


@dataclass(frozen=True)
class Observed:
    """Rows of behaviour: an amount over at least one chance, by a customer (position in features).

    `long_lead` says whether the chances of a row are trips booked long ahead. A customer has a row
    for these and one for the others if the behaviour is cancelling; it is false otherwise.
    """

    customer: np.ndarray
    amount: np.ndarray
    chances: np.ndarray
    long_lead: np.ndarray


def _share(rate: str, whole: Counts) -> Behaviour:
    return Behaviour(lambda f: f[rate].fillna(0) * whole(f), whole)


def _booked(f: pd.DataFrame) -> pd.Series:
    return f["total_trips"]


def _kept(f: pd.DataFrame) -> pd.Series:
    return f["completed_trips"] + f["upcoming_trips"]


def _browsing(f: pd.DataFrame) -> pd.Series:
    return f["total_sessions"] - f["cancellation_sessions"]


SO_FAR = {
    "nights_per_stay": Behaviour(lambda f: f["total_nights"], lambda f: f["hotel_stays"]),
    "bags_per_flight": Behaviour(lambda f: f["total_checked_bags"], lambda f: f["total_flights"]),
    "cancelled_share": Behaviour(lambda f: f["cancelled_trips"], _booked),
    "discounted_share": _share("discounted_booking_rate", _booked),
    "package_share": _share("package_rate", _kept),
    "short_solo_share": _share("short_solo_trip_share", _kept),
    "km_per_flight": Behaviour(lambda f: f["total_distance_km"], lambda f: f["total_flights"]),
    "spend_per_trip": Behaviour(lambda f: f["total_spend"], _kept),
    "browsing_without_booking": Behaviour(
        lambda f: (1 - f["conversion_rate"].fillna(0)) * _browsing(f), _browsing
    ),
}
"""The behaviour of each outcome, by the name of the outcome. A perk with another cannot be learned.
"""
INPUTS = frozenset(
    {
        "cancellation_sessions",
        "cancelled_long_lead_trips",
        "cancelled_trips",
        "completed_trips",
        "conversion_rate",
        "discounted_booking_rate",
        "hotel_stays",
        "long_lead_trips",
        "package_rate",
        "short_solo_trip_share",
        "total_checked_bags",
        "total_distance_km",
        "total_flights",
        "total_nights",
        "total_sessions",
        "total_spend",
        "total_trips",
        "upcoming_trips",
    }
)


def observed(outcome: str, features: pd.DataFrame) -> Observed:
    """The behaviour of an outcome, for the customers who had a chance."""
    behaviour, customer = SO_FAR[outcome], np.arange(len(features))
    amount, chances = _values(behaviour.amount(features)), _values(behaviour.chances(features))
    long_lead = np.zeros(len(features), dtype=bool)
    if outcome == "cancelled_share":
        early = _values(features["long_lead_trips"])
        early_amount = _values(features["cancelled_long_lead_trips"])
        customer = np.concatenate([customer, customer])
        amount = np.concatenate([amount - early_amount, early_amount])
        chances = np.concatenate([chances - early, early])
        long_lead = np.concatenate([long_lead, ~long_lead])
    rows = chances > 0
    return Observed(customer[rows], amount[rows], chances[rows], long_lead[rows])


def _values(column: pd.Series) -> np.ndarray:
    return column.astype("float64").fillna(0.0).to_numpy()
