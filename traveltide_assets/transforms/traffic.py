"""Counts of bookings, cancellations and browsing sessions per customer in a period."""

from __future__ import annotations

import datetime as dt

import ibis
import ibis.expr.types as ir

from traveltide_assets.transforms.features import expressions as f

_WEEK_SECONDS = 7 * 86_400


def _counts(sessions: ibis.Table) -> dict[str, ir.IntegerValue]:
    return {
        "bookings": f.count(f.booking(sessions) & f.browsing(sessions)),
        "cancellations": f.count(sessions.cancellation),
        "sessions": f.count(f.browsing(sessions)),
    }


def between(
    sessions: ibis.Table, customers: ibis.Table, start: dt.datetime, end: dt.datetime
) -> ibis.Table:
    """One row per customer with a session in the period; `end` is exclusive."""
    rows = _of(sessions, customers, start, end)
    return rows.group_by("user_id").agg(**_counts(rows))


def by_week(
    sessions: ibis.Table, customers: ibis.Table, end: dt.datetime, weeks: int
) -> ibis.Table:
    """One row per customer and week with a session; week 0 is the seven days before `end`."""
    rows = _of(sessions, customers, end - dt.timedelta(weeks=weeks), end)
    seconds = ibis.timestamp(end.isoformat()).delta(rows.session_start, unit="second")
    # A session exactly 7 days before `end` still belongs to week 0.
    rows = rows.mutate(week=((seconds - 1) // _WEEK_SECONDS).cast("int64"))
    return rows.group_by("user_id", "week").agg(**_counts(rows))


def first_session(sessions: ibis.Table) -> dt.datetime | None:
    """Start of the first session; None without sessions."""
    first = sessions.agg(first=sessions.session_start.min()).to_pyarrow()["first"][0].as_py()
    return first if isinstance(first, dt.datetime) else None


def known_until(sessions: ibis.Table) -> dt.datetime:
    """The end of the last day with a session: what comes after it is not known yet."""
    last = sessions.agg(last=sessions.session_start.max()).to_pyarrow()["last"][0].as_py()
    if not isinstance(last, dt.datetime):
        return dt.datetime.min
    return dt.datetime.combine(last.date() + dt.timedelta(days=1), dt.time())


def _of(
    sessions: ibis.Table, customers: ibis.Table, start: dt.datetime, end: dt.datetime
) -> ibis.Table:
    inside = sessions.filter(sessions.session_start >= start, sessions.session_start < end)
    return inside.semi_join(customers, "user_id")
