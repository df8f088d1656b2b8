"""The sessions other than cancellations: when users visit, and what they do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from traveltide_assets.sample import populations
from traveltide_assets.sample.draws import (
    Flags,
    Floats,
    Ints,
    Times,
    by_kind,
    order_in_group,
    pick,
    pick_from,
    quantile,
)
from traveltide_assets.sample.people import People
from traveltide_assets.sample.populations import ACTIVE, POPULATIONS, REGULAR

NOTHING, PACKAGE, HOTEL_ONLY, FLIGHT_ONLY = range(4)
"""What a visit books."""
SECONDS_PER_DAY = 86_400
PLANTED_HOTEL_ONLY_SHARE = 0.8
PLANTED_DISCOUNT_STEPS = 5
"""Users who favour discounts book discounts that are larger by this many steps of 0.05."""


@dataclass(frozen=True)
class Visits:
    """Visits of one chunk, ordered by user and start; one element per visit."""

    user: Ints
    """Position of the user in the chunk."""
    start: Times
    seconds: Ints
    clicks: Ints
    books: Ints
    """NOTHING, PACKAGE, HOTEL_ONLY or FLIGHT_ONLY."""
    flight_discount: Ints
    """In steps of 0.05. 0 if no discount is shown."""
    hotel_discount: Ints

    @property
    def end(self) -> Times:
        end: Times = self.start + self.seconds.astype("timedelta64[s]")
        return end


def make_visits(people: People, affinity: float, rng: np.random.Generator) -> Visits:
    """All visits of the users, with their bookings and the discounts shown."""
    user, start = _visit_times(people, rng)
    books = _bookings(people, user, affinity, rng)
    flight_discount, hotel_discount = _discounts(people, user, books, affinity, rng)
    clicks, seconds = _browsing(user, start, books, rng)
    return Visits(user, start, seconds, clicks, books, flight_discount, hotel_discount)


@cache
def _activity() -> Floats:
    """Cumulative activity of the site from the first sign-up to each morning, last day included."""
    days = np.arange(populations.FIRST_SIGN_UP, populations.LAST_DAY + 1)
    month = days.astype("datetime64[M]").astype(np.int64) % 12 + 1
    level = np.where(np.isin(month, populations.BUSY_MONTHS), populations.BUSY_FACTOR, 1.0)
    return np.concatenate([[0.0], np.cumsum(level)])


@cache
def _count_ranks() -> Floats:
    """Sorted sample of `TENURE_WEIGHT * tenure + (1 - TENURE_WEIGHT) * chance`, both uniform."""
    uniform = (np.arange(500) + 0.5) / 500
    weight = populations.TENURE_WEIGHT
    return np.sort(np.add.outer(weight * uniform, (1 - weight) * uniform).ravel())


def _visit_counts(people: People, most: Ints, rng: np.random.Generator) -> Ints:
    """Visits per user: regular users have more the longer ago they signed up."""
    count = len(people.user_id)
    weight = populations.TENURE_WEIGHT
    key = weight * people.tenure + (1 - weight) * rng.random(count)
    ranks = _count_ranks()
    edges = np.cumsum(REGULAR.visits) / np.sum(REGULAR.visits)
    regular = np.searchsorted(edges[:-1], np.searchsorted(ranks, key) / len(ranks)) + 1
    late = people.sign_up >= populations.WINDOW_START
    regular = np.where(
        late, np.minimum(regular, populations.MOST_REGULAR_VISITS_IN_WINDOW), regular
    )
    active = pick(rng, ACTIVE.visits, count) + 1
    return np.minimum(np.where(people.active, active, regular), most)


def _visit_days(people: People, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """User and day of the visits, as days since the first sign-up, at growing intervals.

    No user visits twice a day. Regular users have at most `MOST_REGULAR_VISITS_IN_WINDOW` visits
    since the window opened.
    """
    opened = _day_number(populations.WINDOW_START)
    last_day = _day_number(populations.LAST_DAY)
    signed_up = _day_number(people.sign_up)
    first_day = np.where(people.active, np.maximum(signed_up, opened), signed_up)
    counts = _visit_counts(people, last_day - first_day + 1, rng)
    everyone = np.arange(len(counts))
    column = np.arange(populations.MOST_VISITS)

    growth = by_kind([kind.gap_growth for kind in POPULATIONS], people.active)
    last_gap = by_kind([kind.last_gap for kind in POPULATIONS], people.active)
    gaps = rng.gamma(populations.GAP_SHAPE, 1.0, (len(counts), populations.MOST_VISITS + 1))
    gaps *= growth[:, None] ** np.arange(populations.MOST_VISITS + 1)
    # The first visit is on the day of sign-up, or soon after the window opens.
    gaps[:, 0] *= signed_up < first_day
    reached = np.cumsum(gaps, axis=1)
    whole = reached[everyone, counts - 1] + last_gap * gaps[everyone, counts]
    activity = _activity()
    passed = activity[first_day]
    at = passed[:, None] + reached[:, :-1] * ((activity[-1] - passed) / whole)[:, None]
    day = np.searchsorted(activity, at, side="right") - 1
    # A visit on the same day as the one before moves to the next day, or back from the end if there
    # are no days left.
    day = np.maximum.accumulate(day - column, axis=1) + column
    day = np.minimum(day, last_day - (counts[:, None] - 1 - column))

    many = np.cumsum(day >= opened, axis=1) > populations.MOST_REGULAR_VISITS_IN_WINDOW
    kept = (column < counts[:, None]) & ~(many & ~people.active[:, None])
    return np.nonzero(kept)[0], day[kept]


def _visit_times(people: People, rng: np.random.Generator) -> tuple[Ints, Times]:
    """User and start of the visits, in whole minutes."""
    user, day = _visit_days(people, rng)
    hour = pick(rng, populations.HOURS, len(user))
    # Keeps ten minutes free before midnight, so that no visit overlaps with one on the next day.
    minute = (rng.random(len(user)) * np.where(hour == 23, 50, 60)).astype(np.int64)
    minutes = (day * 24 + hour) * 60 + minute
    start = populations.FIRST_SIGN_UP.astype("datetime64[s]") + minutes.astype("timedelta64[m]")
    return user, start


def _day_number(day: Times | np.datetime64) -> Ints:
    """Days since the first sign-up."""
    return np.asarray(day - populations.FIRST_SIGN_UP).astype(np.int64)


def _bookings(people: People, user: Ints, affinity: float, rng: np.random.Generator) -> Ints:
    """What each visit books."""
    count = len(user)
    active = people.active[user]
    ordinal = np.minimum(order_in_group(user), len(populations.CONVERSION_BY_VISIT) - 1)
    chance = np.asarray(populations.CONVERSION)[people.age_group[user]]
    chance = chance * np.where(people.has_children[user], populations.CONVERSION_OF_PARENTS, 1.0)
    chance = chance * by_kind([population.conversion for population in POPULATIONS], active)
    chance = chance * np.where(active, np.asarray(populations.CONVERSION_BY_VISIT)[ordinal], 1.0)
    booked = rng.random(count) < chance
    kind = PACKAGE + pick_from(rng, [population.kinds for population in POPULATIONS], active)
    planted = rng.random(count) < affinity
    changes = rng.random(count) < PLANTED_HOTEL_ONLY_SHARE
    kind[planted & changes & people.favours("free_hotel_meal", user)] = HOTEL_ONLY
    kind[planted & people.favours("free_hotel_night_with_flight", user)] = PACKAGE
    return np.where(booked, kind, NOTHING)


def _discounts(
    people: People, user: Ints, books: Ints, affinity: float, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """The flight and hotel discounts shown, whether or not anything is booked."""
    count = len(user)
    flight_shown = rng.random(count) < populations.FLIGHT_DISCOUNT_SHARE
    hotel_share = np.asarray(populations.HOTEL_DISCOUNT_SHARES)[flight_shown.astype(np.int64)]
    hotel_shown = rng.random(count) < hotel_share
    flight = pick(rng, populations.FLIGHT_DISCOUNTS, count) + 1
    hotel = pick(rng, populations.HOTEL_DISCOUNTS, count) + 1
    planted = rng.random(count) < affinity
    planted &= people.favours("exclusive_discounts", user) & (books != NOTHING)
    more = np.where(planted, PLANTED_DISCOUNT_STEPS, 0)
    flight_shown |= planted & (books != HOTEL_ONLY)
    hotel_shown |= planted & (books != FLIGHT_ONLY)
    return np.where(flight_shown, flight + more, 0), np.where(hotel_shown, hotel + more, 0)


def _browsing(user: Ints, start: Times, books: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Page clicks and seconds of the visits. Each visit ends before the next one starts."""
    count = len(user)
    at = rng.random(count)
    drawn = np.empty(count)
    for kind, clicks_at in enumerate(populations.CLICKS):
        chosen = books == kind
        drawn[chosen] = quantile(populations.CLICK_SHARES, clicks_at, at[chosen])
    clicks = np.maximum(
        np.rint(drawn).astype(np.int64), np.asarray(populations.FEWEST_CLICKS)[books]
    )

    until_next = np.full(count, SECONDS_PER_DAY)
    same_user: Flags = user[1:] == user[:-1]
    until_next[:-1][same_user] = np.diff(start).astype(np.int64)[same_user]
    clicks = np.minimum(clicks, until_next // 10)
    noise = 0.35 + 0.6 * np.sqrt(clicks) * rng.standard_normal(count)
    seconds = np.rint(populations.SECONDS_PER_CLICK * clicks + noise).astype(np.int64)
    return clicks, np.clip(seconds, 6 * clicks, 10 * clicks)
