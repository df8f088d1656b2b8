"""Rows in the columns and types of a contract, as the lake stores them."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from traveltide_assets.schema.errors import ContractError
from traveltide_assets.schema.table import Column, Table


def _check_columns(columns: Sequence[str], table: Table) -> None:
    missing = [name for name in table.column_names if name not in columns]
    if missing:
        raise ContractError(f"{table.path} lacks the columns {', '.join(missing)}")


def conformed(expression: ibis.Table, table: Table, keep: tuple[str, ...] = ()) -> ibis.Table:
    """The columns and types of the contract, plus the columns to `keep`.

    `ContractError` if a column of the contract is missing.
    """
    _check_columns(expression.columns, table)
    extra = (
        [c for c in expression.columns if c not in (*table.column_names, *keep, "month")]
        if table.keeps_extra_columns
        else []
    )
    return expression.select(
        *[_stored(expression[column.name], column) for column in table.columns],
        *extra,
        *keep,
    )


def _stored(value: ir.Value, column: Column) -> ir.Value:
    # `value.cast` skips the cast if Ibis believes that the type is right. But DuckDB sums integers
    # to 128 bits, which Parquet stores as floats.
    return ops.Cast(value, to=ibis.dtype(column.type)).to_expr().name(column.name)


def conformed_frame(frame: pd.DataFrame, table: Table) -> pa.Table:
    _check_columns(list(frame.columns), table)
    ordered = frame[list(table.column_names)].sort_values(list(table.key))
    return pa.Table.from_pandas(ordered, schema=table.arrow_schema, preserve_index=False)
