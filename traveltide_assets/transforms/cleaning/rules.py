"""The rules that reject or repair a row, with their reasons. `judge` applies them.

Those for single values, alike for all columns of a type, are in `values`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import or_

import ibis
import ibis.expr.types as ir

from traveltide_assets.schema.sources import ATTRIBUTES, EVENTS, RAW
from traveltide_assets.transforms.cleaning.parse import number, stripped
from traveltide_assets.transforms.cleaning.values import Row, Rule, value_rules

_DAYS_OF_A_SESSION = 31
_DAYS_OF_A_TRIP = 1_830
_OLDEST_DAYS = round(115 * 365.25)
UNKNOWN = "unknown"
UNKNOWN_USER = "unknown_user"


def _negative(column: str) -> Rule:
    return Rule(f"negative_{column}", f"{column} is a count or a price", lambda r: r[column] < 0)


def _implausible(column: str, largest: int) -> Rule:
    return Rule(
        f"implausible_{column}",
        f"{column} is {largest:,} at most",
        lambda r: r[column].abs() > largest,
    )


def _too_long(name: str, what: str, start: str, end: str, days: int) -> Rule:
    return Rule(
        name,
        f"{what} lasts {days:,} days at most",
        lambda r: r[end].delta(r[start], unit="day").abs() > days,
    )


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
        _implausible("page_clicks", 1_000_000),
        Rule(
            "ends_before_start",
            "a session cannot end before it starts",
            lambda r: r["session_end"] < r["session_start"],
        ),
        _too_long(
            "session_too_long", "a session", "session_start", "session_end", _DAYS_OF_A_SESSION
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
            UNKNOWN_USER,
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
        _implausible("seats", 1_000),
        _negative("checked_bags"),
        _implausible("checked_bags", 10_000),
        _negative("base_fare_usd"),
        _implausible("base_fare_usd", 10_000_000),
        Rule(
            "return_before_departure",
            "nobody returns before leaving",
            lambda r: r["return_time"] < r["departure_time"],
        ),
        _too_long("trip_too_long", "a trip", "departure_time", "return_time", _DAYS_OF_A_TRIP),
        _outside("destination_airport_lat", "latitude", 90),
        _outside("destination_airport_lon", "longitude", 180),
    ),
    "hotels": (
        _implausible("nights", 10_000),
        _negative("rooms"),
        _implausible("rooms", 1_000),
        _negative("hotel_per_room_usd"),
        _implausible("hotel_per_room_usd", 1_000_000),
        _too_long("stay_too_long", "a stay", "check_in_time", "check_out_time", _DAYS_OF_A_TRIP),
    ),
    "responses": (
        Rule(
            "unknown_event",
            f"an event is one of {', '.join(EVENTS)}",
            lambda r: ~r["event"].isin(EVENTS),
        ),
        _negative("value_usd"),
        _implausible("value_usd", 10_000_000),
        Rule(
            UNKNOWN_USER,
            "a response belongs to a user in silver",
            lambda r: ~r["user_is_known"],
        ),
    ),
}
DUPLICATES = {
    "exact_duplicate": "a copy of a row adds nothing",
    "duplicate_key": "one row per key: that of the file that was changed last is kept, and of one "
    "file the last; files of one age are in the order of their names",
}


def too_old(r: Row) -> ir.BooleanValue:
    return r["sign_up_date"].delta(r["birthdate"], unit="day") > _OLDEST_DAYS


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
    columns = [column.name for column in RAW[name] if column.type == "boolean"]
    return lambda r: reduce(or_, [r["text"][column].isnull() for column in columns])


def _null_words(r: Row) -> ir.BooleanValue:
    return reduce(or_, [word.fill_null(False) for word in r["null_word"].values()])


def _padded(name: str) -> Callable[[Row], ir.BooleanValue]:
    # Whitespace inside a hotel's name, after the brand, has its own rule: brand_trimmed.
    def differs(r: Row, column: str) -> ir.BooleanValue:
        found = (r["text"][column].fill_null("") != r["raw"][column]).fill_null(False)
        word = r["null_word"].get(column)
        return found if word is None else found & ~word.fill_null(False)

    columns = [column.name for column in RAW[name]]
    return lambda r: reduce(or_, [differs(r, column) for column in columns])


def _unrounded(r: Row) -> ir.BooleanValue:
    def differs(column: str) -> ir.BooleanValue:
        return (number(r["text"][column]) != r[column]).fill_null(False)

    return differs("flight_discount_amount") | differs("hotel_discount_amount")


def _common_repairs(name: str) -> tuple[Rule, ...]:
    rules = [
        Rule("text_trimmed", "whitespace around a value has no meaning", _padded(name)),
        Rule(
            "null_word_blanked",
            "NaN in a number, NULL in what a user need not say and the words of "
            "`cleaning.null_words` say that nothing is known",
            _null_words,
        ),
    ]
    if any(column.type == "boolean" for column in RAW[name]):
        rules.append(
            Rule(
                "blank_boolean",
                "in exports that write 1 or leave the cell empty, empty means false",
                _blank_boolean(name),
            )
        )
    return tuple(rules)


REPAIRS: dict[str, tuple[Rule, ...]] = {
    "users": (
        *_common_repairs("users"),
        Rule(
            "unknown_attribute",
            "no customer is lost for what the source does not say: a missing text is `unknown`",
            lambda r: reduce(
                or_,
                [r["text"][c].isnull() for c in sorted(ATTRIBUTES) if not _boolean("users", c)],
            ),
        ),
        Rule(
            "birthdate_blanked",
            "nobody signs up at over 115 years; such dates, as 1900-01-01, stand for unknown",
            too_old,
        ),
    ),
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
    "responses": _common_repairs("responses"),
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
    rules = [*value_rules(name), *REJECTIONS[name]]
    return {**{rule.name: rule.reason for rule in rules}, **DUPLICATES}


def _boolean(name: str, column: str) -> bool:
    return any(c.name == column and c.type == "boolean" for c in RAW[name])
