"""What sessions lack: whole months of them, and those in which ingested trips were booked."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

import ibis

from traveltide_assets.defs.checks.check import Context, Outcome
from traveltide_assets.defs.checks.soundness import SESSIONS, UNDATED, layers
from traveltide_assets.transforms.cleaning.parse import text_of

_EXAMPLES = 3
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


def has_few_orphans(name: str, context: Context) -> Outcome:
    """Few flights or hotel stays are of trips that no delivered session names.

    A session that is refused, or outside the months, is delivered. While some months are not
    ingested, the trips may be of sessions in these, so too large a share only warns.
    """
    lake, limit = context.lake, context.settings.checks.block_orphan_share
    _, processed, _ = layers(name)
    rows = lake.rows(processed)
    facts: dict[str, object] = {"rows": rows, "limit": limit}
    months = lake.months(SESSIONS)
    # A backfill from the UI ingests the snapshots before the first month of sessions.
    if not months:
        return Outcome(True, facts)
    trips = lake.table(processed).select("trip_id")
    orphans = trips.anti_join(lake.table(SESSIONS, months).select("trip_id"), "trip_id")
    count = _count(orphans)
    # Most often so few are left that sessions outside silver need not be searched.
    if count > limit * rows:
        orphans = _without_refused(orphans, context)
        count = _count(orphans)
    # A refused booking without its trip may be that of any of them.
    count = max(count - _unnamed(context), 0) if count else 0
    facts |= {"without_session": count, "share": count / max(rows, 1)}
    if count <= limit * rows:
        return Outcome(True, facts)
    examples = orphans.order_by("trip_id").limit(_EXAMPLES).to_pyarrow()["trip_id"].to_pylist()
    what = "flights" if name == "flights" else "hotel stays"
    facts["problem"] = (
        f"{count:,} of {rows:,} {what} are of trips that no session names ({count / rows:.1%}; "
        f"checks.block_orphan_share allows {limit:.1%}), such as {', '.join(examples)}. Likely "
        f"sessions are missing, or older than the {name}. {_REMEDY}"
    )
    return Outcome(False, facts, only_warns=not _every_month_is_stored(context))


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


def _every_month_is_stored(context: Context) -> bool:
    stored = context.lake.months(SESSIONS)
    return context.lake.exists(UNDATED) and set(context.every_month) <= set(stored)
