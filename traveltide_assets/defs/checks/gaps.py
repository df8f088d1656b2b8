"""What is missing beside sessions: months between, bookings of trips, and users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import ibis

from traveltide_assets.defs.checks.bookings import MONTH, TRIP, beside_sessions
from traveltide_assets.defs.checks.check import EXAMPLES, Context, Outcome, first_few
from traveltide_assets.defs.checks.contradictions import by_month_of_booking
from traveltide_assets.defs.checks.soundness import (
    BOOKED,
    FEW,
    SESSIONS,
    UNDATED,
    layers,
)
from traveltide_assets.schema.sources import USERS
from traveltide_assets.transforms.cleaning.parse import parse, text_of
from traveltide_assets.transforms.cleaning.rules import UNKNOWN_USER

_USER_ID = next(column for column in USERS if column.name == "user_id")
_REMEDY = "Deliver the whole table of sessions and ingest again"


def empty_months(rows: Mapping[str, int], enough: float) -> list[str]:
    """The months without a row that lie between months with rows, of a regular table.

    `rows` maps month -> rows. The table is regular if the median of the months that have rows is at
    least `enough`. Months before the first row and after the last one may be empty.
    """
    filled = [month for month, count in rows.items() if count]
    if not filled or median(rows[month] for month in filled) < enough:
        return []
    first, last = min(filled), max(filled)
    return sorted(month for month in rows if first < month < last and not rows[month])


def has_no_empty_month(context: Context) -> Outcome:
    """No month between others lacks every session, where the others have many.

    Rows of bronze count, so a month whose sessions are all refused is not empty.
    """
    raw, _, _ = layers("sessions")
    enough = context.settings.checks.empty_month_from
    rows = {month: context.lake.rows(raw, month) for month in context.lake.months(raw)}
    empty = empty_months(rows, enough)
    facts: dict[str, object] = {"empty": empty, "months": len(rows), "limit": enough}
    if empty:
        usual = median(count for count in rows.values() if count)
        facts["problem"] = (
            f"sessions has no row in {', '.join(empty)}, while the other months have {usual:,.0f} "
            f"(median). Likely a part of the export is missing. {_REMEDY}; or, if there was no "
            "session, raise checks.empty_month_from (TRAVELTIDE_CHECKS__EMPTY_MONTH_FROM, now "
            f"{enough:,})"
        )
    return Outcome(not empty, facts)


@dataclass(frozen=True)
class Missing:
    """Trips booked in sessions, those among them without a row, and the first of these."""

    booked: int
    missing: int
    examples: tuple[str, ...]

    @property
    def share(self) -> float:
        return self.missing / max(self.booked, 1)


def missing_rows(name: str, context: Context) -> Missing:
    """Flights or hotel stays that sessions book first in months that count, and that have no row.

    A row in quarantine is there. The flags of a cancellation are artefacts and do not count.
    """
    months = context.months_that_count(SESSIONS)
    counted = by_month_of_booking(name, context) if months else []
    lines = [line for line in counted if line[MONTH] in months]
    booked, there = (sum(line[what] for line in lines) for what in ("trips", "rows"))
    if booked == there:
        return Missing(booked, 0, ())
    beside = beside_sessions(name, context.lake)
    without = beside.filter(beside[MONTH].isin(months) & beside.trip_id.isnull())
    refused = context.lake.table(layers(name)[2])
    refused = refused.select(trip_id=text_of(refused.trip_id))
    lost = without.anti_join(refused, without[TRIP] == refused.trip_id).select(TRIP)
    found = lost.order_by(TRIP).to_pyarrow()[TRIP]
    # Rows that were refused because they lack the trip may be those of any of these trips.
    missing = max(len(found) - _count(refused.filter(refused.trip_id.isnull())), 0)
    return Missing(booked, missing, tuple(found[: min(missing, EXAMPLES)].to_pylist()))


def is_complete(name: str, context: Context) -> Outcome:
    """Few booked trips lack their row. A smaller share than the limit only warns."""
    found, limit = missing_rows(name, context), context.settings.checks
    facts: dict[str, object] = {
        "booked": found.booked,
        "without_row": found.missing,
        "share": found.share,
        "limit": limit.max_missing_share,
    }
    if not found.missing:
        return Outcome(True, facts)
    what = "flights" if name == "flights" else "hotel stays"
    facts["problem"] = (
        f"{found.missing:,} of {found.booked:,} {what} that sessions book have no row in {name} "
        f"({found.share:.1%}; checks.max_missing_share allows "
        f"{limit.max_missing_share:.1%}), such as those of the trips {', '.join(found.examples)}. "
        f"Likely the {name} are cut short, or older than the sessions: deliver the whole table "
        "and ingest again"
    )
    return Outcome(False, facts, only_warns=found.share <= limit.max_missing_share)


def has_few_orphans(name: str, context: Context) -> Outcome:
    """Few flights or hotel stays are of trips that no delivered session books.

    A session that is refused, or outside the months, is delivered, and may book whatever it names.
    Some trips are known from their cancellation only: they were booked before the data begins.
    While some months are not ingested, the trips may be of sessions in these, so too large a share
    only warns; so do fewer than ten trips.
    """
    lake, limit = context.lake, context.settings.checks.block_orphan_share
    _, processed, _ = layers(name)
    rows = lake.rows(processed)
    facts: dict[str, object] = {"rows": rows, "limit": limit}
    # A backfill from the UI ingests the snapshots before the first month of sessions.
    if not lake.months(SESSIONS):
        return Outcome(True, facts)
    counted = by_month_of_booking(name, context)
    count = sum(line["rows"] for line in counted if line[MONTH] is None)
    beside = beside_sessions(name, lake)
    orphans = beside.filter(beside[MONTH].isnull() & beside.trip_id.notnull()).select("trip_id")
    # Most often so few are left that sessions outside silver need not be searched.
    if count > limit * rows:
        orphans = _without_refused(orphans, context)
        count = _count(orphans)
    # A refused booking without its trip may be that of any of them.
    count = max(count - _unnamed(context), 0) if count else 0
    facts |= {"without_session": count, "share": count / max(rows, 1)}
    if count <= limit * rows:
        return Outcome(True, facts)
    examples = orphans.order_by("trip_id").limit(EXAMPLES).to_pyarrow()["trip_id"].to_pylist()
    what = "flights" if name == "flights" else "hotel stays"
    unread = _not_ingested(context)
    cause = (
        f"Sessions that book them may be left to ingest: those {unread}"
        if unread
        else f"Likely sessions are missing or older than the {name}, or their {BOOKED[name]} or "
        f"cancellation is wrong. {_REMEDY}"
    )
    facts["problem"] = (
        f"{count:,} of {rows:,} {what} are of trips that no session books "
        f"({count / rows:.1%}; checks.block_orphan_share allows {limit:.1%}), such as "
        f"{', '.join(examples)}. {cause}"
    )
    return Outcome(False, facts, only_warns=count < FEW or bool(unread))


def has_known_users(context: Context) -> Outcome:
    """Few sessions are of users who have no row in users, not even one that is refused."""
    raw, _, quarantine = layers("sessions")
    months, limit = context.months_that_count(raw), context.settings.checks.max_missing_share
    rows = sum(context.lake.rows(raw, month) for month in months)
    facts: dict[str, object] = {"rows": rows, "limit": limit}
    # As nearly always, which the footers of the files tell.
    if not any(context.lake.rows(quarantine, month) for month in months):
        return Outcome(True, facts)
    refused = context.lake.table(quarantine, months)
    of_nobody = _with_user(refused.filter(refused.reason == UNKNOWN_USER))
    damaged = _with_user(context.lake.table(layers("users")[2]))
    of_nobody = of_nobody.anti_join(damaged.drop_null("user_id"), "user_id")
    by_user = of_nobody.group_by("user_id").agg(sessions=of_nobody.count()).order_by("user_id")
    found = by_user.to_pyarrow()
    # Users whose identifiers are refused may be those who lack a row, the busiest ones, too.
    unnamed = _count(damaged.filter(damaged.user_id.isnull()))
    count = sum(sorted(found["sessions"].to_pylist(), reverse=True)[unnamed:])
    facts |= {"users_without_row": len(found), "sessions": count, "share": count / max(rows, 1)}
    if not count:
        return Outcome(True, facts)
    examples = ", ".join(map(str, found["user_id"].to_pylist()[:EXAMPLES]))
    facts["problem"] = (
        f"{count:,} of {rows:,} sessions are of users who have no row in users "
        f"({count / rows:.1%}; checks.max_missing_share allows {limit:.1%}), such as {examples}. "
        "Likely the users are cut short, or older than the sessions: deliver the whole table and "
        "ingest again"
    )
    return Outcome(False, facts, only_warns=count <= limit * rows)


def _with_user(table: ibis.Table) -> ibis.Table:
    return table.select(user_id=parse(text_of(table.user_id), _USER_ID))


def _without_refused(trips: ibis.Table, context: Context) -> ibis.Table:
    """The trips that neither a refused session names nor one outside the months."""
    for table in _outside_silver(context):
        named = table.select(trip_id=text_of(table.trip_id)).drop_null("trip_id")
        trips = trips.anti_join(named, "trip_id")
    return trips


def _outside_silver(context: Context) -> list[ibis.Table]:
    _, _, quarantine = layers("sessions")
    lake, months = context.lake, context.lake.months(quarantine)
    tables = [lake.table(quarantine, months)] if months else []
    return [*tables, lake.table(UNDATED)] if lake.exists(UNDATED) else tables


def _unnamed(context: Context) -> int:
    _, _, quarantine = layers("sessions")
    if not (months := context.lake.months(quarantine)):
        return 0
    refused = context.lake.table(quarantine, months)
    return _count(refused.filter(refused.reason == "booking_without_trip"))


def _count(table: ibis.Table) -> int:
    return int(table.count().to_pyarrow().as_py())


def _not_ingested(context: Context) -> str:
    """Which sessions are not ingested, in words; empty if all are."""
    stored = context.lake.months(SESSIONS)
    if months := [month for month in context.every_month if month not in stored]:
        return f"of {first_few(months)}"
    return "" if context.lake.exists(UNDATED) else "without a month"
