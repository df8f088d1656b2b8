"""The booked trips: flights and hotel stays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from traveltide_assets.sample import populations
from traveltide_assets.sample.draws import (
    Flags,
    Floats,
    Ints,
    Times,
    by_kind,
    pick,
    pick_from,
    quantile,
)
from traveltide_assets.sample.people import People
from traveltide_assets.sample.places import HOME_COUNTRIES, load_airlines, load_places
from traveltide_assets.sample.populations import POPULATIONS
from traveltide_assets.sample.visits import FLIGHT_ONLY, HOTEL_ONLY, NOTHING, PACKAGE, Visits

TRANSFER = np.timedelta64(2, "h")
CRUISE_KM_PER_HOUR = 800.0
CHECK_OUT = np.timedelta64(11, "h")
NOON = np.timedelta64(12, "h")
HOLIDAY_MONTH_DAYS = 28
NEXT_DAY_SHARE = 0.8
"""Share of holidays that start a day after a whole number of 28 days."""
PLANTED_STAY_FACTOR = 2
"""Factor on the nights of customers who favour hotel meals."""
PLANTED_SHORT_DAYS = (0.0, 0.0, 0.6, 0.4)
"""Weights of 0, 1, ... days away for customers who favour a free night.

They stay one night less than days.
"""


@dataclass(frozen=True)
class Trips:
    """Trips of one chunk in the order of their visits; one element per trip.

    Flight columns have no meaning without a flight, nor hotel columns without a hotel.
    """

    visit: Ints
    """Position of the booking visit."""
    user: Ints
    has_flight: Flags
    has_hotel: Flags
    holiday: Flags
    destination: Ints
    """Row of the airport in the places. Its city is also the city of the hotel."""
    seats: Ints
    bags: Ints
    returns: Flags
    departure: Times
    return_time: Times
    airline: Ints
    fare_cents: Ints
    brand: Ints
    rooms: Ints
    check_in: Times
    check_out: Times
    nights: Ints
    room_price: Ints

    @property
    def start(self) -> Times:
        """Departure, or check-in of a trip without flight."""
        return np.where(self.has_flight, self.departure, self.check_in)


def make_trips(people: People, visits: Visits, affinity: float, rng: np.random.Generator) -> Trips:
    """The trips that are booked in the visits."""
    visit = np.flatnonzero(visits.books != NOTHING)
    user = visits.user[visit]
    books = visits.books[visit]
    count = len(visit)
    has_flight, has_hotel = books != HOTEL_ONLY, books != FLIGHT_ONLY
    planted = rng.random(count) < affinity
    short_stay = planted & people.favours("free_hotel_night_with_flight", user)
    long_stay = planted & people.favours("free_hotel_meal", user)
    bag_lover = planted & people.favours("free_checked_bag", user)

    tables = np.array([population.holidays for population in POPULATIONS])
    share = tables[people.active[user].astype(np.int64), books - PACKAGE]
    holiday = (rng.random(count) < share) & ~short_stay
    destination = _destinations(people.home[user], has_flight, holiday, rng)
    booked_on = visits.start[visit].astype("datetime64[D]")
    departure, hour = _departures(booked_on, holiday, rng)
    days = _days_away(has_hotel, holiday, short_stay, long_stay, rng)
    seats = _seats(people, user, holiday, rng)
    bags = _bags(seats, holiday, bag_lover, rng)
    returns = rng.random(count) >= populations.ONE_WAY_SHARE
    distance = load_places().distance_km(people.home[user], destination)
    factors = by_kind([population.hotel_nights for population in POPULATIONS], people.active[user])
    factors = np.where(long_stay, factors * PLANTED_STAY_FACTOR, factors)
    check_in, check_out, nights = _stays(
        booked_on, departure, days, distance, has_flight, factors, rng
    )
    away = days + (has_hotel & _is_late(hour, rng))
    return Trips(
        visit=visit,
        user=user,
        has_flight=has_flight,
        has_hotel=has_hotel,
        holiday=holiday,
        destination=destination,
        seats=seats,
        bags=bags,
        returns=returns,
        departure=departure,
        return_time=departure + away.astype("timedelta64[D]"),
        airline=_airlines(destination, rng),
        fare_cents=_fares(distance, seats, returns, rng),
        brand=rng.integers(len(populations.BRANDS), size=count),
        rooms=_rooms(seats, has_flight, holiday, rng),
        check_in=check_in,
        check_out=check_out,
        nights=nights,
        room_price=_room_prices(count, rng),
    )


def _destinations(home: Ints, has_flight: Flags, holiday: Flags, rng: np.random.Generator) -> Ints:
    """Row of the destination airport. Never the home city for flights; hotels may be there."""
    places = load_places()
    weights = (places.near_weight, places.overseas_weight)
    overseas = holiday & (rng.random(len(home)) < populations.HOLIDAY_OVERSEAS)
    chosen = pick_from(rng, weights, overseas)
    while True:
        at_home = has_flight & (places.city_code[chosen] == places.city_code[home])
        if not at_home.any():
            return chosen
        chosen[at_home] = pick_from(rng, weights, overseas[at_home])


def _departures(booked_on: Times, holiday: Flags, rng: np.random.Generator) -> tuple[Times, Ints]:
    """Departures on the full hour, and the hours."""
    count = len(booked_on)
    ordinary = pick(rng, populations.LEAD_DAYS, count)
    months = pick(rng, populations.HOLIDAY_LEAD_MONTHS, count)
    later = months * HOLIDAY_MONTH_DAYS + (rng.random(count) < NEXT_DAY_SHARE)
    days = np.where(holiday, later, ordinary)
    hour = populations.FIRST_DEPARTURE_HOUR + pick_from(rng, populations.DEPARTURE_HOURS, holiday)
    return _at_hour(booked_on + days, hour), hour


def _at_hour(day: Times, hour: Ints) -> Times:
    time: Times = day.astype("datetime64[ms]") + hour.astype("timedelta64[h]")
    return time


def _days_away(
    has_hotel: Flags,
    holiday: Flags,
    short_stay: Flags,
    long_stay: Flags,
    rng: np.random.Generator,
) -> Ints:
    """Days from departure to return, for trips that depart in the morning."""
    count = len(holiday)
    ordinary = pick(rng, populations.TRIP_DAYS, count)
    early = (rng.random(count) < populations.EARLIER_RETURN_SHARE) & ~has_hotel
    long = rng.normal(populations.HOLIDAY_DAYS_MEAN, populations.HOLIDAY_DAYS_SD, count)
    holidays = np.clip(np.rint(long), *populations.HOLIDAY_DAYS).astype(np.int64)
    days = np.where(holiday, holidays, ordinary - early)
    quick = pick(rng, PLANTED_SHORT_DAYS, count)
    days = np.where(short_stay, quick, days)
    return np.where(long_stay, days * PLANTED_STAY_FACTOR, days)


def _seats(people: People, user: Ints, holiday: Flags, rng: np.random.Generator) -> Ints:
    """Seats of the booking. On holidays the family comes along."""
    count = len(user)
    ordinary = pick(rng, populations.SEATS, count)
    missing = (rng.random(count) < populations.NO_SEATS_SHARE) & ~people.active[user]
    family = 2 * people.married[user] + people.has_children[user]
    together = pick_from(rng, populations.HOLIDAY_SEATS, family)
    return np.where(holiday, together, np.where(missing, 0, ordinary))


def _bags(seats: Ints, holiday: Flags, bag_lover: Flags, rng: np.random.Generator) -> Ints:
    """Checked bags of the booking."""
    count = len(seats)
    most = len(populations.BAGS) - 1
    ordinary = pick_from(rng, populations.BAGS, np.minimum(seats, most))
    on_holiday = np.maximum(seats - 1, 0) + (
        rng.random(count) < populations.HOLIDAY_EXTRA_BAG_SHARE
    )
    bags = np.where(holiday, on_holiday, ordinary)
    more = seats * rng.integers(1, 3, size=count)
    return np.where(bag_lover, bags + more, bags)


def _airlines(destination: Ints, rng: np.random.Generator) -> Ints:
    """Row of the airline, which depends on the market of the destination."""
    market = load_places().market[destination]
    chosen = np.empty(len(destination), dtype=np.int64)
    for number in range(len(HOME_COUNTRIES) + 1):
        there = market == number
        chosen[there] = pick(rng, load_airlines().weights[number], int(there.sum()))
    return chosen


def _fares(distance: Floats, seats: Ints, returns: Flags, rng: np.random.Generator) -> Ints:
    """Price of the whole booking in cents, in proportion to distance, seats and legs."""
    rate = quantile(populations.FARE_SHARES, populations.FARE_PER_KM, rng.random(len(seats)))
    legs = np.where(returns, 2, 1)
    return np.rint(100 * rate * distance * seats * legs).astype(np.int64)


def _is_late(hour: Ints, rng: np.random.Generator) -> Flags:
    """Whether the hour of departure costs a day of the trip."""
    at_noon = rng.random(len(hour)) < populations.LATE_SHARE_AT_NOON
    noon = populations.LATE_DEPARTURE_HOUR
    late: Flags = (hour > noon) | ((hour == noon) & at_noon)
    return late


def _stays(
    booked_on: Times,
    departure: Times,
    days: Ints,
    distance: Floats,
    has_flight: Flags,
    stay_factor: Floats,
    rng: np.random.Generator,
) -> tuple[Times, Times, Ints]:
    """Check-in, check-out and nights.

    Check-in is two hours after landing, or at 11:00 without a flight. Check-out is always at 11:00.
    Nights are counted from the check-in to noon of the last day, a quirk of the real data: most
    stays with a flight have one night less than the calendar difference, some have zero or a
    negative number.
    """
    count = len(days)
    lead = pick(rng, populations.HOTEL_LEAD_DAYS, count).astype("timedelta64[D]")
    own_check_in = (booked_on + lead).astype("datetime64[ms]") + CHECK_OUT
    drawn = quantile(populations.HOTEL_NIGHT_SHARES, populations.HOTEL_NIGHTS, rng.random(count))
    own_nights = np.floor(np.floor(drawn) * stay_factor).astype(np.int64)

    # These times have a resolution of five milliseconds in the real data.
    flight = np.rint(distance / CRUISE_KM_PER_HOUR * 3_600_000 / 5).astype(np.int64) * 5
    landed_check_in = departure + TRANSFER + flight.astype("timedelta64[ms]")
    check_in = np.where(has_flight, landed_check_in, own_check_in)
    nights = np.where(
        has_flight, days - 1 - pick(rng, populations.SHORTER_STAYS, count), own_nights
    )
    # The last day is the first one with its noon at least that many days after check-in.
    least = check_in + nights.astype("timedelta64[D]") - NOON
    last_day = least.astype("datetime64[D]")
    last_day = last_day + (last_day < least)
    return check_in, last_day.astype("datetime64[ms]") + CHECK_OUT, nights


def _rooms(seats: Ints, has_flight: Flags, holiday: Flags, rng: np.random.Generator) -> Ints:
    """Rooms: one per seat on ordinary trips, shared by two on holidays."""
    count = len(seats)
    alone = pick(rng, populations.ROOMS_OF_HOTELS, count)
    short_share = np.asarray(populations.ROOM_SHORT_SHARES)
    short = rng.random(count) < short_share[np.minimum(seats, len(short_share) - 1)]
    single = np.where(short, (seats + 1) // 2, seats)
    with_flight = np.where(holiday, (seats + 1) // 2, single)
    return np.where(has_flight, with_flight, alone)


def _room_prices(count: int, rng: np.random.Generator) -> Ints:
    """Price per room and night in whole dollars, independent of the hotel."""
    price = np.exp(rng.normal(populations.ROOM_PRICE_MU, populations.ROOM_PRICE_SIGMA, count))
    return np.clip(np.rint(price), populations.CHEAPEST_ROOM, populations.DEAREST_ROOM).astype(
        np.int64
    )
