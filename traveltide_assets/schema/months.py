"""Months, written `YYYY-MM`: their bounds and neighbours."""

from __future__ import annotations

import datetime as dt
import re

FORMAT = "%Y-%m"


def is_month(text: str) -> bool:
    """Whether a text is a month as it is written here."""
    return re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", text) is not None


def start_of(month: str) -> dt.datetime:
    """The first instant of a month."""
    return dt.datetime.strptime(month, FORMAT)


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


def span(first: str, last: str) -> list[str]:
    """The months from one to another, both included; empty if the last lies before the first."""
    months = []
    while first <= last:
        months.append(first)
        first = next_month(first)
    return months
