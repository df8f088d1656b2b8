"""Why the values of a column are refused: the likely cause, and what mends it.

Nothing is decided or repaired here. The words are for the person who exports the data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from traveltide_assets.schema.sources import RAW, key_of
from traveltide_assets.schema.table import Column
from traveltide_assets.transforms.cleaning.rules import rule_reasons
from traveltide_assets.transforms.cleaning.values import VALUE_REASONS

_NUMBERS = ("int64", "float64")
_TIMES = ("timestamp(6)", "date")
_EVERY = (*_NUMBERS, *_TIMES, "boolean", "string")
_SHOWN, _LONGEST = 3, 40
_OF_VALUES = tuple(f"{name}_" for name in VALUE_REASONS)
_ISO = "write times as 2023-07-31 18:30:00 and dates as 2023-07-31"
_MONTHS = "jan|feb|mar|mär|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez"
# Rules whose name does not contain the column that they look at.
_LOOKS_AT = {
    "birthdate_in_future": "birthdate",
    "ends_before_start": "session_end",
    "session_too_long": "session_end",
    "trip_too_long": "return_time",
    "stay_too_long": "check_out_time",
    "booking_without_trip": "trip_id",
    "unknown_user": "user_id",
    "duplicate_of_earlier_month": "session_id",
    "return_before_departure": "return_time",
}


@dataclass(frozen=True)
class Diagnosis:
    """The likely cause of unreadable values, in words that follow "likely", and the remedy."""

    cause: str
    remedy: str


@dataclass(frozen=True)
class _Cause:
    types: tuple[str, ...]
    matches: Callable[[str], object]
    diagnosis: Diagnosis


def _cause(types: tuple[str, ...], pattern: str, cause: str, remedy: str) -> _Cause:
    return _Cause(types, re.compile(pattern, re.IGNORECASE).search, Diagnosis(cause, remedy))


_DECIMAL_COMMA = _cause(
    _NUMBERS,
    r"^[+-]?\d{1,3}([.\s'\u00a0\u202f]\d{3})*,(\d{1,2}|\d{4,})$|^[+-]?\d{4,},\d+$"
    r"|^[+-]?0,\d+$",
    "a decimal comma",
    "export numbers with a decimal point, such as 1234.5",
)
_THOUSANDS = _cause(
    _NUMBERS,
    r"^[+-]?\d{1,3}([,.\s'_\u00a0\u202f]\d{3})+(\.\d+)?$",
    "separators between thousands",
    "export numbers without them, such as 1234.5",
)
# In columns of such small numbers, 29,607 is no thousand.
_BELOW_THOUSAND = ("_lat", "_lon", "_amount")

# The first one that most values match is named.
_CAUSES = (
    _cause(
        _EVERY,
        r"^(null|\(null\)|none|nan|n/?a|#n/?a|nil|undefined|unknown|missing|\\n|-+|\?+|\.)$",
        "a word that stands for an empty value",
        "leave such cells empty in the export, or name the word in cleaning.null_words "
        "(TRAVELTIDE_CLEANING__NULL_WORDS, a JSON list)",
    ),
    _cause(
        (*_NUMBERS, "string"),
        r"^[+-]?\d+([.,]\d+)?e[+-]?\d+$",
        "scientific notation, in which a spreadsheet shows long numbers and loses their last "
        "digits",
        "export the column again from its origin, as plain digits",
    ),
    _cause(
        _NUMBERS,
        r"[$€£¥₹]|\b(usd|eur|gbp|cad|dollars?|euros?)\b",
        "signs of a currency",
        "export the number alone, in US dollars",
    ),
    _cause(
        _NUMBERS,
        r"^[+-]?[\d.,]+\s*%$",
        "percent signs",
        "export a share: 0.15 instead of 15%",
    ),
    _DECIMAL_COMMA,
    _THOUSANDS,
    _cause(
        _NUMBERS,
        r"^[+-]?\d+([.,]\d+)?\s*[a-z]{3,}$",
        "a unit behind the number",
        "export the number alone",
    ),
    _cause(
        ("boolean",),
        r"^(y|n|yes|no|ja|nein|j|oui|non|si|sí|on|off|x|wahr|falsch|vrai|faux|ok)$",
        "yes and no in other words",
        "write true and false, t and f, or 1 and 0",
    ),
    _cause(
        _TIMES,
        r"(\d:\d\d|t\d{4}).*?(z|utc|gmt|[a-z]{3,4}|[+-]\d\d(:?\d\d)?)$"
        r"|^\d{4}-\d\d-\d\d\s*(z|utc|gmt|[+-]\d\d(:?\d\d)?)$",
        "a time zone",
        f"export local time without a zone; {_ISO}",
    ),
    _cause(
        _TIMES,
        r"\d\s*[ap]\.?m\.?$",
        "a clock of twelve hours",
        _ISO,
    ),
    _cause(
        _TIMES,
        r"^(1[3-9]|2\d|3[01])[/.-]\d{1,2}[/.-]\d{2,4}\b|^\d{1,2}\.\d{1,2}\.\d{2,4}\b",
        "dates that begin with the day",
        _ISO,
    ),
    _cause(
        _TIMES,
        r"^\d{1,2}[/-]\d{1,2}[/-]\d{2,4}\b",
        "US dates (month/day/year)",
        _ISO,
    ),
    _cause(_TIMES, rf"\b({_MONTHS})", "names of months", _ISO),
    _cause(_TIMES, r"^\d{4}/\d", "slashes in dates", _ISO),
    _cause(
        _TIMES,
        r"^\d{9,19}(\.\d+)?$",
        "seconds or milliseconds since 1970",
        _ISO,
    ),
    _cause(_TIMES, r"^\d{4,5}([.,]\d+)?$", "day numbers of a spreadsheet", _ISO),
)
# Values that can be read, in a column of shares.
_PERCENT = _cause(
    ("float64",),
    r"^([2-9]|[1-9]\d|100)([.,]0+)?$",
    "percent instead of shares",
    "export a share: 0.15 instead of 15",
)
_DISCOUNT = "discount_out_of_range"
_EXPECTED = {
    "int64": "a whole number that a double holds exactly",
    "float64": "a number such as 1234.5",
    "boolean": "true or false",
    "timestamp(6)": "a time such as 2023-07-31 18:30:00",
    "date": "a date such as 2023-07-31",
    "string": "text",
}


def diagnose(column: Column, values: Sequence[str]) -> Diagnosis:
    """The cause that most of the refused values have in common; a plain one if there is none."""
    filled = [value.strip() for value in values if value.strip()]
    if not filled:
        return Diagnosis("an empty column", "export the column with its values")
    for cause in _CAUSES:
        if column.type in cause.types:
            matching = sum(1 for value in filled if cause.matches(value))
            if 2 * matching > len(filled):
                small = cause is _THOUSANDS and column.name.endswith(_BELOW_THOUSAND)
                return _DECIMAL_COMMA.diagnosis if small else cause.diagnosis
    return Diagnosis(
        f"another format: {_EXPECTED[column.type]} is expected",
        "export the column in this format",
    )


def in_a_format(column: Column, rule: str, values: Mapping[str, int]) -> dict[str, int]:
    """The refused values of a column that a known format explains, of all with their rows.

    Empty if the rule is not about the format of values. Random damage has no known format.
    """
    if rule != _DISCOUNT and not rule.startswith(_OF_VALUES):
        return {}
    causes = [_PERCENT] if rule == _DISCOUNT else [c for c in _CAUSES if column.type in c.types]
    return {
        value: rows
        for value, rows in values.items()
        if any(cause.matches(value.strip()) for cause in causes)
    }


def columns_of(table: str, rule: str) -> list[Column]:
    """The columns of a source's table that a rejecting rule looks at."""
    if rule == _DISCOUNT:
        return [column for column in RAW[table] if column.name.endswith("_discount_amount")]
    column = column_of(table, rule)
    return [] if column is None else [column]


def column_of(table: str, rule: str) -> Column | None:
    """The column of a source's table that a rejecting rule looks at; None if it is not one."""
    columns = {column.name: column for column in RAW[table]}
    known = {
        **_LOOKS_AT,
        "exact_duplicate": key_of(table)[0],
        "duplicate_key": key_of(table)[0],
        "latitude_out_of_range": next((name for name in columns if name.endswith("_lat")), ""),
        "longitude_out_of_range": next((name for name in columns if name.endswith("_lon")), ""),
        _DISCOUNT: "flight_discount_amount",
    }
    named = [name for name in columns if name in rule]
    return columns.get(known.get(rule) or max(named, key=len, default=""))


def explain(table: str, rule: str, values: Sequence[str]) -> str:
    """Why rows are refused by a rule: column, rule, three values, likely cause and remedy.

    `values` are the texts of the rule's column in refused rows.
    """
    return explain_column(column_of(table, rule), table, rule, values)


def explain_column(column: Column | None, table: str, rule: str, values: Sequence[str]) -> str:
    """The same for one of the columns that the rule looks at."""
    reason = rule_reasons(table).get(rule, "")
    if column is None:
        return f"{rule}: {reason}"
    shown = ", ".join(_quoted(value) for value in dict.fromkeys(values[:_SHOWN]))
    said = (
        f"{column.name} ({rule}) has values such as {shown}" if shown else f"{column.name} {rule}"
    )
    if rule == "unknown_user":
        return f"{said}. {reason}: these users are missing or refused themselves"
    in_percent = rule == _DISCOUNT and in_a_format(column, rule, dict.fromkeys(values, 1))
    if in_percent and 2 * len(in_percent) > len(set(values)):
        found = _PERCENT.diagnosis
    elif not rule.startswith(_OF_VALUES):
        return f"{said}; {reason}"
    else:
        found = diagnose(column, values)
    return f"{said}. Likely {found.cause}: {found.remedy}"


def _quoted(value: str) -> str:
    short = value if len(value) <= _LONGEST else f"{value[: _LONGEST - 1]}…"
    return f"'{short}'" if value else "an empty cell"
