"""Every rule that rejects or repairs a row, with its reason. How they are applied is in `judge`."""

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
    """A named condition on the typed values of a row, with the reason it exists."""

    name: str
    reason: str
    applies: Callable[[Row], ir.BooleanValue]


def _negative(column: str) -> Rule:
    return Rule(
        f"negative_{column}", f"{column} counts or prices something", lambda r: r[column] < 0
    )


def _outside(column: str, name: str, bound: int) -> Rule:
    return Rule(
        f"{name}_out_of_range",
        f"{column} lies within ±{bound} degrees",
        lambda r: r[column].abs() > bound,
    )


def _outside_share(r: Row) -> ir.BooleanValue:
    amounts = (r["flight_discount_amount"], r["hotel_discount_amount"])
    return reduce(or_, [~amount.fill_null(0).between(0, 1) for amount in amounts])


REFUSALS: dict[str, tuple[Rule, ...]] = {
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
            "a session has a length of zero or more",
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
            "a session belongs to a user that silver knows",
            lambda r: ~r["user_is_known"],
        ),
        Rule(
            "duplicate_of_earlier_month",
            "a session id is used once; the month that used it first keeps it",
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
    "exact_duplicate": "the same row again says nothing new",
    "duplicate_key": "one row per key: the last in file order stays",
}


def calendar_nights(r: Row) -> ir.IntegerValue:
    nights = r["check_out_time"].date().delta(r["check_in_time"].date(), unit="day")
    return ibis.greatest(nights, 1)


def brand_and_city(r: Row) -> tuple[ir.StringValue, ir.StringValue]:
    # The brand may hold a hyphen and the city too (winston-salem); blank-hyphen-blank splits them.
    name = r["hotel_name"]
    before, after = (stripped(name.re_extract(r"(?s)\A(.*) - (.*)\z", part)) for part in (1, 2))
    # A name that does not split has no match, and no text before it.
    brand = before.nullif("").fill_null(name)
    return brand, after.nullif("")


def _blank_boolean(name: str) -> Callable[[Row], ir.BooleanValue]:
    columns = [column.name for column in SOURCES[name] if column.type == "boolean"]
    return lambda r: reduce(or_, [r["text"][column].isnull() for column in columns])


def _padded(name: str) -> Callable[[Row], ir.BooleanValue]:
    # The blank inside a hotel's name is the brand's own and has a rule of its own.
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
    rules = [Rule("text_trimmed", "blanks around a value mean nothing", _padded(name))]
    if any(column.type == "boolean" for column in SOURCES[name]):
        rules.append(
            Rule(
                "blank_boolean",
                "exports that write 1 and nothing mean false by nothing",
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
            "discounts are whole hundredths; 0.3999999999999999 is 0.4",
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
            "stored nights are one short in most stays; the calendar dates are right",
            lambda r: r["nights"] != calendar_nights(r),
        ),
        Rule(
            "out_before_in_flagged",
            "a short trip with a long flight can check out before it arrives; it counts one night",
            lambda r: r["check_out_time"] < r["check_in_time"],
        ),
        Rule(
            "brand_trimmed",
            "eight brands carry a trailing blank",
            lambda r: r["hotel_name"].re_search(r"\s\s-\s|^.*\s -").fill_null(False),
        ),
    ),
}


def rule_reasons(name: str) -> dict[str, str]:
    """Every rule of a table by name, in the order of judgement, with its reason."""
    required = [column.name for column in SOURCES[name] if column.required]
    typed = [column.name for column in SOURCES[name] if column.type != "string"]
    return {
        **{f"missing_{c}": "a required value is empty" for c in required if not _boolean(name, c)},
        **{f"unreadable_{c}": "the text is not of the column's type" for c in typed},
        **{rule.name: rule.reason for rule in REFUSALS[name]},
        **DUPLICATES,
    }


def _boolean(name: str, column: str) -> bool:
    return any(c.name == column and c.type == "boolean" for c in SOURCES[name])
