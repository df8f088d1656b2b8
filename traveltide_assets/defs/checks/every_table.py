"""The two checks of every table: it matches its contract, and its key is unique."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import ibis

from traveltide_assets.defs.checks.check import Check, Context, Outcome, Severity

if TYPE_CHECKING:
    import pyarrow.parquet as pq

    from traveltide_assets.lake.lake import Lake
    from traveltide_assets.schema.table import Table

Footers = Mapping["str | None", "pq.FileMetaData"]
# To plan a query takes longer than to read so many keys, and most tables have fewer.
_FEW_ROWS = 20_000
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
    months = context.months_of(table.path)
    asked = frozenset(months)
    # What no two rows of some months have is unique in fewer of them, too. The gate asks for those.
    unique: list[frozenset[str]] = []
    if table.layer != "gold":
        unique = context.once(table.path, "months of unique keys", list)
    extra = 0
    if not any(asked <= known for known in unique):
        extra = repeated_keys(table, context.lake, months)
    if not extra:
        unique.append(asked)
    return Outcome(extra == 0, {"rows_with_a_key_of_another": extra})


def contract_problems(table: Table, lake: Lake, months: Sequence[str]) -> list[str]:
    """The violations of a table's contract in some months of it, or in a table without months.

    Values are checked only if the columns are right.
    """
    footers = lake.footers(table.path, months)
    return _schema_problems(table, footers) or _missing_values(table, footers, lake)


def repeated_keys(table: Table, lake: Lake, months: Sequence[str]) -> int:
    """The number of rows that repeat the key of another row, not counting the first of each key."""
    if len(months) <= 1:
        month = next(iter(months), None)
        if lake.rows(table.path, month) <= _FEW_ROWS:
            return int(lake.frame(table.path, month, table.key).duplicated().sum())
    stored = lake.table(table.path, months)
    keys = stored.group_by(*table.key).agg(rows=stored.count())
    extra = keys.agg(extra=(keys.rows - 1).sum()).to_pyarrow()["extra"][0].as_py()
    return int(extra or 0)


def _schema_problems(table: Table, footers: Footers) -> list[str]:
    problems = []
    for month, footer in footers.items():
        stored = ibis.Schema.from_pyarrow(footer.schema.to_arrow_schema())
        problems += [
            f"{month or table.path}: {name} is {stored.get(name, 'missing')}, not {expected}"
            for name, expected in table.schema.items()
            if stored.get(name) is None or stored[name].copy(nullable=True) != expected
        ]
        extra = [name for name in stored.names if name not in table.schema]
        if extra and not table.keeps_extra_columns:
            problems.append(f"{month or table.path}: unexpected columns {', '.join(extra)}")
    return problems


def _missing_values(table: Table, footers: Footers, lake: Lake) -> list[str]:
    """Rows are read only for columns of which a footer does not say how many values are null."""
    counted = [_nulls(footer) for footer in footers.values()]
    known = [name for name in table.required if all(name in nulls for nulls in counted)]
    found = {name: sum(nulls[name] for nulls in counted) for name in known}
    if unknown := [name for name in table.required if name not in found]:
        stored = lake.table(table.path, [month for month in footers if month is not None])
        nulls = stored.agg(**{name: stored[name].isnull().sum() for name in unknown})
        found |= nulls.to_pyarrow().to_pylist()[0]
    return [f"{name} is empty in {found[name]} rows" for name in table.required if found[name]]


def _nulls(footer: pq.FileMetaData) -> dict[str, int]:
    """The number of nulls in each column of a file, if its footer has it. Lists have no such."""
    columns = {footer.schema.column(place).path: place for place in range(footer.num_columns)}
    groups = [footer.row_group(group) for group in range(footer.num_row_groups)]
    nulls: dict[str, int] = {}
    for name, place in columns.items():
        found = [group.column(place).statistics for group in groups if group.num_rows]
        if all(each is not None and each.has_null_count for each in found):
            nulls[name] = sum(each.null_count for each in found)
    return nulls
