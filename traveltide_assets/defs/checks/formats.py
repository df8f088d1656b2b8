"""Refused values of one column that share a known format: an export's fault, not random dirt.

Such rows are rarely like the others. Only fares of 1,000 and more have a thousands separator.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
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
    suspects = [found for found in _systematic(name, refused) if found.rows >= _FEW]
    known = _filled(delivered, {found.column.name for found in suspects})
    for found in suspects:
        # Sessions without a readable start are in no month of bronze.
        undated = found.rows if found.rule == UNREADABLE else 0
        filled = undated + known[found.column.name]
        if found.rows >= limit * filled:
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
        lines = counted.to_pyarrow().to_pylist()
        rules = [line["reason"] for line in lines if line["rows"] >= _FEW]
        columns = [(rule, column) for rule in rules for column in columns_of(name, rule)]
        values = _values(table, [(rule, column.name) for rule, column in columns])
        for rule, column in columns:
            yield systematic(column, rule, *values[rule, column.name])


def _values(
    table: ibis.Table, asked: list[tuple[str, str]]
) -> dict[tuple[str, str], tuple[dict[str, int], int]]:
    """For each rule and column, the most frequent values with their rows, and the rows of all.

    One query asks for all: on Spark a query costs more than these rows do.
    """
    found: dict[tuple[str, str], tuple[dict[str, int], int]] = {pair: ({}, 0) for pair in asked}
    if not asked:
        return found
    rules = {name: [rule for rule, looks_at in asked if looks_at == name] for _, name in asked}
    texts = ibis.union(
        *(
            table.filter(table.reason.isin(reasons)).select(
                "reason", column=ibis.literal(name), value=text_of(table[name])
            )
            for name, reasons in rules.items()
        )
    ).drop_null("value")
    counted = texts.group_by("reason", "column", "value").agg(rows=texts.count())
    group = ["reason", "column"]
    order = ibis.window(group_by=group, order_by=[ibis.desc("rows"), "value"])
    placed = counted.mutate(
        filled=counted.rows.sum().over(ibis.window(group_by=group)),
        place=ibis.row_number().over(order),
    )
    most = placed.filter(placed.place < _VALUES_READ).order_by(*group, "place")
    for line in most.to_pyarrow().to_pylist():
        values, _ = found[line["reason"], line["column"]]
        values[line["value"]] = line["rows"]
        found[line["reason"], line["column"]] = values, line["filled"]
    return found


def _filled(rows: ibis.Table | None, columns: Collection[str]) -> dict[str, int]:
    """The number of values in each column, from one scan."""
    if rows is None or not columns:
        return dict.fromkeys(columns, 0)
    counted = rows.agg(**{name: text_of(rows[name]).count() for name in sorted(columns)})
    (line,) = counted.to_pyarrow().to_pylist()
    return dict(line)
