"""Months after those of a generated source: what customers did, with the offers they were sent.

Visits and trips are earlier ones of the source, made again by anybody at another time, so they
look like all others. Files have the format of the source, and responses that of a mailing tool.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

VISITS, TRIPS = 0.7, 0.15
"""Visits without a booking per customer and month, and the chance of a trip without any offer."""
_READ = {"delivered": 0.98, "opened": 0.4, "clicked": 0.1}
_TIMES = {
    "sessions": ("session_start", "session_end"),
    "flights": ("departure_time", "return_time"),
    "hotels": ("check_in_time", "check_out_time"),
}
_RESPONSES = ["user_id", "offer", "event", "at", "value_usd"]


@dataclass(frozen=True)
class World:
    """The generated customers, and the visits and trips that can be made again, as text.

    `customers` has a row per user: `user_id`, `age` in years, `has_children`, `favourite_perk` and
    `home_airport`. `visits` book nothing and `bookings` one trip, whose flight and stay are those
    with its `trip_id`.
    """

    customers: pd.DataFrame
    visits: pd.DataFrame
    bookings: pd.DataFrame
    flights: pd.DataFrame
    hotels: pd.DataFrame

    @classmethod
    def read(cls, folder: Path) -> World:
        """The world of a sample of CSV files."""
        users, sessions, flights, hotels, truth = (
            pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)
            for name in ("users", "sessions", "flights", "hotels", "truth")
        )
        users = users.merge(truth, on="user_id")
        last = pd.to_datetime(sessions["session_start"]).max()
        customers = pd.DataFrame(
            {
                "user_id": users["user_id"].astype("int64"),
                "age": (last - pd.to_datetime(users["birthdate"])).dt.days / 365.25,
                "has_children": users["has_children"] == "true",
                "favourite_perk": users["favourite_perk"],
                "home_airport": users["home_airport"],
            }
        )
        kept = sessions[sessions["cancellation"] == "false"]
        books = kept["trip_id"] != ""
        return cls(customers, kept[~books], kept[books], flights, hotels)

    def mean_spend(self) -> float:
        """What a trip costs on average, discounts taken off, in USD."""
        rows = self.bookings.merge(self.flights, on="trip_id", how="left")
        rows = rows.merge(self.hotels, on="trip_id", how="left")
        number = {
            name: pd.to_numeric(rows[name]).fillna(0.0)
            for name in (
                "base_fare_usd",
                "hotel_per_room_usd",
                "nights",
                "rooms",
                "flight_discount_amount",
                "hotel_discount_amount",
            )
        }
        stays = number["hotel_per_room_usd"] * number["nights"].clip(lower=0) * number["rooms"]
        spent = number["base_fare_usd"] * (1 - number["flight_discount_amount"])
        return float((spent + stays * (1 - number["hotel_discount_amount"])).mean())


def lived(
    world: World,
    offered: pd.Series,
    extra: np.ndarray,
    month: str,
    rng: np.random.Generator,
) -> dict[str, pd.DataFrame]:
    """The raw tables of a month, with responses.

    `offered` is the offer of everybody who was sent one, by `user_id`; `extra` the chance of an
    extra trip of each of them. Everybody who is sent an offer and books a trip redeems it.
    """
    people = world.customers
    chance = pd.Series(extra, index=offered.index).reindex(people["user_id"], fill_value=0.0)
    count = len(people)
    visiting = np.repeat(np.arange(count), rng.poisson(VISITS, count))
    trips = (rng.random(count) < TRIPS).astype(int) + (rng.random(count) < chance.to_numpy())
    booking = np.repeat(np.arange(count), trips)
    first = dt.datetime.strptime(month, "%Y-%m")
    days = (pd.Timestamp(first) + pd.offsets.MonthBegin(1) - pd.Timestamp(first)).days
    visits, _ = _again(world.visits, people, visiting, (first, days), rng)
    bookings, moved = _again(world.bookings, people, booking, (first, days), rng)
    trip_of = bookings["trip_id"].to_numpy()
    bookings["trip_id"] = _identifiers(bookings["user_id"], rng)
    new = pd.DataFrame({"trip_id": trip_of, "new": bookings["trip_id"], "moved": moved})
    flights = _of_trips("flights", world.flights, new)
    homes = pd.Series(people["home_airport"].to_numpy()[booking], index=bookings["trip_id"])
    flights["origin_airport"] = homes.loc[flights["trip_id"]].to_numpy()
    sessions = pd.concat([visits, bookings], ignore_index=True)
    return {
        "sessions": sessions.sort_values(["session_start", "session_id"], ignore_index=True),
        "flights": flights,
        "hotels": _of_trips("hotels", world.hotels, new),
        "responses": _responses(offered, bookings, first, rng),
    }


def append(folder: Path, month: str, tables: dict[str, pd.DataFrame]) -> None:
    """Add a month to a source: a file per table."""
    for name, table in tables.items():
        table.to_csv(folder / f"{name}_{month}.csv", index=False)


def _again(
    rows: pd.DataFrame,
    people: pd.DataFrame,
    who: np.ndarray,
    within: tuple[dt.datetime, int],
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Sessions drawn at random, of these customers, on days of a month; and by how much each moved.

    They move by whole days, so that whatever belongs to them keeps its time of day.
    """
    first, days = within
    drawn = rows.iloc[rng.integers(len(rows), size=len(who))].reset_index(drop=True)
    start = pd.to_datetime(drawn["session_start"], format="ISO8601")
    day = pd.Timestamp(first) + pd.to_timedelta(rng.integers(days, size=len(who)), unit="D")
    moved = (day - start.dt.normalize()).to_numpy()
    drawn["user_id"] = people["user_id"].to_numpy()[who].astype(str)
    drawn["session_id"] = _identifiers(drawn["user_id"], rng)
    return _moved("sessions", drawn, moved), moved


def _moved(name: str, rows: pd.DataFrame, by: np.ndarray) -> pd.DataFrame:
    """The rows with all their times moved."""
    times = {
        column: (pd.to_datetime(rows[column], format="ISO8601") + by)
        .dt.strftime("%Y-%m-%d %H:%M:%S.%f")
        .fillna("")
        for column in _TIMES[name]
    }
    return rows.assign(**times)


def _of_trips(name: str, known: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """The flights or stays of trips that are made again."""
    rows = new.merge(known, on="trip_id", how="inner")
    again = _moved(name, rows, rows["moved"].to_numpy())
    return again.assign(trip_id=rows["new"])[list(known.columns)]


def _identifiers(users: pd.Series, rng: np.random.Generator) -> list[str]:
    """`<user_id>-<32 hex digits>`, random, as in the source."""
    return [f"{user}-{rng.bytes(16).hex()}" for user in users]


def _responses(
    offered: pd.Series, bookings: pd.DataFrame, first: dt.datetime, rng: np.random.Generator
) -> pd.DataFrame:
    """The export of a mailing tool: what was sent and read, and which offers were redeemed."""
    sent = pd.DataFrame({"user_id": offered.index, "offer": offered.to_numpy(), "event": "sent"})
    sent["at"] = pd.Timestamp(first) + pd.Timedelta(hours=8)
    read, parts = sent, [sent]
    for hours, (event, share) in enumerate(_READ.items(), 1):
        # Only what was delivered is opened, and only what was opened is clicked.
        read = read[rng.random(len(read)) < share]
        parts.append(read.assign(event=event, at=read["at"] + pd.Timedelta(hours=hours)))
    booked = bookings.assign(user_id=bookings["user_id"].astype("int64"))
    used = booked.sort_values("session_end").drop_duplicates("user_id")
    used = used.merge(sent[["user_id", "offer"]], on="user_id")
    used = used.assign(event="redeemed", at=pd.to_datetime(used["session_end"]).dt.floor("s"))
    rows = pd.concat([*parts, used[["user_id", "offer", "event", "at"]]]).assign(value_usd="")
    return rows.sort_values(["at", "user_id", "event"], ignore_index=True)[_RESPONSES]
