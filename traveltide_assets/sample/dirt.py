"""Damages the raw tables in known ways, with a ledger of the damage and its expected effect."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

import numpy as np
import pyarrow as pa

from traveltide_assets.sample.draws import Flags, Ints
from traveltide_assets.sample.frames import TABLES

Row = Mapping[str, str]

KEYS = {"users": "user_id", "sessions": "session_id", "flights": "trip_id", "hotels": "trip_id"}
LEDGER = ("table", "key", "column", "damage", "expectation")
UNDATED = "bronze:sessions_undated"
NOBODY = 900_000_000
"""Added to identifiers of users to get identifiers of users who do not exist."""
NO_BOOLEANS = ("yes and no", "maybe")
NO_DATES = ("2023-13-45", "soon")
NO_TIMES = ("2023-13-45 25:61:00", "yesterday")
NO_INTEGERS = ("12x", "many")
NO_NUMBERS = ("12 or so", "1,2,3")
NO_LATITUDES, NO_LONGITUDES = ("91.5", "-90.25"), ("180.5", "-541.0")
NO_DISCOUNTS = ("1.5", "-0.1")
DIALECTS = {"true": ("t", "1", "1.0"), "false": ("f", "0", "0.0")}

Repeat = Literal["", "after", "before"]


@dataclass(frozen=True)
class Damage:
    """One way to damage a row.

    `spoil` returns the new text of `column`. Its second argument varies from row to row. A damage
    that `repeats` keeps the row and adds another one right before or after it.
    """

    name: str
    column: str
    expectation: str
    fits: Callable[[Row], bool]
    spoil: Callable[[Row, int], str]
    repeats: Repeat = ""


def _always(row: Row) -> bool:
    return True


def _there(column: str) -> Callable[[Row], bool]:
    """Whether the row has a value in the column."""
    return lambda row: row[column] != ""


def _one_of(*texts: str) -> Callable[[Row, int], str]:
    return lambda row, turn: texts[turn % len(texts)]


def _refused(
    name: str,
    column: str,
    spoil: Callable[[Row, int], str],
    fits: Callable[[Row], bool] = _always,
    repeats: Repeat = "",
) -> Damage:
    """A damage that sends the row to quarantine, with its name as the reason."""
    return Damage(name, column, f"quarantine:{name}", fits, spoil, repeats)


def _missing(*columns: str) -> Iterator[Damage]:
    return (_refused(f"missing_{column}", column, _one_of("")) for column in columns)


def _unreadable(texts: Sequence[str], *columns: str) -> Iterator[Damage]:
    for column in columns:
        yield _refused(f"unreadable_{column}", column, _one_of(*texts), _there(column))


def _negative(*columns: str) -> Iterator[Damage]:
    return (_refused(f"negative_{c}", c, _one_of("-1", "-2", "-30")) for c in columns)


def _out_of_range(name: str, texts: Sequence[str], *columns: str) -> Iterator[Damage]:
    for column in columns:
        yield _refused(f"{name}_out_of_range", column, _one_of(*texts), _there(column))


def _boolean(column: str) -> Iterator[Damage]:
    """Texts that are not booleans, other spellings of booleans, and empty text for false."""

    def other_text(row: Row, turn: int) -> str:
        return DIALECTS[row[column]][turn % 3]

    def is_false(row: Row) -> bool:
        return row[column] == "false"

    yield from _unreadable(NO_BOOLEANS, column)
    yield Damage("boolean_dialect", column, "repair:boolean_dialect", _always, other_text)
    yield Damage("blank_boolean", column, "repair:blank_boolean", is_false, _one_of(""))


def _trimmed(column: str) -> Damage:
    def padded(row: Row, turn: int) -> str:
        return " " * (turn % 2) + row[column] + " " * (1 + turn % 3)

    return Damage("text_trimmed", column, "repair:text_trimmed", _there(column), padded)


def _repeated(column: str, other: Callable[[Row, int], str]) -> Iterator[Damage]:
    """The same row again, and an earlier row with the same key and another value in a column."""
    yield _refused("exact_duplicate", column, lambda row, turn: row[column], repeats="after")
    yield _refused("duplicate_key", column, other, repeats="before")


def _count_repeated(column: str) -> Iterator[Damage]:
    return _repeated(column, lambda row, turn: str(int(row[column]) + 1 + turn % 3))


def _other_marriage(row: Row, turn: int) -> str:
    return "false" if row["married"] == "true" else "true"


def _later_birth(row: Row, turn: int) -> str:
    return str(date.fromisoformat(row["sign_up_date"]) + timedelta(days=1 + turn % 400))


def _earlier_end(row: Row, turn: int) -> str:
    return str(datetime.fromisoformat(row["session_start"]) - timedelta(seconds=1 + turn % 900))


def _earlier_return(row: Row, turn: int) -> str:
    return str(datetime.fromisoformat(row["departure_time"]) - timedelta(days=1 + turn % 5))


def _nobody(row: Row, turn: int) -> str:
    return str(NOBODY + int(row["user_id"]))


def _undated(name: str, *texts: str) -> Damage:
    """A session without a readable start belongs to no month, so it never reaches quarantine."""
    return Damage(name, "session_start", UNDATED, _always, _one_of(*texts))


def _user_damages() -> Iterator[Damage]:
    # No other attribute has to be there.
    yield from _missing("user_id", "sign_up_date")
    yield from _unreadable(NO_INTEGERS, "user_id")
    yield from _unreadable(NO_DATES, "birthdate", "sign_up_date")
    yield from _unreadable(NO_NUMBERS, "home_airport_lat", "home_airport_lon")
    for column in ("married", "has_children"):
        yield from _boolean(column)
    for column in ("gender", "home_country", "home_city", "home_airport"):
        yield _trimmed(column)
    yield _refused("birthdate_in_future", "birthdate", _later_birth)
    yield from _out_of_range("latitude", NO_LATITUDES, "home_airport_lat")
    yield from _out_of_range("longitude", NO_LONGITUDES, "home_airport_lon")
    yield from _repeated("married", _other_marriage)


def _session_damages() -> Iterator[Damage]:
    amounts = ("flight_discount_amount", "hotel_discount_amount")
    yield from _missing("session_id", "user_id", "session_end", "page_clicks")
    yield _undated("missing_session_start", "")
    yield _undated("unreadable_session_start", *NO_TIMES)
    yield from _unreadable(NO_INTEGERS, "user_id", "page_clicks")
    yield from _unreadable(NO_TIMES, "session_end")
    yield from _unreadable(NO_NUMBERS, *amounts)
    for column in ("flight_discount", "hotel_discount", "flight_booked", "hotel_booked"):
        yield from _boolean(column)
    yield from _boolean("cancellation")
    yield _trimmed("trip_id")
    yield from _negative("page_clicks")
    yield _refused("ends_before_start", "session_end", _earlier_end)
    yield from _out_of_range("discount", NO_DISCOUNTS, *amounts)
    yield _refused("booking_without_trip", "trip_id", _one_of(""), _there("trip_id"))
    yield _refused("unknown_user", "user_id", _nobody)
    yield from _count_repeated("page_clicks")


def _flight_damages() -> Iterator[Damage]:
    texts = ("origin_airport", "destination", "destination_airport", "trip_airline")
    point = ("destination_airport_lat", "destination_airport_lon")
    yield from _missing("trip_id", *texts, "seats", "departure_time", "checked_bags")
    yield from _missing(*point, "base_fare_usd")
    yield from _unreadable(NO_INTEGERS, "seats", "checked_bags")
    yield from _unreadable(NO_TIMES, "departure_time", "return_time")
    yield from _unreadable(NO_NUMBERS, *point, "base_fare_usd")
    yield from _boolean("return_flight_booked")
    for column in texts:
        yield _trimmed(column)
    yield from _negative("seats", "checked_bags", "base_fare_usd")
    yield _refused("return_before_departure", "return_time", _earlier_return, _there("return_time"))
    yield from _out_of_range("latitude", NO_LATITUDES, "destination_airport_lat")
    yield from _out_of_range("longitude", NO_LONGITUDES, "destination_airport_lon")
    yield from _count_repeated("checked_bags")


def _hotel_damages() -> Iterator[Damage]:
    yield from _missing("trip_id", "hotel_name", "nights", "rooms", "check_in_time")
    yield from _missing("check_out_time", "hotel_per_room_usd")
    yield from _unreadable(NO_INTEGERS, "nights", "rooms")
    yield from _unreadable(NO_TIMES, "check_in_time", "check_out_time")
    yield from _unreadable(NO_NUMBERS, "hotel_per_room_usd")
    yield _trimmed("hotel_name")
    yield from _negative("rooms", "hotel_per_room_usd")
    yield from _count_repeated("rooms")


DAMAGES: dict[str, tuple[Damage, ...]] = {
    "users": tuple(_user_damages()),
    "sessions": tuple(_session_damages()),
    "flights": tuple(_flight_damages()),
    "hotels": tuple(_hotel_damages()),
}
"""All damages of each table. A row gets one of those that apply to it, all equally likely."""


def damage_tables(
    tables: Mapping[str, pa.Table], share: float, rng: np.random.Generator
) -> tuple[dict[str, pa.Table], pa.Table]:
    """The tables of one chunk with about this share of their rows damaged, and the ledger.

    Every damaged row is damaged in one way. Cancellations are not damaged, nor are the sessions of
    a user who is rejected; the latter are in the ledger as `owner_quarantined`.
    """
    damaged: dict[str, pa.Table] = {}
    ledger: list[tuple[str, ...]] = []
    orphaned: set[str] = set()
    for name in TABLES:
        table = tables[name]
        spared = np.zeros(table.num_rows, dtype=np.bool_)
        if name == "sessions":
            orphans = np.array([user in orphaned for user in table["user_id"].to_pylist()], bool)
            ledger += _owner_quarantined(table, orphans)
            spared = orphans | (table["cancellation"].to_numpy() == "true")
        hit = (rng.random(table.num_rows) < share) & ~spared
        damaged[name], lines = _damage_rows(name, table, np.flatnonzero(hit), rng)
        ledger += lines
        if name == "users":
            orphaned = {key for _, key, *_, damage, fate in lines if _is_lost(damage, fate)}
    columns = list(zip(*ledger, strict=True)) or [()] * len(LEDGER)
    return damaged, pa.table(
        {name: pa.array(column, pa.string()) for name, column in zip(LEDGER, columns, strict=True)}
    )


def _is_lost(damage: str, expectation: str) -> bool:
    """Whether no row with the key remains. Of a duplicate, the other row remains."""
    return expectation.startswith("quarantine:") and "duplicate" not in damage


def _owner_quarantined(sessions: pa.Table, orphans: Flags) -> Iterable[tuple[str, ...]]:
    for key in sessions["session_id"].filter(pa.array(orphans)).to_pylist():
        yield "sessions", key, "user_id", "owner_quarantined", "quarantine:unknown_user"


def _damage_rows(
    name: str, table: pa.Table, rows: Ints, rng: np.random.Generator
) -> tuple[pa.Table, list[tuple[str, ...]]]:
    turns = rng.integers(1_000_000, size=len(rows))
    choices = rng.random(len(rows))
    copies = np.ones(table.num_rows, dtype=np.int64)
    edits: dict[str, dict[int, str]] = defaultdict(dict)
    lines: list[tuple[str, ...]] = []
    originals: list[dict[str, str]] = table.take(pa.array(rows)).to_pylist()
    spoiled: list[tuple[int, Damage, str]] = []
    for position, original, turn, choice in zip(rows, originals, turns, choices, strict=True):
        fitting = [damage for damage in DAMAGES[name] if damage.fits(original)]
        damage = fitting[int(choice * len(fitting))]
        copies[position] += bool(damage.repeats)
        spoiled.append((position, damage, damage.spoil(original, int(turn))))
        column = "" if damage.repeats == "after" else damage.column
        lines.append((name, original[KEYS[name]], column, damage.name, damage.expectation))
    # In a repeated pair, the first row is the one that changes.
    first = np.cumsum(copies) - copies
    for position, damage, text in spoiled:
        edits[damage.column][int(first[position])] = text
    return _edited(table.take(pa.array(np.repeat(np.arange(table.num_rows), copies))), edits), lines


def _edited(table: pa.Table, edits: Mapping[str, Mapping[int, str]]) -> pa.Table:
    """The table with some cells replaced. `edits` maps column -> row -> new text."""
    for column, cells in edits.items():
        values = table[column].to_numpy().astype(object)
        values[list(cells)] = list(cells.values())
        position = table.schema.get_field_index(column)
        table = table.set_column(position, column, pa.array(values, pa.string()))
    return table
