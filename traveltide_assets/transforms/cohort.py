"""The cohort: the active customers as of the end of a month, and their rows."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from traveltide_assets.schema.months import end_of, shift, start_of
from traveltide_assets.transforms.config import Config

if TYPE_CHECKING:
    import ibis
    import ibis.expr.types as ir


def window(rule: Config, month: str) -> tuple[dt.datetime | None, dt.datetime]:
    """Start of the sessions that count (None: unbounded) and their end, exclusive."""
    starts = []
    if rule.active_since is not None:
        starts.append(dt.datetime.combine(rule.active_since, dt.time()))
    if rule.window_months is not None:
        starts.append(start_of(shift(month, 1 - rule.window_months)))
    return max(starts, default=None), end_of(month)


def months_needed(rule: Config, month: str, first: str) -> list[str]:
    """The months that must be ingested for the rule, from `first` on at the earliest."""
    start, _ = window(rule, month)
    current = max(first, start.strftime("%Y-%m")) if start else first
    months = []
    while current <= month:
        months.append(current)
        current = shift(current, 1)
    return months


def describe(rule: Config, month: str) -> str:
    """The cohort rule in words, for every output that depends on it."""
    start, end = window(rule, month)
    since = f"from {start:%Y-%m-%d} " if start else ""
    last_day = end - dt.timedelta(days=1)
    return f"at least {rule.min_sessions} sessions {since}to {last_day:%Y-%m-%d}"


def in_window(sessions: ibis.Table, rule: Config, month: str) -> ibis.Table:
    """One row per session that counts for the rule as of the end of a month."""
    start, end = window(rule, month)
    counted = sessions.filter(sessions.session_start < end)
    return counted if start is None else counted.filter(counted.session_start >= start)


def active(sessions: ibis.Table, rule: Config, month: str) -> ibis.Table:
    """One row per user with enough sessions for the rule."""
    counted = in_window(sessions, rule, month)
    return counted.group_by("user_id").having(counted.count() >= rule.min_sessions).agg()


def cohort_users(users: ibis.Table, sessions: ibis.Table, rule: Config, month: str) -> ibis.Table:
    """One row per customer of the cohort."""
    return users.semi_join(active(sessions, rule, month), "user_id")


def cohort_sessions(
    sessions: ibis.Table, cohort: ibis.Table, rule: Config, month: str
) -> ibis.Table:
    """One row per session of the cohort in the window."""
    return in_window(sessions, rule, month).semi_join(cohort, "user_id")


def named_by(table: ibis.Table, sessions: ibis.Table) -> ibis.Table:
    """One row per flight or stay of a trip that the sessions name."""
    return table.semi_join(sessions, "trip_id")


def completed_months(start: ir.DateValue, end: ir.DateValue) -> ir.IntegerValue:
    """Whole months from one date to another."""
    months = (end.year() - start.year()) * 12 + end.month() - start.month()
    return months - (start.day() > end.day()).cast("int64")


def completed_years(start: ir.DateValue, end: ir.DateValue) -> ir.IntegerValue:
    """Whole years from one date to another: an age."""
    return completed_months(start, end) // 12
