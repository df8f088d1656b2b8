"""Text to typed values. Unreadable text becomes null; the rules that reject it are in `rules`."""

from __future__ import annotations

import sys
from collections.abc import Callable

import ibis
import ibis.expr.types as ir

from traveltide_assets.schema.table import Column

_TRUE = ("true", "t", "1", "1.0")
_FALSE = ("false", "f", "0", "0.0")
# A four-digit year; after a date, only characters of a time.
_PLAIN_TIME = r"(?s)^\d{4}(.{0,6}|.{6}[0-9 T:.]+)$"
# The first character that is neither whitespace nor a control character.
_VISIBLE = "!"
_YEARS = (1900, 2199)
_LARGEST_EXACT_INTEGER = 2**53


def month_of(text: ir.StringValue) -> ir.StringValue:
    """The month, `YYYY-MM`, of a timestamp in text form; null if unreadable."""
    return _timestamp(text_of(text)).strftime("%Y-%m")


def text_of(value: ir.StringValue) -> ir.StringValue:
    """The text without surrounding whitespace; null if nothing is left."""
    return stripped(value).nullif("")


def stripped(value: ir.StringValue) -> ir.StringValue:
    """The text without surrounding whitespace."""
    # Stripping takes ten times as long as looking at the first and the last character.
    padded = (value < _VISIBLE) | (value.right(1) < _VISIBLE)
    return ibis.ifelse(padded, value.strip(), value)


def parse(text: ir.StringValue, column: Column) -> ir.Value:
    """The typed value of a column's text; null if unreadable. Discounts are rounded to two
    decimals.
    """
    if column.name.endswith("_discount_amount"):
        return number(text).round(2)
    return _PARSERS[column.type](text)


def number(text: ir.StringValue) -> ir.FloatingValue:
    """The finite number in a text; null if unreadable."""
    number = text.try_cast("float64")
    # Engines treat NaN as greater than every number, so this also removes NaN.
    return ibis.ifelse(number.abs() <= sys.float_info.max, number, ibis.null("float64"))


def _integer(text: ir.StringValue) -> ir.IntegerValue:
    number = text.try_cast("float64")
    # `number.floor()` is an integer in Ibis and fails on numbers that are too large for one.
    whole = (number % 1 == 0) & (number.abs() <= _LARGEST_EXACT_INTEGER)
    return ibis.ifelse(whole, number, ibis.null("float64")).cast("int64")


def _flag(text: ir.StringValue) -> ir.BooleanValue:
    word = text.lower()
    return ibis.cases(
        (text.isnull(), False),
        (word.isin(_TRUE), True),
        (word.isin(_FALSE), False),
        else_=ibis.null("boolean"),
    )


def _timestamp(text: ir.StringValue) -> ir.TimestampValue:
    # A time zone would be shifted or dropped silently, and engines accept words like 'infinity'.
    time = ibis.ifelse(text.re_search(_PLAIN_TIME), text, ibis.null("string"))
    time = time.try_cast("timestamp(6)")
    return ibis.ifelse(time.year().between(*_YEARS), time, ibis.null("timestamp(6)"))


def _date(text: ir.StringValue) -> ir.DateValue:
    return _timestamp(text).date()


_PARSERS: dict[str, Callable[[ir.StringValue], ir.Value]] = {
    "string": lambda text: text,
    "int64": _integer,
    "float64": number,
    "boolean": _flag,
    "timestamp(6)": _timestamp,
    "date": _date,
}
