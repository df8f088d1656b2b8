"""Does a stored table have the columns, types, required values and unique key of its contract?"""

from collections.abc import Iterator, Mapping, Sequence

import dagster as dg
import ibis

from traveltide_assets.contracts import Table
from traveltide_assets.defs.checks.results import declare, report
from traveltide_assets.lake import Lake


def declarations(
    tables: Sequence[Table], months: dg.PartitionsDefinition
) -> Iterator[dg.AssetCheckSpec]:
    for table in tables:
        yield declare(
            table,
            "contract",
            "Columns, types and required values are those of the contract.",
            months,
            blocking=True,
        )
        yield declare(
            table,
            "primary_key",
            f"Every row has its own {', '.join(table.key)}.",
            months,
            blocking=True,
        )


def evaluate(
    tables: Sequence[Table], lake: Lake, months: Sequence[str]
) -> Iterator[dg.AssetCheckResult]:
    for table in tables:
        own = list(months) if table.partitioned else None
        stored = lake.table(table.path, own)
        problems = _schema_problems(table, lake, own) or _missing_values(table, stored)
        yield report(table, "contract", not problems, {"problems": "\n".join(problems) or "none"})
        keys = stored.group_by(*table.key).agg(rows=stored.count())
        extra = int(keys.agg(extra=(keys.rows - 1).sum()).to_pyarrow()["extra"][0].as_py() or 0)
        yield report(table, "primary_key", extra == 0, {"rows_with_a_key_of_another": extra})


def build(
    names: Sequence[str], tables: Mapping[str, Table], months: dg.PartitionsDefinition
) -> dg.AssetChecksDefinition:
    """One step of checks for tables of gold that have no others."""
    own = [tables[f"gold/{name}"] for name in names]

    @dg.multi_asset_check(name=f"{'_'.join(names)}_checks", specs=list(declarations(own, months)))
    def checks(
        context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake]
    ) -> Iterator[dg.AssetCheckResult]:
        yield from evaluate(own, lake, [context.op_execution_context.partition_key])

    return checks


def _schema_problems(table: Table, lake: Lake, months: Sequence[str] | None) -> list[str]:
    problems = []
    for month in months or [None]:  # type: ignore[list-item]
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


def _missing_values(table: Table, stored: ibis.Table) -> list[str]:
    counts = stored.agg(**{name: stored[name].isnull().sum() for name in table.required})
    return [
        f"{name} is empty in {rows} rows"
        for name, rows in counts.to_pyarrow().to_pylist()[0].items()
        if rows
    ]
