"""All rules that reject or repair a row, with their reasons. `judge` applies them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import ibis
import ibis.expr.types as ir

from traveltide_assets.schema.sources import SOURCES
from traveltide_assets.transforms.cleaning.parse import number, stripped

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Rule:
    """A named condition on the typed values of a row, with the reason for the rule."""

    name: str
    reason: str
    applies: Callable[[Row], ir.BooleanValue]


def _negative(column: str) -> Rule:
    return Rule(f"negative_{column}", f"{column} is a count or a price", lambda r: r[column] < 0)


def _outside(column: str, name: str, bound: int) -> Rule:
    return Rule(
        f"{name}_out_of_range",
        f"{column} is within ±{bound} degrees",
        lambda r: r[column].abs() > bound,
    )


def _outside_share(r: Row) -> ir.BooleanValue:
    amounts = (r["flight_discount_amount"], r["hotel_discount_amount"])
    return reduce(or_, [~amount.fill_null(0).between(0, 1) for amount in amounts])


REJECTIONS: dict[str, tuple[Rule, ...]] = {
    "users": (
        Rule(
            "birthdate_in_future",
            "nobody signs up before being born",
            lambda r: r["birthdate"] > r["sign_up_date"],
        ),
        _outside("home_airport_lat", "latitude", 90),
        _outside("home_airport_lon", "longitude", 180),
    ),
    "sessions": (
        _negative("page_clicks"),
        Rule(
            "ends_before_start",
            "a session cannot end before it starts",
            lambda r: r["session_end"] < r["session_start"],
        ),
        Rule("discount_out_of_range", "a discount is a share of the price", _outside_share),
        Rule(
            "booking_without_trip",
            "a booking or a cancellation names its trip",
            lambda r: (
                (r["flight_booked"] | r["hotel_booked"] | r["cancellation"]) & r["trip_id"].isnull()
            ),
        ),
        Rule(
            "unknown_user",
            "a session belongs to a user in silver",
            lambda r: ~r["user_is_known"],
        ),
        Rule(
            "duplicate_of_earlier_month",
            "session ids are unique; the first month that uses an id keeps it",
            lambda r: r["id_is_taken"],
        ),
    ),
    "flights": (
        _negative("seats"),
        _negative("checked_bags"),
        _negative("base_fare_usd"),
        Rule(
            "return_before_departure",
            "nobody returns before leaving",
            lambda r: r["return_time"] < r["departure_time"],
        ),
        _outside("destination_airport_lat", "latitude", 90),
        _outside("destination_airport_lon", "longitude", 180),
    ),
    "hotels": (_negative("rooms"), _negative("hotel_per_room_usd")),
}
DUPLICATES = {
    "exact_duplicate": "a copy of a row adds nothing",
    "duplicate_key": "one row per key: the last one in file order is kept",
}


def calendar_nights(r: Row) -> ir.IntegerValue:
    nights = r["check_out_time"].date().delta(r["check_in_time"].date(), unit="day")
    return ibis.greatest(nights, 1)


def brand_and_city(r: Row) -> tuple[ir.StringValue, ir.StringValue]:
    # Brands and cities may contain a hyphen (winston-salem); " - " with spaces separates the two.
    name = r["hotel_name"]
    before, after = (stripped(name.re_extract(r"(?s)\A(.*) - (.*)\z", part)) for part in (1, 2))
    # A name without a separator does not match, and `before` is empty.
    brand = before.nullif("").fill_null(name)
    return brand, after.nullif("")


def _blank_boolean(name: str) -> Callable[[Row], ir.BooleanValue]:
    columns = [column.name for column in SOURCES[name] if column.type == "boolean"]
    return lambda r: reduce(or_, [r["text"][column].isnull() for column in columns])


def _padded(name: str) -> Callable[[Row], ir.BooleanValue]:
    # Whitespace inside a hotel's name, after the brand, has its own rule: brand_trimmed.
    columns = [column.name for column in SOURCES[name]]
    return lambda r: reduce(
        or_,
        [(r["text"][c].fill_null("") != r["raw"][c]).fill_null(False) for c in columns],
    )


def _unrounded(r: Row) -> ir.BooleanValue:
    def differs(column: str) -> ir.BooleanValue:
        return (number(r["text"][column]) != r[column]).fill_null(False)

    return differs("flight_discount_amount") | differs("hotel_discount_amount")


def _common_repairs(name: str) -> tuple[Rule, ...]:
    rules = [Rule("text_trimmed", "whitespace around a value has no meaning", _padded(name))]
    if any(column.type == "boolean" for column in SOURCES[name]):
        rules.append(
            Rule(
                "blank_boolean",
                "in exports that write 1 or leave the cell empty, empty means false",
                _blank_boolean(name),
            )
        )
    return tuple(rules)


REPAIRS: dict[str, tuple[Rule, ...]] = {
    "users": _common_repairs("users"),
    "sessions": (
        *_common_repairs("sessions"),
        Rule(
            "discount_rounded",
            "discounts have two decimals; 0.3999999999999999 is 0.4",
            _unrounded,
        ),
        Rule(
            "cancellation_blanked",
            "a cancellation's flags, clicks and duration are artefacts of the export",
            lambda r: r["cancellation"],
        ),
    ),
    "flights": _common_repairs("flights"),
    "hotels": (
        *_common_repairs("hotels"),
        Rule(
            "nights_recomputed",
            "stored nights are one too few for most stays; the calendar dates are right",
            lambda r: r["nights"] != calendar_nights(r),
        ),
        Rule(
            "out_before_in_flagged",
            "a long flight on a short trip can put check-out before arrival; it counts one night",
            lambda r: r["check_out_time"] < r["check_in_time"],
        ),
        Rule(
            "brand_trimmed",
            "eight brand names end with a space",
            lambda r: r["hotel_name"].re_search(r"\s\s-\s|^.*\s -").fill_null(False),
        ),
    ),
}


def rule_reasons(name: str) -> dict[str, str]:
    """The reason of every rejecting rule of a table, by rule name, in the order of validation."""
    required = [column.name for column in SOURCES[name] if column.required]
    typed = [column.name for column in SOURCES[name] if column.type != "string"]
    return {
        **{
            f"missing_{c}": "a required value is missing" for c in required if not _boolean(name, c)
        },
        **{f"unreadable_{c}": "the text cannot be read as the column's type" for c in typed},
        **{rule.name: rule.reason for rule in REJECTIONS[name]},
        **DUPLICATES,
    }


def _boolean(name: str, column: str) -> bool:
    return any(c.name == column and c.type == "boolean" for c in SOURCES[name])
