"""Months: the partitions of sessions and of everything decided from them.

A month is written `YYYY-MM`. The bounds come from the settings because the data is historical: an
open-ended definition would offer a new, empty month with every month of the calendar.
"""

from __future__ import annotations

import datetime as dt

import dagster as dg

_CRON = "0 0 1 * *"
_FORMAT = "%Y-%m"

# The shape that the assets are declared with; `build_definitions` sets the bounds.
MONTHLY = dg.TimeWindowPartitionsDefinition(start="2000-01", fmt=_FORMAT, cron_schedule=_CRON)

# As of the end of a month, an asset sees that month and everything before it, never after it.
# Dagster walks back month by month, so the thirty years are also a matter of speed.
ALL_UP_TO = dg.TimeWindowPartitionMapping(start_offset=-360, end_offset=0)
PREVIOUS = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)


def bounded(first: str, last: str) -> dg.TimeWindowPartitionsDefinition:
    """Monthly partitions from `first` to `last`, both included."""
    return dg.TimeWindowPartitionsDefinition(
        start=first, end=next_month(last), fmt=_FORMAT, cron_schedule=_CRON
    )


def start_of(month: str) -> dt.datetime:
    """The first instant of a month."""
    return dt.datetime.strptime(month, _FORMAT)


def end_of(month: str) -> dt.datetime:
    """The first instant after a month."""
    return start_of(next_month(month))


def shift(month: str, months: int) -> str:
    """The month that lies `months` after (or, negative, before) another."""
    start = start_of(month)
    index = start.year * 12 + start.month - 1 + months
    return f"{index // 12:04d}-{index % 12 + 1:02d}"


def next_month(month: str) -> str:
    return shift(month, 1)


def previous_month(month: str) -> str:
    return shift(month, -1)
