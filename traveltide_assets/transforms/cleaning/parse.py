"""Text to typed values. Unreadable text becomes null; the rules that reject it are in `rules`.

A text is read as what it says, or not at all: engines also read `1_000`, `24:00:00` or a number
that is too small for them, as something else.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection

import ibis
import ibis.expr.types as ir

from traveltide_assets.schema.table import Column

_TRUE = ("true", "t", "1", "1.0")
_FALSE = ("false", "f", "0", "0.0")
# Whole numbers may end in a point and zeros, as programs write them where some values are missing.
_INTEGER = r"^[+-]?[0-9]+(\.0*)?$"
_FRACTION = r"\.0*$"
# A mantissa other than zero.
_NOT_ZERO = r"^[^eE]*[1-9]"
_TIME = (
    r"^[0-9]{4}[-/ ][0-9]{1,2}[-/ ][0-9]{1,2}"
    r"([ T] *([01]?[0-9]|2[0-3]):[0-9]{1,2}(:[0-9]{1,2}(\.[0-9]*)?)?)?$"
)
# The first character that is neither whitespace nor a control character.
_VISIBLE = "!"
_YEARS = (1900, 2199)
# Beyond it, neighbours share a number of 64 bits with a fraction, which many programs use.
LARGEST_EXACT_INTEGER = 2**53 - 1


def month_of(text: ir.StringValue) -> ir.StringValue:
    """The month, `YYYY-MM`, of a timestamp in text form; null if unreadable."""
    return _timestamp(text_of(text)).strftime("%Y-%m")


def with_month(sessions: ibis.Table) -> ibis.Table:
    """Raw sessions with `month`, that of their start; null if that is unreadable."""
    return sessions.mutate(month=month_of(sessions.session_start))


def text_of(value: ir.StringValue) -> ir.StringValue:
    """The text without surrounding whitespace; null if nothing is left."""
    return stripped(value).nullif("")


def is_one_of(text: ir.StringValue, words: Collection[str]) -> ir.BooleanValue:
    """Whether a text is one of these words, which are in lower case."""
    # Comparing lengths is much faster than changing the case of every text. And DuckDB makes a join
    # of a long `isin`, which looks up every text of the table.
    longest = max(map(len, words))
    one = "|".join(map(re.escape, sorted(words)))
    return (text.length() <= longest) & text.lower().re_search(f"^(?:{one})$")


def stripped(value: ir.StringValue) -> ir.StringValue:
    """The text without surrounding whitespace."""
    # Stripping takes ten times as long as looking at the first and the last character.
    padded = (value < _VISIBLE) | (value.reverse() < _VISIBLE)
    return ibis.ifelse(padded, value.strip(), value)


def parse(text: ir.StringValue, column: Column) -> ir.Value:
    """The typed value of a column's text; null if unreadable. Discounts are rounded to two
    decimals.
    """
    if column.name.endswith("_discount_amount"):
        return number(text).round(2)
    return _PARSERS[column.type](text)


def number(text: ir.StringValue) -> ir.FloatingValue:
    """The finite number in a text; null if unreadable, or if too close to zero for a number."""
    number = _matching(text, ~text.contains("_")).try_cast("float64")
    # Engines treat NaN as greater than every number, so this also removes NaN.
    finite = number.abs() <= sys.float_info.max
    vanished = (number == 0) & text.re_search(_NOT_ZERO)
    return ibis.ifelse(finite & ~vanished, number, ibis.null("float64"))


def _integer(text: ir.StringValue) -> ir.IntegerValue:
    whole = _matching(text, text.re_search(_INTEGER))
    whole = ibis.ifelse(whole.contains("."), whole.re_replace(_FRACTION, ""), whole)
    number = whole.try_cast("int64")
    exact = number.between(-LARGEST_EXACT_INTEGER, LARGEST_EXACT_INTEGER)
    return ibis.ifelse(exact, number, ibis.null("int64"))


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
    time = _matching(text, text.re_search(_TIME)).try_cast("timestamp(6)")
    return ibis.ifelse(time.year().between(*_YEARS), time, ibis.null("timestamp(6)"))


def _date(text: ir.StringValue) -> ir.DateValue:
    return _timestamp(text).date()


def _matching(text: ir.StringValue, condition: ir.BooleanValue) -> ir.StringValue:
    return ibis.ifelse(condition, text, ibis.null("string"))


_PARSERS: dict[str, Callable[[ir.StringValue], ir.Value]] = {
    "string": lambda text: text,
    "int64": _integer,
    "float64": number,
    "boolean": _flag,
    "timestamp(6)": _timestamp,
    "date": _date,
}
