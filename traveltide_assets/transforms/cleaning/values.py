"""Rules for single values, alike for columns of a kind: missing, a word for null, unreadable."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import ibis.expr.types as ir

from traveltide_assets.schema.sources import ATTRIBUTES, IDS, RAW
from traveltide_assets.schema.table import Column
from traveltide_assets.transforms.cleaning.parse import LARGEST_EXACT_INTEGER, is_one_of

Row = Mapping[str, Any]

# Words that programs write for a missing value. Of the longer list, some are also names: Nan is a
# town in Thailand and NAN the airport of Nadi.
_NULL = {"null", "\\n", "n/a", "#n/a", "(null)", "<null>", "undefined"}
_NULL_WHERE_NO_NAME = {*_NULL, "na", "none", "nil", "nan", "nat", "-", "--", "?", "."}
_NUMERIC = r"^[+-]?[0-9.,]+([eE][+-]?[0-9]+)?$"
# Without the sign, digits and an `e` may well be the id itself.
_SCIENTIFIC = r"^[+-]?[0-9]+([.,][0-9]+)?[eE]\+[0-9]+$"


@dataclass(frozen=True)
class Rule:
    """A named condition on the typed values of a row, with the reason for the rule."""

    name: str
    reason: str
    applies: Callable[[Row], ir.BooleanValue]


def words_for_null(column: Column, configured: Collection[str]) -> set[str]:
    """The words that mean null in a column, in lower case.

    No customer is to be lost for what users need not say, so in these columns all known words do.
    """
    known = _null_words(column) if column.name in ATTRIBUTES else set()
    nan = {"nan"} if column.type in ("int64", "float64") else set()
    return {word.strip().lower() for word in configured} | known | nan


def _null_words(column: Column) -> set[str]:
    is_name = column.type == "string" and column.name not in IDS
    return _NULL if is_name else _NULL_WHERE_NO_NAME


def _blank(column: str) -> Callable[[Row], ir.BooleanValue]:
    return lambda r: r["text"][column].isnull()


def _unread(r: Row, column: Column) -> ir.BooleanValue:
    return r[column.name].isnull() & r["text"][column.name].notnull()


def _null_word(column: Column) -> Callable[[Row], ir.BooleanValue]:
    if column.type != "string":
        return lambda r: _unread(r, column) & is_one_of(r["text"][column.name], _null_words(column))
    return lambda r: is_one_of(r["text"][column.name], _null_words(column))


def _inexact(column: Column) -> Callable[[Row], ir.BooleanValue]:
    if column.type != "string":
        return lambda r: _unread(r, column) & r["text"][column.name].re_search(_NUMERIC)
    return lambda r: (
        r["text"][column.name].contains("+") & r["text"][column.name].re_search(_SCIENTIFIC)
    )


def _unreadable(column: Column) -> Callable[[Row], ir.BooleanValue]:
    return lambda r: _unread(r, column)


# Rules for the values of columns: which columns have one, and the rule for each of them.
_VALUE_RULES: tuple[
    tuple[str, str, Callable[[Column], bool], Callable[[Column], Callable[[Row], ir.BooleanValue]]],
    ...,
] = (
    (
        "missing",
        "a required value is empty",
        lambda c: c.required and c.type != "boolean",
        lambda c: _blank(c.name),
    ),
    (
        "null_word",
        "a word such as NULL or N/A is no value; `cleaning.null_words` makes it a missing one",
        lambda c: c.name not in ATTRIBUTES,
        _null_word,
    ),
    (
        "inexact",
        "an id with an exponent or a fraction, or beyond "
        f"{LARGEST_EXACT_INTEGER:,}, has lost digits; export ids as text",
        lambda c: c.name in IDS,
        _inexact,
    ),
    (
        "unreadable",
        "the text is not of the column's type",
        lambda c: c.type != "string",
        _unreadable,
    ),
)
VALUE_REASONS = {name: reason for name, reason, _, _ in _VALUE_RULES}


def value_rules(name: str) -> list[Rule]:
    """The rules for single values of a table, in the order in which they are applied."""
    return [
        Rule(f"{rule}_{column.name}", reason, condition(column))
        for rule, reason, has, condition in _VALUE_RULES
        for column in RAW[name]
        if has(column)
    ]
