"""Checks of bronze and silver: no row is lost or missing, few are rejected, none too few came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from traveltide_assets.defs.checks import every_table
from traveltide_assets.defs.checks.check import Check, Context, Outcome, Severity, Step
from traveltide_assets.defs.checks.contradictions import (
    AFTER,
    by_month_of_booking,
    is_consistent,
    is_varied,
)
from traveltide_assets.defs.checks.formats import has_few_in_a_format
from traveltide_assets.defs.checks.gaps import (
    has_few_orphans,
    has_known_users,
    has_no_empty_month,
    is_complete,
)
from traveltide_assets.defs.checks.soundness import (
    BOOKED,
    OUTSIDE,
    SESSIONS,
    UNDATED,
    UNREADABLE,
    has_no_fewer_rows,
    is_not_empty,
    is_readable,
    layers,
    outside_bounds,
    undated_rows,
)
from traveltide_assets.schema.sources import OPTIONAL, RAW, SOURCES

if TYPE_CHECKING:
    from traveltide_assets.schema.table import Table


def _bronze(name: str) -> Step:
    raw = f"bronze/{name}_raw"
    reconciliation = Check(
        raw,
        "reconciliation",
        "Bronze contains every row of the source, month by month.",
        Severity.ERROR,
        partial(_everything_ingested, name),
        blocking=True,
    )
    no_fewer = Check(
        raw,
        "no_fewer_rows",
        "The table, or each month of it, has no fewer rows than at the last ingest. Bronze does "
        "not take a source that has lost more than `checks.max_row_loss` of them.",
        Severity.WARNING,
        partial(has_no_fewer_rows, name),
    )
    return Step(f"{name}_bronze", (raw,), (reconciliation, no_fewer), reads_source=True)


def _everything_ingested(name: str, context: Context) -> Outcome:
    raw = f"bronze/{name}_raw"
    expected = context.source.counts(name, context.months_of(raw))
    found = {key: context.lake.rows(raw, key) for key in expected}
    wrong = {str(key or name): found[key] - n for key, n in expected.items() if found[key] != n}
    facts = {
        "rows_in_source": sum(expected.values()),
        "rows_in_bronze": sum(found.values()),
        "differences": wrong,
    }
    return Outcome(not wrong, facts)


def _every_undated_session_kept(context: Context) -> Outcome:
    dated = sum(context.source.counts("sessions", context.every_month).values())
    expected = context.source.counts("sessions", [])[None] - dated
    found = context.lake.rows(UNDATED)
    return Outcome(expected == found, {"rows_in_source": expected, "rows_in_bronze": found})


def _every_session_has_a_time(context: Context) -> Outcome:
    found = undated_rows(context.lake, UNREADABLE)
    return Outcome(found == 0, {"rows": found})


def _every_session_is_within_bounds(context: Context) -> Outcome:
    found = undated_rows(context.lake, OUTSIDE)
    facts: dict[str, object] = {"rows": found}
    if found:
        facts["problem"] = f"{found:,} sessions are {outside_bounds(context)}"
    return Outcome(found == 0, facts)


def _silver(name: str) -> Step:
    raw, processed, quarantine = layers(name)
    reconciliation = Check(
        processed,
        "reconciliation",
        "Every row of bronze is either processed or in quarantine, month by month.",
        Severity.ERROR,
        partial(_nothing_lost, name),
        blocking=True,
        after=(raw, quarantine),
    )
    readable = Check(
        processed,
        "readable",
        "Few rows are rejected: of the table, of each of its files and of each month.",
        Severity.ERROR,
        partial(is_readable, name),
        blocking=True,
        after=(raw, quarantine),
    )
    formats = Check(
        processed,
        "formats",
        "Few values of a column are rejected in one known format, such as a decimal comma: "
        "`checks.block_format_share`.",
        Severity.ERROR,
        partial(has_few_in_a_format, name),
        blocking=True,
        after=(raw, quarantine),
    )
    not_empty = Check(
        processed,
        "not_empty",
        "The table has rows.",
        Severity.ERROR,
        partial(is_not_empty, name),
        blocking=True,
    )
    share = Check(
        quarantine,
        "quarantine_share",
        "Few rows are rejected.",
        Severity.WARNING,
        partial(_few_rejected, name),
        after=(processed,),
    )
    varied = Check(
        processed,
        "varied",
        "No column other than text has the same value, or none, in every row.",
        Severity.WARNING,
        partial(is_varied, name),
        of_files=True,
    )
    trips = (_complete(name), _no_orphans(name), _foreign_key(name)) if name in BOOKED else ()
    months = (_no_empty_month(), _known_users()) if name == "sessions" else ()
    filled = () if name in OPTIONAL else (not_empty, varied)
    consistent = (_consistent(name),) if name in AFTER else ()
    checks = (reconciliation, readable, formats, *filled, *months, *trips, *consistent, share)
    return Step(f"{name}_silver", (processed, quarantine), checks)


def _complete(name: str) -> Check:
    return Check(
        layers(name)[1],
        "complete",
        f"Nearly every trip that sessions book has its row in {name}. Beyond "
        "`checks.max_missing_share` nothing is decided; any missing row warns.",
        Severity.ERROR,
        partial(is_complete, name),
        blocking=True,
        after=AFTER[name],
    )


def _no_orphans(name: str) -> Check:
    return Check(
        layers(name)[1],
        "no_orphans",
        "Few trips are booked by no session, not even one that is refused or outside the months. "
        "Beyond `checks.block_orphan_share` nothing is decided once all months are ingested.",
        Severity.ERROR,
        partial(has_few_orphans, name),
        blocking=True,
        of_files=True,
        after=AFTER[name],
    )


def _consistent(name: str) -> Check:
    return Check(
        layers(name)[1],
        "consistent",
        "Few rows contradict others, such as flights that depart before they are booked. Beyond "
        "`checks.block_contradiction_share` nothing is decided.",
        Severity.ERROR,
        partial(is_consistent, name),
        blocking=True,
        of_files=True,
        after=AFTER[name],
    )


def _no_empty_month() -> Check:
    return Check(
        SESSIONS,
        "no_empty_month",
        "No month between others is without any session, where the others have many: "
        "`checks.empty_month_from`.",
        Severity.ERROR,
        has_no_empty_month,
        blocking=True,
        after=(layers("sessions")[0],),
    )


def _known_users() -> Check:
    return Check(
        SESSIONS,
        "known_users",
        "Nearly every session is of a user who has a row in users, sound or refused. Beyond "
        "`checks.max_missing_share` nothing is decided; any missing user warns.",
        Severity.ERROR,
        has_known_users,
        blocking=True,
        after=(layers("sessions")[0], layers("sessions")[2], layers("users")[2]),
    )


def _foreign_key(name: str) -> Check:
    return Check(
        layers(name)[1],
        "foreign_key",
        "Nearly every trip belongs to an ingested session.",
        Severity.WARNING,
        partial(_few_orphans, name),
        of_files=True,
        after=AFTER[name],
    )


def _rows(name: str, context: Context) -> Iterator[tuple[str | None, int, int, int]]:
    """Per month: the number of rows in bronze, processed and in quarantine."""
    paths = layers(name)
    for month in context.months_of(paths[0]) or (None,):
        raw, processed, quarantine = (context.lake.rows(path, month) for path in paths)
        yield month, raw, processed, quarantine


def _nothing_lost(name: str, context: Context) -> Outcome:
    months = list(_rows(name, context))
    lost = {str(month or name): a - b - c for month, a, b, c in months if a != b + c}
    facts = {
        "rows_in_bronze": sum(raw for _, raw, _, _ in months),
        "rows_processed": sum(processed for _, _, processed, _ in months),
        "rows_in_quarantine": sum(quarantine for _, _, _, quarantine in months),
        "rows_lost": lost,
    }
    return Outcome(not lost, facts)


def _few_rejected(name: str, context: Context) -> Outcome:
    months = list(_rows(name, context))
    total = sum(raw for _, raw, _, _ in months)
    rejected = sum(quarantine for _, _, _, quarantine in months)
    share, limit = rejected / total if total else 0.0, context.settings.checks.max_quarantine_share
    return Outcome(share <= limit, {"share": share, "limit": limit})


def _few_orphans(name: str, context: Context) -> Outcome:
    rows, limit = context.lake.rows(layers(name)[1]), context.settings.checks.max_orphan_share
    # A backfill from the UI ingests the snapshots before the first month of sessions.
    counted = by_month_of_booking(name, context) if context.lake.months(SESSIONS) else []
    without = sum(line["unknown"] for line in counted) if counted else rows
    share = without / max(rows, 1)
    return Outcome(
        share <= limit, {"rows_without_session": without, "share": share, "limit": limit}
    )


STEPS = (
    *(_bronze(name) for name in RAW),
    Step(
        "sessions_undated",
        (UNDATED,),
        (
            Check(
                UNDATED,
                "reconciliation",
                "Contains every session of the source that is in none of the months.",
                Severity.ERROR,
                _every_undated_session_kept,
                blocking=True,
            ),
            Check(
                UNDATED,
                "no_undated_sessions",
                "Every session has a readable start.",
                Severity.WARNING,
                _every_session_has_a_time,
            ),
            Check(
                UNDATED,
                "within_bounds",
                "Every session is in one of the months that `partitions.first` and "
                "`partitions.last` set.",
                Severity.WARNING,
                _every_session_is_within_bounds,
            ),
        ),
        reads_source=True,
    ),
    *(_silver(name) for name in RAW),
)


def silver_must_pass(tables: Mapping[str, Table], names: Iterable[str] = SOURCES) -> list[Check]:
    """The blocking checks of what gold reads of silver; a fault of one may cause the next."""
    listed = [check for step in STEPS for check in step.checks]
    paths = [layers(name)[1] for name in names]
    return [
        check
        for path in paths
        for check in (*every_table.checks(tables[path]), *listed)
        if check.table == path and check.blocking
    ]
