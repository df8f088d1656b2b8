"""Checks of bronze and silver: no row is lost, trips belong to a session, few rows are rejected."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from traveltide_assets.defs.checks.check import Check, Context, Outcome, Severity, Step
from traveltide_assets.schema.sources import KEYS, SOURCES

if TYPE_CHECKING:
    from traveltide_assets.lake.lake import Lake

_SESSIONS = "silver/sessions_processed"
_UNDATED = "bronze/sessions_undated"


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
    return Step(f"{name}_bronze", (raw,), (reconciliation,), reads_source=True)


def _everything_ingested(name: str, context: Context) -> Outcome:
    raw = f"bronze/{name}_raw"
    expected = context.source.counts(name, context.months_of(raw))
    found = {key: context.lake.rows(raw, key) for key in expected}
    wrong = {str(key): found[key] - n for key, n in expected.items() if found[key] != n}
    facts = {
        "rows_in_source": sum(expected.values()),
        "rows_in_bronze": sum(found.values()),
        "differences": wrong,
    }
    return Outcome(not wrong, facts)


def _every_undated_session_kept(context: Context) -> Outcome:
    dated = sum(context.source.counts("sessions", context.every_month).values())
    expected = context.source.counts("sessions", [])[None] - dated
    found = context.lake.rows(_UNDATED)
    return Outcome(expected == found, {"rows_in_source": expected, "rows_in_bronze": found})


def _no_session_undated(context: Context) -> Outcome:
    found, months = context.lake.rows(_UNDATED), context.every_month
    facts = {"rows": found, "first_month": months[0], "last_month": months[-1]}
    return Outcome(found == 0, facts)


def _silver(name: str) -> Step:
    raw, processed, quarantine = _layers(name)
    reconciliation = Check(
        processed,
        "reconciliation",
        "Every row of bronze is either processed or in quarantine, month by month.",
        Severity.ERROR,
        partial(_nothing_lost, name),
        blocking=True,
        after=(raw, quarantine),
    )
    share = Check(
        quarantine,
        "quarantine_share",
        "Few rows are rejected.",
        Severity.WARNING,
        partial(_few_rejected, name),
        after=(processed,),
    )
    keys = (_foreign_key(processed),) if KEYS[name] == "trip_id" else ()
    return Step(f"{name}_silver", (processed, quarantine), (reconciliation, share, *keys))


def _foreign_key(processed: str) -> Check:
    return Check(
        processed,
        "foreign_key",
        "Nearly every trip belongs to an ingested session.",
        Severity.WARNING,
        partial(_few_orphans, processed),
        after=(_SESSIONS,),
    )


def _layers(name: str) -> tuple[str, str, str]:
    return f"bronze/{name}_raw", f"silver/{name}_processed", f"silver/{name}_quarantine"


def _rows(name: str, context: Context) -> Iterator[tuple[str | None, int, int, int]]:
    """Per month: the number of rows in bronze, processed and in quarantine."""
    layers = _layers(name)
    for month in context.months_of(layers[0]) or (None,):
        raw, processed, quarantine = (context.lake.rows(path, month) for path in layers)
        yield month, raw, processed, quarantine


def _nothing_lost(name: str, context: Context) -> Outcome:
    months = list(_rows(name, context))
    lost = {str(month): a - b - c for month, a, b, c in months if a != b + c}
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


def _few_orphans(path: str, context: Context) -> Outcome:
    without = orphans(path, context.lake)
    share = without / max(context.lake.rows(path), 1)
    limit = context.settings.checks.max_orphan_share
    return Outcome(
        share <= limit, {"rows_without_session": without, "share": share, "limit": limit}
    )


def orphans(path: str, lake: Lake) -> int:
    """The number of rows with a trip that no ingested session refers to."""
    months = lake.months(_SESSIONS)
    trips = lake.table(path)
    # A backfill from the UI ingests the snapshots before the first month of sessions.
    if months:
        trips = trips.anti_join(lake.table(_SESSIONS, months), "trip_id")
    return int(trips.count().to_pyarrow().as_py())


STEPS = (
    *(_bronze(name) for name in SOURCES),
    Step(
        "sessions_undated",
        (_UNDATED,),
        (
            Check(
                _UNDATED,
                "reconciliation",
                "Contains every session of the source that is in none of the months.",
                Severity.ERROR,
                _every_undated_session_kept,
                blocking=True,
            ),
            Check(
                _UNDATED,
                "no_undated_sessions",
                "Every session is in one of the months.",
                Severity.WARNING,
                _no_session_undated,
            ),
        ),
        reads_source=True,
    ),
    *(_silver(name) for name in SOURCES),
)
