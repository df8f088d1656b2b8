"""The sessions in which users cancel a trip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from traveltide_assets.sample import populations
from traveltide_assets.sample.draws import Flags, Ints, Times, by_kind, order_in_group
from traveltide_assets.sample.itineraries import Trips
from traveltide_assets.sample.people import People
from traveltide_assets.sample.populations import POPULATIONS
from traveltide_assets.sample.visits import NOTHING, Visits

PLANTED_SHARE = 0.85
"""Share of trips that customers who favour free cancellation cancel."""


@dataclass(frozen=True)
class Cancellations:
    """Cancellation sessions of one chunk; one element per cancelled trip."""

    trip: Ints
    """Position of the cancelled trip."""
    start: Times
    end: Times
    clicks: Ints


def make_cancellations(
    people: People, visits: Visits, trips: Trips, affinity: float, rng: np.random.Generator
) -> Cancellations:
    """The sessions that cancel some of the trips.

    Each is a whole number of days after the booking, before the trip starts and within the period
    of the data. It never overlaps with another session of the same user.
    """
    count = len(trips.visit)
    rates = [population.holiday_cancellation for population in POPULATIONS]
    of_holiday = by_kind(rates, people.active[trips.user])
    share = np.where(trips.holiday, of_holiday, populations.ORDINARY_CANCELLATION)
    planted = rng.random(count) < affinity
    planted &= people.favours("no_cancellation_fees", trips.user)
    regret = rng.random(count) < np.where(planted, PLANTED_SHARE, share)

    booked = visits.end[trips.visit]
    lead = (trips.start - booked) / np.timedelta64(1, "D")
    late = 1 + rng.exponential(populations.HOLIDAY_REGRET_DAYS, count)
    days = np.floor(np.where(trips.holiday, late, rng.random(count) * lead)).astype(np.int64)
    start = booked + days.astype("timedelta64[D]")
    start = np.where(trips.holiday, start, start + populations.PAUSE_BEFORE_CANCELLATION)
    minutes = rng.exponential(populations.CANCELLATION_MINUTES_MEAN, count)
    lasting = np.rint(np.clip(minutes, *populations.CANCELLATION_MINUTES) * 60e6).astype(np.int64)
    end = start.astype("datetime64[us]") + lasting.astype("timedelta64[us]")
    clicks = np.clip(minutes, *populations.CANCELLATION_CLICKS).astype(np.int64)

    possible = (
        regret & (end < trips.start) & (start.astype("datetime64[D]") <= populations.LAST_DAY)
    )
    trip = np.flatnonzero(possible)
    trip = trip[_is_free(visits, trips.user[trip], start[trip], end[trip])]
    return Cancellations(trip, start[trip], end[trip], clicks[trip])


def _is_free(visits: Visits, user: Ints, start: Times, end: Times) -> Flags:
    """Whether a user has neither a visit nor another cancellation session at the same time."""
    users = np.concatenate([visits.user, user])
    starts = np.concatenate([visits.start, start]).astype("datetime64[us]")
    ends = np.concatenate([visits.end, end]).astype("datetime64[us]")
    order = np.lexsort((starts, users))
    before, after = order[:-1], order[1:]
    clash = (users[before] == users[after]) & (ends[before] >= starts[after])
    free = np.ones(len(users), dtype=np.bool_)
    free[before[clash]] = False
    free[after[clash]] = False
    return free[len(visits.user) :]


def visits_replaced(visits: Visits, trips: Trips, cancelled: Ints, users: int) -> Flags:
    """The visits that cancellations replace.

    The number of sessions per user includes cancellations. So for each cancellation of a user, one
    visit without booking is removed, from the last one back.
    """
    cancellations = np.bincount(trips.user[cancelled], minlength=users)
    idle = np.flatnonzero(visits.books == NOTHING)
    owner = visits.user[idle]
    owned = np.bincount(owner, minlength=users)
    from_end = owned[owner] - 1 - order_in_group(owner)
    replaced = np.zeros(len(visits.user), dtype=np.bool_)
    replaced[idle[from_end < cancellations[owner]]] = True
    return replaced
