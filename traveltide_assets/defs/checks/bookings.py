"""What sessions say of trips beside flights or hotel stays, from one join of each of the two.

A trip is of the month, and of the customer, of its first booking. The flags of a cancellation are
artefacts and book nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis

from traveltide_assets.defs.checks.soundness import BOOKED, SESSIONS, layers

if TYPE_CHECKING:
    from traveltide_assets.lake.lake import Lake

TRIP, BOOKED_AT, MONTH, HOME = "named_trip", "booked_at", "booked_month", "home_airport"
FLIGHT, DEPARTURE, RETURN = "flight_trip", "flight_departure", "flight_return"
_OWNER = "owner"


def beside_sessions(name: str, lake: Lake) -> ibis.Table:
    """Flights or hotel stays, joined with what sessions say of their trips.

    Trips without a row are there, too, without a `trip_id`. The columns of a trip that no session
    names are null, and so is `booked_month` if no session books the flight or the stay.
    """
    rows = lake.table(layers(name)[1])
    trips = _trips(lake.table(SESSIONS, lake.months(SESSIONS)), BOOKED[name])
    rows = rows.outer_join(trips, rows.trip_id == trips[TRIP])
    if name == "flights":
        users = lake.table(layers("users")[1])
        homes = users.select("home_airport", home_of=users.user_id)
        return rows.left_join(homes, rows[_OWNER] == homes.home_of)
    flights = lake.table(layers("flights")[1])
    flights = flights.select(
        **{FLIGHT: "trip_id", DEPARTURE: "departure_time", RETURN: "return_time"}
    )
    return rows.left_join(flights, rows.trip_id == flights[FLIGHT])


def _trips(sessions: ibis.Table, part: str) -> ibis.Table:
    """One row per trip that sessions name."""
    booked = (sessions.flight_booked | sessions.hotel_booked).fill_null(False)
    of_part = (sessions[part] & ~sessions.cancellation).fill_null(False)
    named = sessions.drop_null("trip_id")
    return named.group_by(**{TRIP: named.trip_id}).agg(
        **{
            BOOKED_AT: named.session_start.min(where=booked),
            _OWNER: named.user_id.min(where=of_part),
            MONTH: named.month.min(where=of_part),
        }
    )
