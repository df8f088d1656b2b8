"""Whether what was ingested is whole and readable enough to decide on.

Ingestion evaluates these checks, and the first steps of gold judge by them again (`defs/gate.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis
import pandas as pd

from traveltide_assets.defs.checks.check import Context, Outcome
from traveltide_assets.transforms.cleaning.diagnosis import column_of, explain

if TYPE_CHECKING:
    from traveltide_assets.lake.lake import Lake

SESSIONS = "silver/sessions_processed"
UNDATED = "bronze/sessions_undated"
UNREADABLE, OUTSIDE = "unreadable_session_start", "month_outside_partitions"
BOOKED = {"flights": "flight_booked", "hotels": "hotel_booked"}
ROWS_BEFORE = "rows_before"
"""Metadata of bronze: the rows that a table or a month had before it was ingested again."""
# Among fewer refused rows of a file or a month than this, a large share says little.
FEW = 10
_RULES_TOLD = 3
_VALUES_READ = 100


def layers(name: str) -> tuple[str, str, str]:
    """The tables of bronze, silver and the quarantine of a table of the source."""
    return f"bronze/{name}_raw", f"silver/{name}_processed", f"silver/{name}_quarantine"


# Rows against the last ingest


def has_lost_many(before: int, now: int, limit: float) -> bool:
    """Whether a table or a month has far fewer rows than the lake holds of it."""
    return before - now > limit * before and before - now >= FEW


def has_no_fewer_rows(name: str, context: Context) -> Outcome:
    """No table and no month has fewer rows than at the last ingest."""
    raw, _, _ = layers(name)
    fewer = {}
    for month in context.months_of(raw) or (None,):
        before = context.recorded(raw, month).get(ROWS_BEFORE)
        now = context.lake.rows(raw, month)
        if isinstance(before, int) and now < before:
            fewer[str(month or name)] = f"{now:,} rows instead of {before:,}"
    facts: dict[str, object] = {"fewer": fewer}
    if fewer:
        listed = ", ".join(f"{rows} in {where}" for where, rows in fewer.items())
        facts["problem"] = f"fewer rows than at the last ingest: {listed}"
    return Outcome(not fewer, facts)


# Refused rows


def is_readable(name: str, context: Context) -> Outcome:
    """Few rows are refused: of the table, of each of its files and of each of its months."""
    limit = context.settings.checks.block_quarantine_share
    counts = _counts(name, context)
    total, refused = int(counts["rows"].sum()), int(counts["refused"].sum())
    worst = _worst(counts, limit)
    facts: dict[str, object] = {"rows": total, "refused": refused, "limit": limit}
    if worst is not None:
        facts["problem"] = _problem(name, context, worst, limit)
    return Outcome(worst is None, facts)


@dataclass(frozen=True)
class _Group:
    """Rows of a table, of one of its files (`source_file`) or months (`month`): all, and refused.

    `by` is empty for the whole table.
    """

    by: str
    value: str
    rows: int
    refused: int


def _counts(name: str, context: Context) -> pd.DataFrame:
    """Rows and refused rows by file and month. A session without a readable start is refused."""
    raw, _, quarantine = layers(name)
    months = context.months_that_count(raw)
    parts = []
    if months or not context.tables[raw].partitioned:
        parts = [
            (context.lake.table(path, months), flag)
            for path, flag in ((raw, 0), (quarantine, 1))
            if has_rows(context.lake, path, months)
        ]
    frames = [_by_place(table).assign(refused=flag) for table, flag in parts]
    if name == "sessions" and context.lake.exists(UNDATED) and context.lake.rows(UNDATED):
        undated = context.lake.table(UNDATED)
        unread = _by_place(undated.filter(undated.reason == UNREADABLE))
        frames += [unread.assign(refused=flag) for flag in (0, 1)]
    columns = ["source_file", "month"]
    if not frames:
        return pd.DataFrame(columns=[*columns, "rows", "refused"])
    found = pd.concat(frames, ignore_index=True)
    found["month"] = found["month"].fillna("")
    found = found.assign(
        refused=found["rows"].where(found["refused"] == 1, 0),
        rows=found["rows"].where(found["refused"] == 0, 0),
    )
    return found.groupby(columns, as_index=False)[["rows", "refused"]].sum()


def has_rows(lake: Lake, path: str, months: Sequence[str]) -> bool:
    """Whether a table, or any of the given months of it, has rows. Only footers are read."""
    return any(footer.num_rows for footer in lake.footers(path, months).values())


def _by_place(table: ibis.Table) -> pd.DataFrame:
    month = table.month if "month" in table.columns else ibis.null("string")
    placed = table.select("source_file", month=month)
    counted = placed.group_by("source_file", "month").agg(rows=placed.count())
    return counted.to_pyarrow().to_pandas().astype({"month": "object"})


def _worst(counts: pd.DataFrame, limit: float) -> _Group | None:
    """The table, or else its file or month with the largest share, if it is beyond the limit."""
    whole = _Group("", "", int(counts["rows"].sum()), int(counts["refused"].sum()))
    if whole.refused > limit * whole.rows:
        return whole
    groups = [
        _Group(by, str(row.Index), int(row.rows), int(row.refused))
        for by in ("source_file", "month")
        for row in counts[counts[by] != ""].groupby(by)[["rows", "refused"]].sum().itertuples()
    ]
    beyond = [g for g in groups if g.refused > limit * g.rows and g.refused >= FEW]
    return max(beyond, key=lambda g: g.refused / g.rows, default=None)


def _problem(name: str, context: Context, group: _Group, limit: float) -> str:
    where = f" of {group.value}" if group.by else ""
    rules = _rules(name, context, group)
    why = "; ".join(f"{rows:,} rows: {explain(name, rule, values)}" for rule, rows, values in rules)
    return (
        f"{group.refused:,} of {group.rows:,} rows of {name}{where} are refused "
        f"({group.refused / group.rows:.0%}; checks.block_quarantine_share allows {limit:.0%}). "
        f"{why}"
    )


def _rules(name: str, context: Context, group: _Group) -> list[tuple[str, int, list[str]]]:
    """The rules that refuse most rows of a group: the rule, its rows, and values of its column."""
    _, _, quarantine = layers(name)
    months = context.months_that_count(quarantine)
    found: list[tuple[str, int, list[str]]] = []
    if months or not context.tables[quarantine].partitioned:
        found += _by_rule(name, context.lake.table(quarantine, months), group)
    if name == "sessions" and context.lake.exists(UNDATED) and group.by != "month":
        undated = context.lake.table(UNDATED)
        found += _by_rule(name, undated.filter(undated.reason == UNREADABLE), group)
    return sorted(found, key=lambda rule: (-rule[1], rule[0]))[:_RULES_TOLD]


def _by_rule(name: str, refused: ibis.Table, group: _Group) -> Iterable[tuple[str, int, list[str]]]:
    if group.by:
        refused = refused.filter(refused[group.by] == group.value)
    counted = refused.group_by("reason").agg(rows=refused.count())
    counted = counted.order_by(ibis.desc("rows"), "reason").limit(_RULES_TOLD)
    for line in counted.to_pyarrow().to_pylist():
        column = column_of(name, line["reason"])
        values: list[str] = []
        if column is not None:
            rows = refused.filter(refused.reason == line["reason"])
            first = rows.order_by("source_file", "source_row").limit(_VALUES_READ)
            values = [
                v or "" for v in first.select(column.name).to_pyarrow()[column.name].to_pylist()
            ]
        yield line["reason"], line["rows"], values


# Empty tables


def is_not_empty(name: str, context: Context) -> Outcome:
    """The table has rows."""
    raw, processed, _ = layers(name)
    months = context.lake.months(processed) if context.tables[processed].partitioned else [None]
    rows = sum(context.lake.rows(processed, month) for month in months)
    facts: dict[str, object] = {"rows": rows}
    if rows:
        return Outcome(True, facts)
    delivered = sum(context.lake.rows(raw, month) for month in months)
    outside = 0
    if name == "sessions" and context.lake.exists(UNDATED):
        delivered += undated_rows(context.lake, UNREADABLE)
        outside = undated_rows(context.lake, OUTSIDE)
    facts["problem"] = f"{name} has no row that can be used: " + (
        f"{delivered:,} rows were read, and all are refused"
        if delivered
        else f"{outside:,} sessions are {outside_bounds(context)}"
        if outside
        else f"the source delivers {name} without any row. Deliver the whole table and ingest again"
    )
    return Outcome(False, facts)


def undated_rows(lake: Lake, reason: str) -> int:
    """The number of sessions that are in no month for this reason."""
    undated = lake.table(UNDATED)
    return int(undated.filter(undated.reason == reason).count().to_pyarrow().as_py())


def outside_bounds(context: Context) -> str:
    """Words for sessions outside the months, with the settings that set these."""
    months = context.every_month
    return (
        f"outside the months {months[0]} to {months[-1]}, which partitions.first and "
        "partitions.last set (TRAVELTIDE_PARTITIONS__FIRST, …__LAST)"
    )
