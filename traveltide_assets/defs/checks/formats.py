"""Refused values of one column that share a known format: an export's fault, not random dirt.

Such rows are rarely like the others. Only fares of 1,000 and more have a thousands separator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import ibis

from traveltide_assets.defs.checks.check import Context, Outcome
from traveltide_assets.defs.checks.soundness import UNDATED, UNREADABLE, has_rows, layers
from traveltide_assets.schema.table import Column
from traveltide_assets.transforms.cleaning.diagnosis import (
    columns_of,
    explain_column,
    in_a_format,
)
from traveltide_assets.transforms.cleaning.parse import text_of

# Fewer rows in one format than this may be typed by hand.
_FEW = 5
# Of more different values than this, the most frequent ones stand for all.
_VALUES_READ = 10_000


@dataclass(frozen=True)
class Systematic:
    """Rows that a rule refuses for values of a column in a known format, and some of these."""

    rule: str
    column: Column
    rows: int
    values: tuple[str, ...]


def systematic(column: Column, rule: str, values: Mapping[str, int], rows: int) -> Systematic:
    """What a known format explains of `rows` refused rows. `values` maps value -> rows of it."""
    found = in_a_format(column, rule, values)
    share = sum(found.values()) / max(sum(values.values()), 1)
    return Systematic(rule, column, round(share * rows), tuple(found))


def has_few_in_a_format(name: str, context: Context) -> Outcome:
    """Few values of each column are refused because of a known format."""
    limit = context.settings.checks.block_format_share
    raw, _, _ = layers(name)
    facts: dict[str, object] = {"limit": limit}
    problems = []
    months, refused = context.months_that_count(raw), _refused(name, context)
    delivered = None
    if months or not context.tables[raw].partitioned:
        delivered = context.lake.table(raw, months)
    for found in _systematic(name, refused):
        # Sessions without a readable start are in no month of bronze.
        undated = found.rows if found.rule == UNREADABLE else 0
        filled = undated + (0 if delivered is None else _filled(delivered, found.column.name))
        if found.rows >= max(limit * filled, _FEW):
            facts[f"{found.rule}:{found.column.name}"] = found.rows
            why = explain_column(found.column, name, found.rule, found.values)
            problems.append(
                f"{found.rows:,} of {filled:,} values are refused for one format "
                f"({found.rows / filled:.1%}; checks.block_format_share allows less than "
                f"{limit:.1%}): {why}"
            )
    if problems:
        facts["problem"] = f"{name}: {'; '.join(problems)}. Export and ingest {name} again"
    return Outcome(not problems, facts)


def _refused(name: str, context: Context) -> list[ibis.Table]:
    _, _, quarantine = layers(name)
    months, lake = context.months_that_count(quarantine), context.lake
    tables = []
    stored = months or not context.tables[quarantine].partitioned
    # Nearly always nothing is refused, and asking the engine for it would take most of the time.
    if stored and has_rows(lake, quarantine, months):
        tables.append(lake.table(quarantine, months))
    if name == "sessions" and lake.exists(UNDATED) and lake.rows(UNDATED):
        undated = lake.table(UNDATED)
        tables.append(undated.filter(undated.reason == UNREADABLE))
    return tables


def _systematic(name: str, refused: list[ibis.Table]) -> Iterator[Systematic]:
    for table in refused:
        counted = table.group_by("reason").agg(rows=table.count()).order_by("reason")
        for line in counted.to_pyarrow().to_pylist():
            if line["rows"] >= _FEW:
                for column in columns_of(name, line["reason"]):
                    rows = table.filter(table.reason == line["reason"])
                    filled = _filled(rows, column.name)
                    yield systematic(column, line["reason"], _values(rows, column.name), filled)


def _values(rows: ibis.Table, column: str) -> dict[str, int]:
    """The most frequent values with their rows."""
    texts = rows.select(value=text_of(rows[column])).drop_null("value")
    counted = texts.group_by("value").agg(rows=texts.count())
    most = counted.order_by(ibis.desc("rows"), "value").limit(_VALUES_READ).to_pyarrow()
    return dict(zip(most["value"].to_pylist(), most["rows"].to_pylist(), strict=True))


def _filled(rows: ibis.Table, column: str) -> int:
    return int(text_of(rows[column]).count().to_pyarrow().as_py())
