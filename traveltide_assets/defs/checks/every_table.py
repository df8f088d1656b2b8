"""The two checks of every table: it matches its contract, and its key is unique."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import ibis

from traveltide_assets.defs.checks.check import Check, Context, Outcome, Severity

if TYPE_CHECKING:
    from traveltide_assets.lake.lake import Lake
    from traveltide_assets.schema.table import Table

_CONTRACT, _PRIMARY_KEY = "contract", "primary_key"


def is_basic(check: Check) -> bool:
    """Whether a check is one of the two that every table has. They read that table alone."""
    return check.name in (_CONTRACT, _PRIMARY_KEY)


def checks(table: Table) -> tuple[Check, Check]:
    return (
        Check(
            table.path,
            _CONTRACT,
            "Columns, types and required values match the contract.",
            Severity.ERROR,
            partial(_contract, table),
            blocking=True,
        ),
        Check(
            table.path,
            _PRIMARY_KEY,
            f"No two rows have the same {', '.join(table.key)}.",
            Severity.ERROR,
            partial(_primary_key, table),
            blocking=True,
        ),
    )


def _contract(table: Table, context: Context) -> Outcome:
    problems = contract_problems(table, context.lake, context.months_of(table.path))
    return Outcome(not problems, {"problems": "\n".join(problems) or "none"})


def _primary_key(table: Table, context: Context) -> Outcome:
    extra = repeated_keys(table, context.lake, context.months_of(table.path))
    return Outcome(extra == 0, {"rows_with_a_key_of_another": extra})


def contract_problems(table: Table, lake: Lake, months: Sequence[str]) -> list[str]:
    """The violations of a table's contract in some months of it, or in a table without months.

    Values are checked only if the columns are right.
    """
    return _schema_problems(table, lake, months) or _missing_values(table, lake, months)


def repeated_keys(table: Table, lake: Lake, months: Sequence[str]) -> int:
    """The number of rows that repeat the key of another row, not counting the first of each key."""
    stored = lake.table(table.path, months)
    keys = stored.group_by(*table.key).agg(rows=stored.count())
    extra = keys.agg(extra=(keys.rows - 1).sum()).to_pyarrow()["extra"][0].as_py()
    return int(extra or 0)


def _schema_problems(table: Table, lake: Lake, months: Sequence[str]) -> list[str]:
    problems = []
    for month in months or (None,):
        stored = ibis.Schema.from_pyarrow(lake.stored_schema(table.path, month))
        problems += [
            f"{month or table.path}: {name} is {stored.get(name, 'missing')}, not {expected}"
            for name, expected in table.schema.items()
            if stored.get(name) is None or stored[name].copy(nullable=True) != expected
        ]
        extra = [name for name in stored.names if name not in table.schema]
        if extra and not table.keeps_extra_columns:
            problems.append(f"{month or table.path}: unexpected columns {', '.join(extra)}")
    return problems


def _missing_values(table: Table, lake: Lake, months: Sequence[str]) -> list[str]:
    stored = lake.table(table.path, months)
    counts = stored.agg(**{name: stored[name].isnull().sum() for name in table.required})
    return [
        f"{name} is empty in {rows} rows"
        for name, rows in counts.to_pyarrow().to_pylist()[0].items()
        if rows
    ]
