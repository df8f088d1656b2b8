"""Copies of customers, sessions and trips, told apart by their ids.

To plan the catalogue takes longer than to run it over thousands of customers. So what is wanted
several times, as of several months or from several parts of the sessions, is planned once, over one
copy of each table per time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

from traveltide_assets.schema.months import end_of

if TYPE_CHECKING:
    import ibis
    import ibis.expr.types as ir

COPY = "copy"
Month = str | Sequence[str]
"""A month, or the month of each copy."""
# More copies than any history has months.
_BITS = 10
MOST = 2**_BITS


def each(table: ibis.Table, numbers: range) -> ibis.Table:
    """The `numbered` copies of a table, one after the other."""
    import ibis

    return numbered(table.mutate({COPY: ibis.range(numbers.start, numbers.stop).unnest()}))


def numbered(table: ibis.Table) -> ibis.Table:
    """The table with the number of the copy (column `copy`, below `MOST`) in its ids."""
    ids: dict[str, ir.Value] = {}
    if "user_id" in table.columns:
        ids["user_id"] = table.user_id * MOST + table[COPY]
    if "trip_id" in table.columns:
        ids["trip_id"] = table.trip_id + "/" + table[COPY].cast("string")
    return table.mutate(ids).drop(COPY)


def number(user_id: ir.IntegerValue) -> ir.IntegerValue:
    """The number of the copy that an id is of."""
    return user_id & (MOST - 1)


def original(user_id: ir.IntegerValue) -> ir.IntegerValue:
    """The id that an id is a copy of."""
    return user_id >> _BITS


def of_each(table: ibis.Table, values: Sequence[ir.Value]) -> ir.Value:
    """The value of the copy that a row belongs to."""
    import ibis

    copy = number(table.user_id)
    return ibis.cases(*((copy == place, value) for place, value in enumerate(values)))


def end(table: ibis.Table, month: Month) -> ir.TimestampValue:
    """The first instant after the month, or after the month of the row's copy."""
    import ibis

    if isinstance(month, str):
        return ibis.timestamp(end_of(month).isoformat())
    return of_each(table, [end(table, each) for each in month])


def last_day(table: ibis.Table, month: Month) -> ir.DateValue:
    """The last day of the month, or of the month of the row's copy."""
    import ibis

    if isinstance(month, str):
        return ibis.date((end_of(month) - dt.timedelta(days=1)).date().isoformat())
    return of_each(table, [last_day(table, each) for each in month])
