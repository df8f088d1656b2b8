"""The raw tables of the source, typed. Money is in US dollars; times have no zone.

Four of them every source has. Responses to offers are optional: without them the table is empty.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from traveltide_assets.schema.table import Column

USERS = (
    Column("user_id", "int64", "Identifier of the user; grows with the sign-up date"),
    Column("birthdate", "date", "Date of birth", required=False),
    Column("gender", "string", "F, M or O", required=False),
    Column("married", "boolean", "Married at the time of the export"),
    Column("has_children", "boolean", "Has children at the time of the export"),
    Column("home_country", "string", "usa or canada", required=False),
    Column("home_city", "string", "City of residence, lower case", required=False),
    Column("home_airport", "string", "IATA code of the home airport", required=False),
    Column("home_airport_lat", "float64", "Latitude of the home airport, degrees", required=False),
    Column("home_airport_lon", "float64", "Longitude of the home airport, degrees", required=False),
    Column("sign_up_date", "date", "Date of registration"),
)
SESSIONS = (
    Column("session_id", "string", "Identifier of the session: <user_id>-<32 hex digits>"),
    Column("user_id", "int64", "The user who browses"),
    Column("trip_id", "string", "The trip booked or cancelled in the session", required=False),
    Column("session_start", "timestamp(6)", "Start of the session, on a whole minute"),
    Column("session_end", "timestamp(6)", "End of the session"),
    Column("flight_discount", "boolean", "A flight discount was shown"),
    Column("hotel_discount", "boolean", "A hotel discount was shown"),
    Column("flight_discount_amount", "float64", "Flight discount, share of fare", required=False),
    Column("hotel_discount_amount", "float64", "Hotel discount, share of price", required=False),
    Column("flight_booked", "boolean", "A flight was booked in the session"),
    Column("hotel_booked", "boolean", "A hotel was booked in the session"),
    Column("page_clicks", "int64", "Pages clicked in the session"),
    Column("cancellation", "boolean", "The session cancels its trip"),
)
FLIGHTS = (
    Column("trip_id", "string", "The trip the flight belongs to"),
    Column("origin_airport", "string", "IATA code of the airport of departure"),
    Column("destination", "string", "City of destination, lower case"),
    Column("destination_airport", "string", "IATA code of the airport of destination"),
    Column("seats", "int64", "Seats booked"),
    Column("return_flight_booked", "boolean", "A return flight was booked too"),
    Column("departure_time", "timestamp(6)", "Departure of the outbound flight"),
    Column("return_time", "timestamp(6)", "Departure of the return flight", required=False),
    Column("checked_bags", "int64", "Checked bags of the whole booking"),
    Column("trip_airline", "string", "Airline of the outbound flight"),
    Column("destination_airport_lat", "float64", "Latitude of the destination city, degrees"),
    Column("destination_airport_lon", "float64", "Longitude of the destination city, degrees"),
    Column("base_fare_usd", "float64", "Price of all seats and legs before discount, USD"),
)
HOTELS = (
    Column("trip_id", "string", "The trip the stay belongs to"),
    Column("hotel_name", "string", "Brand and city: 'Brand - city'"),
    Column("nights", "int64", "Nights as stored; one too few for most stays"),
    Column("rooms", "int64", "Rooms booked"),
    Column("check_in_time", "timestamp(6)", "Check-in"),
    Column("check_out_time", "timestamp(6)", "Check-out, at 11:00"),
    Column(
        "hotel_per_room_usd",
        "float64",
        "Price of one room for one night before discount, USD",
        aliases=("hotel_price_per_room_night",),
    ),
)
EVENTS = (
    "sent",
    "delivered",
    "exposed",
    "opened",
    "clicked",
    "signed_up",
    "redeemed",
    "unsubscribed",
)
"""What a customer may do about an offer, or what may be done with it."""

RESPONSES = (
    Column("user_id", "int64", "The customer"),
    Column("offer", "string", "The offer: id of a perk, or the experiment's control offer"),
    Column("event", "string", f"What happened: {', '.join(EVENTS)}"),
    Column("at", "timestamp(6)", "When it happened"),
    Column("value_usd", "float64", "Value of the event, USD", required=False),
)
SOURCES: dict[str, tuple[Column, ...]] = {
    "users": USERS,
    "sessions": SESSIONS,
    "flights": FLIGHTS,
    "hotels": HOTELS,
}
OPTIONAL: dict[str, tuple[Column, ...]] = {"responses": RESPONSES}
RAW = {**SOURCES, **OPTIONAL}
"""Every raw table: those that a source must have, and those that it may have."""

KEYS = {"users": "user_id", "sessions": "session_id", "flights": "trip_id", "hotels": "trip_id"}
IDS = frozenset(KEYS.values())
_KEYS_OF_OPTIONAL = {"responses": ("user_id", "offer", "event", "at")}
# What users need not say: an empty value costs nobody.
ATTRIBUTES = frozenset(
    column.name for column in USERS if not column.required or column.type == "boolean"
)
PLACE = (
    Column("source_file", "string", "Source file of the row; for a database, table and month"),
    Column(
        "source_row",
        "int64",
        "Row number in the source file, from 1; for a database, position in the order of content",
    ),
    Column(
        "source_order",
        "int64",
        "Place of the source file among those of the table by the time of their last change, from "
        "1, the oldest; for a database 1",
    ),
)


def key_of(name: str) -> tuple[str, ...]:
    """The columns by which the rows of a raw table are unique."""
    return (KEYS[name],) if name in KEYS else _KEYS_OF_OPTIONAL[name]


def as_text(columns: Iterable[Column]) -> tuple[Column, ...]:
    """The same columns as nullable text, as they are stored before cleaning."""
    return tuple(replace(column, type="string", required=False) for column in columns)
