"""Trips from sessions, flights and hotels: one row per trip, with booking and cancellation."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from traveltide_assets.schema.months import SECONDS_PER_DAY
from traveltide_assets.transforms import copies
from traveltide_assets.transforms.copies import Month

EARTH_RADIUS_KM = 6371.0
_KM_DECIMALS = 3


def build_trips(
    bookings: ibis.Table, users: ibis.Table, flights: ibis.Table, hotels: ibis.Table, month: Month
) -> ibis.Table:
    """One row per trip, as of the end of a month; `bookings` is the result of `bookings_of`.

    Cache `bookings` if there are many sessions: its ranking cannot spill to disk in the same
    expression as the joins that follow.

    A trip that was booked before the data begins has a null `booked_at`. Its content is then taken
    from the flight and hotel tables, because the flags of a cancellation are always true.
    """
    trips = bookings.left_join(_homes(users), [("user_id", "home_of")])
    trips = trips.left_join(flights.rename(flight_trip="trip_id"), [("trip_id", "flight_trip")])
    trips = trips.left_join(hotels.rename(hotel_trip="trip_id"), [("trip_id", "hotel_trip")])
    trips = trips.mutate(
        has_flight=trips.flight_booked.fill_null(trips.flight_trip.notnull()),
        has_hotel=trips.hotel_booked.fill_null(trips.hotel_trip.notnull()),
    )
    trips = trips.mutate(
        kind=_kind(trips),
        distance_km=_distance(trips),
        starts_at=ibis.coalesce(trips.departure_time, trips.check_in_time),
        ends_at=ibis.coalesce(trips.return_time, trips.check_out_time, trips.departure_time),
        destination=ibis.coalesce(trips.destination, trips.hotel_city),
        flight_discount_used=trips.has_flight & trips.flight_discount.fill_null(False),
        hotel_discount_used=trips.has_hotel & trips.hotel_discount.fill_null(False),
    )
    trips = trips.mutate(
        status=_status(trips, month),
        lead_days=trips.starts_at.delta(trips.booked_at, unit="second") / SECONDS_PER_DAY,
        flight_spend_usd=trips.base_fare_usd * (1 - _share(trips, "flight")),
        hotel_spend_usd=trips.hotel_per_room_usd
        * trips.nights
        * trips.rooms
        * (1 - _share(trips, "hotel")),
    )
    return trips.mutate(
        spend_usd=trips.flight_spend_usd.fill_null(0) + trips.hotel_spend_usd.fill_null(0)
    )


def bookings_of(sessions: ibis.Table) -> ibis.Table:
    """One row per trip that the sessions book or cancel: its first booking and cancellation.

    `booked_at` and the flags are null if the sessions only cancel the trip; `cancelled_at` is null
    if they only book it. `last_row_ended_at` is the end of the cancellation, or else of the
    booking.
    """
    named = sessions.filter(sessions.trip_id.notnull())
    bookings = named.filter((named.flight_booked | named.hotel_booked).fill_null(False))
    first = ibis.row_number().over(
        ibis.window(group_by="trip_id", order_by=["session_start", "session_id"])
    )
    bookings = bookings.mutate(place=first).filter(ibis._.place == 0)
    bookings = bookings.select(
        "trip_id",
        "user_id",
        "flight_booked",
        "hotel_booked",
        "flight_discount",
        "hotel_discount",
        "flight_discount_amount",
        "hotel_discount_amount",
        booked_at=bookings.session_start,
        booking_ended_at=bookings.session_end,
    )
    cancelled = named.filter(named.cancellation)
    cancellations = cancelled.group_by("trip_id").agg(
        canceller=cancelled.user_id.min(),
        cancelled_at=cancelled.session_start.min(),
        cancelling_ended_at=cancelled.session_end.max(),
    )
    both = bookings.outer_join(cancellations, "trip_id")
    return both.mutate(
        trip_id=ibis.coalesce(both.trip_id, both.trip_id_right),
        user_id=ibis.coalesce(both.user_id, both.canceller),
        last_row_ended_at=ibis.coalesce(both.cancelling_ended_at, both.booking_ended_at),
    ).drop("trip_id_right", "canceller", "booking_ended_at", "cancelling_ended_at")


def _homes(users: ibis.Table) -> ibis.Table:
    return users.select(
        "home_airport", "home_airport_lat", "home_airport_lon", home_of=users.user_id
    )


def _kind(trips: ibis.Table) -> ir.StringValue:
    return ibis.cases(
        (trips.has_flight & trips.has_hotel, "package"),
        (trips.has_flight, "flight"),
        else_="hotel",
    )


def _status(trips: ibis.Table, month: Month) -> ir.StringValue:
    ended = (trips.ends_at < copies.end(trips, month)).fill_null(True)
    return ibis.cases(
        (trips.cancelled_at.notnull(), "cancelled"), (ended, "completed"), else_="upcoming"
    )


def _share(trips: ibis.Table, part: str) -> ir.FloatingValue:
    used, amount = trips[f"{part}_discount_used"], trips[f"{part}_discount_amount"]
    return ibis.ifelse(used, amount.fill_null(0), 0.0)


def _distance(trips: ibis.Table) -> ir.FloatingValue:
    """Great-circle distance from the home airport, km; null for a flight that starts elsewhere.

    Flights from elsewhere, or without a coordinate, are set to null explicitly: `least` ignores
    nulls in several engines, so a missing coordinate would otherwise give a distance.
    """
    lat1, lat2 = trips.home_airport_lat.radians(), trips.destination_airport_lat.radians()
    dlon = (trips.destination_airport_lon - trips.home_airport_lon).radians()
    a = ((lat2 - lat1) / 2).sin() ** 2 + lat1.cos() * lat2.cos() * (dlon / 2).sin() ** 2
    km = 2 * EARTH_RADIUS_KM * ibis.least(a, 1.0).sqrt().asin()
    from_home = (trips.origin_airport == trips.home_airport).fill_null(False)
    return ibis.ifelse(from_home & a.notnull(), km.round(_KM_DECIMALS), ibis.null("float64"))
