"""Arithmetic on months written as `YYYY-MM`: bounds, neighbours and ranges."""

from __future__ import annotations

import datetime as dt
import re

FORMAT = "%Y-%m"
SECONDS_PER_DAY = 86_400


def is_month(text: str) -> bool:
    """Whether a text is a valid month, `YYYY-MM`."""
    return re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", text) is not None


def start_of(month: str) -> dt.datetime:
    """The first instant of a month."""
    return dt.datetime.strptime(month, FORMAT)


def end_of(month: str) -> dt.datetime:
    """The first instant after a month."""
    return start_of(next_month(month))


def shift(month: str, months: int) -> str:
    """The month that lies `months` after the given one, or before it if negative."""
    start = start_of(month)
    index = start.year * 12 + start.month - 1 + months
    return f"{index // 12:04d}-{index % 12 + 1:02d}"


def next_month(month: str) -> str:
    return shift(month, 1)


def previous_month(month: str) -> str:
    return shift(month, -1)


def span(first: str, last: str) -> list[str]:
    """All months from `first` to `last`, both inclusive; empty if `last` is before `first`."""
    months = []
    while first <= last:
        months.append(first)
        first = next_month(first)
    return months
