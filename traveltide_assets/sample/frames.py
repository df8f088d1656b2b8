"""The four raw tables as text, formatted like the real export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from traveltide_assets.sample import populations
from traveltide_assets.sample.cancellations import Cancellations
from traveltide_assets.sample.draws import Flags, Ints, Times
from traveltide_assets.sample.itineraries import Trips
from traveltide_assets.sample.people import People
from traveltide_assets.sample.places import load_airlines, load_places
from traveltide_assets.sample.spec import PERKS
from traveltide_assets.sample.visits import FLIGHT_ONLY, HOTEL_ONLY, NOTHING, Visits

TABLES = ("users", "sessions", "flights", "hotels")
GENDERS = ("F", "M", "O")
ODD_AMOUNTS = {0.4: "0.3999999999999999", 0.6: "0.6000000000000001"}
"""Amounts that the real export writes with binary rounding noise."""
AMOUNTS = ("", *(ODD_AMOUNTS.get(step / 20, str(step / 20)) for step in range(1, 21)))
HEX_DIGITS = 32


def users_table(people: People) -> pa.Table:
    """The users, ordered by identifier."""
    places = load_places()
    home = pa.array(people.home)
    return pa.table(
        {
            "user_id": _text(people.user_id),
            "birthdate": _text(people.birthdate),
            "gender": _named(GENDERS, people.gender),
            "married": _text(people.married),
            "has_children": _text(people.has_children),
            "home_country": places.country.take(home),
            "home_city": places.city.take(home),
            "home_airport": places.airport.take(home),
            "home_airport_lat": places.latitude_text.take(home),
            "home_airport_lon": places.longitude_text.take(home),
            "sign_up_date": _text(people.sign_up),
        }
    )


def truth_table(people: People) -> pa.Table:
    """Facts about each user that the raw tables do not contain: kind and favourite perk."""
    return pa.table(
        {
            "user_id": _text(people.user_id),
            "kind": _named(("regular", "active"), people.active.astype(np.int64)),
            "favourite_perk": _named(PERKS, people.favourite),
        }
    )


def sessions_table(
    people: People,
    visits: Visits,
    kept: Flags,
    trips: Trips,
    cancellations: Cancellations,
    trip_id: pa.Array,
    rng: np.random.Generator,
) -> pa.Table:
    """Kept visits and cancellations, ordered by start. Bookings have the identifier of the trip."""
    trip = np.full(len(visits.user), -1)
    trip[trips.visit] = np.arange(len(trips.visit))
    user = np.concatenate([visits.user[kept], trips.user[cancellations.trip]])
    trip = np.concatenate([trip[kept], cancellations.trip])
    start = np.concatenate([visits.start[kept], cancellations.start]).astype("datetime64[s]")
    end = np.concatenate([visits.end[kept].astype("datetime64[us]"), cancellations.end])
    books = visits.books[kept]
    cancels = np.arange(len(user)) >= len(books)

    def with_cancellations(values: npt.NDArray[Any], cancelled: int | bool) -> npt.NDArray[Any]:
        rest = np.full(len(cancellations.trip), cancelled, dtype=values.dtype)
        return np.concatenate([values, rest])

    flight_discount, hotel_discount = visits.flight_discount[kept], visits.hotel_discount[kept]
    books_flight = (books != NOTHING) & (books != HOTEL_ONLY)
    books_hotel = (books != NOTHING) & (books != FLIGHT_ONLY)
    own_trip = trip_id.take(pa.array(trip, mask=trip < 0))
    table = pa.table(
        {
            "session_id": _identifiers(people.user_id[user], rng),
            "user_id": _text(people.user_id[user]),
            "trip_id": own_trip.fill_null(""),
            "session_start": _text(start),
            "session_end": _without_zeros(_text(end)),
            "flight_discount": _text(with_cancellations(flight_discount > 0, True)),
            "hotel_discount": _text(with_cancellations(hotel_discount > 0, True)),
            "flight_discount_amount": _named(AMOUNTS, with_cancellations(flight_discount, 0)),
            "hotel_discount_amount": _named(AMOUNTS, with_cancellations(hotel_discount, 0)),
            "flight_booked": _text(with_cancellations(books_flight, True)),
            "hotel_booked": _text(with_cancellations(books_hotel, True)),
            "page_clicks": _text(np.concatenate([visits.clicks[kept], cancellations.clicks])),
            "cancellation": _text(cancels),
        }
    )
    return table.take(pa.array(np.lexsort((user, start))))


def flights_table(people: People, trips: Trips, trip_id: pa.Array) -> pa.Table:
    """Flights in the order of their trips, including cancelled ones."""
    places = load_places()
    kept = trips.has_flight
    to = trips.destination[kept]
    airport, city = pa.array(to), pa.array(places.point[to])
    departure = trips.departure[kept].astype("datetime64[s]")
    return_time = pa.array(trips.return_time[kept].astype("datetime64[s]"))
    returns = pa.array(trips.returns[kept])
    return pa.table(
        {
            "trip_id": trip_id.filter(pa.array(kept)),
            "origin_airport": places.airport.take(pa.array(people.home[trips.user[kept]])),
            "destination": places.city.take(airport),
            "destination_airport": places.airport.take(airport),
            "seats": _text(trips.seats[kept]),
            "return_flight_booked": returns.cast(pa.string()),
            "departure_time": _text(departure),
            "return_time": pc.if_else(returns, return_time.cast(pa.string()), ""),
            "checked_bags": _text(trips.bags[kept]),
            "trip_airline": load_airlines().name.take(pa.array(trips.airline[kept])),
            "destination_airport_lat": places.latitude_text.take(city),
            "destination_airport_lon": places.longitude_text.take(city),
            "base_fare_usd": _dollars(trips.fare_cents[kept]),
        }
    )


def hotels_table(trips: Trips, trip_id: pa.Array) -> pa.Table:
    """Hotel stays in the order of their trips, including cancelled ones."""
    kept = trips.has_hotel
    city = load_places().city.take(pa.array(trips.destination[kept]))
    check_out = trips.check_out[kept].astype("datetime64[s]")
    return pa.table(
        {
            "trip_id": trip_id.filter(pa.array(kept)),
            "hotel_name": pc.binary_join_element_wise(
                _named(populations.BRANDS, trips.brand[kept]), city, " - "
            ),
            "nights": _text(trips.nights[kept]),
            "rooms": _text(trips.rooms[kept]),
            "check_in_time": _without_zeros(_text(trips.check_in[kept])),
            "check_out_time": _text(check_out),
            "hotel_per_room_usd": _text(trips.room_price[kept]),
        }
    )


def trip_identifiers(people: People, trips: Trips, rng: np.random.Generator) -> pa.Array:
    """Identifiers of the trips."""
    return _identifiers(people.user_id[trips.user], rng)


def _identifiers(user_id: Ints, rng: np.random.Generator) -> pa.Array:
    """`<user_id>-<32 hex digits>`, random."""
    digits = rng.bytes(len(user_id) * HEX_DIGITS // 2).hex().encode()
    offsets = np.arange(len(user_id) + 1, dtype=np.int32) * HEX_DIGITS
    random = pa.StringArray.from_buffers(
        len(user_id), pa.py_buffer(offsets.tobytes()), pa.py_buffer(digits)
    )
    return pc.binary_join_element_wise(_text(user_id), random, "-")


def _text(values: Ints | Flags | Times) -> pa.Array:
    return pa.array(values).cast(pa.string())


def _named(names: Sequence[str], positions: Ints) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(positions))


def _without_zeros(times: pa.Array) -> pa.Array:
    """Times without trailing zeros in the fraction of a second, or without an empty fraction."""
    return pc.utf8_rtrim(pc.utf8_rtrim(times, characters="0"), characters=".")


def _dollars(cents: Ints) -> pa.Array:
    """Amounts as the shortest decimal with at least one digit after the point."""
    text = pa.array(cents / 100).cast(pa.string())
    whole = pa.array(cents % 100 == 0)
    return pc.if_else(whole, pc.binary_join_element_wise(text, ".0", ""), text)
