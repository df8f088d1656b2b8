"""Hand-made travellers whose answers can be worked out with pencil and paper.

Everything is told as of the end of May 2023 for customers with two sessions since April.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

Row = dict[str, str]

MONTH = "2023-05"
PARTITIONS = {"first": "2023-04", "last": "2023-06"}
COHORT = {"active_since": "2023-04-01", "min_sessions": 2}

SMALL = {"k": 2, "max_k": 3, "restarts": 2, "sample_rows": 100}
# Settings of what repeats itself for its statistics, where these do not matter.
QUICK: dict[str, Any] = {
    "evidence": {
        "cuts": 1,
        "folds": 2,
        "resamples": 100,
        "permutations": 100,
        "refits": 2,
        "sample_rows": 500,
    },
    "prediction": {"folds": 2, "repeats": 1, "iterations": 10, "resamples": 100},
}

PACKAGE, HOTEL_ONLY, CANCELLER, LATE_CANCELLER, BROWSER, ELSEWHERE, UPCOMING = range(1, 8)
CUSTOMERS = list(range(1, 8))
SEEN_ONCE, SEEN_TOO_EARLY, SEEN_LATER = 8, 9, 10

NEW_YORK = (40.64, -73.779)
LOS_ANGELES = (33.942, -118.408)
TORONTO = (43.677, -79.631)
TOKYO = (35.552, 139.78)
_AIRPORTS = {NEW_YORK: "JFK", LOS_ANGELES: "LAX", TORONTO: "YYZ", TOKYO: "HND"}
_CITIES = {NEW_YORK: "new york", LOS_ANGELES: "los angeles", TORONTO: "toronto", TOKYO: "tokyo"}


def user(user_id: int, home: tuple[float, float] = NEW_YORK, **changes: str) -> Row:
    return {
        "user_id": str(user_id),
        "birthdate": "1990-01-15",
        "gender": "F",
        "married": "false",
        "has_children": "false",
        "home_country": "canada" if home == TORONTO else "usa",
        "home_city": _CITIES[home],
        "home_airport": _AIRPORTS[home],
        "home_airport_lat": str(home[0]),
        "home_airport_lon": str(home[1]),
        "sign_up_date": "2023-01-01",
    } | changes


def session(
    user_id: int,
    start: str,
    end: str,
    clicks: int,
    trip: str = "",
    books: str = "",
    flight_discount: str = "",
    hotel_discount: str = "",
) -> Row:
    """A browsing session; `books` names what it books, the discounts are those shown."""
    return {
        "session_id": f"{user_id}-{start}",
        "user_id": str(user_id),
        "trip_id": trip,
        "session_start": start,
        "session_end": end,
        "flight_discount": _flag(bool(flight_discount)),
        "hotel_discount": _flag(bool(hotel_discount)),
        "flight_discount_amount": flight_discount,
        "hotel_discount_amount": hotel_discount,
        "flight_booked": _flag("flight" in books),
        "hotel_booked": _flag("hotel" in books),
        "page_clicks": str(clicks),
        "cancellation": "false",
    }


def cancellation(user_id: int, start: str, end: str, trip: str) -> Row:
    """A cancellation as the export writes it: every flag true, no amount, many clicks."""
    flags = ("flight_discount", "hotel_discount", "flight_booked", "hotel_booked", "cancellation")
    return session(user_id, start, end, 200, trip) | dict.fromkeys(flags, "true")


def flight(
    trip: str,
    origin: str,
    destination: tuple[float, float],
    departure: str,
    back: str,
    fare: str,
    seats: int = 1,
    bags: int = 0,
) -> Row:
    return {
        "trip_id": trip,
        "origin_airport": origin,
        "destination": _CITIES[destination],
        "destination_airport": _AIRPORTS[destination],
        "seats": str(seats),
        "return_flight_booked": _flag(bool(back)),
        "departure_time": departure,
        "return_time": back,
        "checked_bags": str(bags),
        "trip_airline": "Air Test",
        "destination_airport_lat": str(destination[0]),
        "destination_airport_lon": str(destination[1]),
        "base_fare_usd": fare,
    }


def stay(
    trip: str, hotel: str, nights: int, check_in: str, check_out: str, price: str, rooms: int = 1
) -> Row:
    return {
        "trip_id": trip,
        "hotel_name": hotel,
        "nights": str(nights),
        "rooms": str(rooms),
        "check_in_time": check_in,
        "check_out_time": check_out,
        "hotel_per_room_usd": price,
    }


def _flag(value: bool) -> str:
    return "true" if value else "false"


USERS = [
    # 39 on the very last day of May, and a customer for 12 months that day.
    user(PACKAGE, birthdate="1984-05-31", married="true", sign_up_date="2022-05-31"),
    # 30 only in June; signed up on the 1st of February.
    user(
        HOTEL_ONLY, TORONTO, birthdate="1993-06-01", has_children="true", sign_up_date="2023-02-01"
    ),
    user(CANCELLER),
    user(LATE_CANCELLER),
    user(BROWSER),
    user(ELSEWHERE, LOS_ANGELES),
    user(UPCOMING),
    user(SEEN_ONCE),
    user(SEEN_TOO_EARLY),
    user(SEEN_LATER, sign_up_date="2023-06-01"),
]
SESSIONS = [
    session(
        PACKAGE,
        "2023-04-03 10:00:00",
        "2023-04-03 10:02:00",
        16,
        trip="package",
        books="flight, hotel",
        flight_discount="0.2",
    ),
    session(PACKAGE, "2023-05-10 12:00:00", "2023-05-10 12:01:00", 8, hotel_discount="0.1"),
    session(PACKAGE, "2023-05-20 00:00:00", "2023-05-20 00:00:30", 4),
    # The flight discount shown is not used: no flight is booked.
    session(
        HOTEL_ONLY,
        "2023-04-21 11:00:00",
        "2023-04-21 11:01:30",
        14,
        trip="stay",
        books="hotel",
        flight_discount="0.3",
        hotel_discount="0.25",
    ),
    session(HOTEL_ONLY, "2023-05-19 00:00:00", "2023-05-19 00:00:10", 2),
    session(
        CANCELLER,
        "2023-04-10 09:00:00",
        "2023-04-10 09:03:00",
        20,
        trip="dream",
        books="flight, hotel",
    ),
    session(CANCELLER, "2023-04-11 09:00:00", "2023-04-11 09:01:00", 6),
    cancellation(CANCELLER, "2023-05-18 00:00:00", "2023-05-18 02:00:00", "dream"),
    session(LATE_CANCELLER, "2023-04-15 08:00:00", "2023-04-15 08:00:20", 3),
    cancellation(LATE_CANCELLER, "2023-05-17 00:00:00", "2023-05-17 02:00:00", "older"),
    session(BROWSER, "2023-04-30 23:59:00", "2023-05-01 00:00:00", 5),
    session(BROWSER, "2023-05-16 00:00:00", "2023-05-16 00:00:40", 7),
    session(
        ELSEWHERE,
        "2023-05-01 08:00:00",
        "2023-05-01 08:01:00",
        9,
        trip="elsewhere",
        books="flight",
        flight_discount="0.1",
    ),
    session(ELSEWHERE, "2023-05-15 00:00:00", "2023-05-15 00:01:00", 9),
    session(
        UPCOMING,
        "2023-05-25 07:00:00",
        "2023-05-25 07:02:00",
        10,
        trip="far",
        books="flight",
    ),
    session(UPCOMING, "2023-05-31 00:00:00", "2023-05-31 00:01:00", 10),
    # What happens in June is not known at the end of May.
    cancellation(UPCOMING, "2023-06-01 00:00:00", "2023-06-01 02:00:00", "far"),
    session(SEEN_ONCE, "2023-05-05 10:00:00", "2023-05-05 10:01:00", 5),
    session(SEEN_ONCE, "2023-06-01 00:00:00", "2023-06-01 00:01:00", 5),
    session(SEEN_TOO_EARLY, "2023-03-31 23:59:00", "2023-04-01 00:05:00", 5),
    session(SEEN_TOO_EARLY, "2023-05-05 10:00:00", "2023-05-05 10:01:00", 5),
    session(SEEN_LATER, "2023-06-02 10:00:00", "2023-06-02 10:01:00", 5),
    session(SEEN_LATER, "2023-06-03 10:00:00", "2023-06-03 10:01:00", 5),
]
FLIGHTS = [
    # Leaves on a Friday for three nights.
    flight(
        "package",
        "JFK",
        LOS_ANGELES,
        "2023-04-14 07:00:00",
        "2023-04-17 07:00:00",
        "1000.00",
        seats=2,
        bags=3,
    ),
    flight(
        "dream",
        "JFK",
        TOKYO,
        "2023-09-01 07:00:00",
        "2023-09-21 07:00:00",
        "9000.00",
        seats=4,
        bags=8,
    ),
    flight("older", "JFK", TOKYO, "2023-08-01 07:00:00", "2023-08-21 07:00:00", "4000.00"),
    # One way, on a Saturday, from an airport that is not home.
    flight("elsewhere", "SFO", NEW_YORK, "2023-05-06 08:00:00", "", "300.50", bags=1),
    flight("far", "JFK", TOKYO, "2023-06-10 07:00:00", "2023-06-20 07:00:00", "2500.25"),
]
HOTELS = [
    stay(
        "package",
        "NH Hotel  - los angeles",
        2,
        "2023-04-14 13:55:10.25",
        "2023-04-17 11:00:00",
        "100",
    ),
    stay(
        "stay", "Hyatt - montreal", 4, "2023-05-01 11:00:00", "2023-05-05 11:00:00", "120", rooms=2
    ),
    stay("dream", "Marriott  - tokyo", 19, "2023-09-01 22:30:00", "2023-09-21 11:00:00", "500"),
]
TABLES: dict[str, list[Row]] = {
    "users": USERS,
    "sessions": SESSIONS,
    "flights": FLIGHTS,
    "hotels": HOTELS,
}


def write_scenario(folder: Path, **tables: list[Row]) -> Path:
    """Write the tables as a source, some of them replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (TABLES | tables).items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, TABLES[name][0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return folder


def settings(**changes: Any) -> dict[str, Any]:
    """The settings that the scenario is told with."""
    return {"partitions": PARTITIONS, "cohort": COHORT, "kmeans": SMALL} | QUICK | changes
