"""Publishes the perks to a table of a PostgreSQL database, one month at a time.

A month is replaced in one transaction. Readers see either all old rows or all new ones, and a
publisher that is killed leaves the old ones. Publishers of the same table wait for each other.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pyarrow as pa
from sqlglot import exp

from traveltide_assets.connections.config import Config
from traveltide_assets.connections.locations import PostgresLocation
from traveltide_assets.connections.postgres import PostgresError, Session, connect
from traveltide_assets.schema.table import Column, Table

MONTH = Column("month", "string", "The month that the row was decided for, YYYY-MM")
# Type names that both PostgreSQL's catalogue and its parser use.
_TYPES = {
    "int64": "int8",
    "float64": "float8",
    "string": "text",
    "boolean": "bool",
    "date": "date",
    "timestamp(6)": "timestamp",
}


def publish(
    assignments: pd.DataFrame,
    month: str,
    contract: Table,
    location: PostgresLocation,
    name: str,
    config: Config,
    fence: Callable[[], None],
) -> int:
    """Replace a month of the published table. Returns the number of rows written.

    The table has the columns of the contract and `month`. It is created if it does not exist.
    Raises `PostgresError` if it has other columns. `fence` is called right before the rows take
    effect; if it raises, the table stays as it was.
    """
    columns = (*contract.columns, MONTH)
    schema = pa.schema([*contract.arrow_schema, (MONTH.name, pa.string())])
    content = pa.Table.from_pandas(assignments.assign(month=month), schema, preserve_index=False)
    with connect(location, config) as session, session.transaction():
        session.rows("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"publish {name}")
        _ensure_table(session, name, columns, (MONTH.name, *contract.key))
        of_month = exp.column(MONTH.name, quoted=True).eq(exp.Parameter(this=exp.Literal.number(1)))
        session.run(exp.delete(exp.table_(name, quoted=True)).where(of_month), month)
        session.append(name, content)
        fence()
    return content.num_rows


def _ensure_table(
    session: Session, name: str, columns: tuple[Column, ...], key: tuple[str, ...]
) -> None:
    expected = {column.name: _TYPES[column.type] for column in columns}
    found = session.columns(name)
    if not found:
        session.run(_creation(name, columns, key))
    elif found != expected:
        differences = [
            f"{column} is {found.get(column, 'missing')}, not {expected.get(column, 'expected')}"
            for column in sorted(found | expected)
            if found.get(column) != expected.get(column)
        ]
        raise PostgresError(
            f"{session.location}: the columns of table {name} do not match the perks: "
            f"{'; '.join(differences)}. Rename or drop it, or set publish_table"
        )


def _creation(name: str, columns: tuple[Column, ...], key: tuple[str, ...]) -> exp.Create:
    fields = [
        exp.ColumnDef(
            this=exp.to_identifier(column.name, quoted=True),
            kind=exp.DataType.build(_TYPES[column.type], dialect="postgres"),
            constraints=[exp.ColumnConstraint(kind=exp.NotNullColumnConstraint())]
            if column.required
            else None,
        )
        for column in columns
    ]
    primary = exp.PrimaryKey(expressions=[exp.to_identifier(c, quoted=True) for c in key])
    definition = exp.Schema(this=exp.table_(name, quoted=True), expressions=[*fields, primary])
    return exp.Create(this=definition, kind="TABLE")
