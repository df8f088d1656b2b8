"""Contracts of silver, and of the cohort with its trips, features and outcomes in gold."""

from __future__ import annotations

from dataclasses import replace

from traveltide_assets.schema.sources import (
    FLIGHTS,
    HOTELS,
    PLACE,
    RAW,
    RESPONSES,
    SESSIONS,
    USERS,
    as_text,
    key_of,
)
from traveltide_assets.schema.table import Column, Table
from traveltide_assets.transforms.features.catalogue import CATALOGUE
from traveltide_assets.transforms.outcomes import OUTCOMES


def _column(columns: tuple[Column, ...], name: str, **changes: object) -> Column:
    found = next(column for column in columns if column.name == name)
    return replace(found, **changes)  # type: ignore[arg-type]


def _quarantine(name: str) -> Table:
    return Table(
        "silver",
        f"{name}_quarantine",
        f"One row per rejected row of {name}_raw, as it came, with the reason.",
        (
            *as_text(RAW[name]),
            *PLACE,
            Column("reason", "string", "Name of the first cleaning rule that the row breaks"),
        ),
        key=("source_file", "source_row"),
        partitioned=name == "sessions",
        by_file=name != "sessions",
        keeps_extra_columns=True,
    )


_NULL_IF_CANCELLATION = (
    "flight_discount",
    "hotel_discount",
    "flight_booked",
    "hotel_booked",
    "page_clicks",
)
USERS_PROCESSED = Table(
    "silver",
    "users_processed",
    "One row per user, typed. A text that the source leaves empty is `unknown`.",
    tuple(
        replace(column, required=True) if column.type == "string" else column for column in USERS
    ),
    key=("user_id",),
    by_file=True,
)
SESSIONS_PROCESSED = Table(
    "silver",
    "sessions_processed",
    "One row per session, typed. Flags, clicks and duration of a cancellation are null, because "
    "their values in the export are artefacts.",
    (
        *(
            replace(
                column, required=False, description=f"{column.description}; null in cancellations"
            )
            if column.name in _NULL_IF_CANCELLATION
            else column
            for column in SESSIONS
        ),
        Column(
            "session_seconds", "int64", "Length, seconds; null in cancellations", required=False
        ),
    ),
    key=("session_id",),
    partitioned=True,
)
FLIGHTS_PROCESSED = Table(
    "silver",
    "flights_processed",
    "One row per trip with a flight, typed.",
    FLIGHTS,
    key=("trip_id",),
    by_file=True,
)
HOTELS_PROCESSED = Table(
    "silver",
    "hotels_processed",
    "One row per trip with a hotel stay, typed, with nights computed from the calendar dates.",
    (
        _column(HOTELS, "trip_id"),
        Column("hotel_brand", "string", "Brand of the hotel"),
        Column("hotel_city", "string", "City of the hotel, in lower case", required=False),
        Column("nights", "int64", "Nights between the dates of check-in and check-out, at least 1"),
        Column("nights_stored", "int64", "Nights as the source stores them"),
        Column("out_before_in", "boolean", "Check-out is before check-in"),
        *HOTELS[3:],
    ),
    key=("trip_id",),
    by_file=True,
)


RESPONSES_PROCESSED = Table(
    "silver",
    "responses_processed",
    "One row per customer, offer, event and time: a response to an offer, typed. Empty if the "
    "source has no responses.",
    RESPONSES,
    key=key_of("responses"),
    by_file=True,
)


def _final(table: Table, description: str) -> Table:
    name = table.name.replace("_processed", "_final")
    return replace(
        table, layer="gold", name=name, description=description, partitioned=True, by_file=False
    )


TRIPS_FINAL = Table(
    "gold",
    "trips_final",
    "One row per trip that a cohort customer booked or cancelled, as of the end of the month.",
    (
        Column("trip_id", "string", "Identifier of the trip"),
        Column("user_id", "int64", "The customer"),
        Column(
            "booked_at", "timestamp(6)", "Time of booking; null if before the data", required=False
        ),
        Column(
            "cancelled_at",
            "timestamp(6)",
            "Time of cancellation; null if not cancelled",
            required=False,
        ),
        Column(
            "last_row_ended_at",
            "timestamp(6)",
            "End of the session that cancels the trip, or else of the one that books it",
        ),
        Column("status", "string", "cancelled, completed or upcoming"),
        Column("kind", "string", "package, flight or hotel"),
        Column("flight_discount", "boolean", "A flight discount was shown", required=False),
        Column(
            "flight_discount_amount", "float64", "Flight discount, share of fare", required=False
        ),
        Column("flight_discount_used", "boolean", "A discounted flight was booked"),
        Column("hotel_discount", "boolean", "A hotel discount was shown", required=False),
        Column(
            "hotel_discount_amount", "float64", "Hotel discount, share of price", required=False
        ),
        Column("hotel_discount_used", "boolean", "A discounted hotel was booked"),
        Column("destination", "string", "City of the trip", required=False),
        Column("seats", "int64", "Seats booked", required=False),
        Column("checked_bags", "int64", "Checked bags", required=False),
        Column("return_flight_booked", "boolean", "A return flight was booked too", required=False),
        Column("trip_airline", "string", "Airline", required=False),
        Column("base_fare_usd", "float64", "Fare before discount, USD", required=False),
        Column("distance_km", "float64", "Great-circle distance, one way, km", required=False),
        Column("hotel_brand", "string", "Brand of the hotel", required=False),
        Column("rooms", "int64", "Rooms booked", required=False),
        Column("nights", "int64", "Nights of the stay", required=False),
        Column("nights_stored", "int64", "Nights as the source stores them", required=False),
        Column("check_in_time", "timestamp(6)", "Check-in", required=False),
        Column("check_out_time", "timestamp(6)", "Check-out", required=False),
        Column(
            "hotel_per_room_usd",
            "float64",
            "Price of one room for one night before discount, USD",
            required=False,
        ),
        Column("starts_at", "timestamp(6)", "Departure, or check-in", required=False),
        Column("ends_at", "timestamp(6)", "Return, or check-out", required=False),
        Column("lead_days", "float64", "Days from booking to start", required=False),
        Column("flight_spend_usd", "float64", "Fare after discount, USD", required=False),
        Column(
            "hotel_spend_usd",
            "float64",
            "Rooms x nights x price after discount, USD",
            required=False,
        ),
        Column("spend_usd", "float64", "Flight and hotel spend after discount, USD"),
    ),
    key=("trip_id",),
    partitioned=True,
)
USER_FEATURES = Table(
    "gold",
    "user_features",
    "One row per cohort customer: the feature catalogue as of the end of the month.",
    (
        Column("user_id", "int64", "The customer"),
        *(
            Column(
                feature.name,
                feature.type,
                f"{feature.description} [{feature.unit}]",
                required=not feature.nullable,
            )
            for feature in CATALOGUE
        ),
    ),
    key=("user_id",),
    partitioned=True,
)
EARLIER_FEATURES = Table(
    "gold",
    "earlier_features",
    "One row per cohort customer with sessions before the cut: their features as of the cut.",
    tuple(replace(c, required=c.name == "user_id") for c in USER_FEATURES.columns),
    key=("user_id",),
    partitioned=True,
)
PERK_OUTCOMES = Table(
    "gold",
    "perk_outcomes",
    "One row per cohort customer: what they did between the cut and the end of the month.",
    (
        Column("user_id", "int64", "The customer"),
        *(
            column
            for outcome in OUTCOMES
            for column in (
                Column(f"{outcome.name}_amount", "float64", f"Total for: {outcome.description}"),
                Column(f"{outcome.name}_opportunities", "int64", "Divisor of that total"),
            )
        ),
    ),
    key=("user_id",),
    partitioned=True,
)
_CUT = Column("cut", "string", "Last month before the cut")
CUT_FEATURES = replace(
    EARLIER_FEATURES,
    name="cut_features",
    description="One row per cut before the latest one and customer with sessions before it: their "
    "features as of the cut. The latest cut is in `earlier_features`.",
    columns=(_CUT, *EARLIER_FEATURES.columns),
    key=("cut", "user_id"),
)
CUT_OUTCOMES = replace(
    PERK_OUTCOMES,
    name="cut_outcomes",
    description="One row per cut before the latest one and cohort customer: what they did after "
    "it, for as long as after the latest cut. That one is in `perk_outcomes`.",
    columns=(_CUT, *PERK_OUTCOMES.columns),
    key=("cut", "user_id"),
)
HALF_FEATURES = replace(
    EARLIER_FEATURES,
    name="half_features",
    description="One row per half of the sessions and cohort customer with sessions in it: the "
    "features from these sessions alone.",
    columns=(
        Column("half", "string", "odd (the first session, the third, ...) or even"),
        *EARLIER_FEATURES.columns,
    ),
    key=("half", "user_id"),
)
EXPLORATION = Table(
    "gold",
    "exploration",
    "One row per topic, breakdown, group and measure: an exploration of the cohort.",
    (
        Column("topic", "string", "Topic: customers, sessions, bookings, discounts and others"),
        Column("breakdown", "string", "The attribute that rows are grouped by"),
        Column("group", "string", "Name of the group"),
        Column("position", "int64", "Position of the group in its breakdown, from 0"),
        Column("measure", "string", "Measure: count, share, cancelled_share and others"),
        Column("value", "float64", "Value of the measure", required=False),
        Column("rows", "int64", "Customers, sessions or trips that the value is computed from"),
    ),
    key=("topic", "breakdown", "group", "measure"),
    partitioned=True,
)

USERS_FINAL = _final(USERS_PROCESSED, "One row per customer of the cohort.")
SESSIONS_FINAL = _final(
    SESSIONS_PROCESSED, "One row per session of a cohort customer in the window."
)
FLIGHTS_FINAL = _final(
    FLIGHTS_PROCESSED, "One row per flight of a trip that the cohort's sessions name."
)
HOTELS_FINAL = _final(
    HOTELS_PROCESSED, "One row per stay of a trip that the cohort's sessions name."
)
TABLES = (
    USERS_PROCESSED,
    SESSIONS_PROCESSED,
    FLIGHTS_PROCESSED,
    HOTELS_PROCESSED,
    RESPONSES_PROCESSED,
    *(_quarantine(name) for name in RAW),
    USERS_FINAL,
    SESSIONS_FINAL,
    FLIGHTS_FINAL,
    HOTELS_FINAL,
    TRIPS_FINAL,
    USER_FEATURES,
    EARLIER_FEATURES,
    PERK_OUTCOMES,
    CUT_FEATURES,
    CUT_OUTCOMES,
    HALF_FEATURES,
    EXPLORATION,
)
